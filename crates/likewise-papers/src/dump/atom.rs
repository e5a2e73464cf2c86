//! Reads responses of arXiv's API: one or more Atom feeds in one file.
//!
//! An entry's id is a URL with a version, `published` is the date of the first version, and the API reports an error as
//! an entry.

use super::arxiv::Metadata;
use super::warnings::Warnings;
use super::xml::{self, Selection, children, text_at};
use super::{Entries, Entry};
use roxmltree::Node;
use std::io::BufRead;

/// Whether the file looks like an Atom feed.
pub fn looks_like(head: &str) -> bool {
    head.contains("<feed") || head.contains("<entry")
}

/// Returns the papers of the feeds.
pub fn entries(reader: Box<dyn BufRead + Send>, warnings: &Warnings) -> Entries {
    let selection = Selection { elements: &["entry"], start_tags: &[] };
    xml::entries(reader, selection, warnings, |element, warnings| vec![entry(element, warnings)])
}

fn entry(node: Node, warnings: &Warnings) -> Result<Entry, String> {
    let id = text_at(node, "id").unwrap_or_default();
    let (title, summary) = (text_at(node, "title"), text_at(node, "summary"));
    if title.as_deref().is_some_and(|title| title.trim() == "Error") && id.contains("/api/errors") {
        let message = summary.unwrap_or_default();
        return Err(format!(
            "arXiv's API returned an error in place of papers: {}; request the papers again",
            message.trim()
        ));
    }
    let categories: Vec<&str> =
        children(node, "category").filter_map(|category| category.attribute("term")).collect();
    Metadata {
        id,
        title,
        r#abstract: summary,
        authors: children(node, "author").filter_map(|author| text_at(author, "name")).collect(),
        published: text_at(node, "published").into_iter().collect(),
        categories: Some(categories.join(" ")),
        comments: text_at(node, "comment"),
        doi: text_at(node, "doi"),
        journal: text_at(node, "journal_ref"),
    }
    .into_entry(warnings)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    #[test]
    fn an_error_of_the_api_is_refused() {
        let text = "<feed><entry><id>http://arxiv.org/api/errors#bad</id><title>Error</title><summary>incorrect id</summary></entry></feed>";
        let got: Vec<_> = entries(Box::new(Cursor::new(text)), &Warnings::default()).collect();
        assert!(got.len() == 1 && got[0].as_ref().unwrap_err().reason.contains("incorrect id"), "{got:?}");
    }
}
