//! A data folder: the catalog of papers, and the files derived from it.
//!
//! - [`catalog`]: the papers, in SQLite
//! - [`text`]: the text of a paper that the model reads; its hash identifies the text
//! - [`vector_store`]: the vectors of one model, by text
//! - [`slot_map`]: which papers have which vector
//! - [`lock`]: the lock that the one writing process holds

pub mod catalog;
pub mod lock;
pub mod slot_map;
pub mod text;
pub mod vector_store;
