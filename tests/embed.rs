//! `likewise embed` as a process: vector files in parts and shards, continued after an interruption, and ingested.

use crate::support::{TestRng, data, encoder, likewise, small_bert};
use likewise::ingest::embed::Shard;
use likewise::search::Library;
use likewise::store::text::text_of;
use likewise_encoder::Encoder;
use likewise_encoder::model::{InputType, ModelFolder, Precision};
use likewise_papers::PaperId;
use likewise_papers::dump::{self, Entry};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

fn embed(dump: &Path, out: &Path, options: &[&str]) -> Output {
    let arguments = [&["embed", dump.to_str().unwrap(), "--out", out.to_str().unwrap()], options].concat();
    likewise(&arguments).output().unwrap()
}

/// Returns the standard output followed by the standard error.
fn printed(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Returns the vectors of a Parquet file by paper id. Each value is given as its bits, for exact comparisons.
fn vectors(path: &Path) -> BTreeMap<String, Vec<u32>> {
    let vector = |entry| match entry {
        Ok(Entry::Encoded(paper, vector)) => {
            (paper.id.to_string(), vector.iter().map(|value: &f32| value.to_bits()).collect())
        }
        unexpected => panic!("{unexpected:?}"),
    };
    dump::read(path, None).unwrap().entries.map(vector).collect()
}

/// Writes a dump of `count` short papers of different lengths.
fn write_dump(folder: &Path, count: usize) -> std::path::PathBuf {
    let path = folder.join("many.jsonl");
    let lines = (0..count).fold(String::new(), |mut lines, number| {
        let words = "of the things ".repeat(number % 3);
        let _ = writeln!(
            lines,
            r#"{{"id":"p{number}","title":"Paper {number}","abstract":"On item {words}{number}."}}"#
        );
        lines
    });
    std::fs::write(&path, lines).unwrap();
    path
}

#[test]
fn a_vector_does_not_depend_on_the_other_texts_of_its_batch() {
    let papers: Vec<_> = dump::read(&data("sample.jsonl"), None).unwrap().papers().step_by(4).collect();
    let mut texts: Vec<String> = papers.iter().map(text_of).collect();
    texts.extend((0..20).map(|number| "word ".repeat(number * 14)));
    let path = crate::support::model_folder();
    for precision in Precision::ALL {
        let folder = ModelFolder::open(path.to_str().unwrap(), Path::new("models"), precision).unwrap();
        let encoder = Encoder::load(&folder).unwrap();
        let encode = |texts: &[&String]| -> Vec<Vec<u32>> {
            let texts: Vec<&str> = texts.iter().map(|text| text.as_str()).collect();
            let bits = |vector: Vec<f32>| vector.into_iter().map(f32::to_bits).collect();
            encoder
                .encode(&texts, InputType::Document)
                .unwrap()
                .into_iter()
                .map(|embedding| bits(embedding.vector))
                .collect()
        };
        let together = encode(&texts.iter().collect::<Vec<_>>());
        let mut reversed = encode(&texts.iter().rev().collect::<Vec<_>>());
        reversed.reverse();
        assert!(together == reversed, "{precision}: reversed");
        let mut random = TestRng(3);
        let mut rest = &texts[..];
        let mut in_chunks = Vec::new();
        while !rest.is_empty() {
            let (chunk, after) = rest.split_at((1 + random.below(9)).min(rest.len()));
            in_chunks.extend(encode(&chunk.iter().collect::<Vec<_>>()));
            rest = after;
        }
        assert!(together == in_chunks, "{precision}: in chunks");
    }
}

#[test]
fn the_shards_together_have_the_vectors_of_an_unsharded_run() {
    let folder = tempfile::tempdir().unwrap();
    let dump = data("sample.jsonl");
    let (complete, shard) = (folder.path().join("complete.parquet"), folder.path().join("shard.parquet"));
    assert!(embed(&dump, &complete, &[]).status.success());
    let mut union = BTreeMap::new();
    for index in 0..3 {
        let output = embed(&dump, &shard, &["--shard", &format!("{index}/3")]);
        assert!(output.status.success(), "{}", printed(&output));
        let part = vectors(&folder.path().join(format!("shard-0000{index}-of-00003.parquet")));
        let shard = Shard { index, count: 3 };
        assert!(part.len() > 20 && part.keys().all(|id| shard.contains(&PaperId::parse(id).unwrap())));
        union.extend(part);
    }
    assert!(union == vectors(&complete) && union.len() == 120);
    let output = embed(&dump, &shard, &["--shard", "3/3"]);
    assert!(printed(&output).contains("must be I/N with I from 0 to N-1"), "{}", printed(&output));
}

#[test]
fn a_killed_run_continues_and_writes_the_same_file() {
    let folder = tempfile::tempdir().unwrap();
    // The run writes ten parts with a fast model. Most parts are not written when the process is killed.
    let dump = write_dump(folder.path(), 40_000);
    let model = small_bert();
    let embed = |dump: &Path, out: &Path, options: &[&str]| {
        embed(dump, out, &[&["--model", model.to_str().unwrap()], options].concat())
    };
    for extension in ["parquet", "npy", "jsonl"] {
        let [complete, killed] =
            ["complete", "killed"].map(|name| folder.path().join(format!("{name}.{extension}")));
        let complete_run = embed(&dump, &complete, &["--dtype", "f16"]);
        assert!(complete_run.status.success(), "{}", printed(&complete_run));
        let parts = folder.path().join(format!("killed.{extension}.parts"));
        let mut kills = 0;
        // The run is killed twice: shortly after the first part is written, and shortly after the second part.
        for part in ["part-000000", "part-000001"] {
            let [dump, out, model] = [&dump, &killed, &model].map(|path| path.to_str().unwrap());
            let arguments = ["embed", dump, "--out", out, "--model", model, "--dtype", "f16"];
            let mut child = likewise(&arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            while !parts.join(part).exists() && child.try_wait().unwrap().is_none() {
                std::thread::sleep(Duration::from_millis(5));
            }
            std::thread::sleep(Duration::from_millis(20));
            if child.try_wait().unwrap().is_none() {
                child.kill().unwrap();
                kills += 1;
            }
            child.wait().unwrap();
        }
        assert!(kills > 0 && !killed.exists(), "{extension}: {kills} kills");
        let other_dtype = embed(&dump, &killed, &["--dtype", "f32"]);
        assert!(
            other_dtype.status.code() == Some(1) && printed(&other_dtype).contains("parts of another run"),
            "{}",
            printed(&other_dtype)
        );
        let output = embed(&dump, &killed, &["--dtype", "f16"]);
        assert!(
            output.status.success() && printed(&output).contains("continuing an interrupted run after"),
            "{}",
            printed(&output)
        );
        assert!(std::fs::read(&complete).unwrap() == std::fs::read(&killed).unwrap(), "{extension}");
        assert!(!parts.exists());
    }
}

#[test]
fn a_vector_file_is_ingested_without_encoding_unless_the_fingerprint_differs() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("vectors.parquet");
    for dtype in ["f32", "f16"] {
        assert!(
            embed(&data("sample.jsonl"), &out, &["--precision", "f32", "--dtype", dtype]).status.success()
        );
        let data_folder = folder.path().join(dtype);
        let ingest = |precision: &str, data: &Path| {
            let arguments =
                ["ingest", out.to_str().unwrap(), "--data", data.to_str().unwrap(), "--precision", precision];
            likewise(&arguments).output().unwrap()
        };
        let output = ingest("f32", &data_folder);
        assert!(output.status.success(), "{}", printed(&output));
        assert!(
            printed(&output).contains("added 120")
                && printed(&output).contains("encoded 0, vectors taken 120"),
            "{}",
            printed(&output)
        );
        let library = Library::open(&data_folder, encoder()).unwrap();
        let papers: Vec<_> = dump::read(&data("sample.jsonl"), None).unwrap().papers().collect();
        for paper in papers.iter().step_by(7) {
            assert_eq!(&library.paper(paper.id.as_str()).unwrap(), paper, "every field must be kept");
        }
        let again = ingest("f32", &data_folder);
        assert!(printed(&again).contains("unchanged 120"), "{}", printed(&again));
        let refused = ingest("bf16", &folder.path().join("other"));
        assert_eq!(refused.status.code(), Some(1));
        let fingerprint = |precision| {
            let path = crate::support::model_folder();
            let model = ModelFolder::open(path.to_str().unwrap(), Path::new("models"), precision).unwrap();
            model.fingerprint.sha256
        };
        for precision in [Precision::F32, Precision::Bf16] {
            assert!(printed(&refused).contains(&fingerprint(precision)), "{}", printed(&refused));
        }
    }
}
