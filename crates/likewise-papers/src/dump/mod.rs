//! Dump → papers: one file a format, all behind [`Reader::read`].
//!
//! A reader streams: it holds one line, one paragraph or one element, never the file. What cannot be read as a
//! paper comes out as a [`Refused`] with its line, and the next one follows.

mod acl;
mod ahead;
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
mod lines;
mod loose;
mod oai;
mod open;
mod openalex;
mod papercopilot;
mod parquet;
mod pubmed;
mod semantic_scholar;
mod source;
mod table;
mod unread;
mod xml;
mod xml_mend;

pub use ahead::{Chunks, chunks};
pub use columns::Columns;
pub use files::{in_folder, sources};
pub use open::{BytesRead, open};
pub use parquet::{EMBEDDING, FINGERPRINT, PAPER_COLUMNS};
pub use source::{Member, Source};
pub use unread::Unread;

use crate::error::{Error, Result};
use crate::paper::{Paper, PaperId};
use semantic_scholar::Abstracts;
use std::io::BufRead;
use std::path::Path;

/// A dump's format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// arXiv's metadata snapshot: JSON Lines with `authors_parsed`, `versions`, `update_date`.
    Arxiv,
    /// arXiv's OAI-PMH harvest, in `arXiv` or `arXivRaw`.
    ArxivOai,
    /// The answers of arXiv's API: Atom.
    ArxivAtom,
    /// Semantic Scholar's datasets: `papers`, and `abstracts` in the same run.
    SemanticScholar,
    /// OpenAlex's works: JSON Lines.
    Openalex,
    /// PubMed's baseline and updates: XML.
    Pubmed,
    /// The ACL Anthology's XML.
    Acl,
    /// Hugging Face's daily papers as its API gives them: a JSON array.
    DailyPapersJson,
    /// The text of a Daily Papers page: header lines, then titles and abstracts in turn.
    DailyPapers,
    /// papercopilot's JSON arrays, named after conference and year.
    Papercopilot,
    /// A BEIR corpus: JSON Lines with `_id`, `title`, `text`.
    Beir,
    /// A table with a line of names: CSV, or with tabs or semicolons.
    Csv,
    /// Parquet; also what `likewise embed` writes, which is not encoded again.
    Parquet,
    /// Plain JSON, one object a line or in an array: `id, title, abstract` and optionally authors, published or year,
    /// categories or keywords, venue, source, url.
    Jsonl,
}

impl Format {
    /// Every format.
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

    /// What it is called on the command line.
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

    /// What it is, in a line.
    pub fn description(self) -> &'static str {
        match self {
            Format::Arxiv => {
                "arXiv's metadata snapshot: JSON Lines with `authors_parsed`, `versions`, `update_date`"
            }
            Format::ArxivOai => "arXiv's OAI-PMH harvest, in `arXiv` or `arXivRaw`",
            Format::ArxivAtom => "The answers of arXiv's API: Atom",
            Format::SemanticScholar => {
                "Semantic Scholar's datasets: `papers`, and `abstracts` in the same run"
            }
            Format::Openalex => "OpenAlex's works: JSON Lines",
            Format::Pubmed => "PubMed's baseline and updates: XML",
            Format::Acl => "The ACL Anthology's XML",
            Format::DailyPapersJson => "Hugging Face's daily papers as its API gives them: a JSON array",
            Format::DailyPapers => {
                "The text of a Daily Papers page: header lines, then titles and abstracts in turn"
            }
            Format::Papercopilot => "papercopilot's JSON arrays, named after conference and year",
            Format::Beir => "A BEIR corpus: JSON Lines with `_id`, `title`, `text`",
            Format::Csv => "A table with a line of names: CSV, or with tabs or semicolons",
            Format::Parquet => "Parquet; also what `likewise embed` writes, which is not encoded again",
            Format::Jsonl => {
                "Plain JSON, one object a line or in an array: `id, title, abstract` and optionally authors, published or year, categories or keywords, venue, source, url"
            }
        }
    }
}

