//! Ingest compared with the encoder alone, over the same papers: how much time does ingest add?
//!
//! Measured: `encode` encodes all texts in one call, which is the encoder's fastest way; `ingest` reads the dump,
//! stores the papers, encodes them, appends the vectors and builds the index, in a new folder on disk, until the last
//! file is synced. The two take turns in one process, and the results are medians of the rounds.
//!
//! Corpus: at most `--count` papers (by default 2,000) of `--dump` (by default the sample, which has 120 papers);
//! `--step N` takes every N-th paper of the dump.
//!
//! Fair: both encode the same texts. Titles are not encoded separately (`--title 0`), although ingest does so by
//! default. Unfair to ingest: it encodes only 512 papers per thread at a time, so that an interruption loses only
//! seconds of work. So the texts in a batch of ingest have less similar lengths.

#![allow(clippy::unwrap_used, reason = "a benchmark is a program of its own")]

mod options;

use likewise::ingest::FolderWriter;
use likewise::store::text::text_of;
use likewise_encoder::model::{
    DEFAULT_MODEL, DEFAULT_MODELS_DIR, InputType, ModelFolder, ModelOptions, Precision,
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

    let (mut encode_rates, mut ingest_rates) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let started = Instant::now();
        encoder.encode(&texts, InputType::Document).unwrap();
        encode_rates.push(texts.len() as f64 / started.elapsed().as_secs_f64());

        let folder = tempfile::tempdir_in("target").unwrap();
        let started = Instant::now();
        let mut writer = FolderWriter::open(folder.path(), &encoder).unwrap();
        for chunk in dump::chunks(Box::new(open().map(|paper| Ok(Entry::Paper(paper)))), writer.chunk_size())
        {
            writer.add(chunk).unwrap();
        }
        writer.finish().unwrap();
        ingest_rates.push(texts.len() as f64 / started.elapsed().as_secs_f64());
        println!(
            "encode {:.1}, ingest {:.1} papers/s",
            encode_rates.last().unwrap(),
            ingest_rates.last().unwrap()
        );
    }
    let median = |rates: &mut Vec<f64>| {
        rates.sort_unstable_by(f64::total_cmp);
        rates[rates.len() / 2]
    };
    let (encode, ingest) = (median(&mut encode_rates), median(&mut ingest_rates));
    println!("encode {encode:.1}, ingest {ingest:.1} papers/s: {:.3}", ingest / encode);
}
