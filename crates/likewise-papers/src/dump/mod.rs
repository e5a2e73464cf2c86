//! Reads papers from dumps. Each format has a source file of its own, and [`Reader::read`] opens dumps of any format.
//!
//! Readers stream: a reader holds one line, paragraph, JSON value or XML element in memory (in Parquet, a few hundred
//! rows), never the whole file. An entry that cannot be read as a paper is returned as [`Refused`], with its line and
//! the reason, and reading continues with the next entry, unless the rest of the file is damaged.

mod acl;
mod arxiv;
mod atom;
mod beir;
mod columns;
mod daily_json;
mod daily_papers;
mod encoding;
mod fields;
mod files;
mod json;
mod jsonl;
mod lenient;
mod lines;
mod oai;
mod open;
mod openalex;
mod papercopilot;
mod parquet;
mod prefetch;
mod pubmed;
mod semantic_scholar;
mod source;
mod table;
mod warnings;
mod xml;
mod xml_repair;

pub use columns::Columns;
pub use files::{collect_files, sources};
pub use open::{BytesRead, open};
pub use parquet::{EMBEDDING_COLUMN, FINGERPRINT_KEY, PAPER_COLUMNS};
pub use prefetch::{Chunks, chunks};
pub use source::{Member, Source};
pub use warnings::Warnings;

use crate::error::{Error, Result};
use crate::paper::{Paper, PaperId};
use semantic_scholar::AbstractStore;
use std::io::BufRead;
use std::path::Path;

/// Format of a dump.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// arXiv's metadata snapshot: JSON Lines with `authors_parsed`, `versions`, `update_date`.
    Arxiv,
    /// arXiv's OAI-PMH harvest, in the metadata format `arXiv` or `arXivRaw`.
    ArxivOai,
    /// Responses of arXiv's API: Atom feeds.
    ArxivAtom,
    /// Semantic Scholar's dataset `papers`. The dataset `abstracts` must be read in the same run.
    SemanticScholar,
    /// OpenAlex works: JSON Lines.
    Openalex,
    /// PubMed's baseline and update files: XML.
    Pubmed,
    /// XML of the ACL Anthology.
    Acl,
    /// Hugging Face's daily papers, as returned by its API: a JSON array.
    DailyPapersJson,
    /// Text of a Daily Papers page: header lines, then alternately a title and an abstract.
    DailyPapers,
    /// papercopilot's JSON arrays; the file name holds the conference and the year.
    Papercopilot,
    /// A BEIR corpus: JSON Lines with `_id`, `title`, `text`.
    Beir,
    /// A table with a header line, separated by commas, tabs or semicolons.
    Csv,
    /// Parquet. Papers in files that `likewise embed` wrote are not encoded again.
    Parquet,
    /// Plain JSON, one object per line or in an array: `id, title, abstract`, and optionally authors, published or
    /// year, categories or keywords, venue, source, url.
    Jsonl,
}

impl Format {
    /// All formats.
    pub const ALL: [Format; 14] = [
        Format::Arxiv,
        Format::ArxivOai,
        Format::ArxivAtom,
        Format::SemanticScholar,
        Format::Openalex,
        Format::Pubmed,
        Format::Acl,
        Format::DailyPapersJson,
        Format::DailyPapers,
        Format::Papercopilot,
        Format::Beir,
        Format::Csv,
        Format::Parquet,
        Format::Jsonl,
    ];

