//! An immutable segment: the graph over a range of slots, in one file.
//!
//! A segment is written to a temporary file, which is synced and then renamed. The file never changes after that. It is
//! memory-mapped, so it opens at once, and all processes that read the file share its pages.
//!
//! File format: a line with `likewise segment 1`, the length of the header and the CRC-32 of the header; the header, in
//! JSON; and the arrays that the header lists, each aligned to 64 bytes.

use super::build::{self, HnswParams};
use super::check::{self, MIN_RERANKED, Repairs};
use super::graph::{Graph, StoredLayer};
use super::graph_search::GraphSearch;
use super::quantized::{QuantizedQuery, prefetch, stride};
use super::scan::{self, ResidualQuery};
use super::{Neighbour, SearchParams, cosine};
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

/// Alignment of the arrays: a cache line, which is more than any of their values needs.
const ALIGNMENT: usize = 64;

/// A graph over the slots `first..first + len`, and the slots that searches of the graph cannot find.
#[derive(Debug, Clone)]
pub struct Segment {
    graph: Graph,
    first: Slot,
    repairs: Repairs,
    params: HnswParams,
}

/// The file's header. The names of the JSON fields are part of the file format.
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
    #[serde(rename = "lost")]
    unreachable: Vec<u32>,
    #[serde(rename = "codes")]
    quantized: ArrayHeader,
    scales: ArrayHeader,
    layers: Vec<LayerHeader>,
}

#[derive(Serialize, Deserialize)]
struct LayerHeader {
    degree: usize,
    nodes: ArrayHeader,
    links: ArrayHeader,
}

/// The position of an array in the file.
#[derive(Serialize, Deserialize)]
struct ArrayHeader {
    /// Offset of the first byte of the array, counted from the end of the header and its padding.
    start: usize,
    bytes: usize,
    crc32: u32,
}

thread_local! {
    static BUFFERS: RefCell<(GraphSearch, QuantizedQuery, Vec<u8>)> = RefCell::default();
}

impl Segment {
    /// Builds a segment over the vectors in `slots`, on all cores.
    ///
    /// # Panics
    /// If `slots` is empty.
    pub fn build(vectors: &Vectors, slots: Range<Slot>, params: HnswParams) -> Segment {
        let first = slots.start;
        Segment::repaired(build::build(vectors, slots, params), first, params)
    }

    /// Builds a segment of the slots of this segment and of the slots after them, up to `end`.
    pub fn extend(&self, vectors: &Vectors, end: Slot) -> Segment {
        let graph = build::extend(self.graph.clone(), vectors, self.slots().end..end, self.params);
        Segment::repaired(graph, self.first, self.params)
    }

    fn repaired(mut graph: Graph, first: Slot, params: HnswParams) -> Segment {
        let repairs = check::repair(&mut graph);
        Segment { graph, first, repairs, params }
    }

    /// The slots of the segment.
    pub fn slots(&self) -> Range<Slot> {
        self.first..self.first + self.graph.count() as Slot
    }

    /// Whether the segment can belong to these vectors: they include all slots of the segment, and have its dimension
    /// (rounded up to a multiple of 64).
    pub fn fits(&self, vectors: &Vectors) -> bool {
        self.graph.stride == stride(vectors.dimension()) && self.slots().end as usize <= vectors.len()
    }

    /// The segment's graph. Node 0 is the first slot of the segment.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// How many unreachable nodes were repaired when the segment was built, and which nodes are still unreachable.
    pub fn repairs(&self) -> &Repairs {
        &self.repairs
    }

    /// Searches the graph for the `k` nearest slots for which `passes` returns true. Appends the slots that it finds to
    /// `found`, in no order: more than `k`, or fewer if few of the candidates pass. Their scores are the cosines
    /// between the query and their `f32` vectors.
    pub fn search(
        &self,
        vectors: &Vectors,
        query: &[f32],
        SearchParams { k, ef }: SearchParams,
        passes: impl Fn(Slot) -> bool,
        found: &mut Vec<Neighbour>,
    ) {
        BUFFERS.with_borrow_mut(|(search, quantized, bytes)| {
            quantized.set_vector(query, bytes);
            let candidates = search.nearest(&self.graph, quantized, ef.max(rerank_count(k)));
            let slots = candidates.iter().map(|candidate| self.first + candidate.position());
            let slots = slots.filter(|slot| passes(*slot)).take(rerank_count(k));
            let mut fetched = Vec::new();
            let mut score =
                |slot| Neighbour { slot, score: cosine(query, vectors.fetch(slot, &mut fetched)) };
            let mut slots = slots.inspect(|slot| prefetch(vectors.get(*slot))).peekable();
            while let Some(slot) = slots.next() {
                // Prefetches the next vector while the current vector is scored.
                slots.peek();
                found.push(score(slot));
            }
            let unreachable = self.repairs.unreachable.iter().map(|node| self.first + node);
            found.extend(unreachable.filter(|slot| passes(*slot)).map(score));
        });
    }

