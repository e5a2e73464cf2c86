//! The slot map: maps each paper to the slot of the paper's vector, and each slot to papers.
//!
//! Papers with the same text share a slot. A slot is *orphaned* if it has no paper, because all its papers were
//! replaced or deleted. The map is derived from the catalog and the vector store, and is updated when either of them
//! has changed. It is saved beside the vectors, in a file named `directory`. To open a library of millions of papers,
//! four bytes per paper are read from this file instead of a row per paper from a table.

use crate::error::Result;
use crate::store::catalog::{Catalog, CatalogChanges, PaperNumber, PaperSet};
use crate::store::text::TextHash;
use crate::store::vector_store::VectorStore;
use likewise_base::disk;
use likewise_base::map::MappedFile;
use likewise_index::Slot;
use roaring::RoaringBitmap;
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

const FILE_NAME: &str = "directory";

/// Size in bytes of the header, which precedes the slots. It has the format's name and version, the catalog's identity,
/// the number of the last catalog transaction that the map includes, and the CRC-32 of these fields and of the slots.
const HEADER_BYTES: usize = 128;

/// Stored instead of a slot for a number that no paper has.
const UNUSED_NUMBER: Slot = Slot::MAX;

/// Stored instead of a slot for a paper whose text has no vector.
const WITHOUT_VECTOR: Slot = Slot::MAX - 1;

/// Stored instead of a paper's number for a slot that has no paper.
const ORPHANED: u32 = u32::MAX;

/// The slots of papers and the papers of slots, as they were after one transaction of the catalog.
#[derive(Default)]
pub struct SlotMap {
    /// The slot of each paper, indexed by the paper's number.
    slot_of: Vec<Slot>,
    /// One paper of each slot, indexed by slot, or [`ORPHANED`].
    paper_of: Vec<u32>,
    /// For each slot that has several papers: all of these papers except the one in `paper_of`.
    other_papers: HashMap<Slot, Vec<u32>>,
    /// Slots that have no paper.
    orphaned: RoaringBitmap,
    papers: usize,
    /// Papers without a vector, each with the hash of its text.
    waiting: HashMap<PaperNumber, TextHash>,
    /// The first slot that has not been searched for the texts of the papers in `waiting`. No earlier slot has one of
    /// these texts.
    searched: usize,
    /// The identity of the catalog.
    identity: String,
    /// The number of the last catalog transaction that this map includes.
    last_change: i64,
}

impl SlotMap {
    /// An empty map for the catalog with this identity. The map includes no transaction of the catalog.
    pub fn new(identity: &str) -> SlotMap {
        SlotMap { identity: identity.into(), ..SlotMap::default() }
    }

    /// Loads the saved map, and brings it up to date with the catalog and the vector store.
    pub fn open(catalog: &Catalog, vector_store: &VectorStore) -> Result<SlotMap> {
        let text = |number| catalog.text(number);
        let slot_count = vector_store.vectors().len();
        let mut slot_map = SlotMap::load(vector_store.path(), &catalog.identity()?, slot_count, text)?;
        slot_map.follow(catalog, vector_store)?;
        Ok(slot_map)
    }

    /// Loads the map that was saved in the folder of a vector store of `count` slots. Returns an empty map if no map
    /// was saved, or if the saved map is damaged, belongs to another catalog, or has a slot that the store lacks.
    /// `text` is called for papers that had no vector when the map was saved; it must return the hash of the paper's
    /// text, or `None` if the paper has been deleted.
    fn load(
        folder: &Path,
        identity: &str,
        count: usize,
        text: impl Fn(PaperNumber) -> Result<Option<TextHash>>,
    ) -> Result<SlotMap> {
        let (path, mut slot_map) = (folder.join(FILE_NAME), SlotMap::new(identity));
        let Ok(file) = MappedFile::open(&path) else { return Ok(slot_map) };
        let parsed = parse(file.bytes(), identity).filter(|(_, saved)| all_below(saved, count));
        let Some((last_change, slots)) = parsed else {
            tracing::warn!(
                "{}: the slot map is damaged or belongs to another catalog; it is rebuilt now",
                path.display()
            );
            return Ok(slot_map);
        };
        slot_map.last_change = last_change;
        slot_map.slot_of = vec![UNUSED_NUMBER; slots.len()];
        slot_map.paper_of = vec![ORPHANED; count];
        for (number, &slot) in slots.iter().enumerate().filter(|(_, slot)| **slot != UNUSED_NUMBER) {
            slot_map.assign(number, slot);
            if slot == WITHOUT_VECTOR
                && let Some(text) = text(number as PaperNumber)?
            {
                slot_map.waiting.insert(number as PaperNumber, text);
            }
        }
        let orphaned = (0..).zip(&slot_map.paper_of).filter(|(_, paper)| **paper == ORPHANED);
        slot_map.orphaned = orphaned.map(|(slot, _)| slot).collect();
        Ok(slot_map)
    }

