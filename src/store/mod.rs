//! A data folder: the catalog of papers, and the files derived from the catalog.
//!
//! - [`catalog`]: the papers, in SQLite
//! - [`text`]: the text of a paper, and the hash that identifies this text
//! - [`vector_store`]: the vectors of one model, each stored with the hash of the paper's text
//! - [`slot_map`]: maps each paper to the slot of the paper's vector, and each slot to papers
//! - [`lock`]: the locks that processes hold while they write; only one process at a time can hold a lock

pub mod catalog;
pub mod lock;
pub mod slot_map;
pub mod text;
pub mod vector_store;
