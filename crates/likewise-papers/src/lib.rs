//! Reads dumps of research papers into one type, [`Paper`]. Supports the dumps of arXiv, OpenAlex, PubMed, Semantic
//! Scholar, the ACL Anthology, Hugging Face's daily papers, papercopilot and BEIR, and plain JSON Lines, CSV and
//! Parquet.
//!
//! Dumps are streamed: a reader holds one line, JSON value, XML element or paragraph in memory (in Parquet, a few
//! hundred rows), not the whole file. An entry that cannot be read is refused, with its line number (in Parquet, its
//! row number) and the reason, and reading continues with the next entry.
//!
//! ```
//! use likewise_papers::dump::{self, Entry};
//!
//! # fn main() -> Result<(), likewise_papers::Error> {
//! # let path = std::env::temp_dir().join(format!("likewise-papers-{}.jsonl", std::process::id()));
//! std::fs::write(&path, r#"{"id": "arXiv:2101.11408v2", "title": "Bees that count", "abstract": "They do."}
//! {"id": "no/title", "abstract": "An entry without a title is refused."}
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
//! A module imports only modules that are above it in this list:
//!
//! - [`mod@error`]: errors that concern a dump as a whole
//! - [`latex`]: LaTeX → Unicode text
//! - [`sentences`]: text → sentences
//! - [`terms`]: text → terms of lexical search
//! - [`paper`]: papers, their ids and dates
//! - [`dump`]: dump → papers, one source file per format
//! - [`bibliography`]: BibTeX → entries
//! - [`cite`]: papers → BibTeX, RIS, CSV and JSON Lines

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
