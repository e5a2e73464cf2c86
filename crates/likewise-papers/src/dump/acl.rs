//! Reads the ACL Anthology's XML: one file per venue and year.
//!
//! The date and venue of a paper come from the elements around the paper's element: the collection, the volume, and the
//! volume's `meta`. So does the id, if the paper's element has no `url` that is an id.

use super::fields::{RawFields, build, year_in};
use super::warnings::Warnings;
use super::xml::{self, Selection, child, children, text, text_at};
use super::{Entries, Entry};
use crate::paper::month_number;
use roxmltree::Node;
use std::io::BufRead;

/// Source name of the papers in this format.
const SOURCE: &str = "acl";

/// Whether the file looks like XML of the ACL Anthology.
pub fn looks_like(head: &str) -> bool {
    head.contains("<collection") && head.contains("<volume")
}

/// Returns the papers of a file.
pub fn entries(reader: Box<dyn BufRead + Send>, warnings: &Warnings) -> Entries {
    let selection = Selection { elements: &["meta", "paper"], start_tags: &["collection", "volume"] };
    let mut volume = Volume::default();
    xml::entries(reader, selection, warnings, move |element, warnings| match element.tag_name().name() {
        "collection" => {
            volume.collection = attribute(element, "id");
            Vec::new()
        }
        "volume" => {
            volume = Volume {
                collection: std::mem::take(&mut volume.collection),
                id: attribute(element, "id"),
                ..Volume::default()
            };
            Vec::new()
        }
        "meta" => {
            volume.read_meta(element);
            Vec::new()
        }
        _ => vec![volume.paper(element, warnings)],
    })
}

fn attribute(node: Node, name: &str) -> String {
    node.attribute(name).unwrap_or_default().to_string()
}

/// The volume that is being read.
#[derive(Default)]
struct Volume {
    /// Id of the collection that contains the volume.
    collection: String,
    id: String,
    date: Option<String>,
    venue: Option<String>,
}

impl Volume {
    fn read_meta(&mut self, meta: Node) {
        let year =
            text_at(meta, "year").map(|year| year.trim().to_string()).or_else(|| year_in(&self.collection));
        let month = text_at(meta, "month").and_then(|month| month_number(&month));
        self.date = year.map(|year| month.map_or(year.clone(), |month| format!("{year}-{month:02}")));
        self.venue = text_at(meta, "booktitle").or_else(|| text_at(meta, "venue"));
        // Short venue names such as `acl` are preferred to book titles, because people search for short names.
        let venues: Vec<String> = children(meta, "venue").map(text).collect();
        if !venues.is_empty() {
            self.venue = Some(venues.join(", "));
        }
    }

    fn paper(&self, node: Node, warnings: &Warnings) -> Result<Entry, String> {
        let r#abstract = text_at(node, "abstract").map(|text| without_heading(&text));
        let mut ids = vec![
            text_at(node, "url")
                .filter(|url| !url.contains("//"))
                .map_or_else(|| self.paper_id(node), |url| url.trim().to_string()),
        ];
        ids.extend(text_at(node, "doi"));
        let is_withdrawn = ["retracted", "removed"].iter().any(|name| child(node, name).is_some());
        let fields = RawFields {
            ids,
            title: text_at(node, "title"),
            r#abstract,
            authors: children(node, "author").map(author).collect(),
            published: self.date.clone().into_iter().collect(),
            categories: Vec::new(),
            venue: self.venue.clone(),
            source: Some(SOURCE.into()),
            url: None,
            withdrawn: is_withdrawn,
            alternate_ids: Vec::new(),
        };
        build(fields, warnings).map(Entry::Paper)
    }

    /// Returns the id of a paper, such as `2020.acl-main.5`. Ids from before 2020 look like `P19-1005`: the four digits
    /// at the end are the number of the volume (here 1), followed by the number of the paper (here 5).
    fn paper_id(&self, node: Node) -> String {
        let (collection, volume, number) = (&self.collection, &self.id, attribute(node, "id"));
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

/// Removes the heading `Abstract` at the beginning of an abstract.
fn without_heading(text: &str) -> String {
    let text = text.trim();
    let rest = text.strip_prefix("Abstract").or_else(|| text.strip_prefix("ABSTRACT"));
    let rest = rest.map(|rest| rest.trim_start_matches([':', '.', '-', '—', ' ', '\n']));
    // Keep the word `Abstract` if it is part of the first sentence, as in “Abstract meaning representations are …”.
    rest.filter(|rest| rest.starts_with(char::is_uppercase)).unwrap_or(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    #[test]
    fn ids_and_dates_come_from_the_surrounding_elements() {
        let text = r#"<collection id="P19"><volume id="1"><meta><booktitle>Proceedings of ACL</booktitle><month>July</month><year>2019</year></meta>
            <frontmatter><url>P19-1000</url></frontmatter>
            <paper id="7"><title><fixed-case>BERT</fixed-case> in <tex-math>O(n\log n)</tex-math></title><author><first>Ann</first><last>Bee</last></author>
              <abstract>Abstract We <b>do</b>.</abstract><doi>10.18653/v1/P19-1007</doi></paper></volume>
            <volume id="2"><paper id="7"><title>Two</title><retracted date="2020-01-01"/><abstract>Abstract meaning.</abstract></paper></volume></collection>
            <collection id="2020.acl"><volume id="main"><meta><year>2020</year><venue>acl</venue></meta><paper id="5"><title>Three</title></paper></volume></collection>"#;
        let got: Vec<_> =
            entries(Box::new(Cursor::new(text)), &Warnings::default()).map(Result::unwrap).collect();
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
