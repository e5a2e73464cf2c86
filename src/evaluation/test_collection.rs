//! Reads a test collection: a folder in BEIR's layout, or a folder with a pool of papers to rank for each query.
//!
//! The folder must have either `qrels/SPLIT.tsv` or `pools.json`. It can have `corpus.jsonl` (read like any dump) and
//! `queries.jsonl`; without `queries.jsonl`, each judged query is the paper with the query's id.

use super::read_text;
use crate::error::{Error, Result};
use crate::search::Examples;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The default split if there are several.
const DEFAULT_SPLIT: &str = "test";

/// Maximum number of characters of an invalid value that an error message shows.
const MAX_SHOWN_CHARS: usize = 60;

/// The relevance judgements of one query: a grade for each paper id, 0 for a paper that is not relevant.
pub type Qrels = BTreeMap<String, i32>;

/// A query with its judgements.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TestQuery {
    /// Id of the query; can be the id of a paper.
    pub id: String,
    /// Title of the query, in addition to or instead of the text.
    pub title: Option<String>,
    /// Text of the query; `None` if the query has only a title, is a reading list, or is the paper with the query's id.
    pub body: Option<String>,
    /// Ids of the papers of a reading list, which are examples in addition to the text; empty for other queries.
    pub papers: Vec<String>,
    /// Judgements of the query.
    pub qrels: Qrels,
}

impl TestQuery {
    /// The title and the text, as one text; `None` if the query has neither.
    pub fn text(&self) -> Option<String> {
        match (&self.title, &self.body) {
            (Some(title), Some(body)) => Some(format!("{title}. {body}")),
            (title, body) => title.clone().or_else(|| body.clone()),
        }
    }

    /// The examples to search with: the query's text and papers or, if the query has neither, the paper with the
    /// query's id.
    pub fn examples(&self) -> Examples {
        match self.text() {
            None if self.papers.is_empty() => Examples::papers(vec![self.id.clone()]),
            text => Examples { texts: text.into_iter().collect(), ..Examples::papers(self.papers.clone()) },
        }
    }
}

/// Queries with their judgements.
#[derive(Debug, Clone, PartialEq)]
pub struct TestCollection {
    /// The name of the folder, followed by the split if one was given.
    pub name: String,
    /// Path of the file with the papers; `None` if the folder has no such file.
    pub corpus: Option<PathBuf>,
    /// The queries with judgements, sorted by id.
    pub queries: Vec<TestQuery>,
    /// Whether each query ranks only its own pool of papers.
    pub pooled: bool,
    /// Messages about judgements that contradict each other or have no query.
    pub notes: Vec<String>,
}

/// The judgements of all queries.
#[derive(Default)]
struct Judgements {
    by_query: BTreeMap<String, Qrels>,
    /// Number of judgements that replaced a judgement with a different grade for the same query and paper.
    contradicted: usize,
}

impl Judgements {
    fn add(&mut self, query: &str, paper: &str, grade: i32) {
        let qrels = match self.by_query.get_mut(query) {
            Some(qrels) => qrels,
            None => self.by_query.entry(query.into()).or_default(),
        };
        let before = qrels.insert(paper.into(), grade);
        self.contradicted += usize::from(before.is_some_and(|before| before != grade));
    }
}

/// A line of `queries.jsonl`.
#[derive(Deserialize)]
struct QueryLine {
    #[serde(rename = "_id", deserialize_with = "id")]
    id: String,
    #[serde(default)]
    title: Option<String>,
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    papers: Vec<String>,
}

/// Deserialises an id: a string, or an integer, which some programs write for ids of digits.
fn id<'de, D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<String, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::String(text) => Ok(text),
        Value::Number(number) if number.is_u64() => Ok(number.to_string()),
        other => Err(serde::de::Error::custom(format!(
            "_id must be a string or an integer (got {})",
            shown(&other)
        ))),
    }
}

/// A pool in `pools.json`: either grades by paper id, or two parallel lists, as in the files of CSFCube and RELISH.
#[derive(Deserialize)]
#[serde(untagged)]
enum PoolJson {
    Lists { cands: Vec<String>, relevance_adju: Vec<i32> },
    Qrels(Qrels),
}

