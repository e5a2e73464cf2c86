//! A paper, its ids and its publication date.
//!
//! Every dump format is read into a [`Paper`], and all other code works with this type.

mod date;
mod id;

pub(crate) use date::month_number;
pub use date::{PublishedRange, format_day, parse_date, read_date};
pub use id::{IdKind, MAX_ID_BYTES, PaperId};

use serde::{Deserialize, Serialize};

/// A paper.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Paper {
    /// Normalised id.
    pub id: PaperId,
    /// Title, with white space collapsed.
    pub title: String,
    /// Abstract, with white space collapsed; empty if the dump has no abstract.
    pub r#abstract: String,
    /// Authors, in order.
    pub authors: Vec<String>,
    /// Publication date: `YYYY`, `YYYY-MM` or `YYYY-MM-DD`, as precise as in the dump. `None`: unknown.
    pub published: Option<String>,
    /// Categories and keywords, without duplicates.
    pub categories: Vec<String>,
    /// Conference or journal.
    pub venue: Option<String>,
    /// Name of the source: the name that belongs to the dump's format, such as `arxiv` or `pubmed`, or the name that a
    /// plain dump states. `None`: the dump states no source.
    pub source: Option<String>,
    /// URL of the paper's page.
    pub url: Option<String>,
    /// Other ids of the same paper, such as its DOI, or the id of its preprint or published version. In JSON that older
    /// versions of likewise wrote, the key is `also`.
    #[serde(default, alias = "also")]
    pub alternate_ids: Vec<PaperId>,
    /// Whether the authors or the publisher withdrew the paper.
    #[serde(default)]
    pub withdrawn: bool,
}

impl Paper {
    /// All ids of the paper: `id` first, then `alternate_ids`.
    pub fn ids(&self) -> impl Iterator<Item = &PaperId> {
        std::iter::once(&self.id).chain(&self.alternate_ids)
    }
}

/// Replaces each run of white space and control characters by one space, and trims both ends.
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
    fn alternate_ids_are_read_from_json_of_older_versions() {
        let json = r#"{"id":"a","title":"T","abstract":"","authors":[],"published":null,"categories":[],"venue":null,
            "source":null,"url":null,"also":["b"]}"#;
        let paper: Paper = serde_json::from_str(json).unwrap();
        assert_eq!(paper.alternate_ids, [PaperId::stored("b".into())]);
        assert!(serde_json::json!(paper).to_string().contains(r#""alternate_ids":["b"]"#));
    }

    #[test]
    fn whitespace_and_control_characters_collapse() {
        assert_eq!(collapse_whitespace("  a\n  b\u{0}\tc\u{a0} d \r\n"), "a b c d");
        assert_eq!(collapse_whitespace("\n \t"), "");
    }
}
