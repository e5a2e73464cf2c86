//! Replaces a file's content by standard input's, so that readers see the old one or the new one:
//! `echo new | cargo run --release -p likewise-base --example replace -- FILE`

use likewise_base::{FileError, disk};
use std::io::Read;
use std::path::PathBuf;

fn main() -> Result<(), FileError> {
    let Some(path) = std::env::args().nth(1).map(PathBuf::from) else {
        eprintln!("got no file, wanted one");
        return Ok(());
    };
    let mut bytes = Vec::new();
    std::io::stdin().read_to_end(&mut bytes).map_err(FileError::at("standard input"))?;
    disk::write_atomically(&path, &bytes)
}
