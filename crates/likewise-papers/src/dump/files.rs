//! Expands the paths that the user gave (files, folders, patterns, archives) to a list of the dumps to read.

use super::open::{archive_error, is_zip};
use super::source::{Member, Source};
use crate::error::{Error, Result};
use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};

/// Endings of the names of files that are still being written; such files in a folder are skipped.
const UNFINISHED_SUFFIXES: [&str; 5] = [".partial", ".part", ".tmp", ".crdownload", ".download"];

/// Returns the dumps named by `paths`: files, folders, patterns with `*`, `?` or `[…]`, and `-` for standard input. The
/// dumps are in the order of `paths`; the dumps of one folder are sorted by name. An error concerns only one path.
pub fn sources(paths: &[PathBuf]) -> Vec<Result<Source>> {
    paths.iter().flat_map(|path| expand(path).unwrap_or_else(|error| vec![Err(error)])).collect()
}

fn expand(path: &Path) -> Result<Vec<Result<Source>>> {
    if path == Path::new("-") {
        return Ok(vec![Ok(Source::file(path))]);
    }
    if path.is_dir() {
        let mut files = Vec::new();
        collect_files(path, &mut files)?;
        return Ok(files.iter().flat_map(|file| members_of(file, true)).collect());
    }
    if !path.exists()
        && let Some(pattern) = path.to_str().filter(|pattern| pattern.contains(['*', '?', '[']))
    {
        let invalid = |error: &dyn fmt::Display| Error::Invalid(format!("{pattern}: {error}"));
        let matches = glob::glob(pattern).map_err(|error| invalid(&error))?;
        let files: Vec<PathBuf> = matches.filter_map(Result::ok).filter(|file| file.is_file()).collect();
        if files.is_empty() {
            return Err(invalid(&"no file matches this pattern"));
        }
        return Ok(files.iter().flat_map(|file| members_of(file, false)).collect());
    }
    Ok(members_of(path, false))
}

/// Appends the files of a folder and its subfolders to `files`, sorted by name. Skips hidden files and folders,
/// unfinished files, links to folders, and subfolders that are data folders of likewise.
///
/// # Errors
/// Returns [`Error::Io`] if a folder cannot be read.
pub fn collect_files(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let entries = std::fs::read_dir(folder).map_err(Error::io(folder))?;
    let mut paths: Vec<PathBuf> = entries.filter_map(Result::ok).map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if name.starts_with('.') || UNFINISHED_SUFFIXES.iter().any(|end| name.ends_with(end)) {
            continue;
        }
        // Do not follow links to folders, because links can form a cycle.
        let is_link = path.is_symlink();
        // Skip data folders of likewise, which contain no dumps.
        if path.is_dir() && !is_link && !path.join("catalog.sqlite").exists() {
            collect_files(&path, files)?;
        } else if path.is_file() {
            files.push(path);
        }
    }
    Ok(())
}

/// Returns the file as one source, or the members of the file that are not hidden if it is a .zip.
fn members_of(path: &Path, discovered: bool) -> Vec<Result<Source>> {
    let file = Source { discovered, ..Source::file(path) };
    let sources = is_zip(path).and_then(|is_zip| if is_zip { members(path) } else { Ok(vec![file]) });
    sources.map_or_else(|error| vec![Err(error)], |sources| sources.into_iter().map(Ok).collect())
}

fn members(path: &Path) -> Result<Vec<Source>> {
    let file = File::open(path).map_err(Error::io(path))?;
    let mut archive = zip::ZipArchive::new(file).map_err(|error| archive_error(path, &error))?;
    let mut members = Vec::new();
    for index in 0..archive.len() {
        let member = archive.by_index_raw(index).map_err(|error| archive_error(path, &error))?;
        let name = member.name().map_or_else(|_| format!("member {index}"), |name| name.into_owned());
        let is_hidden = name.rsplit('/').next().is_some_and(|name| name.starts_with('.'));
        if member.is_file() && !is_hidden && !name.starts_with("__MACOSX/") {
            members.push(Source {
                path: path.into(),
                member: Some(Member { index, name }),
                discovered: true,
            });
        }
    }
    Ok(members)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_and_patterns_expand_to_files_sorted_by_name() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("b")).unwrap();
        for name in ["c.txt", "a.txt", "b/x.json", ".hidden", "new.json.partial"] {
            std::fs::write(folder.path().join(name), "x").unwrap();
        }
        let names = |path: PathBuf| -> Vec<String> {
            let short = |source: Result<Source>| {
                source.map(|source| source.to_string()).unwrap_or_else(|error| error.to_string())
            };
            let all = sources(&[path]).into_iter().map(short);
            all.map(|name| name.replace(&format!("{}/", folder.path().display()), "")).collect()
        };
        assert_eq!(names(folder.path().into()), ["a.txt", "b/x.json", "c.txt"]);
        assert_eq!(names(folder.path().join("*.txt")), ["a.txt", "c.txt"]);
        assert_eq!(names("-".into()), ["-"]);
        assert!(names(folder.path().join("*.csv"))[0].contains("no file matches this pattern"));
        assert!(names(folder.path().join("none.csv"))[0].contains("No such file"));
    }
}
