//! The graph index, built by hnsw_rs; the only file that names that crate.
//!
//! HNSW is Malkov & Yashunin, Efficient and robust approximate nearest neighbor search using
//! Hierarchical Navigable Small World graphs. What is ours here is the promise that no stored vector
//! is lost: after every insertion each vector it touched must be found by its own values, and one that is not
//! (a *straggler*) is compared exactly with every query from then on. So are vectors that are stored
//! but not in the graph yet.

use super::exact::{Exact, cosine};
use super::{Index, Neighbour, dot, nearest};
use crate::disk;
use crate::error::{Error, Result};
use crate::space::{Slot, Vectors};
use hnsw_rs::api::AnnT;
use hnsw_rs::prelude::{Distance, HnswIo};
use rayon::prelude::*;
use roaring::RoaringBitmap;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Links of a point in each layer above the lowest, which has twice as many; `M` in the paper.
const M: usize = 16;

/// Candidates while inserting; `efConstruction` in the paper.
const EF_CONSTRUCTION: usize = 200;

/// Candidates while searching, at least: recall@10 is then above 0.99 on real abstracts.
const EF_SEARCH: usize = 128;

/// hnsw_rs's own largest number of layers.
const MAX_LAYER: usize = 16;

/// Points inserted one after the other into an empty graph, before inserting from several threads:
/// the first points of a contended build are the ones that get lost.
const SEQUENTIAL_INSERTS: usize = 1000;

/// A vector counts as found if it is among so many nearest to itself; more than 1, because papers
/// have exact duplicates.
const SELF_CHECK_K: usize = 10;

/// Above so many candidates, walking the graph costs more than scanning a filtered set.
const MAX_FILTERED_FETCH: usize = 4096;

const BASENAME: &str = "graph";
const MANIFEST: &str = "graph.json";

/// Distance of unit vectors: `1 - cosine`, never below 0, which hnsw_rs would panic on.
#[derive(Default, Clone, Copy)]
struct UnitCosine;

impl Distance<f32> for UnitCosine {
    fn eval(&self, a: &[f32], b: &[f32]) -> f32 {
        (1.0 - dot(a, b)).max(0.0)
    }
}

type Graph = hnsw_rs::prelude::Hnsw<'static, f32, UnitCosine>;

/// Answers by walking a graph.
pub struct Hnsw {
    graph: Option<Graph>,
    /// Slots below this are in the graph.
    indexed: usize,
    stragglers: RoaringBitmap,
    vectors: Vectors,
    exact: Exact,
}

/// What an [`Hnsw`] is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct HnswStats {
    /// Vectors in the graph.
    pub indexed: usize,
    /// Vectors that do not find themselves in the graph, and are compared exactly instead.
    pub stragglers: u64,
    /// Vectors not in the graph yet, compared exactly.
    pub waiting: usize,
}

/// What a saved graph says of itself.
#[derive(Serialize, Deserialize)]
struct Manifest {
    m: usize,
    ef_construction: usize,
    indexed: usize,
    stragglers: Vec<Slot>,
    /// File name and CRC-32 of each.
    files: Vec<(String, u32)>,
}

impl Hnsw {
    /// No graph: every vector is compared exactly, until [`Hnsw::extend`].
    pub fn empty(vectors: Vectors) -> Hnsw {
        let exact = Exact::new(vectors.clone());
        Hnsw { graph: None, indexed: 0, stragglers: RoaringBitmap::new(), vectors, exact }
    }

    /// Builds a graph of all vectors, with every core.
    pub fn build(vectors: Vectors) -> Hnsw {
        let mut index = Hnsw::empty(vectors.clone());
        index.extend(vectors);
        index
    }

