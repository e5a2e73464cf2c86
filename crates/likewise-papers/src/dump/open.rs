//! Opens and decompresses a dump, which is a file, a member of a .zip, or standard input. gzip, zstandard and bzip2
//! data are recognised by their first bytes.

use super::source::Source;
use crate::error::{Error, Result};
use flate2::bufread::GzDecoder;
use std::fs::File;
use std::io::{BufRead, BufReader, Cursor, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Size of the read buffers, in bytes.
const BUFFER_BYTES: usize = 256 * 1024;

/// Number of bytes at the beginning of a dump from which the format of the dump is detected.
const HEAD_BYTES: u64 = 64 * 1024;

/// The number of bytes of a file that have been read, for progress reports. Clones share the counter, so that one
/// thread can show the progress while another thread reads.
#[derive(Debug, Clone, Default)]
pub struct BytesRead {
    pub(super) read: Arc<AtomicU64>,
    /// Size of the file, or of the member of an archive, in bytes before decompression; 0 if unknown.
    pub total: u64,
    /// Number of entries in the file; 0 if unknown, as for most formats.
    pub entries: u64,
}

impl BytesRead {
    /// Returns the fraction of the file that has been processed, from 0 to 1. `entries` is the number of entries
    /// processed so far. The fraction is computed from the entries if their total number is known, because the reader
    /// is ahead of the consumer of the entries. Otherwise, it is computed from the bytes read. `None`: both the total
    /// number of entries and the size of the file are unknown.
    pub fn fraction(&self, entries: u64) -> Option<f64> {
        let (done, all) =
            if self.entries > 0 { (entries, self.entries) } else { (self.so_far(), self.total) };
        (all > 0).then(|| (done as f64 / all as f64).min(1.0))
    }

    /// Returns the number of bytes of the file read so far, before decompression.
    pub fn so_far(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }
}

/// A reader that counts the bytes that are read.
struct CountingReader<R> {
    inner: R,
    read: Arc<AtomicU64>,
}

impl<R: Read> Read for CountingReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.read.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

/// Opens a dump. Compressed data are decompressed while they are read.
///
/// # Errors
/// Returns [`Error::Io`] with the path if the file cannot be read, and [`Error::Invalid`] for a folder, a damaged or
/// encrypted archive, or an archive member compressed by an unsupported method.
pub fn open(source: &Source) -> Result<(Box<dyn BufRead + Send>, BytesRead)> {
    let path = &source.path;
    if path == Path::new("-") {
        return counted(path, Box::new(std::io::stdin()), 0);
    }
    if let Some(member) = &source.member {
        return open_member(path, member.index);
    }
    let file = File::open(path).map_err(Error::io(path))?;
    let metadata = file.metadata().map_err(Error::io(path))?;
    if metadata.is_dir() {
        return Err(Error::Invalid(format!("{}: the path must be a file (got a folder)", path.display())));
    }
    counted(path, Box::new(file), metadata.len())
}

/// Wraps a reader so that the bytes are counted and then decompressed. `total` is the size of the file in bytes, or 0
/// if unknown.
fn counted(
    path: &Path,
    reader: Box<dyn Read + Send>,
    total: u64,
) -> Result<(Box<dyn BufRead + Send>, BytesRead)> {
    let bytes_read = BytesRead { total, ..BytesRead::default() };
    let counting_reader = CountingReader { inner: reader, read: Arc::clone(&bytes_read.read) };
    let reader =
        decompress(BufReader::with_capacity(BUFFER_BYTES, counting_reader)).map_err(Error::io(path))?;
    Ok((reader, bytes_read))
}

/// Whether a file is a .zip. An empty .zip has other first bytes than a .zip with members, so both are recognised.
pub fn is_zip(path: &Path) -> Result<bool> {
    // Reading from a pipe would consume its first bytes.
    if !path.is_file() && path.exists() {
        return Ok(false);
    }
    let mut start = [0; 4];
    let mut file = File::open(path).map_err(Error::io(path))?;
    if file.metadata().map_err(Error::io(path))?.len() < 4 {
        return Ok(false);
    }
    file.read_exact(&mut start).map_err(Error::io(path))?;
    Ok(start == *b"PK\x03\x04" || start == *b"PK\x05\x06")
}

/// Builds the error for an archive that cannot be read.
pub fn archive_error(path: &Path, cause: &dyn std::fmt::Display) -> Error {
    Error::Invalid(format!(
        "{}: {cause}; a .zip must be complete and not encrypted; unpack it and name the unpacked files",
        path.display()
    ))
}

/// Opens the member number `index` of an archive. The archive's directory states the position of the member's data and
/// the method of compression.
fn open_member(path: &Path, index: usize) -> Result<(Box<dyn BufRead + Send>, BytesRead)> {
    let file = File::open(path).map_err(Error::io(path))?;
    let mut archive = zip::ZipArchive::new(file).map_err(|error| archive_error(path, &error))?;
    let member = archive.by_index_raw(index).map_err(|error| archive_error(path, &error))?;
    if member.encrypted() {
        return Err(archive_error(path, &"the member is encrypted"));
    }
    let start = member
        .data_start()
        .ok_or_else(|| archive_error(path, &"the position of the member's data is unknown"))?;
    let (size, crc, method) = (member.compressed_size(), member.crc32(), member.compression());
    drop(member);
    let mut file = File::open(path).map_err(Error::io(path))?;
    file.seek(SeekFrom::Start(start)).map_err(Error::io(path))?;
    let bytes_read = BytesRead { total: size, ..BytesRead::default() };
    let counting_reader = CountingReader { inner: file.take(size), read: Arc::clone(&bytes_read.read) };
    let packed = BufReader::with_capacity(BUFFER_BYTES, counting_reader);
    let plain: Box<dyn Read + Send> = match method {
        zip::CompressionMethod::Stored => Box::new(packed),
        zip::CompressionMethod::DEFLATE => Box::new(flate2::bufread::DeflateDecoder::new(packed)),
        other => {
            return Err(archive_error(
                path,
                &format!("the member must be stored or compressed with deflate (got {other})"),
            ));
        }
    };
    let checksum_reader = ChecksumReader { inner: plain, hasher: crc32fast::Hasher::new(), expected: crc };
    Ok((decompress(buffered(checksum_reader)).map_err(Error::io(path))?, bytes_read))
}

/// A reader that returns an error at the end of the stream if the data do not match the checksum.
struct ChecksumReader {
    inner: Box<dyn Read + Send>,
    hasher: crc32fast::Hasher,
    expected: u32,
}

impl Read for ChecksumReader {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        if count == 0 && !buffer.is_empty() && self.hasher.clone().finalize() != self.expected {
            return Err(std::io::Error::other("the data do not match the checksum in the archive"));
        }
        Ok(count)
    }
}