impl TestCollection {
    /// Reads the collection in a folder. `split` is the name of a file in `qrels/`, without `.tsv`. `None`: `test` or,
    /// if there is no such file and only one other, the other file. If the folder has `pools.json`, the files in
    /// `qrels/` are not read.
    ///
    /// # Errors
    /// Returns [`Error::Invalid`] if the folder is not a collection or a file is invalid. The message names the folder
    /// or the file, and the line or the query.
    pub fn read(folder: &Path, split: Option<&str>) -> Result<TestCollection> {
        let pools = folder.join("pools.json");
        let (judgements, pooled) = match pools.is_file() {
            true => (read_pools(&pools)?, true),
            false => (read_qrels(&qrels_path(folder, split)?)?, false),
        };
        let queries = folder.join("queries.jsonl");
        let Judgements { by_query: qrels, contradicted } = judgements;
        let judged = qrels.len();
        let queries = if queries.is_file() { read_queries(&queries, qrels)? } else { paper_queries(qrels) };
        if queries.is_empty() {
            return Err(wrong(
                folder,
                "no query in queries.jsonl has a judgement; check that queries.jsonl and the judgements are of the \
                 same collection",
            ));
        }
        let name = folder.canonicalize().unwrap_or_else(|_| folder.into());
        let name = name.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let name = split.map_or(name.clone(), |split| format!("{name}, {split}"));
        let without_query = judged - queries.len();
        let notes = [
            (
                contradicted,
                "papers were judged twice for one query, with different grades; the last grade counts",
            ),
            (without_query, "judged queries are not in queries.jsonl and are skipped"),
        ];
        let notes = notes.iter().filter(|(count, _)| *count > 0);
        let notes = notes.map(|(count, what)| format!("{count} {what}")).collect();
        Ok(TestCollection { name, corpus: corpus(folder), queries, pooled, notes })
    }

    /// The number of judgements.
    pub fn judgement_count(&self) -> usize {
        self.queries.iter().map(|query| query.qrels.len()).sum()
    }
}

fn wrong(path: &Path, what: &str) -> Error {
    Error::Invalid(format!("{}: {what}", path.display()))
}

/// The path of the file with the papers, compressed or not; `None` if the folder has no such file.
fn corpus(folder: &Path) -> Option<PathBuf> {
    let names = ["corpus.jsonl", "corpus.jsonl.gz", "corpus.jsonl.zst"];
    names.map(|name| folder.join(name)).into_iter().find(|path| path.is_file())
}

/// The path of the file with the judgements of a split.
fn qrels_path(folder: &Path, split: Option<&str>) -> Result<PathBuf> {
    let directory = folder.join("qrels");
    let listed = fs::read_dir(&directory).map(|files| {
        let paths = files.filter_map(|file| file.ok().map(|file| file.path()));
        paths.filter(|path| path.extension().is_some_and(|ending| ending == "tsv")).collect::<Vec<_>>()
    });
    let mut files = listed.unwrap_or_default();
    files.sort();
    let splits: Vec<_> = files.iter().filter_map(|path| path.file_stem()?.to_str()).collect();
    let name = split.unwrap_or(DEFAULT_SPLIT);
    match (files.iter().find(|path| path.file_stem().is_some_and(|stem| stem == name)), &files[..], split) {
        (Some(found), ..) => Ok(found.clone()),
        (None, [only], None) => Ok(only.clone()),
        (None, [], _) => Err(wrong(
            folder,
            "a test collection must have qrels/SPLIT.tsv or pools.json (got neither); give a folder in BEIR's layout \
             (corpus.jsonl, queries.jsonl and qrels/test.tsv), or a folder with a pools.json of the form \
             {query: {paper: grade}}",
        )),
        (None, ..) => Err(wrong(
            &directory,
            &format!("{name}.tsv is missing; use --split {}", splits.join(" or --split ")),
        )),
    }
}

