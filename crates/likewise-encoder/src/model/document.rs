//! A document → the text that a model reads.
//!
//! Its own file because the recipe is part of the space's fingerprint: change one word of it and
//! every vector changes.

/// Names the recipe of [`Document::text`]; part of the space's fingerprint.
pub const RECIPE: &str = "title. abstract/1";

/// A text with a title, as papers, articles and pages have one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Document<'a> {
    /// Its title; empty, if it has none.
    pub title: &'a str,
    /// The text below it; empty, if there is only a title.
    pub body: &'a str,
}

impl Document<'_> {
    /// What a model reads of it, if its folder does not say otherwise: `title. body`, without doubling the title's own full
    /// stop; the title alone, if there is nothing else.
    pub fn text(&self) -> String {
        let Document { title, body } = self;
        if body.is_empty() {
            return (*title).to_string();
        }
        let stop = if title.ends_with(['.', '?', '!', ':']) { " " } else { ". " };
        format!("{title}{stop}{body}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_keeps_its_own_full_stop() {
        let text = |title, body| Document { title, body }.text();
        assert_eq!(text("A", "B."), "A. B.");
        assert_eq!(text("A?", "B."), "A? B.");
        assert_eq!(text("A", ""), "A");
    }
}
