//! The program's commands as processes: ingest, search, reembed, verify, serve, embed, and their errors.

use crate::support::{Server, data, likewise, small_bert};
use serde_json::{Value, json};
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

fn ingest(folder: &Path, file: &Path) -> Output {
    let arguments = ["ingest", file.to_str().unwrap(), "--data", folder.to_str().unwrap()];
    likewise(&arguments).output().unwrap()
}

fn search(folder: &Path, arguments: &[&str]) -> Output {
    let arguments = [&["search", "--data", folder.to_str().unwrap()], arguments].concat();
    likewise(&arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn ingest_then_search() {
    let folder = tempfile::tempdir().unwrap();
    let output = ingest(folder.path(), &data("five/plain.jsonl"));
    assert!(output.status.success(), "{}", text(&output.stderr));
    let stdout = text(&output.stdout);
    assert!(
        stdout.starts_with("read 5, added 5, replaced 0, unchanged 0, refused 0, encoded 5, "),
        "{stdout}"
    );
    assert_eq!(stdout.lines().count(), 1);

    let output = search(folder.path(), &["insects and numbers", "-k", "2"]);
    assert!(
        text(&output.stdout).contains("2021 Bees that count\n           2101.00004\n"),
        "{}",
        text(&output.stdout)
    );
    let output = search(folder.path(), &["insects and numbers", "--above", "-1"]);
    let hits: Vec<Value> =
        text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((hits.len(), &hits[0]["paper"]["id"]), (5, &"2101.00004".into()));
    let score = hits[1]["score"].to_string();
    let output = search(folder.path(), &["insects and numbers", "--above", &score, "--csv"]);
    let rows: Vec<&str> = text(&output.stdout).lines().collect();
    assert!(rows[0].starts_with("rank,score,id,") && rows[1].starts_with("1,0."), "{rows:?}");
    assert!(rows.iter().any(|row| row.starts_with("2,")) && !rows.iter().any(|row| row.starts_with("3,")));

    let output = search(folder.path(), &["--like", "arXiv:2101.00004v2", "--json", "-k", "1", "--exact"]);
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_ne!(answer["hits"][0]["paper"]["id"], "2101.00004");

    let output = search(
        folder.path(),
        &[
            "anything",
            "--author",
            "singh",
            "--from",
            "2021",
            "--category",
            "astro-ph",
            "--source",
            "arXiv",
            "--json",
        ],
    );
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (answer["hits"].as_array().unwrap().len(), &answer["hits"][0]["paper"]["id"]),
        (1, &json!("2101.00001"))
    );
    let output = search(folder.path(), &["anything", "--venue", "Nowhere"]);
    assert_eq!(text(&output.stdout), "no paper was found\n");
    let output = search(folder.path(), &["anything", "--author", "?!"]);
    assert!(
        text(&output.stderr).contains("filter.authors: a name must have at least one word (got \"?!\")"),
        "{}",
        text(&output.stderr)
    );

    let file = folder.path().join("query.txt");
    std::fs::write(&file, "moons with oceans").unwrap();
    let output = search(folder.path(), &["--file", file.to_str().unwrap(), "-k", "1"]);
    assert!(text(&output.stdout).contains("Tidal heating"), "{}", text(&output.stdout));
    let mut child =
        likewise(&["search", "--file", "-", "-k", "1", "--data", folder.path().to_str().unwrap()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
    child.stdin.take().unwrap().write_all(b"knots and volumes").unwrap();
    assert!(text(&child.wait_with_output().unwrap().stdout).contains("Knots with equal volume"));
}

#[test]
fn deleted_vectors_are_made_again_with_the_same_model() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    let small = small_bert();
    let small = small.to_str().unwrap();
    for model in ["all-MiniLM-L6-v2", small] {
        let reembedded = likewise(&["reembed", "--model", model, "--data", path]);
        if model == small {
            assert!({ reembedded }.output().unwrap().status.success());
        } else {
            ingest(folder.path(), &data("five/plain.jsonl"));
        }
        let before = search(folder.path(), &["insects and numbers", "--json", "--min-score", "0"]).stdout;
        std::fs::remove_dir_all(folder.path().join("spaces")).unwrap();
        let output = search(folder.path(), &["insects and numbers", "--json", "--min-score", "0"]);
        assert_eq!(text(&output.stdout), text(&before), "{}", text(&output.stderr));
    }
}

#[test]
fn a_damaged_paper_is_reported_and_repaired_by_another_ingest() {
    let folder = tempfile::tempdir().unwrap();
    ingest(folder.path(), &data("five/plain.jsonl"));
    let path = folder.path().join("catalog.sqlite");
    let mut bytes = std::fs::read(&path).unwrap();
    let position = bytes.windows(15).position(|window| window == b"Bees that count").unwrap();
    bytes[position + 2] ^= 0x80;
    std::fs::write(&path, bytes).unwrap();
    let verify = || likewise(&["verify", "--data", folder.path().to_str().unwrap()]).output().unwrap();
    let output = verify();
    assert!(output.status.code() == Some(1), "{}", text(&output.stdout));
    assert!(
        text(&output.stdout).contains("the paper with row number 4 is damaged"),
        "{}",
        text(&output.stdout)
    );
    let output = search(folder.path(), &["insects and numbers", "--json", "--min-score", "0"]);
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(answer["hits"].as_array().unwrap().len(), 4, "the other papers must still be found");
    let output = ingest(folder.path(), &data("five/plain.jsonl"));
    assert!(text(&output.stdout).contains("replaced 1, unchanged 4"), "{}", text(&output.stderr));
    assert!(verify().status.success());
}

#[test]
fn invalid_lines_are_reported_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mixed.jsonl");
    let lines = "{\"id\":\"a\",\"title\":\"A\",\"abstract\":\"One.\"}\nnot json\n{\"id\":\"b\"}\n{\"id\":\"c\",\"title\":\"C\",\"abstract\":\"Two.\"}\n";
    std::fs::write(&file, lines).unwrap();
    let output = ingest(&folder.path().join("data"), &file);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stdout).starts_with("read 4, added 2, replaced 0, unchanged 0, refused 2"));
    let stderr = text(&output.stderr);
    assert!(stderr.contains("mixed.jsonl:2: ") && stderr.contains("mixed.jsonl:3: "), "{stderr}");

    let output = ingest(&folder.path().join("data"), Path::new("no-such-file"));
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("no-such-file"));
}

