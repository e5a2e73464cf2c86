//! Builds an HNSW graph over vectors, or adds vectors to an existing graph.
//!
//! This module implements algorithms 1 and 4 of Malkov & Yashunin (HNSW), with insertions in batches as in ParlayANN
//! (Manohar et al., PPoPP 2024). All nodes of a batch are looked up in the graph as it was before the batch, on every
//! core and without locks. The nodes are linked afterwards. The same vectors therefore give the same graph with any
//! number of threads.
//!
//! Nodes of higher layers are inserted first, so the entry point never changes. The layers of a node do not depend on
//! the node's vector, so this order is as random as any other order.

use super::bits::bits_for;
use super::graph::{Graph, GraphLayer, NONE, StoredLayer};
use super::graph_search::{Candidate, GraphSearch};
use super::quantized::rows::{quantization_error, quantize};
use super::quantized::{QuantizedQuery, QuantizedVectors};
use super::vectors::NodeVectors;
use crate::Vectors;
use rayon::prelude::*;
use std::cell::RefCell;
use std::ops::Range;

/// Default of the maximum number of links that a new node gets in each layer; `M` in the HNSW paper. As further nodes
/// link to it, a node can get up to `M` links in a higher layer, and up to `2 * M` links in the lowest layer.
pub const M: usize = 16;

/// Default number of candidates from which the links of a new node are selected; `efConstruction` in the HNSW paper.
pub const EF_CONSTRUCTION: usize = 200;

/// A batch has at most `1 / BATCH_FRACTION` times as many nodes as the graph already has, but at least one node. Larger
/// batches would harm the graph, because the nodes of one batch are not linked to each other.
const BATCH_FRACTION: usize = 50;

/// Maximum number of layers of a graph.
const MAX_LAYERS: usize = 10;

/// Parameters for building a graph.
#[derive(Debug, Clone, Copy)]
pub struct HnswParams {
    /// See [`M`].
    pub m: usize,
    /// See [`EF_CONSTRUCTION`].
    pub ef_construction: usize,
}

impl Default for HnswParams {
    fn default() -> HnswParams {
        HnswParams { m: M, ef_construction: EF_CONSTRUCTION }
    }
}

/// A link of a node: the position of the link's target in the layer, and the approximate cosine between the node and
/// the target. The cosine is 0 where it is not needed.
#[derive(Debug, Clone, Copy)]
struct Link {
    score: f32,
    to: u32,
}

/// A new link that the node at position `from` gets.
#[derive(Debug, Clone, Copy)]
struct BackLink {
    from: u32,
    link: Link,
}

/// The links of one node in one layer.
type Links = Vec<Link>;

/// A new node, and the node's links in each of its layers, lowest layer first.
struct NewNode {
    node: u32,
    links: Vec<Links>,
}

#[derive(Default)]
struct BuildScratch {
    search: GraphSearch,
    query: QuantizedQuery,
    bytes: Vec<u8>,
    selected: Vec<QuantizedQuery>,
}

thread_local! {
    static SCRATCH: RefCell<BuildScratch> = RefCell::default();
}

/// Builds a graph over the vectors in `slots`. Node 0 is the vector in the first slot.
///
/// # Panics
/// If `slots` is empty.
pub fn build(vectors: &Vectors, slots: Range<u32>, params: HnswParams) -> Graph {
    assert!(!slots.is_empty(), "a graph needs at least one node");
    let bits = bits_for(NodeVectors { vectors, first: slots.start }, slots.len());
    let empty_layer = |degree| StoredLayer { nodes: vec![].into(), links: vec![].into(), degree };
    let layer_count = (0..slots.len() as u32).map(|node| layers_of(node, params.m)).max().unwrap_or(1);
    let mut layers = vec![empty_layer(2 * params.m)];
    layers.resize_with(layer_count, || empty_layer(params.m));
    let empty = Graph {
        quantized: vec![].into(),
        scales: vec![].into(),
        bits,
        stride: bits.stride(vectors.dimension()),
        error: 0.0,
        layers,
        entry: NONE,
    };
    extend(empty, vectors, slots, params)
}