    /// Takes a space's vectors as they are now, and inserts those that are not in the graph.
    pub fn extend(&mut self, vectors: Vectors) {
        self.exact = Exact::new(vectors.clone());
        self.vectors = vectors;
        let new: Vec<Slot> = (self.indexed as Slot..self.vectors.len() as Slot).collect();
        if new.is_empty() {
            return;
        }
        let graph = self.graph.get_or_insert_with(|| empty_graph(self.vectors.len()));
        let one_by_one = SEQUENTIAL_INSERTS.saturating_sub(self.indexed).min(new.len());
        for &slot in &new[..one_by_one] {
            graph.insert((self.vectors.get(slot), slot as usize));
        }
        let rest = new[one_by_one..].iter().map(|&slot| (self.vectors.get(slot), slot as usize)).collect();
        graph.parallel_insert_slice(&rest);
        let graph = &*graph;
        let touched = touched(graph, &self.vectors, self.indexed);
        self.indexed = self.vectors.len();
        let touched: Vec<Slot> = touched.iter().collect();
        let lost = touched.par_iter().filter(|&&slot| !finds_itself(graph, self.vectors.get(slot), slot));
        let lost: RoaringBitmap = lost.copied().collect::<Vec<Slot>>().into_iter().collect();
        self.stragglers = &(&self.stragglers - &touched.into_iter().collect::<RoaringBitmap>()) | &lost;
    }

    /// What it is made of.
    pub fn stats(&self) -> HnswStats {
        HnswStats {
            indexed: self.indexed,
            stragglers: self.stragglers.len(),
            waiting: self.vectors.len() - self.indexed,
        }
    }

    /// The graph's answer, without stragglers and waiting vectors.
    fn walk(&self, query: &[f32], k: usize) -> Vec<Neighbour> {
        let Some(graph) = &self.graph else { return Vec::new() };
        let found = graph.search(query, k, EF_SEARCH.max(2 * k));
        let neighbour = |found: hnsw_rs::prelude::Neighbour| {
            let slot = found.d_id as Slot;
            Neighbour { slot, score: cosine(query, self.vectors.get(slot)) }
        };
        found.into_iter().map(neighbour).collect()
    }

    /// The stored vectors that the graph cannot be asked for.
    fn outside_graph(&self) -> impl Iterator<Item = Slot> {
        self.stragglers.iter().chain(self.indexed as Slot..self.vectors.len() as Slot)
    }

    /// How many to ask the graph for, so that `k` of `allowed` are likely among them.
    fn fetch(&self, k: usize, allowed: u64) -> usize {
        let share = allowed as f64 / self.len().max(1) as f64;
        (1.5 * k as f64 / share.max(1e-9)) as usize + 16
    }

    /// Saves the graph under `folder`, in place of older ones. A reader sees the old one or the new.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Data`]; the old graph is then still there.
    pub fn save(&self, folder: &Path) -> Result<()> {
        let Some(graph) = &self.graph else { return Ok(()) };
        let aside = folder.join(format!(".graph-{}", std::process::id()));
        remove_unpublished(folder)?;
        disk::create_folder(&aside)?;
        graph.file_dump(&aside, BASENAME).map_err(|error| damaged(&aside, error))?;
        let mut files = Vec::new();
        for entry in std::fs::read_dir(&aside).map_err(Error::io(&aside))? {
            let path = entry.map_err(Error::io(&aside))?.path();
            disk::sync(&path)?;
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            files.push((name, checksum(&path)?));
        }
        let stragglers = self.stragglers.iter().collect();
        let manifest =
            Manifest { m: M, ef_construction: EF_CONSTRUCTION, indexed: self.indexed, stragglers, files };
        let text = serde_json::to_string_pretty(&manifest).map_err(|error| damaged(&aside, error))?;
        disk::write_atomically(&aside.join(MANIFEST), text.as_bytes())?;
        let published = folder.join(format!("graph-{}", self.indexed));
        let old = saved_graphs(folder)?;
        if old.iter().any(|(_, path)| *path == published) {
            std::fs::remove_dir_all(&published).map_err(Error::io(&published))?;
        }
        std::fs::rename(&aside, &published).map_err(Error::io(&published))?;
        disk::sync(folder)?;
        for (_, path) in old.into_iter().filter(|(_, path)| *path != published) {
            std::fs::remove_dir_all(&path).map_err(Error::io(&path))?;
        }
        Ok(())
    }

    /// How many vectors the newest graph saved under `folder` has.
    pub fn saved_count(folder: &Path) -> Result<usize> {
        Ok(saved_graphs(folder)?.into_iter().map(|(indexed, _)| indexed).max().unwrap_or_default())
    }

