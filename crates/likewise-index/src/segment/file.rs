//! The file of an immutable segment.
//!
//! A segment is written to a temporary file, which is synced and then renamed. The file never changes after that. It is
//! memory-mapped, so it opens at once, and all processes that read the file share its pages.
//!
//! File format: a line with `likewise segment 1`, the length of the header and the CRC-32 of the header; the header, in
//! JSON; and the arrays that the header lists, each aligned to 64 bytes.

use super::Segment;
use crate::Slot;
use crate::build::HnswParams;
use crate::check::Repairs;
use crate::error::{Error, Result};
use crate::graph::{Graph, StoredLayer};
use crate::quantized::rows::Bits;
use likewise_base::disk;
use likewise_base::map::{Array, MappedFile};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const MAGIC: &str = "likewise segment 1";

/// Alignment of the arrays: a cache line, which is more than any of their values needs.
const ALIGNMENT: usize = 64;

/// The file's header. The names of the JSON fields are part of the file format.
#[derive(Serialize, Deserialize)]
struct Header {
    first: Slot,
    count: usize,
    /// Older files have no such field. Their vectors have eight bits per value.
    #[serde(default)]
    bits: Bits,
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

impl Segment {
    /// Writes the segment into `folder`, atomically. Returns the file's path.
    pub fn save(&self, folder: &Path) -> Result<PathBuf> {
        let Graph { quantized, scales, bits, stride, error, layers, entry } = &self.graph;
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
            bits: *bits,
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

fn file_name(slots: &Range<Slot>) -> String {
    format!("segment-{}-{}", slots.start, slots.end)
}

/// Returns the slots of a segment, read from the name of the segment's file. `None`: the name is not that of a segment
/// file.
pub fn slots_of(path: &Path) -> Option<Range<Slot>> {
    let (start, end) = path.file_name()?.to_str()?.strip_prefix("segment-")?.split_once('-')?;
    Some(start.parse().ok()?..end.parse().ok()?)
}

fn write(path: &Path, header: &impl Serialize, arrays: &[&[u8]]) -> std::io::Result<()> {
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
    let Header { bits, stride, error, entry, .. } = *header;
    fits.then_some(Graph { quantized, scales, bits, stride, error, layers, entry })
}

fn damaged(path: &Path, problem: impl std::fmt::Display) -> Error {
    Error::Damaged(format!(
        "{}: {problem}; delete the file (it is built again from the vectors when the folder is next opened)",
        path.display()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SearchParams;
    use crate::Vectors;
    use crate::quantized::rows::quantize;
    use crate::tests::vectors_of;

    /// Writes the segment as version 0.2 did: vectors of every dimension have eight bits per value, and the header has
    /// no field for the number of bits.
    fn save_with_8_bits(mut segment: Segment, vectors: &Vectors, folder: &Path) -> PathBuf {
        let Graph { quantized, scales, bits, stride, .. } = &mut segment.graph;
        (*bits, *stride) = (Bits::Eight, Bits::Eight.stride(vectors.dimension()));
        let mut bytes = vec![0; vectors.len() * *stride];
        let rows = bytes.chunks_mut(*stride).enumerate();
        *scales = rows
            .map(|(slot, row)| quantize(vectors.get(slot as Slot), *bits, row))
            .collect::<Vec<_>>()
            .into();
        *quantized = bytes.into();
        let path = segment.save(folder).unwrap();
        let (header, start) = read_header(&path, &MappedFile::open(&path).unwrap()).unwrap();
        let arrays = std::fs::read(&path).unwrap().split_off(start);
        let mut header = serde_json::to_value(header).unwrap();
        header.as_object_mut().unwrap().remove("bits").unwrap();
        write(&path, &header, &[&arrays]).unwrap();
        path
    }

    #[test]
    fn segments_of_older_versions_are_read_and_extended_to_4_bits() {
        let folder = tempfile::tempdir().unwrap();
        let (old, all) = (vectors_of(256, 1500, 5), vectors_of(256, 2000, 5));
        let built = Segment::build(&old, 0..1500, HnswParams::default());
        let path = save_with_8_bits(built, &old, folder.path());
        let opened = Segment::open(&path).unwrap();
        Segment::verify(&path).unwrap();
        assert!(opened.fits(&old) && opened.graph.bits == Bits::Eight);
        let extended = opened.extend(&all, 2000);
        assert!(extended.fits(&all) && extended.graph.bits == Bits::Four);
        for (segment, vectors) in [(opened, old), (extended, all)] {
            for slot in 0..vectors.len() as Slot {
                let mut found = Vec::new();
                segment.search(
                    &vectors,
                    vectors.get(slot),
                    SearchParams { k: 3, ef: 64 },
                    |_| true,
                    &mut found,
                );
                assert!(found.iter().any(|neighbour| neighbour.slot == slot), "{slot} not in {found:?}");
            }
        }
    }
}
