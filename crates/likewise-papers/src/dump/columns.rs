//! Named values → [`Fields`]: the names people use, and those that `--columns` says.
//!
//! Its own file because a table's row, a line of JSON and a row of Parquet are the same thing by then.

use super::fields::{Fields, kind};
use serde_json::{Map, Value};
use std::str::FromStr;

/// A paper's fields, and what they are called where nobody says otherwise: the first that has a value counts, of
/// categories all.
const FIELDS: [(&str, &[&str]); 12] = [
    ("id", &["id", "arxiv_id", "paper_id", "arxivid", "pmid", "_id"]),
    ("title", &["title"]),
    ("abstract", &["abstract", "summary"]),
    ("authors", &["authors", "author"]),
    ("published", &["published", "publication_date", "published_date", "date", "year"]),
    ("categories", &["categories", "category", "keywords"]),
    ("venue", &["venue", "journal", "conference"]),
    ("source", &["source"]),
    ("url", &["url", "link"]),
    ("doi", &["doi"]),
    ("also", &["also"]),
    ("withdrawn", &["withdrawn"]),
];

/// Which column has which field.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Columns {
    named: Vec<(String, String)>,
}

impl FromStr for Columns {
    type Err = String;

    /// Reads `id=arxiv_id,abstract=summary`.
    fn from_str(text: &str) -> Result<Columns, String> {
        let names = || FIELDS.map(|(name, _)| name).join(", ");
        let pair = |pair: &str| {
            let wrong = || format!("got {pair:?}, wanted FIELD=COLUMN, for example abstract=summary");
            let (field, column) = pair.split_once('=').ok_or_else(wrong)?;
            let (field, column) = (field.trim(), column.trim());
            if !FIELDS.iter().any(|(name, _)| *name == field) {
                return Err(format!("got the field {field:?}, wanted one of {}", names()));
            }
            if column.is_empty() { Err(wrong()) } else { Ok((field.to_string(), column.to_string())) }
        };
        Ok(Columns { named: text.split(',').map(pair).collect::<Result<_, _>>()? })
    }
}

impl Columns {
    /// The names that a field may have.
    fn names(&self, field: &str) -> Vec<&str> {
        let named: Vec<&str> =
            self.named.iter().filter(|(of, _)| of == field).map(|(_, column)| column.as_str()).collect();
        if !named.is_empty() {
            return named;
        }
        FIELDS.iter().find(|(name, _)| *name == field).map_or(Vec::new(), |(_, names)| names.to_vec())
    }

    /// Refuses a table that lacks a column that was named, or all that could be a title.
    ///
    /// # Errors
    /// A sentence that says which columns there are.
    pub fn check(&self, there: &[&str]) -> Result<(), String> {
        let is_there = |name: &&str| there.iter().any(|column| column.eq_ignore_ascii_case(name));
        let missing = self
            .named
            .iter()
            .find(|(_, column)| !is_there(&column.as_str()))
            .map(|(_, column)| column.as_str());
        let missing = missing.or_else(|| (!self.names("title").iter().any(is_there)).then_some("title"));
        missing.map_or(Ok(()), |missing| {
            Err(format!(
                "it has no column {missing:?}; it has {}; say which is which with --columns, for example \
                 id=arxiv_id,abstract=summary",
                there.join(", ")
            ))
        })
    }

    /// Whether a column may be needed.
    pub fn wants(&self, column: &str) -> bool {
        FIELDS.iter().any(|(field, _)| self.names(field).iter().any(|name| name.eq_ignore_ascii_case(column)))
    }

