//! Replaces a file's content with standard input; a reader sees either the old content or the new content:
//! `echo new | cargo run --release -p likewise-base --example replace -- FILE`

use likewise_base::{FileError, disk};
use std::io::Read;
use std::path::PathBuf;

fn main() -> Result<(), FileError> {
    let Some(path) = std::env::args().nth(1).map(PathBuf::from) else {
        eprintln!("usage: replace FILE < NEW_CONTENT");
        return Ok(());
    };
    let mut bytes = Vec::new();
    std::io::stdin().read_to_end(&mut bytes).map_err(FileError::at("standard input"))?;
    disk::write_atomically(&path, &bytes)
}
