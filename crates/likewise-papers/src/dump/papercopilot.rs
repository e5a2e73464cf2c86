//! Reads papercopilot's lists: one JSON array per conference and year.
//!
//! The conference and the year appear only in the file name, ids are unique only within one conference, and a list
//! includes rejected and withdrawn submissions.

use super::fields::{RawFields, build, year_in};
use super::json::records;
use super::lenient::LenientText;
use super::warnings::Warnings;
use super::{Entries, Entry};
use serde::Deserialize;
use std::io::BufRead;

/// Source name of the papers in this format.
const SOURCE: &str = "papercopilot";

/// Whether the first object of a file has the keys of a papercopilot list.
pub fn looks_like(head: &str) -> bool {
    head.contains("\"author\"") && head.contains("\"status\"") && head.contains("\"track\"")
}

/// Returns the papers of a list. `file_name` is the name of the file that the list is in, such as `nips2018.json.gz`.
pub fn entries(reader: Box<dyn BufRead + Send>, file_name: &str, warnings: &Warnings) -> Entries {
    // Remove the prefix and the extensions: `papercopilot-nips2018.json.gz` becomes `nips2018`.
    let stem = file_name
        .split('.')
        .next()
        .unwrap_or(file_name)
        .rsplit(['-', '/', ':'])
        .next()
        .unwrap_or_default()
        .to_lowercase();
    let year = year_in(&stem);
    let venue =
        stem.trim_end_matches(|character: char| character.is_ascii_digit() || character == '_').to_string();
    records(reader, warnings, move |record: Record, warnings| {
        record.into_entry(&stem, &venue, year.as_deref(), warnings)
    })
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Record {
    id: LenientText,
    title: LenientText,
    r#abstract: LenientText,
    author: LenientText,
    status: LenientText,
    track: LenientText,
    primary_area: LenientText,
    keywords: LenientText,
    doi: LenientText,
    arxiv: LenientText,
    site: LenientText,
    pdf: LenientText,
}

impl Record {
    fn into_entry(
        self,
        stem: &str,
        venue: &str,
        year: Option<&str>,
        warnings: &Warnings,
    ) -> Result<Entry, String> {
        let own_id = self.id.read("id", warnings).filter(|id| !id.trim().is_empty());
        // All conferences use the same numbers as ids, so a numeric id is kept only if the file name has a year.
        let is_number = |id: &String| id.bytes().all(|byte| byte.is_ascii_digit());
        let own_id = own_id
            .filter(|id| year.is_some() || !is_number(id))
            .map(|id| if id.contains(['.', '/']) || stem.is_empty() { id } else { format!("{stem}/{id}") });
        let status = self.status.read("status", warnings).unwrap_or_default().to_lowercase();
        let is_published = !(status.contains("reject") || status.contains("withdraw"));
        let keywords = self.keywords.read("keywords", warnings).unwrap_or_default();
        let track = self.track.read("track", warnings).filter(|track| track != "main");
        let areas = [self.primary_area.read("primary_area", warnings), track].into_iter().flatten();
        let external_ids =
            [self.arxiv.read("arxiv", warnings), self.doi.read("doi", warnings)].into_iter().flatten();
        let authors = self.author.read("author", warnings).unwrap_or_default();
        let site = self.site.read("site", warnings).filter(|site| !site.is_empty());
        let fields = RawFields {
            ids: own_id.into_iter().chain(external_ids).filter(|id| !id.trim().is_empty()).collect(),
            title: self.title.read("title", warnings),
            r#abstract: self.r#abstract.read("abstract", warnings),
            authors: authors.split(';').map(str::to_string).collect(),
            published: year.map(str::to_string).into_iter().collect(),
            categories: areas.chain(keywords.split([';', ',']).map(str::to_string)).collect(),
            venue: Some(venue.to_string()).filter(|_| is_published),
            source: Some(SOURCE.into()),
            url: site.or_else(|| self.pdf.read("pdf", warnings)),
            withdrawn: status.contains("withdraw"),
            alternate_ids: Vec::new(),
        };
        build(fields, warnings).map(Entry::Paper)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    #[test]
    fn a_numeric_id_is_ignored_if_the_conference_is_unknown() {
        let text =
            r#"[{"title":"T","status":"Poster","track":"main","id":"11127","author":"A B","abstract":"S."}]"#;
        let got = entries(Box::new(Cursor::new(text)), "-", &Warnings::default()).next().unwrap().unwrap();
        assert!(matches!(&got, Entry::Paper(paper) if paper.id.as_str() == "title:t"), "{got:?}");
    }

    #[test]
    fn conference_and_year_come_from_the_file_name() {
        let text = r#"[{"title":"T","status":"Poster","track":"main","id":"11127","author":"A B; C D","abstract":"S.","site":"https://n.cc/1","keywords":"k;l","primary_area":"p"},
            {"title":"U","status":"Withdraw","track":"main","id":11128,"author":null},{"title":"V","status":"Reject","track":"x","id":"2022.acl-short.96","author":""}]"#;
        assert!(looks_like(text));
        let got: Vec<_> =
            entries(Box::new(Cursor::new(text)), "papercopilot-nips2018.json.gz", &Warnings::default())
                .map(Result::unwrap)
                .collect();
        let [Entry::Paper(one), Entry::Paper(two), Entry::Paper(three)] = &got[..] else { panic!("{got:?}") };
        assert_eq!(
            (one.id.as_str(), one.venue.as_deref(), one.published.as_deref()),
            ("nips2018/11127", Some("nips"), Some("2018"))
        );
        assert_eq!(
            (&one.authors[..], &one.categories[..]),
            (&["A B".to_string(), "C D".into()][..], &["p".to_string(), "k".into(), "l".into()][..])
        );
        assert_eq!((two.id.as_str(), two.withdrawn, two.venue.as_deref()), ("nips2018/11128", true, None));
        assert_eq!(
            (three.id.as_str(), three.withdrawn, three.venue.as_deref()),
            ("2022.acl-short.96", false, None)
        );
    }
}
