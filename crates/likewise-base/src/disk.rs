//! Atomic writes, syncs and removals of files and folders, and reading of untrusted text files.

use crate::FileError;
use std::fs::File;
use std::io::Write;
use std::path::Path;

type Result<T> = std::result::Result<T, FileError>;

/// Replaces a file's content atomically: after a crash or a power cut, the file has either the old content or the new
/// content. Writes and syncs a temporary file, renames it to `path`, and syncs the folder.
///
/// # Errors
/// Returns an error if a file operation fails.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    let temporary = path.with_extension("tmp");
    let mut file = File::create(&temporary).map_err(FileError::at(&temporary))?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(FileError::at(&temporary))?;
    std::fs::rename(&temporary, path).map_err(FileError::at(path))?;
    sync(folder_of(path))
}

/// Maximum size of a file that [`read_text`] reads, in bytes: three times the size of the largest known tokenizer file.
const MAX_TEXT_BYTES: u64 = 128 << 20;

/// Returns the size of a regular file, in bytes.
///
/// # Errors
/// Returns an error, without the path, if the file's metadata cannot be read or the file is not a regular file. Other
/// kinds of file are refused because opening a pipe would block and reading a device might never end.
pub fn regular_file_size(path: &Path) -> std::io::Result<u64> {
    let metadata = std::fs::metadata(path)?;
    if metadata.is_file() {
        Ok(metadata.len())
    } else {
        Err(std::io::Error::other("this is not a regular file"))
    }
}

/// Reads a text file from an untrusted source.
///
/// # Errors
/// Returns an error, without the path, if the file is not a regular file, is larger than 128 MiB, cannot be read, or is
/// not UTF-8.
pub fn read_text(path: &Path) -> std::io::Result<String> {
    let size = regular_file_size(path)?;
    if size > MAX_TEXT_BYTES {
        return Err(std::io::Error::other(format!(
            "the file must have at most {MAX_TEXT_BYTES} bytes (got {size})"
        )));
    }
    std::fs::read_to_string(path)
}

/// Moves a finished temporary file to its final path, durably: syncs the file, renames it, and syncs the folder. A file
/// at the final path is therefore always complete.
pub fn publish(temporary: &Path, path: &Path) -> Result<()> {
    sync(temporary)?;
    std::fs::rename(temporary, path).map_err(FileError::at(path))?;
    sync(folder_of(path))
}

/// The folder that a file is in; the current folder for a bare file name.
fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Writes a file's content, or a folder's list of entries, through to the disk, where a power cut cannot destroy it.
pub fn sync(path: &Path) -> Result<()> {
    File::open(path).and_then(|file| file.sync_all()).map_err(FileError::at(path))
}

/// Removes a file if it exists, and then syncs the folder that contained the file.
pub fn remove_if_exists(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(FileError::at(path)(error)),
        Ok(()) => sync(folder_of(path)),
    }
}

/// Removes a file, or a folder with its content.
pub fn remove(path: &Path) -> Result<()> {
    let removed = if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) };
    removed.map_err(FileError::at(path))
}

/// Creates a folder and its missing parents.
pub fn create_folder(path: &Path) -> Result<()> {
    std::fs::create_dir_all(path).map_err(FileError::at(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_file_name_is_in_the_current_folder() {
        assert_eq!(folder_of(Path::new("space.json")), Path::new("."));
        assert_eq!(folder_of(Path::new("data/space.json")), Path::new("data"));
        assert_eq!(folder_of(Path::new("/x")), Path::new("/"));
    }
}