/// Reads lines of `query, paper, grade` or trec_eval's lines of `query 0 paper grade`. A first line whose grade is not
/// an integer is a header, and is skipped.
fn read_qrels(path: &Path) -> Result<Judgements> {
    let text = read_text(path)?;
    let mut judgements = Judgements::default();
    for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let parts: Vec<&str> = match line.contains('\t') {
            true => line.split('\t').map(str::trim).collect(),
            false => line.split_whitespace().collect(),
        };
        let (query, paper, grade) = match parts[..] {
            [query, paper, grade] | [query, _, paper, grade] => (query, paper, grade),
            _ => {
                return Err(wrong(
                    path,
                    &format!("line {} must have a query, a paper and a grade (got {line:?})", index + 1),
                ));
            }
        };
        match grade.parse() {
            Ok(grade) => judgements.add(query, paper, grade),
            // The header line.
            Err(_) if index == 0 => {}
            Err(_) => {
                let message = format!("line {}: the grade must be an integer (got {grade:?})", index + 1);
                return Err(wrong(path, &message));
            }
        }
    }
    Ok(judgements)
}

fn read_pools(path: &Path) -> Result<Judgements> {
    const FORMAT: &str = "the file must be {query: {paper: grade}}, or have the lists cands and relevance_adju for \
                          each query; grades are integers";
    let pools: BTreeMap<String, Value> = serde_json::from_str(&read_text(path)?)
        .map_err(|error| wrong(path, &format!("{error}; {FORMAT}")))?;
    let mut judgements = Judgements::default();
    for (query, pool) in pools {
        let pool: Vec<(String, i32)> = match PoolJson::deserialize(&pool) {
            Err(_) => {
                let message = format!("query {query:?} has no valid pool (got {}); {FORMAT}", shown(&pool));
                return Err(wrong(path, &message));
            }
            Ok(PoolJson::Qrels(qrels)) => qrels.into_iter().collect(),
            Ok(PoolJson::Lists { cands, relevance_adju }) if cands.len() == relevance_adju.len() => {
                cands.into_iter().zip(relevance_adju).collect()
            }
            Ok(PoolJson::Lists { cands, relevance_adju }) => {
                let (candidates, grades) = (cands.len(), relevance_adju.len());
                let message = format!(
                    "query {query:?} must have one grade for each candidate (got {candidates} candidates and \
                     {grades} grades)"
                );
                return Err(wrong(path, &message));
            }
        };
        pool.iter().for_each(|(paper, grade)| judgements.add(&query, paper, *grade));
    }
    Ok(judgements)
}

