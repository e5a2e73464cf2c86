//! `likewise eval` as a process: test collections, metrics, comparisons with other runs, calibration.

use crate::support::{data, likewise, papers_of};
use likewise::evaluation::TestCollection;
use likewise_papers::dump;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::process::Output;

/// Writes a test collection with the papers of the sample. For each query `t …`, the text is the title of a paper, and
/// this paper is the only relevant paper. The query `9901.00001` is a paper; relevant are the two papers that follow in
/// the sample, which are on the same subject.
fn write_collection(folder: &Path) {
    let papers = papers_of(dump::read(&data("sample.jsonl"), None).unwrap());
    let line = |value: Value| value.to_string() + "\n";
    let corpus =
        papers.iter().map(|paper| json!({"_id": paper.id, "title": paper.title, "text": paper.r#abstract}));
    fs::write(folder.join("corpus.jsonl"), corpus.map(line).collect::<String>()).unwrap();
    let by_title = papers
        .iter()
        .take(20)
        .map(|paper| json!({"_id": format!("t {}", paper.id.as_str()), "text": paper.title}));
    let by_paper = json!({"_id": papers[0].id});
    fs::write(folder.join("queries.jsonl"), by_title.chain([by_paper]).map(line).collect::<String>())
        .unwrap();
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

/// Returns the standard output followed by the standard error.
fn printed(output: &Output) -> String {
    [&*output.stdout, &*output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned()).concat()
}

#[test]
fn a_collection_is_encoded_once_and_evaluated() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_string();
    write_collection(folder.path());
    let collection = path("");
    let output = eval(&[
        &collection,
        "--data",
        &path("data"),
        "--save-run",
        &path("original.run"),
        "--per-query",
        &path("q.tsv"),
    ]);
    assert!(output.status.success(), "{}", printed(&output));
    assert!(
        printed(&output).contains("21 queries, 22 judgements, relevant from grade 1 on"),
        "{}",
        printed(&output)
    );
    let per_query = fs::read_to_string(path("q.tsv")).unwrap();
    assert_eq!(
        (per_query.lines().count(), per_query.contains("\tt 9901.00001\t")),
        (22, true),
        "{per_query}"
    );

    // A run with the hits in reverse order is significantly worse than the original run.
    let run = fs::read_to_string(path("original.run")).unwrap();
    assert!(!run.contains("\n9901.00001\tQ0\t9901.00001\t"), "the query paper must not be a hit");
    let reversed: Vec<String> = run
        .lines()
        .map(|line| {
            let mut parts: Vec<String> = line.split('\t').map(str::to_string).collect();
            parts[4] = (-parts[4].parse::<f32>().unwrap()).to_string();
            parts.join("\t")
        })
        .collect();
    fs::write(path("reversed.run"), reversed.join("\n")).unwrap();
    let output = eval(&[&collection, "--data", &path("data"), "--against", &path("reversed.run"), "--json"]);
    assert!(printed(&output).contains("120 papers read, 0 encoded"), "{}", printed(&output));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let (reversed, original) = (&report["systems"][0], &report["systems"][1]);
    let mrr = report["measures"].as_array().unwrap().iter().position(|name| name == "MRR").unwrap();
    assert!(original["means"][mrr].as_f64().unwrap() > 0.95, "{original}");
    assert!(reversed["means"][mrr].as_f64().unwrap() < 0.1, "{reversed}");
    assert!(original["compared"][mrr]["p"].as_f64().unwrap() < 0.001, "{original}");
    assert!(original["compared"][mrr]["interval"][0].as_f64().unwrap() > 0.5, "{original}");
    assert!(reversed.get("compared").is_none() && reversed["unjudged"].as_f64().unwrap() > 0.9);

    // Several modes are evaluated in one run, with ten hits per query.
    let output =
        eval(&[&collection, "--data", &path("data"), "--mode", "semantic,hybrid,lexical", "-k", "10"]);
    for part in [", semantic\n", ", hybrid\n", ", lexical\n", "p 1.0000"] {
        assert!(printed(&output).contains(part), "{part}: {}", printed(&output));
    }

    // `--calibrate` prints the calibration of scores, and `--space` prints statistics of the vectors.
    let output = eval(&[&collection, "--data", &path("data"), "--calibrate", "-k", "100"]);
    for part in
        ["[calibration.texts]\n", "semantic = { slope = ", "hybrid = { slope = ", "the current curve has 0."]
    {
        assert!(printed(&output).contains(part), "{part}: {}", printed(&output));
    }
    let output = eval(&["--space", &path("space.svg"), "--data", &path("data")]);
    let figures: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((figures["papers"].as_u64(), figures["compared"].as_u64()), (Some(120), Some(120)));
    assert!((0.0..0.3).contains(&figures["anisotropy"].as_f64().unwrap()), "{figures}");
    assert!((0.4..0.9).contains(&figures["mean_nearest"].as_f64().unwrap()), "{figures}");
    assert!(figures["title_mrr"].as_f64().unwrap() > 0.9, "{figures}");
    assert_eq!(figures["index_recall"].as_f64(), Some(1.0));
    let page = fs::read_to_string(path("space.svg")).unwrap();
    roxmltree::Document::parse(&page).unwrap();
    assert!(page.contains("Hubness") && page.contains("<path"), "{page}");

    // Graph search gives the same hits as exact search.
    let output =
        eval(&[&collection, "--data", &path("data"), "--hnsw", "--against", &path("original.run"), "--json"]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let compared = &report["systems"][1]["compared"][mrr];
    assert_eq!((compared["difference"].as_f64(), compared["p"].as_f64()), (Some(0.0), Some(1.0)), "{report}");
}

#[test]
fn only_the_papers_of_a_pool_are_ranked() {
    let folder = tempfile::tempdir().unwrap();
    write_collection(folder.path());
    let collection = TestCollection::read(folder.path(), None).unwrap();
    assert_eq!((collection.queries.len(), collection.pooled), (21, false));
    let papers = papers_of(dump::read(&data("sample.jsonl"), None).unwrap());
    let mut names: Vec<&str> = papers.iter().skip(1).take(10).map(|paper| paper.id.as_str()).collect();
    names.sort_unstable();
    let grades = names.iter().map(|name| (name.to_string(), json!(i32::from(*name == names[0])))).collect();
    let pools: serde_json::Map<String, Value> =
        [(papers[0].id.to_string(), Value::Object(grades))].into_iter().collect();
    fs::write(folder.path().join("pools.json"), Value::Object(pools).to_string()).unwrap();
    let run = folder.path().join("pool.run");
    let output = eval(&[folder.path().to_str().unwrap(), "--save-run", run.to_str().unwrap(), "-k", "50"]);
    assert!(printed(&output).contains("1 queries, 10 judgements"), "{}", printed(&output));
    assert!(
        printed(&output).contains("recall@100 is computed from only the first 50 hits"),
        "{}",
        printed(&output)
    );
    let run = fs::read_to_string(run).unwrap();
    let mut ranked: Vec<&str> = run.lines().map(|line| line.split('\t').nth(2).unwrap()).collect();
    ranked.sort_unstable();
    assert_eq!(ranked, names, "the run must have exactly the papers of the pool");
}

#[test]
fn invalid_collections_and_options_get_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let collection = folder.path().to_str().unwrap();
    let assert_fails = |arguments: &[&str], message: &str| {
        let output = eval(arguments);
        let printed = printed(&output);
        assert!(!output.status.success() && printed.contains(message), "{arguments:?}: {printed}");
    };
    assert_fails(&[collection], "a test collection must have");
    write_collection(folder.path());
    assert_fails(&[collection, "-k", "0"], "-k must be between 1 and 1000 (got 0)");
    assert_fails(&[collection, "--measures", "F1"], "a metric must be nDCG@K");
    assert_fails(&[collection, "--relevant", "0"], "0 is not in 1..");
    assert_fails(&[collection, "--mode", "semantic,fuzzy"], "possible values: semantic, lexical, hybrid");
    assert_fails(&["--space", "x.svg"], "--space needs --data DIR");
    assert_fails(
        &[collection, "--mode", "semantic,hybrid", "--save-run", "x.run"],
        "--save-run needs exactly one mode and aggregation",
    );
    assert_fails(&[collection, "--split", "dev"], "dev.tsv is missing; use --split test");
    assert_fails(
        &[collection, collection, "--data", collection],
        "can be used with one test collection only",
    );
    assert_fails(&[collection, "--runs-only"], "--against");
    assert_fails(&[collection, "--relevant", "3"], "none of the 21 queries has a paper of grade 3 or more");
    assert_fails(&[collection, "--save-run", "/no/such/folder/x.run"], "/no/such/folder/x.run: No such file");
    assert_fails(&[collection, "--against", "nothing.run"], "nothing.run: No such file");
    let other_run = folder.path().join("other.run");
    fs::write(&other_run, "unknown Q0 x 1 0.5 x").unwrap();
    assert_fails(&[collection, "--against", other_run.to_str().unwrap()], "the run has none of the queries");
    // The papers of a test collection are not added to a data folder that has other papers.
    let library = folder.path().join("library");
    let ingest = ["ingest", data("five/plain.jsonl").to_str().unwrap(), "--data", library.to_str().unwrap()]
        .map(str::to_string);
    assert!(likewise(&ingest.each_ref().map(String::as_str)).status().unwrap().success());
    assert_fails(&[collection, "--data", library.to_str().unwrap()], "would be mixed with them");
    // The query paper is not in the corpus.
    fs::write(folder.path().join("queries.jsonl"), "{\"_id\": \"9901.00001\"}").unwrap();
    fs::write(
        folder.path().join("corpus.jsonl"),
        "{\"_id\": \"x\", \"title\": \"T\", \"text\": \"A.\"}\nnonsense\n",
    )
    .unwrap();
    assert_fails(&[collection], "corpus.jsonl:2: position");
    assert_fails(&[collection], "20 judged queries are not in queries.jsonl");
    assert_fails(&[collection], "2 judged papers are not in the library");
    assert_fails(&[collection], "paper \"9901.00001\" is not in the library");
}
