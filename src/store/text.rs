//! Paper → the text that the model reads, and that text's hash.
//!
//! Its own file because the hash is what joins the catalog and the vectors: one names a text, the other has it.

use likewise_encoder::Document;
use likewise_papers::Paper;
use likewise_papers::latex::readable;
use sha2::{Digest, Sha256};
use std::borrow::Cow;

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

/// A paper, as the encoder takes it.
pub fn document_of(paper: &Paper) -> Document<'_> {
    Document { title: &paper.title, body: &paper.r#abstract }
}

/// What is read of a paper: see [`Document::text`].
pub fn text_of(paper: &Paper) -> String {
    document_of(paper).text()
}

/// Longest query whose LaTeX is made readable, in bytes: somebody waits for it, and a longer one is no abstract.
const LONGEST_READABLE: usize = 20_000;

/// What the model reads of a query: its LaTeX is made readable, as that of papers was.
pub fn text_of_query(text: &str) -> Cow<'_, str> {
    if text.len() > LONGEST_READABLE { Cow::Borrowed(text) } else { readable(text) }
}
