//! Dumps of research papers, read as one kind of [`Paper`]: arXiv, OpenAlex, PubMed, Semantic Scholar, the ACL Anthology,
//! Hugging Face's daily papers, papercopilot, BEIR, and plain JSON Lines, CSV and Parquet.
//!
//! A reader streams: it holds one line, one element or one paragraph, never the file, and an entry that is no paper is
//! refused by itself, with its line and the reason.
//!
//! ```
//! use likewise_papers::dump::{self, Entry};
//!
//! # fn main() -> Result<(), likewise_papers::Error> {
//! # let path = std::env::temp_dir().join(format!("likewise-papers-{}.jsonl", std::process::id()));
//! std::fs::write(&path, r#"{"id": "arXiv:2101.11408v2", "title": "Bees that count", "abstract": "They do."}
//! {"id": "no/title", "abstract": "Refused, and the next one follows."}
//! "#).unwrap();
//!
//! let dump = dump::read(&path, None)?;
//! for entry in dump.entries {
//!     match entry {
//!         Ok(Entry::Paper(paper)) => assert_eq!(paper.id.as_str(), "2101.11408"),
//!         Ok(other) => println!("{other:?}"),
//!         Err(refused) => assert_eq!(refused.line, 2),
//!     }
//! }
//! # std::fs::remove_file(&path).unwrap();
//! # Ok(())
//! # }
//! ```
//!
//! # Layout
//!
//! Data flows one way, and a module imports only what stands above it here:
//!
//! - [`mod@error`]: what is wrong with a dump as a whole
//! - [`latex`]: LaTeX → text that can be read
//! - [`sentences`]: a text's sentences
//! - [`terms`]: a text's terms, as they are compared
//! - [`paper`]: a paper, its ids and its dates
//! - [`dump`]: dump → papers, one file a format
//! - [`bibliography`]: BibTeX → its entries
//! - [`cite`]: papers in the formats of reference managers and spreadsheets

pub mod error;
pub use error::{Error, Result};

mod markup;

pub mod latex;

pub mod sentences;

pub mod terms;

pub mod paper;
pub use paper::{Paper, PaperId};

pub mod dump;

pub mod cite;

pub mod bibliography;
