//! An immutable part of the index: the graph over a range of slots, in one file.
//!
//! Its own file because the format outlives the code. A segment is written aside, synced and renamed, and
//! never changed; it is mapped, so it is open at once, and shared by every process that reads it.
//!
//! The file is one line, `likewise segment 1`, the header's length and its CRC-32; the header, in JSON; and
//! the arrays it lists, each at a multiple of 64 bytes.

use super::build::{self, Effort};
use super::check::{self, AMONG, Repairs};
use super::codes::{CodedQuery, prefetch, stride};
use super::graph::{Graph, StoredLayer};
use super::scan::{self, FineQuery};
use super::walk::Walk;
use super::{Neighbour, cosine};
use crate::error::{Error, Result};
use crate::{Slot, Vectors};
use likewise_base::disk;
use likewise_base::map::{Array, MappedFile};
use roaring::RoaringBitmap;
use serde::{Deserialize, Serialize};
use std::cell::RefCell;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const MAGIC: &str = "likewise segment 1";

/// Where arrays start: a cache line, and more than any value's alignment.
const ALIGNMENT: usize = 64;

/// A graph over the slots `first..first + len`, and what it does not find.
#[derive(Debug, Clone)]
pub struct Segment {
    graph: Graph,
    first: Slot,
    repairs: Repairs,
    effort: Effort,
}

#[derive(Serialize, Deserialize)]
struct Header {
    first: Slot,
    count: usize,
    stride: usize,
    m: usize,
    ef_construction: usize,
    entry: u32,
    error: f32,
    repaired: usize,
    lost: Vec<u32>,
    codes: Part,
    scales: Part,
    layers: Vec<LayerHeader>,
}

#[derive(Serialize, Deserialize)]
struct LayerHeader {
    degree: usize,
    nodes: Part,
    links: Part,
}

/// Where an array is, from the end of the header on, and its CRC-32.
#[derive(Serialize, Deserialize)]
struct Part {
    start: usize,
    bytes: usize,
    crc32: u32,
}

thread_local! {
    static ROOM: RefCell<(Walk, CodedQuery, Vec<u8>)> = RefCell::default();
}

impl Segment {
    /// Builds one over some slots, at least one, with every core.
    pub fn build(vectors: &Vectors, slots: Range<Slot>, effort: Effort) -> Segment {
        let first = slots.start;
        Segment::checked(build::build(vectors, slots, effort), first, effort)
    }

    /// One that has the slots up to `end`, too.
    pub fn extend(&self, vectors: &Vectors, end: Slot) -> Segment {
        let graph = build::extend(self.graph.clone(), vectors, self.slots().end..end, self.effort);
        Segment::checked(graph, self.first, self.effort)
    }

    fn checked(mut graph: Graph, first: Slot, effort: Effort) -> Segment {
        let repairs = check::repair(&mut graph);
        Segment { graph, first, repairs, effort }
    }

    /// The slots that it has.
    pub fn slots(&self) -> Range<Slot> {
        self.first..self.first + self.graph.count() as Slot
    }

    /// Whether its codes may be of such vectors, by their number and dimension.
    pub fn fits(&self, vectors: &Vectors) -> bool {
        self.graph.stride == stride(vectors.dimension()) && self.slots().end as usize <= vectors.len()
    }

    /// Its graph; node 0 is the first slot.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// What became of nodes that were not found.
    pub fn repairs(&self) -> &Repairs {
        &self.repairs
    }

    /// Adds the `k` nearest that a walk with `ef` candidates finds among those that pass, scored by their
    /// vectors; they come in no order, and a few more than `k`.
    pub fn search(
        &self,
        vectors: &Vectors,
        query: &[f32],
        (k, ef): (usize, usize),
        passes: impl Fn(Slot) -> bool,
        found: &mut Vec<Neighbour>,
    ) {
        ROOM.with_borrow_mut(|(walk, coded, room)| {
            coded.set_vector(query, room);
            let candidates = walk.nearest(&self.graph, coded, ef.max(rescored(k)));
            let slots = candidates.iter().map(|candidate| self.first + candidate.place());
            let slots = slots.filter(|slot| passes(*slot)).take(rescored(k));
            let mut fetched = Vec::new();
            let mut score =
                |slot| Neighbour { slot, score: cosine(query, vectors.fetch(slot, &mut fetched)) };
            let mut slots = slots.inspect(|slot| prefetch(vectors.get(*slot))).peekable();
            while let Some(slot) = slots.next() {
                // The next one's vector is on its way while this one is compared.
                slots.peek();
                found.push(score(slot));
            }
            let lost = self.repairs.lost.iter().map(|node| self.first + node);
            found.extend(lost.filter(|slot| passes(*slot)).map(score));
        });
    }

