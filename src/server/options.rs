//! What a server takes and whom it serves: its limits, each with a default that is right for a laptop.
//!
//! Its own file because handlers and the command line both read it, and neither should know the other.

use super::access::Keys;
use super::queue::QueueLimits;
use crate::search::MAX_K;
use std::time::Duration;

/// How many hits one with its embedding, or with why it is one, is as large as.
pub const LARGE: usize = 4;

/// How many hits a question that is rescored takes as long as.
pub const SLOW: usize = 1000;

/// How many hits a further search of a question takes as long as: for each of its examples, or for each cluster of them.
pub const EACH: usize = 40;

/// What a server takes and whom it serves.
#[derive(Debug, Clone)]
pub struct ServerOptions {
    /// Longest body, in bytes.
    pub max_body_bytes: usize,
    /// Longest body of an upload of papers, in bytes; it is never in memory as a whole.
    pub max_upload_bytes: usize,
    /// Longest text of a query or of an input, in bytes.
    pub max_text_bytes: usize,
    /// Most texts, or queries, in one request.
    pub max_batch: usize,
    /// Most hits of one query.
    pub max_k: usize,
    /// Hits of all queries of one request; one with its embedding, or explained, counts as [`LARGE`] of them, a question
    /// that is rescored as [`SLOW`] more, and one with several examples that are searched for as [`EACH`] more each.
    pub max_hits: usize,
    /// Bytes of answers that may not be read yet.
    pub max_unread_bytes: usize,
    /// Searches that may wait for a thread.
    pub max_searches: usize,
    /// What may wait for the encoder.
    pub queue: QueueLimits,
    /// How long a client may take to send a request's head.
    pub header_timeout: Duration,
    /// How long a client may take to send a body or, in an upload, its next piece.
    pub body_timeout: Duration,
    /// How long an answer may take.
    pub request_timeout: Duration,
    /// Open connections; more are closed at once.
    pub max_connections: usize,
    /// Who may in.
    pub keys: Keys,
    /// Other sites whose pages may ask from a browser; `*` for all.
    pub cors_origins: Vec<String>,
    /// Names that this server is reached by, beside those of the machine itself: what `/mcp` accepts as `Host`.
    pub hosts: Vec<String>,
}

impl Default for ServerOptions {
    fn default() -> ServerOptions {
        ServerOptions {
            max_body_bytes: 4 << 20,
            max_upload_bytes: 1 << 30,
            max_text_bytes: 1 << 20,
            max_batch: 2048,
            max_k: MAX_K,
            max_hits: 20_480,
            max_unread_bytes: 256 << 20,
            max_searches: 2048,
            queue: QueueLimits::default(),
            header_timeout: Duration::from_secs(30),
            body_timeout: Duration::from_secs(30),
            request_timeout: Duration::from_secs(60),
            max_connections: 4096,
            keys: Keys::default(),
            cors_origins: Vec::new(),
            hosts: Vec::new(),
        }
    }
}
