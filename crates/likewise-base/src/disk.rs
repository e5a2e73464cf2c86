//! How files are published: written aside, synced, renamed.
//!
//! Its own file so that there is one way to do each.

use crate::FileError;
use std::fs::File;
use std::io::Write;
use std::path::Path;

type Result<T> = std::result::Result<T, FileError>;

/// Writes a file so that a reader sees the old content or the new, whatever happens in between: a
/// temporary file, synced, renamed over the old one, and the folder synced.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    let temporary = path.with_extension("tmp");
    let mut file = File::create(&temporary).map_err(FileError::at(&temporary))?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(FileError::at(&temporary))?;
    std::fs::rename(&temporary, path).map_err(FileError::at(path))?;
    path.parent().map_or(Ok(()), sync)
}

/// Most bytes of a file that is read as a whole: the largest tokenizers have a third of it.
const MOST_READ: u64 = 128 << 20;

/// Refuses what is no plain file: a pipe would be waited for, and a device has no end.
pub fn check_plain(path: &Path) -> std::io::Result<u64> {
    let metadata = std::fs::metadata(path)?;
    if metadata.is_file() { Ok(metadata.len()) } else { Err(std::io::Error::other("is no plain file")) }
}

/// Reads a file that somebody else wrote, and that should be small.
pub fn read_text(path: &Path) -> std::io::Result<String> {
    let length = check_plain(path)?;
    if length > MOST_READ {
        return Err(std::io::Error::other(format!("has {length} bytes, wanted at most {MOST_READ}")));
    }
    std::fs::read_to_string(path)
}

/// Gives a file that was written under another name the one it is looked for by; it is whole from then on.
pub fn publish(temporary: &Path, path: &Path) -> Result<()> {
    sync(temporary)?;
    std::fs::rename(temporary, path).map_err(FileError::at(path))?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    sync(folder.unwrap_or(Path::new(".")))
}

/// Makes a file's content, or a folder's list of names, survive a power cut.
pub fn sync(path: &Path) -> Result<()> {
    File::open(path).and_then(|file| file.sync_all()).map_err(FileError::at(path))
}

/// Removes a file, if there is one, so that it stays removed.
pub fn remove_if_there(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(FileError::at(path)(error)),
        Ok(()) => path.parent().map_or(Ok(()), sync),
    }
}

/// Removes a file, or a folder with all that is in it.
pub fn remove(path: &Path) -> Result<()> {
    let removed = if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) };
    removed.map_err(FileError::at(path))
}

/// Makes a folder and those above it.
pub fn create_folder(path: &Path) -> Result<()> {
    std::fs::create_dir_all(path).map_err(FileError::at(path))
}
