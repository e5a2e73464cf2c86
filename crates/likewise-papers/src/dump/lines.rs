//! Reads a stream line by line, as text with line numbers. Lines that are too long or not UTF-8 are refused.

use super::Refused;
use std::io::{BufRead, Read};

/// Byte order mark of UTF-8, which some programs write at the beginning of a file.
pub const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Maximum size of one entry of a dump (a line, a JSON value, an XML element, or a row of a table): 16 MiB. A longer
/// entry is refused; after a longer row of a table, the rest of the table is not read either. Rows of Parquet files
/// have no limit.
pub const MAX_ENTRY_BYTES: usize = 16 << 20;

/// Returns the lines of `reader` that are not blank, with their line numbers, from 1. An I/O error is returned as the
/// last item.
pub fn lines(reader: Box<dyn BufRead + Send>) -> impl Iterator<Item = Result<(u64, String), Refused>> + Send {
    LineReader { reader, number: 0, ended: false }
}

/// Returns the reason for refusing the rest of a file that ends too early or cannot be read any further.
pub fn incomplete(problem: &str) -> String {
    format!("{problem}; the entries before this point were read; get the complete file and read it again")
}

/// Returns the reason for refusing the rest of a file after an I/O error or damage.
pub fn unreadable_from_here(error: &dyn std::fmt::Display) -> String {
    incomplete(&format!("the file cannot be read past this point ({error})"))
}

struct LineReader {
    reader: Box<dyn BufRead + Send>,
    number: u64,
    ended: bool,
}

impl Iterator for LineReader {
    type Item = Result<(u64, String), Refused>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if self.ended {
                return None;
            }
            self.number += 1;
            let line = match self.read_line() {
                Ok(None) => {
                    self.ended = true;
                    return None;
                }
                Ok(Some(line)) => line,
                Err(error) => {
                    self.ended = true;
                    return Some(Err(self.refuse(unreadable_from_here(&error))));
                }
            };
            if line.len() > MAX_ENTRY_BYTES {
                return Some(Err(
                    self.refuse(format!("a line must be at most {MAX_ENTRY_BYTES} bytes (got a longer one)"))
                ));
            }
            let line =
                if self.number == 1 { line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&line) } else { &line };
            if line.trim_ascii().is_empty() {
                continue;
            }
            return Some(match std::str::from_utf8(line) {
                Ok(text) => Ok((self.number, text.to_string())),
                Err(error) => {
                    let position = error.valid_up_to() + 1;
                    Err(self.refuse(format!(
                        "byte {position} of the line is not UTF-8; convert the file to UTF-8"
                    )))
                }
            });
        }
    }
}

impl LineReader {
    fn refuse(&self, reason: String) -> Refused {
        Refused { line: self.number, reason }
    }

    /// Returns the next line. `None`: the stream has ended. A line that is too long is truncated to one byte over the
    /// limit.
    fn read_line(&mut self) -> std::io::Result<Option<Vec<u8>>> {
        let mut line = Vec::new();
        let limit = MAX_ENTRY_BYTES as u64 + 1;
        let count = (&mut self.reader).take(limit).read_until(b'\n', &mut line)?;
        if count as u64 == limit && !line.ends_with(b"\n") {
            self.reader.skip_until(b'\n')?;
        }
        Ok((count > 0).then_some(line))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    fn read(bytes: &[u8]) -> Vec<Result<(u64, String), u64>> {
        lines(Box::new(Cursor::new(bytes.to_vec())))
            .map(|line| line.map_err(|refused| refused.line))
            .collect()
    }

    #[test]
    fn a_bad_line_is_refused_and_the_next_one_read() {
        let got = read(b"\xef\xbb\xbfone\n\n\xff\xfe\nfour");
        assert_eq!(got, [Ok((1, "one\n".into())), Err(3), Ok((4, "four".into()))]);
    }

    #[test]
    fn a_line_over_the_size_limit_is_refused_and_the_next_is_read() {
        let mut bytes = vec![b'x'; MAX_ENTRY_BYTES + 10];
        bytes.extend_from_slice(b"\nnext");
        assert_eq!(read(&bytes), [Err(1), Ok((2, "next".into()))]);
    }
}
