//! Opens a dump: plain, gzip or zstandard, told by its first bytes, or standard input.
//!
//! Its own file because no format cares how its bytes were packed.

use crate::error::{Error, Result};
use std::fs::File;
use std::io::{BufRead, BufReader, Cursor, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What is read at once from the file.
const BUFFER_BYTES: usize = 256 * 1024;

/// What may be looked at before a format is chosen.
const HEAD_BYTES: u64 = 64 * 1024;

/// How far into a file its reader is, for showing progress while the reader is elsewhere.
#[derive(Debug, Clone, Default)]
pub struct BytesRead {
    read: Arc<AtomicU64>,
    /// Size of the file in bytes; 0 where it is not known.
    pub total: u64,
}

impl BytesRead {
    /// Bytes of the file, as it is packed, read so far.
    pub fn so_far(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }
}

struct Counting<R> {
    inner: R,
    read: Arc<AtomicU64>,
}

impl<R: Read> Read for Counting<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.read.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

/// Opens `path`, or standard input for `-`, unpacking as it reads.
///
/// # Errors
/// [`Error::Io`] with the path.
pub fn open(path: &Path) -> Result<(Box<dyn BufRead + Send>, BytesRead)> {
    let (file, total): (Box<dyn Read + Send>, u64) = if path == Path::new("-") {
        (Box::new(std::io::stdin()), 0)
    } else {
        let file = File::open(path).map_err(Error::io(path))?;
        let metadata = file.metadata().map_err(Error::io(path))?;
        if metadata.is_dir() {
            let shown = path.display();
            return Err(Error::Invalid(format!(
                "{shown}: got a folder, wanted a file; name its files instead"
            )));
        }
        (Box::new(file), metadata.len())
    };
    let bytes_read = BytesRead { read: Arc::default(), total };
    let counting = Counting { inner: file, read: Arc::clone(&bytes_read.read) };
    let reader = unpack(BufReader::with_capacity(BUFFER_BYTES, counting)).map_err(Error::io(path))?;
    Ok((reader, bytes_read))
}

/// Unpacks by magic bytes; a gzip or zstandard file may have several members one after the other.
fn unpack(packed: impl BufRead + Send + 'static) -> std::io::Result<Box<dyn BufRead + Send>> {
    let mut packed = with_head(packed);
    Ok(match packed.fill_buf()? {
        [0x1f, 0x8b, ..] => with_head(buffered(flate2::bufread::MultiGzDecoder::new(packed))),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => {
            with_head(buffered(zstd::stream::read::Decoder::with_buffer(packed)?))
        }
        _ => packed,
    })
}

/// Makes the first `fill_buf` give all of the first [`HEAD_BYTES`], however small the pieces are in
/// which they come: what is looked at there decides how the rest is read.
fn with_head(mut reader: impl BufRead + Send + 'static) -> Box<dyn BufRead + Send> {
    let mut head = Vec::new();
    match (&mut reader).take(HEAD_BYTES).read_to_end(&mut head) {
        Ok(_) => Box::new(Cursor::new(head).chain(reader)),
        // What came before the error is still read, and the error is met where it belongs.
        Err(error) => Box::new(Cursor::new(head).chain(BufReader::new(Failing(Some(error))))),
    }
}

/// Gives one error, then the end.
struct Failing(Option<std::io::Error>);

impl Read for Failing {
    fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
        self.0.take().map_or(Ok(0), Err)
    }
}

fn buffered<R: Read>(reader: R) -> BufReader<R> {
    BufReader::with_capacity(BUFFER_BYTES, reader)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn gz(text: &str) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn a_cut_file_is_read_up_to_where_it_is_cut() {
        let mut bytes = gz(&"a line of text\n".repeat(50));
        bytes.truncate(bytes.len() - 9);
        let mut text = Vec::new();
        let outcome = unpack(Cursor::new(bytes)).unwrap().read_to_end(&mut text);
        assert!(outcome.is_err() && text.starts_with(b"a line"), "{outcome:?}");
    }

    fn unpacked(bytes: Vec<u8>) -> String {
        let mut text = String::new();
        unpack(Cursor::new(bytes)).unwrap().read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn every_member_of_a_packed_file_is_read() {
        assert_eq!(unpacked(b"plain".to_vec()), "plain");
        assert_eq!(unpacked(b"x".to_vec()), "x");
        assert_eq!(unpacked(Vec::new()), "");
        assert_eq!(unpacked([gz("one "), gz("two")].concat()), "one two");
        let zst = |text: &str| zstd::encode_all(text.as_bytes(), 1).unwrap();
        assert_eq!(unpacked([zst("one "), zst("two")].concat()), "one two");
    }
}
