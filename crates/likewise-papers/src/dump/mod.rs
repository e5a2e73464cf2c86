//! Reads papers from dumps. Each format has a file of its own, and [`Reader::read`] opens them all.
//!
//! Readers stream: they hold one line, one paragraph or one element in memory, never the whole file. An entry that
//! cannot be read as a paper is returned as [`Refused`], with its line and the reason, and reading continues with the
//! next entry.

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
    /// arXiv's OAI-PMH harvest, in `arXiv` or `arXivRaw`.
    ArxivOai,
    /// Responses of arXiv's API: Atom.
    ArxivAtom,
    /// Semantic Scholar's datasets: `papers`, with `abstracts` read in the same run.
    SemanticScholar,
    /// OpenAlex works: JSON Lines.
    Openalex,
    /// PubMed's baseline and update files: XML.
    Pubmed,
    /// XML of the ACL Anthology.
    Acl,
    /// Hugging Face's daily papers, as returned by its API: a JSON array.
    DailyPapersJson,
    /// Text of a Daily Papers page: header lines, then titles and abstracts alternately.
    DailyPapers,
    /// papercopilot's JSON arrays; the file name holds the conference and the year.
    Papercopilot,
    /// A BEIR corpus: JSON Lines with `_id`, `title`, `text`.
    Beir,
    /// A table with a header line, separated by commas, tabs or semicolons.
    Csv,
    /// Parquet, including the files that `likewise embed` writes: their papers are not encoded again.
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

    /// Name of the format on the command line.
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

    /// One-line description, shown in the command line's help.
    pub fn description(self) -> &'static str {
        match self {
            Format::Arxiv => {
                "arXiv's metadata snapshot: JSON Lines with `authors_parsed`, `versions`, `update_date`"
            }
            Format::ArxivOai => "arXiv's OAI-PMH harvest, in `arXiv` or `arXivRaw`",
            Format::ArxivAtom => "Responses of arXiv's API: Atom",
            Format::SemanticScholar => {
                "Semantic Scholar's datasets: `papers`, with `abstracts` read in the same run"
            }
            Format::Openalex => "OpenAlex works: JSON Lines",
            Format::Pubmed => "PubMed's baseline and update files: XML",
            Format::Acl => "XML of the ACL Anthology",
            Format::DailyPapersJson => "Hugging Face's daily papers, as returned by its API: a JSON array",
            Format::DailyPapers => {
                "Text of a Daily Papers page: header lines, then titles and abstracts alternately"
            }
            Format::Papercopilot => {
                "papercopilot's JSON arrays; the file name holds the conference and the year"
            }
            Format::Beir => "A BEIR corpus: JSON Lines with `_id`, `title`, `text`",
            Format::Csv => "A table with a header line, separated by commas, tabs or semicolons",
            Format::Parquet => {
                "Parquet, including the files that `likewise embed` writes: their papers are not encoded again"
            }
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
    /// A paper. It may have no abstract.
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
    /// Source whose record of the paper is deleted; records from other sources stay. `None`: the records of all
    /// sources.
    pub source: Option<String>,
}

/// An entry that cannot be read as a paper.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Line of the file where the entry begins, counted from 1. For Parquet: the row.
    pub line: u64,
    /// What is wrong with the entry and what is required.
    pub reason: String,
}

/// Reads one JSON object as an entry. Its keys decide the format: one of the JSON dump formats, or else plain JSON with
/// common field names. Values that are ignored are counted in `warnings`.
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

/// Parses a JSON value. An escaped surrogate without its other half becomes U+FFFD and is counted in `warnings`.
///
/// # Errors
/// Returns serde_json's error, with its position, if the text is not JSON.
pub fn parse_json(text: &[u8], warnings: &Warnings) -> serde_json::Result<serde_json::Value> {
    // For text that is not UTF-8, serde_json reports the error with its position.
    std::str::from_utf8(text)
        .map_or_else(|_| serde_json::from_slice(text), |text| json::from_str(text, warnings))
}

/// Returns the papers in a JSON value: the items of its list if it is a page of an API response, or else the value.
pub fn paper_objects(value: serde_json::Value) -> Vec<serde_json::Value> {
    json::paper_objects(value)
}