    /// Returns the name of the format on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Format::Arxiv => "arxiv",
            Format::ArxivOai => "arxiv-oai",
            Format::ArxivAtom => "arxiv-atom",
            Format::SemanticScholar => "semantic-scholar",
            Format::Openalex => "openalex",
            Format::Pubmed => "pubmed",
            Format::Acl => "acl",
            Format::DailyPapersJson => "daily-papers-json",
            Format::DailyPapers => "daily-papers",
            Format::Papercopilot => "papercopilot",
            Format::Beir => "beir",
            Format::Csv => "csv",
            Format::Parquet => "parquet",
            Format::Jsonl => "jsonl",
        }
    }

    /// Returns a one-line description, which the help of the command line shows.
    pub fn description(self) -> &'static str {
        match self {
            Format::Arxiv => {
                "arXiv's metadata snapshot: JSON Lines with `authors_parsed`, `versions`, `update_date`"
            }
            Format::ArxivOai => "arXiv's OAI-PMH harvest, in the metadata format `arXiv` or `arXivRaw`",
            Format::ArxivAtom => "Responses of arXiv's API: Atom feeds",
            Format::SemanticScholar => {
                "Semantic Scholar's dataset `papers`. The dataset `abstracts` must be read in the same run"
            }
            Format::Openalex => "OpenAlex works: JSON Lines",
            Format::Pubmed => "PubMed's baseline and update files: XML",
            Format::Acl => "XML of the ACL Anthology",
            Format::DailyPapersJson => "Hugging Face's daily papers, as returned by its API: a JSON array",
            Format::DailyPapers => {
                "Text of a Daily Papers page: header lines, then alternately a title and an abstract"
            }
            Format::Papercopilot => {
                "papercopilot's JSON arrays; the file name holds the conference and the year"
            }
            Format::Beir => "A BEIR corpus: JSON Lines with `_id`, `title`, `text`",
            Format::Csv => "A table with a header line, separated by commas, tabs or semicolons",
            Format::Parquet => "Parquet. Papers in files that `likewise embed` wrote are not encoded again",
            Format::Jsonl => {
                "Plain JSON, one object per line or in an array: `id, title, abstract`, and optionally authors, published or year, categories or keywords, venue, source, url"
            }
        }
    }
}

impl std::str::FromStr for Format {
    type Err = String;

    fn from_str(name: &str) -> Result<Format, String> {
        let format = Format::ALL.into_iter().find(|format| format.name() == name);
        format.ok_or_else(|| {
            format!("the format must be one of {} (got {name:?})", Format::ALL.map(Format::name).join(", "))
        })
    }
}

/// One entry of a dump.
#[derive(Debug, Clone, PartialEq)]
pub enum Entry {
    /// A paper, possibly without an abstract.
    Paper(Paper),
    /// A paper together with its embedding.
    Encoded(Paper, Vec<f32>),
    /// A paper that the source no longer has.
    Deleted(Deletion),
}

/// A source's statement that it no longer has a paper.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deletion {
    /// Id of the deleted paper.
    pub id: PaperId,
    /// Source whose record of the paper is deleted; records from other sources stay. `None`: the records of all sources
    /// are deleted.
    pub source: Option<String>,
}

/// An entry that cannot be read as a paper.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Number of the line where the entry begins, counted from 1. For an item of a page of an API response, it is the
    /// line where the page begins. In a Parquet file, it is the number of the row.
    pub line: u64,
    /// Message that says what is wrong with the entry and what is required.
    pub reason: String,
}

/// Reads one JSON object as an entry. The keys and the id of the object decide the format, which is one of the JSON
/// dump formats except papercopilot's, or else plain JSON with the usual field names. Values that are ignored are
/// counted in `warnings`.
///
/// # Errors
/// Returns the reason if `value` is not an object or cannot be read as an entry.
pub fn entry_from_json(value: serde_json::Value, warnings: &Warnings) -> Result<Entry, String> {
    fn read<T: serde::de::DeserializeOwned>(
        value: serde_json::Value,
        warnings: &Warnings,
        entry: fn(T, &Warnings) -> Result<Entry, String>,
    ) -> Result<Entry, String> {
        let record = serde_json::from_value(value).map_err(|error| error.to_string())?;
        entry(record, warnings)
    }
    let object = value
        .as_object()
        .ok_or_else(|| format!("a paper must be a JSON object (got {})", fields::json_type(&value)))?;
    match format_of(object) {
        Format::DailyPapersJson => read(value, warnings, daily_json::entry),
        Format::SemanticScholar => read(value, warnings, semantic_scholar::entry),
        Format::Openalex => read(value, warnings, openalex::entry),
        Format::Arxiv => read(value, warnings, arxiv::entry),
        Format::Beir => read(value, warnings, beir::entry),
        _ => jsonl::entry(object, &Columns::default(), warnings),
    }
}

