//! Papers' vectors into a file: offline, in parts, so that a killed run goes on where it was.
//!
//! The entries of the dumps are cut into parts by their place, whatever becomes of them. A part that is done is a file,
//! published by one rename; a run that finds it there passes its entries over. When all are there, they are put
//! together. A shard takes the papers whose ids fall to it, so the shards of a run are disjoint, whoever makes which.

mod jsonl;
mod npy;
mod parquet;

use crate::error::{Error, Result};
use crate::store::lock::WriteLock;
use likewise_base::disk;
use likewise_papers::{Paper, PaperId};
use serde::{Deserialize, Serialize};
use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Entries of the dumps in one part, for every shard: a kill costs no more than their encoding.
const PART_ENTRIES: u64 = 4096;

const RUN: &str = "run.json";

const LOCK: &str = "lock";

/// A paper and its vector.
pub struct Row {
    /// The paper.
    pub paper: Paper,
    /// Of unit length.
    pub vector: Vec<f32>,
}

/// How a vector's values are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dtype {
    /// Four bytes, exactly as they were computed.
    F32,
    /// Two bytes: the nearest number of half precision.
    F16,
}

/// One of several runs that share the work, counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shard {
    /// Which.
    pub index: u32,
    /// Of how many.
    pub count: u32,
}

impl Shard {
    /// All of the work.
    pub const WHOLE: Shard = Shard { index: 0, count: 1 };

    /// Whether a paper falls to it.
    pub fn has(self, id: &PaperId) -> bool {
        crc32fast::hash(id.as_str().as_bytes()) % self.count == self.index
    }
}

impl FromStr for Shard {
    type Err = String;

    /// Reads `I/N`, from `0/N` to `N-1/N`.
    fn from_str(text: &str) -> std::result::Result<Shard, String> {
        let wrong = || format!("got {text:?}, wanted I/N with I from 0 to N-1, for example 0/16 to 15/16");
        let (index, count) = text.split_once('/').ok_or_else(wrong)?;
        let (index, count) = index.parse().ok().zip(count.parse().ok()).ok_or_else(wrong)?;
        if index < count { Ok(Shard { index, count }) } else { Err(wrong()) }
    }
}

/// What a file of vectors is, told by its name's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Parquet,
    Npy,
    Jsonl,
}

impl Kind {
    fn of(path: &Path) -> Result<Kind> {
        match path.extension().and_then(|end| end.to_str()) {
            Some("parquet") => Ok(Kind::Parquet),
            Some("npy") => Ok(Kind::Npy),
            Some("jsonl") => Ok(Kind::Jsonl),
            _ => Err(Error::Invalid(format!(
                "--out: got {}, wanted a name ending in .parquet, .npy or .jsonl",
                path.display()
            ))),
        }
    }

    fn write(self, path: &Path, rows: &[Row], layout: &Layout) -> Result<()> {
        match self {
            Kind::Parquet => parquet::write(path, rows, layout),
            Kind::Npy => npy::write(path, rows, layout),
            Kind::Jsonl => jsonl::write(path, rows, layout),
        }
    }

    fn join(self, parts: &[PathBuf], out: &Path, layout: &Layout) -> Result<()> {
        match self {
            Kind::Parquet => parquet::join(parts, out, layout),
            Kind::Npy => npy::join(parts, out, layout),
            Kind::Jsonl => jsonl::join(parts, out),
        }
    }
}

/// What all of a file's vectors have in common.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layout {
    /// Of the space.
    pub fingerprint: String,
    /// Values a vector.
    pub dimension: usize,
    /// How they are written.
    pub dtype: Dtype,
}

/// What must be the same for a run to go on where another one was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// What is written.
    pub layout: Layout,
    /// Of what.
    pub shard: Shard,
    /// How the dumps are read.
    pub options: String,
    /// The dumps, and their sizes and times.
    pub dumps: Vec<String>,
}

