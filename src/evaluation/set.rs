//! A judged set on disk: a folder in BEIR's layout, or one with pools to be ranked.
//!
//! Its own file because it is a format: `corpus.jsonl` (read as any dump), `queries.jsonl`, and either `qrels/SPLIT.tsv`
//! or `pools.json`.

use super::read_text;
use crate::error::{Error, Result};
use crate::search::Like;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The split that is used where there are several and nobody says which.
const USUAL_SPLIT: &str = "test";

/// Characters of what is wrong that an error shows.
const SHOWN: usize = 60;

/// What people said of one query's papers: a grade by a paper's id, 0 for one that is no answer.
pub type Grades = BTreeMap<String, i32>;

/// A query that was judged.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct JudgedQuery {
    /// Its name, which may be a paper's.
    pub id: String,
    /// A title, if it has one beside its text.
    pub title: Option<String>,
    /// What is asked; nothing if the query is the paper of that id, or a list.
    pub body: Option<String>,
    /// A list of papers, of a query that is one.
    pub papers: Vec<String>,
    /// Its judgements.
    pub grades: Grades,
}

impl JudgedQuery {
    /// What is asked, or `None` if that is a paper of the library.
    pub fn text(&self) -> Option<String> {
        match (&self.title, &self.body) {
            (Some(title), Some(body)) => Some(format!("{title}. {body}")),
            (title, body) => title.clone().or_else(|| body.clone()),
        }
    }

    /// What its answers should be like.
    pub fn like(&self) -> Like {
        match self.text() {
            None if self.papers.is_empty() => Like::papers(vec![self.id.clone()]),
            text => Like { texts: text.into_iter().collect(), ..Like::papers(self.papers.clone()) },
        }
    }
}

/// Queries and judgements.
#[derive(Debug, Clone, PartialEq)]
pub struct JudgedSet {
    /// The folder's name, and the split's, if there are several.
    pub name: String,
    /// The papers, if the folder has them.
    pub corpus: Option<PathBuf>,
    /// By id. Those for which nothing was judged are left out.
    pub queries: Vec<JudgedQuery>,
    /// Whether every query has a pool of its own, in which it is to be ranked.
    pub pooled: bool,
    /// What of the judgements cannot be used as it stands, told for people.
    pub notes: Vec<String>,
}

/// Judgements as they are read.
#[derive(Default)]
struct Judgements {
    by_query: BTreeMap<String, Grades>,
    /// How often a paper was judged again for the same query, otherwise.
    contradicted: usize,
}

impl Judgements {
    fn add(&mut self, query: &str, paper: &str, grade: i32) {
        let grades = match self.by_query.get_mut(query) {
            Some(grades) => grades,
            None => self.by_query.entry(query.into()).or_default(),
        };
        let before = grades.insert(paper.into(), grade);
        self.contradicted += usize::from(before.is_some_and(|before| before != grade));
    }
}

/// A line of `queries.jsonl`.
#[derive(Deserialize)]
struct Line {
    #[serde(rename = "_id", deserialize_with = "id")]
    id: String,
    #[serde(default)]
    title: Option<String>,
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    papers: Vec<String>,
}

/// An id: text, or a whole number, which some programs make of ids that are digits.
fn id<'de, D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<String, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::String(text) => Ok(text),
        Value::Number(number) if number.is_u64() => Ok(number.to_string()),
        other => Err(serde::de::Error::custom(format!("_id: got {}, wanted text", shown(&other)))),
    }
}

/// A pool as it is written: candidates by grade, or two lists side by side, as in CSFCube and RELISH's common form.
#[derive(Deserialize)]
#[serde(untagged)]
enum Pool {
    Lists { cands: Vec<String>, relevance_adju: Vec<i32> },
    Grades(Grades),
}

impl JudgedSet {
    /// Reads the set in a folder. `split` names the file in `qrels/`; left out it is `test`, or the only one.
    ///
    /// # Errors
    /// [`Error::Invalid`] names the file and the line, and what was wanted.
    pub fn read(folder: &Path, split: Option<&str>) -> Result<JudgedSet> {
        let pools = folder.join("pools.json");
        let (judgements, pooled) = match pools.is_file() {
            true => (read_pools(&pools)?, true),
            false => (read_qrels(&qrels(folder, split)?)?, false),
        };
        let queries = folder.join("queries.jsonl");
        let Judgements { by_query: grades, contradicted } = judgements;
        let judged = grades.len();
        let queries = if queries.is_file() { read_queries(&queries, grades)? } else { of_papers(grades) };
        if queries.is_empty() {
            return Err(wrong(
                folder,
                "no query in queries.jsonl has a judgement; are both of the same set?",
            ));
        }
        let name = folder.canonicalize().unwrap_or_else(|_| folder.into());
        let name = name.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let name = split.map_or(name.clone(), |split| format!("{name}, {split}"));
        let unasked = judged - queries.len();
        let notes = [
            (contradicted, "papers were judged twice for one query, and otherwise: the last counts"),
            (unasked, "judged queries are not in queries.jsonl, and are not asked"),
        ];
        let notes = notes.iter().filter(|(count, _)| *count > 0);
        let notes = notes.map(|(count, what)| format!("{count} {what}")).collect();
        Ok(JudgedSet { name, corpus: corpus(folder), queries, pooled, notes })
    }

