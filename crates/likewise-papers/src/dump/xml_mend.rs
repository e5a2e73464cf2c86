//! XML as archives write it → XML as its parser wants it: control characters, entities of HTML, a bare `&`, half of a
//! surrogate pair.
//!
//! Its own file because a parser refuses a whole record for one of them, and the record's text is sound but for that.

use super::unread::Unread;
use crate::markup::entity;
use std::borrow::Cow;

/// Within these, `&` stands for itself.
const CDATA: (&str, &str) = ("<![CDATA[", "]]>");

/// The same text, well-formed as far as characters go. What was mended is noted.
pub fn mended<'a>(xml: &'a str, unread: &Unread) -> Cow<'a, str> {
    let xml = without_controls(xml, unread);
    if !xml.contains('&') {
        return xml;
    }
    let mut whole = String::with_capacity(xml.len());
    let mut rest = &*xml;
    while let Some(place) = rest.find(['&', '<']) {
        whole.push_str(&rest[..place]);
        rest = &rest[place..];
        let length = if rest.starts_with('&') {
            let (characters, length) = reference(rest, unread);
            whole.push_str(&characters);
            length
        } else {
            let length = match rest.strip_prefix(CDATA.0) {
                Some(inner) => inner.find(CDATA.1).map_or(rest.len(), |end| CDATA.0.len() + end),
                None => 1,
            };
            whole.push_str(&rest[..length]);
            length
        };
        rest = &rest[length..];
    }
    whole.push_str(rest);
    Cow::Owned(whole)
}

fn without_controls<'a>(xml: &'a str, unread: &Unread) -> Cow<'a, str> {
    let is_none = |character: char| matches!(character, '\u{0}'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}');
    // Most texts are told by their bytes, which is faster: U+FFFE and U+FFFF begin as U+FFFD does.
    let may_have = |byte: u8| byte == 0xEF || (byte < b' ' && !byte.is_ascii_whitespace());
    if !xml.bytes().any(may_have) || !xml.contains(is_none) {
        return Cow::Borrowed(xml);
    }
    unread.note("characters that XML does not have, read as spaces", "");
    Cow::Owned(xml.replace(is_none, " "))
}

/// What is to be written for the `&` that a text begins with, and the bytes that it takes.
fn reference<'a>(text: &'a str, unread: &Unread) -> (Cow<'a, str>, usize) {
    if let Some((unit, length)) = surrogate(text) {
        let second = surrogate(&text[length..]);
        let pair = second.and_then(|(second, _)| char::decode_utf16([unit, second]).next()?.ok());
        return match (pair, second) {
            (Some(character), Some((_, more))) => (character.to_string().into(), length + more),
            _ => {
                unread.note("half of a surrogate pair, read as \u{fffd}", &text[..length]);
                ("\u{fffd}".into(), length)
            }
        };
    }
    let Some((characters, length)) = entity(text) else {
        if let Some(length) = number_of_none(text) {
            unread.note("characters that XML does not have, read as spaces", "");
            return (" ".into(), length);
        }
        unread
            .note("an & that stands for itself", text.split(char::is_whitespace).next().unwrap_or_default());
        return ("&amp;".into(), 1);
    };
    let is_own = matches!(&text[1..length - 1], "amp" | "lt" | "gt" | "quot" | "apos");
    match &*characters {
        _ if is_own => (text[..length].into(), length),
        "&" => ("&amp;".into(), length),
        "<" => ("&lt;".into(), length),
        ">" => ("&gt;".into(), length),
        one if one.chars().all(|character| character.is_control() && !character.is_whitespace()) => {
            unread.note("characters that XML does not have, read as spaces", "");
            (" ".into(), length)
        }
        _ => (characters, length),
    }
}

/// The digits of `&#…;`, in base 10 or 16, and the bytes it takes.
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

fn surrogate(text: &str) -> Option<(u16, usize)> {
    let (number, length) = number(text)?;
    let unit = u16::try_from(number).ok().filter(|unit| (0xD800..=0xDFFF).contains(unit))?;
    Some((unit, length))
}

/// The bytes of a reference to a number that is no character.
fn number_of_none(text: &str) -> Option<usize> {
    number(text).map(|(_, length)| length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_parser_refuses_is_mended() {
        for (written, wanted) in [
            ("<p>a &amp; b &lt; c</p>", "<p>a &amp; b &lt; c</p>"),
            ("<p>AT&T, R & D</p>", "<p>AT&amp;T, R &amp; D</p>"),
            ("<p>Ren&eacute;&nbsp;x &nosuch;</p>", "<p>René\u{a0}x &amp;nosuch;</p>"),
            ("<p>&#xD83D;&#xDE00; &#55357;&#56832; &#xD83D;</p>", "<p>😀 😀 \u{fffd}</p>"),
            ("<p>a\u{1}b\u{b}c&#1;d&#x0;e&#x110000;f</p>", "<p>a b c d e f</p>"),
            ("<p><![CDATA[a & b]]> & c</p>", "<p><![CDATA[a & b]]> &amp; c</p>"),
            ("<p>&#38; &#60;i&#62; &LT;</p>", "<p>&amp; &lt;i&gt; &lt;</p>"),
            ("<a href='?a=1&b=2'/>", "<a href='?a=1&amp;b=2'/>"),
        ] {
            let mended = mended(written, &Unread::default());
            assert_eq!(mended, wanted);
            roxmltree::Document::parse(&mended).unwrap();
        }
    }

    #[test]
    fn what_was_mended_is_noted() {
        let unread = Unread::default();
        assert!(matches!(mended("<p>fine\n\t</p>", &unread), Cow::Borrowed(_)));
        mended("<p>a &amp; b</p>", &unread);
        assert!(unread.lines().is_empty());
        mended("<p>AT&T \u{1} &#xD83D;</p>", &unread);
        assert_eq!(unread.lines().len(), 3, "{:?}", unread.lines());
    }
}
