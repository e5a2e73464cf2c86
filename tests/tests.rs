//! All integration tests, in one binary, so that candle is linked only once.
//!
//! By default, most tests use the model all-MiniLM-L6-v2, which `make setup` downloads; the others use small models
//! with random weights in `tests/golden`. Test data is in `tests/data`.

#![allow(clippy::unwrap_used, reason = "a test that cannot continue should stop")]

/// Helpers that several test files use: models, a library with the papers of `tests/data/sample.jsonl`, and functions
/// that run the program as a process.
mod support;

/// Vectors equal the vectors of the reference library.
mod golden;

/// Vectors of every supported architecture and every setting of a model folder.
mod architectures;

/// Variants of model folders that exist in practice, and texts with tokens that the model cannot read.
mod folders;

/// Every dump format, and the entries and files that are refused.
mod dumps;

/// The model files: download, verification, and the errors for wrong files.
mod models;

/// Ingest: counts, interruption, replacement, a different model.
mod ingest;

/// `likewise embed` as a process: vector files in parts and shards, continued after an interruption, and ingested.
mod embed;

/// Cross-encoders: their scores, and which folders they refuse.
mod cross_encoders;

/// Models with one encoder for papers and another for queries.
mod two_encoders;

/// LoRA adapters that are merged into a model.
mod lora;

/// Models with late interaction: their scores, and which folders they refuse.
mod late_interaction;

/// Sparse encoders: their vectors, and which folders they refuse.
mod sparse;

/// Reranking with a cross-encoder, in the library, the API, the pages and the program.
mod rerank;

/// A process that is killed at any moment leaves a data folder with every acknowledged paper exactly once.
mod crash;

/// Queries in a library that stays open while a separate writer adds, replaces and deletes papers.
mod follow;

/// `likewise reembed`: a different model replaces the one in use.
mod reembed;

/// Readers, a writer, deletes and merges at the same time.
mod soak;

/// Search in the papers of the sample: related papers, filters, exact search.
mod library;

/// Graph search in a library that is too large for a full scan.
mod graph_search;

/// The documented behaviour of a paper store, for a data folder and for a Milvus collection.
mod paper_store;

/// Tests of `likewise eval`: test collections, metrics and comparisons.
mod eval;

/// HTTP routes, without a socket.
mod routes;

/// A table of refused requests with their status and message.
mod refused;

/// The web pages, without a browser.
mod pages;

/// Writing papers over HTTP, and the permissions for writing.
mod writes;

/// `likewise serve` as a process: sockets, keys, logs, configuration files.
mod served;

/// The program's commands as processes: ingest, search, verify, serve, embed, and their errors.
mod program;
