//! Which papers a vector stands for, and where a paper's vector is.
//!
//! Its own file because the relation is many to one and changes: papers with the same text share a
//! slot, and a slot whose papers were all replaced or deleted stands for none. It is derived from the catalog and
//! the space, follows what is written to them, and is saved beside the space, so that opening a library of
//! millions reads four bytes a paper instead of a row of a table.

use crate::error::Result;
use crate::store::catalog::{Catalog, Changes, Numbers, PaperNumber};
use crate::store::space::Space;
use crate::store::text::TextHash;
use likewise_base::disk;
use likewise_base::map::MappedFile;
use likewise_index::Slot;
use roaring::RoaringBitmap;
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

const FILE: &str = "directory";

/// Bytes before the slots: what the file is, the catalog's name, the last transaction that is in it, and the
/// CRC-32 of all that.
const HEADER_BYTES: usize = 128;

/// In place of a slot: there is no such paper.
const NO_PAPER: Slot = Slot::MAX;

/// In place of a slot: the paper's text has no vector yet.
const NO_VECTOR: Slot = Slot::MAX - 1;

/// In place of a paper.
const NOBODY: u32 = u32::MAX;

/// Papers and their slots, as of a transaction of the catalog.
#[derive(Default)]
pub struct Directory {
    /// By a paper's number.
    slot_of: Vec<Slot>,
    /// By slot: the paper, or of several the one that came first.
    paper_of: Vec<u32>,
    /// The others, of slots that stand for several.
    others: HashMap<Slot, Vec<u32>>,
    /// Slots that stand for no paper.
    dead: RoaringBitmap,
    papers: usize,
    /// Papers without a vector, and their texts.
    waiting: HashMap<PaperNumber, TextHash>,
    /// The first so many slots are not those of the texts that wait.
    searched: usize,
    /// Of the catalog.
    identity: String,
    last: i64,
}

impl Directory {
    /// Of a catalog, from before its first transaction.
    pub fn new(identity: &str) -> Directory {
        Directory { identity: identity.into(), ..Directory::default() }
    }

    /// Of a catalog and a space, as of now: what was saved, and what was written since.
    pub fn of(catalog: &Catalog, space: &Space) -> Result<Directory> {
        let text = |number| catalog.text(number);
        let mut directory = Directory::load(space.path(), &catalog.identity()?, space.vectors().len(), text)?;
        directory.follow(catalog, space)?;
        Ok(directory)
    }

    /// Reads what was saved in the folder of a space of `count` slots; a new one, if that is not there, or of
    /// no use. `text` knows the texts of papers that had no vector then, unless they are gone.
    fn load(
        folder: &Path,
        identity: &str,
        count: usize,
        text: impl Fn(PaperNumber) -> Result<Option<TextHash>>,
    ) -> Result<Directory> {
        let (path, mut directory) = (folder.join(FILE), Directory::new(identity));
        let Ok(file) = MappedFile::open(&path) else { return Ok(directory) };
        let parsed = parse(file.bytes(), identity).filter(|(_, saved)| are_below(saved, count));
        let Some((last, slots)) = parsed else {
            tracing::warn!("{}: it is damaged or of another catalog, and is made again", path.display());
            return Ok(directory);
        };
        directory.last = last;
        directory.slot_of = vec![NO_PAPER; slots.len()];
        directory.paper_of = vec![NOBODY; count];
        for (number, &slot) in slots.iter().enumerate().filter(|(_, slot)| **slot != NO_PAPER) {
            directory.put(number, slot);
            if slot == NO_VECTOR
                && let Some(text) = text(number as PaperNumber)?
            {
                directory.waiting.insert(number as PaperNumber, text);
            }
        }
        let nobodys = (0..).zip(&directory.paper_of).filter(|(_, paper)| **paper == NOBODY);
        directory.dead = nobodys.map(|(slot, _)| slot).collect();
        Ok(directory)
    }

    /// Saves it.
    pub fn save(&self, folder: &Path) -> Result<()> {
        let slots: &[u8] = bytemuck::cast_slice(&self.slot_of);
        let mut bytes = header(&self.identity, self.last, slots).into_bytes();
        bytes.resize(HEADER_BYTES, 0);
        bytes.extend_from_slice(slots);
        Ok(disk::write_atomically(&folder.join(FILE), &bytes)?)
    }

