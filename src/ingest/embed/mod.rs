//! Writes the vectors of papers to a file, without a data folder. The file is written in parts, so that an interrupted
//! run can continue.
//!
//! Each part covers a fixed range of the dumps' entries, including refused entries. A finished part is a file that is
//! published by one rename; a run that finds this file skips the entries of the part. When all parts exist, they are
//! joined. If the work is divided into shards, the hash of a paper's id determines the one shard that the paper belongs
//! to. Shards are therefore disjoint, and can be made on different machines.

mod jsonl;
mod npy;
mod parquet;

use crate::error::{Error, Result};
use crate::store::lock::WriteLock;
use likewise_base::disk;
use likewise_encoder::SparseVector;
use likewise_papers::{Paper, PaperId};
use serde::{Deserialize, Serialize};
use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Average number of entries of one shard per part; see [`EmbedJob::entries_per_part`]. An interrupted run has to
/// encode about this many entries again at most.
const ENTRIES_PER_PART: u64 = 4096;

/// Name of the file that describes the run, in the folder of parts.
const RUN_FILE: &str = "run.json";

/// Name of the lock's file, in the folder of parts. The process that writes the parts holds the lock.
const LOCK_FILE: &str = "lock";

/// The name of the column with sparse vectors, and of the key in JSON Lines.
const SPARSE_EMBEDDING: &str = "sparse_embedding";

/// A paper with its vector.
pub struct EmbeddedPaper {
    /// The paper.
    pub paper: Paper,
    /// The vector.
    pub vector: PaperVector,
}

/// The vector of a paper.
#[derive(Debug, Clone, PartialEq)]
pub enum PaperVector {
    /// A vector of Euclidean length 1.
    Dense(Vec<f32>),
    /// A sparse vector.
    Sparse(SparseVector),
}

impl PaperVector {
    /// The values; of a sparse vector, those that are not 0.
    fn values(&self) -> &[f32] {
        match self {
            PaperVector::Dense(values) | PaperVector::Sparse(SparseVector { values, .. }) => values,
        }
    }

    /// The indices of a sparse vector's values. A dense vector has none.
    fn indices(&self) -> &[u32] {
        match self {
            PaperVector::Dense(_) => &[],
            PaperVector::Sparse(vector) => &vector.indices,
        }
    }
}

/// The number format of a vector's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dtype {
    /// 32-bit floats, as computed.
    F32,
    /// 16-bit floats: each value is rounded to half precision.
    F16,
}

/// One of several shards into which the papers are divided. Each run encodes one shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shard {
    /// Index of this shard, from 0.
    pub index: u32,
    /// Number of shards.
    pub count: u32,
}

impl Shard {
    /// The shard of a run that encodes all papers.
    pub const WHOLE: Shard = Shard { index: 0, count: 1 };

    /// Whether a paper belongs to this shard.
    pub fn contains(self, id: &PaperId) -> bool {
        crc32fast::hash(id.as_str().as_bytes()) % self.count == self.index
    }
}

impl FromStr for Shard {
    type Err = String;

    /// Parses `I/N`, where I is the shard's index, from 0 to N-1, and N is the number of shards.
    fn from_str(text: &str) -> std::result::Result<Shard, String> {
        let wrong = || {
            format!("the shard must be I/N with I from 0 to N-1, for example 0/16 to 15/16 (got {text:?})")
        };
        let (index, count) = text.split_once('/').ok_or_else(wrong)?;
        let (index, count) = index.parse().ok().zip(count.parse().ok()).ok_or_else(wrong)?;
        if index < count { Ok(Shard { index, count }) } else { Err(wrong()) }
    }
}

/// The format of a file of vectors, determined by the file's extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum VectorFormat {
    Parquet,
    Npy,
    Jsonl,
}

impl VectorFormat {
    fn of(path: &Path) -> Result<VectorFormat> {
        match path.extension().and_then(|end| end.to_str()) {
            Some("parquet") => Ok(VectorFormat::Parquet),
            Some("npy") => Ok(VectorFormat::Npy),
            Some("jsonl") => Ok(VectorFormat::Jsonl),
            _ => Err(Error::Invalid(format!(
                "--out must end in .parquet, .npy or .jsonl (got {})",
                path.display()
            ))),
        }
    }

