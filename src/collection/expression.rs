//! Filters as the engine's expressions.
//!
//! Its own file because the meaning of a filter is the catalog's, and this says the same in another language. Of names, an
//! expression can only say which words are there, and not that they stand together: what passes is looked at again.

use super::rows::day_number;
use crate::catalog::{Filter, Parts, Words};
use crate::error::Result;
use crate::index::milvus::{and, has_one_of, list_of};
use crate::paper::Paper;
use std::collections::BTreeSet;

/// What passes a filter.
#[derive(Debug, PartialEq)]
pub enum Passing {
    /// Nothing.
    Nothing,
    /// The rows that pass an expression (all, by an empty one), if they also pass a look at their authors.
    Some(String, Authors),
}

/// Names, one of which a paper must have among its authors; `None`, if that need not be looked at.
pub type Authors = Option<Vec<Words>>;

/// What passes a filter.
///
/// # Errors
/// What is wrong with it.
pub fn passing(filter: &Filter) -> Result<Passing> {
    let Parts { ids, published, categories, venues, sources, authors } = filter.parts()?;
    let lists = [&ids, &categories, &venues, &sources, &authors];
    if lists.into_iter().flatten().any(BTreeSet::is_empty) {
        return Ok(Passing::Nothing);
    }
    let mut expression = if filter.withdrawn { String::new() } else { "withdrawn == false".into() };
    let mut add = |part: &str| expression = and(&expression, part);
    if let Some(ids) = &ids {
        add(&has_one_of(ids));
    }
    if let Some((from, to)) = published {
        // A paper without a date has 0 for both, and is in no range.
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
        let words: Vec<Words> = authors.iter().map(|name| Words::of(name)).collect();
        let has = |words: &Words| format!("array_contains_all(names, {})", list_of(&words.0));
        add(&words.iter().map(has).collect::<Vec<_>>().join(" or "));
        // One word stands together with itself.
        names = words.iter().any(|words| words.0.len() > 1).then_some(words);
    }
    Ok(Passing::Some(expression, names))
}

/// Whether one of a paper's authors, or of its records', has one of the names.
pub fn is_by(records: &[Paper], names: &[Words]) -> bool {
    let mut authors = records.iter().flat_map(|record| &record.authors);
    authors.any(|author| names.iter().any(|name| name.is_in(author)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::DateRange;

    #[test]
    fn a_filter_is_said_in_the_engines_language() {
        let list = |texts: &[&str]| Some(texts.iter().map(|text| text.to_string()).collect());
        let said = |filter: Filter| passing(&filter).unwrap();
        let plain = |text: &str| Passing::Some(text.into(), None);
        assert_eq!(said(Filter::default()), plain("withdrawn == false"));
        assert_eq!(said(Filter { withdrawn: true, ..Filter::default() }), plain(""));
        assert_eq!(said(Filter { ids: list(&[]), ..Filter::default() }), Passing::Nothing);
        let categories =
            Filter { categories: list(&["CS", "a \"b\" \\c"]), withdrawn: true, ..Filter::default() };
        assert_eq!(said(categories), plain(r#"array_contains_any(categories, ["a \"b\" \\c","cs"])"#));
        let range = DateRange { from: Some("2021".into()), to: None };
        let dated = Filter { published: Some(range), withdrawn: true, ..Filter::default() };
        assert_eq!(said(dated), plain("first > 0 and first <= 2147483647 and last >= 20210101"));
        let by = |name: &str| said(Filter { authors: list(&[name]), withdrawn: true, ..Filter::default() });
        assert_eq!(by("Li"), plain(r#"array_contains_all(names, ["li"])"#));
        let Passing::Some(expression, Some(names)) = by("Zoë Li") else { panic!() };
        assert_eq!(expression, r#"array_contains_all(names, ["zoe","li"])"#);
        let paper = |author: &str| Paper { authors: vec![author.into()], ..Paper::default() };
        assert!(is_by(&[paper("Li, Zoe A.")], &names) && !is_by(&[paper("Zoe Bo Cy Li")], &names));
        assert!(passing(&Filter { authors: list(&["?"]), ..Filter::default() }).is_err());
    }
}