impl std::str::FromStr for Format {
    type Err = String;

    fn from_str(name: &str) -> Result<Format, String> {
        let found = Format::ALL.into_iter().find(|format| format.name() == name);
        found.ok_or_else(|| {
            format!("got {name:?}, wanted one of {}", Format::ALL.map(Format::name).join(", "))
        })
    }
}

/// What a dump says of one paper.
#[derive(Debug, Clone, PartialEq)]
pub enum Entry {
    /// That there is it. It may have no abstract.
    Paper(Paper),
    /// The same, with the vector that its text has.
    Encoded(Paper, Vec<f32>),
    /// That there is it no more.
    Deleted(Deleted),
}

/// A paper that a source has taken out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deleted {
    /// The paper.
    pub id: PaperId,
    /// Who says so: what others say of it is not theirs to take out. `None` is whoever wrote the dump by hand.
    pub source: Option<String>,
}

/// An entry that is not a paper.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Line of the file, from 1; of Parquet, the row.
    pub line: u64,
    /// What was got and what was wanted.
    pub reason: String,
}

/// What a JSON object says: one of the formats that have objects, or one with the names people use for a paper's fields.
/// What was not read of it is noted.
///
/// # Errors
/// A sentence that says what was got and wanted.
pub fn entry_of_json(value: serde_json::Value, unread: &Unread) -> Result<Entry, String> {
    fn read<T: serde::de::DeserializeOwned>(
        value: serde_json::Value,
        unread: &Unread,
        entry: fn(T, &Unread) -> Result<Entry, String>,
    ) -> Result<Entry, String> {
        let record = serde_json::from_value(value).map_err(|error| error.to_string())?;
        entry(record, unread)
    }
    let object =
        value.as_object().ok_or_else(|| format!("got {}, wanted an object", fields::kind(&value)))?;
    match format_of(object) {
        Format::DailyPapersJson => read(value, unread, daily_json::entry),
        Format::SemanticScholar => read(value, unread, semantic_scholar::entry),
        Format::Openalex => read(value, unread, openalex::entry),
        Format::Arxiv => read(value, unread, arxiv::entry),
        Format::Beir => read(value, unread, beir::entry),
        _ => jsonl::entry(object, &Columns::default(), unread),
    }
}

/// Reads a JSON value; half of a surrogate pair in it becomes U+FFFD, and is noted.
///
/// # Errors
/// Says where it is no JSON.
pub fn read_json(text: &[u8], unread: &Unread) -> serde_json::Result<serde_json::Value> {
    // What is no UTF-8 is for serde_json to say.
    std::str::from_utf8(text).map_or_else(|_| serde_json::from_slice(text), |text| json::read(text, unread))
}

/// The papers in a JSON value: of a page of an API's answers those in its list, of any other value itself.
pub fn objects_of(value: serde_json::Value) -> Vec<serde_json::Value> {
    json::objects_of(value)
}

/// The format of one object, by the same keys as in a file.
fn format_of(object: &serde_json::Map<String, serde_json::Value>) -> Format {
    let mut keys: String = object.keys().map(|key| format!("\"{key}\" ")).collect();
    if let Some(id) = object.get("id").and_then(serde_json::Value::as_str) {
        keys.push_str(id);
    }
    told_by(&BY_OBJECT, &keys).unwrap_or(Format::Jsonl)
}

/// Every entry of a dump, in order, or why it is none.
pub type Entries = Box<dyn Iterator<Item = Result<Entry, Refused>> + Send>;

/// A dump, opened.
pub struct Dump {
    /// What it is, named or found.
    pub format: Format,
    /// What it says.
    pub entries: Entries,
    /// How far it was read.
    pub bytes_read: BytesRead,
    /// The fingerprint of the space that its vectors are of, if it has some.
    pub fingerprint: Option<String>,
    /// What was not read of it, as far as its entries were taken.
    pub unread: Unread,
}

