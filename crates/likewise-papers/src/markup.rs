//! Converts a text with HTML tags, JATS tags or character entities to plain text.
//!
//! Publishers deliver abstracts with markup (`H<sub>2</sub>O`, `<jats:p>`, `&amp;lt;`). Text that only looks like
//! markup, such as `a < b and c > d`, is kept.

use std::borrow::Cow;

/// Block-level tags, which separate words.
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

/// Inline tags, which do not separate words.
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

/// Tags that are dropped together with their content, because the content repeats a formula in another notation.
const HIDDEN: [&str; 3] = ["annotation", "annotation-xml", "tex-math"];

/// Namespace prefixes of JATS, MathML and XHTML. A tag with one of these prefixes is markup, whatever its name.
const PREFIXES: [&str; 4] = ["jats:", "mml:", "m:", "xhtml:"];

/// Headings that are dropped, because they say only that the text is an abstract.
const HEADINGS: [&str; 2] = ["abstract", "summary"];

/// Maximum number of passes over a text. Several passes are needed because entities can be nested: `&amp;amp;lt;`.
const MAX_PASSES: usize = 4;

/// Removes tags and decodes entities. Unknown tags and entities are kept.
pub fn plain_text(text: &str) -> Cow<'_, str> {
    let mut plain = Cow::Borrowed(text);
    for _ in 0..MAX_PASSES {
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

/// A tag, or a comment.
struct Tag<'a> {
    /// Name without a namespace prefix; `!--` for a comment.
    name: &'a str,
    is_closing: bool,
    is_empty: bool,
    /// Length in bytes, including the angle brackets.
    length: usize,
}

/// Returns the comment or the tag that a text starts with. A tag is `<`, a known name or prefix, attributes of which
/// one or more have a value, `>`. `None` if the text starts with anything else.
fn tag(text: &str) -> Option<Tag<'_>> {
    let inner = text.strip_prefix('<')?;
    let end = inner.find('>')?;
    let length = end + 2;
    let inner = &inner[..end];
    if inner.starts_with("!--") {
        let end = text.find("-->")?;
        return Some(Tag { name: "!--", is_closing: false, is_empty: true, length: end + 3 });
    }
    let (inner, is_closing) = inner.strip_prefix('/').map_or((inner, false), |inner| (inner, true));
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
    (is_known || prefix.is_some()).then_some(Tag { name, is_closing, is_empty, length })
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
    while let Some(position) = rest.find('<') {
        plain.push_str(&rest[..position]);
        rest = &rest[position..];
        let Some(tag) = tag(rest) else {
            plain.push('<');
            rest = &rest[1..];
            continue;
        };
        rest = &rest[tag.length..];
        if let Some((script, after)) = script(&tag, rest) {
            plain.push_str(&script);
            rest = after;
        } else if is_one_of(tag.name, &BLOCKS) {
            plain.push(' ');
            rest = without_heading(&tag, rest);
        } else if is_one_of(tag.name, &HIDDEN) && !tag.is_closing && !tag.is_empty {
            rest = after_closing(&tag, rest).unwrap_or(rest);
        }
    }
    plain.push_str(rest);
    plain
}

/// Converts the content of `<sub>` or `<sup>` to LaTeX, which a later step converts to Unicode. Returns the LaTeX and
/// the text after the closing tag. `None` if `tag` is another tag or its content cannot be converted.
fn script<'a>(tag: &Tag<'_>, rest: &'a str) -> Option<(String, &'a str)> {
    /// Maximum length of the content and the closing tag together, in bytes. If no closing tag is found within this
    /// length, it is probably missing.
    const MAX_BYTES: usize = 100;
    let signs = [("sub", '_'), ("inf", '_'), ("sup", '^')];
    let (name, sign) = signs.into_iter().find(|(name, _)| tag.name.eq_ignore_ascii_case(name))?;
    if tag.is_closing || tag.is_empty {
        return None;
    }
    let (start, _) = rest.split_at(rest.floor_char_boundary(MAX_BYTES));
    let end = start.len() - after_closing(tag, start).filter(|after| after.len() < start.len())?.len();
    let inner = &start[..start[..end].rfind("</")?];
    let is_plain =
        !inner.contains(['$', '{', '}', '\\']) && !inner.to_lowercase().contains(&format!("<{name}"));
    is_plain.then(|| (format!("${sign}{{{}}}$", without_tags(inner).trim()), &rest[end..]))
}

/// Skips the content of a `<title>` that says only "Abstract" or "Summary". `rest` is the text after `tag`.
fn without_heading<'a>(tag: &Tag<'_>, rest: &'a str) -> &'a str {
    let is_heading = |text: &str| is_one_of(text.trim().trim_end_matches([':', '.']), &HEADINGS);
    match rest.find('<') {
        Some(end)
            if tag.name.eq_ignore_ascii_case("title") && !tag.is_closing && is_heading(&rest[..end]) =>
        {
            &rest[end..]
        }
        _ => rest,
    }
}

/// Returns the text after the tag that closes `opened`. `None` if `rest` contains no such tag.
fn after_closing<'a>(opened: &Tag<'_>, rest: &'a str) -> Option<&'a str> {
    let mut position = 0;
    while let Some(next) = rest[position..].find("</") {
        position += next;
        match tag(&rest[position..]) {
            Some(tag) if tag.is_closing && tag.name.eq_ignore_ascii_case(opened.name) => {
                return Some(&rest[position + tag.length..]);
            }
            _ => position += 2,
        }
    }
    None
}

fn without_entities(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(position) = rest.find('&') {
        plain.push_str(&rest[..position]);
        rest = &rest[position..];
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

/// Decodes the entity that a text starts with. Returns the entity's characters, and its length in bytes. `None` if the
/// text does not start with a known entity.
pub fn entity(text: &str) -> Option<(Cow<'static, str>, usize)> {
    /// Maximum length of an entity's name and semicolon, in bytes. The longest name in HTML,
    /// `CounterClockwiseContourIntegral`, has 31 bytes.
    const MAX_NAME_BYTES: usize = 40;
    let inner = text.strip_prefix('&')?;
    let end = inner.bytes().take(MAX_NAME_BYTES).position(|byte| byte == b';')?;
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
    fn markup_is_converted_to_plain_text() {
        for (written, expected) in [
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
            let plain = crate::paper::collapse_whitespace(&plain_text(written));
            assert_eq!(plain, expected, "{written}");
        }
    }

    #[test]
    fn text_that_is_not_markup_is_kept() {
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
            assert_eq!(plain_text(text), text);
        }
    }

    #[test]
    fn many_unclosed_tags_take_linear_time() {
        let started = std::time::Instant::now();
        for piece in ["<", "&", "<i", "<tex-math>", "</", "<a b=\""] {
            plain_text(&piece.repeat(100_000 / piece.len()));
        }
        assert!(started.elapsed() < std::time::Duration::from_secs(5), "{:?}", started.elapsed());
    }
}
