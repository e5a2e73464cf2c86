//! Splits a text into the terms of lexical search.
//!
//! Indexing, queries and scoring all use these functions, so that the same text has the same terms everywhere.

use std::collections::HashSet;
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// Minimum length of a term, in characters. Terms such as `3d` and `rl` have this length.
const MIN_CHARACTERS: usize = 2;

/// Maximum length of a term, in bytes. Strings that are longer than this are not words.
const MAX_BYTES: usize = 64;

/// Calls `on_term` with every term of a text, in order of occurrence. Terms are in lower case, without accents, and
/// singular; stop words are skipped. The terms of Chinese and Japanese text are pairs of adjacent letters.
pub fn for_each_term(text: &str, mut on_term: impl FnMut(&str)) {
    let mut term = String::new();
    // Split by bytes first, because iterating over the characters of an abstract takes three times as long.
    let may_be_in_word = |byte: &u8| byte.is_ascii_alphanumeric() || !byte.is_ascii();
    let mut start = 0;
    for run in text.as_bytes().split(|byte| !may_be_in_word(byte)) {
        let words = &text[start..start + run.len()];
        start += run.len() + 1;
        if words.is_ascii() {
            emit_terms(words, &mut term, &mut on_term);
        } else {
            words
                .split(|letter| !is_in_word(letter))
                .for_each(|word| emit_terms(word, &mut term, &mut on_term));
        }
    }
}

/// Calls `on_term` with the terms of a word. `term` is a buffer that is reused.
fn emit_terms(word: &str, term: &mut String, on_term: &mut impl FnMut(&str)) {
    // Normalisation shortens a letter to a quarter of its bytes at most, so a longer word of letters has no valid term.
    if word.is_empty() || word.len() > 4 * MAX_BYTES && !word.contains(is_unspaced) {
        return;
    }
    term.clear();
    if word.is_ascii() {
        term.push_str(word);
        term.make_ascii_lowercase();
    } else {
        // Convert to lower case before decomposing: some capitals become a letter and a combining accent, which the
        // filter must remove.
        let plain =
            word.chars().flat_map(char::to_lowercase).nfkd().filter(|letter| letter.is_alphanumeric());
        // Decompose again: the removal of characters can leave combining marks out of canonical order.
        term.extend(plain.flat_map(char::to_lowercase).nfkd());
    }
    if !term.contains(is_unspaced) {
        return emit_word(term, on_term);
    }
    let letters = std::mem::take(term);
    let mut rest = &*letters;
    while let Some(first) = rest.chars().next().map(is_unspaced) {
        let run;
        (run, rest) = rest.split_at(rest.find(|letter| is_unspaced(letter) != first).unwrap_or(rest.len()));
        if first {
            emit_bigrams(run, on_term);
        } else {
            run.clone_into(term);
            emit_word(term, on_term);
        }
    }
}

/// Calls `on_term` with the stem of a normalised word, unless the word or the stem is a stop word, or the stem is too
/// short or too long.
fn emit_word(term: &mut String, on_term: &mut impl FnMut(&str)) {
    if is_stop_word(term) {
        return;
    }
    stem(term);
    if term.len() <= MAX_BYTES && term.chars().nth(MIN_CHARACTERS - 1).is_some() && !is_stop_word(term) {
        on_term(term);
    }
}

fn is_in_word(letter: char) -> bool {
    match letter {
        // Invisible characters within words: soft hyphen, (non-)joiners, word joiner, byte-order mark.
        '\u{ad}' | '\u{200c}' | '\u{200d}' | '\u{2060}' | '\u{feff}' => true,
        _ if letter.is_ascii() => letter.is_ascii_alphanumeric(),
        _ => letter.is_alphanumeric() || is_combining_mark(letter),
    }
}

/// Whether a letter belongs to Chinese or Japanese, which are written without spaces between words.
fn is_unspaced(letter: char) -> bool {
    matches!(letter, '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{20000}'..='\u{3ffff}')
}