    /// Saves the map in the folder of its vector store, atomically.
    pub fn save(&self, folder: &Path) -> Result<()> {
        let slots: &[u8] = bytemuck::cast_slice(&self.slot_of);
        let mut bytes = header(&self.identity, self.last_change, slots).into_bytes();
        bytes.resize(HEADER_BYTES, 0);
        bytes.extend_from_slice(slots);
        Ok(disk::write_atomically(&folder.join(FILE_NAME), &bytes)?)
    }

    /// Removes the saved map. This must be done before slots get other texts. The map is then rebuilt from the catalog.
    pub fn remove(folder: &Path) -> Result<()> {
        Ok(disk::remove_if_exists(&folder.join(FILE_NAME))?)
    }

    /// Removes the saved map if it is damaged or belongs to another catalog, or if it includes later transactions than
    /// the catalog has. The map includes such transactions if an older copy of the catalog was restored. The next
    /// transactions of that copy will get the same numbers again.
    pub fn remove_if_ahead(folder: &Path, catalog: &Catalog) -> Result<()> {
        let Ok(file) = MappedFile::open(&folder.join(FILE_NAME)) else { return Ok(()) };
        match parse(file.bytes(), &catalog.identity()?) {
            Some((last_change, _)) if last_change <= catalog.last_change()? => Ok(()),
            _ => SlotMap::remove(folder),
        }
    }

    /// The path of the saved map in the folder of a vector store.
    pub fn path(folder: &Path) -> PathBuf {
        folder.join(FILE_NAME)
    }

    /// Whether the map that was saved in the folder of a vector store of `count` slots is intact, belongs to this
    /// catalog, and has only slots of the store. True if no map was saved or the file cannot be opened.
    pub fn is_readable(folder: &Path, catalog: &Catalog, count: usize) -> Result<bool> {
        let Ok(file) = MappedFile::open(&folder.join(FILE_NAME)) else { return Ok(true) };
        Ok(parse(file.bytes(), &catalog.identity()?).is_some_and(|(_, saved)| all_below(saved, count)))
    }

    /// Removes the saved slot map if a paper in it has a slot from `count` on, because such slots will get other texts.
    /// Also removes it if the file is cut short.
    pub fn remove_beyond(folder: &Path, count: usize) -> Result<()> {
        let path = folder.join(FILE_NAME);
        let Ok(file) = MappedFile::open(&path) else { return Ok(()) };
        let saved = file.bytes().get(HEADER_BYTES..).and_then(|bytes| bytemuck::try_cast_slice(bytes).ok());
        if saved.is_some_and(|saved| all_below(saved, count)) { Ok(()) } else { SlotMap::remove(folder) }
    }

    /// Brings the map up to date with all changes to the catalog and the vector store since the last call.
    pub fn follow(&mut self, catalog: &Catalog, vector_store: &VectorStore) -> Result<()> {
        let mut changes = catalog.changes(self.last_change)?;
        if changes.last < self.last_change {
            // An older copy of the catalog was restored.
            *self = SlotMap::new(&self.identity);
            changes = catalog.changes(0)?;
        }
        let mut found = vector_store.slots(changes.written.iter().map(|(_, text)| *text), 0);
        found.extend(vector_store.slots(self.waiting.values().copied(), self.searched));
        self.apply(&changes, vector_store.vectors().len(), &found);
        Ok(())
    }

    /// Applies changes of the catalog. `slot_count` is the current count of slots. `found` maps those of the written
    /// and waiting texts that have a vector to their slots.
    fn apply(&mut self, changes: &CatalogChanges, slot_count: usize, found: &HashMap<TextHash, Slot>) {
        for &number in &changes.deleted {
            self.unassign(number);
        }
        let count_before = self.paper_of.len();
        if count_before < slot_count {
            self.paper_of.resize(slot_count, ORPHANED);
            self.orphaned.insert_range(count_before as Slot..slot_count as Slot);
        }
        let waiting = std::mem::take(&mut self.waiting);
        for (number, text) in waiting.into_iter().chain(changes.written.iter().copied()) {
            let Some(paper) = u32::try_from(number).ok().filter(|paper| *paper != ORPHANED) else { continue };
            self.unassign(number);
            let paper = paper as usize;
            self.slot_of.resize(self.slot_of.len().max(paper + 1), UNUSED_NUMBER);
            match found.get(&text) {
                Some(slot) => self.assign(paper, *slot),
                None => {
                    self.assign(paper, WITHOUT_VECTOR);
                    self.waiting.insert(number, text);
                }
            }
        }
        self.last_change = changes.last;
        self.searched = slot_count;
    }