#[test]
fn invalid_arguments_and_files_get_an_error_message() {
    let folder = tempfile::tempdir().unwrap();
    let pdf = folder.path().join("paper.pdf");
    std::fs::write(&pdf, "%PDF-1.7 and so on").unwrap();
    let cases: [(&[&str], &str); 6] = [
        (&["anything"], "run `likewise ingest"),
        (&["--list", pdf.to_str().unwrap()], "paper.pdf: the file must be text"),
        (&["--file", "no-such-file"], "no-such-file"),
        (&["x", "--model", "no-such-model"], "no-such-model"),
        (&[], "required"),
        (&["x", "-k", "many"], "invalid value"),
    ];
    for (arguments, part) in cases {
        let output = search(folder.path(), arguments);
        let stderr = text(&output.stderr);
        assert!(
            !output.status.success() && stderr.contains(part) && !stderr.contains("panicked"),
            "{stderr}"
        );
    }
    let blocked = folder.path().join("file");
    std::fs::write(&blocked, "").unwrap();
    let output = ingest(&blocked, &data("five/plain.jsonl"));
    assert!(
        !output.status.success() && !text(&output.stderr).contains("panicked"),
        "{}",
        text(&output.stderr)
    );
}

fn send_signal(child: &Child, name: &str) {
    assert!(Command::new("kill").args([name, &child.id().to_string()]).status().unwrap().success());
}

#[test]
fn the_server_answers_and_stops_on_a_signal() {
    let folder = tempfile::tempdir().unwrap();
    ingest(folder.path(), &data("five/plain.jsonl"));
    for stop in ["-TERM", "-INT"] {
        let mut server = Server::start(folder.path());
        assert!(
            ureq::get(format!("{}/health", server.address)).call().is_ok(),
            "/health must answer before the server is ready"
        );
        server.wait_until_ready();
        let body = json!({"text": "insects that count", "k": 1});
        let mut response = ureq::post(format!("{}/v1/search", server.address)).send_json(&body).unwrap();
        let response: Value = response.body_mut().read_json().unwrap();
        assert_eq!(response["hits"][0]["paper"]["id"], "2101.00004");

        // A request that is running when the signal arrives must still get a response.
        let address = server.address.clone();
        let running = std::thread::spawn(move || {
            let texts: Vec<String> =
                (0..64).map(|number| format!("{number} {}", "word ".repeat(200))).collect();
            ureq::post(format!("{address}/v1/embeddings")).send_json(json!({"input": texts}))
        });
        std::thread::sleep(Duration::from_millis(200));
        send_signal(&server.child, stop);
        assert!(running.join().unwrap().is_ok(), "the running request was cut off");
        assert!(server.child.wait().unwrap().success());
    }
}

#[test]
fn serving_a_folder_without_papers_is_an_error_with_the_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let output =
        likewise(&["serve", "--listen", "127.0.0.1:0", "--data", folder.path().to_str().unwrap()]).output();
    let output = output.unwrap();
    assert!(!output.status.success());
    assert!(text(&output.stderr).contains("run `likewise ingest"), "{}", text(&output.stderr));
}

