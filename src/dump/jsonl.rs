//! Plain JSON Lines: one object a paper, with the field names people use.
//!
//! Its own file, like every format; what it shares with the arXiv snapshot is [`build`], which turns
//! the raw fields of any format into a checked [`Paper`].

use super::Refused;
use super::lines::lines;
use crate::paper::{Paper, PaperId, collapse_whitespace, parse_date};
use serde::Deserialize;
use serde_json::Value;
use std::io::BufRead;

/// The papers of a JSON Lines file.
pub fn papers(reader: Box<dyn BufRead + Send>) -> Box<dyn Iterator<Item = Result<Paper, Refused>> + Send> {
    Box::new(lines(reader).map(|line| {
        let (line, text) = line?;
        parse::<Record>(&text).and_then(Record::into_paper).map_err(|reason| Refused { line, reason })
    }))
}

/// Parses one line's object.
pub fn parse<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_json::from_str(text).map_err(|error| {
        let column = error.column();
        let what = error.to_string();
        let what = what.split(" at line ").next().unwrap_or(&what);
        format!("column {column}: {what}; wanted one JSON object a line, with id, title and abstract")
    })
}

/// A line, before it is checked.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Record {
    id: Value,
    title: Value,
    r#abstract: Value,
    authors: Value,
    published: Value,
    year: Value,
    categories: Value,
    venue: Value,
    source: Value,
    keywords: Value,
    url: Value,
}

impl Record {
    fn into_paper(self) -> Result<Paper, String> {
        let categories = [("categories", &self.categories), ("keywords", &self.keywords)];
        let blank =
            |value: &Value| value.is_null() || value.as_str().is_some_and(|text| text.trim().is_empty());
        let (field, published) =
            if blank(&self.published) { ("year", &self.year) } else { ("published", &self.published) };
        build(Fields {
            id: text_or_number("id", &self.id)?,
            title: text("title", &self.title)?,
            r#abstract: text("abstract", &self.r#abstract)?,
            authors: list("authors", &self.authors, &[';'])?,
            published: text_or_number(field, published)?,
            categories: categories
                .into_iter()
                .map(|(field, value)| list(field, value, &[';', ',']))
                .collect::<Result<Vec<_>, _>>()?
                .concat(),
            venue: loose_text(&self.venue),
            source: loose_text(&self.source),
            url: text("url", &self.url)?,
        })
    }
}

/// The fields of a paper, as a format has found them: nothing is normalised yet, and what is absent
/// is `None` or empty.
#[derive(Default)]
pub struct Fields {
    /// The dump's id.
    pub id: Option<String>,
    /// Title.
    pub title: Option<String>,
    /// Abstract.
    pub r#abstract: Option<String>,
    /// Authors.
    pub authors: Vec<String>,
    /// A date.
    pub published: Option<String>,
    /// Categories, keywords.
    pub categories: Vec<String>,
    /// Conference or journal.
    pub venue: Option<String>,
    /// Where it is from.
    pub source: Option<String>,
    /// Address.
    pub url: Option<String>,
}

/// Checks and normalises a paper's fields: white space collapsed, id folded, date read.
pub fn build(fields: Fields) -> Result<Paper, String> {
    let title = collapse_whitespace(fields.title.as_deref().unwrap_or_default());
    let r#abstract = collapse_whitespace(fields.r#abstract.as_deref().unwrap_or_default());
    if title.is_empty() {
        return Err("the paper has no title; wanted title and abstract".into());
    }
    if r#abstract.is_empty() {
        return Err(format!("the paper {title:?} has no abstract; wanted title and abstract"));
    }
    let id = match &fields.id {
        Some(id) => PaperId::parse(id)?,
        None => PaperId::from_title(&title)?,
    };
    let published = fields.published.filter(|date| !date.trim().is_empty());
    let mut categories = tidy(fields.categories);
    let mut seen = std::collections::HashSet::new();
    categories.retain(|category| seen.insert(category.to_lowercase()));
    let tidy_text =
        |text: Option<String>| text.map(|text| collapse_whitespace(&text)).filter(|text| !text.is_empty());
    Ok(Paper {
        url: tidy_text(fields.url).or_else(|| id.url()),
        id,
        title,
        r#abstract,
        authors: tidy(fields.authors),
        published: published.map(|date| parse_date(&date)).transpose()?.map(|range| range.date),
        categories,
        venue: tidy_text(fields.venue),
        source: tidy_text(fields.source),
    })
}