    /// Loads the newest graph saved under `folder`, for a space's vectors as they are now.
    ///
    /// A damaged or missing graph is no error: the answer is then the exact scan's, until
    /// [`Hnsw::extend`] builds a new one from the vectors.
    pub fn load(folder: &Path, vectors: Vectors) -> Result<Hnsw> {
        let mut saved = saved_graphs(folder)?;
        saved.retain(|(indexed, _)| *indexed <= vectors.len());
        saved.sort_unstable();
        while let Some((_, path)) = saved.pop() {
            match load_graph(&path) {
                Ok((graph, manifest)) => {
                    return Ok(Hnsw {
                        graph: Some(graph),
                        indexed: manifest.indexed,
                        stragglers: manifest.stragglers.into_iter().collect(),
                        ..Hnsw::empty(vectors)
                    });
                }
                Err(error) => tracing::warn!("{error}; it will be built again from the vectors"),
            }
        }
        Ok(Hnsw::empty(vectors))
    }
}

impl Index for Hnsw {
    fn len(&self) -> usize {
        self.vectors.len()
    }

    fn search(&self, query: &[f32], k: usize, allowed: Option<&RoaringBitmap>) -> Vec<Neighbour> {
        let passes = |slot: Slot| allowed.is_none_or(|allowed| allowed.contains(slot));
        let fetch = allowed.map_or(k, |allowed| self.fetch(k, allowed.len()));
        if k == 0
            || self.graph.is_none()
            || (allowed.is_some() && fetch > MAX_FILTERED_FETCH.min(self.len() / 2))
        {
            return self.exact.search(query, k, allowed);
        }
        let mut candidates = self.walk(query, fetch);
        let score = |slot| Neighbour { slot, score: cosine(query, self.vectors.get(slot)) };
        candidates.extend(self.outside_graph().map(score));
        candidates.retain(|neighbour| passes(neighbour.slot));
        let found = nearest(candidates, k);
        let wanted = allowed.map_or(self.len() as u64, RoaringBitmap::len).min(k as u64);
        if (found.len() as u64) < wanted { self.exact.search(query, k, allowed) } else { found }
    }
}

fn empty_graph(capacity: usize) -> Graph {
    Graph::new(M, capacity, MAX_LAYER, EF_CONSTRUCTION, UnitCosine)
}

/// The slots whose links an insertion of all slots from `first` on may have changed: those, and the ones
/// that are near to them, which hnsw_rs gives new links in place of old ones.
fn touched(graph: &Graph, vectors: &Vectors, first: usize) -> RoaringBitmap {
    const NEAR: usize = 2 * M;
    let (first, all) = (first as Slot, vectors.len() as Slot);
    let new = first..all;
    // Looking for what is near costs as much as looking for a vector itself.
    if new.len() * NEAR >= all as usize {
        return (0..all).collect();
    }
    let near =
        |slot| graph.search(vectors.get(slot), NEAR, EF_SEARCH).into_iter().map(|found| found.d_id as Slot);
    let near: Vec<Slot> = new.clone().into_par_iter().flat_map_iter(near).collect();
    near.into_iter().chain(new).collect()
}

fn finds_itself(graph: &Graph, vector: &[f32], slot: Slot) -> bool {
    let found = graph.search(vector, SELF_CHECK_K, EF_SEARCH);
    found.iter().any(|neighbour| neighbour.d_id == slot as usize)
}

/// Removes what killed writers left; there is one writer at a time.
fn remove_unpublished(folder: &Path) -> Result<()> {
    for entry in std::fs::read_dir(folder).map_err(Error::io(folder))? {
        let entry = entry.map_err(Error::io(folder))?;
        if entry.file_name().to_string_lossy().starts_with(".graph-") {
            std::fs::remove_dir_all(entry.path()).map_err(Error::io(entry.path()))?;
        }
    }
    Ok(())
}