/// A reader that decompresses a gzip stream of one or more members. Zero bytes between and after members are skipped,
/// because data from tapes and some downloads are padded with zero bytes.
struct GzipMembers<R> {
    current: Option<GzDecoder<R>>,
}

impl<R: BufRead> Read for GzipMembers<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        while let Some(decoder) = &mut self.current {
            let count = decoder.read(buffer)?;
            if count > 0 || buffer.is_empty() {
                return Ok(count);
            }
            let rest = self.current.take().map(GzDecoder::into_inner);
            self.current = rest.map(next_member).transpose()?.flatten().map(GzDecoder::new);
        }
        Ok(0)
    }
}

/// Skips zero bytes up to the next gzip member. `None`: only zero bytes, or no bytes, are left.
fn next_member<R: BufRead>(mut rest: R) -> std::io::Result<Option<R>> {
    loop {
        let bytes = rest.fill_buf()?;
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        match bytes.get(zeros) {
            None if bytes.is_empty() => return Ok(None),
            None => rest.consume(zeros),
            Some(0x1f) => {
                rest.consume(zeros);
                return Ok(Some(rest));
            }
            Some(_) => {
                return Err(std::io::Error::other("the gzip data are followed by bytes that are not gzip"));
            }
        }
    }
}

/// Decompresses a stream that begins like gzip, zstandard or bzip2 data. Any other stream is returned unchanged. A
/// compressed stream can consist of several members.
fn decompress(packed: impl BufRead + Send + 'static) -> std::io::Result<Box<dyn BufRead + Send>> {
    let mut packed = with_buffered_head(packed);
    Ok(match packed.fill_buf()? {
        [0x1f, 0x8b, ..] => {
            with_buffered_head(buffered(GzipMembers { current: Some(GzDecoder::new(packed)) }))
        }
        [0x28, 0xb5, 0x2f, 0xfd, ..] => {
            with_buffered_head(buffered(zstd::stream::read::Decoder::with_buffer(packed)?))
        }
        [b'B', b'Z', b'h', b'1'..=b'9', ..] => {
            with_buffered_head(buffered(bzip2::bufread::MultiBzDecoder::new(packed)))
        }
        _ => packed,
    })
}

/// Makes the first call of `fill_buf` return the first [`HEAD_BYTES`] of the stream at once, even if the stream
/// delivers smaller pieces, because the format is detected from these bytes.
fn with_buffered_head(mut reader: impl BufRead + Send + 'static) -> Box<dyn BufRead + Send> {
    let mut head = Vec::new();
    match (&mut reader).take(HEAD_BYTES).read_to_end(&mut head) {
        Ok(_) => Box::new(Cursor::new(head).chain(reader)),
        // Deliver the bytes before the error first, then the error.
        Err(error) => Box::new(Cursor::new(head).chain(BufReader::new(FailingReader(Some(error))))),
    }
}

/// A reader that returns one error and then the end of the stream.
struct FailingReader(Option<std::io::Error>);

impl Read for FailingReader {
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
    fn a_truncated_file_is_read_up_to_its_end() {
        let mut bytes = gz(&"a line of text\n".repeat(50));
        bytes.truncate(bytes.len() - 9);
        let mut text = Vec::new();
        let outcome = decompress(Cursor::new(bytes)).unwrap().read_to_end(&mut text);
        assert!(outcome.is_err() && text.starts_with(b"a line"), "{outcome:?}");
    }

    fn decompressed(bytes: Vec<u8>) -> String {
        let mut text = String::new();
        decompress(Cursor::new(bytes)).unwrap().read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn every_member_of_a_compressed_file_is_read() {
        assert_eq!(decompressed(b"plain".to_vec()), "plain");
        assert_eq!(decompressed(b"x".to_vec()), "x");
        assert_eq!(decompressed(Vec::new()), "");
        assert_eq!(decompressed([gz("one "), gz("two")].concat()), "one two");
        assert_eq!(decompressed([gz("one "), vec![0; 700], gz("two"), vec![0; 100_000]].concat()), "one two");
        let mut text = String::new();
        let garbage = decompress(Cursor::new([gz("one "), b"\0xy".to_vec()].concat()))
            .unwrap()
            .read_to_string(&mut text);
        assert!(garbage.unwrap_err().to_string().contains("not gzip"));
        let zst = |text: &str| zstd::encode_all(text.as_bytes(), 1).unwrap();
        assert_eq!(decompressed([zst("one "), zst("two")].concat()), "one two");
        let bz2 = |text: &str| {
            let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
            encoder.write_all(text.as_bytes()).unwrap();
            encoder.finish().unwrap()
        };
        assert_eq!(decompressed([bz2("one "), bz2("two")].concat()), "one two");
    }
}
