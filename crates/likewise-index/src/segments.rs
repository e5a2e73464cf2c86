//! The index that the program uses: immutable segments over consecutive ranges of slots, and a mutable segment over the
//! slots after them.
//!
//! It searches all segments, decides which are merged when new ones are built, and which files of a folder are in use.
//! A folder has no list of its segments: starting at slot 0, the longest segment that starts where the last one ended
//! is in use, and files that overlap it are not.

use super::build::HnswParams;
use super::graph_search::EF_SEARCH;
use super::mutable_segment::MutableSegment;
use super::scan::ResidualQuery;
use super::segment::{self, Segment};
use super::{Index, Neighbour, SearchParams, cosine, nearest};
use crate::error::{Error, Result};
use crate::{Slot, Vectors};
use likewise_base::disk;
use rayon::prelude::*;
use roaring::RoaringBitmap;
use serde::Serialize;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Additional candidates if a filter excludes a fifth of the vectors or more (proportionally fewer below that). The
/// allowed vectors are scattered then, and this keeps recall@10 at 0.99 among a million papers.
const EF_FILTERED: f64 = 160.0;

/// Additional candidates for every result that the filter is expected to exclude.
const EF_PER_EXCLUDED: f64 = 1.5;

/// With more candidates than this, a graph search costs more than a scan of the filtered set.
const MAX_EF: usize = 4096;

/// Fewer vectors than this are not built into an immutable segment. Until then they are compared with every query.
const MIN_SEGMENT_VECTORS: usize = 1000;

/// The fewest vectors that one thread compares with a query.
const MIN_TASK_VECTORS: usize = 1000;

/// With more vectors than this, none are inserted into the mutable segment, whose graph copies each vector. So many
/// only wait if a segment is damaged or the folder is of an older version, and then a segment is about to be built.
const MAX_MUTABLE_VECTORS: usize = 100_000;

/// A segment is kept if it is at least this many times as large as everything after it, and is otherwise merged with
/// it. Each vector is then built into a segment only a few times, and a search visits only a few segments.
const MERGE_RATIO: usize = 8;

/// The number of candidates of a search for `k` results, if a filter allows this fraction of the vectors
/// (benches/scale.rs measures the recall).
pub fn ef_search(k: usize, allowed_fraction: f64) -> usize {
    let excluded = k as f64 * (1.0 / allowed_fraction.max(1e-9) - 1.0);
    let more = EF_FILTERED * ((1.0 - allowed_fraction) / 0.2).clamp(0.0, 1.0) + EF_PER_EXCLUDED * excluded;
    EF_SEARCH.max(k + k / 2) + more as usize
}

/// An index of immutable segments and one mutable segment.
pub struct Segments {
    segments: Vec<Segment>,
    /// The slots of the files that were in use when the folder was opened. Longer than `segments` if a file was
    /// damaged.
    files: Vec<Range<Slot>>,
    mutable: Arc<MutableSegment>,
    vectors: Vectors,
}

/// Numbers about an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Default)]
pub struct IndexStats {
    /// Immutable segments.
    pub segments: usize,
    /// Vectors in immutable segments.
    pub indexed: usize,
    /// Indexed vectors that graph searches did not find until links to them were added.
    pub repaired: usize,
    /// Vectors in a graph that searches do not find there, so that they are compared with every query.
    pub unreachable: usize,
    /// Vectors that are in no immutable segment yet.
    pub waiting: usize,
}

impl Segments {
    /// An index of these vectors without any segment: each vector is compared with every query.
    pub fn empty(vectors: Vectors) -> Segments {
        Segments::new(Vec::new(), vectors)
    }

    fn new(segments: Vec<Segment>, vectors: Vectors) -> Segments {
        let end = segments.last().map_or(0, |segment| segment.slots().end);
        let files = segments.iter().map(Segment::slots).collect();
        Segments { segments, files, mutable: Arc::new(MutableSegment::starting_at(end)), vectors }
    }