    /// Adds the `k` nearest of the slots that are allowed (of all, for `None`), scored by their vectors; they
    /// come in no order, and a few more than `k`.
    pub fn scan(
        &self,
        vectors: &Vectors,
        (query, fine): (&[f32], &FineQuery),
        k: usize,
        allowed: Option<&RoaringBitmap>,
        found: &mut Vec<Neighbour>,
    ) {
        let nodes =
            allowed.map(|allowed| allowed.range(self.slots()).map(|slot| slot - self.first).collect());
        let nodes: Option<Vec<u32>> = nodes;
        let candidates = scan::candidates(&self.graph, fine, k, nodes.as_deref());
        let slots = candidates.into_iter().map(|node| self.first + node);
        let mut fetched = Vec::new();
        let score = |slot| Neighbour { slot, score: cosine(query, vectors.fetch(slot, &mut fetched)) };
        found.extend(slots.map(score));
    }

    /// Writes it into `folder`, where a reader sees all of it or nothing.
    pub fn save(&self, folder: &Path) -> Result<PathBuf> {
        let Graph { codes, scales, stride, error, layers, entry } = &self.graph;
        let mut arrays: Vec<&[u8]> = vec![codes, bytemuck::cast_slice(scales)];
        for StoredLayer { nodes, links, .. } in layers {
            arrays.extend([bytemuck::cast_slice::<u32, u8>(nodes), bytemuck::cast_slice(links)]);
        }
        let mut end = 0;
        let mut parts = arrays.iter().map(|bytes| {
            let start = end;
            end = (start + bytes.len()).next_multiple_of(ALIGNMENT);
            Part { start, bytes: bytes.len(), crc32: crc32fast::hash(bytes) }
        });
        let mut part = || parts.next().unwrap_or(Part { start: 0, bytes: 0, crc32: 0 });
        let header = Header {
            first: self.first,
            count: self.graph.count(),
            stride: *stride,
            m: self.effort.m,
            ef_construction: self.effort.ef_construction,
            entry: *entry,
            error: *error,
            repaired: self.repairs.repaired,
            lost: self.repairs.lost.clone(),
            codes: part(),
            scales: part(),
            layers: layers
                .iter()
                .map(|layer| LayerHeader { degree: layer.degree, nodes: part(), links: part() })
                .collect(),
        };
        let path = folder.join(name(&self.slots()));
        let aside = folder.join(format!(".{}", name(&self.slots())));
        write(&aside, &header, &arrays).map_err(Error::io(&aside))?;
        std::fs::rename(&aside, &path).map_err(Error::io(&path))?;
        disk::sync(folder)?;
        Ok(path)
    }

    /// Maps a file. Its header and the lengths of its arrays are checked, not every byte of them: see
    /// [`Segment::verify`].
    ///
    /// # Errors
    /// [`Error::Damaged`] if it is damaged or cut short.
    pub fn open(path: &Path) -> Result<Segment> {
        let file = Arc::new(MappedFile::open(path)?);
        let (header, start) = read_header(path, &file)?;
        let damaged = || damaged(path, "its arrays are not as long as its header says");
        let graph = graph(&header, &file, start).ok_or_else(damaged)?;
        Ok(Segment {
            graph,
            first: header.first,
            effort: Effort { m: header.m, ef_construction: header.ef_construction },
            repairs: Repairs { repaired: header.repaired, lost: header.lost },
        })
    }

    /// [`Segment::verify`] of its own file.
    pub fn verify_in(&self, folder: &Path) -> Result<()> {
        Segment::verify(&folder.join(name(&self.slots())))
    }

    /// Reads every byte of a file, and compares it with its checksums.
    ///
    /// # Errors
    /// [`Error::Damaged`] names the array that is damaged.
    pub fn verify(path: &Path) -> Result<()> {
        let file = Arc::new(MappedFile::open(path)?);
        let (header, start) = read_header(path, &file)?;
        let layers = header.layers.iter().enumerate();
        let layers = layers.flat_map(|(index, layer)| {
            [
                (format!("nodes of layer {index}"), &layer.nodes),
                (format!("links of layer {index}"), &layer.links),
            ]
        });
        let all = [("codes".to_string(), &header.codes), ("scales".to_string(), &header.scales)];
        for (name, part) in all.into_iter().chain(layers) {
            let bytes = file.bytes().get(start + part.start..start + part.start + part.bytes);
            let bytes = bytes.ok_or_else(|| damaged(path, format!("the {name} are cut short")))?;
            let got = crc32fast::hash(bytes);
            if got != part.crc32 {
                return Err(damaged(
                    path,
                    format!("the {name} have CRC-32 {got:08x}, wanted {:08x}", part.crc32),
                ));
            }
        }
        Segment::open(path).map(drop)
    }
}

