//! A text → its terms: the words that are compared where words are.
//!
//! Its own file because a term must be the same wherever it is met: in the catalog's index of terms, in a question, in a
//! paper that is scored.

use std::collections::HashSet;
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// Shortest term, in characters: `3d`, `rl`.
const MIN_CHARACTERS: usize = 2;

/// Longest, in bytes: what is longer is no word.
const MAX_BYTES: usize = 64;

/// Calls `take` with every term of a text, in order: in lower case, without accents, plurals as what they are plurals
/// of; words that tell nothing are left out.
pub fn for_each_term(text: &str, mut take: impl FnMut(&str)) {
    let mut term = String::new();
    // By bytes first: going through an abstract's characters takes three times as long.
    let may_be_in_word = |byte: &u8| byte.is_ascii_alphanumeric() || !byte.is_ascii();
    let mut start = 0;
    for run in text.as_bytes().split(|byte| !may_be_in_word(byte)) {
        let words = &text[start..start + run.len()];
        start += run.len() + 1;
        if words.is_ascii() {
            take_term(words, &mut term, &mut take);
        } else {
            words.split(|letter| !is_in_word(letter)).for_each(|word| take_term(word, &mut term, &mut take));
        }
    }
}

/// Calls `take` with the term that a word is, if it is one; `term` is where it is written.
fn take_term(word: &str, term: &mut String, take: &mut impl FnMut(&str)) {
    // So long a word is no word, whatever becomes of it.
    if word.is_empty() || word.len() > 4 * MAX_BYTES && !word.contains(is_unspaced) {
        return;
    }
    term.clear();
    if word.is_ascii() {
        term.push_str(word);
        term.make_ascii_lowercase();
    } else {
        // Lower case first: some capitals become a letter with an accent.
        let plain =
            word.chars().flat_map(char::to_lowercase).nfkd().filter(|letter| letter.is_alphanumeric());
        // Marks that a left out letter stood between are put in order.
        term.extend(plain.flat_map(char::to_lowercase).nfkd());
    }
    if !term.contains(is_unspaced) {
        return take_word(term, take);
    }
    let letters = std::mem::take(term);
    let mut rest = &*letters;
    while let Some(first) = rest.chars().next().map(is_unspaced) {
        let run;
        (run, rest) = rest.split_at(rest.find(|letter| is_unspaced(letter) != first).unwrap_or(rest.len()));
        if first {
            take_pairs(run, take);
        } else {
            run.clone_into(term);
            take_word(term, take);
        }
    }
}

/// Calls `take` with a word's term, if it is one.
fn take_word(term: &mut String, take: &mut impl FnMut(&str)) {
    if is_small(term) {
        return;
    }
    stem(term);
    if term.len() <= MAX_BYTES && term.chars().nth(MIN_CHARACTERS - 1).is_some() && !is_small(term) {
        take(term);
    }
}

fn is_in_word(letter: char) -> bool {
    match letter {
        // What only says where a word may be broken, or how its letters join.
        '\u{ad}' | '\u{200c}' | '\u{200d}' | '\u{2060}' | '\u{feff}' => true,
        _ if letter.is_ascii() => letter.is_ascii_alphanumeric(),
        _ => letter.is_alphanumeric() || is_combining_mark(letter),
    }
}

/// Chinese characters and Japanese letters: no space says where a word of them ends.
fn is_unspaced(letter: char) -> bool {
    matches!(letter, '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{20000}'..='\u{3ffff}')
}

/// Calls `take` with each two neighbours of letters between which no word ends that could be seen, as is usual where a
/// dictionary is too much (Nie & al. 2000, "On the use of words and n-grams for Chinese information retrieval").
fn take_pairs(letters: &str, take: &mut impl FnMut(&str)) {
    let ends = letters.char_indices().map(|(at, letter)| at + letter.len_utf8()).skip(1);
    letters.char_indices().zip(ends).for_each(|((start, _), end)| take(&letters[start..end]));
}

/// Words that tell nothing, in any abstract.
#[rustfmt::skip]
fn is_small(word: &str) -> bool {
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

/// The terms of a text, each once.
pub fn terms(text: &str) -> HashSet<String> {
    let mut terms = HashSet::new();
    for_each_term(text, |term| {
        if !terms.contains(term) {
            terms.insert(term.to_string());
        }
    });
    terms
}

/// Plurals are what they are plurals of.
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
    fn terms_are_words_as_they_are_compared() {
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
        /// So terms that are written with spaces between are the same when they are read.
        #[test]
        fn a_term_has_one_term_itself(text in "\\PC{0,40}") {
            for term in all(&text) {
                prop_assert!(term.chars().all(char::is_alphanumeric), "{term:?}");
                prop_assert_eq!(all(&term), [term]);
            }
        }
    }
}