    /// The fields of one row.
    ///
    /// # Errors
    /// A sentence that names the column whose value is of no use.
    pub fn fields(&self, row: &Map<String, Value>) -> Result<Fields, String> {
        let value = |name: &str| {
            row.get(name).or_else(|| {
                row.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
            })
        };
        let values = |field: &str| -> Vec<(String, &Value)> {
            let names = self.names(field).into_iter();
            names
                .filter_map(|name| Some((name.to_string(), value(name).filter(|value| !is_blank(value))?)))
                .collect()
        };
        let first = |field: &str| values(field).into_iter().next();
        let text = |field: &str| {
            first(field).map(|(name, value)| text(&name, value)).transpose().map(Option::flatten)
        };
        let mut ids: Vec<String> =
            first("id").map(|(name, value)| id(&name, value)).transpose()?.into_iter().collect();
        ids.extend(first("doi").and_then(|(_, value)| loose_text(value)));
        let also = first("also").map(|(name, value)| list(&name, value, &[';', ','])).transpose()?;
        let authors = first("authors").map(|(name, value)| list(&name, value, &[';'])).transpose()?;
        let categories =
            values("categories").into_iter().map(|(name, value)| list(&name, value, &[';', ',']));
        Ok(Fields {
            ids,
            also: also.unwrap_or_default(),
            title: text("title")?,
            r#abstract: text("abstract")?,
            authors: authors.unwrap_or_default(),
            published: first("published").map(|(name, value)| date(&name, value)).transpose()?,
            categories: categories.collect::<Result<Vec<_>, _>>()?.concat(),
            venue: first("venue").and_then(|(_, value)| loose_text(value)),
            source: first("source").and_then(|(_, value)| loose_text(value)),
            url: text("url")?,
            withdrawn: first("withdrawn")
                .map(|(name, value)| truth(&name, value))
                .transpose()?
                .unwrap_or_default(),
        })
    }
}

fn is_blank(value: &Value) -> bool {
    value.is_null() || value.as_str().is_some_and(|text| text.trim().is_empty())
}

fn truth(field: &str, value: &Value) -> Result<bool, String> {
    let written = match value {
        Value::Bool(truth) => return Ok(*truth),
        Value::String(text) => text.trim().to_lowercase(),
        other => other.to_string(),
    };
    match written.as_str() {
        "true" | "yes" | "1" => Ok(true),
        "false" | "no" | "0" => Ok(false),
        _ => Err(format!("{field}: got {written:?}, wanted true or false")),
    }
}

fn text(field: &str, value: &Value) -> Result<Option<String>, String> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text.clone())),
        other => Err(format!("{field}: got {}, wanted text", kind(other))),
    }
}

/// Text, or a whole number. A fraction is refused, because as an id it has lost its zeros (`0704.0010` becomes
/// 704.001). A number says nothing of whose it is, but where the column does.
fn id(field: &str, value: &Value) -> Result<String, String> {
    let written = match value {
        Value::Number(number) if is_whole(number) => format!("{:.0}", number.as_f64().unwrap_or_default()),
        Value::Number(number) => {
            return Err(format!("{field}: got the number {number}, wanted text in quotes"));
        }
        other => text(field, other)?.unwrap_or_default(),
    };
    let is_number = !written.is_empty() && written.bytes().all(|byte| byte.is_ascii_digit());
    Ok(if field == "pmid" && is_number { format!("pmid:{written}") } else { written })
}

/// Whether a number is whole, 0 or more, and as it was written: larger ones are not, in some programs.
fn is_whole(number: &serde_json::Number) -> bool {
    number.as_f64().is_some_and(|number| (0.0..=1e15).contains(&number) && number.fract() == 0.0)
}

/// A date, or what [`crate::paper::parse_date`] says is none, with the field's name.
fn date(field: &str, value: &Value) -> Result<String, String> {
    let written = match value {
        // A year beside which another one is missing: some programs make fractions of all.
        Value::Number(number) => number.to_string().trim_end_matches(".0").to_string(),
        other => text(field, other)?.unwrap_or_default().trim_end_matches(".0").to_string(),
    };
    crate::paper::parse_date(&written).map(|_| written).map_err(|wrong| format!("{field}: {wrong}"))
}

