//! The whole index: segments that were built, one after the other over all slots, and a live part after
//! them.
//!
//! Its own file because it is what the rest of the program sees of the index: how its parts answer together,
//! when they are built anew, and which files of a folder are in use. A folder needs no list of its segments:
//! from slot 0 on, the longest that starts where the last one ended is in use, and what it covers is not.

use super::build::Effort;
use super::live::Live;
use super::scan::FineQuery;
use super::segment::{self, Segment};
use super::walk::EF_SEARCH;
use super::{Index, Neighbour, cosine, nearest};
use crate::error::{Error, Result};
use crate::{Slot, Vectors};
use likewise_base::disk;
use rayon::prelude::*;
use roaring::RoaringBitmap;
use serde::Serialize;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Candidates more, when a filter takes away a fifth or more of all: what is left of them is scattered, and is to be
/// found with a recall@10 of 0.99 among a million papers, too.
const EF_FILTERED: f64 = 160.0;

/// Candidates more, for every answer that a filter is expected to have taken away.
const EF_TAKEN: f64 = 1.5;

/// Above so many candidates, walking a graph costs more than scanning a filtered set.
const MAX_EF: usize = 4096;

/// Fewer vectors than this stay in the live part, where they are compared one by one.
const LEAST: usize = 1000;

/// More vectors than this are not inserted into the live part, whose graph has a copy of each: a segment was
/// damaged, or a folder is of an older version, and somebody is about to build them.
const MOST_LIVE: usize = 100_000;

/// A segment is built anew together with what comes after it, unless it is so many times as large: then
/// every vector is built into a segment a few times in all, and there are only a few segments to ask.
const RATIO: usize = 8;

/// Candidates for `k` answers, when a share of all may be among them (benches/scale.rs shows what comes of it).
pub fn ef_search(k: usize, share: f64) -> usize {
    let taken_away = k as f64 * (1.0 / share.max(1e-9) - 1.0);
    let more = EF_FILTERED * ((1.0 - share) / 0.2).clamp(0.0, 1.0) + EF_TAKEN * taken_away;
    EF_SEARCH.max(k + k / 2) + more as usize
}

/// Answers by walking graphs.
pub struct Segments {
    segments: Vec<Segment>,
    /// The slots of the files that were in use when it was opened; more than the segments, if one was damaged.
    files: Vec<Range<Slot>>,
    live: Arc<Live>,
    vectors: Vectors,
}

/// What an index is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Default)]
pub struct IndexStats {
    /// Segments there are.
    pub segments: usize,
    /// Vectors in them.
    pub indexed: usize,
    /// Those of them that walks did not find, and do since they were linked again.
    pub repaired: usize,
    /// Those of them that walks do not find, and that are compared with every query instead.
    pub stragglers: usize,
    /// Vectors that are in no segment yet.
    pub waiting: usize,
}

impl Segments {
    /// Over these vectors, none of them in a segment yet: each is compared exactly.
    pub fn empty(vectors: Vectors) -> Segments {
        Segments::new(Vec::new(), vectors)
    }

    fn new(segments: Vec<Segment>, vectors: Vectors) -> Segments {
        let end = segments.last().map_or(0, |segment| segment.slots().end);
        let files = segments.iter().map(Segment::slots).collect();
        Segments { segments, files, live: Arc::new(Live::from(end)), vectors }
    }

    /// Opens the segments in `folder`, for a space's vectors as they are now.
    ///
    /// A damaged or missing segment is no error: its vectors are compared exactly, until [`Segments::freeze`]
    /// builds it again.
    pub fn open(folder: &Path, vectors: Vectors) -> Result<Segments> {
        let mut segments: Vec<Segment> = Vec::new();
        let used = in_use(files(folder)?, vectors.len());
        let files = used.iter().map(|(slots, _)| slots.clone()).collect();
        for (slots, path) in used {
            match Segment::open(&path) {
                Ok(segment) if segment.slots() == slots && segment.fits(&vectors) => segments.push(segment),
                Ok(_) => {
                    tracing::warn!("{}: it is not of this space, and will be built again", path.display())
                }
                Err(error) => tracing::warn!("{error}"),
            }
            if segments.last().is_none_or(|last| last.slots() != slots) {
                break;
            }
        }
        Ok(Segments { files, ..Segments::new(segments, vectors) })
    }

    /// How many of a space's first vectors are in the segments in `folder`.
    pub fn frozen_in(folder: &Path, vectors: usize) -> Result<usize> {
        Ok(in_use(files(folder)?, vectors).last().map_or(0, |(slots, _)| slots.end as usize))
    }

    /// The segment files in `folder`.
    pub fn files(folder: &Path) -> Result<Vec<PathBuf>> {
        Ok(files(folder)?.into_iter().map(|(_, path)| path).collect())
    }

    /// Removes segments of more than so many slots: the rest will be other vectors'.
    pub fn remove_beyond(folder: &Path, slots: usize) -> Result<()> {
        for (_, path) in files(folder)?.into_iter().filter(|(range, _)| range.end as usize > slots) {
            disk::remove_if_there(&path)?;
        }
        Ok(())
    }

