//! Encoder throughput and latency.
//!
//! Measured: papers a second over a dump's first texts, whole batches, tokenisation and pooling
//! included; then the median time of one text of about 200 tokens and of a short query.
//! Corpus: `--dump FILE` (default: the sample), `--count N` of its papers (default 512).
//! Fair: texts come in the dump's order, lengths as they are, three rounds, the median is shown.
//! Unfair: one process, no peer beside it; and the model is loaded and warm.

#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark is a program of its own")]

use likewise::encoder::Encoder;
use likewise::model::{DEFAULT_MODEL, DEFAULT_MODELS_DIR, ModelFolder};
use likewise::text::text_of;
use std::path::Path;
use std::time::{Duration, Instant};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ROUNDS: usize = 3;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let option = |name: &str| {
        let place = arguments.iter().position(|argument| argument == name)?;
        arguments.get(place + 1).cloned()
    };
    let dump = option("--dump").unwrap_or("tests/data/sample.jsonl".into());
    let count = option("--count").map_or(512, |count| count.parse().unwrap());
    let folder = ModelFolder::open(DEFAULT_MODEL, Path::new(DEFAULT_MODELS_DIR)).unwrap();
    let encoder = Encoder::load(&folder).unwrap();
    let (papers, _) = likewise::dump::read(Path::new(&dump), None).unwrap();
    let texts: Vec<String> = papers.filter_map(Result::ok).take(count).map(|paper| text_of(&paper)).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();

    println!("{}; {} texts of {dump}", encoder.describe(), texts.len());
    let mut tokens = 0;
    let all =
        median(|| tokens = encoder.encode(&texts).unwrap().iter().map(|embedding| embedding.tokens).sum());
    println!(
        "all: {:.1} papers/s, {:.0} tokens/s, {:.0} tokens a paper",
        texts.len() as f64 / all.as_secs_f64(),
        tokens as f64 / all.as_secs_f64(),
        tokens as f64 / texts.len() as f64
    );
    for (name, text) in [("200 tokens", "glacier ".repeat(198)), ("10 tokens", "glacier ".repeat(8))] {
        let one =
            median(|| drop((0..10).map(|_| encoder.encode_one(&text).unwrap()).collect::<Vec<_>>())) / 10;
        println!("one text of {name}: {:.2} ms", one.as_secs_f64() * 1e3);
    }
}

fn median(mut work: impl FnMut()) -> Duration {
    let mut times: Vec<Duration> = (0..ROUNDS)
        .map(|_| {
            let started = Instant::now();
            work();
            started.elapsed()
        })
        .collect();
    times.sort_unstable();
    times[ROUNDS / 2]
}
