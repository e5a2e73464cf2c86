//! The index that the program uses: immutable segments over consecutive ranges of slots, and a mutable segment over the
//! slots after them.
//!
//! It searches all segments. It also decides which segments are merged when a new segment is built, and which segment
//! files of a folder are in use. A folder has no list of its segments in use. The first one is the longest segment that
//! starts at slot 0, and each further one is the longest segment that starts where the previous one ends. All other
//! segment files are not in use, and neither are files with slots beyond the last vector.

use super::build::HnswParams;
use super::graph_search::EF_SEARCH;
use super::mutable_segment::MutableSegment;
use super::scan::ResidualQuery;
use super::segment::{Segment, file::slots_of};
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

/// Number of additional candidates if a filter excludes a fifth of the vectors or more. If the filter excludes fewer,
/// there are proportionally fewer additional candidates. They keep recall@10 at 0.99 among a million papers, although
/// the allowed vectors are scattered over the graph.
const EF_FILTERED: f64 = 160.0;

/// Number of additional candidates for every result that the filter is expected to exclude.
const EF_PER_EXCLUDED: f64 = 1.5;

/// If a search with a filter would need more candidates than this, the vectors that the filter allows are scanned
/// instead, because the graph search would cost more. Searches without a filter have no such limit.
const MAX_EF: usize = 4096;

/// Minimum number of new vectors for building an immutable segment, and for inserting vectors into the mutable segment
/// in the background. Fewer vectors are compared with every query instead.
const MIN_SEGMENT_VECTORS: usize = 1000;

/// Minimum number of vectors that one thread compares with a query.
const MIN_TASK_VECTORS: usize = 1000;

/// If more vectors than this are in no immutable segment, no more vectors are inserted into the mutable segment in the
/// background, because the graph of the mutable segment copies each vector. There are so many only if a segment is
/// damaged or missing, or the folder is of an older version. In these cases, an immutable segment is about to be built.
const MAX_MUTABLE_VECTORS: usize = 100_000;

/// The last segment is kept, with all segments before it, if it has at least this many times as many vectors as come
/// after it. Otherwise, the last segment is merged with the vectors after it, and the rule applies to the segment
/// before it. With this rule, each vector is built into a segment only a few times, and a search visits only a few
/// segments.
const MERGE_RATIO: usize = 8;

/// Returns the number of candidates of a search for `k` results, if a filter allows the fraction `allowed_fraction` of
/// the vectors (benches/scale.rs measures the recall).
pub fn ef_search(k: usize, allowed_fraction: f64) -> usize {
    let excluded = k as f64 * (1.0 / allowed_fraction.max(1e-9) - 1.0);
    let more = EF_FILTERED * ((1.0 - allowed_fraction) / 0.2).clamp(0.0, 1.0) + EF_PER_EXCLUDED * excluded;
    EF_SEARCH.max(k + k / 2) + more as usize
}

/// An index of immutable segments and one mutable segment.
pub struct Segments {
    segments: Vec<Segment>,
    /// The slots of the segment files that were in use when the folder was last opened or a segment was last built. If
    /// one of these files could not be opened, `segments` lacks the segment of this file and all later segments.
    files: Vec<Range<Slot>>,
    mutable: Arc<MutableSegment>,
    vectors: Vectors,
}

/// Statistics of an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Default)]
pub struct IndexStats {
    /// Number of immutable segments.
    pub segments: usize,
    /// Number of vectors in immutable segments.
    pub indexed: usize,
    /// Number of indexed vectors that graph searches did not find until links to the vectors were added, when the
    /// segments were built.
    pub repaired: usize,
    /// Number of vectors that are in a graph but that searches of the graph do not find. They are compared with every
    /// query.
    pub unreachable: usize,
    /// Number of vectors that are in no immutable segment yet.
    pub waiting: usize,
}

impl Segments {
    /// Creates an index of these vectors that has no immutable segment. Until vectors are inserted into the mutable
    /// segment, each vector is compared with every query.
    pub fn empty(vectors: Vectors) -> Segments {
        Segments::new(Vec::new(), vectors)
    }

