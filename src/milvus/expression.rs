//! Filters as the engine's expressions.
//!
//! Its own file because the meaning of a filter is the catalog's, and this says the same in another language. Of names of
//! three words and more, an expression can only say which words are there, and not that they stand together: what passes
//! is looked at again.

use super::rows::day_number;
use crate::error::{Error, Result};
use crate::milvus::engine::{and, has_one_of, list_of};
use crate::store::catalog::{Filter, Parts, Words};
use likewise_papers::Paper;
use std::collections::BTreeSet;

/// Names of three words and more, of a filter: what passes is looked at again, paper by paper.
const MOST_LONG: usize = 64;

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
        let of = |count: usize| words.iter().filter(move |words| words.0.len() == count);
        let (one, two): (Vec<String>, Vec<String>) =
            (of(1).flat_map(|words| words.0.clone()).collect(), of(2).flat_map(Words::pairs).collect());
        let long: Vec<&Words> = words.iter().filter(|words| words.0.len() > 2).collect();
        if long.len() > MOST_LONG {
            return Err(Error::Invalid(format!(
                "filter.authors: got {} names of three words and more, wanted at most {MOST_LONG}; give last names",
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
    use crate::store::catalog::DateRange;

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
        assert_eq!(by("Li"), plain(r#"array_contains_any(names, ["li"])"#));
        assert_eq!(by("Zoë Li"), plain(r#"array_contains_any(pairs, ["li zoe"])"#));
        let Passing::Some(expression, Some(names)) = by("Zoë A. Li") else { panic!() };
        assert_eq!(expression, r#"array_contains_all(names, ["zoe","a","li"])"#);
        let paper = |author: &str| Paper { authors: vec![author.into()], ..Paper::default() };
        assert!(is_by(&[paper("Li, Zoe A.")], &names) && !is_by(&[paper("Zoe Bo Cy A. Li")], &names));
        let many = (0..=MOST_LONG).map(|number| format!("A B {number}")).collect();
        assert!(passing(&Filter { authors: Some(many), ..Filter::default() }).is_err());
        assert!(passing(&Filter { authors: list(&["?"]), ..Filter::default() }).is_err());
    }
}
