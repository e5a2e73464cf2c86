//! Converts LaTeX to plain Unicode text: accents, quotes, dashes, and simple mathematics.
//!
//! Papers contain LaTeX in every dump format. Text that only looks like LaTeX is kept: prices, paths, the `~` in a web
//! address. Unknown commands are kept as well. The conversion never fails.

mod symbols;

use std::borrow::Cow;
use symbols::{accent, accented, font_letter, symbol};
use unicode_normalization::UnicodeNormalization;

/// Maximum nesting depth of groups (`{…}`) that are converted. Braces that are nested deeper are not read as groups.
const MAX_DEPTH: usize = 16;

/// Maximum length of a formula, in bytes. A `$` without a second `$` within this distance is an ordinary character.
const MAX_FORMULA_BYTES: usize = 1000;

/// Maximum length of a group, in bytes: enough for a footnote, or for an abstract that is set in another font.
const MAX_GROUP_BYTES: usize = 4000;

/// Converts a text with LaTeX to Unicode: `Erd\H{o}s` becomes Erdős, `$O(n\log n)$` becomes O(n log n),
/// `$x^2 \le \alpha$` becomes x² ≤ α.
pub fn to_unicode(text: &str) -> Cow<'_, str> {
    let is_plain = |byte: &u8| !matches!(byte, b'\\' | b'$' | b'{' | b'~' | b'`' | b'\'' | b'-');
    if text.as_bytes().iter().all(is_plain) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    read_text(text, &mut out, 0);
    // NFC joins each letter with the combining accent after it, as in text that was never LaTeX.
    if out.is_ascii() { Cow::Owned(out) } else { Cow::Owned(out.nfc().collect()) }
}

/// Converts a formula, given without its dollar signs, to Unicode.
pub fn math_to_unicode(formula: &str) -> String {
    let mut out = String::with_capacity(formula.len());
    read_math(formula, &mut out, 0);
    out.nfc().collect()
}

fn read_text(mut text: &str, out: &mut String, depth: usize) {
    while let Some(position) = text.find(['\\', '$', '{', '}', '~', '`', '\'', '-']) {
        out.push_str(&text[..position]);
        let before = out.chars().next_back();
        text = &text[position..];
        let rest = &text[1..];
        let pair = |mark: &str| text.starts_with(mark).then(|| &text[mark.len()..]);
        text = if text.starts_with('\\') {
            read_command(rest, out, depth, false)
        } else if let Some((formula, after)) = formula(text) {
            read_math(formula, out, depth + 1);
            after
        } else if let (true, Some((group, after))) = (text.starts_with('{'), group(text, depth)) {
            read_group(group, out, depth);
            after
        } else if let Some(after) = pair("``").or_else(|| pair("''")) {
            out.push(if text.starts_with('`') { '“' } else { '”' });
            after
        } else if let Some(after) = pair("---") {
            out.push('—');
            after
        } else if let Some(after) =
            pair("--").filter(|after| !after.starts_with('-') && is_dash(before, after))
        {
            out.push('–');
            after
        } else if text.starts_with('~') && is_tie(before, rest) {
            out.push(' ');
            rest
        } else {
            out.push_str(&text[..1]);
            rest
        };
    }
    out.push_str(text);
}

/// Whether `--` between `before` and `after` is a dash, not the start of a command-line option.
fn is_dash(before: Option<char>, after: &str) -> bool {
    before.is_some_and(|before| !before.is_whitespace()) || after.starts_with(' ')
}

/// Whether `~` between `before` and `after` is LaTeX's non-breaking space, not part of a web address, where `~` follows
/// a slash.
fn is_tie(before: Option<char>, after: &str) -> bool {
    let is_word = |character: char| !character.is_whitespace() && character != '/';
    before.is_some_and(is_word) && after.starts_with(is_word)
}

/// Converts a group outside formulas. Drops the braces if they only protect the letters of a word from a change of case
/// or enclose a command.
fn read_group(group: &str, out: &mut String, depth: usize) {
    let is_word = group.chars().all(|character| character.is_alphanumeric() || character == '-');
    if is_word || group.starts_with('\\') {
        return read_text(group, out, depth + 1);
    }
    out.push('{');
    read_text(group, out, depth + 1);
    out.push('}');
}

