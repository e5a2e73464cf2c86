//! Operating-system basics that the other crates share: atomic file writes, memory-mapped files as plain slices, and
//! the choice of the CPU's instruction set.
//!
//! This crate is separate for two reasons: the encoder, the index and the store all need it; and mapping a file is the
//! only `unsafe` code outside the SIMD kernels, so it is written and justified in one place.
//!
//! ```
//! use likewise_base::disk;
//!
//! # fn main() -> Result<(), likewise_base::FileError> {
//! # let folder = std::env::temp_dir().join(format!("likewise-base-{}", std::process::id()));
//! disk::create_folder(&folder)?;
//! let path = folder.join("note.txt");
//! // A reader sees either the old content or the new content, even if the power fails during the write.
//! disk::write_atomically(&path, b"all or nothing")?;
//! assert_eq!(disk::read_text(&path).unwrap(), "all or nothing");
//! # disk::remove(&folder)
//! # }
//! ```
//!
//! # Layout
//!
//! - [`disk`]: atomic writes, syncs, removals, and reading of untrusted text files; every [`FileError`] names the path
//! - [`map`]: memory-mapped files, and arrays whose values are in memory or in a mapped file
//! - [`cpu`]: the choice of the instruction set

pub mod disk;

pub mod map;

pub mod cpu;

mod error;
pub use error::{DISK_FULL_ADVICE, FileError};