    /// Opens the segments in `folder`, which are of the first of these vectors.
    ///
    /// A damaged or missing segment is not an error. Its vectors are compared with every query until [`Segments::seal`]
    /// builds it again.
    pub fn open(folder: &Path, vectors: Vectors) -> Result<Segments> {
        let mut segments: Vec<Segment> = Vec::new();
        let used = in_use(files(folder)?, vectors.len());
        let files = used.iter().map(|(slots, _)| slots.clone()).collect();
        for (slots, path) in used {
            match Segment::open(&path) {
                Ok(segment) if segment.slots() == slots && segment.fits(&vectors) => segments.push(segment),
                Ok(_) => {
                    tracing::warn!("{}: it is of other vectors, and will be built again", path.display())
                }
                Err(error) => tracing::warn!("{error}"),
            }
            if segments.last().is_none_or(|last| last.slots() != slots) {
                break;
            }
        }
        Ok(Segments { files, ..Segments::new(segments, vectors) })
    }

    /// How many of the first `vectors` vectors are in the segments in `folder`.
    pub fn sealed_in(folder: &Path, vectors: usize) -> Result<usize> {
        Ok(in_use(files(folder)?, vectors).last().map_or(0, |(slots, _)| slots.end as usize))
    }

    /// The paths of all segment files in `folder`, in use or not.
    pub fn files(folder: &Path) -> Result<Vec<PathBuf>> {
        Ok(files(folder)?.into_iter().map(|(_, path)| path).collect())
    }

    /// Removes the segments that end after the first `slots` slots, because the later slots will get other vectors.
    pub fn remove_beyond(folder: &Path, slots: usize) -> Result<()> {
        for (_, path) in files(folder)?.into_iter().filter(|(range, _)| range.end as usize > slots) {
            disk::remove_if_exists(&path)?;
        }
        Ok(())
    }

    /// Replaces the vectors by the current ones, and opens segments that another process has built since.
    pub fn follow(&mut self, folder: &Path, vectors: Vectors) -> Result<()> {
        let files = in_use(files(folder)?, vectors.len());
        if files.iter().map(|(slots, _)| slots).eq(&self.files) {
            self.vectors = vectors;
            return Ok(());
        }
        *self = Segments::open(folder, vectors)?;
        Ok(())
    }

    /// Starts a thread that inserts the vectors which are not in the mutable segment's graph yet. Does nothing if there
    /// are few of them: vectors that are not inserted are compared with every query.
    pub fn insert_in_background(&self) {
        let (waiting, not_inserted) = (self.waiting(), self.mutable.not_inserted(self.vectors.len()));
        // Each insertion checks every vector of the mutable segment. With growing batches there are few insertions.
        if not_inserted >= MIN_SEGMENT_VECTORS.max(waiting / 4) && waiting <= MAX_MUTABLE_VECTORS {
            let (mutable, vectors) = (Arc::clone(&self.mutable), self.vectors.clone());
            std::thread::spawn(move || mutable.insert(&vectors));
        }
    }

    /// Inserts all vectors that are not in the mutable segment's graph yet, on this thread.
    pub fn insert(&self) {
        self.mutable.insert(&self.vectors);
    }

    /// Builds an immutable segment from the mutable one and those before it that are not much larger, and saves it in
    /// `folder`. Builds nothing if the mutable segment has fewer than 1,000 vectors. Removes the segment files that are
    /// not in use.
    pub fn seal(&mut self, folder: &Path, params: HnswParams) -> Result<()> {
        // Temporary files of killed processes, and the index files of older versions.
        remove_files(folder, |name| name.starts_with(".segment-") || name.starts_with("graph-"))?;
        let end = self.vectors.len() as Slot;
        if (end - self.sealed_end()) as usize >= MIN_SEGMENT_VECTORS {
            let kept = kept_segments(
                &self.segments.iter().map(|segment| segment.slots().len()).collect::<Vec<_>>(),
                self.waiting(),
            );
            let first = self.segments.get(kept).map_or(self.sealed_end(), |segment| segment.slots().start);
            let segment = match self.segments.get(kept) {
                // Most of the graph exists already. The file is verified first, because damage would be copied into
                // the new segment, whose checksums would hide it.
                Some(old)
                    if 2 * old.slots().len() > (end - first) as usize && old.verify_in(folder).is_ok() =>
                {
                    old.extend(&self.vectors, end)
                }
                _ => Segment::build(&self.vectors, first..end, params),
            };
            segment.save(folder)?;
            self.segments.truncate(kept);
            self.segments.push(segment);
            self.files = self.segments.iter().map(Segment::slots).collect();
            self.mutable = Arc::new(MutableSegment::starting_at(end));
        }
        let used: Vec<Range<Slot>> = self.segments.iter().map(Segment::slots).collect();
        for (slots, path) in files(folder)? {
            if !used.contains(&slots) {
                disk::remove(&path)?;
            }
        }
        Ok(())
    }