    /// Removes what was saved, before slots change: it is made again from the catalog.
    pub fn remove(folder: &Path) -> Result<()> {
        Ok(disk::remove_if_there(&folder.join(FILE))?)
    }

    /// Removes what was saved, if it is of later transactions than the catalog has: an older copy of the catalog was
    /// put back, and the next transactions will have the same numbers.
    pub fn remove_if_ahead(folder: &Path, catalog: &Catalog) -> Result<()> {
        let Ok(file) = MappedFile::open(&folder.join(FILE)) else { return Ok(()) };
        match parse(file.bytes(), &catalog.identity()?) {
            Some((last, _)) if last <= catalog.last_change()? => Ok(()),
            _ => Directory::remove(folder),
        }
    }

    /// Where it is saved, in a space's folder.
    pub fn path(folder: &Path) -> PathBuf {
        folder.join(FILE)
    }

    /// Whether what was saved in the folder of a space of `count` slots can be read, or nothing was.
    pub fn is_readable(folder: &Path, catalog: &Catalog, count: usize) -> Result<bool> {
        let Ok(file) = MappedFile::open(&folder.join(FILE)) else { return Ok(true) };
        Ok(parse(file.bytes(), &catalog.identity()?).is_some_and(|(_, saved)| are_below(saved, count)))
    }

    /// Removes what was saved, if it has other than the first so many slots: the rest will be other texts'.
    pub fn remove_beyond(folder: &Path, slots: usize) -> Result<()> {
        let path = folder.join(FILE);
        let Ok(file) = MappedFile::open(&path) else { return Ok(()) };
        let saved = file.bytes().get(HEADER_BYTES..).and_then(|bytes| bytemuck::try_cast_slice(bytes).ok());
        if saved.is_some_and(|saved| are_below(saved, slots)) { Ok(()) } else { Directory::remove(folder) }
    }

    /// Takes in what was written to a catalog and its space since.
    pub fn follow(&mut self, catalog: &Catalog, space: &Space) -> Result<()> {
        let mut changes = catalog.changes(self.last)?;
        if changes.last < self.last {
            // An older state of the catalog was put in its place.
            *self = Directory::new(&self.identity);
            changes = catalog.changes(0)?;
        }
        let mut found = space.slots(changes.written.iter().map(|(_, text)| *text), 0);
        found.extend(space.slots(self.waiting.values().copied(), self.searched));
        self.take_in(&changes, space.vectors().len(), &found);
        Ok(())
    }

    /// Takes in changes, among so many `slots`; `found` has the slots of the texts that have one.
    fn take_in(&mut self, changes: &Changes, slots: usize, found: &HashMap<TextHash, Slot>) {
        for &number in &changes.deleted {
            self.take(number);
        }
        let before = self.paper_of.len();
        if before < slots {
            self.paper_of.resize(slots, NOBODY);
            self.dead.insert_range(before as Slot..slots as Slot);
        }
        let waiting = std::mem::take(&mut self.waiting);
        for (number, text) in waiting.into_iter().chain(changes.written.iter().copied()) {
            let Some(place) = u32::try_from(number).ok().filter(|place| *place != NOBODY) else { continue };
            self.take(number);
            let place = place as usize;
            self.slot_of.resize(self.slot_of.len().max(place + 1), NO_PAPER);
            match found.get(&text) {
                Some(slot) => self.put(place, *slot),
                None => {
                    self.put(place, NO_VECTOR);
                    self.waiting.insert(number, text);
                }
            }
        }
        self.last = changes.last;
        self.searched = slots;
    }

    fn put(&mut self, place: usize, slot: Slot) {
        self.slot_of[place] = slot;
        self.papers += 1;
        if slot == NO_VECTOR {
            return;
        }
        if self.paper_of.len() <= slot as usize {
            let before = self.paper_of.len() as Slot;
            self.paper_of.resize(slot as usize + 1, NOBODY);
            self.dead.insert_range(before..=slot);
        }
        let first = &mut self.paper_of[slot as usize];
        if *first == NOBODY {
            *first = place as u32;
            self.dead.remove(slot);
        } else {
            self.others.entry(slot).or_default().push(place as u32);
        }
    }

