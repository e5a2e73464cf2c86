//! Options of the server: limits, keys and allowed origins. The defaults suit a laptop.

use super::access::Keys;
use super::queue::QueueLimits;
use crate::search::MAX_K;
use std::time::Duration;

/// Number of hits that a hit with its embedding or with an explanation counts as, for [`ServerOptions::max_hits`].
pub const LARGE_HIT_COST: usize = 4;

/// Number of hits that `rerank_sentences` adds to the hits of a query, for [`ServerOptions::max_hits`]. It stands for
/// the time that reranking takes.
pub const RERANK_COST: usize = 1000;

/// Number of hits that each sub-query after the first adds to the hits of a query, for [`ServerOptions::max_hits`]. A
/// query can have one sub-query for each example, or for each cluster of examples.
pub const SUB_QUERY_COST: usize = 40;

/// The options of a server.
#[derive(Debug, Clone)]
pub struct ServerOptions {
    /// Maximum size of a body, in bytes, except for uploads of papers.
    pub max_body_bytes: usize,
    /// Maximum size of an upload of papers, in bytes. An upload in JSON Lines is read in chunks, so it can be larger
    /// than the memory. One JSON value of an upload can have at most `max_body_bytes` bytes.
    pub max_upload_bytes: usize,
    /// Maximum length of a text in a query or an input, in bytes.
    pub max_text_bytes: usize,
    /// Maximum number of texts, or of queries, in a request.
    pub max_batch: usize,
    /// Maximum number of hits of a query to an API; the server's own pages have no such limit.
    pub max_k: usize,
    /// Maximum number of hits of all queries of a batch together. A hit with its embedding or with an explanation
    /// counts as [`LARGE_HIT_COST`] hits. `rerank_sentences` adds [`RERANK_COST`] hits to a query, and each sub-query
    /// that the query can have after the first adds [`SUB_QUERY_COST`] hits.
    pub max_hits: usize,
    /// Maximum total size, in bytes, of the responses in memory that clients have not read to their end. Responses of
    /// up to 16 KiB do not count, and a larger response is sent whatever its size if no other such response is unread.
    pub max_unread_bytes: usize,
    /// Maximum number of searches that run or wait, taken together.
    pub max_searches: usize,
    /// Limits of the queue into the encoder.
    pub queue: QueueLimits,
    /// Time within which a client must complete the TLS handshake, and send the headers of a request. An idle
    /// connection is closed after this time.
    pub header_timeout: Duration,
    /// Time within which a client must send a body or, in an upload, the next chunk of the body.
    pub body_timeout: Duration,
    /// Time within which a request must be answered; uploads have no such limit.
    pub request_timeout: Duration,
    /// Maximum number of open connections; further connections are closed at once.
    pub max_connections: usize,
    /// The keys, with their permissions and rate limits.
    pub keys: Keys,
    /// Origins of other sites whose pages are allowed to call this server from a browser; `*` allows all origins,
    /// except for `/mcp`.
    pub cors_origins: Vec<String>,
    /// Host names of this server that `/mcp` accepts in `Host`, besides `localhost` and the loopback addresses.
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