    /// Takes a space's vectors as they are now, and segments that another process built since.
    pub fn follow(&mut self, folder: &Path, vectors: Vectors) -> Result<()> {
        let files = in_use(files(folder)?, vectors.len());
        if files.iter().map(|(slots, _)| slots).eq(&self.files) {
            self.vectors = vectors;
            return Ok(());
        }
        *self = Segments::open(folder, vectors)?;
        Ok(())
    }

    /// Inserts the vectors of the live part that are not in its graph, if they are many, on a thread of its own:
    /// until it has done so they are compared one by one.
    pub fn insert_in_background(&self) {
        let (waiting, outside) = (self.waiting(), self.live.outside(self.vectors.len()));
        // Each insertion looks for every vector there is: in growing batches, that is a few times in all.
        if outside >= LEAST.max(waiting / 4) && waiting <= MOST_LIVE {
            let (live, vectors) = (Arc::clone(&self.live), self.vectors.clone());
            std::thread::spawn(move || live.insert(&vectors));
        }
    }

    /// The same on this thread, of all.
    pub fn insert(&self) {
        self.live.insert(&self.vectors);
    }

    /// Builds the vectors of the live part into a segment, together with the segments before it that are not
    /// much larger, and leaves it in `folder` in place of those; nothing, if they are few.
    pub fn freeze(&mut self, folder: &Path, effort: Effort) -> Result<()> {
        remove(folder, |name| name.starts_with(".segment-") || name.starts_with("graph-"))?;
        let end = self.vectors.len() as Slot;
        if (end - self.frozen()) as usize >= LEAST {
            let kept = kept(
                &self.segments.iter().map(|segment| segment.slots().len()).collect::<Vec<_>>(),
                self.waiting(),
            );
            let first = self.segments.get(kept).map_or(self.frozen(), |segment| segment.slots().start);
            let segment = match self.segments.get(kept) {
                // Most of the work is done already. Damage would be taken over, and get a right checksum.
                Some(old)
                    if 2 * old.slots().len() > (end - first) as usize && old.verify_in(folder).is_ok() =>
                {
                    old.extend(&self.vectors, end)
                }
                _ => Segment::build(&self.vectors, first..end, effort),
            };
            segment.save(folder)?;
            self.segments.truncate(kept);
            self.segments.push(segment);
            self.files = self.segments.iter().map(Segment::slots).collect();
            self.live = Arc::new(Live::from(end));
        }
        let used: Vec<Range<Slot>> = self.segments.iter().map(Segment::slots).collect();
        for (slots, path) in files(folder)? {
            if !used.contains(&slots) {
                disk::remove(&path)?;
            }
        }
        Ok(())
    }

    /// Like [`Index::search`], by comparing every vector that is allowed.
    pub fn scan(&self, query: &[f32], k: usize, allowed: Option<&RoaringBitmap>) -> Vec<Neighbour> {
        let fine = FineQuery::new(query);
        let score = |slot| Neighbour { slot, score: cosine(query, self.vectors.get(slot)) };
        let live = (self.frozen()..self.vectors.len() as Slot).into_par_iter().with_min_len(LEAST);
        let live = live.filter(|slot| allowed.is_none_or(|allowed| allowed.contains(*slot)));
        let mut found: Vec<Neighbour> = live.map(score).collect();
        for segment in &self.segments {
            segment.scan(&self.vectors, (query, &fine), k, allowed, &mut found);
        }
        nearest(found, k)
    }

    /// What it is made of.
    pub fn stats(&self) -> IndexStats {
        IndexStats {
            segments: self.segments.len(),
            indexed: self.frozen() as usize,
            repaired: self.segments.iter().map(|segment| segment.repairs().repaired).sum(),
            stragglers: self.segments.iter().map(|segment| segment.repairs().lost.len()).sum::<usize>()
                + self.live.stragglers(),
            waiting: self.waiting(),
        }
    }

    /// Whether [`Segments::freeze`] would build a segment.
    pub fn is_behind(&self) -> bool {
        self.waiting() >= LEAST
    }

    /// The segments.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    fn frozen(&self) -> Slot {
        self.segments.last().map_or(0, |segment| segment.slots().end)
    }

    fn waiting(&self) -> usize {
        self.vectors.len() - self.frozen() as usize
    }
}

impl Index for Segments {
    fn len(&self) -> usize {
        self.vectors.len()
    }

    fn search(&self, query: &[f32], k: usize, allowed: Option<&RoaringBitmap>) -> Vec<Neighbour> {
        let share = allowed.map_or(1.0, |allowed| allowed.len() as f64 / self.len().max(1) as f64);
        let ef = ef_search(k, share);
        if k == 0 || (allowed.is_some() && ef > MAX_EF) {
            return self.scan(query, k, allowed);
        }
        let passes = |slot: Slot| allowed.is_none_or(|allowed| allowed.contains(slot));
        let mut found = Vec::new();
        for segment in &self.segments {
            segment.search(&self.vectors, query, (k, ef), passes, &mut found);
        }
        self.live.search(&self.vectors, query, (k, ef), passes, &mut found);
        let found = nearest(found, k);
        let wanted = allowed.map_or(self.len() as u64, RoaringBitmap::len).min(k as u64);
        if (found.len() as u64) < wanted { self.scan(query, k, allowed) } else { found }
    }
}

