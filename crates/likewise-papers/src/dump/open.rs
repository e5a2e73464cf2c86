//! Opens a dump: plain, gzip, zstandard or bzip2, told by its first bytes, a member of a .zip, or standard input.
//!
//! Its own file because no format cares how its bytes were packed.

use super::source::Source;
use crate::error::{Error, Result};
use flate2::bufread::GzDecoder;
use std::fs::File;
use std::io::{BufRead, BufReader, Cursor, Read, Seek, SeekFrom};
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
    pub(super) read: Arc<AtomicU64>,
    /// Size of the file in bytes; 0 where it is not known.
    pub total: u64,
    /// Entries in it; 0 where that is not known, as it is of most formats.
    pub entries: u64,
}

impl BytesRead {
    /// How much of it has been read when so many of its entries have been, 0 to 1; `None` where that is not known. By entries,
    /// where their number is known: a reader is ahead of whoever takes what it gives.
    pub fn share(&self, entries: u64) -> Option<f64> {
        let (done, all) =
            if self.entries > 0 { (entries, self.entries) } else { (self.so_far(), self.total) };
        (all > 0).then(|| (done as f64 / all as f64).min(1.0))
    }

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

/// Opens a dump, unpacking as it reads.
///
/// # Errors
/// [`Error::Io`] with the path; [`Error::Invalid`] for a member of an archive that is packed in a way that is not known.
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
        return Err(Error::Invalid(format!("{}: got a folder, wanted a file", path.display())));
    }
    counted(path, Box::new(file), metadata.len())
}

fn counted(
    path: &Path,
    packed: Box<dyn Read + Send>,
    total: u64,
) -> Result<(Box<dyn BufRead + Send>, BytesRead)> {
    let bytes_read = BytesRead { total, ..BytesRead::default() };
    let counting = Counting { inner: packed, read: Arc::clone(&bytes_read.read) };
    let reader = unpack(BufReader::with_capacity(BUFFER_BYTES, counting)).map_err(Error::io(path))?;
    Ok((reader, bytes_read))
}

/// Whether a file is a .zip; an empty one begins otherwise.
pub fn is_zip(path: &Path) -> Result<bool> {
    // Looking into a pipe would take from it.
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

/// Says that an archive cannot be read.
pub fn bad_archive(path: &Path, cause: &dyn std::fmt::Display) -> Error {
    Error::Invalid(format!("{}: {cause}; wanted a .zip that is whole and not encrypted", path.display()))
}

/// Opens a member of an archive: where it is, and how it is packed, the archive's directory says.
fn open_member(path: &Path, index: usize) -> Result<(Box<dyn BufRead + Send>, BytesRead)> {
    let file = File::open(path).map_err(Error::io(path))?;
    let mut archive = zip::ZipArchive::new(file).map_err(|error| bad_archive(path, &error))?;
    let member = archive.by_index_raw(index).map_err(|error| bad_archive(path, &error))?;
    if member.encrypted() {
        return Err(bad_archive(path, &"got an encrypted member"));
    }
    let start = member.data_start().ok_or_else(|| bad_archive(path, &"got a member that is nowhere"))?;
    let (size, crc, method) = (member.compressed_size(), member.crc32(), member.compression());
    drop(member);
    let mut file = File::open(path).map_err(Error::io(path))?;
    file.seek(SeekFrom::Start(start)).map_err(Error::io(path))?;
    let bytes_read = BytesRead { total: size, ..BytesRead::default() };
    let counting = Counting { inner: file.take(size), read: Arc::clone(&bytes_read.read) };
    let packed = BufReader::with_capacity(BUFFER_BYTES, counting);
    let plain: Box<dyn Read + Send> = match method {
        zip::CompressionMethod::Stored => Box::new(packed),
        zip::CompressionMethod::DEFLATE => Box::new(flate2::bufread::DeflateDecoder::new(packed)),
        other => {
            return Err(bad_archive(
                path,
                &format!("got a member packed by {other}, wanted deflate or none"),
            ));
        }
    };
    let checked = Checked { inner: plain, hasher: crc32fast::Hasher::new(), wanted: crc };
    Ok((unpack(buffered(checked)).map_err(Error::io(path))?, bytes_read))
}

/// Fails at the end, if what was read does not give its checksum.
struct Checked {
    inner: Box<dyn Read + Send>,
    hasher: crc32fast::Hasher,
    wanted: u32,
}

impl Read for Checked {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        if count == 0 && !buffer.is_empty() && self.hasher.clone().finalize() != self.wanted {
            return Err(std::io::Error::other("the archive's checksum is another"));
        }
        Ok(count)
    }
}

/// gzip, and what stands behind it: more of it, or zeros, with which tapes and downloads are filled up.
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

/// The stream where its next member begins; none, if nothing but zeros is left.
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
            Some(_) => return Err(std::io::Error::other("bytes that are no gzip stand behind its data")),
        }
    }
}

/// Unpacks by magic bytes; a packed file may have several members one after the other.
fn unpack(packed: impl BufRead + Send + 'static) -> std::io::Result<Box<dyn BufRead + Send>> {
    let mut packed = with_head(packed);
    Ok(match packed.fill_buf()? {
        [0x1f, 0x8b, ..] => with_head(buffered(GzipMembers { current: Some(GzDecoder::new(packed)) })),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => {
            with_head(buffered(zstd::stream::read::Decoder::with_buffer(packed)?))
        }
        [b'B', b'Z', b'h', b'1'..=b'9', ..] => {
            with_head(buffered(bzip2::bufread::MultiBzDecoder::new(packed)))
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
        assert_eq!(unpacked([gz("one "), vec![0; 700], gz("two"), vec![0; 100_000]].concat()), "one two");
        let mut text = String::new();
        let garbage =
            unpack(Cursor::new([gz("one "), b"\0xy".to_vec()].concat())).unwrap().read_to_string(&mut text);
        assert!(garbage.unwrap_err().to_string().contains("no gzip"));
        let zst = |text: &str| zstd::encode_all(text.as_bytes(), 1).unwrap();
        assert_eq!(unpacked([zst("one "), zst("two")].concat()), "one two");
        let bz2 = |text: &str| {
            let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
            encoder.write_all(text.as_bytes()).unwrap();
            encoder.finish().unwrap()
        };
        assert_eq!(unpacked([bz2("one "), bz2("two")].concat()), "one two");
    }
}
