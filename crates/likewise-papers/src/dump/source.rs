//! Where one dump is: a file, a member of an archive, or standard input.
//!
//! Its own file because finding dumps and opening them both speak of it.

use std::fmt;
use std::path::{Path, PathBuf};

/// One dump to read: a file, a member of a .zip, or standard input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The file; `-` is standard input.
    pub path: PathBuf,
    /// The member of the archive that it is.
    pub member: Option<Member>,
    /// Whether it was found in a folder or an archive, and not named: what looks like no dump is passed over then.
    pub found: bool,
}

/// A member of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its place in the archive.
    pub index: usize,
    /// Its name there.
    pub name: String,
}

impl Source {
    /// A file.
    pub fn file(path: &Path) -> Source {
        Source { path: path.into(), member: None, found: false }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())?;
        self.member.as_ref().map_or(Ok(()), |member| write!(f, ":{}", member.name))
    }
}
