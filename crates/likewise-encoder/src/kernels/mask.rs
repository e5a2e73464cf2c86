//! Attention masks: which tokens of a text a token attends to.

use std::ops::Range;

/// Which tokens of a text a token of the text attends to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttentionMask {
    /// All tokens.
    Full,
    /// The token itself and the tokens before it.
    Causal,
    /// The token itself, and the tokens at most this many positions before or after it.
    SlidingWindow(usize),
    /// The token itself, and the tokens fewer than this many positions before it.
    CausalWindow(usize),
}

impl AttentionMask {
    /// Whether the token at the position `query` attends to the token at the position `key`.
    pub fn allows(self, query: usize, key: usize) -> bool {
        match self {
            AttentionMask::Full => true,
            AttentionMask::Causal => key <= query,
            AttentionMask::SlidingWindow(radius) => query.abs_diff(key) <= radius,
            AttentionMask::CausalWindow(width) => key <= query && query - key < width,
        }
    }

    /// Returns the smallest range that contains all keys that the queries attend to, in a text of `length` tokens.
    pub fn keys(self, queries: &Range<usize>, length: usize) -> Range<usize> {
        match self {
            AttentionMask::Full => 0..length,
            AttentionMask::Causal => 0..queries.end,
            AttentionMask::SlidingWindow(radius) => {
                queries.start.saturating_sub(radius)..length.min(queries.end + radius)
            }
            AttentionMask::CausalWindow(width) => (queries.start + 1).saturating_sub(width)..queries.end,
        }
    }
}
