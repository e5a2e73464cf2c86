//! A set of papers, by their numbers: the result of a filter.

use super::PaperNumber;
use roaring::RoaringTreemap;

/// A set of papers, as a compressed bitmap of their numbers.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PaperSet(RoaringTreemap);

impl PaperSet {
    /// Whether the set has this paper.
    pub fn contains(&self, number: PaperNumber) -> bool {
        u64::try_from(number).is_ok_and(|number| self.0.contains(number))
    }

    /// The number of papers.
    pub fn count(&self) -> usize {
        usize::try_from(self.0.len()).unwrap_or(usize::MAX)
    }

    /// The papers' numbers, ascending.
    pub fn iter(&self) -> impl Iterator<Item = PaperNumber> {
        self.0.iter().map(|number| number as PaperNumber)
    }

    /// The papers of this set that are not in `other`.
    pub fn difference(self, other: &PaperSet) -> PaperSet {
        PaperSet(self.0 - &other.0)
    }

    /// The papers that are in both sets.
    pub fn intersection(self, other: &PaperSet) -> PaperSet {
        PaperSet(self.0 & &other.0)
    }
}

impl FromIterator<PaperNumber> for PaperSet {
    fn from_iter<I: IntoIterator<Item = PaperNumber>>(numbers: I) -> PaperSet {
        PaperSet(numbers.into_iter().filter_map(|number| u64::try_from(number).ok()).collect())
    }
}