impl Run {
    /// What is another's in this one: the first such thing.
    fn differs_from(&self, other: &Run) -> Option<(String, String)> {
        let list = |run: &Run| {
            let Run { layout, shard, options, dumps } = run;
            let Layout { fingerprint, dtype, .. } = layout;
            let all = [
                format!("fingerprint {fingerprint}"),
                format!("{dtype:?}"),
                format!("shard {}/{}", shard.index, shard.count),
            ];
            [&all[..], std::slice::from_ref(options), dumps].concat()
        };
        let (one, other) = (list(self), list(other));
        let nothing = || "nothing".to_string();
        let place = (0..one.len().max(other.len())).find(|place| one.get(*place) != other.get(*place))?;
        let at = |list: &[String]| list.get(place).cloned().unwrap_or_else(nothing);
        Some((at(&one), at(&other)))
    }
}

/// A file of vectors that is being made.
pub struct Job {
    out: PathBuf,
    folder: PathBuf,
    kind: Kind,
    run: Run,
    /// Parts that are there.
    done: u64,
    _lock: WriteLock,
}

impl Job {
    /// Begins a run, or goes on with the same one that was interrupted.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the file's name tells no format; [`Error::Data`] if another run left its parts there.
    pub fn open(out: &Path, run: Run) -> Result<Job> {
        let kind = Kind::of(out)?;
        let out = sharded(out, run.shard);
        if out.is_dir() {
            return Err(Error::Invalid(format!(
                "--out: got the folder {}, wanted a file's name",
                out.display()
            )));
        }
        let folder = with_end(&out, ".parts");
        disk::create_folder(&folder)?;
        let lock = WriteLock::take(&folder.join(LOCK))?;
        let path = folder.join(RUN);
        let describe =
            |run: &Run| serde_json::to_vec_pretty(run).map_err(|error| Error::Invalid(error.to_string()));
        match std::fs::read(&path) {
            Ok(bytes) => check(&path, &bytes, &run)?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                check_is_new(&folder)?;
                disk::write_atomically(&path, &describe(&run)?)?;
            }
            Err(error) => return Err(Error::io(&path)(error)),
        }
        let mut job = Job { out, folder, kind, run, done: 0, _lock: lock };
        while job.part(job.done).exists() {
            job.done += 1;
        }
        Ok(job)
    }

    /// Where the vectors will be.
    pub fn out(&self) -> &Path {
        &self.out
    }

    /// Where its parts are.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Entries in one part.
    pub fn part_entries(&self) -> u64 {
        PART_ENTRIES * u64::from(self.run.shard.count)
    }

    /// Entries that need not be looked at: their parts are there.
    pub fn entries_done(&self) -> u64 {
        self.done * self.part_entries()
    }

    /// Whether a paper is this run's.
    pub fn has(&self, id: &PaperId) -> bool {
        self.run.shard.has(id)
    }

    /// Publishes the next part: the rows of all its entries.
    pub fn publish(&mut self, rows: &[Row]) -> Result<()> {
        let part = self.part(self.done);
        let partial = with_end(&part, ".partial");
        self.kind.write(&partial, rows, &self.run.layout)?;
        if self.kind == Kind::Npy {
            // Ids first: a part is there when its vectors are.
            disk::publish(&npy::ids(&partial), &npy::ids(&part))?;
        }
        disk::publish(&partial, &part)?;
        self.done += 1;
        Ok(())
    }

    /// Puts the parts together, and publishes the file.
    pub fn finish(self) -> Result<()> {
        let parts: Vec<PathBuf> = (0..self.done).map(|part| self.part(part)).collect();
        let partial = with_end(&self.out, ".partial");
        self.kind.join(&parts, &partial, &self.run.layout)?;
        if self.kind == Kind::Npy {
            disk::publish(&npy::ids(&partial), &npy::ids(&self.out))?;
        }
        disk::publish(&partial, &self.out)?;
        // Under another name first: killed meanwhile, it would leave parts of which nobody knows what they are of.
        let gone = with_end(&self.folder, ".gone");
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

fn check(path: &Path, bytes: &[u8], run: &Run) -> Result<()> {
    let folder = path.parent().unwrap_or(path).display();
    let undo =
        "give that run's options to go on with it, delete the folder to begin anew, or give another --out";
    let there: Run = serde_json::from_slice(bytes)
        .map_err(|error| Error::Data(format!("{}: {error}; {undo}", path.display())))?;
    match there.differs_from(run) {
        Some((got, wanted)) => {
            Err(Error::Data(format!("{folder}: got parts of another run ({got}), wanted {wanted}; {undo}")))
        }
        None => Ok(()),
    }
}

/// The lock's file, and that of those who wait for it.
fn is_of_lock(name: &OsStr) -> bool {
    name.to_str().is_some_and(|name| name.split('.').next() == Some(LOCK))
}

/// Refuses a folder with files that no run is known to have written.
fn check_is_new(folder: &Path) -> Result<()> {
    let entries = std::fs::read_dir(folder).map_err(Error::io(folder))?;
    match entries.filter_map(std::result::Result::ok).find(|entry| !is_of_lock(&entry.file_name())) {
        None => Ok(()),
        Some(other) => Err(Error::Data(format!(
            "{}: nobody knows what it is of, since {} is not here; move the folder away, or give another --out",
            other.path().display(),
            RUN
        ))),
    }
}

/// `vectors.parquet` as `vectors-00003-of-00016.parquet`.
fn sharded(out: &Path, shard: Shard) -> PathBuf {
    if shard == Shard::WHOLE {
        return out.into();
    }
    let stem = out.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let end = out.extension().map(|end| end.to_string_lossy().into_owned()).unwrap_or_default();
    out.with_file_name(format!("{stem}-{:05}-of-{:05}.{end}", shard.index, shard.count))
}

fn with_end(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}

/// Appends files to one that is open.
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

    fn run(dtype: Dtype, shard: Shard) -> Run {
        let layout = Layout { fingerprint: "f".into(), dimension: 2, dtype };
        Run { layout, shard, options: "none".into(), dumps: vec!["d".into()] }
    }

    fn row(id: &str, vector: [f32; 2]) -> Row {
        let paper = Paper { id: PaperId::parse(id).unwrap(), title: "T".into(), ..Paper::default() };
        Row { paper, vector: vector.to_vec() }
    }

    #[test]
    fn an_interrupted_run_goes_on_and_another_one_is_refused() {
        for end in ["npy", "jsonl", "parquet"] {
            let folder = tempfile::tempdir().unwrap();
            let (out, whole) =
                (folder.path().join(format!("v.{end}")), folder.path().join(format!("w.{end}")));
            let mut job = Job::open(&out, run(Dtype::F32, Shard::WHOLE)).unwrap();
            job.publish(&[row("a", [1.0, 0.0])]).unwrap();
            drop(job);
            let wrong = Job::open(&out, run(Dtype::F16, Shard::WHOLE)).err().unwrap().to_string();
            assert!(
                wrong.contains("F32") && wrong.contains("F16") && wrong.contains("delete the folder"),
                "{wrong}"
            );
            let mut job = Job::open(&out, run(Dtype::F32, Shard::WHOLE)).unwrap();
            assert_eq!(job.entries_done(), PART_ENTRIES);
            job.publish(&[]).unwrap();
            job.publish(&[row("b", [0.0, 1.0])]).unwrap();
            assert!(!out.exists(), "nobody takes half a file for a whole one");
            job.finish().unwrap();
            assert!(!with_end(&out, ".parts").exists());
            let mut job = Job::open(&whole, run(Dtype::F32, Shard::WHOLE)).unwrap();
            job.publish(&[row("a", [1.0, 0.0])]).unwrap();
            job.publish(&[]).unwrap();
            job.publish(&[row("b", [0.0, 1.0])]).unwrap();
            job.finish().unwrap();
            assert_eq!(std::fs::read(&out).unwrap(), std::fs::read(&whole).unwrap(), "{end}");
        }
        assert!(Job::open(Path::new("v.csv"), run(Dtype::F32, Shard::WHOLE)).is_err());
    }

    #[test]
    fn shards_are_disjoint_and_named() {
        let shards: Vec<Shard> = (0..3).map(|index| format!("{index}/3").parse().unwrap()).collect();
        for number in 0..100 {
            let id = PaperId::parse(&format!("p{number}")).unwrap();
            assert_eq!(shards.iter().filter(|shard| shard.has(&id)).count(), 1);
        }
        for wrong in ["3/3", "1", "-1/3", "0/0", "a/b"] {
            assert!(wrong.parse::<Shard>().unwrap_err().contains("0/16"), "{wrong}");
        }
        assert_eq!(sharded(Path::new("d/v.npy"), shards[1]), Path::new("d/v-00001-of-00003.npy"));
    }
}
