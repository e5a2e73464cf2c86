//! Named values → [`Fields`]: the names people use, and those that `--columns` says.
//!
//! Its own file because a table's row, a line of JSON and a row of Parquet are the same thing by then.

use super::fields::{Fields, kind};
use super::unread::Unread;
use serde_json::{Map, Value};
use std::str::FromStr;

/// A paper's fields, and what they are called where nobody says otherwise: the first that has a value counts, of
/// categories and dates all. Case, spaces and signs do not count: `Abstract Note` is `abstractnote`.
const FIELDS: [(&str, &[&str]); 12] = [
    ("id", &["id", "arxivid", "paperid", "pmid", "pubmedid"]),
    ("title", &["title", "articletitle", "papertitle", "documenttitle", "ti"]),
    (
        "abstract",
        &["abstract", "summary", "abstractnote", "abstracts", "abstracttext", "paperabstract", "ab"],
    ),
    ("authors", &["authors", "author", "authorfullnames", "authornames", "af", "au"]),
    (
        "published",
        &[
            "published",
            "publicationdate",
            "publisheddate",
            "date",
            "year",
            "publicationyear",
            "pubyear",
            "py",
        ],
    ),
    ("categories", &["categories", "category", "keywords", "authorkeywords", "indexkeywords", "tags", "de"]),
    ("venue", &["venue", "journal", "conference", "publicationtitle", "sourcetitle", "journalbook", "so"]),
    ("source", &["source"]),
    ("url", &["url", "link"]),
    ("doi", &["doi", "di"]),
    ("also", &["also", "pmcid", "arxiv"]),
    ("withdrawn", &["withdrawn", "isretracted"]),
];

/// The tags that Web of Science gives columns: its `ID` is keywords.
const WEB_OF_SCIENCE: [&str; 3] = ["TI", "SO", "UT"];

/// Text that is long enough to be an abstract, in bytes.
const LONG: usize = 100;

/// A column's name without what people write differently.
fn normal(name: &str) -> String {
    name.chars().filter(|character| character.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

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
    /// The field that a column has, and which of that field's names it is called by, from 0.
    fn field(&self, column: &str) -> Option<(&'static str, usize)> {
        let normal = normal(column);
        FIELDS.iter().find_map(|(field, names)| {
            let mut named = self.named.iter().filter(|(of, _)| of == field).map(|(_, name)| name).peekable();
            let place = match named.peek() {
                Some(_) => named.position(|name| name.eq_ignore_ascii_case(column)),
                None => names.iter().position(|name| *name == normal),
            };
            place.map(|place| (*field, place))
        })
    }

    /// Refuses a table that lacks a column that was named, or all that could be a title.
    ///
    /// # Errors
    /// A sentence that says which columns there are.
    pub fn check(&self, there: &[&str]) -> Result<(), String> {
        let is_there = |name: &str| there.iter().any(|column| column.eq_ignore_ascii_case(name));
        let missing =
            self.named.iter().find(|(_, column)| !is_there(column)).map(|(_, column)| column.as_str());
        let has_title =
            there.iter().any(|column| self.field(column).is_some_and(|(field, _)| field == "title"));
        let missing = missing.or_else(|| (!has_title).then_some("title"));
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
        self.field(column).is_some()
    }

    /// The fields of one row. What cannot be read, and text in columns that are not known, is noted.
    ///
    /// # Errors
    /// A sentence that names the column whose value is of no use: an id or a title that is none.
    pub fn fields(&self, row: &Map<String, Value>, unread: &Unread) -> Result<Fields, String> {
        let mut found: Vec<Found> = Vec::new();
        let is_tagged = self.named.is_empty() && WEB_OF_SCIENCE.iter().all(|tag| row.contains_key(*tag));
        for (column, value) in row.iter().filter(|(_, value)| !is_blank(value)) {
            match self.field(column) {
                Some((field, place)) if !(is_tagged && field == "id") => {
                    found.push(Found { field, place, column, value })
                }
                _ => unknown(column, value, row, unread),
            }
        }
        found.sort_by_key(|found| found.place);
        let all = |field: &'static str| found.iter().filter(move |found| found.field == field);
        let first = |field: &'static str| all(field).next();
        let text = |field| all(field).find_map(|found| loose(found, unread));
        let mut ids: Vec<String> = first("id").map(id).transpose()?.into_iter().collect();
        ids.extend(first("doi").and_then(|found| loose(found, unread)));
        let lists = |field, separators: &[char]| -> Vec<String> {
            all(field).flat_map(|found| list(found, separators, unread)).collect()
        };
        Ok(Fields {
            ids,
            also: lists("also", &[';', ',']),
            title: first("title").map(title).transpose()?,
            r#abstract: text("abstract"),
            authors: first("authors").map_or(Vec::new(), |found| list(found, &[';'], unread)),
            published: all("published").filter_map(|found| date(found, unread)).collect(),
            categories: lists("categories", &[';', ',']),
            venue: text("venue"),
            source: text("source"),
            url: text("url"),
            withdrawn: first("withdrawn").and_then(|found| truth(found, unread)).unwrap_or_default(),
        })
    }
}

/// A value, and the field that its column has.
struct Found<'a> {
    field: &'static str,
    place: usize,
    column: &'a str,
    value: &'a Value,
}

