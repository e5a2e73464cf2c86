//! Old names of request fields and parameters. A request that uses an old name gets an error with the new name.

/// Pairs of an old name and the new name that replaces it. The names are those of body fields, of query parameters, and
/// of values of `fields`.
const RENAMED: [(&str, &str); 3] =
    [("examples", "aggregation"), ("rescore", "rerank_sentences"), ("also", "alternate_ids")];

/// Returns the error message for a request that uses an old name, such as `"rescore" is now called "rerank_sentences"`.
///
/// `error` is serde's message about an unknown field or variant. `path` is the place in the request where the error
/// occurred (`None`: not known). Returns `None` if the unknown name is not an old name, or if the new name is not
/// allowed in that place.
pub fn message(path: Option<&str>, error: &str) -> Option<String> {
    let unknown =
        error.strip_prefix("unknown field `").or_else(|| error.strip_prefix("unknown variant `"))?;
    let (name, expected) = unknown.split_once('`')?;
    let is_it = |(old, new): &&(&str, &str)| *old == name && expected.contains(&format!("`{new}`"));
    let (old, new) = RENAMED.iter().find(is_it)?;
    let path = path.unwrap_or_default();
    // The path of an unknown field ends with the field's name; the path of an unknown variant does not contain the
    // variant's name.
    let parent = path.strip_suffix(old).unwrap_or(path).trim_end_matches('.');
    let separator = if parent.is_empty() { "" } else { ": " };
    Some(format!("{parent}{separator}\"{old}\" is now called \"{new}\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_name_is_reported_with_its_new_name_and_location() {
        let field = "unknown field `rescore`, expected one of `text`, `rerank_sentences` at line 1 column 9";
        let variant = "unknown variant `also`, expected one of `id`, `alternate_ids`";
        for (path, error, expected) in [
            (Some("rescore"), field, Some("\"rescore\" is now called \"rerank_sentences\"")),
            (None, field, Some("\"rescore\" is now called \"rerank_sentences\"")),
            (
                Some("queries[1].rescore"),
                field,
                Some("queries[1]: \"rescore\" is now called \"rerank_sentences\""),
            ),
            (Some("fields[0]"), variant, Some("fields[0]: \"also\" is now called \"alternate_ids\"")),
            (Some("rescore"), "unknown field `rescore`, expected `ids`", None),
            (Some("kk"), "unknown field `kk`, expected `k` or `rerank_sentences`", None),
            (Some("k"), "invalid type: string \"rescore\", expected usize", None),
        ] {
            assert_eq!(message(path, error).as_deref(), expected, "{path:?} {error}");
        }
    }
}
