//! Converts a stream to UTF-8. The encoding is recognised at the beginning of the stream, from the byte order mark, the
//! zero bytes of UTF-16, or the XML declaration.
//!
//! A stream is converted before a text format is read, because Excel writes tables in UTF-16, and old archives have XML
//! in Latin-1. Semantic Scholar's abstracts are not converted.

use super::warnings::Warnings;
use encoding_rs::{CoderResult, Decoder, Encoding};
use std::io::{BufRead, BufReader, Read, Result};

/// Size of the buffer of decoded text, in bytes.
const DECODE_BUFFER_BYTES: usize = 64 << 10;

/// Returns the stream, converted to UTF-8. The stream is returned unchanged if no other encoding is recognised.
///
/// # Errors
/// Returns the I/O error if the beginning of the stream cannot be read.
pub fn as_utf8(mut reader: Box<dyn BufRead + Send>, warnings: &Warnings) -> Result<Box<dyn BufRead + Send>> {
    let head = reader.fill_buf()?;
    let Some(encoding) = by_mark(head).or_else(|| by_zeros(head)).or_else(|| by_declaration(head)) else {
        return Ok(reader);
    };
    let decoding_reader = DecodingReader {
        reader,
        decoder: encoding.new_decoder(),
        text: Vec::new(),
        position: 0,
        ended: false,
        name: encoding.name(),
        warnings: warnings.clone(),
    };
    Ok(Box::new(BufReader::with_capacity(DECODE_BUFFER_BYTES, decoding_reader)))
}

/// Recognises UTF-16 by its byte order mark. A byte order mark of UTF-8 is ignored, because the readers of the formats
/// skip it.
fn by_mark(head: &[u8]) -> Option<&'static Encoding> {
    let (encoding, _) = Encoding::for_bom(head)?;
    Some(encoding).filter(|encoding| *encoding != encoding_rs::UTF_8)
}

/// Recognises UTF-16 without a byte order mark. A dump begins with ASCII characters, which have a zero as every second
/// byte in UTF-16.
fn by_zeros(head: &[u8]) -> Option<&'static Encoding> {
    match head.get(..4)? {
        [a, 0, b, 0] if *a != 0 && *b != 0 => Some(encoding_rs::UTF_16LE),
        [0, a, 0, b] if *a != 0 && *b != 0 => Some(encoding_rs::UTF_16BE),
        _ => None,
    }
}

/// Returns the encoding named in `<?xml … encoding="…"?>`. `None`: the file names no encoding, an unknown encoding,
/// UTF-8 or UTF-16.
fn by_declaration(head: &[u8]) -> Option<&'static Encoding> {
    let head = head.strip_prefix(b"<?xml")?;
    let declaration = &head[..memchr::memmem::find(head, b"?>")?.min(200)];
    let declaration = std::str::from_utf8(declaration).ok()?;
    let (_, value) = declaration.split_once("encoding")?;
    let value = value.trim_start().strip_prefix('=')?.trim_start();
    let quote = value.chars().next().filter(|quote| ['"', '\''].contains(quote))?;
    let label = value[1..].split(quote).next()?;
    // This declaration was read as ASCII, so the file is not in UTF-16, even if the declaration says so.
    Encoding::for_label(label.as_bytes()).filter(|encoding| {
        ![encoding_rs::UTF_8, encoding_rs::UTF_16LE, encoding_rs::UTF_16BE].contains(encoding)
    })
}

/// A reader that converts a stream to UTF-8.
struct DecodingReader {
    reader: Box<dyn BufRead + Send>,
    decoder: Decoder,
    text: Vec<u8>,
    position: usize,
    ended: bool,
    name: &'static str,
    warnings: Warnings,
}

impl DecodingReader {
    fn refill(&mut self) -> Result<()> {
        let bytes = self.reader.fill_buf()?;
        let is_last = bytes.is_empty();
        self.text.resize(DECODE_BUFFER_BYTES, 0);
        let (result, read, written, is_damaged) = self.decoder.decode_to_utf8(bytes, &mut self.text, is_last);
        if is_damaged {
            self.warnings.add(&format!("bytes that are not valid {}, replaced by \u{fffd}", self.name), "");
        }
        self.reader.consume(read);
        self.text.truncate(written);
        self.position = 0;
        self.ended = is_last && matches!(result, CoderResult::InputEmpty);
        Ok(())
    }
}

impl Read for DecodingReader {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        while self.position == self.text.len() && !self.ended {
            self.refill()?;
        }
        let count = buffer.len().min(self.text.len() - self.position);
        buffer[..count].copy_from_slice(&self.text[self.position..self.position + count]);
        self.position += count;
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
            // `as_utf8` looks only at the bytes in the buffer, so the buffer must hold a whole XML declaration.
            true => Box::new(BufReader::with_capacity(100, reader)),
            false => Box::new(reader),
        };
        as_utf8(reader, &Warnings::default()).unwrap().read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn the_encoding_is_recognised_by_mark_zeros_or_declaration() {
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
        let long = format!("\u{feff}{}", "ü".repeat(DECODE_BUFFER_BYTES));
        assert_eq!(read(long.encode_utf16().flat_map(u16::to_le_bytes).collect()), long[3..]);
    }
}