/// Text from whatever holds some: what is good to have need not keep a paper out.
pub fn loose_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Array(items) => items.iter().find_map(loose_text),
        Value::Object(fields) => fields.get("name").and_then(loose_text),
        Value::Null | Value::Bool(_) => None,
    }
}

/// A list of texts or of objects with a `name`, or one text: with separators, or a list as JSON or Python write it.
fn list(field: &str, value: &Value, separators: &[char]) -> Result<Vec<String>, String> {
    let item = |item: &Value| match (item, item.get("name")) {
        (Value::String(text), _) | (_, Some(Value::String(text))) => Ok(text.clone()),
        (other, _) => Err(format!("{field}: got a list with {}, wanted texts", kind(other))),
    };
    match value {
        Value::Null => Ok(Vec::new()),
        Value::String(text) => Ok(match written_list(text) {
            Some(list) => list,
            None => text.split(separators).map(str::to_string).collect(),
        }),
        Value::Array(items) => items.iter().filter(|item| !item.is_null()).map(item).collect(),
        other => Err(format!("{field}: got {}, wanted a list of texts", kind(other))),
    }
}

/// The items of `["a", "b"]`, or of the same with single quotes, as tables have them.
fn written_list(text: &str) -> Option<Vec<String>> {
    let inner = text.trim().strip_prefix('[')?.strip_suffix(']')?;
    serde_json::from_str(text).ok().or_else(|| {
        let inner = inner.trim().strip_prefix('\'')?.strip_suffix('\'')?;
        Some(inner.split("', '").map(str::to_string).collect())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn fields(columns: &str, row: Value) -> Result<Fields, String> {
        let columns = if columns.is_empty() { Columns::default() } else { columns.parse().unwrap() };
        columns.fields(row.as_object().unwrap())
    }

    #[test]
    fn columns_are_found_by_name_whatever_the_case() {
        let row = json!({"arXiv_ID": "0704.0010", "Title": "T", "summary": "S", "DOI": "10.1000/x", "authors": "['A B', 'C D']", "year": 2007, "keywords": "a; b"});
        let got = fields("", row).unwrap();
        assert_eq!(got.ids, ["0704.0010", "10.1000/x"]);
        assert_eq!((got.r#abstract.as_deref(), got.published.as_deref()), (Some("S"), Some("2007")));
        assert_eq!((&got.authors[..], got.categories.len()), (&["A B".to_string(), "C D".into()][..], 2));
        let got =
            fields("abstract=body,title=name", json!({"body": "S", "name": "T", "title": "no"})).unwrap();
        assert_eq!((got.r#abstract.as_deref(), got.title.as_deref()), (Some("S"), Some("T")));
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert!("id".parse::<Columns>().unwrap_err().contains("wanted FIELD=COLUMN"));
        assert!("colour=x".parse::<Columns>().unwrap_err().contains("wanted one of id, title"));
        let columns: Columns = "abstract=body".parse().unwrap();
        let wrong = columns.check(&["id", "title"]).unwrap_err();
        assert!(wrong.contains("no column \"body\"; it has id, title"), "{wrong}");
        assert!(Columns::default().check(&["name"]).unwrap_err().contains("no column \"title\""));
        for (row, wanted) in [
            (json!({"id": 704.001, "title": "T"}), "id: got the number 704.001, wanted text in quotes"),
            (json!({"year": -1}), "year: got the date \"-1\", wanted YYYY"),
            (json!({"year": 2021.5}), "year: got the date \"2021.5\", wanted YYYY"),
            (json!({"title": ["T"]}), "title: got a list, wanted text"),
            (json!({"withdrawn": "maybe"}), "withdrawn: got \"maybe\", wanted true or false"),
            (json!({"authors": [1]}), "authors: got a list with a number, wanted texts"),
        ] {
            let wrong = fields("", row).unwrap_err();
            assert!(wrong.starts_with(wanted), "{wrong}");
        }
    }
}
