//! likewise finds research papers that are similar to a text or to other papers.
//!
//! Papers from dumps are encoded by an embedding model and kept in a data folder, which is searched by vectors and by
//! terms. Searches are available in this library, on the command line ([`cli`]) and over HTTP ([`server`]).
//!
//! ```
//! use likewise::ingest::FolderWriter;
//! use likewise::search::{Examples, Query};
//! use likewise::{Encoder, Library};
//! use likewise_papers::dump;
//! use std::path::Path;
//! use std::sync::Arc;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // A tiny model with random weights; "all-MiniLM-L6-v2" is a real one.
//! let encoder = Arc::new(Encoder::from_pretrained("tests/golden/small-bert")?);
//! let data = tempfile::tempdir()?;
//!
//! let dump = dump::read(Path::new("tests/data/five/plain.jsonl"), None)?;
//! let mut writer = FolderWriter::open(data.path(), &encoder)?;
//! writer.add(dump.entries.collect())?;
//! writer.finish()?;
//!
//! let library = Library::open(data.path(), encoder)?;
//! let query = Query { k: 3, ..Query::of(Examples::papers(vec!["2101.00004".into()])) };
//! for hit in library.search(&query)?.hits {
//!     println!("{}. {} ({:.2})", hit.rank, hit.paper.title, hit.score);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Layout
//!
//! A module imports only modules that are above it in this list. Parts that are useful on their own are crates in the
//! folder `crates/`, which every module can import: [`likewise_base`] (atomic file writes, memory-mapped files, CPU
//! features), [`likewise_papers`] (dumps → papers), [`likewise_encoder`] (texts → vectors), [`likewise_index`] (vectors
//! → nearest neighbours).
//!
//! - [`error`]: the error type of this crate
//! - [`json`]: deserialisers that are stricter or more lenient about JSON than serde
//! - [`store`]: the files of a data folder: the catalog of papers, their vectors, and which vector belongs to which
//!   paper
//! - [`ingest`]: writes papers to a data folder: read, merge duplicates, encode, index; also backup, repair, change of
//!   model
//! - [`search`]: a query (texts, papers or vectors) → ranked papers
//! - [`evaluation`]: measures search quality on test collections
//! - `milvus`: papers in a collection of a Milvus server instead of a data folder
//! - [`web`]: the web pages, as HTML
//! - [`server`]: the HTTP server; asynchronous code is only here, in `milvus`, and in the commands that start the
//!   server or export traces
//! - [`cli`]: the command line; one file per command

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
