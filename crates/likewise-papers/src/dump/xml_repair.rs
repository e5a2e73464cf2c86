//! Repairs XML with characters that a parser refuses: control characters, HTML entities, a bare `&`, half of a
//! surrogate pair. Without the repair, one such character would cause the whole record to be refused.

use super::warnings::Warnings;
use crate::markup::entity;
use std::borrow::Cow;

/// Delimiters of CDATA sections, in which `&` is a literal character.
const CDATA: (&str, &str) = ("<![CDATA[", "]]>");

/// Returns the XML with all characters and references valid. Characters that are replaced and bare `&` are counted in
/// `warnings`; HTML entities and complete surrogate pairs are decoded without a warning.
pub fn repair<'a>(xml: &'a str, warnings: &Warnings) -> Cow<'a, str> {
    let xml = replace_invalid_characters(xml, warnings);
    if !xml.contains('&') {
        return xml;
    }
    let mut out = String::with_capacity(xml.len());
    let mut rest = &*xml;
    while let Some(offset) = rest.find(['&', '<']) {
        out.push_str(&rest[..offset]);
        rest = &rest[offset..];
        let length = if rest.starts_with('&') {
            let (characters, length) = reference(rest, warnings);
            out.push_str(&characters);
            length
        } else {
            let length = match rest.strip_prefix(CDATA.0) {
                Some(inner) => inner.find(CDATA.1).map_or(rest.len(), |end| CDATA.0.len() + end),
                None => 1,
            };
            out.push_str(&rest[..length]);
            length
        };
        rest = &rest[length..];
    }
    out.push_str(rest);
    Cow::Owned(out)
}

fn replace_invalid_characters<'a>(xml: &'a str, warnings: &Warnings) -> Cow<'a, str> {
    let is_invalid = |character: char| matches!(character, '\u{0}'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}');
    // Test bytes first, because this is faster than testing characters. In UTF-8, U+FFFE and U+FFFF begin with 0xEF.
    let may_be_invalid = |byte: u8| byte == 0xEF || (byte < b' ' && !byte.is_ascii_whitespace());
    if !xml.bytes().any(may_be_invalid) || !xml.contains(is_invalid) {
        return Cow::Borrowed(xml);
    }
    warnings.add("characters that XML does not allow, replaced by spaces", "");
    Cow::Owned(xml.replace(is_invalid, " "))
}

/// Returns the replacement for the reference or bare `&` at the beginning of a text, and the number of bytes of the
/// text that it replaces.
fn reference<'a>(text: &'a str, warnings: &Warnings) -> (Cow<'a, str>, usize) {
    if let Some((unit, length)) = surrogate(text) {
        let second = surrogate(&text[length..]);
        let pair = second.and_then(|(second, _)| char::decode_utf16([unit, second]).next()?.ok());
        return match (pair, second) {
            (Some(character), Some((_, more))) => (character.to_string().into(), length + more),
            _ => {
                warnings.add("half of a surrogate pair, replaced by \u{fffd}", &text[..length]);
                ("\u{fffd}".into(), length)
            }
        };
    }
    let Some((characters, length)) = entity(text) else {
        if let Some(length) = numeric_reference_length(text) {
            warnings.add("characters that XML does not allow, replaced by spaces", "");
            return (" ".into(), length);
        }
        let word = text.split(char::is_whitespace).next().unwrap_or_default();
        warnings.add("an & that begins no reference, read as a literal &", word);
        return ("&amp;".into(), 1);
    };
    let is_predefined = matches!(&text[1..length - 1], "amp" | "lt" | "gt" | "quot" | "apos");
    match &*characters {
        _ if is_predefined => (text[..length].into(), length),
        "&" => ("&amp;".into(), length),
        "<" => ("&lt;".into(), length),
        ">" => ("&gt;".into(), length),
        one if one.chars().all(|character| character.is_control() && !character.is_whitespace()) => {
            warnings.add("characters that XML does not allow, replaced by spaces", "");
            (" ".into(), length)
        }
        _ => (characters, length),
    }
}

/// Returns the number in a reference `&#…;`, which is in base 10 or 16, and the length of the reference in bytes.
/// `None` if the text does not start with such a reference.
fn number(text: &str) -> Option<(u32, usize)> {
    let inner = text.strip_prefix("&#")?;
    let end = inner.bytes().take(12).position(|byte| byte == b';')?;
    let digits = &inner[..end];
    let number = match digits.strip_prefix(['x', 'X']) {
        Some(digits) => u32::from_str_radix(digits, 16),
        None => digits.parse(),
    };
    Some((number.ok()?, end + 3))
}

/// Like [`number`], but only for a reference to half of a surrogate pair; `None` for any other reference.
fn surrogate(text: &str) -> Option<(u16, usize)> {
    let (number, length) = number(text)?;
    let unit = u16::try_from(number).ok().filter(|unit| (0xD800..=0xDFFF).contains(unit))?;
    Some((unit, length))
}

/// Returns the length in bytes of the numeric reference that the text starts with, even if no character has its number.
/// `None` if the text does not start with such a reference.
fn numeric_reference_length(text: &str) -> Option<usize> {
    number(text).map(|(_, length)| length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn xml_that_a_parser_refuses_is_repaired() {
        for (written, expected) in [
            ("<p>a &amp; b &lt; c</p>", "<p>a &amp; b &lt; c</p>"),
            ("<p>AT&T, R & D</p>", "<p>AT&amp;T, R &amp; D</p>"),
            ("<p>Ren&eacute;&nbsp;x &nosuch;</p>", "<p>René\u{a0}x &amp;nosuch;</p>"),
            ("<p>&#xD83D;&#xDE00; &#55357;&#56832; &#xD83D;</p>", "<p>😀 😀 \u{fffd}</p>"),
            ("<p>a\u{1}b\u{b}c&#1;d&#x0;e&#x110000;f</p>", "<p>a b c d e f</p>"),
            ("<p><![CDATA[a & b]]> & c</p>", "<p><![CDATA[a & b]]> &amp; c</p>"),
            ("<p>&#38; &#60;i&#62; &LT;</p>", "<p>&amp; &lt;i&gt; &lt;</p>"),
            ("<a href='?a=1&b=2'/>", "<a href='?a=1&amp;b=2'/>"),
        ] {
            let repaired = repair(written, &Warnings::default());
            assert_eq!(repaired, expected);
            roxmltree::Document::parse(&repaired).unwrap();
        }
    }

    #[test]
    fn repairs_are_warned_about() {
        let warnings = Warnings::default();
        assert!(matches!(repair("<p>fine\n\t</p>", &warnings), Cow::Borrowed(_)));
        repair("<p>a &amp; b</p>", &warnings);
        assert!(warnings.lines().is_empty());
        repair("<p>AT&T \u{1} &#xD83D;</p>", &warnings);
        assert_eq!(warnings.lines().len(), 3, "{:?}", warnings.lines());
    }
}