    /// Scans the segment for the `k` nearest allowed slots. If `allowed` is `None`, all slots are allowed. Appends all
    /// slots that can be among the `k` nearest, usually slightly more than `k`, to `found`, in no order. Their scores
    /// are the cosines between the query and their `f32` vectors.
    pub fn scan(
        &self,
        vectors: &Vectors,
        query: &ResidualQuery,
        k: usize,
        allowed: Option<&RoaringBitmap>,
        found: &mut Vec<Neighbour>,
    ) {
        let nodes =
            allowed.map(|allowed| allowed.range(self.slots()).map(|slot| slot - self.first).collect());
        let nodes: Option<Vec<u32>> = nodes;
        let candidates = scan::candidates(&self.graph, query, k, nodes.as_deref());
        let slots = candidates.into_iter().map(|node| self.first + node);
        let mut fetched = Vec::new();
        let score =
            |slot| Neighbour { slot, score: cosine(query.vector(), vectors.fetch(slot, &mut fetched)) };
        found.extend(slots.map(score));
    }

    /// Writes the segment into `folder`, atomically. Returns the file's path.
    pub fn save(&self, folder: &Path) -> Result<PathBuf> {
        let Graph { quantized, scales, stride, error, layers, entry } = &self.graph;
        let mut arrays: Vec<&[u8]> = vec![quantized, bytemuck::cast_slice(scales)];
        for StoredLayer { nodes, links, .. } in layers {
            arrays.extend([bytemuck::cast_slice::<u32, u8>(nodes), bytemuck::cast_slice(links)]);
        }
        let mut end = 0;
        let mut headers = arrays.iter().map(|bytes| {
            let start = end;
            end = (start + bytes.len()).next_multiple_of(ALIGNMENT);
            ArrayHeader { start, bytes: bytes.len(), crc32: crc32fast::hash(bytes) }
        });
        let mut next = || headers.next().unwrap_or(ArrayHeader { start: 0, bytes: 0, crc32: 0 });
        let header = Header {
            first: self.first,
            count: self.graph.count(),
            stride: *stride,
            m: self.params.m,
            ef_construction: self.params.ef_construction,
            entry: *entry,
            error: *error,
            repaired: self.repairs.repaired,
            unreachable: self.repairs.unreachable.clone(),
            quantized: next(),
            scales: next(),
            layers: layers
                .iter()
                .map(|layer| LayerHeader { degree: layer.degree, nodes: next(), links: next() })
                .collect(),
        };
        let path = folder.join(file_name(&self.slots()));
        let temporary = folder.join(format!(".{}", file_name(&self.slots())));
        write(&temporary, &header, &arrays).map_err(Error::io(&temporary))?;
        std::fs::rename(&temporary, &path).map_err(Error::io(&path))?;
        disk::sync(folder)?;
        Ok(path)
    }

    /// Maps the file of a segment. Checks the header, the lengths of the arrays, and the node ids of the higher layers.
    /// [`Segment::verify`] checks the contents of all arrays.
    ///
    /// # Errors
    /// Returns [`Error::Damaged`] if one of these checks fails.
    pub fn open(path: &Path) -> Result<Segment> {
        let file = Arc::new(MappedFile::open(path)?);
        let (header, start) = read_header(path, &file)?;
        let damaged = || damaged(path, "the arrays are not as long as the header says");
        let graph = graph(&header, &file, start).ok_or_else(damaged)?;
        Ok(Segment {
            graph,
            first: header.first,
            params: HnswParams { m: header.m, ef_construction: header.ef_construction },
            repairs: Repairs { repaired: header.repaired, unreachable: header.unreachable },
        })
    }

