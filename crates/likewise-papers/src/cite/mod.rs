//! Exports papers as BibTeX, RIS, CSV and JSON Lines.
//!
//! Papers come from dumps and are untrusted, so each format escapes text that TeX, reference managers or spreadsheets
//! would otherwise interpret as commands.
//!
//! ```
//! use likewise_papers::{Paper, PaperId, cite::CitationFormat};
//!
//! let id = PaperId::parse("10.1000/bees").unwrap();
//! let paper = Paper { id, title: "Bees that count".into(), ..Paper::default() };
//! let text = CitationFormat::Bibtex.write([&paper].into_iter());
//! assert!(text.starts_with("@misc{anonbees,\n  title = {Bees that count},\n  doi = {10.1000/bees},\n"));
//! ```

mod bibtex;
mod csv;
mod jsonl;
mod ris;

pub use bibtex::BibtexWriter;
pub use csv::{scored_header, scored_rows};

use crate::paper::Paper;
use serde::Deserialize;

/// A format for exporting papers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CitationFormat {
    /// BibTeX.
    Bibtex,
    /// RIS, which EndNote, Zotero and Mendeley read.
    Ris,
    /// Comma-separated values, with a header row.
    Csv,
    /// JSON Lines, which `likewise ingest` reads.
    Jsonl,
}

impl CitationFormat {
    /// Returns the media type of this format, for a `Content-Type` header.
    pub fn media_type(self) -> &'static str {
        match self {
            CitationFormat::Bibtex => "application/x-bibtex; charset=utf-8",
            CitationFormat::Ris => "application/x-research-info-systems; charset=utf-8",
            CitationFormat::Csv => "text/csv; charset=utf-8",
            CitationFormat::Jsonl => "application/x-ndjson",
        }
    }

    /// Writes papers in this format.
    pub fn write<'a>(self, papers: impl Iterator<Item = &'a Paper>) -> String {
        match self {
            CitationFormat::Bibtex => BibtexWriter::default().write(papers),
            CitationFormat::Ris => papers.map(ris::entry).collect(),
            CitationFormat::Csv => csv::write(papers),
            CitationFormat::Jsonl => papers.map(jsonl::line).collect(),
        }
    }
}

/// Returns the year, month and day of publication; `None` in place of an unknown year, month or day.
fn date(paper: &Paper) -> [Option<&str>; 3] {
    let mut parts = paper.published.as_deref().unwrap_or_default().split('-').filter(|part| !part.is_empty());
    [parts.next(), parts.next(), parts.next()]
}

/// Returns the paper's first DOI. `None` if the paper has no DOI.
fn doi(paper: &Paper) -> Option<&str> {
    paper.ids().find(|id| id.kind() == crate::paper::IdKind::Doi).map(|id| id.as_str())
}

/// Returns the paper's arXiv id. `None` if the paper has no arXiv id.
fn arxiv(paper: &Paper) -> Option<&str> {
    paper.ids().find(|id| id.kind() == crate::paper::IdKind::Arxiv).map(|id| id.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::paper::PaperId;

    /// Returns a paper whose fields contain characters that at least one format must escape.
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
            alternate_ids: vec![PaperId::parse("2103.00001").unwrap()],
            ..Paper::default()
        }
    }

    #[test]
    fn bibtex_is_escaped_and_balanced() {
        let text = CitationFormat::Bibtex.write([hostile(), hostile()].iter());
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
            assert!(text.contains(part), "{part} is missing in\n{text}");
        }
    }

    #[test]
    fn bibtex_written_a_few_papers_at_a_time_is_the_same() {
        let papers = [hostile(), hostile(), hostile()];
        let mut writer = BibtexWriter::default();
        let parts: String = papers.iter().map(|paper| writer.write(std::iter::once(paper))).collect();
        assert_eq!(parts, CitationFormat::Bibtex.write(papers.iter()));
    }

    #[test]
    fn ris_has_one_entry_per_paper() {
        let text = CitationFormat::Ris.write([hostile()].iter());
        assert_eq!(text.lines().filter(|line| line.starts_with("TY  - ")).count(), 1, "{text}");
        assert_eq!(text.lines().filter(|line| line.starts_with("ER  - ")).count(), 1, "{text}");
        assert!(
            text.contains("AU  - Ångström, Jean-Luc van den\r\n") && text.contains("PY  - 2021\r\n"),
            "{text}"
        );
        assert!(text.contains("KW  - a;b\r\n") && text.ends_with("ER  - \r\n"), "{text}");
    }

    #[test]
    fn scored_rows_have_the_columns_of_their_header() {
        let paper = hostile();
        let text = scored_header() + &scored_rows([(1, -0.25, &paper), (2, -0.5, &paper)].into_iter());
        let mut reader = ::csv::Reader::from_reader(text.as_bytes());
        assert_eq!(reader.headers().unwrap().iter().take(3).collect::<Vec<_>>(), ["rank", "score", "id"]);
        let rows: Vec<::csv::StringRecord> = reader.records().map(Result::unwrap).collect();
        assert_eq!((rows.len(), &rows[1][0], &rows[1][1], &rows[1][2]), (2, "2", "-0.5", paper.id.as_str()));
    }

    #[test]
    fn csv_round_trips_and_formulas_are_escaped() {
        let paper = Paper { title: "=1+1".into(), ..hostile() };
        let text = CitationFormat::Csv.write([paper.clone(), hostile()].iter());
        let mut reader = ::csv::Reader::from_reader(text.as_bytes());
        let rows: Vec<::csv::StringRecord> = reader.records().map(Result::unwrap).collect();
        assert_eq!((rows.len(), &rows[0][1], &rows[1][1]), (2, "'=1+1", &*hostile().title));
        assert_eq!(&rows[0][2], &*paper.r#abstract);
    }

    #[test]
    fn json_lines_round_trip() {
        let text = CitationFormat::Jsonl.write([hostile()].iter());
        assert_eq!(serde_json::from_str::<Paper>(text.trim_end()).unwrap(), hostile());
        assert_eq!(text.lines().count(), 1);
    }
}