    /// Exact search: like [`Index::search`], but compares the query with every allowed vector.
    pub fn scan(&self, query: &[f32], k: usize, allowed: Option<&RoaringBitmap>) -> Vec<Neighbour> {
        let residual = ResidualQuery::new(query);
        let score = |slot| Neighbour { slot, score: cosine(query, self.vectors.get(slot)) };
        let waiting =
            (self.sealed_end()..self.vectors.len() as Slot).into_par_iter().with_min_len(MIN_TASK_VECTORS);
        let waiting = waiting.filter(|slot| allowed.is_none_or(|allowed| allowed.contains(*slot)));
        let mut found: Vec<Neighbour> = waiting.map(score).collect();
        for segment in &self.segments {
            segment.scan(&self.vectors, &residual, k, allowed, &mut found);
        }
        nearest(found, k)
    }

    /// Numbers about the index.
    pub fn stats(&self) -> IndexStats {
        IndexStats {
            segments: self.segments.len(),
            indexed: self.sealed_end() as usize,
            repaired: self.segments.iter().map(|segment| segment.repairs().repaired).sum(),
            unreachable: self
                .segments
                .iter()
                .map(|segment| segment.repairs().unreachable.len())
                .sum::<usize>()
                + self.mutable.unreachable(),
            waiting: self.waiting(),
        }
    }

    /// Whether [`Segments::seal`] would build a segment.
    pub fn is_behind(&self) -> bool {
        self.waiting() >= MIN_SEGMENT_VECTORS
    }

    /// The immutable segments, by slot.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// The end of the last immutable segment.
    fn sealed_end(&self) -> Slot {
        self.segments.last().map_or(0, |segment| segment.slots().end)
    }

    fn waiting(&self) -> usize {
        self.vectors.len() - self.sealed_end() as usize
    }
}

impl Index for Segments {
    fn len(&self) -> usize {
        self.vectors.len()
    }

    fn search(&self, query: &[f32], k: usize, allowed: Option<&RoaringBitmap>) -> Vec<Neighbour> {
        let allowed_fraction = allowed.map_or(1.0, |allowed| allowed.len() as f64 / self.len().max(1) as f64);
        let ef = ef_search(k, allowed_fraction);
        if k == 0 || (allowed.is_some() && ef > MAX_EF) {
            return self.scan(query, k, allowed);
        }
        let passes = |slot: Slot| allowed.is_none_or(|allowed| allowed.contains(slot));
        let mut found = Vec::new();
        for segment in &self.segments {
            segment.search(&self.vectors, query, SearchParams { k, ef }, passes, &mut found);
        }
        self.mutable.search(&self.vectors, query, SearchParams { k, ef }, passes, &mut found);
        let found = nearest(found, k);
        let required = allowed.map_or(self.len() as u64, RoaringBitmap::len).min(k as u64);
        if (found.len() as u64) < required { self.scan(query, k, allowed) } else { found }
    }
}

/// How many segments of these sizes, counted from the first, are kept if `waiting` vectors come after them. The others
/// are merged with the waiting vectors.
fn kept_segments(sizes: &[usize], mut waiting: usize) -> usize {
    let mut kept = sizes.len();
    while kept > 0 && sizes[kept - 1] < MERGE_RATIO * waiting {
        kept -= 1;
        waiting += sizes[kept];
    }
    kept
}

/// The segment files that are in use for the first `vectors` vectors, in order: always the longest one that starts
/// where the last one ended.
fn in_use(mut files: Vec<(Range<Slot>, PathBuf)>, vectors: usize) -> Vec<(Range<Slot>, PathBuf)> {
    files.retain(|(slots, _)| slots.end as usize <= vectors && !slots.is_empty());
    files.sort_by_key(|(slots, _)| (slots.start, std::cmp::Reverse(slots.end)));
    let mut end = 0;
    files.retain(|(slots, _)| {
        let continues = slots.start == end;
        end = if continues { slots.end } else { end };
        continues
    });
    files
}

