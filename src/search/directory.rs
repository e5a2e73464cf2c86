//! Which papers a vector stands for, and where a paper's vector is.
//!
//! Its own file because the relation is many to one and changes: papers with the same text share a
//! slot, and a slot whose papers were all replaced stands for none.

use crate::catalog::PaperNumber;
use crate::space::Slot;
use crate::text::TextHash;
use roaring::{RoaringBitmap, RoaringTreemap};

/// A set of papers.
pub struct Numbers(RoaringTreemap);

impl Numbers {
    /// From numbers in any order.
    pub fn new(numbers: Vec<PaperNumber>) -> Numbers {
        Numbers(numbers.into_iter().filter_map(|number| u64::try_from(number).ok()).collect())
    }

    /// Whether a paper is in it.
    pub fn contains(&self, number: PaperNumber) -> bool {
        u64::try_from(number).is_ok_and(|number| self.0.contains(number))
    }
}

/// Papers and their slots, as they were when the library was opened.
pub struct Directory {
    /// Sorted by slot, then number.
    by_slot: Vec<(Slot, PaperNumber)>,
    /// Every slot that stands for a paper.
    live: RoaringBitmap,
    /// How many slots there are.
    slots: usize,
    without_slot: usize,
}

impl Directory {
    /// From every paper's text, and where among `slots` that text's vector is.
    pub fn new(
        texts: &[(PaperNumber, TextHash)],
        slots: usize,
        slot: impl Fn(TextHash) -> Option<Slot>,
    ) -> Directory {
        let slotted = texts.iter().filter_map(|(number, text)| Some((slot(*text)?, *number)));
        let mut by_slot: Vec<(Slot, PaperNumber)> = slotted.collect();
        by_slot.sort_unstable();
        let live = by_slot.iter().map(|(slot, _)| *slot).collect();
        let without_slot = texts.len() - by_slot.len();
        Directory { by_slot, live, slots, without_slot }
    }

    /// How many papers there are, with or without a slot.
    pub fn papers(&self) -> usize {
        self.by_slot.len() + self.without_slot
    }

    /// How many papers have no slot.
    pub fn without_slot(&self) -> usize {
        self.without_slot
    }

    /// The papers that a slot stands for.
    pub fn papers_of(&self, slot: Slot) -> impl Iterator<Item = PaperNumber> {
        let start = self.by_slot.partition_point(|(other, _)| *other < slot);
        self.by_slot[start..].iter().take_while(move |(other, _)| *other == slot).map(|(_, number)| *number)
    }

    /// The slots that stand for an allowed paper (for any paper, for `None`).
    ///
    /// `None` if that is every slot there is, which is the common case and needs no set.
    pub fn slots(&self, allowed: Option<&Numbers>) -> Option<RoaringBitmap> {
        match allowed {
            Some(allowed) => {
                let passing = self.by_slot.iter().filter(|(_, number)| allowed.contains(*number));
                Some(passing.map(|(slot, _)| *slot).collect())
            }
            None => (self.live.len() != self.slots as u64).then(|| self.live.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn papers_share_slots_and_slots_may_stand_for_none() {
        let text = |name: &str| TextHash::of(name);
        let texts = [(1, text("a")), (2, text("b")), (3, text("a")), (4, text("new"))];
        let slot =
            |hash| [("a", 0), ("b", 2)].iter().find(|(name, _)| text(name) == hash).map(|(_, slot)| *slot);
        let directory = Directory::new(&texts, 3, slot);
        assert_eq!((directory.papers(), directory.without_slot()), (4, 1));
        assert_eq!(directory.papers_of(0).collect::<Vec<_>>(), [1, 3]);
        assert_eq!(directory.papers_of(1).count(), 0);
        assert_eq!(
            directory.slots(None).unwrap().iter().collect::<Vec<_>>(),
            [0, 2],
            "slot 1 stands for none"
        );
        let all = [(1, text("a")), (3, text("a"))];
        assert!(Directory::new(&all, 1, slot).slots(None).is_none());
        assert!(Directory::new(&all, 2, slot).slots(None).is_some(), "the last slot stands for none");
        let allowed = Numbers::new(vec![3]);
        assert_eq!(directory.slots(Some(&allowed)).unwrap().iter().collect::<Vec<_>>(), [0]);
    }
}