    fn write(self, path: &Path, rows: &[EmbeddedPaper], layout: &VectorLayout) -> Result<()> {
        match self {
            VectorFormat::Parquet => parquet::write(path, rows, layout),
            VectorFormat::Npy => npy::write(path, rows, layout),
            VectorFormat::Jsonl => jsonl::write(path, rows, layout),
        }
    }

    fn join(self, parts: &[PathBuf], out: &Path, layout: &VectorLayout) -> Result<()> {
        match self {
            VectorFormat::Parquet => parquet::join(parts, out, layout),
            VectorFormat::Npy => npy::join(parts, out, layout),
            VectorFormat::Jsonl => jsonl::join(parts, out),
        }
    }
}

/// The properties that all vectors of a file share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VectorLayout {
    /// The fingerprint of the model and its options.
    pub fingerprint: String,
    /// Number of values per vector.
    pub dimension: usize,
    /// Number format of the values.
    pub dtype: Dtype,
    /// Whether the vectors are sparse.
    #[serde(default)]
    pub is_sparse: bool,
}

/// Describes a run. An interrupted run can be continued only by a run with the same description.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EmbedRun {
    /// Properties of the vectors.
    pub layout: VectorLayout,
    /// The shard that is encoded.
    pub shard: Shard,
    /// The options that the dumps are read with.
    pub options: String,
    /// The dumps, with their sizes and modification times.
    pub dumps: Vec<String>,
}

impl EmbedRun {
    /// The first difference between two descriptions: the values of `self` and of `other`. `None` if they are equal.
    fn first_difference(&self, other: &EmbedRun) -> Option<(String, String)> {
        let list = |run: &EmbedRun| {
            let EmbedRun { layout, shard, options, dumps } = run;
            let VectorLayout { fingerprint, dtype, .. } = layout;
            let all = [
                format!("fingerprint {fingerprint}"),
                format!("{dtype:?}"),
                format!("shard {}/{}", shard.index, shard.count),
            ];
            [&all[..], std::slice::from_ref(options), dumps].concat()
        };
        let (one, other) = (list(self), list(other));
        let nothing = || "nothing".to_string();
        let index = (0..one.len().max(other.len())).find(|index| one.get(*index) != other.get(*index))?;
        let at = |list: &[String]| list.get(index).cloned().unwrap_or_else(nothing);
        Some((at(&one), at(&other)))
    }
}

/// Writes a file of vectors.
pub struct EmbedJob {
    out: PathBuf,
    folder: PathBuf,
    format: VectorFormat,
    run: EmbedRun,
    /// Number of parts that exist.
    done: u64,
    _lock: WriteLock,
}

