//! A stream's lines, as text, with their numbers; what JSON Lines formats are read through.
//!
//! Its own file because bad bytes and endless lines are every format's trouble, and solved once.

use super::Refused;
use std::io::{BufRead, Read};

/// UTF-8's byte order mark, which some programs put first.
pub const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Longest line, or other piece of a dump that is one entry, that is held; a longer one is refused and skipped.
pub const MAX_ENTRY_BYTES: usize = 16 << 20;

/// The lines of `reader` that are not blank. After an error of the stream itself nothing follows.
pub fn lines(reader: Box<dyn BufRead + Send>) -> impl Iterator<Item = Result<(u64, String), Refused>> + Send {
    Lines { reader, number: 0, ended: false }
}

struct Lines {
    reader: Box<dyn BufRead + Send>,
    number: u64,
    ended: bool,
}

impl Iterator for Lines {
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
                    return Some(Err(self.refuse(format!(
                        "the file ends badly here ({error}); everything before was read, get the file again"
                    ))));
                }
            };
            if line.len() > MAX_ENTRY_BYTES {
                return Some(Err(
                    self.refuse(format!("got a line of over {MAX_ENTRY_BYTES} bytes, wanted a paper"))
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
                    let place = error.valid_up_to() + 1;
                    Err(self
                        .refuse(format!("byte {place} of the line is not UTF-8; convert the file to UTF-8")))
                }
            });
        }
    }
}

impl Lines {
    fn refuse(&self, reason: String) -> Refused {
        Refused { line: self.number, reason }
    }

    /// The next line; of one that is too long only as much as shows that it is.
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
    fn a_line_too_long_to_hold_is_skipped() {
        let mut bytes = vec![b'x'; MAX_ENTRY_BYTES + 10];
        bytes.extend_from_slice(b"\nnext");
        assert_eq!(read(&bytes), [Err(1), Ok((2, "next".into()))]);
    }
}
