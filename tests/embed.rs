//! Vectors into files: in parts, in shards, interrupted, and back.

use crate::support::{Random, data, encoder, likewise, small_bert};
use likewise::ingest::embed::Shard;
use likewise::search::Library;
use likewise::store::text::text_of;
use likewise_encoder::Encoder;
use likewise_encoder::model::{ModelFolder, Precision, Side};
use likewise_papers::PaperId;
use likewise_papers::dump::{self, Entry};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

fn embed(dump: &Path, out: &Path, more: &[&str]) -> Output {
    let arguments = [&["embed", dump.to_str().unwrap(), "--out", out.to_str().unwrap()], more].concat();
    likewise(&arguments).output().unwrap()
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The vectors of a Parquet file, by id, bit for bit.
fn vectors(path: &Path) -> BTreeMap<String, Vec<u32>> {
    let vector = |entry| match entry {
        Ok(Entry::Encoded(paper, vector)) => {
            (paper.id.to_string(), vector.iter().map(|value: &f32| value.to_bits()).collect())
        }
        other => panic!("{other:?}"),
    };
    dump::read(path, None).unwrap().entries.map(vector).collect()
}

fn many(folder: &Path, count: usize) -> std::path::PathBuf {
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
fn a_texts_vector_is_the_same_whatever_it_is_encoded_with() {
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
                .encode(&texts, Side::Paper)
                .unwrap()
                .into_iter()
                .map(|embedding| bits(embedding.vector))
                .collect()
        };
        let together = encode(&texts.iter().collect::<Vec<_>>());
        let mut reversed = encode(&texts.iter().rev().collect::<Vec<_>>());
        reversed.reverse();
        assert!(together == reversed, "{precision}: reversed");
        let mut random = Random(3);
        let mut rest = &texts[..];
        let mut in_pieces = Vec::new();
        while !rest.is_empty() {
            let (piece, after) = rest.split_at((1 + random.below(9)).min(rest.len()));
            in_pieces.extend(encode(&piece.iter().collect::<Vec<_>>()));
            rest = after;
        }
        assert!(together == in_pieces, "{precision}: in pieces");
    }
}

#[test]
fn the_shards_of_a_run_are_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let dump = data("sample.jsonl");
    let (whole, shard) = (folder.path().join("whole.parquet"), folder.path().join("shard.parquet"));
    assert!(embed(&dump, &whole, &[]).status.success());
    let mut union = BTreeMap::new();
    for index in 0..3 {
        let output = embed(&dump, &shard, &["--shard", &format!("{index}/3")]);
        assert!(output.status.success(), "{}", said(&output));
        let part = vectors(&folder.path().join(format!("shard-0000{index}-of-00003.parquet")));
        let shard = Shard { index, count: 3 };
        assert!(part.len() > 20 && part.keys().all(|id| shard.has(&PaperId::parse(id).unwrap())));
        union.extend(part);
    }
    assert!(union == vectors(&whole) && union.len() == 120);
    let output = embed(&dump, &shard, &["--shard", "3/3"]);
    assert!(said(&output).contains("wanted I/N with I from 0 to N-1"), "{}", said(&output));
}

#[test]
fn killed_and_started_again_it_writes_the_same_file() {
    let folder = tempfile::tempdir().unwrap();
    // Ten parts, by a model that is quick on any machine: most are still to come when it is killed.
    let dump = many(folder.path(), 40_000);
    let model = small_bert();
    let embed = |dump: &Path, out: &Path, more: &[&str]| {
        embed(dump, out, &[&["--model", model.to_str().unwrap()], more].concat())
    };
    for end in ["parquet", "npy", "jsonl"] {
        let [whole, killed] = ["whole", "killed"].map(|name| folder.path().join(format!("{name}.{end}")));
        let whole_run = embed(&dump, &whole, &["--dtype", "f16"]);
        assert!(whole_run.status.success(), "{}", said(&whole_run));
        let parts = folder.path().join(format!("killed.{end}.parts"));
        let mut kills = 0;
        // After a part is done, and in the middle of the next one.
        for done in ["part-000000", "part-000001"] {
            let [dump, out, model] = [&dump, &killed, &model].map(|path| path.to_str().unwrap());
            let arguments = ["embed", dump, "--out", out, "--model", model, "--dtype", "f16"];
            let mut child = likewise(&arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            while !parts.join(done).exists() && child.try_wait().unwrap().is_none() {
                std::thread::sleep(Duration::from_millis(5));
            }
            std::thread::sleep(Duration::from_millis(20));
            if child.try_wait().unwrap().is_none() {
                child.kill().unwrap();
                kills += 1;
            }
            child.wait().unwrap();
        }
        assert!(kills > 0 && !killed.exists(), "{end}: {kills} kills");
        let other = embed(&dump, &killed, &["--dtype", "f32"]);
        assert!(
            other.status.code() == Some(1) && said(&other).contains("parts of another run"),
            "{}",
            said(&other)
        );
        let output = embed(&dump, &killed, &["--dtype", "f16"]);
        assert!(output.status.success() && said(&output).contains("going on after"), "{}", said(&output));
        assert!(std::fs::read(&whole).unwrap() == std::fs::read(&killed).unwrap(), "{end}");
        assert!(!parts.exists());
    }
}

#[test]
fn vectors_come_back_without_encoding_and_others_are_refused() {
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
        assert!(output.status.success(), "{}", said(&output));
        assert!(
            said(&output).contains("added 120") && said(&output).contains("encoded 0, vectors taken 120"),
            "{}",
            said(&output)
        );
        let library = Library::open(&data_folder, encoder()).unwrap();
        let papers: Vec<_> = dump::read(&data("sample.jsonl"), None).unwrap().papers().collect();
        for paper in papers.iter().step_by(7) {
            assert_eq!(&library.paper(paper.id.as_str()).unwrap(), paper, "all of it is there");
        }
        let again = ingest("f32", &data_folder);
        assert!(said(&again).contains("unchanged 120"), "{}", said(&again));
        let other = ingest("bf16", &folder.path().join("other"));
        assert_eq!(other.status.code(), Some(1));
        let fingerprint = |precision| {
            let path = crate::support::model_folder();
            let model = ModelFolder::open(path.to_str().unwrap(), Path::new("models"), precision).unwrap();
            model.fingerprint.sha256
        };
        for precision in [Precision::F32, Precision::Bf16] {
            assert!(said(&other).contains(&fingerprint(precision)), "{}", said(&other));
        }
    }
}
