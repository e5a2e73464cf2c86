//! papercopilot's lists: a JSON array a conference and year.
//!
//! Its own file because conference and year are in the file's name only, an id is the conference's own, and not all
//! that was submitted was published.

use super::fields::{Fields, build, year_in};
use super::json::records;
use super::{Entries, Entry};
use serde::Deserialize;
use serde_json::Value;
use std::io::BufRead;

/// What this dump's papers are from.
const SOURCE: &str = "papercopilot";

/// Whether the head of an array is such a list's.
pub fn looks_like(head: &str) -> bool {
    head.contains("\"author\"") && head.contains("\"status\"") && head.contains("\"track\"")
}

/// The papers of a list in a file of this name, such as `nips2018.json.gz`.
pub fn entries(reader: Box<dyn BufRead + Send>, file: &str) -> Entries {
    // All that a name may have before and after it: `papercopilot-nips2018.json.gz`.
    let stem = file
        .split('.')
        .next()
        .unwrap_or(file)
        .rsplit(['-', '/', ':'])
        .next()
        .unwrap_or_default()
        .to_lowercase();
    let year = year_in(&stem);
    let venue =
        stem.trim_end_matches(|character: char| character.is_ascii_digit() || character == '_').to_string();
    records(reader, move |record: Record| record.into_entry(&stem, &venue, year.as_deref()))
}

#[derive(Deserialize)]
struct Record {
    id: Option<Value>,
    title: Option<String>,
    r#abstract: Option<String>,
    author: Option<String>,
    status: Option<String>,
    track: Option<String>,
    primary_area: Option<String>,
    keywords: Option<String>,
    doi: Option<String>,
    arxiv: Option<String>,
    site: Option<String>,
    pdf: Option<String>,
}

impl Record {
    fn into_entry(self, stem: &str, venue: &str, year: Option<&str>) -> Result<Entry, String> {
        let own = self.id.as_ref().and_then(super::columns::loose_text).filter(|id| !id.trim().is_empty());
        // Its number is another paper's at the next conference.
        let is_number = |id: &String| id.bytes().all(|byte| byte.is_ascii_digit());
        let own = own
            .filter(|id| year.is_some() || !is_number(id))
            .map(|id| if id.contains(['.', '/']) || stem.is_empty() { id } else { format!("{stem}/{id}") });
        let status = self.status.unwrap_or_default().to_lowercase();
        let is_in = !(status.contains("reject") || status.contains("withdraw"));
        let keywords = self.keywords.unwrap_or_default();
        let named = [self.primary_area, self.track.filter(|track| track != "main")].into_iter().flatten();
        build(Fields {
            ids: own
                .into_iter()
                .chain(self.arxiv)
                .chain(self.doi)
                .filter(|id| !id.trim().is_empty())
                .collect(),
            title: self.title,
            r#abstract: self.r#abstract,
            authors: self.author.unwrap_or_default().split(';').map(str::to_string).collect(),
            published: year.map(str::to_string),
            categories: named.chain(keywords.split([';', ',']).map(str::to_string)).collect(),
            venue: Some(venue.to_string()).filter(|_| is_in),
            source: Some(SOURCE.into()),
            url: self.site.filter(|site| !site.is_empty()).or(self.pdf),
            withdrawn: status.contains("withdraw"),
            also: Vec::new(),
        })
        .map(Entry::Paper)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    #[test]
    fn a_number_names_nothing_where_nobody_knows_the_conference() {
        let text =
            r#"[{"title":"T","status":"Poster","track":"main","id":"11127","author":"A B","abstract":"S."}]"#;
        let got = entries(Box::new(Cursor::new(text)), "-").next().unwrap().unwrap();
        assert!(matches!(&got, Entry::Paper(paper) if paper.id.as_str() == "title:t"), "{got:?}");
    }

    #[test]
    fn a_list_is_of_the_conference_that_its_file_is_named_after() {
        let text = r#"[{"title":"T","status":"Poster","track":"main","id":"11127","author":"A B; C D","abstract":"S.","site":"https://n.cc/1","keywords":"k;l","primary_area":"p"},
            {"title":"U","status":"Withdraw","track":"main","id":11128,"author":null},{"title":"V","status":"Reject","track":"x","id":"2022.acl-short.96","author":""}]"#;
        assert!(looks_like(text));
        let got: Vec<_> = entries(Box::new(Cursor::new(text)), "papercopilot-nips2018.json.gz")
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