/// Adds the vectors in `slots` to a graph, as nodes that follow the existing nodes, which have the vectors in the slots
/// before. A graph that has nodes gets no new layers. If [`bits_for`] chooses another number of bits for all nodes together, the
/// existing nodes are quantized again.
pub fn extend(mut graph: Graph, vectors: &Vectors, slots: Range<u32>, params: HnswParams) -> Graph {
    let old = graph.count() as u32;
    let vectors = NodeVectors { vectors, first: slots.start - old };
    let new = old..old + slots.len() as u32;
    quantize_nodes(&mut graph, vectors, new.end);
    let layer_count = graph.layers.len();
    // An existing graph gets no new layers.
    let layers_of = |node: &u32| layers_of(*node, params.m).min(layer_count);
    for (index, layer) in graph.layers.iter_mut().enumerate() {
        let members = new.clone().filter(|node| layers_of(node) > index);
        let count = members.clone().count();
        if index > 0 {
            layer.nodes.to_mut().extend(members);
        }
        let links = layer.links.to_mut();
        links.resize(links.len() + count * layer.degree, NONE);
    }
    let mut order: Vec<u32> = new.collect();
    order.sort_by_cached_key(|node| (layer_count - layers_of(node), hash(*node)));
    let mut order = &order[..];
    if graph.entry == NONE {
        graph.entry = order[0];
        order = &order[1..];
    }
    let mut inserted = graph.count() - order.len();
    while !order.is_empty() {
        let (batch, later) = order.split_at((inserted / BATCH_FRACTION).clamp(1, order.len()));
        let new_node = |node: &u32| NewNode {
            node: *node,
            links: find_links(&graph, vectors, *node, layers_of(node), params),
        };
        let new_nodes: Vec<NewNode> = by_path(&graph, batch).par_iter().map(new_node).collect();
        for layer in 0..layer_count {
            link(&mut graph, layer, &new_nodes);
        }
        inserted += batch.len();
        order = later;
    }
    graph
}

/// Quantizes the vectors of the nodes that the graph does not have yet, up to the node `end`.
fn quantize_nodes(graph: &mut Graph, vectors: NodeVectors, end: u32) {
    let dimension = vectors.vectors.dimension();
    let bits = bits_for(vectors, end as usize);
    if graph.bits != bits {
        (graph.bits, graph.stride, graph.error) = (bits, bits.stride(dimension), 0.0);
        (graph.quantized, graph.scales) = (vec![].into(), vec![].into());
    }
    let (stride, old) = (graph.stride, graph.count());
    let (quantized, scales) = (graph.quantized.to_mut(), graph.scales.to_mut());
    quantized.resize(end as usize * stride, 0);
    scales.resize(end as usize, 0.0);
    let rows = quantized[old * stride..].par_chunks_mut(stride).zip(&mut scales[old..]);
    let quantize_row = |((row, scale), node): ((&mut [u8], &mut f32), u32)| {
        let vector = vectors.get(node);
        *scale = quantize(vector, bits, row);
        quantization_error(vector, bits, row, *scale)
    };
    graph.error = rows.zip(old as u32..end).map(quantize_row).reduce(|| graph.error, f32::max);
}

/// Returns the number of layers that contain a node. A node of one layer is also in the next higher layer with
/// probability `1 / m`.
fn layers_of(node: u32, m: usize) -> usize {
    let uniform = (hash(node) >> 11) as f64 / (1_u64 << 53) as f64;
    let above = -(1.0 - uniform).ln() / (m as f64).ln();
    (above as usize + 1).min(MAX_LAYERS)
}

