//! HTML, JATS and character entities in a text → plain text.
//!
//! Its own file because publishers send abstracts as they print them (`H<sub>2</sub>O`, `<jats:p>`, `&amp;lt;`), while
//! `a < b and c > d` is no markup.

use std::borrow::Cow;

/// Tags that stand between words: what is before and after one are two words.
const BLOCKS: [&str; 24] = [
    "abstract",
    "article-title",
    "blockquote",
    "br",
    "dd",
    "div",
    "dl",
    "dt",
    "h1",
    "h2",
    "h3",
    "h4",
    "hr",
    "li",
    "list",
    "list-item",
    "ol",
    "p",
    "sec",
    "table",
    "td",
    "title",
    "tr",
    "ul",
];

/// Tags that stand within words, and say how they look.
const INLINE: [&str; 35] = [
    "a",
    "abbr",
    "alternatives",
    "b",
    "bold",
    "cite",
    "code",
    "em",
    "ext-link",
    "font",
    "i",
    "img",
    "inf",
    "inline-formula",
    "disp-formula",
    "inline-graphic",
    "ital",
    "italic",
    "math",
    "monospace",
    "named-content",
    "q",
    "roman",
    "s",
    "sc",
    "scp",
    "small",
    "span",
    "strong",
    "sub",
    "sup",
    "tt",
    "u",
    "underline",
    "xref",
];

/// Tags whose content is not what is read: the same formula in another notation.
const HIDDEN: [&str; 3] = ["annotation", "annotation-xml", "tex-math"];

/// Prefixes of JATS and MathML: all tags that have one are markup.
const PREFIXES: [&str; 4] = ["jats:", "mml:", "m:", "xhtml:"];

/// Headings that only say that this is an abstract.
const HEADINGS: [&str; 2] = ["abstract", "summary"];

/// As often as an entity is written as entities: `&amp;amp;lt;`.
const DEEPEST: usize = 4;

/// The text without tags, and with characters in place of entities. What is no known tag or entity is left as it is.
pub fn plain(text: &str) -> Cow<'_, str> {
    let mut plain = Cow::Borrowed(text);
    for _ in 0..DEEPEST {
        if memchr::memchr2(b'<', b'&', plain.as_bytes()).is_none() {
            break;
        }
        let next = without_entities(&without_tags(&plain));
        if next == plain {
            break;
        }
        plain = Cow::Owned(next);
    }
    plain
}

/// A tag: what it is called, without a known prefix, and the bytes it takes.
struct Tag<'a> {
    name: &'a str,
    closes: bool,
    is_empty: bool,
    length: usize,
}

/// The tag that a text begins with: `<`, a known name, attributes that have values, `>`.
fn tag(text: &str) -> Option<Tag<'_>> {
    let inner = text.strip_prefix('<')?;
    let end = inner.find('>')?;
    let length = end + 2;
    let inner = &inner[..end];
    if inner.starts_with("!--") {
        let end = text.find("-->")?;
        return Some(Tag { name: "!--", closes: false, is_empty: true, length: end + 3 });
    }
    let (inner, closes) = inner.strip_prefix('/').map_or((inner, false), |inner| (inner, true));
    let (inner, is_empty) = inner.strip_suffix('/').map_or((inner, false), |inner| (inner, true));
    let end = inner.find(char::is_whitespace).unwrap_or(inner.len());
    let (name, attributes) = inner.split_at(end);
    let attributes = attributes.trim();
    if !attributes.is_empty() && !attributes.contains('=') {
        return None;
    }
    let prefix = PREFIXES.iter().find(|prefix| starts_with(name, prefix));
    let name = prefix.map_or(name, |prefix| &name[prefix.len()..]);
    let is_known = [&BLOCKS[..], &INLINE[..], &HIDDEN[..]].iter().any(|names| is_one_of(name, names));
    (is_known || prefix.is_some()).then_some(Tag { name, closes, is_empty, length })
}

fn starts_with(text: &str, prefix: &str) -> bool {
    text.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

fn is_one_of(name: &str, names: &[&str]) -> bool {
    names.iter().any(|known| known.eq_ignore_ascii_case(name))
}

fn without_tags(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(place) = rest.find('<') {
        plain.push_str(&rest[..place]);
        rest = &rest[place..];
        let Some(tag) = tag(rest) else {
            plain.push('<');
            rest = &rest[1..];
            continue;
        };
        rest = &rest[tag.length..];
        if let Some((raised, after)) = raised(&tag, rest) {
            plain.push_str(&raised);
            rest = after;
        } else if is_one_of(tag.name, &BLOCKS) {
            plain.push(' ');
            rest = without_heading(&tag, rest);
        } else if is_one_of(tag.name, &HIDDEN) && !tag.closes && !tag.is_empty {
            rest = after_closing(&tag, rest).unwrap_or(rest);
        }
    }
    plain.push_str(rest);
    plain
}

/// What is between `<sub>` or `<sup>` and its end, as LaTeX, which is made readable with all the rest; and what follows.
fn raised<'a>(tag: &Tag<'_>, rest: &'a str) -> Option<(String, &'a str)> {
    /// Longer ones are no powers or indices, but an end that is missing.
    const LONGEST: usize = 100;
    let signs = [("sub", '_'), ("inf", '_'), ("sup", '^')];
    let (name, sign) = signs.into_iter().find(|(name, _)| tag.name.eq_ignore_ascii_case(name))?;
    if tag.closes || tag.is_empty {
        return None;
    }
    let (start, _) = rest.split_at(rest.floor_char_boundary(LONGEST));
    let end = start.len() - after_closing(tag, start).filter(|after| after.len() < start.len())?.len();
    let inner = &start[..start[..end].rfind("</")?];
    let is_plain =
        !inner.contains(['$', '{', '}', '\\']) && !inner.to_lowercase().contains(&format!("<{name}"));
    is_plain.then(|| (format!("${sign}{{{}}}$", without_tags(inner).trim()), &rest[end..]))
}

