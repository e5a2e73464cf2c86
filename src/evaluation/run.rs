//! The answers of a system to the queries of a collection, in trec_eval's run format.
//!
//! Run files allow comparing systems that do not run in the same process.

use super::read_text;
use crate::error::{Error, Result};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

/// The answers of one system.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Run {
    /// For each query id the ids of papers with their scores, best first.
    pub answers: BTreeMap<String, Vec<(String, f32)>>,
}

impl Run {
    /// Reads lines of the form `query Q0 paper rank score name`, separated by spaces or by tabs; with tabs, ids can
    /// contain spaces. Hits are ordered by score and, where scores are equal, by rank (trec_eval puts the later id
    /// first).
    ///
    /// # Errors
    /// Returns [`Error::Invalid`], which names the line, if a line has another form or is not UTF-8.
    pub fn read(path: &Path) -> Result<Run> {
        let text = read_text(path)?;
        let mut answers: BTreeMap<String, Vec<(String, f32, i64)>> = BTreeMap::new();
        for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let Some((query, hit)) = parse_line(line) else {
                let (path, number) = (path.display(), index + 1);
                return Err(Error::Invalid(format!(
                    "{path}: line {number} must be `query Q0 paper rank score name`, with an integer rank and a \
                     numeric score (got {line:?})"
                )));
            };
            answers.entry(query).or_default().push(hit);
        }
        let sorted = |mut hits: Vec<(String, f32, i64)>| {
            hits.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.2.cmp(&b.2)));
            hits.into_iter().map(|(paper, score, _)| (paper, score)).collect()
        };
        Ok(Run { answers: answers.into_iter().map(|(query, hits)| (query, sorted(hits))).collect() })
    }

    /// Returns the run as text that [`Run::read`] can read, separated by tabs; `name` is the name of the system.
    pub fn to_text(&self, name: &str) -> String {
        let mut text = String::new();
        for (query, hits) in &self.answers {
            for (index, (paper, score)) in hits.iter().enumerate() {
                let _ = writeln!(text, "{query}\tQ0\t{paper}\t{}\t{score}\t{name}", index + 1);
            }
        }
        text
    }
}

/// Parses a line into the query id and a hit: paper id, score and rank. `None` if the line has another form.
fn parse_line(line: &str) -> Option<(String, (String, f32, i64))> {
    let parts: Vec<&str> = match line.contains('\t') {
        true => line.split('\t').map(str::trim).collect(),
        false => line.split_whitespace().collect(),
    };
    let [query, _, paper, rank, score, ..] = parts[..] else { return None };
    let score = score.parse().ok().filter(|score: &f32| !score.is_nan())?;
    Some((query.into(), (paper.into(), score, rank.parse().ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn run_is_read_back_in_order() {
        let hits =
            |hits: &[(&str, f32)]| hits.iter().map(|(paper, score)| (paper.to_string(), *score)).collect();
        let answers = [("q 1", hits(&[("b b", 0.9), ("a", 0.5), ("c", 0.5)])), ("q2", hits(&[("a", -0.25)]))];
        let run = Run { answers: answers.map(|(query, hits)| (query.to_string(), hits)).into() };
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), run.to_text("mine")).unwrap();
        assert_eq!(Run::read(file.path()).unwrap(), run);
        std::fs::write(file.path(), "\u{feff}q2 Q0 z -2 0.1 x\n\nq2 Q0 y 1 0.7 x\n").unwrap();
        assert_eq!(
            Run::read(file.path()).unwrap().answers["q2"],
            [("y".to_string(), 0.7), ("z".to_string(), 0.1)]
        );
        for wrong in ["q2 Q0 z 2", "q2 Q0 z one 0.1 x", "q2 Q0 z 1 NaN x"] {
            std::fs::write(file.path(), wrong).unwrap();
            assert!(Run::read(file.path()).unwrap_err().to_string().contains("line 1"), "{wrong}");
        }
    }
}
