//! Bytes → UTF-8, by the byte order mark or the XML declaration that a file begins with.
//!
//! Its own file because it comes before every text format: Excel writes tables in UTF-16, old archives XML in Latin-1.

use super::unread::Unread;
use encoding_rs::{CoderResult, Decoder, Encoding};
use std::io::{BufRead, BufReader, Read, Result};

/// Bytes that are decoded at once.
const AT_ONCE: usize = 64 << 10;

/// The same in UTF-8; as it is, if nothing says that it is anything else.
///
/// # Errors
/// If the beginning cannot be read.
pub fn as_utf8(mut reader: Box<dyn BufRead + Send>, unread: &Unread) -> Result<Box<dyn BufRead + Send>> {
    let head = reader.fill_buf()?;
    let Some(encoding) = by_mark(head).or_else(|| by_zeros(head)).or_else(|| declared(head)) else {
        return Ok(reader);
    };
    let decoded = Decoded {
        reader,
        decoder: encoding.new_decoder(),
        text: Vec::new(),
        place: 0,
        ended: false,
        name: encoding.name(),
        unread: unread.clone(),
    };
    Ok(Box::new(BufReader::with_capacity(AT_ONCE, decoded)))
}

/// UTF-16 by its byte order mark. UTF-8's own is the readers' matter.
fn by_mark(head: &[u8]) -> Option<&'static Encoding> {
    let (encoding, _) = Encoding::for_bom(head)?;
    Some(encoding).filter(|encoding| *encoding != encoding_rs::UTF_8)
}

/// UTF-16 without a mark: every second byte of what dumps begin with is zero.
fn by_zeros(head: &[u8]) -> Option<&'static Encoding> {
    match head.get(..4)? {
        [a, 0, b, 0] if *a != 0 && *b != 0 => Some(encoding_rs::UTF_16LE),
        [0, a, 0, b] if *a != 0 && *b != 0 => Some(encoding_rs::UTF_16BE),
        _ => None,
    }
}

/// What `<?xml … encoding="…"?>` says.
fn declared(head: &[u8]) -> Option<&'static Encoding> {
    let head = head.strip_prefix(b"<?xml")?;
    let declaration = &head[..memchr::memmem::find(head, b"?>")?.min(200)];
    let declaration = std::str::from_utf8(declaration).ok()?;
    let (_, value) = declaration.split_once("encoding")?;
    let value = value.trim_start().strip_prefix('=')?.trim_start();
    let quote = value.chars().next().filter(|quote| ['"', '\''].contains(quote))?;
    let label = value[1..].split(quote).next()?;
    // Whoever could read that it is UTF-16 has read it in something else.
    Encoding::for_label(label.as_bytes()).filter(|encoding| {
        ![encoding_rs::UTF_8, encoding_rs::UTF_16LE, encoding_rs::UTF_16BE].contains(encoding)
    })
}

/// A stream in another encoding, decoded.
struct Decoded {
    reader: Box<dyn BufRead + Send>,
    decoder: Decoder,
    text: Vec<u8>,
    place: usize,
    ended: bool,
    name: &'static str,
    unread: Unread,
}

impl Decoded {
    fn refill(&mut self) -> Result<()> {
        let bytes = self.reader.fill_buf()?;
        let is_last = bytes.is_empty();
        self.text.resize(AT_ONCE, 0);
        let (result, read, written, is_damaged) = self.decoder.decode_to_utf8(bytes, &mut self.text, is_last);
        if is_damaged {
            self.unread.note(&format!("bytes that are no {}, read as \u{fffd}", self.name), "");
        }
        self.reader.consume(read);
        self.text.truncate(written);
        self.place = 0;
        self.ended = is_last && matches!(result, CoderResult::InputEmpty);
        Ok(())
    }
}

impl Read for Decoded {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        while self.place == self.text.len() && !self.ended {
            self.refill()?;
        }
        let count = buffer.len().min(self.text.len() - self.place);
        buffer[..count].copy_from_slice(&self.text[self.place..self.place + count]);
        self.place += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    fn read(bytes: Vec<u8>) -> String {
        let reader = BufReader::with_capacity(3, Cursor::new(bytes));
        let mut text = String::new();
        let reader: Box<dyn BufRead + Send> = match reader.buffer().is_empty() {
            // All of the beginning is looked at.
            true => Box::new(BufReader::with_capacity(100, reader)),
            false => Box::new(reader),
        };
        as_utf8(reader, &Unread::default()).unwrap().read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn what_a_file_says_it_is_it_is_read_as() {
        let text = "id,título\n1,Erdős 😀\n";
        let utf16 = |bytes: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(bytes).collect::<Vec<u8>>();
        let (little, big) = (utf16(u16::to_le_bytes), utf16(u16::to_be_bytes));
        assert_eq!(read([b"\xff\xfe", &little[..]].concat()), text);
        assert_eq!(read([b"\xfe\xff", &big[..]].concat()), text);
        assert_eq!(read(little), text);
        assert_eq!(read(big), text);
        assert_eq!(read(text.as_bytes().to_vec()), text);
        let latin = b"<?xml version='1.0' encoding='ISO-8859-1'?><p>Ren\xe9</p>";
        assert!(read(latin.to_vec()).ends_with("<p>René</p>"));
        let long = format!("\u{feff}{}", "ü".repeat(AT_ONCE));
        assert_eq!(read(long.encode_utf16().flat_map(u16::to_le_bytes).collect()), long[3..]);
    }
}