impl Dump {
    /// Its papers; what is none is passed over.
    pub fn papers(self) -> impl Iterator<Item = Paper> {
        self.entries.filter_map(|entry| match entry {
            Ok(Entry::Paper(paper) | Entry::Encoded(paper, _)) => Some(paper),
            Ok(Entry::Deleted(_)) | Err(_) => None,
        })
    }
}

/// Reads dumps, in the format named, or in the one each looks like.
#[derive(Default, Clone)]
pub struct Reader {
    /// The format; left out, each dump is looked into.
    pub format: Option<Format>,
    /// Which column has which field, in tables.
    pub columns: Columns,
    abstracts: Option<Abstracts>,
}

impl Reader {
    /// With a format named, or none.
    pub fn new(format: Option<Format>, columns: Columns) -> Reader {
        Reader { format, columns, abstracts: None }
    }

    /// Takes in what other dumps of the run are to be joined with: Semantic Scholar's abstracts, which come in files of
    /// their own. Gives each that it took, with what was refused in it.
    ///
    /// # Errors
    /// [`Error::Join`] if there is no room to keep them.
    pub fn gather(&mut self, sources: &[Source]) -> Result<Vec<(Source, Vec<Refused>)>> {
        let mut taken = Vec::new();
        if self.format.is_some_and(|format| format != Format::SemanticScholar) {
            return Ok(taken);
        }
        // A pipe can be read once.
        for source in sources.iter().filter(|source| source.path.is_file()) {
            // What cannot be opened is told where it is read.
            let Ok((mut reader, _)) = open(source) else { continue };
            if !reader.fill_buf().is_ok_and(|head| semantic_scholar::has_abstracts(first_line(head).as_ref()))
            {
                continue;
            }
            if self.abstracts.is_none() {
                self.abstracts = Some(Abstracts::new()?);
            }
            if let Some(abstracts) = &self.abstracts {
                taken.push((source.clone(), abstracts.take(reader)?));
            }
        }
        Ok(taken)
    }

    /// Opens a dump.
    ///
    /// # Errors
    /// [`Error::Invalid`] if no format is named and it looks like none; [`Error::Io`] if it cannot be
    /// opened. What fails later comes out of the iterator.
    pub fn read(&self, source: &Source) -> Result<Dump> {
        let (reader, bytes_read) = open(source)?;
        let unread = Unread::default();
        let mut reader = encoding::as_utf8(reader, &unread).map_err(Error::io(&source.path))?;
        let head = reader.fill_buf().map_err(Error::io(&source.path))?;
        if self.format.is_none_or(|format| format == Format::SemanticScholar)
            && semantic_scholar::has_abstracts(&first_line(head))
        {
            let entries = self.taken(source)?;
            return Ok(Dump {
                format: Format::SemanticScholar,
                entries,
                bytes_read,
                fingerprint: None,
                unread,
            });
        }
        let format = match self.format.or_else(|| looks_like(head, &self.columns)) {
            Some(format) => format,
            None if head.trim_ascii().is_empty() => Format::Jsonl,
            None => return Err(unknown_format(source, head)),
        };
        if format == Format::Parquet {
            return parquet::open(source, &self.columns);
        }
        let columns = || self.columns.clone();
        let entries = match format {
            Format::Arxiv => arxiv::entries(reader, &unread),
            Format::ArxivOai => oai::entries(reader, &unread),
            Format::ArxivAtom => atom::entries(reader, &unread),
            Format::SemanticScholar => semantic_scholar::entries(reader, self.abstracts.clone(), &unread),
            Format::Openalex => openalex::entries(reader, &unread),
            Format::Pubmed => pubmed::entries(reader, &unread),
            Format::Acl => acl::entries(reader, &unread),
            Format::DailyPapersJson => daily_json::entries(reader, &unread),
            Format::DailyPapers => daily_papers::entries(reader, &unread),
            Format::Papercopilot => papercopilot::entries(reader, &file_name(source), &unread),
            Format::Beir => beir::entries(reader, &unread),
            Format::Csv => table::entries(reader, columns(), &unread),
            Format::Jsonl | Format::Parquet => jsonl::entries(reader, columns(), &unread),
        };
        Ok(Dump { format, entries, bytes_read, fingerprint: None, unread })
    }