/// Returns the formula that `text` starts with, without its dollar signs, and the text after the formula. `None` if
/// `text` does not start with a formula.
fn formula(text: &str) -> Option<(&str, &str)> {
    for mark in ["$$", "$"] {
        let Some(inner) = text.strip_prefix(mark) else { continue };
        let limit = inner.floor_char_boundary(MAX_FORMULA_BYTES);
        let mut from = 0;
        let end = loop {
            let end = from + inner[from..limit].find(mark)?;
            // An escaped dollar sign is part of the formula.
            if !inner[..end].ends_with('\\') {
                break end;
            }
            from = end + mark.len();
        };
        let (formula, after) = (&inner[..end], &inner[end + mark.len()..]);
        return is_formula(formula, after).then_some((formula, after));
    }
    None
}

/// Whether the text between two dollar signs is a formula, not the text between two prices. A formula has no white
/// space at its ends, no digit after it, and balanced parentheses. If a formula has several words, at least one word
/// has no letters or digits, such as `+`. Text with `\`, `^` or `_` is always a formula.
fn is_formula(formula: &str, after: &str) -> bool {
    let is_tight = !formula.starts_with(char::is_whitespace) && !formula.ends_with(char::is_whitespace);
    let is_closed = formula.matches('(').count() == formula.matches(')').count();
    let is_sign = |word: &str| !word.contains(char::is_alphanumeric);
    let is_words = formula.contains(' ') && !formula.split(' ').any(is_sign);
    let is_likely =
        is_tight && is_closed && !is_words && !after.starts_with(|next: char| next.is_ascii_digit());
    !formula.is_empty() && (is_likely || formula.contains(['\\', '^', '_']))
}

fn read_math(mut text: &str, out: &mut String, depth: usize) {
    while let Some(position) = text.find(['\\', '{', '}', '^', '_', '~', '&', '\'', '$']) {
        out.push_str(&text[..position]);
        text = &text[position..];
        let rest = &text[1..];
        text = match text.as_bytes()[0] {
            b'\\' => read_command(rest, out, depth, true),
            mark @ (b'^' | b'_') => {
                let (argument, after) = argument(rest, depth, true);
                out.push_str(&script(mark, &argument));
                after
            }
            b'{' => match group(text, depth) {
                Some((group, after)) => {
                    read_math(group, out, depth + 1);
                    after
                }
                None => rest,
            },
            b'~' | b'&' => {
                out.push(' ');
                rest
            }
            b'\'' => {
                out.push('′');
                rest
            }
            _ => rest,
        };
    }
    out.push_str(text);
}

/// Converts a subscript or superscript. A single letter or a number becomes small characters if Unicode has them. Words
/// stay at full size, because small words are hard to read.
fn script(mark: u8, argument: &str) -> String {
    let letter = if mark == b'^' { symbols::raised } else { symbols::lowered };
    let is_short = argument.chars().nth(1).is_none() || !argument.contains(char::is_alphabetic);
    if let Some(small) = argument.chars().map(letter).collect::<Option<String>>().filter(|_| is_short) {
        return small;
    }
    let mark = mark as char;
    let is_one = argument.chars().all(char::is_alphanumeric);
    if is_one { format!("{mark}{argument}") } else { format!("{mark}({argument})") }
}

/// Returns the group that `text` starts with, without its braces, and the text after the group. `None` if `text` does
/// not start with a group, or the group is nested too deeply or too long.
fn group(text: &str, depth: usize) -> Option<(&str, &str)> {
    if depth >= MAX_DEPTH || !text.starts_with('{') {
        return None;
    }
    let (mut open, mut escaped) = (0, false);
    for (position, byte) in text.bytes().enumerate().take(MAX_GROUP_BYTES) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'{' => open += 1,
            b'}' => open -= 1,
            _ => {}
        }
        if open == 0 {
            return Some((&text[1..position], &text[position + 1..]));
        }
    }
    None
}

