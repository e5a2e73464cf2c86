//! Throughput, latency and fidelity of the encoder in every precision.
//!
//! Measured, for every precision: papers per second over the texts of a dump, tokenisation and pooling included; the
//! median time to encode one text of 200 tokens and one text of 10 tokens; the cosine of the vectors to the f32
//! vectors; the share of each text's ten nearest texts that are also among the ten nearest in f32; and the speed of all
//! threads relative to one thread. Also measured: the time to tokenise a text.
//!
//! Corpus: at most `--count N` papers (default 512) of `--dump FILE` (default: the sample, which has 120 papers).
//! `--step N` takes every N-th paper of the dump (default 1).
//!
//! Fairness: texts are encoded in the order of the dump, and titles are not encoded separately (as with `--title 0`).
//! Loading a model is not measured. For the papers per second, the precisions take turns in every round, and the
//! results are medians of the rounds (`--rounds`, default 3). Latencies are medians of `--repeats` calls (default 30).
//! The speed of one thread is measured on half of the texts. `benches/encode_peers.py` measures other encoders.
//!
//! Smaller `--rounds` and `--repeats` shorten the run, to check that the benchmark works.

#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark is a program of its own")]

mod options;

use likewise::store::text::text_of;
use likewise_encoder::model::{DEFAULT_MODEL, DEFAULT_MODELS_DIR, InputType, ModelFolder, Precision};
use likewise_encoder::{Devices, Embedding, Encoder, Engine};
use likewise_index::{Exact, Index, dot};
use likewise_index::{Slot, Vectors};
use options::option;
use std::collections::HashSet;
use std::path::Path;
use std::time::Instant;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const PRECISIONS: [Precision; 3] = [Precision::F32, Precision::Bf16, Precision::Int8];

fn main() {
    let number = |name, default| option(name).map_or(default, |count| count.parse::<usize>().unwrap());
    let dump = option("--dump").unwrap_or("tests/data/sample.jsonl".into());
    let (count, step) = (number("--count", 512), number("--step", 1));
    let (rounds, repeats) = (number("--rounds", 3), number("--repeats", 30));
    let papers =
        likewise_papers::dump::read(Path::new(&dump), None).unwrap().papers().step_by(step).take(count);
    let texts: Vec<String> = papers.map(|paper| text_of(&paper)).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let open =
        |precision| ModelFolder::open(DEFAULT_MODEL, Path::new(DEFAULT_MODELS_DIR), precision).unwrap();
    let encoders = PRECISIONS.map(|precision| Encoder::load(&open(precision)).unwrap());

    let mut seconds = PRECISIONS.map(|_| Vec::new());
    let mut embeddings = PRECISIONS.map(|_| Vec::new());
    for _ in 0..rounds {
        for (index, encoder) in encoders.iter().enumerate() {
            seconds[index]
                .push(timed(|| embeddings[index] = encoder.encode(&texts, InputType::Document).unwrap()));
        }
    }
    let tokens: usize = embeddings[0].iter().map(|embedding| embedding.tokens).sum();
    println!("{} texts of {dump}, {:.0} tokens on average", texts.len(), tokens as f64 / texts.len() as f64);
    println!("encoder | papers/s | 200 tokens ms | 10 tokens ms | cosine mean | min | top-10 overlap");
    for (index, encoder) in encoders.iter().enumerate() {
        let latency_ms = |tokens: usize| {
            // The tokenizer adds two special tokens.
            let text = "glacier ".repeat(tokens - 2);
            median(
                (0..repeats)
                    .map(|_| timed(|| drop(encoder.encode_one(&text, InputType::Document).unwrap())))
                    .collect(),
            ) * 1e3
        };
        let (mean, min) = cosines(&embeddings[0], &embeddings[index]);
        println!(
            "{} | {:.1} | {:.2} | {:.2} | {mean:.6} | {min:.6} | {:.4}",
            encoder.describe(),
            texts.len() as f64 / median(seconds[index].clone()),
            latency_ms(200),
            latency_ms(10),
            overlap(&embeddings[0], &embeddings[index]),
        );
    }
    for (precision, all_threads) in PRECISIONS.into_iter().zip(&encoders) {
        let one_thread = Encoder::load_with(&open(precision), &Devices::Cpu, Engine::default(), 1).unwrap();
        let half = &texts[..texts.len() / 2];
        let rate = |encoder: &Encoder| {
            half.len() as f64 / timed(|| drop(encoder.encode(half, InputType::Document).unwrap()))
        };
        let ratios = (0..rounds).map(|_| rate(all_threads) / rate(&one_thread)).collect();
        println!(
            "{precision}: {} threads are {:.2} times as fast as one thread",
            all_threads.threads(),
            median(ratios)
        );
    }
    let tokenize = |encoder: &Encoder| {
        timed(|| {
            texts.iter().for_each(|text| {
                drop(encoder.tokenize(&[text], &encoder.encode_options(InputType::Document)))
            })
        })
    };
    let seconds = median((0..rounds).map(|_| tokenize(&encoders[0])).collect());
    println!("tokenising, one text after the other: {:.2} ms per text", seconds * 1e3 / texts.len() as f64);
}

fn timed(work: impl FnOnce()) -> f64 {
    let started = Instant::now();
    work();
    started.elapsed().as_secs_f64()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Returns the mean and the minimum of the cosines between corresponding vectors.
fn cosines(a: &[Embedding], b: &[Embedding]) -> (f64, f64) {
    let cosines: Vec<f64> = a.iter().zip(b).map(|(a, b)| f64::from(dot(&a.vector, &b.vector))).collect();
    (cosines.iter().sum::<f64>() / cosines.len() as f64, cosines.iter().copied().fold(1.0, f64::min))
}

/// Returns the share of a text's ten nearest other texts that are the same in both sets of vectors, averaged over all
/// texts.
fn overlap(a: &[Embedding], b: &[Embedding]) -> f64 {
    let nearest = |set: &[Embedding]| {
        let values = set.iter().flat_map(|embedding| embedding.vector.iter().copied()).collect();
        let index = Exact::new(Vectors::in_memory(values, set[0].vector.len()));
        let ten = |(own, embedding): (usize, &Embedding)| {
            let found = index.search(&embedding.vector, 11, None);
            found.into_iter().map(|hit| hit.slot).filter(|slot| *slot as usize != own).take(10).collect()
        };
        set.iter().enumerate().map(ten).collect::<Vec<HashSet<Slot>>>()
    };
    let shares =
        nearest(a).into_iter().zip(nearest(b)).map(|(a, b)| a.intersection(&b).count() as f64 / 10.0);
    shares.sum::<f64>() / a.len() as f64
}
