//! What the other crates ask of the machine: files that are published whole, files mapped as plain
//! slices, and the CPU's instruction level.
//!
//! Its own crate because the encoder, the index and the store all need these three, and mapping a file
//! is the one `unsafe` act outside the kernels: it should be written, and argued for, once.
//!
//! ```
//! use likewise_base::disk;
//!
//! # fn main() -> Result<(), likewise_base::FileError> {
//! # let folder = std::env::temp_dir().join(format!("likewise-base-{}", std::process::id()));
//! disk::create_folder(&folder)?;
//! let path = folder.join("note.txt");
//! // A reader sees the old content or the new one, even if the power fails in between.
//! disk::write_atomically(&path, b"all of it, or nothing")?;
//! assert_eq!(disk::read_text(&path).unwrap(), "all of it, or nothing");
//! # disk::remove(&folder)
//! # }
//! ```
//!
//! # Layout
//!
//! - [`disk`]: atomic writes, syncs and removals, with the path in every error
//! - [`map`]: a file as values in memory
//! - [`cpu`]: which level of instructions is used

pub mod disk;

pub mod map;

pub mod cpu;

mod error;
pub use error::FileError;