    fn assign(&mut self, paper: usize, slot: Slot) {
        self.slot_of[paper] = slot;
        self.papers += 1;
        if slot == WITHOUT_VECTOR {
            return;
        }
        if self.paper_of.len() <= slot as usize {
            let count_before = self.paper_of.len() as Slot;
            self.paper_of.resize(slot as usize + 1, ORPHANED);
            self.orphaned.insert_range(count_before..=slot);
        }
        let first = &mut self.paper_of[slot as usize];
        if *first == ORPHANED {
            *first = paper as u32;
            self.orphaned.remove(slot);
        } else {
            self.other_papers.entry(slot).or_default().push(paper as u32);
        }
    }

    fn unassign(&mut self, number: PaperNumber) {
        self.waiting.remove(&number);
        let Some(paper) = usize::try_from(number).ok().filter(|paper| *paper < self.slot_of.len()) else {
            return;
        };
        let slot = std::mem::replace(&mut self.slot_of[paper], UNUSED_NUMBER);
        if slot == UNUSED_NUMBER {
            return;
        }
        self.papers -= 1;
        let Some(first) = self.paper_of.get_mut(slot as usize) else { return };
        let others = self.other_papers.entry(slot).or_default();
        others.retain(|other| *other != paper as u32);
        if *first == paper as u32 {
            *first = others.pop().unwrap_or(ORPHANED);
        }
        if *first == ORPHANED {
            self.orphaned.insert(slot);
        }
        if others.is_empty() {
            self.other_papers.remove(&slot);
        }
    }

    /// The slots that have a paper.
    pub fn used_slots(&self) -> impl Iterator<Item = Slot> + Clone {
        let slots = (0..self.paper_of.len() as Slot).zip(&self.paper_of);
        slots.filter(|(_, paper)| **paper != ORPHANED).map(|(slot, _)| slot)
    }

    /// The number of slots.
    pub fn slot_count(&self) -> Slot {
        self.paper_of.len() as Slot
    }

    /// The number of slots without a paper.
    pub fn orphaned(&self) -> usize {
        self.orphaned.len() as usize
    }

    /// The number of the last catalog transaction that this map includes.
    pub fn last_change(&self) -> i64 {
        self.last_change
    }

    /// The number of papers, with or without a slot.
    pub fn papers(&self) -> usize {
        self.papers
    }

    /// The number of papers without a slot.
    pub fn without_slot(&self) -> usize {
        self.waiting.len()
    }

    /// The number of papers that have no slot, although the model can read their texts: their texts are not in
    /// `unreadable`.
    pub fn waiting(&self, unreadable: &HashSet<TextHash>) -> usize {
        self.waiting.values().filter(|text| !unreadable.contains(*text)).count()
    }

    /// The slot of a paper's vector. `None` if the paper has no vector or does not exist.
    pub fn slot(&self, number: PaperNumber) -> Option<Slot> {
        let slot = *self.slot_of.get(usize::try_from(number).ok()?)?;
        (slot < WITHOUT_VECTOR).then_some(slot)
    }

    /// The papers of a slot.
    pub fn papers_of(&self, slot: Slot) -> impl Iterator<Item = PaperNumber> {
        let first = self.paper_of.get(slot as usize).filter(|first| **first != ORPHANED);
        first
            .into_iter()
            .chain(self.other_papers.get(&slot).into_iter().flatten())
            .map(|number| (*number).into())
    }

    /// The slots of the papers in `allowed`. If `allowed` is `None`, all papers are allowed.
    ///
    /// Returns `None` if every slot is allowed because `allowed` is `None` and no slot is orphaned. This is the usual
    /// case, and needs no set.
    pub fn slots(&self, allowed: Option<&PaperSet>) -> Option<RoaringBitmap> {
        match allowed {
            Some(allowed) => Some(allowed.iter().filter_map(|number| self.slot(number)).collect()),
            None if self.orphaned.is_empty() => None,
            None => {
                let mut all = RoaringBitmap::new();
                all.insert_range(0..self.paper_of.len() as Slot);
                Some(all - &self.orphaned)
            }
        }
    }
}

/// Whether all slots are below `count`. Ignores the values for papers without a vector and for unused numbers.
fn all_below(slots: &[Slot], count: usize) -> bool {
    slots.iter().all(|slot| *slot >= WITHOUT_VECTOR || (*slot as usize) < count)
}

fn header(identity: &str, last_change: i64, slots: &[u8]) -> String {
    let text = format!("likewise directory 1\n{identity}\n{last_change}\n");
    let mut checksum = crc32fast::Hasher::new();
    checksum.update(text.as_bytes());
    checksum.update(slots);
    format!("{text}{:08x}\n", checksum.finalize())
}

