//! Where one dump is read from: a file, a member of an archive, or standard input.

use std::fmt;
use std::path::{Path, PathBuf};

/// One dump to read: a file, a member of a .zip, or standard input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Path of the file; `-` is standard input.
    pub path: PathBuf,
    /// Member of the archive at `path`. `None`: the dump is the file itself.
    pub member: Option<Member>,
    /// Whether the dump was found in a folder or an archive, instead of being named by the user. The commands skip such
    /// a dump if opening it fails with [`crate::Error::Invalid`], for example because its format is not recognised.
    pub discovered: bool,
}

/// A member of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Index of the member in the archive, from 0.
    pub index: usize,
    /// Path of the member inside the archive.
    pub name: String,
}

impl Source {
    /// Returns the source for a file that the user named.
    pub fn file(path: &Path) -> Source {
        Source { path: path.into(), member: None, discovered: false }
    }

    /// Whether the user named this file, and its name is that of a table: it ends in `.csv` or `.tsv`, or in one of
    /// these and the ending of a compressed file.
    pub(super) fn is_named_table(&self) -> bool {
        let name = self.path.to_string_lossy().to_lowercase();
        let name =
            [".gz", ".zst", ".bz2"].iter().find_map(|ending| name.strip_suffix(ending)).unwrap_or(&name);
        !self.discovered && [".csv", ".tsv"].iter().any(|ending| name.ends_with(ending))
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())?;
        self.member.as_ref().map_or(Ok(()), |member| write!(f, ":{}", member.name))
    }
}
