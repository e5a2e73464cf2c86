//! A graph in flat arrays: codes, and for every layer the links of its nodes.
//!
//! Its own file because it is what building makes, walking reads and a segment stores. HNSW's layers are
//! numbered from 0, the lowest, which has every node. A layer above has a few of those below it, and its
//! links name places among them, so that a walk never has to look a node up.

use super::codes::Codes;
use likewise_base::map::Array;

/// In place of a link that there is not.
pub const NONE: u32 = u32::MAX;

/// A graph, in memory or mapped.
#[derive(Debug, Clone)]
pub struct Graph {
    /// `[nodes, stride]`.
    pub codes: Array<u8>,
    /// `[nodes]`.
    pub scales: Array<f32>,
    /// Bytes of a code.
    pub stride: usize,
    /// How far a vector is, at most, from what its code stands for.
    pub error: f32,
    /// The lowest first. All but that have nodes.
    pub layers: Vec<StoredLayer>,
    /// The node of the highest layer where walks start.
    pub entry: u32,
}

/// A layer, in memory or mapped.
#[derive(Debug, Clone)]
pub struct StoredLayer {
    /// The nodes that are in it, ascending; none in the lowest, which has all.
    pub nodes: Array<u32>,
    /// `[places, degree]`.
    pub links: Array<u32>,
    /// Links that a node has room for.
    pub degree: usize,
}

/// A layer, for reading.
#[derive(Debug, Clone, Copy)]
pub struct Layer<'a> {
    nodes: &'a [u32],
    links: &'a [u32],
    degree: usize,
}

impl Graph {
    /// Its codes.
    pub fn codes(&self) -> Codes<'_> {
        Codes { bytes: &self.codes, scales: &self.scales, stride: self.stride }
    }

    /// How many nodes it has.
    pub fn count(&self) -> usize {
        self.scales.len()
    }

    /// A layer, from 0, the lowest.
    pub fn layer(&self, index: usize) -> Layer<'_> {
        let StoredLayer { nodes, links, degree } = &self.layers[index];
        Layer { nodes, links, degree: *degree }
    }

    /// Bytes that it takes.
    pub fn bytes(&self) -> usize {
        let layers = self.layers.iter().map(|layer| 4 * (layer.nodes.len() + layer.links.len()));
        self.codes.len() + 4 * self.scales.len() + layers.sum::<usize>()
    }
}

impl Layer<'_> {
    /// How many nodes it has.
    pub fn count(&self) -> usize {
        self.links.len() / self.degree
    }

    /// The links of the node at a place: places too, and [`NONE`] where there is room for more.
    pub fn links(&self, place: u32) -> &[u32] {
        &self.links[place as usize * self.degree..][..self.degree]
    }

    /// Links that a node has room for.
    pub fn degree(&self) -> usize {
        self.degree
    }

    /// Whether places are nodes.
    pub fn is_lowest(&self) -> bool {
        self.nodes.is_empty()
    }

    /// The node at a place.
    pub fn node(&self, place: u32) -> u32 {
        if self.is_lowest() { place } else { self.nodes[place as usize] }
    }

    /// The place of a node that is in it.
    pub fn place(&self, node: u32) -> u32 {
        if self.is_lowest() {
            return node;
        }
        let place = self.nodes.partition_point(|other| *other < node);
        // A node that is not in it has a damaged file to blame; any place will do then.
        place.min(self.nodes.len() - 1) as u32
    }
}
