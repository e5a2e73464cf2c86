//! The one integration binary: candle is linked once.
//!
//! Everything here uses the real model, which `make setup` fetches; the data is small and shipped.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

/// What several of these files need: the model, a filled data folder, the program itself.
mod support;

/// Vectors equal the reference library's.
mod golden;

/// Every architecture, and every statement of a model folder.
mod architectures;

/// Model folders as people have them, and tokenizers that say what the model cannot read.
mod folders;

/// Every dump format, and what is refused.
mod dumps;

/// The model's files: where they come from, and what is said when they are wrong.
mod models;

/// Ingest: counts, interruption, replacement, another model.
mod ingest;

/// Vectors into files: in parts, in shards, interrupted, and back.
mod embed;

/// Killed at any moment, a data folder opens again with everything that was acknowledged, once.
mod crash;

/// A library that is open while another writer adds, replaces and deletes.
mod follow;

/// Another model takes the place of the one in use.
mod reembed;

/// Readers, a writer, deletes and merges at once.
mod soak;

/// Related papers of the sample come back; filters; exactness.
mod library;

/// A library too large to be scanned: what is found there, the graph found.
mod walk;

/// What holds papers, a data folder or a collection: one contract.
mod holdings;

/// Judged sets, measured and compared.
mod eval;

/// Routes, without a socket.
mod routes;

/// What is refused, with which status and what message: a table.
mod refused;

/// Pages, without a browser.
mod pages;

/// Papers that are written over HTTP, and who may.
mod writes;

/// The server from outside: sockets, keys, TLS, files of options.
mod served;

/// The program from outside.
mod program;
