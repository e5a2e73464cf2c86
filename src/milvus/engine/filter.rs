//! The engine's language of filters, as far as it is spoken here.
//!
//! Its own file because it is text, and what is quoted wrong would be read as an expression.

use super::columns::{ID, MAX_LABEL, cut};

/// A text as a filter has it.
pub fn quoted(text: &str) -> String {
    format!("\"{}\"", cut(text, MAX_LABEL).replace('\\', "\\\\").replace('"', "\\\""))
}

/// A list of texts as a filter has it.
pub fn list_of<'a>(texts: impl IntoIterator<Item = &'a String>) -> String {
    let texts: Vec<String> = texts.into_iter().map(|text| quoted(text)).collect();
    format!("[{}]", texts.join(","))
}

/// The filter that leaves rows which have one of some values in a field.
pub fn is_one_of<'a>(field: &str, texts: impl IntoIterator<Item = &'a String>) -> String {
    format!("{field} in {}", list_of(texts))
}

/// The filter that leaves rows which have one of some ids, as whichever of theirs.
pub fn has_one_of<'a>(ids: impl IntoIterator<Item = &'a String> + Clone) -> String {
    format!("{} or array_contains_any(also, {})", is_one_of(ID, ids.clone()), list_of(ids))
}

/// The filter that leaves what both leave; an empty one leaves all.
pub fn and(one: &str, other: &str) -> String {
    match (one, other) {
        ("", only) | (only, "") => only.to_string(),
        _ => format!("({one}) and ({other})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_quoted_stays_a_text() {
        let texts = ["a \"b\"".to_string(), "\\".into()];
        assert_eq!(is_one_of("id", &texts), r#"id in ["a \"b\"","\\"]"#);
        assert_eq!(has_one_of(&texts[1..]), r#"id in ["\\"] or array_contains_any(also, ["\\"])"#);
        assert_eq!(quoted(&"é".repeat(MAX_LABEL)).len(), MAX_LABEL + 2);
        assert_eq!(
            (and("", "a"), and("a", ""), and("a", "b")),
            ("a".into(), "a".into(), "(a) and (b)".into())
        );
    }
}
