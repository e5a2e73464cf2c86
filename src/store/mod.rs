//! A data folder: the catalog of papers, which is the truth, and what is derived from it.
//!
//! [`catalog`] is SQLite; [`space`] has the vectors of one model, by text; [`directory`] says which papers a vector stands
//! for; [`text`] is what is read of a paper, and names it; [`lock`] is held by the one writer.

pub mod catalog;
pub mod directory;
pub mod lock;
pub mod space;
pub mod text;
