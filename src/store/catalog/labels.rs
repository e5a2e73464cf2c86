//! The tables of labels (categories, venues, sources) and authors, by which papers are filtered.
//!
//! Names are normalised when they are stored and when they are queried. The normalisation must be the same in these two
//! cases.

use super::PaperNumber;
use likewise_papers::Paper;
use rusqlite::{Connection, params};
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// The kind of a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LabelKind {
    /// A category or keyword.
    Category,
    /// A conference or journal.
    Venue,
    /// The source of a record.
    Source,
}

impl LabelKind {
    /// The name of this kind in the table `labels`.
    pub fn name(self) -> &'static str {
        match self {
            LabelKind::Category => "category",
            LabelKind::Venue => "venue",
            LabelKind::Source => "source",
        }
    }
}

/// Text between two authors in the table `authors`. It has three characters that occur in no name, and each of them is
/// a word for the full-text index. The three characters keep the names of two authors so far apart that a query for
/// one name does not match words of two authors.
pub const AUTHOR_SEPARATOR: &str = " \u{e000} \u{e000} \u{e000} ";

/// Maximum number of words of a name in a query.
const MAX_NAME_WORDS: usize = 32;

/// Letters that Unicode does not decompose into a letter and an accent, each with the letters that people type instead
/// of it.
const TRANSLITERATIONS: [(&str, &str); 16] = [
    ("ł", "l"),
    ("Ł", "L"),
    ("ø", "o"),
    ("Ø", "O"),
    ("đ", "d"),
    ("Đ", "D"),
    ("ð", "d"),
    ("Ð", "D"),
    ("ß", "ss"),
    ("ẞ", "SS"),
    ("æ", "ae"),
    ("Æ", "AE"),
    ("œ", "oe"),
    ("Œ", "OE"),
    ("ı", "i"),
    ("þ", "th"),
];

/// Replaces the letters of `TRANSLITERATIONS` in a name.
pub fn transliterate(name: &str) -> String {
    if name.is_ascii() {
        return name.to_string();
    }
    TRANSLITERATIONS.iter().fold(name.to_string(), |name, (from, to)| name.replace(from, to))
}

/// An SQL expression that replaces the letters of `TRANSLITERATIONS` in the value of the SQL expression `name`.
pub fn transliterate_sql(name: &str) -> String {
    TRANSLITERATIONS
        .iter()
        .fold(name.to_string(), |name, (from, to)| format!("replace({name}, '{from}', '{to}')"))
}

/// Stores the labels of a paper and of its records.
pub fn add(
    connection: &Connection,
    number: PaperNumber,
    paper: &Paper,
    records: &[&Paper],
) -> rusqlite::Result<()> {
    let mut add = connection
        .prepare_cached("INSERT OR IGNORE INTO labels (kind, label, number) VALUES (?1, ?2, ?3)")?;
    let categories = paper.categories.iter().map(|label| (LabelKind::Category, label));
    let venues = records.iter().flat_map(|record| record.venue.iter().map(|label| (LabelKind::Venue, label)));
    let sources =
        records.iter().flat_map(|record| record.source.iter().map(|label| (LabelKind::Source, label)));
    for (kind, label) in categories.chain(venues).chain(sources) {
        add.execute(params![kind.name(), label.to_lowercase(), number])?;
    }
    Ok(())
}

/// The text of the table of authors for a paper and its records; empty if there are no authors.
pub fn authors_text(paper: &Paper, records: &[&Paper]) -> String {
    let mut authors: Vec<&str> = paper.authors.iter().map(String::as_str).collect();
    for author in records.iter().flat_map(|record| &record.authors) {
        if !authors.contains(&author.as_str()) {
            authors.push(author);
        }
    }
    transliterate(&authors.join(AUTHOR_SEPARATOR))
}

/// The full-text query for an author's name: all of its words, in any order, with at most one other word among them
/// (`Yann LeCun` also finds `Yann A. LeCun` and `LeCun, Yann`).
///
/// # Errors
/// Returns a message if the name has no words, or more than 32 words.
pub fn author_query(name: &str) -> Result<String, String> {
    let transliterated = transliterate(name);
    let words: Vec<String> = words(&transliterated).map(|word| format!("\"{word}\"")).collect();
    match &words[..] {
        [] => Err(format!("a name must have at least one word (got {name:?})")),
        [word] => Ok(word.clone()),
        words if words.len() <= MAX_NAME_WORDS => {
            Ok(format!("NEAR({}, {})", words.join(" "), words.len() - 1))
        }
        words => Err(format!("a name must have at most {MAX_NAME_WORDS} words (got {})", words.len())),
    }
}

/// The words of a name, each with its letters, digits and combining accents. SQLite splits the names in the table
/// `authors` in the same way.
fn words(name: &str) -> impl Iterator<Item = &str> {
    let is_in_word =
        |character: char| character.is_alphanumeric() || ('\u{300}'..='\u{36f}').contains(&character);
    let words = name.split(move |character| !is_in_word(character));
    words.filter(|word| word.chars().any(char::is_alphanumeric))
}

/// A name for comparisons outside SQLite: its words, in lower case and without accents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthorName(pub Vec<String>);

impl AuthorName {
    /// Splits a name into words.
    pub fn new(name: &str) -> AuthorName {
        let plain: String = transliterate(name).nfd().filter(|letter| !is_combining_mark(*letter)).collect();
        AuthorName(words(&plain).map(str::to_lowercase).collect())
    }

    /// All pairs of words of this name that have at most one other word between them. Each pair is a name of two words
    /// that matches this name ([`AuthorName::matches`]). The two words are in alphabetical order, separated by a space.
    pub fn word_pairs(&self) -> impl Iterator<Item = String> {
        let pairs_from =
            move |at: usize| self.0[at + 1..].iter().take(2).map(move |word| (&self.0[at], word));
        let pairs = (0..self.0.len()).flat_map(pairs_from);
        pairs.map(|(first, second)| format!("{} {}", first.min(second), first.max(second)))
    }

    /// Whether an author has this name: the author's name has all words of this name, in any order, with at most one
    /// other word among them. [`author_query`] follows the same rule.
    pub fn matches(&self, author: &str) -> bool {
        let author = AuthorName::new(author).0;
        let window = author.len().min(self.0.len() + usize::from(self.0.len() > 1));
        window > 0 && author.windows(window).any(|near| self.0.iter().all(|word| near.contains(word)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn author_query_has_the_words_of_the_name() {
        assert_eq!(author_query("LeCun").unwrap(), "\"LeCun\"");
        assert_eq!(author_query(" LeCun, \"Yann\" A.\0").unwrap(), "NEAR(\"LeCun\" \"Yann\" \"A\", 2)");
        assert_eq!(author_query("Jean-Luc").unwrap(), "NEAR(\"Jean\" \"Luc\", 1)");
        assert!(author_query("?! -").is_err() && author_query(&"a ".repeat(100)).is_err());
    }
}
