//! A paper, and what names and dates it.
//!
//! One [`Paper`] is what every dump format gives, and what everything behind it takes.

mod date;
mod id;

pub(crate) use date::month_number;
pub use date::{PublishedRange, parse_date, read_date, written_day};
pub use id::{Kind, MAX_ID_BYTES, PaperId};

use serde::{Deserialize, Serialize};

/// One paper, as every dump format gives it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Paper {
    /// Normalised id.
    pub id: PaperId,
    /// Title, white space collapsed.
    pub title: String,
    /// Abstract, white space collapsed.
    pub r#abstract: String,
    /// Authors, in order.
    pub authors: Vec<String>,
    /// `YYYY`, `YYYY-MM` or `YYYY-MM-DD`, as exact as the dump has it.
    pub published: Option<String>,
    /// Categories and keywords, as the dump has them.
    pub categories: Vec<String>,
    /// Conference or journal.
    pub venue: Option<String>,
    /// Where the dump is from: `arxiv`, `daily-papers`, or what the dump says.
    pub source: Option<String>,
    /// Where to read it.
    pub url: Option<String>,
    /// Other ids of the same paper: its DOI, those of its preprint or its published version.
    #[serde(default)]
    pub also: Vec<PaperId>,
    /// Whether its authors, or who published it, took it back.
    #[serde(default)]
    pub withdrawn: bool,
}

impl Paper {
    /// All its ids, first the one it is called by.
    pub fn ids(&self) -> impl Iterator<Item = &PaperId> {
        std::iter::once(&self.id).chain(&self.also)
    }
}

/// Collapses every run of white space and control characters into one space, and trims the ends.
pub fn collapse_whitespace(text: &str) -> String {
    text.split(|character: char| character.is_whitespace() || character.is_control())
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whitespace_and_control_characters_collapse() {
        assert_eq!(collapse_whitespace("  a\n  b\u{0}\tc\u{a0} d \r\n"), "a b c d");
        assert_eq!(collapse_whitespace("\n \t"), "");
    }
}