/// A value as text, cut after [`MAX_SHOWN_CHARS`].
fn shown(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(MAX_SHOWN_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// Reads the queries that have judgements; `qrels` are the judgements by query id.
fn read_queries(path: &Path, mut qrels: BTreeMap<String, Qrels>) -> Result<Vec<TestQuery>> {
    let text = read_text(path)?;
    let mut queries = Vec::new();
    for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let QueryLine { id, title, text, papers } = serde_json::from_str(line).map_err(|error| {
            let message = format!("line {}: {error}; a line must be {{\"_id\": …}}, with \"text\", \"title\" or \"papers\" if the query is not the paper \"_id\"", index + 1);
            wrong(path, &message)
        })?;
        let non_empty = |text: Option<String>| text.filter(|text| !text.trim().is_empty());
        let (has_text, title, text) = (title.is_some() || text.is_some(), non_empty(title), non_empty(text));
        if has_text && title.is_none() && text.is_none() && papers.is_empty() {
            let message = "\"text\" must not be empty; leave \"text\" out to search with the paper \"_id\"";
            return Err(wrong(path, &format!("line {}: {message}", index + 1)));
        }
        if let Some(qrels) = qrels.remove(&id) {
            queries.push(TestQuery { id, title, body: text, papers, qrels });
        }
    }
    queries.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(queries)
}

/// Returns one query for each judged query id; each id must be the id of a paper.
fn paper_queries(qrels: BTreeMap<String, Qrels>) -> Vec<TestQuery> {
    let query = |(id, qrels)| TestQuery { id, qrels, ..TestQuery::default() };
    qrels.into_iter().map(query).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("qrels")).unwrap();
        for (name, text) in files {
            fs::write(folder.path().join(name), text).unwrap();
        }
        folder
    }

    fn read(files: &[(&str, &str)], split: Option<&str>) -> Result<TestCollection, String> {
        TestCollection::read(written(files).path(), split).map_err(|error| error.to_string())
    }

    const QUERIES: (&str, &str) = (
        "queries.jsonl",
        "{\"_id\":\"2\",\"text\":\"Why?\",\"title\":\"T\"}\n{\"_id\":\"1\"}\n{\"_id\":\"3\",\"text\":\"x\"}\n",
    );

    #[test]
    fn qrels_are_read_in_the_formats_of_beir_and_trec() {
        let beir = ("qrels/test.tsv", "\u{feff}query-id\tcorpus-id\tscore\n1\ta b\t2\n2\tb\t0\n");
        let set = read(&[QUERIES, beir], None).unwrap();
        assert_eq!((set.queries.len(), set.pooled, set.judgement_count(), &set.corpus), (2, false, 2, &None));
        assert_eq!((set.queries[0].text(), set.queries[0].qrels["a b"]), (None, 2));
        assert_eq!(set.queries[1].text().as_deref(), Some("T. Why?"));
        let set = read(&[("qrels/dev.tsv", "9 0 a 1\n9 0 b -1\n")], None).unwrap();
        assert_eq!((set.queries[0].id.as_str(), set.queries[0].qrels["b"]), ("9", -1));
        let set = read(&[QUERIES, ("qrels/dev.tsv", "1 0 a 1\n1 0 a 1\n1 0 a 2\n7 0 a 1\n")], None).unwrap();
        assert_eq!(set.queries[0].qrels["a"], 2);
        assert_eq!(set.notes.len(), 2);
        assert!(set.notes[0].starts_with("1 papers were judged twice"), "{:?}", set.notes);
        assert!(set.notes[1].starts_with("1 judged queries are not in"), "{:?}", set.notes);
    }

    #[test]
    fn pools_are_read_in_both_forms() {
        let pools = r#"{"1": {"a": 3, "b": 0}, "2": {"cands": ["a", "c"], "relevance_adju": [0, 2]}}"#;
        let set = read(&[("pools.json", pools)], None).unwrap();
        assert!(set.pooled);
        assert_eq!((set.queries[0].qrels["a"], set.queries[1].qrels["c"]), (3, 2));
    }

    #[test]
    fn errors_name_the_line_and_the_value() {
        let header = "query-id\tcorpus-id\tscore\n";
        let qrels =
            |text: &str| read(&[QUERIES, ("qrels/test.tsv", &format!("{header}{text}"))], None).unwrap_err();
        assert!(
            qrels("1\ta\tgood").contains("test.tsv: line 2: the grade must be an integer (got \"good\")")
        );
        assert!(qrels("1\ta").contains("line 2 must have a query, a paper and a grade (got \"1\\ta\")"));
        assert!(qrels("7\ta\t1").contains("of the same collection"));
        let two = [("qrels/a.tsv", "1 0 a 1"), ("qrels/b.tsv", "1 0 a 1")];
        assert!(read(&two, None).unwrap_err().contains("--split a or --split b"));
        assert!(read(&two, Some("b")).is_ok() && read(&two, Some("c")).is_err());
        let pools = |text: &str| read(&[("pools.json", text)], None).unwrap_err();
        assert!(
            pools(r#"{"1": {"cands": ["a"], "relevance_adju": []}}"#)
                .contains("(got 1 candidates and 0 grades)")
        );
        assert!(pools("[]").contains("must be {query: {paper: grade}}"));
        assert!(pools(r#"{"1": {"a": 1.5}}"#).contains(r#"query "1" has no valid pool (got {"a":1.5})"#));
        let queries = |text: &str| read(&[("queries.jsonl", text), ("pools.json", "{}")], None).unwrap_err();
        assert!(queries("{\"_id\": \"1\", \"text\": \" \"}").contains("line 1: \"text\" must not be empty"));
        assert!(queries("{}").contains("line 1"));
        assert!(read(&[], None).unwrap_err().contains("a test collection must have"));
    }
}