/// Converts a command's argument, which is a group, a command or a single character. Returns the converted argument and
/// the text after the argument.
fn argument(text: &str, depth: usize, math: bool) -> (String, &str) {
    let text = text.trim_start_matches(' ');
    let mut read = String::new();
    if let Some((group, after)) = group(text, depth) {
        if math {
            read_math(group, &mut read, depth + 1)
        } else {
            read_text(group, &mut read, depth + 1)
        };
        return (read, after);
    }
    if let Some(rest) = text.strip_prefix('\\').filter(|_| depth < MAX_DEPTH) {
        let after = read_command(rest, &mut read, depth + 1, math);
        return (read, after);
    }
    let end = text.chars().next().map_or(0, char::len_utf8);
    (text[..end].into(), &text[end..])
}

/// Converts a command; `text` is the text after the backslash. Returns the text after the command.
fn read_command<'a>(text: &'a str, out: &mut String, depth: usize, math: bool) -> &'a str {
    let end = text.find(|character: char| !character.is_ascii_alphabetic()).unwrap_or(text.len());
    if end == 0 {
        return read_sign(text, out, depth, math);
    }
    let (name, rest) = text.split_at(end);
    if let Some(mark) = accent(name).filter(|_| !math || name.len() > 1) {
        return put_accent(name, mark, rest, out, depth, math);
    }
    if let Some(symbol) = symbol(name) {
        let is_word = symbol.starts_with(|first: char| first.is_ascii_alphabetic());
        if is_word && out.ends_with(char::is_alphanumeric) {
            out.push(' ');
        }
        out.push_str(symbol);
        // Outside formulas, a space after a command for a letter only ends the command's name, so the space is dropped.
        let letter = symbol.chars().next().filter(|_| !math);
        return letter.map_or(rest, |letter| after_name(rest, letter));
    }
    match name {
        "left" | "right" | "big" | "Big" | "bigg" | "Bigg" | "bigl" | "bigr" | "Bigl" | "Bigr" | "limits"
        | "nolimits" | "displaystyle" | "textstyle" | "centering" | "noindent" => rest,
        "em" | "it" | "bf" | "rm" | "tt" | "sc" | "sl" | "sf" | "cal" | "small" | "large" | "itshape"
        | "bfseries" => rest.trim_start_matches(' '),
        "item" | "par" | "newline" | "quad" | "qquad" | "linebreak" => {
            out.push(' ');
            rest
        }
        "cite" | "citep" | "citet" | "citealp" | "citeyear" | "citeauthor" | "ref" | "eqref" | "label"
        | "begin" | "end" | "vspace" | "hspace" => group(rest, depth).map_or(rest, |(_, after)| after),
        "frac" | "tfrac" | "dfrac" | "nicefrac" | "sfrac" => {
            let (above, rest) = argument(rest, depth, true);
            let (below, rest) = argument(rest, depth, true);
            out.push_str(&format!("{}/{}", parenthesised(&above), parenthesised(&below)));
            rest
        }
        "sqrt" => {
            let (under, rest) = argument(rest, depth, true);
            out.push('√');
            out.push_str(&parenthesised(&under));
            rest
        }
        "href" => {
            let (_address, rest) = argument(rest, depth, false);
            put_argument(rest, out, depth, false)
        }
        "mathbb" => {
            let (letters, rest) = argument(rest, depth, true);
            out.extend(letters.chars().map(font_letter));
            rest
        }
        "emph" | "textbf" | "textit" | "texttt" | "textsc" | "textrm" | "textsf" | "textnormal" | "text"
        | "textsl" | "mbox" | "url" | "path" | "underline" | "uline" | "footnote" | "textsuperscript"
        | "textsubscript" | "textup" | "section" => put_argument(rest, out, depth, false),
        "mathrm" | "mathbf" | "mathcal" | "mathit" | "mathsf" | "mathtt" | "mathscr" | "mathfrak"
        | "boldsymbol" | "bm" | "operatorname" | "ensuremath" | "smash" | "mathop" | "bold" | "overline"
        | "pmb" => put_argument(rest, out, depth, true),
        _ if math => {
            // The command is probably a macro of the author. The name of the macro is the best approximation.
            out.push_str(name);
            rest
        }
        _ => {
            out.push('\\');
            out.push_str(name);
            rest
        }
    }
}