    fn take(&mut self, number: PaperNumber) {
        self.waiting.remove(&number);
        let Some(place) = usize::try_from(number).ok().filter(|place| *place < self.slot_of.len()) else {
            return;
        };
        let slot = std::mem::replace(&mut self.slot_of[place], NO_PAPER);
        if slot == NO_PAPER {
            return;
        }
        self.papers -= 1;
        let Some(first) = self.paper_of.get_mut(slot as usize) else { return };
        let others = self.others.entry(slot).or_default();
        others.retain(|other| *other != place as u32);
        if *first == place as u32 {
            *first = others.pop().unwrap_or(NOBODY);
        }
        if *first == NOBODY {
            self.dead.insert(slot);
        }
        if others.is_empty() {
            self.others.remove(&slot);
        }
    }

    /// The slots that stand for papers.
    pub fn live(&self) -> impl Iterator<Item = Slot> + Clone {
        let slots = (0..self.paper_of.len() as Slot).zip(&self.paper_of);
        slots.filter(|(_, paper)| **paper != NOBODY).map(|(slot, _)| slot)
    }

    /// How many slots there are.
    pub fn slot_count(&self) -> Slot {
        self.paper_of.len() as Slot
    }

    /// How many slots stand for none.
    pub fn dead(&self) -> usize {
        self.dead.len() as usize
    }

    /// The transaction of the catalog that it is as of.
    pub fn last(&self) -> i64 {
        self.last
    }

    /// How many papers there are, with or without a slot.
    pub fn papers(&self) -> usize {
        self.papers
    }

    /// How many papers have no slot.
    pub fn without_slot(&self) -> usize {
        self.waiting.len()
    }

    /// How many of them have a text that the model may read.
    pub fn waiting(&self, unreadable: &HashSet<TextHash>) -> usize {
        self.waiting.values().filter(|text| !unreadable.contains(*text)).count()
    }

    /// The slot of a paper's vector.
    pub fn slot(&self, number: PaperNumber) -> Option<Slot> {
        let slot = *self.slot_of.get(usize::try_from(number).ok()?)?;
        (slot < NO_VECTOR).then_some(slot)
    }

    /// The papers that a slot stands for.
    pub fn papers_of(&self, slot: Slot) -> impl Iterator<Item = PaperNumber> {
        let first = self.paper_of.get(slot as usize).filter(|first| **first != NOBODY);
        first.into_iter().chain(self.others.get(&slot).into_iter().flatten()).map(|number| (*number).into())
    }

    /// The slots that stand for an allowed paper (for any paper, for `None`).
    ///
    /// `None` if that is every slot there is, which is the common case and needs no set.
    pub fn slots(&self, allowed: Option<&Numbers>) -> Option<RoaringBitmap> {
        match allowed {
            Some(allowed) => Some(allowed.iter().filter_map(|number| self.slot(number)).collect()),
            None if self.dead.is_empty() => None,
            None => {
                let mut live = RoaringBitmap::new();
                live.insert_range(0..self.paper_of.len() as Slot);
                Some(live - &self.dead)
            }
        }
    }
}

/// Whether the papers that have a slot have one of the first so many.
fn are_below(slots: &[Slot], count: usize) -> bool {
    slots.iter().all(|slot| *slot >= NO_VECTOR || (*slot as usize) < count)
}

fn header(identity: &str, last: i64, slots: &[u8]) -> String {
    let text = format!("likewise directory 1\n{identity}\n{last}\n");
    let mut sum = crc32fast::Hasher::new();
    sum.update(text.as_bytes());
    sum.update(slots);
    format!("{text}{:08x}\n", sum.finalize())
}