    fn new(segments: Vec<Segment>, vectors: Vectors) -> Segments {
        let end = segments.last().map_or(0, |segment| segment.slots().end);
        let files = segments.iter().map(Segment::slots).collect();
        Segments { segments, files, mutable: Arc::new(MutableSegment::starting_at(end)), vectors }
    }

    /// Opens the segments in `folder`, which contain the first vectors of `vectors`. Later vectors can be in no
    /// segment.
    ///
    /// A damaged or missing segment is not an error. The vectors of such a segment and of all later segments are in no
    /// immutable segment until [`Segments::seal`] builds one. Only damage that [`Segment::open`] checks for is noticed.
    pub fn open(folder: &Path, vectors: Vectors) -> Result<Segments> {
        let mut segments: Vec<Segment> = Vec::new();
        let used = in_use(files(folder)?, vectors.len());
        let files = used.iter().map(|(slots, _)| slots.clone()).collect();
        for (slots, path) in used {
            match Segment::open(&path) {
                Ok(segment) if segment.slots() == slots && segment.fits(&vectors) => segments.push(segment),
                Ok(_) => {
                    tracing::warn!("{}: this segment has other vectors, and will be rebuilt", path.display())
                }
                Err(error) => tracing::warn!("{error}"),
            }
            if segments.last().is_none_or(|last| last.slots() != slots) {
                break;
            }
        }
        Ok(Segments { files, ..Segments::new(segments, vectors) })
    }

    /// Returns how many of the first `vectors` vectors are in segment files in use in `folder`. Reads only the names of
    /// the files.
    pub fn sealed_in(folder: &Path, vectors: usize) -> Result<usize> {
        Ok(in_use(files(folder)?, vectors).last().map_or(0, |(slots, _)| slots.end as usize))
    }

    /// Returns the paths of all segment files in `folder`, whether they are in use or not.
    pub fn files(folder: &Path) -> Result<Vec<PathBuf>> {
        Ok(files(folder)?.into_iter().map(|(_, path)| path).collect())
    }

    /// Removes the segments that contain slots after the first `slots` slots, because the later slots will get other
    /// vectors.
    pub fn remove_beyond(folder: &Path, slots: usize) -> Result<()> {
        for (_, path) in files(folder)?.into_iter().filter(|(range, _)| range.end as usize > slots) {
            disk::remove_if_exists(&path)?;
        }
        Ok(())
    }

    /// Replaces the vectors of the index by `vectors`. If the segment files in use have changed, because another
    /// process has built segments, opens the folder again.
    pub fn follow(&mut self, folder: &Path, vectors: Vectors) -> Result<()> {
        let files = in_use(files(folder)?, vectors.len());
        if files.iter().map(|(slots, _)| slots).eq(&self.files) {
            self.vectors = vectors;
            return Ok(());
        }
        *self = Segments::open(folder, vectors)?;
        Ok(())
    }

    /// Starts a thread that inserts the vectors that are not in the mutable segment's graph yet. Does nothing if there
    /// are fewer than 1,000 such vectors, if they are less than a quarter of the vectors in no immutable segment, or if
    /// more than 100,000 vectors are in no immutable segment. Vectors that are not inserted are compared with every
    /// query.
    pub fn insert_in_background(&self) {
        let (waiting, not_inserted) = (self.waiting(), self.mutable.not_inserted(self.vectors.len()));
        // Each insertion checks every vector of the mutable segment again. Batches grow with the segment, so that there
        // are few insertions.
        if not_inserted >= MIN_SEGMENT_VECTORS.max(waiting / 4) && waiting <= MAX_MUTABLE_VECTORS {
            let (mutable, vectors) = (Arc::clone(&self.mutable), self.vectors.clone());
            std::thread::spawn(move || mutable.insert(&vectors));
        }
    }

    /// Inserts all vectors that are not in the mutable segment's graph yet, on this thread. Returns at once if another
    /// thread is inserting vectors.
    pub fn insert(&self) {
        self.mutable.insert(&self.vectors);
    }

