//! Paper → the text that the model reads, and that text's hash.
//!
//! Its own file because the recipe is part of the space's fingerprint: change one word of it and
//! every vector changes.

use crate::latex::readable;
use crate::paper::Paper;
use sha2::{Digest, Sha256};
use std::borrow::Cow;

/// Names the recipe of [`text_of`]; part of the space's fingerprint.
pub const RECIPE: &str = "title. abstract/1";

/// Bytes in a [`TextHash`].
pub const HASH_BYTES: usize = 16;

/// The first 128 bits of a text's SHA-256: two papers with the same text share one vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TextHash(pub [u8; HASH_BYTES]);

impl TextHash {
    /// Hashes a text.
    pub fn of(text: &str) -> TextHash {
        let digest = Sha256::digest(text.as_bytes());
        let mut hash = [0; HASH_BYTES];
        hash.copy_from_slice(&digest[..HASH_BYTES]);
        TextHash(hash)
    }
}

/// What the model reads of a paper: `title. abstract`, without doubling the title's own full stop; the title alone, if
/// there is no abstract.
pub fn text_of(paper: &Paper) -> String {
    if paper.r#abstract.is_empty() {
        return paper.title.clone();
    }
    let stop = if paper.title.ends_with(['.', '?', '!', ':']) { " " } else { ". " };
    format!("{}{stop}{}", paper.title, paper.r#abstract)
}

/// Longest query whose LaTeX is made readable, in bytes: somebody waits for it, and a longer one is no abstract.
const LONGEST_READABLE: usize = 20_000;

/// What the model reads of a query: its LaTeX is made readable, as that of papers was.
pub fn text_of_query(text: &str) -> Cow<'_, str> {
    if text.len() > LONGEST_READABLE { Cow::Borrowed(text) } else { readable(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_keeps_its_own_full_stop() {
        let paper = |title: &str| Paper { title: title.into(), r#abstract: "B.".into(), ..Paper::default() };
        assert_eq!(text_of(&paper("A")), "A. B.");
        assert_eq!(text_of(&paper("A?")), "A? B.");
        assert_eq!(text_of(&Paper { r#abstract: String::new(), ..paper("A") }), "A");
    }
}