fn parse<'a>(bytes: &'a [u8], identity: &str) -> Option<(i64, &'a [Slot])> {
    let (start, slots) = bytes.split_at_checked(HEADER_BYTES)?;
    let start = std::str::from_utf8(start).ok()?;
    let last = start.split('\n').nth(2)?.parse().ok()?;
    let is_whole = start.trim_end_matches('\0') == header(identity, last, slots);
    Some((last, bytemuck::try_cast_slice(slots).ok().filter(|_| is_whole)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn text(name: u8) -> TextHash {
        TextHash::of(&name.to_string())
    }

    /// What it must say, from the obvious relation.
    fn check(directory: &Directory, papers: &BTreeMap<PaperNumber, u8>, slots: &HashMap<TextHash, Slot>) {
        assert_eq!(directory.papers(), papers.len());
        let slot = |name: &u8| slots.get(&text(*name)).copied();
        assert_eq!(directory.without_slot(), papers.values().filter(|name| slot(name).is_none()).count());
        for number in 0..12 {
            assert_eq!(directory.slot(number), papers.get(&number).and_then(slot), "{number}");
        }
        let mut live = RoaringBitmap::new();
        for place in 0..slots.len() as Slot {
            let mut got: Vec<_> = directory.papers_of(place).collect();
            got.sort_unstable();
            let wanted =
                papers.iter().filter(|(_, name)| slot(name) == Some(place)).map(|(number, _)| *number);
            assert_eq!(got, wanted.collect::<Vec<_>>(), "slot {place}");
            if !got.is_empty() {
                live.insert(place);
            }
        }
        let all = live.len() == slots.len() as u64;
        assert_eq!(directory.slots(None), (!all).then_some(live));
    }

    proptest! {
        #[test]
        fn it_follows_whatever_is_written(steps in proptest::collection::vec((0_i64..12, 0_u8..8, 0_u8..4), 1..40)) {
            let folder = tempfile::tempdir().unwrap();
            let (mut directory, mut papers, mut slots) = (Directory::default(), BTreeMap::new(), HashMap::new());
            for (last, (number, name, what)) in (1..).zip(steps) {
                let mut changes = Changes { last, ..Changes::default() };
                match what {
                    0 => {
                        papers.remove(&number);
                        changes.deleted.push(number);
                    }
                    1 => {
                        let next = slots.len() as Slot;
                        slots.entry(text(name)).or_insert(next);
                    }
                    _ => {
                        papers.insert(number, name);
                        changes.written.push((number, text(name)));
                    }
                }
                directory.take_in(&changes, slots.len(), &slots);
                check(&directory, &papers, &slots);
                directory.save(folder.path()).unwrap();
                let text_of = |number| Ok(papers.get(&number).map(|name| text(*name)));
                let mut saved = Directory::load(folder.path(), "", slots.len(), text_of).unwrap();
                prop_assert_eq!(saved.last, last);
                saved.take_in(&Changes { last, ..Changes::default() }, slots.len(), &slots);
                check(&saved, &papers, &slots);
            }
        }
    }

    #[test]
    fn a_damaged_file_is_of_no_use() {
        let folder = tempfile::tempdir().unwrap();
        let mut directory = Directory::default();
        let slots = HashMap::from([(text(1), 0)]);
        directory.take_in(&Changes { last: 3, written: vec![(1, text(1))], deleted: vec![] }, 1, &slots);
        directory.save(folder.path()).unwrap();
        let load = |identity, slots| Directory::load(folder.path(), identity, slots, |_| Ok(None)).unwrap();
        assert_eq!(load("another", 1).last, 0);
        assert_eq!(load("", 0).last, 0, "its slots are not there");
        let path = folder.path().join(FILE);
        let whole = std::fs::read(&path).unwrap();
        assert_eq!(load("", slots.len()).slot(1), Some(0));
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            std::fs::write(&path, bytes).unwrap();
            assert_eq!(load("", slots.len()).last, 0, "byte {at}");
        }
    }

    #[test]
    fn filters_are_slots() {
        let mut directory = Directory::default();
        let slots = HashMap::from([(text(1), 0), (text(2), 1)]);
        let written = vec![(1, text(1)), (2, text(2)), (3, text(1)), (4, text(9))];
        directory.take_in(&Changes { last: 1, written, deleted: vec![] }, 2, &slots);
        let of = |numbers: Vec<PaperNumber>| directory.slots(Some(&numbers.into_iter().collect())).unwrap();
        assert_eq!(of(vec![3, 4, 7]).iter().collect::<Vec<_>>(), [0]);
        assert_eq!(of(vec![2, 1]).iter().collect::<Vec<_>>(), [0, 1]);
    }
}
