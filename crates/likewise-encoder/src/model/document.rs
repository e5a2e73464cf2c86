//! Joins the title and the body of a document into the text that is encoded.
//!
//! The format of this text is part of the embedding space's fingerprint, because another format gives other vectors.

/// Name and version of the text format of [`Document::text`], as they appear in the fingerprint.
pub const TEXT_FORMAT: &str = "title. abstract/1";

/// A text with a title, such as the abstract and the title of a paper.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Document<'a> {
    /// The title; empty if there is none.
    pub title: &'a str,
    /// The text without the title; empty if there is only a title.
    pub body: &'a str,
}

impl Document<'_> {
    /// Returns `title. body`: the text to encode if the model's settings have no separator of their own. No full stop
    /// is added after a title that ends with `.`, `?`, `!` or `:`. If there is no body, the text is the title alone. If
    /// there is no title, the text is `. body`.
    pub fn text(&self) -> String {
        let Document { title, body } = self;
        if body.is_empty() {
            return (*title).to_string();
        }
        let separator = if title.ends_with(['.', '?', '!', ':']) { " " } else { ". " };
        format!("{title}{separator}{body}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_full_stop_is_added_after_punctuation() {
        let text = |title, body| Document { title, body }.text();
        assert_eq!(text("A", "B."), "A. B.");
        assert_eq!(text("A?", "B."), "A? B.");
        assert_eq!(text("A", ""), "A");
    }
}