/// Calls `on_term` with each pair of adjacent letters (bigram) of a Chinese or Japanese text. Splitting into bigrams
/// needs no dictionary (Nie et al. 2000, "On the use of words and n-grams for Chinese information retrieval").
fn emit_bigrams(letters: &str, on_term: &mut impl FnMut(&str)) {
    let ends = letters.char_indices().map(|(at, letter)| at + letter.len_utf8()).skip(1);
    letters.char_indices().zip(ends).for_each(|((start, _), end)| on_term(&letters[start..end]));
}

/// Whether a word is a stop word, that is, a word that is frequent in abstracts of every field of research.
#[rustfmt::skip]
fn is_stop_word(word: &str) -> bool {
    matches!(
        word,
        "also" | "an" | "and" | "approach" | "are" | "as" | "at" | "based" | "be" | "been" | "between"
            | "both" | "but" | "by" | "can" | "do" | "does" | "each" | "for" | "from" | "has" | "have"
            | "how" | "if" | "in" | "into" | "is" | "it" | "its" | "may" | "method" | "methods" | "more"
            | "most" | "new" | "no" | "not" | "novel" | "of" | "on" | "one" | "only" | "or" | "other" | "our"
            | "over" | "paper" | "propose" | "proposed" | "results" | "show" | "so" | "some" | "study"
            | "such" | "than" | "that" | "the" | "their" | "then" | "there" | "these" | "they" | "this"
            | "those" | "to" | "two" | "under" | "use" | "used" | "using" | "was" | "we" | "were" | "when"
            | "which" | "while" | "with" | "work"
    )
}

/// Returns the distinct terms of a text.
pub fn terms(text: &str) -> HashSet<String> {
    let mut terms = HashSet::new();
    for_each_term(text, |term| {
        if !terms.contains(term) {
            terms.insert(term.to_string());
        }
    });
    terms
}

/// Reduces an English plural to the singular.
fn stem(word: &mut String) {
    if word.len() > 4 && word.ends_with("ies") {
        word.truncate(word.len() - 3);
        word.push('y');
    } else if word.len() > 3 && word.ends_with('s') && !word.ends_with("ss") && !word.ends_with("us") {
        word.pop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(text: &str) -> Vec<String> {
        let mut all = Vec::new();
        for_each_term(text, |term| all.push(term.to_string()));
        all
    }

    #[test]
    fn terms_are_normalised_words_without_stop_words() {
        assert_eq!(all("The Bodies of 3D GANs (and a Virus)"), ["body", "3d", "gan", "virus"]);
        assert_eq!(all("Schrödinger's cafe\u{301} ﬁeld, ÉTATS"), ["schrodinger", "cafe", "field", "etat"]);
        assert_eq!(all("naïve-Bayes x_1 R²  — 深度学习"), ["naive", "baye", "r2", "深度", "度学", "学习"]);
        assert_eq!(all("用BERTs模型, em\u{ad}bed\u{200d}ding 学"), ["bert", "模型", "embedding"]);
        assert_eq!(all("\u{c48}\u{fe72}"), all(&all("\u{c48}\u{fe72}")[0]));
        assert_eq!(all(&"机器".repeat(200)).len(), 399);
        assert!(all(&"x".repeat(300)).is_empty() && all("").is_empty());
        assert_eq!(all("case studies: those papers, this study; İstanbul ＡＢ"), ["case", "istanbul", "ab"]);
    }

    proptest! {
        /// Terms can be joined by spaces, stored, and split again, because splitting a term gives the term itself.
        #[test]
        fn the_only_term_of_a_term_is_itself(text in "\\PC{0,40}") {
            for term in all(&text) {
                prop_assert!(term.chars().all(char::is_alphanumeric), "{term:?}");
                prop_assert_eq!(all(&term), [term]);
            }
        }
    }
}
