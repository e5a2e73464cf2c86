//! papercopilot's lists: a JSON array a conference and year.
//!
//! Its own file because conference and year are in the file's name only, an id is the conference's own, and not all
//! that was submitted was published.

use super::fields::{Fields, build, year_in};
use super::json::records;
use super::loose::Text;
use super::unread::Unread;
use super::{Entries, Entry};
use serde::Deserialize;
use std::io::BufRead;

/// What this dump's papers are from.
const SOURCE: &str = "papercopilot";

/// Whether the head of an array is such a list's.
pub fn looks_like(head: &str) -> bool {
    head.contains("\"author\"") && head.contains("\"status\"") && head.contains("\"track\"")
}

/// The papers of a list in a file of this name, such as `nips2018.json.gz`.
pub fn entries(reader: Box<dyn BufRead + Send>, file: &str, unread: &Unread) -> Entries {
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
    records(reader, unread, move |record: Record, unread| {
        record.into_entry(&stem, &venue, year.as_deref(), unread)
    })
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Record {
    id: Text,
    title: Text,
    r#abstract: Text,
    author: Text,
    status: Text,
    track: Text,
    primary_area: Text,
    keywords: Text,
    doi: Text,
    arxiv: Text,
    site: Text,
    pdf: Text,
}

impl Record {
    fn into_entry(
        self,
        stem: &str,
        venue: &str,
        year: Option<&str>,
        unread: &Unread,
    ) -> Result<Entry, String> {
        let own = self.id.read("id", unread).filter(|id| !id.trim().is_empty());
        // Its number is another paper's at the next conference.
        let is_number = |id: &String| id.bytes().all(|byte| byte.is_ascii_digit());
        let own = own
            .filter(|id| year.is_some() || !is_number(id))
            .map(|id| if id.contains(['.', '/']) || stem.is_empty() { id } else { format!("{stem}/{id}") });
        let status = self.status.read("status", unread).unwrap_or_default().to_lowercase();
        let is_in = !(status.contains("reject") || status.contains("withdraw"));
        let keywords = self.keywords.read("keywords", unread).unwrap_or_default();
        let track = self.track.read("track", unread).filter(|track| track != "main");
        let named = [self.primary_area.read("primary_area", unread), track].into_iter().flatten();
        let others = [self.arxiv.read("arxiv", unread), self.doi.read("doi", unread)].into_iter().flatten();
        let authors = self.author.read("author", unread).unwrap_or_default();
        let site = self.site.read("site", unread).filter(|site| !site.is_empty());
        let fields = Fields {
            ids: own.into_iter().chain(others).filter(|id| !id.trim().is_empty()).collect(),
            title: self.title.read("title", unread),
            r#abstract: self.r#abstract.read("abstract", unread),
            authors: authors.split(';').map(str::to_string).collect(),
            published: year.map(str::to_string).into_iter().collect(),
            categories: named.chain(keywords.split([';', ',']).map(str::to_string)).collect(),
            venue: Some(venue.to_string()).filter(|_| is_in),
            source: Some(SOURCE.into()),
            url: site.or_else(|| self.pdf.read("pdf", unread)),
            withdrawn: status.contains("withdraw"),
            also: Vec::new(),
        };
        build(fields, unread).map(Entry::Paper)
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
        let got = entries(Box::new(Cursor::new(text)), "-", &Unread::default()).next().unwrap().unwrap();
        assert!(matches!(&got, Entry::Paper(paper) if paper.id.as_str() == "title:t"), "{got:?}");
    }

    #[test]
    fn a_list_is_of_the_conference_that_its_file_is_named_after() {
        let text = r#"[{"title":"T","status":"Poster","track":"main","id":"11127","author":"A B; C D","abstract":"S.","site":"https://n.cc/1","keywords":"k;l","primary_area":"p"},
            {"title":"U","status":"Withdraw","track":"main","id":11128,"author":null},{"title":"V","status":"Reject","track":"x","id":"2022.acl-short.96","author":""}]"#;
        assert!(looks_like(text));
        let got: Vec<_> =
            entries(Box::new(Cursor::new(text)), "papercopilot-nips2018.json.gz", &Unread::default())
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
