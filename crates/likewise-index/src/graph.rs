//! The HNSW graph as flat arrays: quantized vectors, and the links of the nodes in every layer.
//!
//! Layers are numbered from 0. Layer 0, the lowest, contains every node. Each higher layer has some of the nodes of the
//! layer below it. Links are *positions*: indexes into the layer's list of nodes, so that the links of a link's target
//! are found without a look-up.

use super::quantized::QuantizedVectors;
use super::quantized::rows::Bits;
use likewise_base::map::Array;

/// Fills the unused entries of a node's list of links.
pub const NONE: u32 = u32::MAX;

/// A graph, in memory or in a mapped file.
#[derive(Debug, Clone)]
pub struct Graph {
    /// Quantized vectors, shape `[nodes, stride]`.
    pub quantized: Array<u8>,
    /// Scales of the quantized vectors, shape `[nodes]`.
    pub scales: Array<f32>,
    /// Bits per value of a quantized vector.
    pub bits: Bits,
    /// Bytes per quantized vector.
    pub stride: usize,
    /// The largest quantization error of a vector, as a Euclidean distance.
    pub error: f32,
    /// The layers, lowest first. Every layer has at least one node.
    pub layers: Vec<StoredLayer>,
    /// The entry point: the node of the highest layer at which searches start.
    pub entry: u32,
}

/// A layer, in memory or in a mapped file.
#[derive(Debug, Clone)]
pub struct StoredLayer {
    /// The layer's nodes, ascending. Empty for the lowest layer, which has every node.
    pub nodes: Array<u32>,
    /// The links of the nodes, shape `[positions, degree]`.
    pub links: Array<u32>,
    /// Maximum number of links of a node in this layer: `2 * m` in the lowest layer, `m` in the higher layers.
    pub degree: usize,
}

/// A view of a layer, for reading.
#[derive(Debug, Clone, Copy)]
pub struct GraphLayer<'a> {
    nodes: &'a [u32],
    links: &'a [u32],
    degree: usize,
}

impl Graph {
    /// The quantized vectors of the nodes.
    pub fn quantized(&self) -> QuantizedVectors<'_> {
        QuantizedVectors {
            bytes: &self.quantized,
            scales: &self.scales,
            stride: self.stride,
            bits: self.bits,
        }
    }

    /// The number of nodes.
    pub fn count(&self) -> usize {
        self.scales.len()
    }

    /// Returns the layer with this number. Layer 0 is the lowest.
    pub fn layer(&self, index: usize) -> GraphLayer<'_> {
        let StoredLayer { nodes, links, degree } = &self.layers[index];
        GraphLayer { nodes, links, degree: *degree }
    }

    /// The size of all arrays, in bytes.
    pub fn bytes(&self) -> usize {
        let layers = self.layers.iter().map(|layer| 4 * (layer.nodes.len() + layer.links.len()));
        self.quantized.len() + 4 * self.scales.len() + layers.sum::<usize>()
    }
}

impl GraphLayer<'_> {
    /// The number of nodes in the layer.
    pub fn count(&self) -> usize {
        self.links.len() / self.degree
    }

    /// The links of the node at a position, as positions. Unused entries are [`NONE`].
    pub fn links(&self, position: u32) -> &[u32] {
        &self.links[position as usize * self.degree..][..self.degree]
    }

    /// Maximum number of links of a node in this layer.
    pub fn degree(&self) -> usize {
        self.degree
    }

    /// Whether this is the lowest layer, in which positions and nodes are the same.
    pub fn is_lowest(&self) -> bool {
        self.nodes.is_empty()
    }

    /// The node at a position.
    pub fn node(&self, position: u32) -> u32 {
        if self.is_lowest() { position } else { self.nodes[position as usize] }
    }

    /// The position of a node of this layer.
    pub fn position(&self, node: u32) -> u32 {
        if self.is_lowest() {
            return node;
        }
        let position = self.nodes.partition_point(|other| *other < node);
        // The layer can lack the node only if the file is damaged. In that case, any valid position will do.
        position.min(self.nodes.len() - 1) as u32
    }
}
