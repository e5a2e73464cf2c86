//! Maps the named values of a row to [`RawFields`], by the usual names of a paper's fields or by the names given with
//! `--columns`.
//!
//! Rows of tables, rows of Parquet files and objects of plain JSON pass through this module, except rows of arXiv's
//! metadata snapshot.

use super::fields::{RawFields, json_type};
use super::warnings::Warnings;
use serde_json::{Map, Value};
use std::str::FromStr;

/// The fields of a paper. For each field, the names of the columns that hold it by default, most preferred first. The
/// first of these columns that has a value is used; for categories, dates and alternate ids, all columns are used.
/// Column names are compared after [`normalized`].
const FIELD_ALIASES: [(&str, &[&str]); 12] = [
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
    ("alternate_ids", &["alternateids", "also", "pmcid", "arxiv"]),
    ("withdrawn", &["withdrawn", "isretracted"]),
];

/// Columns by which an export of Web of Science is recognised. In such an export, the column `ID` holds keywords.
const WEB_OF_SCIENCE: [&str; 3] = ["TI", "SO", "UT"];

/// Minimum length, in bytes, of a text in an unknown column that is reported as ignored, because it could be an
/// abstract.
const MIN_ABSTRACT_BYTES: usize = 100;

/// Reduces a column name to lower-case letters and digits: `Abstract Note` becomes `abstractnote`.
fn normalized(name: &str) -> String {
    name.chars().filter(|character| character.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// Mapping from the fields of a paper to the columns that hold them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Columns {
    /// Pairs of a field and a column, from `--columns`.
    mapping: Vec<(String, String)>,
}

impl FromStr for Columns {
    type Err = String;

    /// Parses pairs of a field and a column, such as `id=arxiv_id,abstract=summary`.
    ///
    /// # Errors
    /// Returns the reason if an entry is not `FIELD=COLUMN` or names an unknown field.
    fn from_str(text: &str) -> Result<Columns, String> {
        let names = || FIELD_ALIASES.map(|(name, _)| name).join(", ");
        let pair = |pair: &str| {
            let wrong =
                || format!("each entry must be FIELD=COLUMN, for example abstract=summary (got {pair:?})");
            let (field, column) = pair.split_once('=').ok_or_else(wrong)?;
            let (field, column) = (field.trim(), column.trim());
            if !FIELD_ALIASES.iter().any(|(name, _)| *name == field) {
                return Err(format!("the field must be one of {} (got {field:?})", names()));
            }
            if column.is_empty() { Err(wrong()) } else { Ok((field.to_string(), column.to_string())) }
        };
        Ok(Columns { mapping: text.split(',').map(pair).collect::<Result<_, _>>()? })
    }
}

impl Columns {
    /// Returns the field that a column holds, and the rank of the column's name among the names of that field, from 0.
    /// `None`: the column holds no field.
    fn field(&self, column: &str) -> Option<(&'static str, usize)> {
        let normalized = normalized(column);
        FIELD_ALIASES.iter().find_map(|(field, names)| {
            let mut mapped =
                self.mapping.iter().filter(|(name, _)| name == field).map(|(_, name)| name).peekable();
            let rank = match mapped.peek() {
                Some(_) => mapped.position(|name| name.eq_ignore_ascii_case(column)),
                None => names.iter().position(|name| *name == normalized),
            };
            rank.map(|rank| (*field, rank))
        })
    }

    /// Checks that a table with these columns has all columns that `--columns` names, and a column that holds the
    /// title.
    ///
    /// # Errors
    /// Returns a message that names the missing column and the existing columns.
    pub fn check(&self, columns: &[&str]) -> Result<(), String> {
        let exists = |name: &str| columns.iter().any(|column| column.eq_ignore_ascii_case(name));
        let missing =
            self.mapping.iter().find(|(_, column)| !exists(column)).map(|(_, column)| column.as_str());
        let has_title =
            columns.iter().any(|column| self.field(column).is_some_and(|(field, _)| field == "title"));
        let missing = missing.or_else(|| (!has_title).then_some("title"));
        missing.map_or(Ok(()), |missing| {
            Err(format!(
                "the table has no column {missing:?}; the columns are {}; state with --columns which column holds \
                 which field, for example id=arxiv_id,abstract=summary",
                columns.join(", ")
            ))
        })
    }

    /// Whether a column holds a field of a paper.
    pub fn has_field(&self, column: &str) -> bool {
        self.field(column).is_some()
    }

    /// Returns the fields of one row. Values that cannot be read, and long texts in unknown columns, are counted in
    /// `warnings`.
    ///
    /// # Errors
    /// Returns a message that names the column and the reason if the id or the title has the wrong type.
    pub fn fields(&self, row: &Map<String, Value>, warnings: &Warnings) -> Result<RawFields, String> {
        let mut cells: Vec<Cell> = Vec::new();
        let is_tagged = self.mapping.is_empty() && WEB_OF_SCIENCE.iter().all(|tag| row.contains_key(*tag));
        for (column, value) in row.iter().filter(|(_, value)| !is_blank(value)) {
            match self.field(column) {
                Some((field, rank)) if !(is_tagged && field == "id") => {
                    cells.push(Cell { field, rank, column, value })
                }
                _ => warn_of_unknown_column(column, value, row, warnings),
            }
        }
        cells.sort_by_key(|cell| cell.rank);
        let all = |field: &'static str| cells.iter().filter(move |cell| cell.field == field);
        let first = |field: &'static str| all(field).next();
        let text = |field| all(field).find_map(|cell| cell_text(cell, warnings));
        let mut ids: Vec<String> = first("id").map(cell_id).transpose()?.into_iter().collect();
        ids.extend(first("doi").and_then(|cell| cell_text(cell, warnings)));
        let lists = |field, separators: &[char]| -> Vec<String> {
            all(field).flat_map(|cell| cell_list(cell, separators, warnings)).collect()
        };
        Ok(RawFields {
            ids,
            alternate_ids: lists("alternate_ids", &[';', ',']),
            title: first("title").map(cell_title).transpose()?,
            r#abstract: text("abstract"),
            authors: first("authors").map_or(Vec::new(), |cell| cell_list(cell, &[';'], warnings)),
            published: all("published").filter_map(|cell| cell_date(cell, warnings)).collect(),
            categories: lists("categories", &[';', ',']),
            venue: text("venue"),
            source: text("source"),
            url: text("url"),
            withdrawn: first("withdrawn").and_then(|cell| cell_bool(cell, warnings)).unwrap_or_default(),
        })
    }
}

/// A value and the field that its column holds.
struct Cell<'a> {
    field: &'static str,
    /// Rank of the column's name among the names of the field, from 0.
    rank: usize,
    column: &'a str,
    value: &'a Value,
}

