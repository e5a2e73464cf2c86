//! `likewise embed`: dumps into a file of vectors, for programs that keep their own index.

use super::progress::Progress;
use super::{ModelOptions, print_line};
use crate::disk;
use crate::dump::{self, Format, Papers};
use crate::encoder::Encoder;
use crate::ingest::Counts;
use crate::paper::Paper;
use crate::text::text_of;
use anyhow::Context;
use clap::Args;
use std::fs::File;
use std::io::{BufWriter, Seek, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

/// Texts encoded together, for every thread: their lengths are sorted, so more of them fill the last batches
/// better.
const CHUNK_A_THREAD: usize = 512;

/// Bytes before the first value of a .npy file; a multiple of 64, as the format asks.
const NPY_HEADER: usize = 128;

/// Options of `likewise embed`.
#[derive(Args)]
pub struct Options {
    /// Dumps, as `likewise ingest` takes them; `-` is standard input.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Where the vectors go, as a NumPy array of one row a paper; their ids go beside it, into
    /// FILE.ids, one a line.
    #[arg(long, short, value_name = "FILE.npy")]
    output: PathBuf,
    /// The dumps' format; left out, each file is looked into.
    #[arg(long)]
    format: Option<Format>,
    #[command(flatten)]
    model: ModelOptions,
}

/// Runs it: exit status 0, or 2 if entries were refused.
pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let encoder = options.model.load()?;
    eprintln!("{}", encoder.describe());
    let started = Instant::now();
    let mut out = Output::create(&options.output, encoder.dimension())?;
    let mut counts = Counts::default();
    for file in &options.files {
        let (papers, bytes_read) = dump::read(file, options.format)?;
        let mut progress = Progress::new(file, bytes_read, &counts);
        embed_file(papers, &encoder, &mut out, &mut counts, &mut progress)?;
        progress.finish();
    }
    out.finish()?;
    let seconds = started.elapsed().as_secs_f64();
    let Counts { read, refused, encoded, .. } = counts;
    print_line(&format!(
        "read {read}, refused {refused}, encoded {encoded}, {seconds:.1} s, {:.1} papers/s",
        encoded as f64 / seconds
    ))?;
    Ok(if refused > 0 { ExitCode::from(super::ingest::REFUSED) } else { ExitCode::SUCCESS })
}

fn embed_file(
    papers: Papers,
    encoder: &Encoder,
    out: &mut Output,
    counts: &mut Counts,
    progress: &mut Progress,
) -> anyhow::Result<()> {
    for chunk in dump::chunks(papers, CHUNK_A_THREAD * encoder.threads()) {
        counts.read += chunk.len() as u64;
        let (kept, refused): (Vec<_>, Vec<_>) = chunk.into_iter().partition(Result::is_ok);
        for refused in refused.into_iter().filter_map(Result::err) {
            counts.refused += 1;
            progress.refuse(&refused);
        }
        let kept: Vec<Paper> = kept.into_iter().flatten().collect();
        let texts: Vec<String> = kept.iter().map(text_of).collect();
        let embeddings = encoder.encode(&texts.iter().map(String::as_str).collect::<Vec<_>>())?;
        for (paper, embedding) in kept.iter().zip(&embeddings) {
            out.write(paper.id.as_str(), &embedding.vector)?;
        }
        counts.encoded += kept.len() as u64;
        progress.update(counts);
    }
    Ok(())
}

/// A .npy file and its ids, being written under other names until they are whole.
struct Output {
    path: PathBuf,
    vectors: BufWriter<File>,
    ids: BufWriter<File>,
    dimension: usize,
    rows: usize,
}

impl Output {
    fn create(path: &Path, dimension: usize) -> anyhow::Result<Output> {
        let open = |path: PathBuf| {
            File::create(&path).map(BufWriter::new).with_context(|| path.display().to_string())
        };
        let (mut vectors, ids) = (open(partial(path))?, open(partial(&ids_path(path)))?);
        // How many rows there are is known at the end.
        vectors.write_all(&[0; NPY_HEADER])?;
        Ok(Output { path: path.into(), vectors, ids, dimension, rows: 0 })
    }

    fn write(&mut self, id: &str, vector: &[f32]) -> anyhow::Result<()> {
        for value in vector {
            self.vectors.write_all(&value.to_le_bytes())?;
        }
        writeln!(self.ids, "{id}")?;
        self.rows += 1;
        Ok(())
    }

    fn finish(mut self) -> anyhow::Result<()> {
        self.vectors.rewind()?;
        self.vectors.write_all(&npy_header(self.rows, self.dimension))?;
        for (file, path) in [(self.vectors, self.path.clone()), (self.ids, ids_path(&self.path))] {
            file.into_inner()?.sync_all()?;
            std::fs::rename(partial(&path), &path).with_context(|| path.display().to_string())?;
        }
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        Ok(disk::sync(folder.unwrap_or(Path::new(".")))?)
    }
}

fn ids_path(path: &Path) -> PathBuf {
    path.with_extension("ids")
}

fn partial(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".partial");
    name.into()
}

/// The header of a .npy file of little-endian f32, version 1.0 of the format.
fn npy_header(rows: usize, columns: usize) -> Vec<u8> {
    let shape = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, {columns}), }}");
    let length = NPY_HEADER - 10;
    let mut header = b"\x93NUMPY\x01\x00".to_vec();
    header.extend_from_slice(&(length as u16).to_le_bytes());
    header.extend_from_slice(format!("{shape:<width$}\n", width = length - 1).as_bytes());
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_has_its_length_whatever_the_shape() {
        for rows in [0, 1, usize::MAX] {
            let header = npy_header(rows, 384);
            assert_eq!(header.len(), NPY_HEADER);
            assert!(header.ends_with(b"\n"));
        }
    }

    #[test]
    fn rows_are_written_after_the_header_and_ids_beside_them() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("v.npy");
        let mut out = Output::create(&path, 2).unwrap();
        out.write("a", &[1.0, 2.0]).unwrap();
        out.write("b/1", &[3.0, 4.0]).unwrap();
        assert!(!path.exists(), "nobody takes half a file for a whole one");
        out.finish().unwrap();
        let bytes = std::fs::read(&path).unwrap();
        assert_eq!(bytes.len(), NPY_HEADER + 16);
        assert_eq!(bytes[NPY_HEADER + 12..], 4.0_f32.to_le_bytes());
        assert_eq!(std::fs::read_to_string(folder.path().join("v.ids")).unwrap(), "a\nb/1\n");
    }
}
