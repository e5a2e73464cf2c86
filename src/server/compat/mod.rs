//! Other people's APIs: a file each, named by whose it is, so that the clients people have can be pointed here.

pub mod cohere;
pub mod hf_papers;
pub mod openai;
pub mod recommendations;
pub mod semantic_scholar;
pub mod tei;
