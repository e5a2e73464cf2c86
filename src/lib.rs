//! likewise: which papers are like this one?
//!
//! # Layout
//!
//! Data flows one way, and a module imports only what stands above it here:
//!
//! - [`error`]: got what, wanted what, do what
//! - [`json`]: JSON, where serde takes too much or too little
//! - [`disk`]: atomic writes, and the writer's lock
//! - [`map`]: a file as values in memory
//! - [`cpu`]: which level of instructions is used
//! - [`latex`]: LaTeX → text that can be read
//! - [`sentences`]: a text's sentences
//! - [`terms`]: a text's terms, as they are compared
//! - [`paper`]: a paper, and its one normalised id
//! - [`dump`]: dump → papers, one file a format
//! - [`text`]: paper → the text that the model reads
//! - [`catalog`]: papers on disk, by id: the truth
//! - [`model`]: what a model folder says, and where to fetch one
//! - [`encoder`]: text → tokens → vectors
//! - [`space`]: one embedding space on disk
//! - [`directory`]: which papers a vector stands for
//! - [`index`]: vectors → neighbours
//! - [`eval`]: how good an answer is
//! - [`embed`]: papers' vectors into a file
//! - [`fill`]: papers into one space
//! - [`ingest`]: papers into a data folder
//! - [`verify`]: is a data folder as it was written; mends it
//! - [`reembed`]: another model takes the place of the one in use
//! - [`search`]: a text, papers, or a vector → ranked papers
//! - [`judged`]: sets that people judged → how good answers are
//! - `collection`: papers in a Milvus collection, for the same answers
//! - [`cite`]: papers in the formats of reference managers and spreadsheets
//! - [`server`]: the same over HTTP; the only async room
//! - [`cli`]: the same in a terminal; one file a command

pub mod error;
pub use error::{Error, Result};

pub mod json;

pub mod disk;

pub mod map;

pub mod cpu;

pub mod latex;

pub mod sentences;

pub mod terms;

pub mod paper;
pub use paper::{Paper, PaperId};

pub mod dump;

pub mod text;

pub mod catalog;
pub use catalog::{Catalog, Filter};

pub mod model;
pub use model::ModelFolder;

pub mod encoder;
pub use encoder::Encoder;

pub mod space;

pub mod directory;

pub mod index;
pub use index::Index;

pub mod eval;

pub mod embed;

pub mod fill;

pub mod ingest;

pub mod verify;

pub mod reembed;

pub mod search;
pub use search::{Library, Query};

pub mod judged;

#[cfg(feature = "milvus")]
pub mod collection;

pub mod cite;

pub mod web;

pub mod server;

pub mod cli;