impl Found<'_> {
    /// Counts it as not read.
    fn note(&self, unread: &Unread) {
        let shown = match self.value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        unread.note(&format!("{}: got {}", self.column, kind(self.value)), &shown);
    }
}

/// Notes a column that is not known and has text as long as an abstract's.
fn unknown(column: &str, value: &Value, row: &Map<String, Value>, unread: &Unread) {
    let is_long = value.as_str().is_some_and(|text| text.len() >= LONG && text.contains(' '));
    if is_long {
        let is_known = |name: &String| FIELDS[2].1.contains(&&*normal(name));
        let hint = match row.keys().any(is_known) {
            true => "",
            false => &format!("; if it is the abstract, say --columns abstract={column}"),
        };
        unread.note(&format!("column {column:?}: text that is not read{hint}"), "");
    }
}

fn is_blank(value: &Value) -> bool {
    value.is_null() || value.as_str().is_some_and(|text| text.trim().is_empty())
}

fn truth(found: &Found, unread: &Unread) -> Option<bool> {
    let written = match found.value {
        Value::Bool(truth) => return Some(*truth),
        Value::String(text) => text.trim().to_lowercase(),
        other => other.to_string(),
    };
    match written.as_str() {
        "true" | "yes" | "1" => Some(true),
        "false" | "no" | "0" => Some(false),
        _ => {
            found.note(unread);
            None
        }
    }
}

/// A title has to be text: a paper is nothing without one.
fn title(found: &Found) -> Result<String, String> {
    match found.value {
        Value::String(text) => Ok(text.clone()),
        other => Err(format!("{}: got {}, wanted text", found.column, kind(other))),
    }
}

/// Text, or a whole number. A fraction is refused, because as an id it has lost its zeros (`0704.0010` becomes
/// 704.001). A number says nothing of whose it is, but where the column does.
fn id(found: &Found) -> Result<String, String> {
    let Found { column, value, .. } = found;
    let written = match value {
        Value::Number(number) if is_whole(number) => format!("{:.0}", number.as_f64().unwrap_or_default()),
        Value::Number(number) => {
            return Err(format!("{column}: got the number {number}, wanted text in quotes"));
        }
        Value::String(text) => text.clone(),
        other => return Err(format!("{column}: got {}, wanted text", kind(other))),
    };
    let is_number = !written.is_empty() && written.bytes().all(|byte| byte.is_ascii_digit());
    let is_pubmeds = ["pmid", "pubmedid"].contains(&&*normal(column));
    Ok(if is_pubmeds && is_number { format!("pmid:{written}") } else { written })
}

/// Whether a number is whole, 0 or more, and as it was written: larger ones are not, in some programs.
fn is_whole(number: &serde_json::Number) -> bool {
    number.as_f64().is_some_and(|number| (0.0..=1e15).contains(&number) && number.fract() == 0.0)
}

/// A date as it is written.
fn date(found: &Found, unread: &Unread) -> Option<String> {
    match found.value {
        // A year beside which another one is missing: some programs make fractions of all.
        Value::Number(number) => Some(number.to_string().trim_end_matches(".0").to_string()),
        _ => loose(found, unread),
    }
}

/// Text from whatever holds some; noted, if it holds none.
fn loose(found: &Found, unread: &Unread) -> Option<String> {
    let text = loose_text(found.value);
    if text.is_none() {
        found.note(unread);
    }
    text
}

/// Text from whatever holds some: what is good to have need not keep a paper out.
pub fn loose_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Array(items) => items.iter().find_map(loose_text),
        Value::Object(_) => name(value),
        Value::Null | Value::Bool(_) => None,
    }
}

/// The name in an object, such as `{"name": …}` or `{"given": …, "family": …}`.
fn name(value: &Value) -> Option<String> {
    const WHOLE: [&str; 8] =
        ["name", "display_name", "displayName", "full_name", "fullname", "fullName", "literal", "text"];
    const PARTS: [(&str, &str); 8] = [
        ("given", "family"),
        ("first", "last"),
        ("firstName", "lastName"),
        ("first_name", "last_name"),
        ("firstname", "lastname"),
        ("forenames", "keyname"),
        ("forename", "surname"),
        ("given_name", "family_name"),
    ];
    let text = |key: &str| value.get(key).and_then(Value::as_str).filter(|text| !text.trim().is_empty());
    let whole = || WHOLE.iter().find_map(|key| text(key)).map(str::to_string);
    let parts = || {
        PARTS.iter().find_map(|(first, last)| match (text(first), text(last)) {
            (Some(first), Some(last)) => Some(format!("{first} {last}")),
            (None, one) | (one, None) => one.map(str::to_string),
        })
    };
    whole().or_else(parts).or_else(|| value.get("author").and_then(loose_text))
}