impl EmbedJob {
    /// Starts a run, or continues an interrupted run with the same description.
    ///
    /// # Errors
    /// Returns [`Error::Invalid`] if the file's extension is not of a known format or `out` is a folder. Returns
    /// [`Error::Data`] if the folder of parts is in use, has files of another run, or has unknown files.
    pub fn open(out: &Path, run: EmbedRun) -> Result<EmbedJob> {
        let format = VectorFormat::of(out)?;
        if format == VectorFormat::Npy && run.layout.is_sparse {
            return Err(Error::Invalid(format!(
                "sparse vectors cannot be written to a NumPy array; --out must end in .parquet or .jsonl (got {})",
                out.display()
            )));
        }
        let out = sharded(out, run.shard);
        if out.is_dir() {
            return Err(Error::Invalid(format!(
                "--out must be a file's name (got the folder {})",
                out.display()
            )));
        }
        let folder = with_suffix(&out, ".parts");
        disk::create_folder(&folder)?;
        let lock = WriteLock::take(&folder.join(LOCK_FILE))?;
        let path = folder.join(RUN_FILE);
        let describe = |run: &EmbedRun| {
            serde_json::to_vec_pretty(run).map_err(|error| Error::Invalid(error.to_string()))
        };
        match std::fs::read(&path) {
            Ok(bytes) => check(&path, &bytes, &run)?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                check_is_new(&folder)?;
                disk::write_atomically(&path, &describe(&run)?)?;
            }
            Err(error) => return Err(Error::io(&path)(error)),
        }
        let mut job = EmbedJob { out, folder, format, run, done: 0, _lock: lock };
        while job.part(job.done).exists() {
            job.done += 1;
        }
        Ok(job)
    }

    /// The path of the finished file.
    pub fn out(&self) -> &Path {
        &self.out
    }

    /// The path of the folder of parts.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Number of entries of the dumps that one part covers. Entries of papers in other shards count too.
    pub fn entries_per_part(&self) -> u64 {
        ENTRIES_PER_PART * u64::from(self.run.shard.count)
    }

    /// Number of entries at the start of the dumps that can be skipped, because their parts exist.
    pub fn entries_done(&self) -> u64 {
        self.done * self.entries_per_part()
    }

    /// Whether a paper belongs to this run's shard.
    pub fn contains(&self, id: &PaperId) -> bool {
        self.run.shard.contains(id)
    }

    /// Writes and publishes the next part. `rows` must have all papers of the part's entries that belong to this run's
    /// shard.
    pub fn publish(&mut self, rows: &[EmbeddedPaper]) -> Result<()> {
        let part = self.part(self.done);
        let partial = with_suffix(&part, ".partial");
        self.format.write(&partial, rows, &self.run.layout)?;
        if self.format == VectorFormat::Npy {
            // The ids are published first, because a part exists as soon as its file of vectors exists.
            disk::publish(&npy::ids(&partial), &npy::ids(&part))?;
        }
        disk::publish(&partial, &part)?;
        self.done += 1;
        Ok(())
    }

    /// Joins the parts, publishes the file, and removes the parts.
    pub fn finish(self) -> Result<()> {
        let parts: Vec<PathBuf> = (0..self.done).map(|part| self.part(part)).collect();
        let partial = with_suffix(&self.out, ".partial");
        self.format.join(&parts, &partial, &self.run.layout)?;
        if self.format == VectorFormat::Npy {
            disk::publish(&npy::ids(&partial), &npy::ids(&self.out))?;
        }
        disk::publish(&partial, &self.out)?;
        // The folder is renamed before it is removed: an interrupted removal could otherwise leave parts without the
        // file that describes the run.
        let gone = with_suffix(&self.folder, ".gone");
        if gone.exists() {
            disk::remove(&gone)?;
        }
        std::fs::rename(&self.folder, &gone).map_err(Error::io(&self.folder))?;
        Ok(disk::remove(&gone)?)
    }

    fn part(&self, number: u64) -> PathBuf {
        self.folder.join(format!("part-{number:06}"))
    }
}

/// Checks that an interrupted run has the same description as this run. `bytes` is the content of the file at `path`,
/// which describes the interrupted run.
fn check(path: &Path, bytes: &[u8], run: &EmbedRun) -> Result<()> {
    let folder = path.parent().unwrap_or(path).display();
    let remedy = "give the options of that run to continue it, delete the folder to start again, or give another --out";
    let interrupted: EmbedRun = serde_json::from_slice(bytes)
        .map_err(|error| Error::Data(format!("{}: {error}; {remedy}", path.display())))?;
    match interrupted.first_difference(run) {
        Some((theirs, ours)) => Err(Error::Data(format!(
            "{folder}: the folder has parts of another run, with {theirs} (this run: {ours}); {remedy}"
        ))),
        None => Ok(()),
    }
}

/// Whether a file name is that of the lock, or that of the file which waiting processes hold.
fn is_of_lock(name: &OsStr) -> bool {
    name.to_str().is_some_and(|name| name.split('.').next() == Some(LOCK_FILE))
}

/// Checks that a folder of parts that has no file `run.json` has no other files either, except those of the lock.
fn check_is_new(folder: &Path) -> Result<()> {
    let entries = std::fs::read_dir(folder).map_err(Error::io(folder))?;
    match entries.filter_map(std::result::Result::ok).find(|entry| !is_of_lock(&entry.file_name())) {
        None => Ok(()),
        Some(other) => Err(Error::Data(format!(
            "{}: this file is not known to belong to a run, because its folder has no {}; move the folder away, or \
             give another --out",
            other.path().display(),
            RUN_FILE
        ))),
    }
}

