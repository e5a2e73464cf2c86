//! Writes papers as RIS, the exchange format of reference managers: one tag and value per line.
//!
//! Line breaks in values are replaced by spaces, because a value could otherwise start a new entry.

use super::{arxiv, date, doi};
use crate::paper::{Paper, collapse_whitespace};

/// Returns the RIS entry of a paper.
pub fn entry(paper: &Paper) -> String {
    let mut text = String::new();
    let mut line = |tag: &str, value: &str| {
        text.push_str(&format!("{tag}  - {}\r\n", collapse_whitespace(value)));
    };
    line("TY", if paper.venue.is_some() { "CPAPER" } else { "UNPB" });
    line("ID", paper.id.as_str());
    line("TI", &paper.title);
    paper.authors.iter().for_each(|author| line("AU", &last_name_first(author)));
    let [year, month, day] = date(paper);
    if let Some(year) = year {
        line("PY", year);
        line("DA", &[year, month.unwrap_or_default(), day.unwrap_or_default(), ""].join("/"));
    }
    let rest = [
        ("T2", paper.venue.as_deref()),
        ("DO", doi(paper)),
        ("UR", paper.url.as_deref()),
        ("AN", arxiv(paper)),
    ];
    for (tag, value) in rest {
        value.into_iter().for_each(|value| line(tag, value));
    }
    paper.categories.iter().for_each(|category| line("KW", category));
    if !paper.r#abstract.is_empty() {
        line("AB", &paper.r#abstract);
    }
    text.push_str("ER  - \r\n");
    text
}

fn last_name_first(name: &str) -> String {
    match name.rsplit_once(' ') {
        Some((first, last)) if !name.contains(',') => format!("{last}, {first}"),
        _ => name.into(),
    }
}