/// Parses the bytes of a saved map. Returns the number of the last catalog transaction that the map includes, and the
/// slots. `None` if the file is damaged or belongs to another catalog.
fn parse<'a>(bytes: &'a [u8], identity: &str) -> Option<(i64, &'a [Slot])> {
    let (start, slots) = bytes.split_at_checked(HEADER_BYTES)?;
    let start = std::str::from_utf8(start).ok()?;
    let last_change = start.split('\n').nth(2)?.parse().ok()?;
    let is_intact = start.trim_end_matches('\0') == header(identity, last_change, slots);
    Some((last_change, bytemuck::try_cast_slice(slots).ok().filter(|_| is_intact)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn text(name: u8) -> TextHash {
        TextHash::of(&name.to_string())
    }

    /// Compares the slot map with two plain maps: from papers to texts, and from texts to slots.
    fn check(slot_map: &SlotMap, papers: &BTreeMap<PaperNumber, u8>, slots: &HashMap<TextHash, Slot>) {
        assert_eq!(slot_map.papers(), papers.len());
        let slot = |name: &u8| slots.get(&text(*name)).copied();
        assert_eq!(slot_map.without_slot(), papers.values().filter(|name| slot(name).is_none()).count());
        for number in 0..12 {
            assert_eq!(slot_map.slot(number), papers.get(&number).and_then(slot), "{number}");
        }
        let mut used = RoaringBitmap::new();
        for of in 0..slots.len() as Slot {
            let mut actual: Vec<_> = slot_map.papers_of(of).collect();
            actual.sort_unstable();
            let expected =
                papers.iter().filter(|(_, name)| slot(name) == Some(of)).map(|(number, _)| *number);
            assert_eq!(actual, expected.collect::<Vec<_>>(), "slot {of}");
            if !actual.is_empty() {
                used.insert(of);
            }
        }
        let all_used = used.len() == slots.len() as u64;
        assert_eq!(slot_map.slots(None), (!all_used).then_some(used));
    }

    proptest! {
        #[test]
        fn slot_map_follows_changes_and_survives_a_reload(
            steps in proptest::collection::vec((0_i64..12, 0_u8..8, 0_u8..4), 1..40),
        ) {
            let folder = tempfile::tempdir().unwrap();
            let (mut slot_map, mut papers, mut slots) = (SlotMap::default(), BTreeMap::new(), HashMap::new());
            for (last, (number, name, kind)) in (1..).zip(steps) {
                let mut changes = CatalogChanges { last, ..CatalogChanges::default() };
                match kind {
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
                slot_map.apply(&changes, slots.len(), &slots);
                check(&slot_map, &papers, &slots);
                slot_map.save(folder.path()).unwrap();
                let text_of = |number| Ok(papers.get(&number).map(|name| text(*name)));
                let mut saved = SlotMap::load(folder.path(), "", slots.len(), text_of).unwrap();
                prop_assert_eq!(saved.last_change, last);
                saved.apply(&CatalogChanges { last, ..CatalogChanges::default() }, slots.len(), &slots);
                check(&saved, &papers, &slots);
            }
        }
    }

    #[test]
    fn damaged_files_are_ignored() {
        let folder = tempfile::tempdir().unwrap();
        let mut slot_map = SlotMap::default();
        let slots = HashMap::from([(text(1), 0)]);
        slot_map.apply(&CatalogChanges { last: 3, written: vec![(1, text(1))], deleted: vec![] }, 1, &slots);
        slot_map.save(folder.path()).unwrap();
        let load = |identity, slots| SlotMap::load(folder.path(), identity, slots, |_| Ok(None)).unwrap();
        assert_eq!(load("another", 1).last_change, 0);
        assert_eq!(load("", 0).last_change, 0, "the vector store has fewer slots");
        let path = folder.path().join(FILE_NAME);
        let intact = std::fs::read(&path).unwrap();
        assert_eq!(load("", slots.len()).slot(1), Some(0));
        for at in 0..intact.len() {
            let mut bytes = intact.clone();
            bytes[at] ^= 1;
            std::fs::write(&path, bytes).unwrap();
            assert_eq!(load("", slots.len()).last_change, 0, "byte {at}");
        }
    }

    #[test]
    fn slots_returns_the_slots_of_the_allowed_papers() {
        let mut slot_map = SlotMap::default();
        let slots = HashMap::from([(text(1), 0), (text(2), 1)]);
        let written = vec![(1, text(1)), (2, text(2)), (3, text(1)), (4, text(9))];
        slot_map.apply(&CatalogChanges { last: 1, written, deleted: vec![] }, 2, &slots);
        let of = |numbers: Vec<PaperNumber>| slot_map.slots(Some(&numbers.into_iter().collect())).unwrap();
        assert_eq!(of(vec![3, 4, 7]).iter().collect::<Vec<_>>(), [0]);
        assert_eq!(of(vec![2, 1]).iter().collect::<Vec<_>>(), [0, 1]);
    }
}