/// Hashes a node id (Steele, Lea & Flood's SplitMix).
fn hash(node: u32) -> u64 {
    let mut mixed = (u64::from(node) + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// Orders nodes so that nodes whose searches visit the same part of a graph follow each other. Most of the memory that
/// a search reads is then still in the CPU's caches from the search before.
pub fn by_path(graph: &Graph, nodes: &[u32]) -> Vec<u32> {
    let path = |node: &u32| {
        SCRATCH.with_borrow_mut(|BuildScratch { search, query, .. }| {
            query.set_node(graph.quantized(), *node);
            let mut path = [NONE; MAX_LAYERS];
            path.iter_mut().zip(search.path(graph, query, 0)).for_each(|(step, node)| *step = node);
            (path, *node)
        })
    };
    let mut paths: Vec<_> = nodes.par_iter().map(path).collect();
    paths.par_sort_unstable();
    paths.into_iter().map(|(_, node)| node).collect()
}

/// Selects the links of a new node in each of its layers, lowest layer first.
fn find_links(
    graph: &Graph,
    vectors: NodeVectors,
    node: u32,
    layers: usize,
    params: HnswParams,
) -> Vec<Links> {
    SCRATCH.with_borrow_mut(|BuildScratch { search, query, bytes, selected }| {
        query.set_vector(vectors.get(node), bytes);
        let mut start = search.descend(graph, query, layers - 1);
        let mut links = vec![Links::new(); layers];
        for index in (0..layers).rev() {
            let layer = graph.layer(index);
            let found = search.search_layer(graph, index, query, params.ef_construction, start);
            start = layer.node(found[0].position());
            let to_link = |candidate: &Candidate| Link { score: candidate.score, to: candidate.position() };
            links[index] = select(graph.quantized(), layer, found.iter().map(to_link), params.m, selected);
        }
        links
    })
}

/// Selects at most `max` links of a node from `candidates`, which are sorted, nearest first. Skips a candidate that is
/// nearer to an already selected candidate than to the node itself, because it can be reached through the selected
/// candidate. This is algorithm 4 of the HNSW paper, without the options `extendCandidates` and
/// `keepPrunedConnections`.
fn select(
    quantized: QuantizedVectors,
    layer: GraphLayer,
    candidates: impl Iterator<Item = Link>,
    max: usize,
    selected: &mut Vec<QuantizedQuery>,
) -> Links {
    let mut links = Links::with_capacity(max);
    selected.resize_with(max.max(selected.len()), QuantizedQuery::default);
    for candidate in candidates {
        let node = layer.node(candidate.to);
        if selected[..links.len()].iter().any(|other| quantized.score(other, node) > candidate.score) {
            continue;
        }
        selected[links.len()].set_node(quantized, node);
        links.push(candidate);
        if links.len() == max {
            break;
        }
    }
    links
}

/// Links the nodes of a batch in one layer, in both directions.
fn link(graph: &mut Graph, index: usize, new_nodes: &[NewNode]) {
    let layer = graph.layer(index);
    let in_layer = new_nodes.iter().filter_map(|new| Some((layer.position(new.node), new.links.get(index)?)));
    let forward: Vec<(u32, &Links)> = in_layer.collect();
    let mut back: Vec<BackLink> = forward
        .iter()
        .flat_map(|(new, links)| {
            let back = |link: &Link| BackLink { from: link.to, link: Link { score: link.score, to: *new } };
            links.iter().map(back)
        })
        .collect();
    back.par_sort_unstable_by_key(|back| (back.from, back.link.to));
    let back: Vec<&[BackLink]> = back.chunk_by(|a, b| a.from == b.from).collect();
    let relinked: Vec<Links> = back.par_iter().map(|new| with_new(graph, index, new)).collect();
    let StoredLayer { links, degree, .. } = &mut graph.layers[index];
    let links = links.to_mut();
    let mut write = |position: u32, new: &Links| {
        let targets = new.iter().map(|link| link.to).chain(std::iter::repeat(NONE));
        links[position as usize * *degree..][..*degree]
            .iter_mut()
            .zip(targets)
            .for_each(|(link, target)| *link = target);
    };
    forward.iter().for_each(|(position, links)| write(*position, links));
    back.iter().zip(&relinked).for_each(|(new, links)| write(new[0].from, links));
}

/// Returns the old links of one node together with the node's new links. If there are more links than the layer's
/// degree, only the links that [`select`] selects are returned.
fn with_new(graph: &Graph, index: usize, new: &[BackLink]) -> Links {
    let (quantized, layer) = (graph.quantized(), graph.layer(index));
    let position = new[0].from;
    let old = layer.links(position).iter().copied().take_while(|link| *link != NONE);
    let old: Vec<u32> = old.collect();
    let new = new.iter().map(|back| back.link);
    if old.len() + new.len() <= layer.degree() {
        return old.into_iter().map(|to| Link { score: 0.0, to }).chain(new).collect();
    }
    SCRATCH.with_borrow_mut(|BuildScratch { query, selected, .. }| {
        query.set_node(quantized, layer.node(position));
        let with_score = |to| Link { score: quantized.score(query, layer.node(to)), to };
        let mut candidates: Links = old.into_iter().map(with_score).chain(new).collect();
        candidates.sort_unstable_by(|a, b| b.score.total_cmp(&a.score).then(a.to.cmp(&b.to)));
        select(quantized, layer, candidates.into_iter(), layer.degree(), selected)
    })
}
