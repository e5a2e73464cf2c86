//! Builds a graph over vectors, or adds vectors to one.
//!
//! Its own file because it decides what a walk can find. Malkov & Yashunin's algorithms 1 and 4 (HNSW), with
//! the insertions in batches as in ParlayANN (Manohar et al., PPoPP 2024): the nodes of a batch are all
//! looked up in the graph as it was before, on every core and without a lock, and then linked. So the same
//! vectors give the same graph, however many threads there are.
//!
//! Nodes are inserted from the highest layer down. Which layers a node is in does not depend on its vector,
//! so that order is as random as any other, and the entry never changes.

use super::codes::{CodedQuery, Codes, encode, error, stride};
use super::graph::{Graph, Layer, NONE, StoredLayer};
use super::walk::{Candidate, Walk};
use crate::Vectors;
use rayon::prelude::*;
use std::cell::RefCell;
use std::ops::Range;

/// Links that a node gets; it has room for as many in the layers above the lowest, which has room for
/// twice as many. `M` in the paper.
pub const M: usize = 16;

/// Candidates that the links of a node are chosen from; `efConstruction` in the paper.
pub const EF_CONSTRUCTION: usize = 200;

/// A batch is at most this share of the nodes before it: nodes of one batch do not find each other.
const BATCH_SHARE: usize = 50;

/// Layers that there are at most.
const MAX_LAYERS: usize = 10;

/// How well a graph is made.
#[derive(Debug, Clone, Copy)]
pub struct Effort {
    /// See [`M`].
    pub m: usize,
    /// See [`EF_CONSTRUCTION`].
    pub ef_construction: usize,
}

impl Default for Effort {
    fn default() -> Effort {
        Effort { m: M, ef_construction: EF_CONSTRUCTION }
    }
}

/// The links of one new node in one layer, nearest first: scores and places.
type Links = Vec<(f32, u32)>;

