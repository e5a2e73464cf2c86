//! The ACL Anthology's own files: XML, a file a venue and year.
//!
//! Its own file because what a paper is called, and when and where it was published, is said by what it stands in:
//! the collection, the volume, and the volume's `meta`.

use super::fields::{Fields, build, year_in};
use super::unread::Unread;
use super::xml::{self, Cut, child, children, text, text_at};
use super::{Entries, Entry};
use crate::paper::month_number;
use roxmltree::Node;
use std::io::BufRead;

/// What this dump's papers are from.
const SOURCE: &str = "acl";

/// Whether the head of a file is the Anthology's.
pub fn looks_like(head: &str) -> bool {
    head.contains("<collection") && head.contains("<volume")
}

/// The papers of a file.
pub fn entries(reader: Box<dyn BufRead + Send>, unread: &Unread) -> Entries {
    let cut = Cut { whole: &["meta", "paper"], starts: &["collection", "volume"] };
    let mut place = Place::default();
    xml::entries(reader, cut, unread, move |element, unread| match element.tag_name().name() {
        "collection" => {
            place.collection = attribute(element, "id");
            Vec::new()
        }
        "volume" => {
            place = Place {
                collection: std::mem::take(&mut place.collection),
                volume: attribute(element, "id"),
                ..Place::default()
            };
            Vec::new()
        }
        "meta" => {
            place.read_meta(element);
            Vec::new()
        }
        _ => vec![place.paper(element, unread)],
    })
}

fn attribute(node: Node, name: &str) -> String {
    node.attribute(name).unwrap_or_default().to_string()
}

/// Where in the Anthology the reader is.
#[derive(Default)]
struct Place {
    collection: String,
    volume: String,
    date: Option<String>,
    venue: Option<String>,
}

impl Place {
    fn read_meta(&mut self, meta: Node) {
        let year =
            text_at(meta, "year").map(|year| year.trim().to_string()).or_else(|| year_in(&self.collection));
        let month = text_at(meta, "month").and_then(|month| month_number(&month));
        self.date = year.map(|year| month.map_or(year.clone(), |month| format!("{year}-{month:02}")));
        self.venue = text_at(meta, "booktitle").or_else(|| text_at(meta, "venue"));
        // What a volume is short for is what people ask for.
        let names: Vec<String> = children(meta, "venue").map(text).collect();
        if !names.is_empty() {
            self.venue = Some(names.join(", "));
        }
    }

    fn paper(&self, node: Node, unread: &Unread) -> Result<Entry, String> {
        let r#abstract = text_at(node, "abstract").map(|text| without_heading(&text));
        let mut ids = vec![
            text_at(node, "url")
                .filter(|url| !url.contains("//"))
                .map_or_else(|| self.id(node), |url| url.trim().to_string()),
        ];
        ids.extend(text_at(node, "doi"));
        let taken_back = ["retracted", "removed"].iter().any(|name| child(node, name).is_some());
        let fields = Fields {
            ids,
            title: text_at(node, "title"),
            r#abstract,
            authors: children(node, "author").map(author).collect(),
            published: self.date.clone().into_iter().collect(),
            categories: Vec::new(),
            venue: self.venue.clone(),
            source: Some(SOURCE.into()),
            url: None,
            withdrawn: taken_back,
            also: Vec::new(),
        };
        build(fields, unread).map(Entry::Paper)
    }

    /// `2020.acl-main.5`, or as before 2020 `P19-1005`, where a volume's number is the first digits.
    fn id(&self, node: Node) -> String {
        let (collection, volume, number) = (&self.collection, &self.volume, attribute(node, "id"));
        if collection.contains('.') {
            return format!("{collection}-{volume}.{number}");
        }
        let digits = 4_usize.saturating_sub(volume.len());
        format!("{collection}-{volume}{number:0>digits$}")
    }
}

fn author(node: Node) -> String {
    let part = |name: &str| text_at(node, name).unwrap_or_default();
    format!("{} {}", part("first"), part("last"))
}

/// An abstract without the word `Abstract` that some begin with.
fn without_heading(text: &str) -> String {
    let text = text.trim();
    let rest = text.strip_prefix("Abstract").or_else(|| text.strip_prefix("ABSTRACT"));
    let rest = rest.map(|rest| rest.trim_start_matches([':', '.', '-', '—', ' ', '\n']));
    // “Abstract meaning representations are …” begins with it, too.
    rest.filter(|rest| rest.starts_with(char::is_uppercase)).unwrap_or(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    #[test]
    fn ids_and_dates_come_from_what_a_paper_stands_in() {
        let text = r#"<collection id="P19"><volume id="1"><meta><booktitle>Proceedings of ACL</booktitle><month>July</month><year>2019</year></meta>
            <frontmatter><url>P19-1000</url></frontmatter>
            <paper id="7"><title><fixed-case>BERT</fixed-case> in <tex-math>O(n\log n)</tex-math></title><author><first>Ann</first><last>Bee</last></author>
              <abstract>Abstract We <b>do</b>.</abstract><doi>10.18653/v1/P19-1007</doi></paper></volume>
            <volume id="2"><paper id="7"><title>Two</title><retracted date="2020-01-01"/><abstract>Abstract meaning.</abstract></paper></volume></collection>
            <collection id="2020.acl"><volume id="main"><meta><year>2020</year><venue>acl</venue></meta><paper id="5"><title>Three</title></paper></volume></collection>"#;
        let got: Vec<_> =
            entries(Box::new(Cursor::new(text)), &Unread::default()).map(Result::unwrap).collect();
        let papers: Vec<_> =
            got.iter().map(|entry| if let Entry::Paper(paper) = entry { paper } else { panic!() }).collect();
        let ids: Vec<_> = papers.iter().map(|paper| paper.id.as_str()).collect();
        assert_eq!(ids, ["P19-1007", "P19-2007", "2020.acl-main.5"]);
        assert_eq!(papers[0].title, "BERT in O(n log n)");
        assert_eq!(
            (papers[0].r#abstract.as_str(), papers[1].r#abstract.as_str()),
            ("We do.", "Abstract meaning.")
        );
        assert_eq!(papers[0].published.as_deref(), Some("2019-07"));
        assert!(papers[1].withdrawn && papers[2].r#abstract.is_empty());
        assert_eq!(papers[2].venue.as_deref(), Some("acl"));
    }
}