/// The segment files in `folder`, with their slots.
fn files(folder: &Path) -> Result<Vec<(Range<Slot>, PathBuf)>> {
    let entries = std::fs::read_dir(folder).map_err(Error::io(folder))?;
    let paths = entries.map(|entry| entry.map(|entry| entry.path())).collect::<std::io::Result<Vec<_>>>();
    let paths = paths.map_err(Error::io(folder))?;
    Ok(paths.into_iter().filter_map(|path| Some((segment::slots_of(&path)?, path))).collect())
}

/// Removes the files whose names `is_leftover` accepts.
fn remove_files(folder: &Path, is_leftover: impl Fn(&str) -> bool) -> Result<()> {
    for entry in std::fs::read_dir(folder).map_err(Error::io(folder))? {
        let entry = entry.map_err(Error::io(folder))?;
        if is_leftover(&entry.file_name().to_string_lossy()) {
            disk::remove(&entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pseudo-random unit vectors of eight values.
    fn vectors(count: usize) -> Vectors {
        let mut state = 1_u64;
        let mut next = move |_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1u32 << 24) as f32 - 0.5
        };
        let vector = |_| {
            let values: Vec<f32> = (0..8).map(&mut next).collect();
            let length = values.iter().map(|value| value * value).sum::<f32>().sqrt();
            values.into_iter().map(move |value| value / length)
        };
        Vectors::in_memory((0..count).flat_map(vector).collect(), 8)
    }

    /// Seals the index after each of these numbers of vectors, and opens it.
    fn sealed(folder: &Path, counts: &[usize]) -> Segments {
        for &count in counts {
            Segments::open(folder, vectors(count)).unwrap().seal(folder, HnswParams::default()).unwrap();
        }
        Segments::open(folder, vectors(*counts.last().unwrap())).unwrap()
    }

    #[test]
    fn small_segments_are_merged_and_large_ones_kept() {
        assert_eq!(kept_segments(&[], 5), 0);
        assert_eq!(kept_segments(&[100], 5), 1);
        assert_eq!(kept_segments(&[100, 10], 1), 2);
        assert_eq!(kept_segments(&[100, 10], 2), 1);
        assert_eq!(
            kept_segments(&[100, 10], 3),
            0,
            "the second segment is merged, and then the first is not large enough either"
        );
        assert_eq!(kept_segments(&[100_000, 10_000, 1000], 100), 3);
        assert_eq!(kept_segments(&[100_000, 10_000, 1000], 1000), 1);
    }

    #[test]
    fn seal_appends_or_merges_segments_and_waiting_vectors_are_found() {
        let folder = tempfile::tempdir().unwrap();
        let index = sealed(folder.path(), &[12_000, 13_200]);
        assert_eq!((index.stats().segments, index.stats().indexed), (2, 13_200));
        let index = Segments::open(folder.path(), vectors(13_400)).unwrap();
        assert_eq!((index.stats().indexed, index.stats().waiting), (13_200, 200));
        for slot in [5, 11_999, 12_000, 13_100, 13_300] {
            assert_eq!(index.search(vectors(13_400).get(slot), 1, None)[0].slot, slot);
        }
        let index = sealed(folder.path(), &[15_000]);
        assert_eq!((index.stats().segments, index.stats().indexed), (1, 15_000));
        assert_eq!(files(folder.path()).unwrap().len(), 1, "merged segments are removed");
    }

    #[test]
    fn damaged_segments_are_detected_and_rebuilt() {
        let folder = tempfile::tempdir().unwrap();
        drop(sealed(folder.path(), &[2000]));
        let (_, path) = files(folder.path()).unwrap().remove(0);
        let intact = std::fs::read(&path).unwrap();
        Segment::verify(&path).unwrap();
        for at in [10, 200, intact.len() / 2, intact.len() - 70] {
            let mut bytes = intact.clone();
            bytes[at] ^= 0x40;
            std::fs::write(&path, bytes).unwrap();
            let error = Segment::verify(&path).unwrap_err().to_string();
            assert!(error.contains("segment-0-2000"), "{error}");
            let index = Segments::open(folder.path(), vectors(2000)).unwrap();
            assert_eq!(index.search(vectors(2000).get(7), 10, None).len(), 10);
        }
        std::fs::write(&path, &intact[..intact.len() / 2]).unwrap();
        assert_eq!(Segments::open(folder.path(), vectors(2000)).unwrap().stats().indexed, 0);
        assert_eq!(sealed(folder.path(), &[2000]).stats().indexed, 2000);
    }
}
