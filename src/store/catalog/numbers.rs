//! A set of papers, by their numbers.
//!
//! Its own file because filters make such sets, and whoever has one only asks it.

use super::PaperNumber;
use roaring::RoaringTreemap;

/// A set of papers.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Numbers(RoaringTreemap);

impl Numbers {
    /// Whether a paper is in it.
    pub fn contains(&self, number: PaperNumber) -> bool {
        u64::try_from(number).is_ok_and(|number| self.0.contains(number))
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        usize::try_from(self.0.len()).unwrap_or(usize::MAX)
    }

    /// The papers, by number.
    pub fn iter(&self) -> impl Iterator<Item = PaperNumber> {
        self.0.iter().map(|number| number as PaperNumber)
    }

    /// The papers that are in this one and not in the other.
    pub fn without(self, other: &Numbers) -> Numbers {
        Numbers(self.0 - &other.0)
    }

    /// The papers that are in both.
    pub fn and(self, other: &Numbers) -> Numbers {
        Numbers(self.0 & &other.0)
    }
}

impl FromIterator<PaperNumber> for Numbers {
    fn from_iter<I: IntoIterator<Item = PaperNumber>>(numbers: I) -> Numbers {
        Numbers(numbers.into_iter().filter_map(|number| u64::try_from(number).ok()).collect())
    }
}