impl Cell<'_> {
    /// Counts the value in `warnings`, as ignored.
    fn warn(&self, warnings: &Warnings) {
        let example = match self.value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        warnings.add(&format!("{}: ignored {}", self.column, json_type(self.value)), &example);
    }
}

/// Counts the text of an unknown column in `warnings`, as ignored, if the text is as long as an abstract.
fn warn_of_unknown_column(column: &str, value: &Value, row: &Map<String, Value>, warnings: &Warnings) {
    let is_long = value.as_str().is_some_and(|text| text.len() >= MIN_ABSTRACT_BYTES && text.contains(' '));
    if is_long {
        let is_abstract = |name: &String| FIELD_ALIASES[2].1.contains(&&*normalized(name));
        let hint = match row.keys().any(is_abstract) {
            true => "",
            false => &format!("; if it is the abstract, use --columns abstract={column}"),
        };
        warnings.add(&format!("unknown column {column:?}: text ignored{hint}"), "");
    }
}

fn is_blank(value: &Value) -> bool {
    value.is_null() || value.as_str().is_some_and(|text| text.trim().is_empty())
}

fn cell_bool(cell: &Cell, warnings: &Warnings) -> Option<bool> {
    let written = match cell.value {
        Value::Bool(value) => return Some(*value),
        Value::String(text) => text.trim().to_lowercase(),
        other => other.to_string(),
    };
    match written.as_str() {
        "true" | "yes" | "1" => Some(true),
        "false" | "no" | "0" => Some(false),
        _ => {
            cell.warn(warnings);
            None
        }
    }
}

