//! Reads the text of a Daily Papers page: a few header lines, then paragraphs that are alternately a title and an
//! abstract.
//!
//! The text is copied from a web page, so the end of the header has to be found. The last fixed line of the header ends
//! with [`HEADER_END`]. In one of the two known variants of the page, a line with the day (`Jun 5`) follows.

use super::fields::{RawFields, build};
use super::lines::lines;
use super::warnings::Warnings;
use super::{Entries, Entry, Refused};
use crate::paper::month_number;
use std::io::BufRead;

/// Source name of the papers in this format.
pub const SOURCE: &str = "daily-papers";

/// End of the last fixed line of the header. This end is the same in both variants (`byAK and …`, `by AK and …`).
const HEADER_END: &str = "AK and the research community";

/// Whether the file looks like the text of a Daily Papers page.
pub fn looks_like(head: &str) -> bool {
    head[..head.floor_char_boundary(4096)].lines().any(|line| line.trim_end().ends_with(HEADER_END))
}

/// Returns the papers of a page.
pub fn entries(reader: Box<dyn BufRead + Send>, warnings: &Warnings) -> Entries {
    let warnings = warnings.clone();
    // Each paragraph is one line; `lines` leaves out blank lines.
    let mut paragraphs = lines(reader).peekable();
    let mut header = true;
    Box::new(std::iter::from_fn(move || {
        if std::mem::take(&mut header) {
            loop {
                match paragraphs.next() {
                    Some(Ok((_, text))) if text.trim_end().ends_with(HEADER_END) => break,
                    Some(Ok(_)) => {}
                    Some(Err(refused)) => {
                        header = true;
                        return Some(Err(refused));
                    }
                    None => {
                        let reason =
                            format!("the page must have a line that ends with {HEADER_END:?} (got none)");
                        return Some(Err(Refused { line: 1, reason }));
                    }
                }
            }
            paragraphs.next_if(|paragraph| matches!(paragraph, Ok((_, text)) if is_day(text.trim())));
        }
        let (line, title) = match paragraphs.next()? {
            Ok(title) => title,
            Err(refused) => {
                // Skip the abstract that belongs to the refused title.
                paragraphs.next();
                return Some(Err(refused));
            }
        };
        Some(match paragraphs.next() {
            Some(Ok((_, r#abstract))) => {
                let source = Some(SOURCE.into());
                let fields = RawFields {
                    title: Some(title),
                    r#abstract: Some(r#abstract),
                    source,
                    ..RawFields::default()
                };
                build(fields, &warnings).map(Entry::Paper).map_err(|reason| Refused { line, reason })
            }
            Some(Err(refused)) => Err(refused),
            None => Err(Refused {
                line,
                reason: format!("the title {:?} must be followed by an abstract (got none)", title.trim()),
            }),
        })
    }))
}

/// Whether a paragraph is a day such as `Jun 5`.
fn is_day(text: &str) -> bool {
    let Some((month, day)) = text.split_once(' ') else { return false };
    month.len() == 3
        && month_number(month).is_some()
        && day.parse().is_ok_and(|day: u8| (1..=31).contains(&day))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    fn titles(text: &str) -> Vec<Result<String, u64>> {
        entries(Box::new(Cursor::new(text.to_string().into_bytes())), &Warnings::default())
            .map(|entry| entry.map(title).map_err(|refused| refused.line))
            .collect()
    }

    fn title(entry: Entry) -> String {
        match entry {
            Entry::Paper(paper) => paper.title,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn both_variants_of_the_header_are_skipped() {
        let dated = "new\n\nSubscribe\n\nbyAK and the research community\n\nJun 5\n\nOne\n\nAbout one.\n\nTwo\n\nAbout two.\n";
        assert_eq!(titles(dated), [Ok("One".into()), Ok("Two".into())]);
        let undated = "new\n\nDaily Papers\n\nby AK and the research community\n\nOne\n\nAbout one.";
        assert_eq!(titles(undated), [Ok("One".into())]);
    }

    #[test]
    fn a_text_without_the_header_is_refused_and_the_abstract_of_a_refused_title_is_skipped() {
        assert_eq!(titles("One\n\nAbout one.\n"), [Err(1)]);
        let page = b"by AK and the research community\n\n\xff\n\nAbout one.\n\nTwo\n\nAbout two.\n";
        let read: Vec<_> = entries(Box::new(Cursor::new(page.to_vec())), &Warnings::default()).collect();
        assert!(read[0].is_err() && read.len() == 2, "{read:?}");
        assert_eq!(title(read[1].clone().unwrap()), "Two");
    }

    #[test]
    fn a_title_without_abstract_is_refused_with_its_line() {
        assert_eq!(
            titles("by AK and the research community\n\nOne\n\nAbout one.\n\nTwo\n"),
            [Ok("One".into()), Err(7)]
        );
    }
}