fn tidy(list: Vec<String>) -> Vec<String> {
    list.iter().map(|item| collapse_whitespace(item)).filter(|item| !item.is_empty()).collect()
}

fn text(field: &str, value: &Value) -> Result<Option<String>, String> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text.clone())),
        other => Err(format!("{field}: got {}, wanted text", kind(other))),
    }
}

/// Text from whatever holds some: what is good to have need not keep a paper out.
fn loose_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Array(items) => items.iter().find_map(loose_text),
        Value::Object(fields) => fields.get("name").and_then(loose_text),
        Value::Null | Value::Bool(_) => None,
    }
}

/// Text, or a whole number: years are often written so. A fraction is refused, because as an id it
/// has lost its zeros (`0704.0010` becomes 704.001).
fn text_or_number(field: &str, value: &Value) -> Result<Option<String>, String> {
    match value {
        Value::Number(number) if number.is_u64() => Ok(Some(number.to_string())),
        Value::Number(number) => Err(format!("{field}: got the number {number}, wanted text in quotes")),
        other => text(field, other),
    }
}

/// A list of texts or of objects with a `name`, or one text with separators.
fn list(field: &str, value: &Value, separators: &[char]) -> Result<Vec<String>, String> {
    let item = |item: &Value| match (item, item.get("name")) {
        (Value::String(text), _) | (_, Some(Value::String(text))) => Ok(text.clone()),
        (other, _) => Err(format!("{field}: got a list with {}, wanted texts", kind(other))),
    };
    match value {
        Value::Null => Ok(Vec::new()),
        Value::String(text) => Ok(text.split(separators).map(str::to_string).collect()),
        Value::Array(items) => items.iter().map(item).collect(),
        other => Err(format!("{field}: got {}, wanted a list of texts", kind(other))),
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    fn read(text: &str) -> Vec<Result<Paper, Refused>> {
        papers(Box::new(Cursor::new(text.to_string().into_bytes()))).collect()
    }

    #[test]
    fn the_names_people_use_are_understood() {
        let line = r#"{"id":"a/1","title":" A\n title ","abstract":"B.","authors":"X Y; Z","year":2021,"venue":"ICML","keywords":"k one;k two"}"#;
        let paper = read(line).remove(0).unwrap();
        assert_eq!(paper.title, "A title");
        assert_eq!(paper.authors, ["X Y", "Z"]);
        assert_eq!(paper.published.as_deref(), Some("2021"));
        assert_eq!(paper.categories, ["k one", "k two"]);
        assert_eq!((paper.venue.as_deref(), paper.source.as_deref()), (Some("ICML"), None));
        let line = r#"{"title":"T","abstract":"B","authors":[{"name":"N"}],"published":"2020-01-02","categories":["cs.CL"],"venue":[null,{"name":"V"}],"source":"lab\n notes"}"#;
        let paper = read(line).remove(0).unwrap();
        assert_eq!(paper.id.as_str(), "title:t");
        assert_eq!((paper.venue.as_deref(), paper.source.as_deref()), (Some("V"), Some("lab notes")));
        assert_eq!(
            (&paper.authors[..], &paper.categories[..]),
            (&["N".to_string()][..], &["cs.CL".to_string()][..])
        );
    }

    #[test]
    fn a_bad_line_tells_its_number_and_reason() {
        let text = "{\"id\":\"a\"}\n{\"id\":704.001,\"title\":\"t\",\"abstract\":\"b\"}\n[1]\n{\"id\":\"b\",\"title\":\"t\",\"abstract\":\"b\"}\n{";
        let got = read(text);
        let reasons: Vec<(u64, &str)> =
            got.iter().filter_map(|entry| entry.as_ref().err()).map(|r| (r.line, &*r.reason)).collect();
        assert_eq!(reasons.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [1, 2, 3, 5]);
        assert!(reasons[0].1.contains("no title"), "{reasons:?}");
        assert!(reasons[1].1.contains("704.001, wanted text in quotes"), "{reasons:?}");
        assert!(got[3].is_ok());
    }
}
