//! Builds filter expressions of Milvus.
//!
//! Values must be quoted here: otherwise Milvus would read them as part of the expression.

use super::columns::{ID, MAX_LABEL_BYTES, cut};

/// Returns a text as a quoted string, cut to the maximum length of a stored label.
pub fn quoted(text: &str) -> String {
    format!("\"{}\"", cut(text, MAX_LABEL_BYTES).replace('\\', "\\\\").replace('"', "\\\""))
}

/// A list of quoted strings.
pub fn list_of<'a>(texts: impl IntoIterator<Item = &'a String>) -> String {
    let texts: Vec<String> = texts.into_iter().map(|text| quoted(text)).collect();
    format!("[{}]", texts.join(","))
}

/// Returns the filter for rows that have one of the given values in a field.
pub fn is_one_of<'a>(field: &str, texts: impl IntoIterator<Item = &'a String>) -> String {
    format!("{field} in {}", list_of(texts))
}

/// Returns the filter for rows that have one of the given ids, as their id or as an alternate id.
pub fn has_one_of<'a>(ids: impl IntoIterator<Item = &'a String> + Clone) -> String {
    format!("{} or array_contains_any(also, {})", is_one_of(ID, ids.clone()), list_of(ids))
}

/// The filter for rows that pass both filters; an empty filter passes all rows.
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
    fn quotes_and_backslashes_are_escaped() {
        let texts = ["a \"b\"".to_string(), "\\".into()];
        assert_eq!(is_one_of("id", &texts), r#"id in ["a \"b\"","\\"]"#);
        assert_eq!(has_one_of(&texts[1..]), r#"id in ["\\"] or array_contains_any(also, ["\\"])"#);
        assert_eq!(quoted(&"é".repeat(MAX_LABEL_BYTES)).len(), MAX_LABEL_BYTES + 2);
        assert_eq!(
            (and("", "a"), and("a", ""), and("a", "b")),
            ("a".into(), "a".into(), "(a) and (b)".into())
        );
    }
}
