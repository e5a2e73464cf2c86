//! Judged sets, measured and compared by the program, as its users run it.

use crate::support::{data, likewise, papers_of};
use likewise::evaluation::JudgedSet;
use likewise_papers::dump;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::process::Output;

/// A set of the first papers of the sample: `t…` asks by a title for its abstract, `9901.00001` by the paper for the next
/// two, which are about the same.
fn write(folder: &Path) {
    let papers = papers_of(dump::read(&data("sample.jsonl"), None).unwrap());
    let line = |value: Value| value.to_string() + "\n";
    let corpus =
        papers.iter().map(|paper| json!({"_id": paper.id, "title": paper.title, "text": paper.r#abstract}));
    fs::write(folder.join("corpus.jsonl"), corpus.map(line).collect::<String>()).unwrap();
    let asked = papers
        .iter()
        .take(20)
        .map(|paper| json!({"_id": format!("t {}", paper.id.as_str()), "text": paper.title}));
    let by_paper = json!({"_id": papers[0].id});
    fs::write(folder.join("queries.jsonl"), asked.chain([by_paper]).map(line).collect::<String>()).unwrap();
    let mut qrels = "query-id\tcorpus-id\tscore\n".to_string();
    for paper in papers.iter().take(20) {
        qrels += &format!("t {0}\t{0}\t2\n", paper.id.as_str());
    }
    for paper in papers.iter().skip(1).take(2) {
        qrels += &format!("{}\t{}\t1\n", papers[0].id.as_str(), paper.id.as_str());
    }
    fs::create_dir_all(folder.join("qrels")).unwrap();
    fs::write(folder.join("qrels/test.tsv"), qrels).unwrap();
}

fn eval(arguments: &[&str]) -> Output {
    likewise(&[&["eval"], arguments].concat()).output().unwrap()
}

fn said(output: &Output) -> String {
    [&*output.stdout, &*output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned()).concat()
}

#[test]
fn a_set_is_encoded_once_asked_and_measured() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_string();
    write(folder.path());
    let set = path("");
    let output = eval(&[
        &set,
        "--data",
        &path("kept"),
        "--save-run",
        &path("mine.run"),
        "--per-query",
        &path("q.tsv"),
    ]);
    assert!(output.status.success(), "{}", said(&output));
    assert!(
        said(&output).contains("21 queries, 22 judgements, relevant from grade 1 on"),
        "{}",
        said(&output)
    );
    let told = fs::read_to_string(path("q.tsv")).unwrap();
    assert_eq!((told.lines().count(), told.contains("\tt 9901.00001\t")), (22, true), "{told}");

    // A run that has everything in the opposite order is worse, by so much, and not by chance.
    let run = fs::read_to_string(path("mine.run")).unwrap();
    assert!(!run.contains("\n9901.00001\tQ0\t9901.00001\t"), "a query is no answer to itself");
    let worse: Vec<String> = run
        .lines()
        .map(|line| {
            let mut parts: Vec<String> = line.split('\t').map(str::to_string).collect();
            parts[4] = (-parts[4].parse::<f32>().unwrap()).to_string();
            parts.join("\t")
        })
        .collect();
    fs::write(path("worse.run"), worse.join("\n")).unwrap();
    let output = eval(&[&set, "--data", &path("kept"), "--against", &path("worse.run"), "--json"]);
    assert!(said(&output).contains("120 papers read, 0 encoded"), "{}", said(&output));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let (worse, mine) = (&report["systems"][0], &report["systems"][1]);
    let mrr = report["measures"].as_array().unwrap().iter().position(|name| name == "MRR").unwrap();
    assert!(mine["means"][mrr].as_f64().unwrap() > 0.95, "{mine}");
    assert!(worse["means"][mrr].as_f64().unwrap() < 0.1, "{worse}");
    assert!(mine["compared"][mrr]["p"].as_f64().unwrap() < 0.001, "{mine}");
    assert!(mine["compared"][mrr]["interval"][0].as_f64().unwrap() > 0.5, "{mine}");
    assert!(worse.get("compared").is_none() && worse["unjudged"].as_f64().unwrap() > 0.9);

    // Modes beside each other, asked for ten hits as readers are.
    let output = eval(&[&set, "--data", &path("kept"), "--mode", "semantic,hybrid,lexical", "-k", "10"]);
    for told in [", semantic\n", ", hybrid\n", ", lexical\n", "p 1.0000"] {
        assert!(said(&output).contains(told), "{told}: {}", said(&output));
    }

    // What scores mean, and what the space is like.
    let output = eval(&[&set, "--data", &path("kept"), "--calibrate", "-k", "100"]);
    for told in ["[chances.texts]\n", "semantic = { slope = ", "hybrid = { slope = ", "of that in use 0."] {
        assert!(said(&output).contains(told), "{told}: {}", said(&output));
    }
    let output = eval(&["--space", &path("space.svg"), "--data", &path("kept")]);
    let figures: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((figures["papers"].as_u64(), figures["compared"].as_u64()), (Some(120), Some(120)));
    assert!((0.0..0.3).contains(&figures["anisotropy"].as_f64().unwrap()), "{figures}");
    assert!((0.4..0.9).contains(&figures["mean_nearest"].as_f64().unwrap()), "{figures}");
    assert!(figures["title_mrr"].as_f64().unwrap() > 0.9, "{figures}");
    assert_eq!(figures["index_recall"].as_f64(), Some(1.0));
    let page = fs::read_to_string(path("space.svg")).unwrap();
    roxmltree::Document::parse(&page).unwrap();
    assert!(page.contains("Hubness") && page.contains("<path"), "{page}");

    // The same answers, by the graph.
    let output = eval(&[&set, "--data", &path("kept"), "--walk", "--against", &path("mine.run"), "--json"]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let compared = &report["systems"][1]["compared"][mrr];
    assert_eq!((compared["difference"].as_f64(), compared["p"].as_f64()), (Some(0.0), Some(1.0)), "{report}");
}

#[test]
fn pools_are_ranked_each_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path());
    let set = JudgedSet::read(folder.path(), None).unwrap();
    assert_eq!((set.queries.len(), set.pooled), (21, false));
    let papers = papers_of(dump::read(&data("sample.jsonl"), None).unwrap());
    let mut names: Vec<&str> = papers.iter().skip(1).take(10).map(|paper| paper.id.as_str()).collect();
    names.sort_unstable();
    let grades = names.iter().map(|name| (name.to_string(), json!(i32::from(*name == names[0])))).collect();
    let pools: serde_json::Map<String, Value> =
        [(papers[0].id.to_string(), Value::Object(grades))].into_iter().collect();
    fs::write(folder.path().join("pools.json"), Value::Object(pools).to_string()).unwrap();
    let run = folder.path().join("pool.run");
    let output = eval(&[folder.path().to_str().unwrap(), "--save-run", run.to_str().unwrap(), "-k", "50"]);
    assert!(said(&output).contains("1 queries, 10 judgements"), "{}", said(&output));
    assert!(said(&output).contains("recall@100: of the first 50 hits"), "{}", said(&output));
    let run = fs::read_to_string(run).unwrap();
    let mut ranked: Vec<&str> = run.lines().map(|line| line.split('\t').nth(2).unwrap()).collect();
    ranked.sort_unstable();
    assert_eq!(ranked, names, "all of the pool, and nothing else");
}

#[test]
fn what_cannot_be_evaluated_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let set = folder.path().to_str().unwrap();
    let wrong = |arguments: &[&str], what: &str| {
        let output = eval(arguments);
        assert!(!output.status.success() && said(&output).contains(what), "{arguments:?}: {}", said(&output));
    };
    wrong(&[set], "wanted a judged set");
    write(folder.path());
    wrong(&[set, "-k", "0"], "-k: got 0, wanted 1 to 1000");
    wrong(&[set, "--measures", "F1"], "wanted nDCG@K");
    wrong(&[set, "--relevant", "0"], "0 is not in 1..");
    wrong(&[set, "--mode", "semantic,fuzzy"], "possible values: semantic, lexical, hybrid");
    wrong(&["--space", "x.svg"], "wanted --data DIR");
    wrong(&[set, "--mode", "semantic,hybrid", "--save-run", "x.run"], "one way of asking at a time");
    wrong(&[set, "--split", "dev"], "got no dev.tsv, wanted --split test");
    wrong(&[set, set, "--data", set], "one set at a time");
    wrong(&[set, "--runs-only"], "--against");
    wrong(&[set, "--relevant", "3"], "got no paper of grade 3 or more for any of 21 queries");
    wrong(&[set, "--save-run", "/no/such/folder/x.run"], "/no/such/folder/x.run: No such file");
    wrong(&[set, "--against", "nothing.run"], "nothing.run: No such file");
    let other = folder.path().join("other.run");
    fs::write(&other, "nobody Q0 x 1 0.5 x").unwrap();
    wrong(&[set, "--against", other.to_str().unwrap()], "it answers none of the queries");
    // A library of one's own is not mixed with a set's papers.
    let library = folder.path().join("library");
    let ingest = ["ingest", data("five/plain.jsonl").to_str().unwrap(), "--data", library.to_str().unwrap()]
        .map(str::to_string);
    assert!(likewise(&ingest.each_ref().map(String::as_str)).status().unwrap().success());
    wrong(&[set, "--data", library.to_str().unwrap()], "would be mixed with them for good");
    // A query that is a paper which the corpus lacks.
    fs::write(folder.path().join("queries.jsonl"), "{\"_id\": \"9901.00001\"}").unwrap();
    fs::write(
        folder.path().join("corpus.jsonl"),
        "{\"_id\": \"x\", \"title\": \"T\", \"text\": \"A.\"}\nnonsense\n",
    )
    .unwrap();
    wrong(&[set], "corpus.jsonl:2: column");
    wrong(&[set], "20 judged queries are not in queries.jsonl");
    wrong(&[set], "2 judged papers are not here");
    wrong(&[set], "no paper \"9901.00001\" here");
}