/// The graphs under `folder`, with how many vectors each has.
fn saved_graphs(folder: &Path) -> Result<Vec<(usize, PathBuf)>> {
    let entries = std::fs::read_dir(folder).map_err(Error::io(folder))?;
    let graph = |entry: std::io::Result<std::fs::DirEntry>| {
        let path = entry.ok()?.path();
        let indexed = path.file_name()?.to_str()?.strip_prefix("graph-")?.parse().ok()?;
        Some((indexed, path))
    };
    Ok(entries.filter_map(graph).collect())
}

fn load_graph(folder: &Path) -> Result<(Graph, Manifest)> {
    let path = folder.join(MANIFEST);
    let text = std::fs::read_to_string(&path).map_err(Error::io(&path))?;
    let manifest: Manifest = serde_json::from_str(&text).map_err(|error| damaged(&path, error))?;
    for (name, sum) in &manifest.files {
        let path = folder.join(name);
        let got = checksum(&path)?;
        if got != *sum {
            return Err(damaged(&path, format!("got CRC-32 {got:08x}, wanted {sum:08x}")));
        }
    }
    // hnsw_rs ties a loaded graph to its loader for the sake of mapped data, which is not used here.
    // The loader holds two names and no data, so it is left to live as long as the program.
    let loader: &'static mut HnswIo = Box::leak(Box::new(HnswIo::new(folder, BASENAME)));
    // It panics where others return errors; what a panic leaves of the loader is not used again.
    let loader = std::panic::AssertUnwindSafe(loader);
    let mut graph = std::panic::catch_unwind(move || load_with({ loader }.0))
        .map_err(|_| damaged(folder, "hnsw_rs panicked while loading it"))?
        .map_err(|error| damaged(folder, error))?;
    graph.set_extend_candidates(false);
    if graph.get_nb_point() != manifest.indexed {
        return Err(damaged(
            folder,
            format!("got {} points, wanted {}", graph.get_nb_point(), manifest.indexed),
        ));
    }
    Ok((graph, manifest))
}

fn load_with(loader: &'static mut HnswIo) -> std::result::Result<Graph, String> {
    loader.load_hnsw().map_err(|error| error.to_string())
}

fn checksum(path: &Path) -> Result<u32> {
    let file = crate::map::MappedFile::open(path)?;
    Ok(crc32fast::hash(file.bytes()))
}

fn damaged(path: &Path, error: impl std::fmt::Display) -> Error {
    Error::Data(format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vectors(count: usize) -> Vectors {
        let angle = |slot: usize| (slot as f32) / 50.0;
        Vectors::in_memory((0..count).flat_map(|slot| [angle(slot).cos(), angle(slot).sin()]).collect(), 2)
    }

    #[test]
    fn a_saved_graph_loads_and_takes_what_came_since() {
        let folder = tempfile::tempdir().unwrap();
        Hnsw::build(vectors(60)).save(folder.path()).unwrap();
        let mut index = Hnsw::load(folder.path(), vectors(80)).unwrap();
        assert_eq!((index.stats().indexed, index.stats().waiting), (60, 20));
        assert_eq!(index.search(vectors(80).get(75), 1, None)[0].slot, 75, "found before it is in the graph");
        index.extend(vectors(80));
        index.save(folder.path()).unwrap();
        index.save(folder.path()).unwrap();
        assert_eq!(saved_graphs(folder.path()).unwrap().len(), 1, "older graphs are removed");
        assert_eq!(Hnsw::load(folder.path(), vectors(80)).unwrap().stats().indexed, 80);
    }

    #[test]
    fn a_damaged_graph_is_noticed_and_answers_still_come() {
        let folder = tempfile::tempdir().unwrap();
        Hnsw::build(vectors(60)).save(folder.path()).unwrap();
        let (_, graph) = saved_graphs(folder.path()).unwrap().remove(0);
        let mut file = std::fs::read_dir(&graph).unwrap().map(|entry| entry.unwrap().path());
        let file = file.find(|path| path.extension().is_some_and(|kind| kind == "graph")).unwrap();
        let mut bytes = std::fs::read(&file).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0x40;
        std::fs::write(&file, bytes).unwrap();
        let index = Hnsw::load(folder.path(), vectors(60)).unwrap();
        assert_eq!(index.stats().indexed, 0);
        assert_eq!(index.search(vectors(60).get(7), 1, None)[0].slot, 7);
    }
}
