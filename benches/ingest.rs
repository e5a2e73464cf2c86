//! Ingest beside the encoder alone, over the same papers: is anything but the encoder ever waited for?
//!
//! Measured, in turns, in one process: `encode` gives the encoder all texts at once, which is its best; `ingest` reads
//! the dump, stores the papers, encodes, appends the vectors and builds the index, into a new folder on the disk, down to
//! the last file synced. Medians of the rounds.
//!
//! Corpus: the first `--count` papers of `--dump` (2,000), spread over it by `--step`.
//!
//! Fair: both encode the same texts, and no title a second time (`--title 0`), which ingest would do by default.
//! Unfair to ingest: it encodes 512 papers a thread at a time, so that a kill costs seconds, and batches them less well.

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot go on should stop")]

mod options;

use likewise::ingest::Writer;
use likewise::store::text::text_of;
use likewise_encoder::model::{
    DEFAULT_MODEL, DEFAULT_MODELS_DIR, ModelFolder, ModelOptions, Precision, Side,
};
use likewise_encoder::{Devices, Encoder, fastest_precision};
use likewise_papers::dump::{self, Entry};
use options::option;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

fn main() {
    let number = |name, default| option(name).map_or(default, |count| count.parse::<usize>().unwrap());
    let dump = option("--dump").unwrap_or("tests/data/sample.jsonl".into());
    let (count, step, rounds) = (number("--count", 2000), number("--step", 1), number("--rounds", 3));
    let open = || dump::read(Path::new(&dump), None).unwrap().papers().step_by(step).take(count);
    let texts: Vec<String> = open().map(|paper| text_of(&paper)).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let model = ModelFolder::open(DEFAULT_MODEL, Path::new(DEFAULT_MODELS_DIR), Precision::F32).unwrap();
    let model = model.with_options(ModelOptions { title: Some(0), ..ModelOptions::default() }).unwrap();
    let fastest = fastest_precision(&model, &Devices::Cpu);
    let model = model.in_precision(fastest);
    let encoder = Arc::new(Encoder::load(&model).unwrap());
    println!("{}; {} papers", encoder.describe(), texts.len());

    let (mut alone, mut whole) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let started = Instant::now();
        encoder.encode(&texts, Side::Paper).unwrap();
        alone.push(texts.len() as f64 / started.elapsed().as_secs_f64());

        let folder = tempfile::tempdir_in("target").unwrap();
        let started = Instant::now();
        let mut writer = Writer::open(folder.path(), &encoder).unwrap();
        for chunk in dump::chunks(Box::new(open().map(|paper| Ok(Entry::Paper(paper)))), writer.chunk()) {
            writer.add(chunk).unwrap();
        }
        writer.finish().unwrap();
        whole.push(texts.len() as f64 / started.elapsed().as_secs_f64());
        println!("encode {:.1}, ingest {:.1} papers/s", alone.last().unwrap(), whole.last().unwrap());
    }
    let median = |rates: &mut Vec<f64>| {
        rates.sort_unstable_by(f64::total_cmp);
        rates[rates.len() / 2]
    };
    let (alone, whole) = (median(&mut alone), median(&mut whole));
    println!("encode {alone:.1}, ingest {whole:.1} papers/s: {:.3}", whole / alone);
}
