//! Splits a text into sentences.
//!
//! All code that works on an abstract's sentences uses [`split`], so that a sentence has the same number everywhere.

/// Abbreviations in lower case, without their last full stop. A full stop after an abbreviation does not end a
/// sentence.
const ABBREVIATIONS: [&str; 14] =
    ["e.g", "i.e", "al", "cf", "vs", "fig", "figs", "eq", "eqs", "sec", "resp", "dr", "approx", "no"];

/// Splits a text into sentences. Each sentence keeps its trailing space, so the concatenated sentences are the text.
pub fn split(text: &str) -> Vec<&str> {
    let bytes = text.as_bytes();
    let mut sentences = Vec::new();
    let mut start = 0;
    for (position, byte) in bytes.iter().enumerate() {
        // In Chinese and Japanese, no space follows the mark that ends a sentence.
        if let Some(end) = text.get(position..position + 3).filter(|mark| ["。", "！", "？"].contains(mark))
        {
            sentences.push(&text[start..position + end.len()]);
            start = position + end.len();
            continue;
        }
        let is_end = b".?!".contains(byte) && bytes.get(position + 1) == Some(&b' ');
        if !is_end || (*byte == b'.' && ends_with_abbreviation(&text[start..position])) {
            continue;
        }
        let next = text[position + 2..].chars().next();
        if next.is_some_and(|next| next.is_uppercase() || next.is_ascii_digit() || "([\"“$".contains(next))
        {
            sentences.push(&text[start..position + 2]);
            start = position + 2;
        }
    }
    if start < text.len() {
        sentences.push(&text[start..]);
    }
    sentences
}

/// Whether the text before a full stop ends with an abbreviation or an initial: `e.g`, `et al`, `J`.
fn ends_with_abbreviation(before: &str) -> bool {
    let word = before.rsplit([' ', '(']).next().unwrap_or_default();
    word.chars().count() == 1 && word.chars().all(char::is_uppercase)
        || ABBREVIATIONS.contains(&word.to_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_stops_of_abbreviations_do_not_end_sentences() {
        let text =
            "We count bees, e.g. in Graz. Smith et al. found 3.5 of them. Is that so? (Yes.) J. Doe agrees";
        assert_eq!(
            split(text),
            [
                "We count bees, e.g. in Graz. ",
                "Smith et al. found 3.5 of them. ",
                "Is that so? ",
                "(Yes.) J. Doe agrees"
            ]
        );
        assert_eq!(split(text).concat(), text);
        assert!(split("").is_empty());
        assert_eq!(split("我们提出。预测！实验"), ["我们提出。", "预测！", "实验"]);
        assert_eq!(split("Ünïcode. Ärger. "), ["Ünïcode. ", "Ärger. "]);
    }
}