/// Parses a JSON value. An escaped surrogate without its other half becomes U+FFFD. A text with such surrogates is
/// counted once in `warnings`.
///
/// # Errors
/// Returns serde_json's error, with its position, if the text is not JSON.
pub fn parse_json(text: &[u8], warnings: &Warnings) -> serde_json::Result<serde_json::Value> {
    // For text that is not UTF-8, serde_json reports the error with its position.
    std::str::from_utf8(text)
        .map_or_else(|_| serde_json::from_slice(text), |text| json::from_str(text, warnings))
}

/// Returns the papers in a JSON value: the items of the list, without nulls, if the value is a page of an API response,
/// or else the value itself.
pub fn paper_objects(value: serde_json::Value) -> Vec<serde_json::Value> {
    json::paper_objects(value)
}

/// Detects the format of one object from its keys and its id, in the same way as the format of a file is detected.
fn format_of(object: &serde_json::Map<String, serde_json::Value>) -> Format {
    let mut keys: String = object.keys().map(|key| format!("\"{key}\" ")).collect();
    if let Some(id) = object.get("id").and_then(serde_json::Value::as_str) {
        keys.push_str(id);
    }
    first_match(&JSON_DETECTORS, &keys).unwrap_or(Format::Jsonl)
}

/// An iterator over the entries of a dump, in order. An entry that cannot be read is a [`Refused`].
pub type Entries = Box<dyn Iterator<Item = Result<Entry, Refused>> + Send>;

/// An open dump.
pub struct Dump {
    /// Format of the dump, given by the caller or detected.
    pub format: Format,
    /// Entries of the dump.
    pub entries: Entries,
    /// Number of bytes of the dump that have been read.
    pub bytes_read: BytesRead,
    /// Fingerprint of the model that computed the embeddings of the dump. `None`: the dump has no embeddings.
    pub fingerprint: Option<String>,
    /// Values that were ignored or replaced in the entries read so far.
    pub warnings: Warnings,
}

impl Dump {
    /// Iterates over the papers of the dump. Deletions and refused entries are skipped.
    pub fn papers(self) -> impl Iterator<Item = Paper> {
        self.entries.filter_map(|entry| match entry {
            Ok(Entry::Paper(paper) | Entry::Encoded(paper, _)) => Some(paper),
            Ok(Entry::Deleted(_)) | Err(_) => None,
        })
    }
}

/// Opens dumps in a given format, or detects the format of each dump.
#[derive(Default, Clone)]
pub struct Reader {
    /// Format of all dumps. `None`: the format of each dump is detected from its first bytes.
    pub format: Option<Format>,
    /// Mapping from the fields of a paper to the columns of a table or Parquet file, or to the keys of plain JSON.
    pub columns: Columns,
    abstracts: Option<AbstractStore>,
}

impl Reader {
    /// Creates a reader. If `format` is `None`, the format of each dump is detected.
    pub fn new(format: Option<Format>, columns: Columns) -> Reader {
        Reader { format, columns, abstracts: None }
    }

    /// Loads Semantic Scholar's abstracts, which are in other files than the papers, so that [`Reader::read`] can join
    /// each paper with its abstract. Returns the sources that hold abstracts, each with the entries that were refused.
    /// Loads nothing if a format other than Semantic Scholar's is given. Skips pipes and files that cannot be opened.
    ///
    /// # Errors
    /// Returns [`Error::Join`] if the abstracts cannot be stored in the temporary database.
    pub fn load_abstracts(&mut self, sources: &[Source]) -> Result<Vec<(Source, Vec<Refused>)>> {
        let mut loaded = Vec::new();
        if self.format.is_some_and(|format| format != Format::SemanticScholar) {
            return Ok(loaded);
        }
        // A pipe can be read only once, so it is left for `read`.
        for source in sources.iter().filter(|source| source.path.is_file()) {
            // An error is ignored here, because `read` reports it.
            let Ok((mut reader, _)) = open(source) else { continue };
            if !reader.fill_buf().is_ok_and(|head| semantic_scholar::has_abstracts(first_line(head).as_ref()))
            {
                continue;
            }
            if self.abstracts.is_none() {
                self.abstracts = Some(AbstractStore::new()?);
            }
            if let Some(abstracts) = &self.abstracts {
                loaded.push((source.clone(), abstracts.load(reader)?));
            }
        }
        Ok(loaded)
    }