    /// Judgements in all.
    pub fn judgements(&self) -> usize {
        self.queries.iter().map(|query| query.grades.len()).sum()
    }
}

fn wrong(path: &Path, what: &str) -> Error {
    Error::Invalid(format!("{}: {what}", path.display()))
}

/// The corpus, packed or not.
fn corpus(folder: &Path) -> Option<PathBuf> {
    let names = ["corpus.jsonl", "corpus.jsonl.gz", "corpus.jsonl.zst"];
    names.map(|name| folder.join(name)).into_iter().find(|path| path.is_file())
}

/// The file with the judgements.
fn qrels(folder: &Path, split: Option<&str>) -> Result<PathBuf> {
    let within = folder.join("qrels");
    let listed = fs::read_dir(&within).map(|files| {
        let paths = files.filter_map(|file| file.ok().map(|file| file.path()));
        paths.filter(|path| path.extension().is_some_and(|ending| ending == "tsv")).collect::<Vec<_>>()
    });
    let mut files = listed.unwrap_or_default();
    files.sort();
    let splits: Vec<_> = files.iter().filter_map(|path| path.file_stem()?.to_str()).collect();
    let asked = split.unwrap_or(USUAL_SPLIT);
    match (files.iter().find(|path| path.file_stem().is_some_and(|stem| stem == asked)), &files[..], split) {
        (Some(found), ..) => Ok(found.clone()),
        (None, [only], None) => Ok(only.clone()),
        (None, [], _) => Err(wrong(
            folder,
            "got neither pools.json nor qrels/SPLIT.tsv, wanted a judged set: a folder with corpus.jsonl, queries.jsonl and \
             qrels/test.tsv, as BEIR has them, or with pools.json, {query: {paper: grade}}",
        )),
        (None, ..) => Err(wrong(
            &within,
            &format!("got no {asked}.tsv, wanted --split {}", splits.join(" or --split ")),
        )),
    }
}

/// `query, paper, grade` a line, after a line of names; or trec_eval's `query 0 paper grade`.
fn read_qrels(path: &Path) -> Result<Judgements> {
    let text = read_text(path)?;
    let mut judgements = Judgements::default();
    for (place, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let parts: Vec<&str> = match line.contains('\t') {
            true => line.split('\t').map(str::trim).collect(),
            false => line.split_whitespace().collect(),
        };
        let (query, paper, grade) = match parts[..] {
            [query, paper, grade] | [query, _, paper, grade] => (query, paper, grade),
            _ => {
                return Err(wrong(
                    path,
                    &format!("line {}: got {line:?}, wanted query, paper, grade", place + 1),
                ));
            }
        };
        match grade.parse() {
            Ok(grade) => judgements.add(query, paper, grade),
            Err(_) if place == 0 => {}
            Err(_) => {
                let what = format!("line {}: got {grade:?}, wanted a grade: a whole number", place + 1);
                return Err(wrong(path, &what));
            }
        }
    }
    Ok(judgements)
}

fn read_pools(path: &Path) -> Result<Judgements> {
    const WANTED: &str = "wanted {query: {paper: grade}}, or of each query the lists cands and relevance_adju; grades are whole numbers";
    let pools: BTreeMap<String, Value> = serde_json::from_str(&read_text(path)?)
        .map_err(|error| wrong(path, &format!("{error}; {WANTED}")))?;
    let mut judgements = Judgements::default();
    for (query, pool) in pools {
        let pool: Vec<(String, i32)> = match Pool::deserialize(&pool) {
            Err(_) => return Err(wrong(path, &format!("query {query:?}: got {}; {WANTED}", shown(&pool)))),
            Ok(Pool::Grades(grades)) => grades.into_iter().collect(),
            Ok(Pool::Lists { cands, relevance_adju }) if cands.len() == relevance_adju.len() => {
                cands.into_iter().zip(relevance_adju).collect()
            }
            Ok(Pool::Lists { cands, relevance_adju }) => {
                let (candidates, judged) = (cands.len(), relevance_adju.len());
                let what = format!(
                    "query {query:?}: got {candidates} candidates and {judged} grades, wanted one each"
                );
                return Err(wrong(path, &what));
            }
        };
        pool.iter().for_each(|(paper, grade)| judgements.add(&query, paper, *grade));
    }
    Ok(judgements)
}