    /// Builds an immutable segment from all vectors that are in no immutable segment, and saves it in `folder`. Merges
    /// the last immutable segments into it, as [`MERGE_RATIO`] describes. Builds nothing if fewer than 1,000 vectors
    /// are in no immutable segment. In either case, removes all segment files, also damaged ones, that do not belong to
    /// the index's current segments.
    pub fn seal(&mut self, folder: &Path, params: HnswParams) -> Result<()> {
        // Removes temporary files of killed processes, and index files of older versions.
        remove_files(folder, |name| name.starts_with(".segment-") || name.starts_with("graph-"))?;
        let end = self.vectors.len() as Slot;
        if (end - self.sealed_end()) as usize >= MIN_SEGMENT_VECTORS {
            let kept = kept_segments(
                &self.segments.iter().map(|segment| segment.slots().len()).collect::<Vec<_>>(),
                self.waiting(),
            );
            let first = self.segments.get(kept).map_or(self.sealed_end(), |segment| segment.slots().start);
            let segment = match self.segments.get(kept) {
                // Extends the old segment, because it contains most of the graph. The file of the old segment is
                // verified first, because damage in the file would be copied into the new segment, whose checksums
                // would hide the damage.
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
        let mut found = self.score_waiting(query, allowed);
        for segment in &self.segments {
            segment.scan(&self.vectors, &residual, k, allowed, &mut found);
        }
        nearest(found, k)
    }

    /// Returns all allowed slots whose score is at least `min_score`, nearest first. Compares the query with every
    /// allowed vector. The result takes 8 bytes per slot.
    pub fn scan_above(
        &self,
        query: &[f32],
        min_score: f32,
        allowed: Option<&RoaringBitmap>,
    ) -> Vec<Neighbour> {
        let residual = ResidualQuery::new(query);
        let mut found = self.score_waiting(query, allowed);
        found.retain(|neighbour| neighbour.score >= min_score);
        for segment in &self.segments {
            segment.scan_above(&self.vectors, &residual, min_score, allowed, &mut found);
        }
        found.par_sort_unstable_by(Neighbour::nearest_first);
        found
    }

    /// Scores the allowed vectors that are in no immutable segment.
    fn score_waiting(&self, query: &[f32], allowed: Option<&RoaringBitmap>) -> Vec<Neighbour> {
        let score = |slot| Neighbour { slot, score: cosine(query, self.vectors.get(slot)) };
        let waiting =
            (self.sealed_end()..self.vectors.len() as Slot).into_par_iter().with_min_len(MIN_TASK_VECTORS);
        let waiting = waiting.filter(|slot| allowed.is_none_or(|allowed| allowed.contains(*slot)));
        waiting.map(score).collect()
    }

    /// Returns statistics of the index.
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

    /// The immutable segments, in order of their slots.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// The first slot after the last immutable segment.
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

/// Decides which segments are merged with `waiting` new vectors: the last ones, if they are small enough. Returns the
/// number of segments before these, which are kept as they are. `sizes` has the number of vectors of each segment.
fn kept_segments(sizes: &[usize], mut waiting: usize) -> usize {
    let mut kept = sizes.len();
    while kept > 0 && sizes[kept - 1] < MERGE_RATIO * waiting {
        kept -= 1;
        waiting += sizes[kept];
    }
    kept
}

/// Returns the segment files that are in use for the first `vectors` vectors, in order of their slots. Each is the
/// longest segment file that starts where the previous one ends and contains none of the later vectors.
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

/// Returns the segment files in `folder`, with the slots of each file.
fn files(folder: &Path) -> Result<Vec<(Range<Slot>, PathBuf)>> {
    let entries = std::fs::read_dir(folder).map_err(Error::io(folder))?;
    let paths = entries.map(|entry| entry.map(|entry| entry.path())).collect::<std::io::Result<Vec<_>>>();
    let paths = paths.map_err(Error::io(folder))?;
    Ok(paths.into_iter().filter_map(|path| Some((slots_of(&path)?, path))).collect())
}

/// Removes the files in `folder` for whose names `is_leftover` returns true.
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

    /// For each count, opens the index with that many vectors and seals it. Returns the index after the last count.
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
