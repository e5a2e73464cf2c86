//! Papers in the formats that reference managers, spreadsheets and scripts read.
//!
//! One file a format. All of a paper's fields come from dumps, that is from anybody: each format escapes what would be
//! more than text in it.

mod bibtex;
mod csv;
mod jsonl;
mod ris;

use crate::paper::Paper;
use serde::Deserialize;

/// A format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// BibTeX.
    Bibtex,
    /// RIS, as EndNote, Zotero and Mendeley read it.
    Ris,
    /// Comma-separated values, with a heading.
    Csv,
    /// JSON Lines, as `likewise ingest` reads them.
    Jsonl,
}

impl Format {
    /// Its media type.
    pub fn media_type(self) -> &'static str {
        match self {
            Format::Bibtex => "application/x-bibtex; charset=utf-8",
            Format::Ris => "application/x-research-info-systems; charset=utf-8",
            Format::Csv => "text/csv; charset=utf-8",
            Format::Jsonl => "application/x-ndjson",
        }
    }

    /// Papers in this format.
    pub fn write<'a>(self, papers: impl Iterator<Item = &'a Paper>) -> String {
        match self {
            Format::Bibtex => bibtex::write(papers),
            Format::Ris => papers.map(ris::entry).collect(),
            Format::Csv => csv::write(papers),
            Format::Jsonl => papers.map(jsonl::line).collect(),
        }
    }
}

/// Year, month and day of publication, as far as they are known.
fn date(paper: &Paper) -> [Option<&str>; 3] {
    let mut parts = paper.published.as_deref().unwrap_or_default().split('-').filter(|part| !part.is_empty());
    [parts.next(), parts.next(), parts.next()]
}

/// The paper's DOI, if it has one.
fn doi(paper: &Paper) -> Option<&str> {
    paper.ids().find(|id| id.kind() == crate::paper::Kind::Doi).map(|id| id.as_str())
}

/// Its arXiv id, if it has one.
fn arxiv(paper: &Paper) -> Option<&str> {
    paper.ids().find(|id| id.kind() == crate::paper::Kind::Arxiv).map(|id| id.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::paper::PaperId;

    /// A paper whose every field tries to be more than text.
    fn hostile() -> Paper {
        Paper {
            id: PaperId::parse("10.1000/a{b}\"c").unwrap(),
            title: "100% of {x}_i & \\input{/etc/passwd} \"quoted\", =cmd|' /C calc'!A0".into(),
            r#abstract: "One.\nER  - \nTY  - BOOK\n}, title = {other".into(),
            authors: vec!["Jean-Luc van den Ångström".into(), "The X, Y and Z Team".into(), "李飞飞".into()],
            published: Some("2021-03".into()),
            categories: vec!["cs.LG".into(), "a;b".into()],
            venue: Some("Proc. $5 & more".into()),
            url: Some("https://example.org/a?b=c&d=%20#e".into()),
            also: vec![PaperId::parse("2103.00001").unwrap()],
            ..Paper::default()
        }
    }

    #[test]
    fn bibtex_keeps_its_braces_and_its_entries() {
        let text = Format::Bibtex.write([hostile(), hostile()].iter());
        let mut depth = 0_i32;
        for character in text.chars() {
            depth += i32::from(character == '{') - i32::from(character == '}');
            assert!((0..=4).contains(&depth), "{text}");
        }
        assert_eq!(depth, 0, "{text}");
        assert_eq!(text.matches("\n@").count() + 1, 2, "{text}");
        for part in [
            "@inproceedings{angstrom2021input,",
            "@inproceedings{angstrom2021inputb,",
            "100\\% of \\textbraceleft x\\textbraceright \\_i \\& \\textbackslash input",
            "author = {Jean-Luc van den Ångström and {The X, Y and Z Team} and 李飞飞}",
            "year = {2021}",
            "month = mar",
            "doi = {10.1000/a%7Bb%7D\"c}",
            "url = {https://example.org/a?b=c&d=%20#e}",
            "eprint = {2103.00001}",
        ] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
    }

    #[test]
    fn ris_has_one_entry_a_paper() {
        let text = Format::Ris.write([hostile()].iter());
        assert_eq!(text.lines().filter(|line| line.starts_with("TY  - ")).count(), 1, "{text}");
        assert_eq!(text.lines().filter(|line| line.starts_with("ER  - ")).count(), 1, "{text}");
        assert!(
            text.contains("AU  - Ångström, Jean-Luc van den\r\n") && text.contains("PY  - 2021\r\n"),
            "{text}"
        );
        assert!(text.contains("KW  - a;b\r\n") && text.ends_with("ER  - \r\n"), "{text}");
    }

    #[test]
    fn csv_is_read_back_and_computes_nothing() {
        let paper = Paper { title: "=1+1".into(), ..hostile() };
        let text = Format::Csv.write([paper.clone(), hostile()].iter());
        let mut reader = ::csv::Reader::from_reader(text.as_bytes());
        let rows: Vec<::csv::StringRecord> = reader.records().map(Result::unwrap).collect();
        assert_eq!((rows.len(), &rows[0][1], &rows[1][1]), (2, "'=1+1", &*hostile().title));
        assert_eq!(&rows[0][2], &*paper.r#abstract);
    }

    #[test]
    fn json_lines_are_papers() {
        let text = Format::Jsonl.write([hostile()].iter());
        assert_eq!(serde_json::from_str::<Paper>(text.trim_end()).unwrap(), hostile());
        assert_eq!(text.lines().count(), 1);
    }
}