    /// Verifies the file of this segment in `folder`; see [`Segment::verify`].
    pub fn verify_in(&self, folder: &Path) -> Result<()> {
        Segment::verify(&folder.join(file_name(&self.slots())))
    }

    /// Reads a whole segment file, and compares the arrays in the file with their checksums.
    ///
    /// # Errors
    /// Returns [`Error::Damaged`] if a checksum or a length is wrong. The message names the array, unless the header is
    /// wrong.
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
        let vectors =
            [("quantized vectors".to_string(), &header.quantized), ("scales".to_string(), &header.scales)];
        for (name, array) in vectors.into_iter().chain(layers) {
            let bytes = file.bytes().get(start + array.start..start + array.start + array.bytes);
            let bytes = bytes.ok_or_else(|| damaged(path, format!("the {name} are cut short")))?;
            let actual = crc32fast::hash(bytes);
            if actual != array.crc32 {
                return Err(damaged(
                    path,
                    format!("the CRC-32 of the {name} must be {:08x} (got {actual:08x})", array.crc32),
                ));
            }
        }
        Segment::open(path).map(drop)
    }
}

/// Returns the maximum number of candidates that are scored with their `f32` vectors, for `k` results. Unreachable
/// nodes do not count.
fn rerank_count(k: usize) -> usize {
    (k + k / 4).max(MIN_RERANKED)
}

fn file_name(slots: &Range<Slot>) -> String {
    format!("segment-{}-{}", slots.start, slots.end)
}

/// Returns the slots of a segment, read from the name of the segment's file. `None`: the name is not that of a segment
/// file.
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

/// Returns the header, and the position of the first array in the file.
fn read_header(path: &Path, file: &MappedFile) -> Result<(Header, usize)> {
    let wrong = || damaged(path, format!("the first line must begin with `{MAGIC}`"));
    let bytes = file.bytes();
    let end = bytes.iter().take(128).position(|byte| *byte == b'\n').ok_or_else(wrong)?;
    let line = std::str::from_utf8(&bytes[..end]).map_err(|_| wrong())?;
    let (length, checksum) =
        line.strip_prefix(MAGIC).and_then(|rest| rest.trim().split_once(' ')).ok_or_else(wrong)?;
    let length: usize = length.parse().map_err(|_| wrong())?;
    let header =
        bytes.get(end + 1..end + 1 + length).ok_or_else(|| damaged(path, "the file is cut short"))?;
    let actual = format!("{:08x}", crc32fast::hash(header));
    if actual != checksum {
        return Err(damaged(path, format!("the CRC-32 of the header must be {checksum} (got {actual})")));
    }
    let header = serde_json::from_slice(header).map_err(|error| damaged(path, error))?;
    Ok((header, (end + 1 + length).next_multiple_of(ALIGNMENT)))
}

/// Returns the graph whose arrays the header lists. `None`: the arrays do not fit each other, or are not inside the
/// file.
fn graph(header: &Header, file: &Arc<MappedFile>, start: usize) -> Option<Graph> {
    fn map<T: bytemuck::Pod>(file: &Arc<MappedFile>, start: usize, array: &ArrayHeader) -> Option<Array<T>> {
        let start = start.checked_add(array.start)?;
        Array::mapped(file, start..start.checked_add(array.bytes)?)
    }
    let quantized: Array<u8> = map(file, start, &header.quantized)?;
    let scales: Array<f32> = map(file, start, &header.scales)?;
    let mut layers = Vec::new();
    for (index, layer) in header.layers.iter().enumerate() {
        let nodes: Array<u32> = map(file, start, &layer.nodes)?;
        let links: Array<u32> = map(file, start, &layer.links)?;
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
        && Some(quantized.len()) == header.count.checked_mul(header.stride)
        && (header.entry as usize) < header.count
        && header.unreachable.iter().all(|node| (*node as usize) < header.count);
    let Header { stride, error, entry, .. } = *header;
    fits.then_some(Graph { quantized, scales, stride, error, layers, entry })
}

fn damaged(path: &Path, problem: impl std::fmt::Display) -> Error {
    Error::Damaged(format!(
        "{}: {problem}; delete the file (it is built again from the vectors when the folder is next opened)",
        path.display()
    ))
}
