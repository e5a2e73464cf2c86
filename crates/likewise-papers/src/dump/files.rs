//! What people name → the files to read: folders, patterns, archives.
//!
//! Its own file because no format cares how its files were found.

use super::open::{bad_archive, is_zip};
use super::source::{Member, Source};
use crate::error::{Error, Result};
use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};

/// Ends of names of files that somebody is still writing.
const UNFINISHED: [&str; 5] = [".partial", ".part", ".tmp", ".crdownload", ".download"];

/// The dumps that are meant by files, folders, patterns with `*`, and `-`, in the order named, those of a folder by
/// name. What is wrong with one does not keep the others from being read.
pub fn sources(named: &[PathBuf]) -> Vec<Result<Source>> {
    named.iter().flat_map(|path| meant_by(path).unwrap_or_else(|error| vec![Err(error)])).collect()
}

fn meant_by(path: &Path) -> Result<Vec<Result<Source>>> {
    if path == Path::new("-") {
        return Ok(vec![Ok(Source::file(path))]);
    }
    if path.is_dir() {
        let mut files = Vec::new();
        in_folder(path, &mut files)?;
        return Ok(files.iter().flat_map(|file| members_of(file, true)).collect());
    }
    if !path.exists()
        && let Some(pattern) = path.to_str().filter(|pattern| pattern.contains(['*', '?', '[']))
    {
        let invalid = |error: &dyn fmt::Display| Error::Invalid(format!("{pattern}: {error}"));
        let found = glob::glob(pattern).map_err(|error| invalid(&error))?;
        let found: Vec<PathBuf> = found.filter_map(Result::ok).filter(|file| file.is_file()).collect();
        if found.is_empty() {
            return Err(invalid(&"no file has such a name"));
        }
        return Ok(found.iter().flat_map(|file| members_of(file, false)).collect());
    }
    Ok(members_of(path, false))
}

/// The files of a folder and the folders in it, by name.
pub fn in_folder(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let entries = std::fs::read_dir(folder).map_err(Error::io(folder))?;
    let mut paths: Vec<PathBuf> = entries.filter_map(Result::ok).map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if name.starts_with('.') || UNFINISHED.iter().any(|end| name.ends_with(end)) {
            continue;
        }
        // A link to a folder may lead back here.
        let is_link = path.is_symlink();
        // A data folder may lie among the dumps.
        if path.is_dir() && !is_link && !path.join("catalog.sqlite").exists() {
            in_folder(&path, files)?;
        } else if path.is_file() {
            files.push(path);
        }
    }
    Ok(())
}

/// A file, or of an archive its members.
fn members_of(path: &Path, found: bool) -> Vec<Result<Source>> {
    let file = Source { found, ..Source::file(path) };
    let sources = is_zip(path).and_then(|is_zip| if is_zip { members(path) } else { Ok(vec![file]) });
    sources.map_or_else(|error| vec![Err(error)], |sources| sources.into_iter().map(Ok).collect())
}

fn members(path: &Path) -> Result<Vec<Source>> {
    let file = File::open(path).map_err(Error::io(path))?;
    let mut archive = zip::ZipArchive::new(file).map_err(|error| bad_archive(path, &error))?;
    let mut members = Vec::new();
    for index in 0..archive.len() {
        let member = archive.by_index_raw(index).map_err(|error| bad_archive(path, &error))?;
        let name = member.name().map_or_else(|_| format!("member {index}"), |name| name.into_owned());
        let is_hidden = name.rsplit('/').next().is_some_and(|name| name.starts_with('.'));
        if member.is_file() && !is_hidden && !name.starts_with("__MACOSX/") {
            members.push(Source { path: path.into(), member: Some(Member { index, name }), found: true });
        }
    }
    Ok(members)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_and_patterns_are_files_by_name() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("b")).unwrap();
        for name in ["c.txt", "a.txt", "b/x.json", ".hidden", "new.json.partial"] {
            std::fs::write(folder.path().join(name), "x").unwrap();
        }
        let names = |named: PathBuf| -> Vec<String> {
            let short = |source: Result<Source>| {
                source.map(|source| source.to_string()).unwrap_or_else(|error| error.to_string())
            };
            let all = sources(&[named]).into_iter().map(short);
            all.map(|name| name.replace(&format!("{}/", folder.path().display()), "")).collect()
        };
        assert_eq!(names(folder.path().into()), ["a.txt", "b/x.json", "c.txt"]);
        assert_eq!(names(folder.path().join("*.txt")), ["a.txt", "c.txt"]);
        assert_eq!(names("-".into()), ["-"]);
        assert!(names(folder.path().join("*.csv"))[0].contains("no file has such a name"));
        assert!(names(folder.path().join("none.csv"))[0].contains("No such file"));
    }
}
