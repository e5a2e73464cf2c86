//! likewise: which papers are like this one?
//!
//! # Layout
//!
//! Data flows one way, and a module imports only what stands above it here. What can be used without the rest is a crate
//! of its own in `crates/`, above all of them: [`likewise_base`] (files, mapped files, the CPU's instruction level),
//! [`likewise_papers`] (dumps → papers), [`likewise_encoder`] (texts → vectors), [`likewise_index`] (vectors → neighbours).
//!
//! - [`error`]: got what, wanted what, do what
//! - [`json`]: JSON, where serde takes too much or too little
//! - [`store`]: a data folder: the catalog of papers, their vectors, and which paper has which
//! - [`ingest`]: papers in: read, folded, encoded, appended, indexed; another model; is all as it was written?
//! - [`search`]: a text, papers, or a vector → ranked papers
//! - [`evaluation`]: sets that people judged → how good answers are
//! - `milvus`: papers in a Milvus collection, for the same answers
//! - [`web`]: pages as HTML
//! - [`server`]: the same over HTTP; the only async room
//! - [`cli`]: the same in a terminal; one file a command

pub mod error;
pub use error::{Error, Result};

pub mod json;

pub mod store;
pub use store::catalog::{Catalog, Filter};

pub mod ingest;

pub mod search;
pub use search::{Library, Query};

pub mod evaluation;

#[cfg(feature = "milvus")]
pub mod milvus;

pub mod web;

pub mod server;

pub mod cli;

pub use likewise_encoder::{Encoder, ModelFolder};
pub use likewise_index::Index;
pub use likewise_papers::{Paper, PaperId};