    /// What is left of a dump that [`Reader::gather`] took in: nothing.
    fn taken(&self, source: &Source) -> Result<Entries> {
        if self.abstracts.is_some() {
            return Ok(Box::new(std::iter::empty()));
        }
        Err(Error::Invalid(format!(
            "{source}: got Semantic Scholar's abstracts alone, wanted its papers in the same run: name both datasets' files, which cannot be pipes"
        )))
    }
}

/// Reads one file, in the format named, or in the one it looks like.
///
/// # Errors
/// As [`Reader::read`].
pub fn read(path: &Path, format: Option<Format>) -> Result<Dump> {
    Reader::new(format, Columns::default()).read(&Source::file(path))
}

/// The name of a file, or of an archive's member.
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

/// A format, and whether it looks like that.
type Told = (Format, fn(&str) -> bool);

fn told_by(formats: &[Told], text: &str) -> Option<Format> {
    formats.iter().find(|(_, looks_like)| looks_like(text)).map(|(format, _)| *format)
}

/// Formats that are JSON, by the keys of an object; the last has whatever is left.
const BY_OBJECT: [Told; 7] = [
    (Format::DailyPapersJson, daily_json::looks_like),
    (Format::SemanticScholar, semantic_scholar::looks_like),
    (Format::Openalex, openalex::looks_like),
    (Format::Arxiv, arxiv::looks_like),
    (Format::Papercopilot, papercopilot::looks_like),
    (Format::Beir, beir::looks_like),
    (Format::Jsonl, |_| true),
];

/// Tells the format by a dump's first bytes.
fn looks_like(head: &[u8], columns: &Columns) -> Option<Format> {
    if head.starts_with(parquet::MAGIC) {
        return Some(Format::Parquet);
    }
    let head = head.strip_prefix(lines::BYTE_ORDER_MARK).unwrap_or(head).trim_ascii_start();
    let text = String::from_utf8_lossy(head);
    let by_tags: [Told; 4] = [
        (Format::ArxivOai, oai::looks_like),
        (Format::Pubmed, pubmed::looks_like),
        (Format::Acl, acl::looks_like),
        (Format::ArxivAtom, atom::looks_like),
    ];
    match head.first()? {
        b'{' if beir::has_queries(json::first_object(&text)) => None,
        b'{' | b'[' => told_by(&BY_OBJECT, json::first_object(&text)),
        b'<' => told_by(&by_tags, &text),
        _ if daily_papers::looks_like(&text) => Some(Format::DailyPapers),
        _ => table::looks_like(&text, columns).then_some(Format::Csv),
    }
}

fn unknown_format(source: &Source, head: &[u8]) -> Error {
    if head.starts_with(b"PK\x03\x04") {
        return Error::Invalid(format!(
            "{source}: got a .zip in a pipe or in another archive; unpack it, or name it as a file"
        ));
    }
    let start = String::from_utf8_lossy(&head[..head.len().min(40)]).into_owned();
    Error::Invalid(format!(
        "{source}: starts with {start:?}, which looks like no known dump; name its format with --format ({}), or of a \
         table the columns with --columns",
        Format::ALL.map(Format::name).join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_told_by_looking() {
        let told = |head: &str| looks_like(head.as_bytes(), &Columns::default());
        for (head, wanted) in [
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
            assert_eq!(told(head), Some(wanted), "{head}");
        }
        for head in ["%PDF-1.5", "<html>", "", "name,body\n", r#"{"_id":"1","text":"why?"}"#] {
            assert_eq!(told(head), None, "{head}");
        }
        assert_eq!(looks_like(b"name,body\n", &"title=name".parse().unwrap()), Some(Format::Csv));
    }
}
