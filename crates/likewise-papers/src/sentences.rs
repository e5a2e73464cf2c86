//! A text → its sentences.
//!
//! Its own file because a full stop ends a sentence in one place and a word in another, and all that speaks of an
//! abstract's sentences must mean the same ones.

/// Ends of words that are no ends of sentences.
const SHORT_FORMS: [&str; 14] =
    ["e.g", "i.e", "al", "cf", "vs", "fig", "figs", "eq", "eqs", "sec", "resp", "dr", "approx", "no"];

/// Parts of a text, in order; together they are all of it.
pub fn split(text: &str) -> Vec<&str> {
    let bytes = text.as_bytes();
    let mut sentences = Vec::new();
    let mut start = 0;
    for (place, byte) in bytes.iter().enumerate() {
        // Where no spaces are written, the mark alone ends it.
        if let Some(end) = text.get(place..place + 3).filter(|mark| ["。", "！", "？"].contains(mark)) {
            sentences.push(&text[start..place + end.len()]);
            start = place + end.len();
            continue;
        }
        let is_end = b".?!".contains(byte) && bytes.get(place + 1) == Some(&b' ');
        if !is_end || (*byte == b'.' && is_short_form(&text[start..place])) {
            continue;
        }
        let next = text[place + 2..].chars().next();
        if next.is_some_and(|next| next.is_uppercase() || next.is_ascii_digit() || "([\"“$".contains(next))
        {
            sentences.push(&text[start..place + 2]);
            start = place + 2;
        }
    }
    if start < text.len() {
        sentences.push(&text[start..]);
    }
    sentences
}

/// Whether what stands before a full stop is cut short by it: `e.g`, `et al`, `J`.
fn is_short_form(before: &str) -> bool {
    let word = before.rsplit([' ', '(']).next().unwrap_or_default();
    word.chars().count() == 1 && word.chars().all(char::is_uppercase)
        || SHORT_FORMS.contains(&word.to_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_end_where_readers_end_them() {
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
