//! Walking a graph: from its entry, always to what is nearer to a query.
//!
//! Its own file because building and answering both spend their time here. Algorithms 2 and 5 of Malkov &
//! Yashunin (Efficient and robust approximate nearest neighbor search using HNSW graphs), with the
//! candidates and the results of algorithm 2 in one sorted list. Nothing is locked, and nothing allocated
//! once a walk's room has grown.

use super::codes::{CodedQuery, prefetch};
use super::graph::{Graph, Layer};

/// Candidates while searching: recall@10 is then above 0.99 on real abstracts.
pub const EF_SEARCH: usize = 96;

/// Whether a candidate's links were followed stands in the highest bit of its place.
const FOLLOWED: u32 = 1 << 31;

/// Candidates that come in so near to the next one have their links fetched: they will be followed soon.
const SOON: usize = 2;

/// A node that a walk came by.
#[derive(Debug, Clone, Copy)]
pub struct Candidate {
    /// Cosine to the query, by their codes.
    pub score: f32,
    place: u32,
}

impl Candidate {
    /// Where it is in its layer; in the lowest, the node.
    pub fn place(&self) -> u32 {
        self.place & !FOLLOWED
    }
}

/// Room for walks, used again and again.
#[derive(Default)]
pub struct Walk {
    seen: Seen,
    /// Nearest first.
    candidates: Vec<Candidate>,
    places: Vec<u32>,
    nodes: Vec<u32>,
    products: Vec<i32>,
}

impl Walk {
    /// The `ef` nearest nodes that are found, nearest first.
    pub fn nearest(&mut self, graph: &Graph, query: &CodedQuery, ef: usize) -> &[Candidate] {
        let start = self.descend(graph, query, 0);
        self.search(graph, 0, query, ef, start)
    }

    /// Goes down to the layer `to`, and gives the node to start with there.
    pub fn descend(&mut self, graph: &Graph, query: &CodedQuery, to: usize) -> u32 {
        self.path(graph, query, to).last().unwrap_or(graph.entry)
    }

    /// The nodes by which a query goes down to the layer `to`. Queries with like paths walk through the same
    /// nodes, and find them in the core's caches if they come one after the other.
    pub fn path(&mut self, graph: &Graph, query: &CodedQuery, to: usize) -> impl Iterator<Item = u32> {
        let mut node = graph.entry;
        (to + 1..graph.layers.len()).rev().map(move |index| {
            let place = self.search(graph, index, query, 1, node)[0].place();
            node = graph.layer(index).node(place);
            node
        })
    }

    /// The `ef` nearest of a layer, from one of its nodes on, nearest first.
    pub fn search(
        &mut self,
        graph: &Graph,
        layer: usize,
        query: &CodedQuery,
        ef: usize,
        start: u32,
    ) -> &[Candidate] {
        let (codes, layer) = (graph.codes(), graph.layer(layer));
        self.seen.start(layer.count());
        self.candidates.clear();
        self.seen.keep_new(&[layer.place(start)], &mut self.places);
        let mut next = 0;
        loop {
            let nodes = nodes_of(layer, &self.places, &mut self.nodes);
            let scores = codes.scores(query, nodes, &mut self.products);
            for (score, &place) in scores.zip(&self.places) {
                if self.candidates.len() == ef {
                    if self.candidates[ef - 1].score >= score {
                        continue;
                    }
                    self.candidates.pop();
                }
                let at = self.candidates.partition_point(|other| other.score >= score);
                self.candidates.insert(at, Candidate { score, place });
                if at <= next + SOON {
                    prefetch(layer.links(place));
                }
                next = next.min(at);
            }
            let followed = |candidate: &Candidate| candidate.place & FOLLOWED != 0;
            while self.candidates.get(next).is_some_and(followed) {
                next += 1;
            }
            let Some(candidate) = self.candidates.get_mut(next) else { return &self.candidates };
            let place = candidate.place();
            candidate.place |= FOLLOWED;
            self.seen.keep_new(layer.links(place), &mut self.places);
        }
    }
}

fn nodes_of<'a>(layer: Layer, places: &'a [u32], nodes: &'a mut Vec<u32>) -> &'a [u32] {
    if layer.is_lowest() {
        return places;
    }
    nodes.clear();
    nodes.extend(places.iter().map(|place| layer.node(*place)));
    nodes
}

/// The places that a walk came by, a bit each.
#[derive(Default)]
struct Seen {
    bits: Vec<u64>,
    /// Which they are, to forget them by.
    places: Vec<u32>,
    count: usize,
}

impl Seen {
    /// Forgets all, of `count` places.
    fn start(&mut self, count: usize) {
        for place in self.places.drain(..) {
            self.bits[place as usize / 64] = 0;
        }
        if self.bits.len() < count.div_ceil(64) {
            self.bits.resize(count.div_ceil(64), 0);
        }
        self.count = count;
    }

    /// Those of `links` that were not seen before. What is no place is none of them, be it `NONE` or damaged.
    fn keep_new(&mut self, links: &[u32], new: &mut Vec<u32>) {
        new.resize(links.len(), 0);
        let mut kept = 0;
        for &link in links {
            let is_place = (link as usize) < self.count;
            let link = if is_place { link } else { 0 };
            let (bits, bit) = (&mut self.bits[link as usize / 64], u64::from(is_place) << (link % 64));
            new[kept] = link;
            // No branch: half of the links are new, and which half is anybody's guess.
            kept += usize::from(is_place & (*bits & bit == 0));
            *bits |= bit;
        }
        new.truncate(kept);
        self.places.extend_from_slice(new);
    }
}
