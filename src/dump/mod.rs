//! Dump → papers: one file a format, all behind [`read`].
//!
//! A reader streams: it holds one line or one paragraph, never the file. What cannot be read as a
//! paper comes out as a [`Refused`] with its line, and the next one follows.

mod ahead;
mod arxiv;
mod daily_papers;
mod jsonl;
mod lines;
mod open;

pub use ahead::{Chunks, chunks};
pub use open::{BytesRead, open};

use crate::error::{Error, Result};
use crate::paper::Paper;
use std::io::BufRead;
use std::path::Path;

/// A dump's format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// arXiv's metadata snapshot: JSON Lines with `authors_parsed`, `versions`, `update_date`.
    Arxiv,
    /// Plain JSON Lines: `id, title, abstract` and optionally authors, published or year,
    /// categories or keywords, venue, source, url.
    Jsonl,
    /// The text of a Daily Papers page: header lines, then titles and abstracts in turn.
    DailyPapers,
}

/// An entry that is not a paper.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Line of the file, from 1.
    pub line: u64,
    /// What was got and what was wanted.
    pub reason: String,
}

/// Every entry of a dump, in order: a paper, or why it is none.
pub type Papers = Box<dyn Iterator<Item = Result<Paper, Refused>> + Send>;

/// Reads a dump, in the format named, or in the one it looks like.
///
/// # Errors
/// [`Error::Invalid`] if no format is named and it looks like none; [`Error::Io`] if it cannot be
/// opened. What fails later comes out of the iterator.
pub fn read(path: &Path, format: Option<Format>) -> Result<(Papers, BytesRead)> {
    let (mut reader, bytes_read) = open(path)?;
    let format = match format {
        Some(format) => format,
        None => {
            let head = reader.fill_buf().map_err(Error::io(path))?;
            match looks_like(head) {
                Some(format) => format,
                None if head.trim_ascii().is_empty() => Format::Jsonl,
                None => return Err(unknown_format(path, head)),
            }
        }
    };
    let papers: Papers = match format {
        Format::Arxiv => Box::new(arxiv::papers(reader)),
        Format::Jsonl => Box::new(jsonl::papers(reader)),
        Format::DailyPapers => Box::new(daily_papers::papers(reader)),
    };
    Ok((papers, bytes_read))
}

/// Tells the format by a dump's first bytes.
fn looks_like(head: &[u8]) -> Option<Format> {
    let head = head.strip_prefix(lines::BYTE_ORDER_MARK).unwrap_or(head).trim_ascii_start();
    if head.starts_with(b"{") {
        let first_line = head.split(|&byte| byte == b'\n').next().unwrap_or(head);
        return Some(if arxiv::looks_like(first_line) { Format::Arxiv } else { Format::Jsonl });
    }
    daily_papers::looks_like(head).then_some(Format::DailyPapers)
}

fn unknown_format(path: &Path, head: &[u8]) -> Error {
    use clap::ValueEnum;
    let names: Vec<String> = Format::value_variants()
        .iter()
        .filter_map(|format| format.to_possible_value())
        .map(|value| value.get_name().to_string())
        .collect();
    let start = String::from_utf8_lossy(&head[..head.len().min(40)]).into_owned();
    Error::Invalid(format!(
        "{}: starts with {start:?}, which looks like no known dump; name its format with --format ({})",
        path.display(),
        names.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Cursor;

    #[test]
    fn formats_are_told_by_looking() {
        assert_eq!(looks_like(br#"{"id":"a","title":"b"}"#), Some(Format::Jsonl));
        assert_eq!(looks_like(b"\xef\xbb\xbf\n {\"id\":1}"), Some(Format::Jsonl));
        assert_eq!(looks_like(br#"{"id":"0704.0010","authors_parsed":[]}"#), Some(Format::Arxiv));
        assert_eq!(
            looks_like(b"Daily Papers\n\nby AK and the research community\n"),
            Some(Format::DailyPapers)
        );
        assert_eq!(looks_like(b"%PDF-1.5"), None);
    }

    proptest! {
        #[test]
        fn no_bytes_make_a_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            for reader in [arxiv::papers, jsonl::papers, daily_papers::papers] {
                let count = reader(Box::new(Cursor::new(bytes.clone()))).count();
                prop_assert!(count <= bytes.len() + 1);
            }
        }

        #[test]
        fn no_json_makes_a_reader_panic(json in "(\\{(\"(id|title|abstract|authors|year|categories|versions)\":(1|1.5|null|\"a\"|\\[\\]|\\[1\\]|\\{\\}),?){0,4}\\}\n){0,4}") {
            for reader in [arxiv::papers, jsonl::papers] {
                reader(Box::new(Cursor::new(json.clone().into_bytes()))).count();
            }
        }
    }
}
