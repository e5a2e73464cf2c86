//! What papers are filtered by, beside dates and ids: categories, venues, sources, authors.
//!
//! Its own file because these are kept in tables of their own, beside the papers: what goes in, and how it is
//! asked for, must fit each other.

use super::PaperNumber;
use likewise_papers::Paper;
use rusqlite::{Connection, params};
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// What a label is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A category or keyword.
    Category,
    /// A conference or journal.
    Venue,
    /// Where the dump is from.
    Source,
}

impl Kind {
    /// As it is stored.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Category => "category",
            Kind::Venue => "venue",
            Kind::Source => "source",
        }
    }
}

/// Stands between two authors in the table of their names: characters that no name has, each a word for that table.
/// They keep the end of one name and the beginning of the next too far apart to be taken for a name.
pub const BETWEEN_AUTHORS: &str = " \u{e000} \u{e000} \u{e000} ";

/// Most words of a name that is asked for.
const MOST_WORDS: usize = 32;

/// Letters that are no accented others to Unicode, and are written as these where a keyboard has none of them.
const FOLDED: [(&str, &str); 16] = [
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

/// A name with those letters as others write them.
pub fn folded(name: &str) -> String {
    FOLDED.iter().fold(name.to_string(), |name, (from, to)| name.replace(from, to))
}

/// The same of an expression in SQL.
pub fn folded_sql(name: &str) -> String {
    FOLDED.iter().fold(name.to_string(), |name, (from, to)| format!("replace({name}, '{from}', '{to}')"))
}

/// Stores a paper's labels and authors, and those that its records have.
pub fn add(
    connection: &Connection,
    number: PaperNumber,
    paper: &Paper,
    records: &[&Paper],
) -> rusqlite::Result<()> {
    let mut add = connection
        .prepare_cached("INSERT OR IGNORE INTO labels (kind, label, number) VALUES (?1, ?2, ?3)")?;
    let labels = paper.categories.iter().map(|label| (Kind::Category, label));
    let labels =
        labels.chain(records.iter().flat_map(|record| record.venue.iter().map(|label| (Kind::Venue, label))));
    let sources = records.iter().flat_map(|record| record.source.iter().map(|label| (Kind::Source, label)));
    for (kind, label) in labels.chain(sources) {
        add.execute(params![kind.name(), label.to_lowercase(), number])?;
    }
    let mut authors: Vec<&str> = paper.authors.iter().map(String::as_str).collect();
    for author in records.iter().flat_map(|record| &record.authors) {
        if !authors.contains(&author.as_str()) {
            authors.push(author);
        }
    }
    if !authors.is_empty() {
        let mut add = connection.prepare_cached("INSERT INTO authors (rowid, names) VALUES (?1, ?2)")?;
        add.execute(params![number, folded(&authors.join(BETWEEN_AUTHORS))])?;
    }
    Ok(())
}

/// Removes them.
pub fn remove(connection: &Connection, number: PaperNumber) -> rusqlite::Result<()> {
    for sql in ["DELETE FROM labels WHERE number = ?1", "DELETE FROM authors WHERE rowid = ?1"] {
        connection.prepare_cached(sql)?.execute([number])?;
    }
    Ok(())
}

/// What the table of authors is asked for a name: all of its words, in any order, with at most one other between
/// them (`Yann LeCun` also finds `Yann A. LeCun` and `LeCun, Yann`).
///
/// # Errors
/// A sentence that says what was got and wanted, if there is no word in it, or very many.
pub fn author_query(name: &str) -> Result<String, String> {
    let folded = folded(name);
    let words: Vec<String> = words(&folded).map(|word| format!("\"{word}\"")).collect();
    match &words[..] {
        [] => Err(format!("got {name:?}, wanted a name, or a word of one")),
        [word] => Ok(word.clone()),
        words if words.len() <= MOST_WORDS => Ok(format!("NEAR({}, {})", words.join(" "), words.len() - 1)),
        words => Err(format!("got a name of {} words, wanted at most {MOST_WORDS}", words.len())),
    }
}

/// The words of a name, as the table of authors has them: letters and digits, and the accents that stand after them.
fn words(name: &str) -> impl Iterator<Item = &str> {
    let is_in_word =
        |character: char| character.is_alphanumeric() || ('\u{300}'..='\u{36f}').contains(&character);
    let words = name.split(move |character| !is_in_word(character));
    words.filter(|word| word.chars().any(char::is_alphanumeric))
}

/// A name as it is compared with others where there is no such table: its words, without accents and in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Words(pub Vec<String>);

impl Words {
    /// Of a name.
    pub fn of(name: &str) -> Words {
        let plain: String = folded(name).nfd().filter(|letter| !is_combining_mark(*letter)).collect();
        Words(words(&plain).map(str::to_lowercase).collect())
    }

    /// Two words each that a name of these two is in by [`Words::is_in`]: with at most one other between them. Sorted, and
    /// joined by a space.
    pub fn pairs(&self) -> impl Iterator<Item = String> {
        let near = move |at: usize| self.0[at + 1..].iter().take(2).map(move |word| (&self.0[at], word));
        let pairs = (0..self.0.len()).flat_map(near);
        pairs.map(|(one, other)| format!("{} {}", one.min(other), one.max(other)))
    }

    /// Whether an author has this name: all of its words, in any order, with at most one other between them, as
    /// [`author_query`] asks for it.
    pub fn is_in(&self, author: &str) -> bool {
        let author = Words::of(author).0;
        let window = author.len().min(self.0.len() + usize::from(self.0.len() > 1));
        window > 0 && author.windows(window).any(|near| self.0.iter().all(|word| near.contains(word)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_asked_for_by_its_words() {
        assert_eq!(author_query("LeCun").unwrap(), "\"LeCun\"");
        assert_eq!(author_query(" LeCun, \"Yann\" A.\0").unwrap(), "NEAR(\"LeCun\" \"Yann\" \"A\", 2)");
        assert_eq!(author_query("Jean-Luc").unwrap(), "NEAR(\"Jean\" \"Luc\", 1)");
        assert!(author_query("?! -").is_err() && author_query(&"a ".repeat(100)).is_err());
    }
}
