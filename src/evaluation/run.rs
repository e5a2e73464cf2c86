//! A system's answers to the queries of a set; as a file, what trec_eval calls a run.
//!
//! Its own file because runs are how systems are compared that are not in one process: another model, another program.

use super::read_text;
use crate::error::{Error, Result};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

/// Answers by query: papers with scores, best first.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Run {
    /// By the query's id.
    pub answers: BTreeMap<String, Vec<(String, f32)>>,
}

impl Run {
    /// Reads `query Q0 paper rank score name` lines; with tabs between them, ids may have spaces. Order is by score, and
    /// of equal scores by rank, where trec_eval has the later id first.
    ///
    /// # Errors
    /// [`Error::Invalid`] names the line.
    pub fn read(path: &Path) -> Result<Run> {
        let text = read_text(path)?;
        let mut answers: BTreeMap<String, Vec<(String, f32, i64)>> = BTreeMap::new();
        for (place, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let Some((query, hit)) = hit(line) else {
                let (path, place) = (path.display(), place + 1);
                return Err(Error::Invalid(format!(
                    "{path}: line {place}: got {line:?}, wanted `query Q0 paper rank score name`, rank a whole number, score \
                     any"
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

    /// The same lines, with tabs between.
    pub fn text(&self, name: &str) -> String {
        let mut text = String::new();
        for (query, hits) in &self.answers {
            for (place, (paper, score)) in hits.iter().enumerate() {
                let _ = writeln!(text, "{query}\tQ0\t{paper}\t{}\t{score}\t{name}", place + 1);
            }
        }
        text
    }
}

fn hit(line: &str) -> Option<(String, (String, f32, i64))> {
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
    fn what_is_written_is_read_again_in_order() {
        let hits =
            |hits: &[(&str, f32)]| hits.iter().map(|(paper, score)| (paper.to_string(), *score)).collect();
        let answers = [("q 1", hits(&[("b b", 0.9), ("a", 0.5), ("c", 0.5)])), ("q2", hits(&[("a", -0.25)]))];
        let run = Run { answers: answers.map(|(query, hits)| (query.to_string(), hits)).into() };
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), run.text("mine")).unwrap();
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
