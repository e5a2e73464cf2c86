//! The only integration test binary, so that candle is linked once.
//!
//! The tests use the real model, which `make setup` downloads, and small data files in `tests/data`.

#![allow(clippy::unwrap_used, reason = "a test that cannot continue should stop")]

/// Helpers for several test files: the model, a filled data folder, the program itself.
mod support;

/// Vectors equal those of the reference library.
mod golden;

/// Every supported architecture, and every setting of a model folder.
mod architectures;

/// Variants of model folders that exist in practice, and texts with tokens that the model cannot read.
mod folders;

/// Every dump format, and the entries and files that are refused.
mod dumps;

/// The model files: download, verification, and the errors for wrong files.
mod models;

/// Ingest: counts, interruption, replacement, a different model.
mod ingest;

/// `likewise embed`: vector files in parts and shards, after an interruption, and ingested again.
mod embed;

/// A process killed at any moment leaves a data folder with every acknowledged paper, exactly once.
mod crash;

/// A library that stays open while another writer adds, replaces and deletes papers.
mod follow;

/// `likewise reembed`: a different model replaces the one in use.
mod reembed;

/// Readers, a writer, deletes and merges at the same time.
mod soak;

/// Search over the sample: related papers, filters, exact search.
mod library;

/// Graph search in a library that is too large for a full scan.
mod graph_search;

/// The contract of a paper store, for a data folder and for a Milvus collection.
mod paper_store;

/// `likewise eval`: test collections, metrics and comparisons.
mod eval;

/// HTTP routes, without a socket.
mod routes;

/// A table of refused requests with their status and message.
mod refused;

/// The web pages, without a browser.
mod pages;

/// Writing papers over HTTP, and the permissions for it.
mod writes;

/// `likewise serve` as a process: sockets, keys, logs, configuration files.
mod served;

/// The other commands as processes.
mod program;
