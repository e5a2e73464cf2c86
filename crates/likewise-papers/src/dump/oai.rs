//! Reads arXiv's OAI-PMH harvest: one or more XML responses in the metadata formats `arXiv` or `arXivRaw`.
//!
//! Both formats hold the same data under different names. A record can be a deletion. The `datestamp` of a record is
//! the date of its last change, not the date of the paper.

use super::arxiv::{Metadata, SOURCE, day_of};
use super::fields::{deletion, split_authors};
use super::warnings::Warnings;
use super::xml::{self, Selection, at, child, children, text, text_at};
use super::{Entries, Entry};
use roxmltree::Node;
use std::io::BufRead;

/// Whether the file looks like an OAI-PMH harvest.
pub fn looks_like(head: &str) -> bool {
    head.contains("<OAI-PMH")
        || head.contains("<ListRecords")
        || (head.contains("<record") && head.contains("<header"))
}

/// Returns the entries of a harvest.
pub fn entries(reader: Box<dyn BufRead + Send>, warnings: &Warnings) -> Entries {
    let selection = Selection { elements: &["record", "error"], start_tags: &[] };
    xml::entries(reader, selection, warnings, |element, warnings| vec![entry(element, warnings)])
}

fn entry(record: Node, warnings: &Warnings) -> Result<Entry, String> {
    if record.tag_name().name() == "error" {
        let (code, message) = (record.attribute("code").unwrap_or_default(), text(record));
        return Err(format!(
            "arXiv returned the error {code}: {message} in place of records; harvest the records again"
        ));
    }
    let header = child(record, "header");
    let identifier = header.and_then(|header| text_at(header, "identifier")).unwrap_or_default();
    if header.and_then(|header| header.attribute("status")) == Some("deleted") {
        return deletion(&identifier, Some(SOURCE)).map(Entry::Deleted);
    }
    let metadata = child(record, "metadata");
    let content =
        metadata.and_then(|metadata| child(metadata, "arXiv").or_else(|| child(metadata, "arXivRaw")));
    let Some(content) = content else {
        let other = metadata.and_then(|metadata| metadata.first_element_child());
        let other = other.map_or("none", |other| other.tag_name().name());
        return Err(format!(
            "{identifier}: the metadata format must be arXiv or arXivRaw (got {other}); \
             harvest with metadataPrefix=arXiv"
        ));
    };
    metadata_of(content, identifier).into_entry(warnings)
}

fn metadata_of(node: Node, identifier: String) -> Metadata {
    let first_version = children(node, "version").find_map(|version| text_at(version, "date")).map(day_of);
    let other_dates = ["created", "updated"].into_iter().filter_map(|name| text_at(node, name));
    let authors = child(node, "authors").map_or(Vec::new(), |authors| {
        let listed: Vec<String> = children(authors, "author").map(author).collect();
        if listed.is_empty() { split_authors(&text(authors)) } else { listed }
    });
    Metadata {
        id: text_at(node, "id").unwrap_or(identifier),
        title: text_at(node, "title"),
        r#abstract: text_at(node, "abstract"),
        authors,
        published: first_version.into_iter().chain(other_dates).collect(),
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
    fn deletions_errors_and_other_metadata_formats_are_distinguished() {
        let text = r#"<OAI-PMH><ListRecords>
            <record><header status="deleted"><identifier>oai:arXiv.org:0704.0010</identifier></header></record>
            <record><header><identifier>oai:arXiv.org:0704.0011</identifier></header><metadata><oai_dc:dc><dc:title>T</dc:title></oai_dc:dc></metadata></record>
            </ListRecords></OAI-PMH><OAI-PMH><error code="badResumptionToken">expired</error></OAI-PMH>"#;
        let got: Vec<_> = entries(Box::new(Cursor::new(text)), &Warnings::default()).collect();
        assert!(
            matches!(&got[0], Ok(Entry::Deleted(deletion)) if deletion.id.as_str() == "0704.0010"),
            "{got:?}"
        );
        let reasons: Vec<_> = got[1..].iter().map(|entry| entry.as_ref().unwrap_err()).collect();
        assert!(
            reasons[0].line == 3 && reasons[0].reason.contains("must be arXiv or arXivRaw (got dc)"),
            "{reasons:?}"
        );
        assert!(reasons[1].reason.contains("badResumptionToken: expired"), "{reasons:?}");
    }
}