    /// Opens a dump.
    ///
    /// # Errors
    /// Returns [`Error::Io`] if the file cannot be opened. Returns [`Error::Invalid`] for a folder, a damaged archive
    /// or Parquet file, abstracts that were not loaded, or a file that is not empty and whose format is neither given
    /// nor detected. If reading fails later, the iterator over the entries returns the failure as [`Refused`].
    pub fn read(&self, source: &Source) -> Result<Dump> {
        let (reader, bytes_read) = open(source)?;
        let warnings = Warnings::default();
        let mut reader = encoding::as_utf8(reader, &warnings).map_err(Error::io(&source.path))?;
        let head = reader.fill_buf().map_err(Error::io(&source.path))?;
        if self.format.is_none_or(|format| format == Format::SemanticScholar)
            && semantic_scholar::has_abstracts(&first_line(head))
        {
            let entries = self.abstracts_entries(source)?;
            return Ok(Dump {
                format: Format::SemanticScholar,
                entries,
                bytes_read,
                fingerprint: None,
                warnings,
            });
        }
        let format = match self.format.or_else(|| detect_format(head, &self.columns)) {
            Some(format) => format,
            None if head.trim_ascii().is_empty() => Format::Jsonl,
            // The table's reader says which columns are missing.
            None if source.is_named_table() => Format::Csv,
            None => return Err(unknown_format(source, head)),
        };
        if format == Format::Parquet {
            return parquet::open(source, &self.columns);
        }
        let columns = || self.columns.clone();
        let entries = match format {
            Format::Arxiv => arxiv::entries(reader, &warnings),
            Format::ArxivOai => oai::entries(reader, &warnings),
            Format::ArxivAtom => atom::entries(reader, &warnings),
            Format::SemanticScholar => semantic_scholar::entries(reader, self.abstracts.clone(), &warnings),
            Format::Openalex => openalex::entries(reader, &warnings),
            Format::Pubmed => pubmed::entries(reader, &warnings),
            Format::Acl => acl::entries(reader, &warnings),
            Format::DailyPapersJson => daily_json::entries(reader, &warnings),
            Format::DailyPapers => daily_papers::entries(reader, &warnings),
            Format::Papercopilot => papercopilot::entries(reader, &file_name(source), &warnings),
            Format::Beir => beir::entries(reader, &warnings),
            Format::Csv => table::entries(reader, columns(), &warnings),
            Format::Jsonl | Format::Parquet => jsonl::entries(reader, columns(), &warnings),
        };
        Ok(Dump { format, entries, bytes_read, fingerprint: None, warnings })
    }

    /// Returns no entries for a file of abstracts, because [`Reader::load_abstracts`] has already read the file.
    ///
    /// # Errors
    /// Returns [`Error::Invalid`] if no abstracts were loaded.
    fn abstracts_entries(&self, source: &Source) -> Result<Entries> {
        if self.abstracts.is_some() {
            return Ok(Box::new(std::iter::empty()));
        }
        Err(Error::Invalid(format!(
            "{source}: Semantic Scholar's abstracts must be read in the same run as its papers; name the files of both \
             datasets in one command; the abstracts must not come from a pipe"
        )))
    }
}

/// Opens one file. If `format` is `None`, the format is detected.
///
/// # Errors
/// Returns the same errors as [`Reader::read`].
pub fn read(path: &Path, format: Option<Format>) -> Result<Dump> {
    Reader::new(format, Columns::default()).read(&Source::file(path))
}

/// Returns the name of the file, or of the member of an archive, without folders.
fn file_name(source: &Source) -> String {
    match &source.member {
        Some(member) => member.name.rsplit('/').next().unwrap_or_default().to_string(),
        None => source.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(),
    }
}