/// Returns the text after the command for a Latin letter, without the space that ended the command's name: `\O rsted`.
/// After the command for any other letter, the space is kept.
fn after_name(rest: &str, letter: char) -> &str {
    let is_latin = ('\u{c0}'..='\u{24f}').contains(&letter);
    rest.strip_prefix(' ').filter(|_| is_latin).unwrap_or(rest)
}

fn put_argument<'a>(rest: &'a str, out: &mut String, depth: usize, math: bool) -> &'a str {
    let (read, after) = argument(rest, depth, math);
    out.push_str(&read);
    after
}

/// Converts a command whose name is one character that is not a letter: an accent, an escaped character, a space, or
/// the start of a formula. Returns the text after the command.
fn read_sign<'a>(text: &'a str, out: &mut String, depth: usize, math: bool) -> &'a str {
    let Some(sign) = text.chars().next() else {
        out.push('\\');
        return text;
    };
    let rest = &text[sign.len_utf8()..];
    if let (false, Some(mark)) = (math, accent(&text[..sign.len_utf8()])) {
        return put_accent(&text[..sign.len_utf8()], mark, rest, out, depth, math);
    }
    match sign {
        '%' | '&' | '_' | '#' | '$' | '{' | '}' => out.push(sign),
        '|' => out.push('‖'),
        ' ' | ',' | ';' | ':' | '~' | '\\' | '\n' => out.push(' '),
        '!' | '-' | '/' | '>' => {}
        '(' | '[' if !math => {
            let close = if sign == '(' { "\\)" } else { "\\]" };
            let limit = rest.floor_char_boundary(MAX_FORMULA_BYTES);
            if let Some(end) = rest[..limit].find(close) {
                read_math(&rest[..end], out, depth + 1);
                return &rest[end + close.len()..];
            }
            out.push('\\');
            out.push(sign);
        }
        _ if math => out.push(sign),
        _ => {
            out.push('\\');
            out.push(sign);
        }
    }
    rest
}

/// Converts an accent command. Returns the text after the command and the letter. A command outside formulas and groups
/// is kept if the text after it is not one letter that exists with this accent, because it is probably not LaTeX. Of
/// `\"` and `\'`, only the quotation mark is kept.
fn put_accent<'a>(
    name: &str,
    mark: char,
    rest: &'a str,
    out: &mut String,
    depth: usize,
    math: bool,
) -> &'a str {
    let (base, after) = argument(rest, depth, math);
    let is_sign = !name.starts_with(|first: char| first.is_alphabetic());
    let mut letters = base.chars();
    let first = letters.next().filter(|first| first.is_alphabetic());
    let is_near = !(is_sign && rest.starts_with(' '));
    let fits = |first: &char| math || (letters.as_str().is_empty() && is_near && is_letter(*first, mark));
    match first.filter(fits) {
        Some(first) => {
            out.extend(accented(first, mark));
            out.push_str(letters.as_str());
        }
        None if math || depth > 0 => out.push_str(&base),
        None => {
            // The command is an escaped quotation mark, or is not LaTeX.
            match name {
                "\"" => out.push('"'),
                "'" => out.push('\''),
                name => {
                    out.push('\\');
                    out.push_str(name);
                }
            }
            return rest;
        }
    }
    after
}

/// Whether Unicode has the accented letter as one character.
fn is_letter(letter: char, mark: char) -> bool {
    accented(letter, mark).into_iter().nfc().nth(1).is_none()
}

