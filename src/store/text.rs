//! The text of a paper that the model reads, and its hash.
//!
//! The hash joins the catalog and the vector store: the catalog has the hash of each paper's text, and the vector store
//! has a vector for each hash.

use likewise_encoder::Document;
use likewise_papers::Paper;
use likewise_papers::latex::to_unicode;
use sha2::{Digest, Sha256};
use std::borrow::Cow;

/// Size of a [`TextHash`], in bytes.
pub const HASH_BYTES: usize = 16;

/// The first 128 bits of a text's SHA-256. Two papers with the same text share one vector.
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

/// The encoder's view of a paper.
pub fn document_of(paper: &Paper) -> Document<'_> {
    Document { title: &paper.title, body: &paper.r#abstract }
}

/// The text of a paper that the model reads: see [`Document::text`].
pub fn text_of(paper: &Paper) -> String {
    document_of(paper).text()
}

/// LaTeX is not converted in queries longer than this, in bytes, because the conversion delays the response. Abstracts
/// are shorter.
const MAX_LATEX_QUERY_BYTES: usize = 20_000;

/// The text of a query that the model reads. LaTeX is converted to plain text, as it is in papers.
pub fn text_of_query(text: &str) -> Cow<'_, str> {
    if text.len() > MAX_LATEX_QUERY_BYTES { Cow::Borrowed(text) } else { to_unicode(text) }
}