fn first_line(head: &[u8]) -> std::borrow::Cow<'_, str> {
    let head = head.strip_prefix(lines::BYTE_ORDER_MARK).unwrap_or(head).trim_ascii_start();
    String::from_utf8_lossy(head.split(|&byte| byte == b'\n').next().unwrap_or(head))
}

/// A format and the function that recognises it.
type Detector = (Format, fn(&str) -> bool);

fn first_match(detectors: &[Detector], text: &str) -> Option<Format> {
    detectors.iter().find(|(_, looks_like)| looks_like(text)).map(|(format, _)| *format)
}

/// JSON formats, which are recognised by the keys of an object. The last format in the list accepts any object.
const JSON_DETECTORS: [Detector; 7] = [
    (Format::DailyPapersJson, daily_json::looks_like),
    (Format::SemanticScholar, semantic_scholar::looks_like),
    (Format::Openalex, openalex::looks_like),
    (Format::Arxiv, arxiv::looks_like),
    (Format::Papercopilot, papercopilot::looks_like),
    (Format::Beir, beir::looks_like),
    (Format::Jsonl, |_| true),
];

/// Detects the format from the first bytes of a dump. `None`: the format is not recognised.
fn detect_format(head: &[u8], columns: &Columns) -> Option<Format> {
    if head.starts_with(parquet::PARQUET_MAGIC) {
        return Some(Format::Parquet);
    }
    let head = head.strip_prefix(lines::BYTE_ORDER_MARK).unwrap_or(head).trim_ascii_start();
    let text = String::from_utf8_lossy(head);
    let xml_detectors: [Detector; 4] = [
        (Format::ArxivOai, oai::looks_like),
        (Format::Pubmed, pubmed::looks_like),
        (Format::Acl, acl::looks_like),
        (Format::ArxivAtom, atom::looks_like),
    ];
    match head.first()? {
        b'{' if beir::has_queries(json::first_object(&text)) => None,
        b'{' | b'[' => first_match(&JSON_DETECTORS, json::first_object(&text)),
        b'<' => first_match(&xml_detectors, &text),
        _ if daily_papers::looks_like(&text) => Some(Format::DailyPapers),
        _ => table::looks_like(&text, columns).then_some(Format::Csv),
    }
}

fn unknown_format(source: &Source, head: &[u8]) -> Error {
    if head.starts_with(b"PK\x03\x04") {
        return Error::Invalid(format!(
            "{source}: a .zip cannot be read from a pipe or from another archive; unpack it, or name it as a file"
        ));
    }
    let start = String::from_utf8_lossy(&head[..head.len().min(40)]).into_owned();
    Error::Invalid(format!(
        "{source}: the format is not recognised (the file starts with {start:?}); name the format with --format ({}) \
         or, if the file is a table, name its columns with --columns",
        Format::ALL.map(Format::name).join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_detected_from_the_first_bytes() {
        let detected = |head: &str| detect_format(head.as_bytes(), &Columns::default());
        for (head, expected) in [
            (r#"{"id":"a","title":"b"}"#, Format::Jsonl),
            ("\u{feff}\n {\"id\":1}", Format::Jsonl),
            (r#"[{"id":"a","title":"b"}]"#, Format::Jsonl),
            (r#"{"id":"0704.0010","authors_parsed":[]}"#, Format::Arxiv),
            (r#"{"_id":"1","title":"t","text":"x"}"#, Format::Beir),
            (r#"{"corpusid":1,"abstract":"x"}"#, Format::SemanticScholar),
            (r#"{"id":"https://openalex.org/W1"}"#, Format::Openalex),
            ("Daily Papers\n\nby AK and the research community\n", Format::DailyPapers),
            ("<?xml version='1.0'?><PubmedArticleSet>", Format::Pubmed),
            ("title\tabstract\n", Format::Csv),
            ("PAR1", Format::Parquet),
        ] {
            assert_eq!(detected(head), Some(expected), "{head}");
        }
        for head in ["%PDF-1.5", "<html>", "", "name,body\n", r#"{"_id":"1","text":"why?"}"#] {
            assert_eq!(detected(head), None, "{head}");
        }
        assert_eq!(detect_format(b"name,body\n", &"title=name".parse().unwrap()), Some(Format::Csv));
    }
}
