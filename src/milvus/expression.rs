//! Translates filters to Milvus expressions.
//!
//! An expression must pass the same papers as the catalog's filter. For a name of three or more words, an expression
//! can test only that an author list has all the words, not that the words belong to one name. Papers that pass such a
//! test must be checked again.

use super::rows::day_number;
use crate::error::{Error, Result};
use crate::milvus::engine::{and, has_one_of, list_of};
use crate::store::catalog::{AuthorName, Filter, NormalizedFilter};
use likewise_papers::Paper;
use std::collections::BTreeSet;

/// Maximum number of names of three or more words in a filter. There is a limit because each paper with all words of
/// such a name is read and checked.
const MAX_LONG_NAMES: usize = 64;

/// A filter as an expression.
#[derive(Debug, PartialEq)]
pub enum FilterExpression {
    /// No paper passes.
    Nothing,
    /// The papers whose rows pass the expression; an empty expression passes all rows. If there are names, an author of
    /// the paper must also have one of the names: see [`is_by`].
    Rows(String, Option<Vec<AuthorName>>),
}

/// Translates a filter.
///
/// # Errors
/// Returns [`Error::Invalid`] if the filter is invalid or has more than [`MAX_LONG_NAMES`] long names.
pub fn expression_of(filter: &Filter) -> Result<FilterExpression> {
    let NormalizedFilter { ids, published, categories, venues, sources, authors } = filter.normalized()?;
    let lists = [&ids, &categories, &venues, &sources, &authors];
    if lists.into_iter().flatten().any(BTreeSet::is_empty) {
        return Ok(FilterExpression::Nothing);
    }
    let mut expression = if filter.withdrawn { String::new() } else { "withdrawn == false".into() };
    let mut add = |part: &str| expression = and(&expression, part);
    if let Some(ids) = &ids {
        add(&has_one_of(ids));
    }
    if let Some((from, to)) = published {
        // A paper without a date has 0 for both days, and is in no range.
        let to = to.map_or(i32::MAX, |day| day_number(&day));
        add(&format!("first > 0 and first <= {to} and last >= {}", from.map_or(0, |day| day_number(&day))));
    }
    for (field, labels) in [("categories", categories), ("venues", venues), ("sources", sources)] {
        if let Some(labels) = labels {
            add(&format!("array_contains_any({field}, {})", list_of(&labels)));
        }
    }
    let mut names = None;
    if let Some(authors) = authors {
        let words: Vec<AuthorName> = authors.iter().map(|name| AuthorName::new(name)).collect();
        let of = |count: usize| words.iter().filter(move |words| words.0.len() == count);
        let (one, two): (Vec<String>, Vec<String>) = (
            of(1).flat_map(|words| words.0.clone()).collect(),
            of(2).flat_map(AuthorName::word_pairs).collect(),
        );
        let long: Vec<&AuthorName> = words.iter().filter(|words| words.0.len() > 2).collect();
        if long.len() > MAX_LONG_NAMES {
            return Err(Error::Invalid(format!(
                "filter.authors must have at most {MAX_LONG_NAMES} names of three or more words (got {}); give last \
                 names",
                long.len()
            )));
        }
        let mut parts: Vec<String> =
            long.iter().map(|words| format!("array_contains_all(names, {})", list_of(&words.0))).collect();
        for (field, any) in [("names", &one), ("pairs", &two)] {
            if !any.is_empty() {
                parts.push(format!("array_contains_any({field}, {})", list_of(any)));
            }
        }
        add(&parts.join(" or "));
        names = (!long.is_empty()).then_some(words);
    }
    Ok(FilterExpression::Rows(expression, names))
}

/// Whether an author of one of a paper's records has one of the names.
pub fn is_by(records: &[Paper], names: &[AuthorName]) -> bool {
    let mut authors = records.iter().flat_map(|record| &record.authors);
    authors.any(|author| names.iter().any(|name| name.matches(author)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::catalog::DateRange;

    #[test]
    fn filters_are_translated_to_expressions() {
        let list = |texts: &[&str]| Some(texts.iter().map(|text| text.to_string()).collect());
        let translated = |filter: Filter| expression_of(&filter).unwrap();
        let plain = |text: &str| FilterExpression::Rows(text.into(), None);
        assert_eq!(translated(Filter::default()), plain("withdrawn == false"));
        assert_eq!(translated(Filter { withdrawn: true, ..Filter::default() }), plain(""));
        assert_eq!(translated(Filter { ids: list(&[]), ..Filter::default() }), FilterExpression::Nothing);
        let categories =
            Filter { categories: list(&["CS", "a \"b\" \\c"]), withdrawn: true, ..Filter::default() };
        assert_eq!(translated(categories), plain(r#"array_contains_any(categories, ["a \"b\" \\c","cs"])"#));
        let range = DateRange { from: Some("2021".into()), to: None };
        let dated = Filter { published: Some(range), withdrawn: true, ..Filter::default() };
        assert_eq!(translated(dated), plain("first > 0 and first <= 2147483647 and last >= 20210101"));
        let by =
            |name: &str| translated(Filter { authors: list(&[name]), withdrawn: true, ..Filter::default() });
        assert_eq!(by("Li"), plain(r#"array_contains_any(names, ["li"])"#));
        assert_eq!(by("Zoë Li"), plain(r#"array_contains_any(pairs, ["li zoe"])"#));
        let FilterExpression::Rows(expression, Some(names)) = by("Zoë A. Li") else { panic!() };
        assert_eq!(expression, r#"array_contains_all(names, ["zoe","a","li"])"#);
        let paper = |author: &str| Paper { authors: vec![author.into()], ..Paper::default() };
        assert!(is_by(&[paper("Li, Zoe A.")], &names) && !is_by(&[paper("Zoe Bo Cy A. Li")], &names));
        let many = (0..=MAX_LONG_NAMES).map(|number| format!("A B {number}")).collect();
        assert!(expression_of(&Filter { authors: Some(many), ..Filter::default() }).is_err());
        assert!(expression_of(&Filter { authors: list(&["?"]), ..Filter::default() }).is_err());
    }
}