/// The names in an item of a list: one, or none.
pub fn names(item: &Value) -> Vec<String> {
    let name = match item {
        Value::String(text) => Some(text.clone()),
        Value::Object(_) => name(item),
        _ => None,
    };
    name.into_iter().collect()
}

/// A list of texts or of objects with a name, or one text: with separators, or a list as JSON or Python write it.
fn list(found: &Found, separators: &[char], unread: &Unread) -> Vec<String> {
    match found.value {
        Value::String(text) => match written_list(text) {
            Some(list) => list,
            None => text.split(separators).map(str::to_string).collect(),
        },
        Value::Array(items) => {
            let items = items.iter().filter(|item| !item.is_null());
            items
                .flat_map(|item| {
                    let names = names(item);
                    if names.is_empty() {
                        unread.note(
                            &format!("{}: a list with {}", found.column, kind(item)),
                            &item.to_string(),
                        );
                    }
                    names
                })
                .collect()
        }
        Value::Object(_) => names(found.value),
        _ => {
            found.note(unread);
            Vec::new()
        }
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

    fn fields(columns: &str, row: Value) -> Result<(Fields, Vec<String>), String> {
        let columns = if columns.is_empty() { Columns::default() } else { columns.parse().unwrap() };
        let unread = Unread::default();
        let fields = columns.fields(row.as_object().unwrap(), &unread)?;
        Ok((fields, unread.lines()))
    }

    #[test]
    fn columns_are_found_by_name_whatever_the_case() {
        let row = json!({"arXiv_ID": "0704.0010", "Title": "T", "summary": "S", "DOI": "10.1000/x", "authors": "['A B', 'C D']", "year": 2007, "keywords": "a; b"});
        let (got, unread) = fields("", row).unwrap();
        assert_eq!(got.ids, ["0704.0010", "10.1000/x"]);
        assert_eq!((got.r#abstract.as_deref(), &*got.published), (Some("S"), &["2007".to_string()][..]));
        assert_eq!((&got.authors[..], got.categories.len()), (&["A B".to_string(), "C D".into()][..], 2));
        assert!(unread.is_empty(), "{unread:?}");
        let (got, _) =
            fields("abstract=body,title=name", json!({"body": "S", "name": "T", "title": "no"})).unwrap();
        assert_eq!((got.r#abstract.as_deref(), got.title.as_deref()), (Some("S"), Some("T")));
    }

    #[test]
    fn the_columns_of_other_programs_are_known() {
        for row in [
            json!({"Key": "A", "Publication Year": "2019", "Author": "Quill, Ada", "Title": "T", "Publication Title": "V", "DOI": "10.5555/z", "Abstract Note": "S", "Date": "2019"}),
            json!({"Authors": "Quill A.", "Title": "T", "Year": "2019", "Source title": "V", "DOI": "10.5555/z", "Abstract": "S", "EID": "2-s2.0-1", "Author(s) ID": "7"}),
            json!({"Article Title": "T", "Source Title": "V", "Author Full Names": "Quill, Ada", "Abstract": "S", "Publication Year": 2019, "DOI": "10.5555/z"}),
            json!({"TI": "T", "SO": "V", "UT": "WOS:1", "AU": "Quill, A", "AB": "S", "PY": "2019", "DI": "10.5555/z", "ID": "BEES; COUNTING"}),
        ] {
            let (got, _) = fields("", row.clone()).unwrap();
            assert_eq!((got.title.as_deref(), got.r#abstract.as_deref()), (Some("T"), Some("S")), "{row}");
            assert_eq!((got.venue.as_deref(), got.authors.len()), (Some("V"), 1), "{row}");
            assert_eq!(
                (got.ids, got.published[0].as_str()),
                (vec!["10.5555/z".to_string()], "2019"),
                "{row}"
            );
        }
    }

    #[test]
    fn what_cannot_be_read_is_noted_and_costs_no_paper() {
        let row = json!({"title": "T", "authors": [{"given": "Ada", "family": "Quill"}, {"name": "B"}, 7, {"x": 1}], "withdrawn": "maybe", "keywords": 3,
            "url": {"href": 1}, "year": null, "date": ["2018"], "body": "word ".repeat(30)});
        let (got, unread) = fields("", row).unwrap();
        assert_eq!((&got.authors[..], got.withdrawn), (&["Ada Quill".to_string(), "B".into()][..], false));
        assert_eq!(got.published, ["2018"]);
        let wanted = [
            "authors: a list with a number: once, first \"7\"",
            "authors: a list with an object: once, first \"{\\\"x\\\":1}\"",
            "column \"body\": text that is not read; if it is the abstract, say --columns abstract=body: once",
            "keywords: got a number: once, first \"3\"",
            "url: got an object: once, first \"{\\\"href\\\":1}\"",
            "withdrawn: got text: once, first \"maybe\"",
        ];
        assert_eq!(unread, wanted);
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
            (json!({"title": ["T", "U"]}), "title: got a list, wanted text"),
            (json!({"id": {"a": 1}, "title": "T"}), "id: got an object, wanted text"),
        ] {
            let wrong = fields("", row).err().unwrap();
            assert!(wrong.starts_with(wanted), "{wrong}");
        }
    }
}