/// What follows `<title>Abstract</title>`, where that is what a text goes on with.
fn without_heading<'a>(tag: &Tag<'_>, rest: &'a str) -> &'a str {
    let is_heading = |text: &str| is_one_of(text.trim().trim_end_matches([':', '.']), &HEADINGS);
    match rest.find('<') {
        Some(end) if tag.name.eq_ignore_ascii_case("title") && !tag.closes && is_heading(&rest[..end]) => {
            &rest[end..]
        }
        _ => rest,
    }
}

/// What follows the tag that closes this one, if one does.
fn after_closing<'a>(opened: &Tag<'_>, rest: &'a str) -> Option<&'a str> {
    let mut place = 0;
    while let Some(next) = rest[place..].find("</") {
        place += next;
        match tag(&rest[place..]) {
            Some(tag) if tag.closes && tag.name.eq_ignore_ascii_case(opened.name) => {
                return Some(&rest[place + tag.length..]);
            }
            _ => place += 2,
        }
    }
    None
}

fn without_entities(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(place) = rest.find('&') {
        plain.push_str(&rest[..place]);
        rest = &rest[place..];
        match entity(rest) {
            Some((characters, length)) => {
                plain.push_str(&characters);
                rest = &rest[length..];
            }
            None => {
                plain.push('&');
                rest = &rest[1..];
            }
        }
    }
    plain.push_str(rest);
    plain
}

/// What the entity stands for that a text begins with, and the bytes it takes.
pub fn entity(text: &str) -> Option<(Cow<'static, str>, usize)> {
    /// The longest that HTML has is 33 characters.
    const LONGEST: usize = 40;
    let inner = text.strip_prefix('&')?;
    let end = inner.bytes().take(LONGEST).position(|byte| byte == b';')?;
    let name = &inner[..end];
    let length = end + 2;
    let Some(number) = name.strip_prefix('#') else {
        return quick_xml::escape::resolve_html5_entity(name).map(|characters| (characters.into(), length));
    };
    let hexadecimal = number.strip_prefix(['x', 'X']).map(|digits| u32::from_str_radix(digits, 16));
    let number = hexadecimal.unwrap_or_else(|| number.parse()).ok()?;
    let character = char::from_u32(number).filter(|character| *character != '\0')?;
    Some((character.to_string().into(), length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_becomes_plain_text() {
        for (written, wanted) in [
            ("Growth of <i>E. coli</i> in H<sub>2</sub>O &amp; salt", "Growth of E. coli in H$_{2}$O & salt"),
            ("V<scp>IS</scp>T<scp>ILES</scp>", "VISTILES"),
            (
                "<jats:title>Abstract</jats:title><jats:p>We tile.</jats:p><jats:p>And.</jats:p>",
                "We tile. And.",
            ),
            ("<p>One.<br/>Two.</p><ul><li>Three</li></ul>", "One. Two. Three"),
            ("CO&lt;sub&gt;2&lt;/sub&gt; &amp;amp; p &lt; 0.05", "CO$_{2}$ & p < 0.05"),
            ("<mml:math display=\"inline\"><mml:mi>x</mml:mi><mml:mo>=</mml:mo></mml:math>", "x="),
            ("<alternatives><tex-math id=\"a\">$x < y$</tex-math><mml:mi>x</mml:mi></alternatives>", "x"),
            ("Erd&#337;s &#x2013; R&eacute;nyi<!-- no -->", "Erdős – Rényi"),
            ("<a href=\"https://e.org/?a=1&amp;b=2\">here</a>", "here"),
            ("x<sub>1 and <sup><i>th</i></sup>", "x1 and $^{th}$"),
            ("<I>Upper</I> <SUP>3</SUP>H", "Upper $^{3}$H"),
        ] {
            let plain = crate::paper::collapse_whitespace(&plain(written));
            assert_eq!(plain, wanted, "{written}");
        }
    }

    #[test]
    fn what_is_no_markup_is_left() {
        for text in [
            "When is a < b and c > d in graphs?",
            "a<b and c>d",
            "x <y> z",
            "vector<int> and List<String>",
            "AT&T; R&D & more",
            "p<0.05, q>0.1",
            "<unk> and <mask> tokens, &nosuch;",
            "<script>alert(1)</script> and what it does",
            "ends with <",
            "ends with &",
            "&#0; &#xD83D;",
            "A -> B <- C <-> D",
        ] {
            assert_eq!(plain(text), text);
        }
    }

    #[test]
    fn long_texts_of_nothing_but_openings_take_no_time() {
        let started = std::time::Instant::now();
        for piece in ["<", "&", "<i", "<tex-math>", "</", "<a b=\""] {
            plain(&piece.repeat(100_000 / piece.len()));
        }
        assert!(started.elapsed() < std::time::Duration::from_secs(5), "{:?}", started.elapsed());
    }
}