/// How many segments of these sizes, from the first on, are kept when so many vectors come after them.
fn kept(sizes: &[usize], mut waiting: usize) -> usize {
    let mut kept = sizes.len();
    while kept > 0 && sizes[kept - 1] < RATIO * waiting {
        kept -= 1;
        waiting += sizes[kept];
    }
    kept
}

/// Of segment files, those that are in use over so many vectors, in order: always the longest that goes on
/// where the last one ended.
fn in_use(mut files: Vec<(Range<Slot>, PathBuf)>, vectors: usize) -> Vec<(Range<Slot>, PathBuf)> {
    files.retain(|(slots, _)| slots.end as usize <= vectors && !slots.is_empty());
    files.sort_by_key(|(slots, _)| (slots.start, std::cmp::Reverse(slots.end)));
    let mut end = 0;
    files.retain(|(slots, _)| {
        let goes_on = slots.start == end;
        end = if goes_on { slots.end } else { end };
        goes_on
    });
    files
}

/// The segment files in `folder`, and their slots.
fn files(folder: &Path) -> Result<Vec<(Range<Slot>, PathBuf)>> {
    let entries = std::fs::read_dir(folder).map_err(Error::io(folder))?;
    let paths = entries.map(|entry| entry.map(|entry| entry.path())).collect::<std::io::Result<Vec<_>>>();
    let paths = paths.map_err(Error::io(folder))?;
    Ok(paths.into_iter().filter_map(|path| Some((segment::slots_of(&path)?, path))).collect())
}

/// Removes what killed writers and older versions left.
fn remove(folder: &Path, is_left: impl Fn(&str) -> bool) -> Result<()> {
    for entry in std::fs::read_dir(folder).map_err(Error::io(folder))? {
        let entry = entry.map_err(Error::io(folder))?;
        if is_left(&entry.file_name().to_string_lossy()) {
            disk::remove(&entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Unit vectors of eight values.
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

    fn frozen(folder: &Path, counts: &[usize]) -> Segments {
        for &count in counts {
            Segments::open(folder, vectors(count)).unwrap().freeze(folder, Effort::default()).unwrap();
        }
        Segments::open(folder, vectors(*counts.last().unwrap())).unwrap()
    }

    #[test]
    fn small_parts_are_merged_and_large_ones_kept() {
        assert_eq!(kept(&[], 5), 0);
        assert_eq!(kept(&[100], 5), 1);
        assert_eq!(kept(&[100, 10], 1), 2);
        assert_eq!(kept(&[100, 10], 2), 1);
        assert_eq!(kept(&[100, 10], 3), 0, "the second, and what comes to it, is a reason to take the first");
        assert_eq!(kept(&[100_000, 10_000, 1000], 100), 3);
        assert_eq!(kept(&[100_000, 10_000, 1000], 1000), 1);
    }

    #[test]
    fn segments_follow_each_other_and_what_came_since_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let index = frozen(folder.path(), &[12_000, 13_200]);
        assert_eq!((index.stats().segments, index.stats().indexed), (2, 13_200));
        let index = Segments::open(folder.path(), vectors(13_400)).unwrap();
        assert_eq!((index.stats().indexed, index.stats().waiting), (13_200, 200));
        for slot in [5, 11_999, 12_000, 13_100, 13_300] {
            assert_eq!(index.search(vectors(13_400).get(slot), 1, None)[0].slot, slot);
        }
        let index = frozen(folder.path(), &[15_000]);
        assert_eq!((index.stats().segments, index.stats().indexed), (1, 15_000));
        assert_eq!(files(folder.path()).unwrap().len(), 1, "what was merged is gone");
    }

    #[test]
    fn damage_is_noticed_and_mended() {
        let folder = tempfile::tempdir().unwrap();
        drop(frozen(folder.path(), &[2000]));
        let (_, path) = files(folder.path()).unwrap().remove(0);
        let whole = std::fs::read(&path).unwrap();
        Segment::verify(&path).unwrap();
        for at in [10, 200, whole.len() / 2, whole.len() - 70] {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x40;
            std::fs::write(&path, bytes).unwrap();
            let error = Segment::verify(&path).unwrap_err().to_string();
            assert!(error.contains("segment-0-2000"), "{error}");
            let index = Segments::open(folder.path(), vectors(2000)).unwrap();
            assert_eq!(index.search(vectors(2000).get(7), 10, None).len(), 10);
        }
        std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
        assert_eq!(Segments::open(folder.path(), vectors(2000)).unwrap().stats().indexed, 0);
        assert_eq!(frozen(folder.path(), &[2000]).stats().indexed, 2000);
    }
}