/// Returns the title, which must be text: a paper without a title is refused.
fn cell_title(cell: &Cell) -> Result<String, String> {
    match cell.value {
        Value::String(text) => Ok(text.clone()),
        other => Err(format!("{} must be text (got {})", cell.column, json_type(other))),
    }
}

/// Returns the id, which must be text or a number for which [`is_whole`] is true. A fraction is refused, because an
/// arXiv id written as a number has lost its zeros (`0704.0010` becomes 704.001). A number in one of PubMed's columns
/// gets the prefix `pmid:`.
fn cell_id(cell: &Cell) -> Result<String, String> {
    let Cell { column, value, .. } = cell;
    let written = match value {
        Value::Number(number) if is_whole(number) => format!("{:.0}", number.as_f64().unwrap_or_default()),
        Value::Number(number) => {
            return Err(format!(
                "{column} must be text in quotes, or a whole number from 0 to 10¹⁵ (got the number {number})"
            ));
        }
        Value::String(text) => text.clone(),
        other => return Err(format!("{column} must be text (got {})", json_type(other))),
    };
    let is_number = !written.is_empty() && written.bytes().all(|byte| byte.is_ascii_digit());
    let is_pubmed_column = ["pmid", "pubmedid"].contains(&&*normalized(column));
    Ok(if is_pubmed_column && is_number { format!("pmid:{written}") } else { written })
}

/// Whether a number is whole and between 0 and 10¹⁵. Larger numbers might have been rounded by the program that wrote
/// the file.
fn is_whole(number: &serde_json::Number) -> bool {
    number.as_f64().is_some_and(|number| (0.0..=1e15).contains(&number) && number.fract() == 0.0)
}

/// Returns a date as it is written. The decimals of a number such as `2019.0` are removed.
fn cell_date(cell: &Cell, warnings: &Warnings) -> Option<String> {
    match cell.value {
        // Some programs write years as floating-point numbers (`2019.0`) if another row has no year.
        Value::Number(number) => Some(number.to_string().trim_end_matches(".0").to_string()),
        _ => cell_text(cell, warnings),
    }
}

/// Returns the text of a cell as [`any_text`] does. A value without text is counted in `warnings`, as ignored.
fn cell_text(cell: &Cell, warnings: &Warnings) -> Option<String> {
    let text = any_text(cell.value);
    if text.is_none() {
        cell.warn(warnings);
    }
    text
}

/// Returns the text of a value: a text or a number itself, the first text of a list, or the name in an object. Optional
/// fields are read in this way, because a wrong type in an optional field is no reason to refuse the paper.
pub fn any_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Array(items) => items.iter().find_map(any_text),
        Value::Object(_) => name(value),
        Value::Null | Value::Bool(_) => None,
    }
}