#[test]
fn embed_writes_vectors_and_ids() {
    let folder = tempfile::tempdir().unwrap();
    let vectors = folder.path().join("vectors.npy");
    let dump = crate::support::data("five/plain.jsonl");
    let arguments = ["embed", dump.to_str().unwrap(), "--output", vectors.to_str().unwrap()];
    let output = likewise(&[&arguments[..], &["--precision", "f32"]].concat()).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("vectors.npy: read 5, refused 0, without abstract 0, encoded 5"));
    let ids = std::fs::read_to_string(vectors.with_extension("ids")).unwrap();
    let papers: Vec<_> = likewise_papers::dump::read(&dump, None).unwrap().papers().collect();
    assert!(ids.lines().eq(papers.iter().map(|paper| paper.id.as_str())));
    let bytes = std::fs::read(&vectors).unwrap();
    let values: Vec<f32> =
        bytes[128..].chunks_exact(4).map(|value| f32::from_le_bytes(value.try_into().unwrap())).collect();
    let third = crate::support::encoder()
        .encode_titled([likewise::store::text::document_of(&papers[2])])
        .unwrap()
        .remove(0)
        .vector;
    assert!(values[2 * 384..3 * 384].iter().zip(&third).all(|(a, b)| (a - b).abs() < 1e-5));
}

#[test]
fn the_precision_of_a_data_folder_is_the_default_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let (data, dump) = (folder.path().to_str().unwrap(), crate::support::data("five/plain.jsonl"));
    let run = |arguments: &[&str]| likewise(&[arguments, &["--data", data]].concat()).output().unwrap();
    let filled = run(&["ingest", dump.to_str().unwrap(), "--precision", "bf16"]);
    assert_eq!(filled.status.code(), Some(0), "{}", text(&filled.stderr));
    let again = run(&["ingest", dump.to_str().unwrap()]);
    assert!(text(&again.stderr).contains("in bf16"), "{}", text(&again.stderr));
    assert!(text(&again.stdout).contains("unchanged 5"), "{}", text(&again.stdout));
    let found = run(&["search", "glaciers"]);
    assert_eq!(found.status.code(), Some(0), "{}", text(&found.stderr));
    let other = run(&["search", "glaciers", "--precision", "f32"]);
    assert_eq!(other.status.code(), Some(1));
    assert!(text(&other.stderr).contains("precision is f32 and was bf16"), "{}", text(&other.stderr));
    let unknown = run(&["search", "glaciers", "--precision", "f16"]);
    assert!(
        text(&unknown.stderr).contains("the precision must be auto, f32, bf16 or int8"),
        "{}",
        text(&unknown.stderr)
    );
}

#[test]
fn auto_chooses_the_precision_by_the_cpu_instructions_in_use() {
    let folder = tempfile::tempdir().unwrap();
    let (data, dump) = (folder.path().to_str().unwrap(), crate::support::data("five/plain.jsonl"));
    let arguments = ["ingest", dump.to_str().unwrap(), "--data", data];
    let output = likewise(&arguments).env("LIKEWISE_CPU", "portable").output().unwrap();
    let stderr = text(&output.stderr);
    assert!(output.status.success() && stderr.contains("in f32") && stderr.contains("portable"), "{stderr}");
}

#[test]
fn renamed_options_are_errors_that_give_the_new_names() {
    let cases: [(&[&str], &str); 6] = [
        (&["search", "bees", "--rescore"], "--rescore is now called --rerank-sentences"),
        (&["search", "bees", "--examples", "mean"], "--examples is now called --aggregation"),
        (&["eval", "folder", "--rescore"], "--rescore is now called --rerank-sentences"),
        (&["eval", "folder", "--examples=mean,best"], "--examples is now called --aggregation"),
        (&["eval", "folder", "--walk"], "--walk is now called --hnsw"),
        (
            &["serve", "--queue-tokens-flooded", "5"],
            "--queue-tokens-flooded is now called --queue-tokens-overloaded",
        ),
    ];
    for (arguments, message) in cases {
        let output = likewise(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(text(&output.stderr).contains(message), "{arguments:?}: {}", text(&output.stderr));
    }
    let output = likewise(&["serve"]).env("LIKEWISE_QUEUE_TOKENS_FLOODED", "5").output().unwrap();
    let message = "LIKEWISE_QUEUE_TOKENS_FLOODED is now called LIKEWISE_QUEUE_TOKENS_OVERLOADED";
    assert!(!output.status.success() && text(&output.stderr).contains(message), "{}", text(&output.stderr));
}