/// The beginning of what somebody wrote.
fn shown(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// The queries that were judged.
fn read_queries(path: &Path, mut grades: BTreeMap<String, Grades>) -> Result<Vec<JudgedQuery>> {
    let text = read_text(path)?;
    let mut queries = Vec::new();
    for (place, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let Line { id, title, text, papers } = serde_json::from_str(line).map_err(|error| {
            wrong(path, &format!("line {}: {error}; wanted {{\"_id\": …, \"text\": …}}", place + 1))
        })?;
        let said = |text: Option<String>| text.filter(|text| !text.trim().is_empty());
        let (is_written, title, text) = (title.is_some() || text.is_some(), said(title), said(text));
        if is_written && title.is_none() && text.is_none() && papers.is_empty() {
            let what = "got a query with an empty text, wanted one, or no \"text\" where the query is the paper of its id";
            return Err(wrong(path, &format!("line {}: {what}", place + 1)));
        }
        if let Some(grades) = grades.remove(&id) {
            queries.push(JudgedQuery { id, title, body: text, papers, grades });
        }
    }
    queries.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(queries)
}

/// Queries that are papers.
fn of_papers(grades: BTreeMap<String, Grades>) -> Vec<JudgedQuery> {
    let query = |(id, grades)| JudgedQuery { id, grades, ..JudgedQuery::default() };
    grades.into_iter().map(query).collect()
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

    fn read(files: &[(&str, &str)], split: Option<&str>) -> Result<JudgedSet, String> {
        JudgedSet::read(written(files).path(), split).map_err(|error| error.to_string())
    }

    const QUERIES: (&str, &str) = (
        "queries.jsonl",
        "{\"_id\":\"2\",\"text\":\"Why?\",\"title\":\"T\"}\n{\"_id\":\"1\"}\n{\"_id\":\"3\",\"text\":\"x\"}\n",
    );

    #[test]
    fn qrels_are_read_as_beir_and_trec_write_them() {
        let beir = ("qrels/test.tsv", "\u{feff}query-id\tcorpus-id\tscore\n1\ta b\t2\n2\tb\t0\n");
        let set = read(&[QUERIES, beir], None).unwrap();
        assert_eq!((set.queries.len(), set.pooled, set.judgements(), &set.corpus), (2, false, 2, &None));
        assert_eq!((set.queries[0].text(), set.queries[0].grades["a b"]), (None, 2));
        assert_eq!(set.queries[1].text().as_deref(), Some("T. Why?"));
        let set = read(&[("qrels/dev.tsv", "9 0 a 1\n9 0 b -1\n")], None).unwrap();
        assert_eq!((set.queries[0].id.as_str(), set.queries[0].grades["b"]), ("9", -1));
        let set = read(&[QUERIES, ("qrels/dev.tsv", "1 0 a 1\n1 0 a 1\n1 0 a 2\n7 0 a 1\n")], None).unwrap();
        assert_eq!(set.queries[0].grades["a"], 2);
        assert_eq!(set.notes.len(), 2);
        assert!(set.notes[0].starts_with("1 papers were judged twice"), "{:?}", set.notes);
        assert!(set.notes[1].starts_with("1 judged queries are not in"), "{:?}", set.notes);
    }

    #[test]
    fn pools_are_read_in_both_forms() {
        let pools = r#"{"1": {"a": 3, "b": 0}, "2": {"cands": ["a", "c"], "relevance_adju": [0, 2]}}"#;
        let set = read(&[("pools.json", pools)], None).unwrap();
        assert!(set.pooled);
        assert_eq!((set.queries[0].grades["a"], set.queries[1].grades["c"]), (3, 2));
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        let header = "query-id\tcorpus-id\tscore\n";
        let qrels =
            |text: &str| read(&[QUERIES, ("qrels/test.tsv", &format!("{header}{text}"))], None).unwrap_err();
        assert!(qrels("1\ta\tgood").contains("test.tsv: line 2: got \"good\""));
        assert!(qrels("1\ta").contains("line 2: got \"1\\ta\", wanted query, paper, grade"));
        assert!(qrels("7\ta\t1").contains("of the same set"));
        let two = [("qrels/a.tsv", "1 0 a 1"), ("qrels/b.tsv", "1 0 a 1")];
        assert!(read(&two, None).unwrap_err().contains("--split a or --split b"));
        assert!(read(&two, Some("b")).is_ok() && read(&two, Some("c")).is_err());
        let pools = |text: &str| read(&[("pools.json", text)], None).unwrap_err();
        assert!(
            pools(r#"{"1": {"cands": ["a"], "relevance_adju": []}}"#)
                .contains("got 1 candidates and 0 grades")
        );
        assert!(pools("[]").contains("wanted {query: {paper: grade}}"));
        assert!(pools(r#"{"1": {"a": 1.5}}"#).contains(r#"query "1": got {"a":1.5}; wanted {query"#));
        let queries = |text: &str| read(&[("queries.jsonl", text), ("pools.json", "{}")], None).unwrap_err();
        assert!(
            queries("{\"_id\": \"1\", \"text\": \" \"}").contains("line 1: got a query with an empty text")
        );
        assert!(queries("{}").contains("line 1"));
        assert!(read(&[], None).unwrap_err().contains("wanted a judged set"));
    }
}