/// How many candidates are scored again for `k` answers.
fn rescored(k: usize) -> usize {
    (k + k / 4).max(AMONG)
}

/// The name of a segment's file.
fn name(slots: &Range<Slot>) -> String {
    format!("segment-{}-{}", slots.start, slots.end)
}

/// The slots of a segment's file, by its name.
pub fn slots_of(path: &Path) -> Option<Range<Slot>> {
    let (start, end) = path.file_name()?.to_str()?.strip_prefix("segment-")?.split_once('-')?;
    Some(start.parse().ok()?..end.parse().ok()?)
}

fn write(path: &Path, header: &Header, arrays: &[&[u8]]) -> std::io::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    let header = serde_json::to_vec(header)?;
    let line = format!("{MAGIC} {:010} {:08x}\n", header.len(), crc32fast::hash(&header));
    file.write_all(line.as_bytes())?;
    file.write_all(&header)?;
    pad(&mut file, line.len() + header.len())?;
    for bytes in arrays {
        file.write_all(bytes)?;
        pad(&mut file, bytes.len())?;
    }
    file.into_inner()?.sync_all()
}

fn pad(file: &mut impl Write, length: usize) -> std::io::Result<()> {
    file.write_all(&[0; ALIGNMENT][..length.next_multiple_of(ALIGNMENT) - length])
}

/// The header, and where the arrays start.
fn read_header(path: &Path, file: &MappedFile) -> Result<(Header, usize)> {
    let wrong = || damaged(path, format!("its first line is not that of a `{MAGIC}`"));
    let bytes = file.bytes();
    let end = bytes.iter().take(128).position(|byte| *byte == b'\n').ok_or_else(wrong)?;
    let line = std::str::from_utf8(&bytes[..end]).map_err(|_| wrong())?;
    let (length, sum) =
        line.strip_prefix(MAGIC).and_then(|rest| rest.trim().split_once(' ')).ok_or_else(wrong)?;
    let length: usize = length.parse().map_err(|_| wrong())?;
    let header = bytes.get(end + 1..end + 1 + length).ok_or_else(|| damaged(path, "it is cut short"))?;
    let got = format!("{:08x}", crc32fast::hash(header));
    if got != sum {
        return Err(damaged(path, format!("its header has CRC-32 {got}, wanted {sum}")));
    }
    let header = serde_json::from_slice(header).map_err(|error| damaged(path, error))?;
    Ok((header, (end + 1 + length).next_multiple_of(ALIGNMENT)))
}

/// The arrays that a header lists; `None` if they do not fit each other or the file.
fn graph(header: &Header, file: &Arc<MappedFile>, start: usize) -> Option<Graph> {
    fn array<T: bytemuck::Pod>(file: &Arc<MappedFile>, start: usize, part: &Part) -> Option<Array<T>> {
        let start = start.checked_add(part.start)?;
        Array::mapped(file, start..start.checked_add(part.bytes)?)
    }
    let codes: Array<u8> = array(file, start, &header.codes)?;
    let scales: Array<f32> = array(file, start, &header.scales)?;
    let mut layers = Vec::new();
    for (index, layer) in header.layers.iter().enumerate() {
        let nodes: Array<u32> = array(file, start, &layer.nodes)?;
        let links: Array<u32> = array(file, start, &layer.links)?;
        let count = if index == 0 { header.count } else { nodes.len() };
        let fits =
            count > 0 && (index > 0 || nodes.is_empty()) && links.len() == count.checked_mul(layer.degree)?;
        if !fits || nodes.iter().any(|node| *node as usize >= header.count) {
            return None;
        }
        layers.push(StoredLayer { nodes, links, degree: layer.degree });
    }
    let fits = !layers.is_empty()
        && scales.len() == header.count
        && Some(codes.len()) == header.count.checked_mul(header.stride)
        && (header.entry as usize) < header.count
        && header.lost.iter().all(|node| (*node as usize) < header.count);
    let Header { stride, error, entry, .. } = *header;
    fits.then_some(Graph { codes, scales, stride, error, layers, entry })
}

fn damaged(path: &Path, what: impl std::fmt::Display) -> Error {
    Error::Damaged(format!(
        "{}: {what}; delete the file, and whoever opens the folder next builds it again from the vectors",
        path.display()
    ))
}
