//! arXiv's OAI-PMH harvest: XML in the formats `arXiv` and `arXivRaw`, any number of answers one after the other.
//!
//! Its own file because both formats say the same in other words, a record may be a deletion, and the harvest's
//! `datestamp` is not the day of the paper.

use super::arxiv::{Metadata, SOURCE, day_of};
use super::fields::{deleted, split_authors};
use super::unread::Unread;
use super::xml::{self, Cut, at, child, children, text, text_at};
use super::{Entries, Entry};
use roxmltree::Node;
use std::io::BufRead;

/// Whether the head of a file is a harvest's.
pub fn looks_like(head: &str) -> bool {
    head.contains("<OAI-PMH")
        || head.contains("<ListRecords")
        || (head.contains("<record") && head.contains("<header"))
}

/// The papers of a harvest.
pub fn entries(reader: Box<dyn BufRead + Send>, unread: &Unread) -> Entries {
    let cut = Cut { whole: &["record", "error"], starts: &[] };
    xml::entries(reader, cut, unread, |element, unread| vec![entry(element, unread)])
}

fn entry(record: Node, unread: &Unread) -> Result<Entry, String> {
    if record.tag_name().name() == "error" {
        let (code, said) = (record.attribute("code").unwrap_or_default(), text(record));
        return Err(format!(
            "the archive answered with the error {code}: {said}; wanted records, harvest them again"
        ));
    }
    let header = child(record, "header");
    let identifier = header.and_then(|header| text_at(header, "identifier")).unwrap_or_default();
    if header.and_then(|header| header.attribute("status")) == Some("deleted") {
        return deleted(&identifier, Some(SOURCE)).map(Entry::Deleted);
    }
    let metadata = child(record, "metadata");
    let found =
        metadata.and_then(|metadata| child(metadata, "arXiv").or_else(|| child(metadata, "arXivRaw")));
    let Some(found) = found else {
        let got = metadata.and_then(|metadata| metadata.first_element_child());
        let got = got.map_or("nothing", |got| got.tag_name().name());
        return Err(format!(
            "{identifier}: got metadata in {got}, wanted arXiv or arXivRaw (metadataPrefix=arXiv)"
        ));
    };
    metadata_of(found, identifier).into_entry(unread)
}

fn metadata_of(node: Node, identifier: String) -> Metadata {
    let first_version = children(node, "version").find_map(|version| text_at(version, "date")).map(day_of);
    let others = ["created", "updated"].into_iter().filter_map(|name| text_at(node, name));
    let authors = child(node, "authors").map_or(Vec::new(), |authors| {
        let listed: Vec<String> = children(authors, "author").map(author).collect();
        if listed.is_empty() { split_authors(&text(authors)) } else { listed }
    });
    Metadata {
        id: text_at(node, "id").unwrap_or(identifier),
        title: text_at(node, "title"),
        r#abstract: text_at(node, "abstract"),
        authors,
        published: first_version.into_iter().chain(others).collect(),
        categories: text_at(node, "categories"),
        comments: text_at(node, "comments"),
        doi: text_at(node, "doi"),
        journal: text_at(node, "journal-ref"),
    }
}

fn author(node: Node) -> String {
    let part = |name: &str| at(node, name).map(text).unwrap_or_default();
    format!("{} {} {}", part("forenames"), part("keyname"), part("suffix"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    #[test]
    fn deletions_errors_and_other_formats_are_told_apart() {
        let text = r#"<OAI-PMH><ListRecords>
            <record><header status="deleted"><identifier>oai:arXiv.org:0704.0010</identifier></header></record>
            <record><header><identifier>oai:arXiv.org:0704.0011</identifier></header><metadata><oai_dc:dc><dc:title>T</dc:title></oai_dc:dc></metadata></record>
            </ListRecords></OAI-PMH><OAI-PMH><error code="badResumptionToken">expired</error></OAI-PMH>"#;
        let got: Vec<_> = entries(Box::new(Cursor::new(text)), &Unread::default()).collect();
        assert!(matches!(&got[0], Ok(Entry::Deleted(gone)) if gone.id.as_str() == "0704.0010"), "{got:?}");
        let reasons: Vec<_> = got[1..].iter().map(|entry| entry.as_ref().unwrap_err()).collect();
        assert!(
            reasons[0].line == 3 && reasons[0].reason.contains("got metadata in dc, wanted arXiv"),
            "{reasons:?}"
        );
        assert!(reasons[1].reason.contains("badResumptionToken: expired"), "{reasons:?}");
    }
}
