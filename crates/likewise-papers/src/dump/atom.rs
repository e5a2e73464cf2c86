//! The answers of arXiv's API: Atom feeds, any number one after the other.
//!
//! Its own file because an id is an address with a version, `published` is the first version's day, and an error
//! comes as an entry.

use super::arxiv::Metadata;
use super::unread::Unread;
use super::xml::{self, Cut, children, text_at};
use super::{Entries, Entry};
use roxmltree::Node;
use std::io::BufRead;

/// Whether the head of a file is a feed's.
pub fn looks_like(head: &str) -> bool {
    head.contains("<feed") || head.contains("<entry")
}

/// The papers of a feed.
pub fn entries(reader: Box<dyn BufRead + Send>, unread: &Unread) -> Entries {
    let cut = Cut { whole: &["entry"], starts: &[] };
    xml::entries(reader, cut, unread, |element, unread| vec![entry(element, unread)])
}

fn entry(node: Node, unread: &Unread) -> Result<Entry, String> {
    let id = text_at(node, "id").unwrap_or_default();
    let (title, summary) = (text_at(node, "title"), text_at(node, "summary"));
    if title.as_deref().is_some_and(|title| title.trim() == "Error") && id.contains("/api/errors") {
        let said = summary.unwrap_or_default();
        return Err(format!(
            "the archive answered with an error: {}; wanted papers, ask it again",
            said.trim()
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
    .into_entry(unread)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    #[test]
    fn an_error_is_no_paper() {
        let text = "<feed><entry><id>http://arxiv.org/api/errors#bad</id><title>Error</title><summary>incorrect id</summary></entry></feed>";
        let got: Vec<_> = entries(Box::new(Cursor::new(text)), &Unread::default()).collect();
        assert!(got.len() == 1 && got[0].as_ref().unwrap_err().reason.contains("incorrect id"), "{got:?}");
    }
}