#[derive(Default)]
struct Scratch {
    walk: Walk,
    query: CodedQuery,
    kept: Vec<CodedQuery>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// A graph over some of the vectors; node 0 is the first of them.
///
/// # Panics
/// If there is none.
pub fn build(vectors: &Vectors, slots: Range<u32>, effort: Effort) -> Graph {
    assert!(!slots.is_empty(), "a graph has a node");
    let stored = |degree| StoredLayer { nodes: vec![].into(), links: vec![].into(), degree };
    let highest = (0..slots.len() as u32).map(|node| layers_of(node, effort.m)).max().unwrap_or(1);
    let mut layers = vec![stored(2 * effort.m)];
    layers.resize_with(highest, || stored(effort.m));
    let empty = Graph {
        codes: vec![].into(),
        scales: vec![].into(),
        stride: stride(vectors.dimension()),
        error: 0.0,
        layers,
        entry: NONE,
    };
    extend(empty, vectors, slots, effort)
}

/// Adds the vectors in `slots` to a graph, as nodes that follow those it has.
pub fn extend(mut graph: Graph, vectors: &Vectors, slots: Range<u32>, effort: Effort) -> Graph {
    let old = graph.count() as u32;
    add_codes(&mut graph, vectors, slots);
    let new = old..graph.count() as u32;
    let most = graph.layers.len();
    // A node that would be in more layers than the graph has is in those that it has.
    let layers_of = |node: &u32| layers_of(*node, effort.m).min(most);
    for (index, layer) in graph.layers.iter_mut().enumerate() {
        let inside = new.clone().filter(|node| layers_of(node) > index);
        let count = inside.clone().count();
        if index > 0 {
            layer.nodes.to_mut().extend(inside);
        }
        let links = layer.links.to_mut();
        links.resize(links.len() + count * layer.degree, NONE);
    }
    let mut order: Vec<u32> = new.collect();
    order.sort_by_cached_key(|node| (most - layers_of(node), mix(*node)));
    let mut order = &order[..];
    if graph.entry == NONE {
        graph.entry = order[0];
        order = &order[1..];
    }
    let mut inside = graph.count() - order.len();
    while !order.is_empty() {
        let (batch, later) = order.split_at((inside / BATCH_SHARE).clamp(1, order.len()));
        let found = |node: &u32| (*node, find_links(&graph, *node, layers_of(node), effort));
        let found: Vec<(u32, Vec<Links>)> = by_path(&graph, batch).par_iter().map(found).collect();
        for layer in 0..most {
            link(&mut graph, layer, &found);
        }
        inside += batch.len();
        order = later;
    }
    graph
}

fn add_codes(graph: &mut Graph, vectors: &Vectors, slots: Range<u32>) {
    let (dimension, stride, old) = (vectors.dimension(), graph.stride, graph.count());
    let (codes, scales) = (graph.codes.to_mut(), graph.scales.to_mut());
    codes.resize((old + slots.len()) * stride, 0);
    scales.resize(old + slots.len(), 0.0);
    let values = &vectors.values()[slots.start as usize * dimension..slots.end as usize * dimension];
    let rows = codes[old * stride..].par_chunks_mut(stride).zip(&mut scales[old..]);
    let encode = |((code, scale), vector): ((&mut [u8], &mut f32), &[f32])| {
        *scale = encode(vector, code);
        error(vector, code, *scale)
    };
    let error = rows.zip(values.par_chunks(dimension)).map(encode).reduce(|| graph.error, f32::max);
    graph.error = error;
}

/// How many layers a node is in: each as likely as `1/m` of the ones below.
fn layers_of(node: u32, m: usize) -> usize {
    let share = (mix(node) >> 11) as f64 / (1_u64 << 53) as f64;
    let above = -(1.0 - share).ln() / (m as f64).ln();
    (above as usize + 1).min(MAX_LAYERS)
}

/// A number's bits, mixed (Steele, Lea & Flood's SplitMix).
fn mix(node: u32) -> u64 {
    let mut mixed = (u64::from(node) + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// Nodes, in an order in which those follow each other that are looked up in the same part of a graph: most
/// of what one reads is then in the core's caches, where the one before it has left it.
pub fn by_path(graph: &Graph, nodes: &[u32]) -> Vec<u32> {
    let path = |node: &u32| {
        SCRATCH.with_borrow_mut(|Scratch { walk, query, .. }| {
            query.set_node(graph.codes(), *node);
            let mut path = [NONE; MAX_LAYERS];
            path.iter_mut().zip(walk.path(graph, query, 0)).for_each(|(step, node)| *step = node);
            (path, *node)
        })
    };
    let mut paths: Vec<_> = nodes.par_iter().map(path).collect();
    paths.par_sort_unstable();
    paths.into_iter().map(|(_, node)| node).collect()
}

/// What a new node is linked to, in each of its layers, the lowest first.
fn find_links(graph: &Graph, node: u32, layers: usize, effort: Effort) -> Vec<Links> {
    SCRATCH.with_borrow_mut(|Scratch { walk, query, kept }| {
        query.set_node(graph.codes(), node);
        let mut start = walk.descend(graph, query, layers - 1);
        let mut links = vec![Links::new(); layers];
        for index in (0..layers).rev() {
            let layer = graph.layer(index);
            let found = walk.search(graph, index, query, effort.ef_construction, start);
            start = layer.node(found[0].place());
            let candidates = found.iter().map(|candidate: &Candidate| (candidate.score, candidate.place()));
            links[index] = select(graph.codes(), layer, candidates, effort.m, kept);
        }
        links
    })
}

/// Chooses links among candidates, nearest first: one that is nearer to a chosen one than to the node itself
/// is reached through that. Algorithm 4, without what it calls extending and keeping.
fn select(
    codes: Codes,
    layer: Layer,
    candidates: impl Iterator<Item = (f32, u32)>,
    most: usize,
    kept: &mut Vec<CodedQuery>,
) -> Links {
    let mut chosen = Links::with_capacity(most);
    kept.resize_with(most.max(kept.len()), CodedQuery::default);
    for (score, place) in candidates {
        let node = layer.node(place);
        if kept[..chosen.len()].iter().any(|other| codes.score(other, node) > score) {
            continue;
        }
        kept[chosen.len()].set_node(codes, node);
        chosen.push((score, place));
        if chosen.len() == most {
            break;
        }
    }
    chosen
}

/// Links the nodes of a batch in one layer, both ways.
fn link(graph: &mut Graph, index: usize, found: &[(u32, Vec<Links>)]) {
    let layer = graph.layer(index);
    let inside = found.iter().filter_map(|(node, links)| Some((layer.place(*node), links.get(index)?)));
    let forward: Vec<(u32, &Links)> = inside.collect();
    // (where the link comes from, where to, score)
    let mut back: Vec<(u32, u32, f32)> = forward
        .iter()
        .flat_map(|(new, links)| links.iter().map(|(score, old)| (*old, *new, *score)))
        .collect();
    back.par_sort_unstable_by_key(|(old, new, _)| (*old, *new));
    let back: Vec<&[(u32, u32, f32)]> = back.chunk_by(|a, b| a.0 == b.0).collect();
    let relinked: Vec<Links> = back.par_iter().map(|new| with_new(graph, index, new)).collect();
    let StoredLayer { links, degree, .. } = &mut graph.layers[index];
    let links = links.to_mut();
    let mut write = |place: u32, new: &Links| {
        let places = new.iter().map(|(_, place)| *place).chain(std::iter::repeat(NONE));
        links[place as usize * *degree..][..*degree]
            .iter_mut()
            .zip(places)
            .for_each(|(link, new)| *link = new);
    };
    forward.iter().for_each(|(place, links)| write(*place, links));
    back.iter().zip(&relinked).for_each(|(new, links)| write(new[0].0, links));
}

/// A node's links together with new ones, fewer if there is no room for all.
fn with_new(graph: &Graph, index: usize, new: &[(u32, u32, f32)]) -> Links {
    let (codes, layer) = (graph.codes(), graph.layer(index));
    let place = new[0].0;
    let old = layer.links(place).iter().copied().take_while(|link| *link != NONE);
    let old: Vec<u32> = old.collect();
    let new = new.iter().map(|(_, place, score)| (*score, *place));
    if old.len() + new.len() <= layer.degree() {
        return old.into_iter().map(|place| (0.0, place)).chain(new).collect();
    }
    SCRATCH.with_borrow_mut(|Scratch { query, kept, .. }| {
        query.set_node(codes, layer.node(place));
        let score = |place| (codes.score(query, layer.node(place)), place);
        let mut candidates: Links = old.into_iter().map(score).chain(new).collect();
        candidates.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        select(codes, layer, candidates.into_iter(), layer.degree(), kept)
    })
}