/// The path of the output file of a shard: `vectors-00003-of-00016.parquet` for `vectors.parquet`.
fn sharded(out: &Path, shard: Shard) -> PathBuf {
    if shard == Shard::WHOLE {
        return out.into();
    }
    let stem = out.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let end = out.extension().map(|end| end.to_string_lossy().into_owned()).unwrap_or_default();
    out.with_file_name(format!("{stem}-{:05}-of-{:05}.{end}", shard.index, shard.count))
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Appends the content of `parts` to the open file `out`, which is at `path`.
fn append_all(parts: &[PathBuf], out: &mut File, path: &Path) -> Result<()> {
    for part in parts {
        let mut file = File::open(part).map_err(Error::io(part))?;
        std::io::copy(&mut file, out).map_err(Error::io(path))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(dtype: Dtype, shard: Shard) -> EmbedRun {
        let layout = VectorLayout { fingerprint: "f".into(), dimension: 2, dtype, is_sparse: false };
        EmbedRun { layout, shard, options: "none".into(), dumps: vec!["d".into()] }
    }

    fn row(id: &str, vector: [f32; 2]) -> EmbeddedPaper {
        let paper = Paper { id: PaperId::parse(id).unwrap(), title: "T".into(), ..Paper::default() };
        EmbeddedPaper { paper, vector: PaperVector::Dense(vector.to_vec()) }
    }

    #[test]
    fn an_interrupted_run_is_continued_only_by_the_same_run() {
        for end in ["npy", "jsonl", "parquet"] {
            let folder = tempfile::tempdir().unwrap();
            let (out, whole) =
                (folder.path().join(format!("v.{end}")), folder.path().join(format!("w.{end}")));
            let mut job = EmbedJob::open(&out, run(Dtype::F32, Shard::WHOLE)).unwrap();
            job.publish(&[row("a", [1.0, 0.0])]).unwrap();
            drop(job);
            let wrong = EmbedJob::open(&out, run(Dtype::F16, Shard::WHOLE)).err().unwrap().to_string();
            assert!(
                wrong.contains("F32") && wrong.contains("F16") && wrong.contains("delete the folder"),
                "{wrong}"
            );
            let mut job = EmbedJob::open(&out, run(Dtype::F32, Shard::WHOLE)).unwrap();
            assert_eq!(job.entries_done(), ENTRIES_PER_PART);
            job.publish(&[]).unwrap();
            job.publish(&[row("b", [0.0, 1.0])]).unwrap();
            assert!(!out.exists(), "the file appears only when it is complete");
            job.finish().unwrap();
            assert!(!with_suffix(&out, ".parts").exists());
            let mut job = EmbedJob::open(&whole, run(Dtype::F32, Shard::WHOLE)).unwrap();
            job.publish(&[row("a", [1.0, 0.0])]).unwrap();
            job.publish(&[]).unwrap();
            job.publish(&[row("b", [0.0, 1.0])]).unwrap();
            job.finish().unwrap();
            assert_eq!(std::fs::read(&out).unwrap(), std::fs::read(&whole).unwrap(), "{end}");
        }
        assert!(EmbedJob::open(Path::new("v.csv"), run(Dtype::F32, Shard::WHOLE)).is_err());
    }

    #[test]
    fn shards_are_disjoint_and_have_their_own_files() {
        let shards: Vec<Shard> = (0..3).map(|index| format!("{index}/3").parse().unwrap()).collect();
        for number in 0..100 {
            let id = PaperId::parse(&format!("p{number}")).unwrap();
            assert_eq!(shards.iter().filter(|shard| shard.contains(&id)).count(), 1);
        }
        for wrong in ["3/3", "1", "-1/3", "0/0", "a/b"] {
            assert!(wrong.parse::<Shard>().unwrap_err().contains("0/16"), "{wrong}");
        }
        assert_eq!(sharded(Path::new("d/v.npy"), shards[1]), Path::new("d/v-00001-of-00003.npy"));
    }
}