/// Returns the name in an object such as `{"name": …}` or `{"given": …, "family": …}`.
fn name(value: &Value) -> Option<String> {
    const FULL_NAME_KEYS: [&str; 8] =
        ["name", "display_name", "displayName", "full_name", "fullname", "fullName", "literal", "text"];
    const NAME_PART_KEYS: [(&str, &str); 8] = [
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
    let full_name = || FULL_NAME_KEYS.iter().find_map(|key| text(key)).map(str::to_string);
    let joined_parts = || {
        NAME_PART_KEYS.iter().find_map(|(first, last)| match (text(first), text(last)) {
            (Some(first), Some(last)) => Some(format!("{first} {last}")),
            (None, one) | (one, None) => one.map(str::to_string),
        })
    };
    full_name().or_else(joined_parts).or_else(|| value.get("author").and_then(any_text))
}

/// Returns the name in an item of a list; no name if the item has none.
pub fn names(item: &Value) -> Vec<String> {
    let name = match item {
        Value::String(text) => Some(text.clone()),
        Value::Object(_) => name(item),
        _ => None,
    };
    name.into_iter().collect()
}

/// Returns a list of names. The cell can be a list of texts or of objects with a name, one such object, a text with
/// separators, or a text that is a list in the syntax of JSON or Python.
fn cell_list(cell: &Cell, separators: &[char], warnings: &Warnings) -> Vec<String> {
    match cell.value {
        Value::String(text) => match parse_list(text) {
            Some(list) => list,
            None => text.split(separators).map(str::to_string).collect(),
        },
        Value::Array(items) => {
            let items = items.iter().filter(|item| !item.is_null());
            items
                .flat_map(|item| {
                    let names = names(item);
                    if names.is_empty() {
                        warnings.add(
                            &format!("{}: ignored {} in a list", cell.column, json_type(item)),
                            &item.to_string(),
                        );
                    }
                    names
                })
                .collect()
        }
        Value::Object(_) => names(cell.value),
        _ => {
            cell.warn(warnings);
            Vec::new()
        }
    }
}

/// Parses a list `["a", "b"]` or `['a', 'b']`. `None`: the text is not such a list.
fn parse_list(text: &str) -> Option<Vec<String>> {
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

    fn fields(columns: &str, row: Value) -> Result<(RawFields, Vec<String>), String> {
        let columns = if columns.is_empty() { Columns::default() } else { columns.parse().unwrap() };
        let warnings = Warnings::default();
        let fields = columns.fields(row.as_object().unwrap(), &warnings)?;
        Ok((fields, warnings.lines()))
    }

    #[test]
    fn columns_are_matched_by_name_regardless_of_case() {
        let row = json!({"arXiv_ID": "0704.0010", "Title": "T", "summary": "S", "DOI": "10.1000/x", "authors": "['A B', 'C D']", "year": 2007, "keywords": "a; b"});
        let (got, warnings) = fields("", row).unwrap();
        assert_eq!(got.ids, ["0704.0010", "10.1000/x"]);
        assert_eq!((got.r#abstract.as_deref(), &*got.published), (Some("S"), &["2007".to_string()][..]));
        assert_eq!((&got.authors[..], got.categories.len()), (&["A B".to_string(), "C D".into()][..], 2));
        assert!(warnings.is_empty(), "{warnings:?}");
        let (got, _) =
            fields("abstract=body,title=name", json!({"body": "S", "name": "T", "title": "no"})).unwrap();
        assert_eq!((got.r#abstract.as_deref(), got.title.as_deref()), (Some("S"), Some("T")));
    }

    #[test]
    fn columns_of_zotero_scopus_and_web_of_science_are_known() {
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
    fn unreadable_optional_values_are_warned_about_and_the_paper_is_kept() {
        let row = json!({"title": "T", "authors": [{"given": "Ada", "family": "Quill"}, {"name": "B"}, 7, {"x": 1}], "withdrawn": "maybe", "keywords": 3,
            "url": {"href": 1}, "year": null, "date": ["2018"], "body": "word ".repeat(30)});
        let (got, warnings) = fields("", row).unwrap();
        assert_eq!((&got.authors[..], got.withdrawn), (&["Ada Quill".to_string(), "B".into()][..], false));
        assert_eq!(got.published, ["2018"]);
        let expected = [
            "authors: ignored a number in a list: once, first \"7\"",
            "authors: ignored an object in a list: once, first \"{\\\"x\\\":1}\"",
            "keywords: ignored a number: once, first \"3\"",
            "unknown column \"body\": text ignored; if it is the abstract, use --columns abstract=body: once",
            "url: ignored an object: once, first \"{\\\"href\\\":1}\"",
            "withdrawn: ignored text: once, first \"maybe\"",
        ];
        assert_eq!(warnings, expected);
    }

    #[test]
    fn errors_name_the_column_and_the_value() {
        assert!("id".parse::<Columns>().unwrap_err().contains("must be FIELD=COLUMN"));
        assert!("colour=x".parse::<Columns>().unwrap_err().contains("must be one of id, title"));
        let columns: Columns = "abstract=body".parse().unwrap();
        let wrong = columns.check(&["id", "title"]).unwrap_err();
        assert!(wrong.contains("no column \"body\"; the columns are id, title"), "{wrong}");
        assert!(Columns::default().check(&["name"]).unwrap_err().contains("no column \"title\""));
        for (row, expected) in [
            (
                json!({"id": 704.001, "title": "T"}),
                "id must be text in quotes, or a whole number from 0 to 10¹⁵ (got the number 704.001)",
            ),
            (json!({"title": ["T", "U"]}), "title must be text (got a list)"),
            (json!({"id": {"a": 1}, "title": "T"}), "id must be text (got an object)"),
        ] {
            let wrong = fields("", row).err().unwrap();
            assert!(wrong.starts_with(expected), "{wrong}");
        }
    }
}