/// Puts parentheses around an expression that is more than one word or number. In the formula, a fraction bar or a root
/// sign showed where the expression begins and ends.
fn parenthesised(part: &str) -> String {
    let is_one = part.chars().all(char::is_alphanumeric) || part.chars().count() == 1;
    if is_one { part.into() } else { format!("({})", part.trim()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn latex_is_converted_to_unicode() {
        let cases = [
            (r"Paul Erd\H{o}s and L\'aszl\'o Lov{\'a}sz", "Paul Erdős and László Lovász"),
            (
                r#"G\"odel, M\"{u}ller, \v{S}koda, Fran\c{c}ois, \O rsted, Stra\ss e"#,
                "Gödel, Müller, Škoda, François, Ørsted, Straße",
            ),
            (r#"Na\"{\i}ve \aa ngstr\"om, {\L}ukasz"#, "Naïve ångström, Łukasz"),
            (r"Fran\c cois Erd\H os", "François Erdős"),
            (r"a\d+ and \~ here", r"a\d+ and \~ here"),
            (r"an $O(n \log n)$ algorithm", "an O(n log n) algorithm"),
            (r"$x^2 \leq \alpha_1$ in $\mathbb{R}^d$", "x² ≤ α₁ in ℝᵈ"),
            (
                r"$\tilde{O}(\sqrt{T})$ regret, $\frac{1}{2}$, $\frac{a+b}{\epsilon^2}$",
                "Õ(√T) regret, 1/2, (a+b)/ϵ²",
            ),
            (r"$\ell_1$-regression, $\ell_{\infty}$", "ℓ₁-regression, ℓ_(∞)"),
            (r"``quoted'' text --- a dash, pages 1--9", "“quoted” text — a dash, pages 1–9"),
            (r"\emph{Deep} {\em nets}, \textbf{bold} and {BERT}", "Deep nets, bold and BERT"),
            (r"as in \cite{a,b}, 50\% of A\&B, Fig.~2", "as in , 50% of A&B, Fig. 2"),
            (r"\(a \in B\) and \[c\]", "a ∈ B and c"),
            (r"$\mathcal{L}(\theta)$ with $10^{-3}$ and $f_{\text{max}}$", "L(θ) with 10⁻³ and f_max"),
            (r"it costs $5 to $10, or $3-$4 (US$ and AU$)", "it costs $5 to $10, or $3-$4 (US$ and AU$)"),
            (
                r"https://a.edu/~vgg/ is ~100 km, run --fast C:\new",
                "https://a.edu/~vgg/ is ~100 km, run --fast C:\\new",
            ),
            ("the sets {a, b} and {1}", "the sets {a, b} and 1"),
            (r#"a \"quoted\" word"#, "a \"quoted\" word"),
            ("don't, rock 'n' roll, state-of-the-art", "don't, rock 'n' roll, state-of-the-art"),
            (r"\$30 and 5\,km", "$30 and 5 km"),
            (r"$f'(x) \to \infty$", "f′(x) → ∞"),
        ];
        for (latex, expected) in cases {
            assert_eq!(to_unicode(latex), expected, "{latex}");
        }
    }

    #[test]
    fn unclosed_and_deeply_nested_latex_is_kept() {
        for latex in ["$x", "{", "\\", "\\'", "\\frac", "$$", "\\(", "^", "{}{", "\\emph{a"] {
            let _ = to_unicode(latex);
        }
        let deep = format!("{}x{}", "{\\em ".repeat(5000), "}".repeat(5000));
        assert!(to_unicode(&deep).contains('x'));
        assert!(math_to_unicode(&"{".repeat(5000)).is_empty());
    }

    proptest! {
        #[test]
        fn conversion_never_panics(text in "([\\\\${}^_~`'\"-]|[a-c]|frac|sqrt|\\\\alpha|\\\\emph|\\\\H|é| ){0,40}") {
            let _ = to_unicode(&text);
            let _ = math_to_unicode(&text);
        }

        #[test]
        fn text_without_latex_is_unchanged(text in "[\\p{L}\\p{N} .,;:!?()%&#/+=<>@|-]{0,60}") {
            prop_assume!(!text.contains("--"));
            prop_assert_eq!(to_unicode(&text).nfc().collect::<String>(), text.nfc().collect::<String>());
        }
    }
}
