//! The text of a paper, and the hash of this text.
//!
//! The text is the title and the abstract, in the format of [`Document::text`]. Models read this text, but a model
//! whose settings have a separator of its own reads the title and the abstract with that separator.
//!
//! The hash links the catalog to the vector store: the catalog has the hash of each paper's text, and the vector store
//! maps such hashes to vectors.

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

/// The title and the abstract of a paper, in the form that the encoder takes.
pub fn document_of(paper: &Paper) -> Document<'_> {
    Document { title: &paper.title, body: &paper.r#abstract }
}

/// The text of a paper, which is hashed: see [`Document::text`].
pub fn text_of(paper: &Paper) -> String {
    document_of(paper).text()
}

/// Maximum length of a query, in bytes, for which LaTeX is converted. The conversion of a longer query would delay the
/// response. Abstracts are shorter than this.
const MAX_LATEX_QUERY_BYTES: usize = 20_000;

/// The text to encode for a query. LaTeX in the query is converted to plain text, as in papers; a query longer than
/// 20,000 bytes is returned unchanged.
pub fn text_of_query(text: &str) -> Cow<'_, str> {
    if text.len() > MAX_LATEX_QUERY_BYTES { Cow::Borrowed(text) } else { to_unicode(text) }
}
