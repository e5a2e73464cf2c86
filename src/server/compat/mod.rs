//! Emulations of other APIs, one file each, so that their clients work with this server.

pub mod cohere;
pub mod hf_papers;
pub mod openai;
pub mod recommendations;
pub mod semantic_scholar;
pub mod tei;