/// Detects the format of one object by the same keys as in a file.
fn format_of(object: &serde_json::Map<String, serde_json::Value>) -> Format {
    let mut keys: String = object.keys().map(|key| format!("\"{key}\" ")).collect();
    if let Some(id) = object.get("id").and_then(serde_json::Value::as_str) {
        keys.push_str(id);
    }
    first_match(&JSON_DETECTORS, &keys).unwrap_or(Format::Jsonl)
}

/// Iterates over the entries of a dump in order; an entry that cannot be read is a [`Refused`].
pub type Entries = Box<dyn Iterator<Item = Result<Entry, Refused>> + Send>;

/// An open dump.
pub struct Dump {
    /// Format of the dump, given or detected.
    pub format: Format,
    /// Its entries.
    pub entries: Entries,
    /// How much of it has been read.
    pub bytes_read: BytesRead,
    /// Fingerprint of the model that its embeddings come from. `None`: the dump has no embeddings.
    pub fingerprint: Option<String>,
    /// Values that were ignored or replaced in the entries read so far.
    pub warnings: Warnings,
}

impl Dump {
    /// Iterates over its papers; deletions and refused entries are skipped.
    pub fn papers(self) -> impl Iterator<Item = Paper> {
        self.entries.filter_map(|entry| match entry {
            Ok(Entry::Paper(paper) | Entry::Encoded(paper, _)) => Some(paper),
            Ok(Entry::Deleted(_)) | Err(_) => None,
        })
    }
}

/// Opens dumps in a given format, or in the format detected for each.
#[derive(Default, Clone)]
pub struct Reader {
    /// Format of all dumps. `None`: the format of each dump is detected from its first bytes.
    pub format: Option<Format>,
    /// Which column of a table holds which field.
    pub columns: Columns,
    abstracts: Option<AbstractStore>,
}

impl Reader {
    /// Creates a reader. If `format` is `None`, the format of each dump is detected.
    pub fn new(format: Option<Format>, columns: Columns) -> Reader {
        Reader { format, columns, abstracts: None }
    }

    /// Loads Semantic Scholar's abstracts, which come in files of their own, so that [`Reader::read`] can join them
    /// with their papers. Returns the sources that held abstracts, each with its refused entries.
    ///
    /// # Errors
    /// Returns [`Error::Join`] if the abstracts cannot be stored in the temporary database.
    pub fn load_abstracts(&mut self, sources: &[Source]) -> Result<Vec<(Source, Vec<Refused>)>> {
        let mut loaded = Vec::new();
        if self.format.is_some_and(|format| format != Format::SemanticScholar) {
            return Ok(loaded);
        }
        // A pipe can only be read once, so it is left for `read`.
        for source in sources.iter().filter(|source| source.path.is_file()) {
            // `read` reports the error.
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
    /// Returns [`Error::Invalid`] if no format is given and none is detected, and [`Error::Io`] if the file cannot be
    /// opened. Later failures are returned by the iterator, as [`Refused`].
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

    /// Entries of a dump of abstracts: none, since [`Reader::load_abstracts`] has read it already.
    fn abstracts_entries(&self, source: &Source) -> Result<Entries> {
        if self.abstracts.is_some() {
            return Ok(Box::new(std::iter::empty()));
        }
        Err(Error::Invalid(format!(
            "{source}: Semantic Scholar's abstracts must be read in the same run as its papers; name the files of both \
             datasets, which cannot be pipes"
        )))
    }
}

/// Opens one file. If `format` is `None`, the format is detected.
///
/// # Errors
/// The same as [`Reader::read`].
pub fn read(path: &Path, format: Option<Format>) -> Result<Dump> {
    Reader::new(format, Columns::default()).read(&Source::file(path))
}

/// Name of the file, or of the archive member, without its folders.
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

/// JSON formats, recognised by the keys of an object. The last one accepts any object.
const JSON_DETECTORS: [Detector; 7] = [
    (Format::DailyPapersJson, daily_json::looks_like),
    (Format::SemanticScholar, semantic_scholar::looks_like),
    (Format::Openalex, openalex::looks_like),
    (Format::Arxiv, arxiv::looks_like),
    (Format::Papercopilot, papercopilot::looks_like),
    (Format::Beir, beir::looks_like),
    (Format::Jsonl, |_| true),
];

/// Detects the format from the first bytes of a dump.
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
        "{source}: the format is not recognised (the file starts with {start:?}); name it with --format ({}), or, for a \
         table, name its columns with --columns",
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
