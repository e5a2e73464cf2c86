//! Extracts elements with certain names from a stream of XML and parses each of them separately.
//!
//! A dump is one XML document of many gigabytes. A parser of the whole document would need all of it in memory and
//! would stop at the first error. Here, an extracted element holds at most one paper, so a malformed element is refused
//! and the next element is read.

use super::lines::{MAX_ENTRY_BYTES, incomplete, unreadable_from_here};
use super::warnings::Warnings;
use super::xml_repair::repair;
use super::{Entries, Entry, Refused};
use roxmltree::{Document, Node, ParsingOptions};
use std::collections::BTreeSet;
use std::io::BufRead;

/// Maximum number of XML nodes in one entry, to limit the use of memory.
const MAX_NODES: u32 = 200_000;

/// Maximum length of a tag, in bytes. It limits the time for parsing, which compares all pairs of attributes of a tag.
const MAX_TAG_BYTES: usize = 64 << 10;

/// Maximum nesting depth of elements whose text is read, counted from the element that [`text`] is called with.
const MAX_DEPTH: usize = 64;

/// The elements to extract, by local name.
pub struct Selection {
    /// Elements that are extracted with their content.
    pub elements: &'static [&'static str],
    /// Elements that are extracted without their content, because they contain the elements in `elements`.
    pub start_tags: &'static [&'static str],
}

/// Returns the entries of a file. `read` converts each extracted element to any number of entries.
pub fn entries(
    reader: Box<dyn BufRead + Send>,
    selection: Selection,
    warnings: &Warnings,
    mut read: impl FnMut(Node, &Warnings) -> Vec<Result<Entry, String>> + Send + 'static,
) -> Entries {
    let warnings = warnings.clone();
    let elements = ElementReader { reader, selection, line: 1, root: None, ended: false };
    Box::new(elements.flat_map(move |element| match element {
        Err(refused) => vec![Err(refused)],
        Ok((line, xml)) => {
            let xml = repair(&xml, &warnings);
            let entries =
                parse(&xml, |element| read(element, &warnings)).unwrap_or_else(|reason| vec![Err(reason)]);
            entries.into_iter().map(|entry| entry.map_err(|reason| Refused { line, reason })).collect()
        }
    }))
}

fn parse<T>(xml: &str, read: impl FnOnce(Node) -> T) -> Result<T, String> {
    let tags = || xml.split('<').map(|tag| tag.split('>').next().unwrap_or_default());
    if tags().any(|tag| tag.len() > MAX_TAG_BYTES) {
        return Err(format!("a tag must be at most {MAX_TAG_BYTES} bytes (got a longer one)"));
    }
    // The namespace prefixes were declared outside the extracted element, so declare them again.
    let declared: String =
        prefixes(xml).into_iter().map(|prefix| format!(" xmlns:{prefix}=\"{prefix}\"")).collect();
    let wrapped = format!("<x{declared}>{xml}</x>");
    let options = ParsingOptions { nodes_limit: MAX_NODES, ..ParsingOptions::default() };
    let document = Document::parse_with_options(&wrapped, options)
        .map_err(|error| format!("the entry cannot be read as XML: {error}"))?;
    let element = document
        .root_element()
        .first_element_child()
        .ok_or("the entry must be an XML element (got nothing)")?;
    Ok(read(element))
}

/// Returns the namespace prefixes of the names of elements and attributes.
fn prefixes(xml: &str) -> BTreeSet<&str> {
    let mut found = BTreeSet::new();
    for tag in xml.split('<').skip(1) {
        let tag = tag.split('>').next().unwrap_or_default();
        for word in tag.trim_start_matches('/').split_ascii_whitespace() {
            let name = word.split('=').next().unwrap_or_default();
            let Some((prefix, _)) = name.split_once(':') else { continue };
            let is_name = !prefix.is_empty()
                && prefix.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
            let is_name =
                is_name && !prefix.starts_with(|first: char| first.is_ascii_digit() || first == '-');
            if is_name && !prefix.starts_with("xml") {
                found.insert(prefix);
            }
        }
    }
    found
}

/// An iterator over the extracted elements. Each item is the number of the line where an element begins, and the XML of
/// the element.
struct ElementReader {
    reader: Box<dyn BufRead + Send>,
    selection: Selection,
    line: u64,
    /// Name of the outermost element while that element is open. Serves to detect files that end too early.
    root: Option<String>,
    ended: bool,
}

impl Iterator for ElementReader {
    type Item = Result<(u64, String), Refused>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.ended {
            match self.element() {
                Ok(Some(element)) => return Some(element),
                Ok(None) => {}
                Err(error) => {
                    self.ended = true;
                    return Some(Err(Refused { line: self.line, reason: unreadable_from_here(&error) }));
                }
            }
        }
        None
    }
}

impl ElementReader {
    /// Reads the next tag, and the rest of its element if the element is one of [`Selection::elements`]. `None`: the
    /// tag is skipped, because it is a comment or its element is not selected, or the file has ended with no element
    /// left open.
    fn element(&mut self) -> std::io::Result<Option<Result<(u64, String), Refused>>> {
        let mut bytes = Vec::new();
        if !self.read_to(b'<', &mut bytes, 0)? {
            self.ended = true;
            let line = self.line;
            let truncated = |root| {
                let reason = incomplete(&format!("the file ends before the end of <{root}>"));
                Err(Refused { line, reason })
            };
            return Ok(self.root.take().map(truncated));
        }
        let line = self.line;
        bytes.clear();
        bytes.push(b'<');
        let is_complete = self.read_to(b'>', &mut bytes, MAX_ENTRY_BYTES)?;
        if bytes.starts_with(b"<!--") {
            self.skip_comment(bytes)?;
            return Ok(None);
        }
        self.follow_root(&bytes);
        let Some(name) = name(&bytes).filter(|name| self.is_selected(name)).map(str::to_string) else {
            return Ok(None);
        };
        let refused = |reason: String| Ok(Some(Err(Refused { line, reason })));
        if !is_complete {
            self.ended = true;
            return refused(incomplete("the file ends in the middle of a tag"));
        }
        let is_empty = bytes.ends_with(b"/>");
        if self.selection.start_tags.contains(&local(&name)) && !is_empty {
            bytes.truncate(bytes.len() - 1);
            bytes.extend_from_slice(b"/>");
        } else if !is_empty {
            let end = format!("</{name}").into_bytes();
            loop {
                let before = bytes.len();
                if !self.read_to(b'>', &mut bytes, MAX_ENTRY_BYTES)? {
                    self.ended = true;
                    return refused(incomplete(&format!("the file ends in the middle of <{name}>")));
                }
                let tag = memchr::memrchr(b'<', &bytes[before..]).map(|offset| &bytes[before + offset..]);
                if tag.is_some_and(|tag| {
                    tag.starts_with(&end) && tag[end.len()..].trim_ascii_start().starts_with(b">")
                }) {
                    break;
                }
                if bytes.len() >= MAX_ENTRY_BYTES {
                    self.skip_past(&end)?;
                    return refused(format!(
                        "<{name}> must be at most {MAX_ENTRY_BYTES} bytes (got a longer one)"
                    ));
                }
            }
        }
        match String::from_utf8(bytes) {
            Ok(xml) => Ok(Some(Ok((line, xml)))),
            Err(_) => refused("the entry is not UTF-8; convert the file to UTF-8".into()),
        }
    }

    fn is_selected(&self, name: &str) -> bool {
        self.selection.elements.contains(&local(name)) || self.selection.start_tags.contains(&local(name))
    }

    /// Tracks where the outermost element begins and ends.
    fn follow_root(&mut self, tag: &[u8]) {
        match &self.root {
            Some(root) => {
                let is_end = tag.strip_prefix(b"</").is_some_and(|tag| {
                    tag.strip_suffix(b">").map(<[u8]>::trim_ascii_end) == Some(root.as_bytes())
                });
                if is_end {
                    self.root = None;
                }
            }
            None => {
                let is_start =
                    |name: &&str| name.starts_with(|first: char| first.is_alphabetic() || first == '_');
                let name =
                    name(tag).filter(is_start).filter(|name| !self.selection.elements.contains(&local(name)));
                self.root = name.filter(|_| !tag.ends_with(b"/>")).map(str::to_string);
            }
        }
    }

    /// Skips the rest of a comment. `read` is the part of the comment that was already read.
    fn skip_comment(&mut self, mut read: Vec<u8>) -> std::io::Result<()> {
        while !read.ends_with(b"-->") {
            // Keep the last bytes, which can be the beginning of `-->`.
            let excess = read.len().saturating_sub(8);
            read.drain(..excess);
            if !self.read_to(b'>', &mut read, MAX_ENTRY_BYTES)? {
                break;
            }
        }
        Ok(())
    }

    /// Reads up to and including the byte `end`, and appends the bytes to `kept` until `kept` holds `limit` bytes.
    /// Returns `false` if the stream ends before the byte `end`.
    fn read_to(&mut self, end: u8, kept: &mut Vec<u8>, limit: usize) -> std::io::Result<bool> {
        loop {
            let bytes = self.reader.fill_buf()?;
            if bytes.is_empty() {
                return Ok(false);
            }
            let found = memchr::memchr(end, bytes);
            let used = found.map_or(bytes.len(), |index| index + 1);
            self.line += memchr::memchr_iter(b'\n', &bytes[..used]).count() as u64;
            let keep = limit.saturating_sub(kept.len()).min(used);
            kept.extend_from_slice(&bytes[..keep]);
            self.reader.consume(used);
            if found.is_some() {
                return Ok(true);
            }
        }
    }

    /// Skips past the end tag of an element that is too long. `end` is the beginning of that end tag, `</name`.
    fn skip_past(&mut self, end: &[u8]) -> std::io::Result<()> {
        let mut tag = Vec::new();
        while self.read_to(b'<', &mut tag, 0)? {
            tag.clear();
            if !self.read_to(b'>', &mut tag, end.len())? || tag == end[1..] {
                return Ok(());
            }
            if tag.starts_with(&end[1..]) {
                return Ok(());
            }
        }
        Ok(())
    }
}

/// Returns a name without its namespace prefix.
fn local(name: &str) -> &str {
    name.rsplit(':').next().unwrap_or(name)
}

/// Returns the name in a start tag.
fn name(tag: &[u8]) -> Option<&str> {
    let name = tag.strip_prefix(b"<")?;
    let end = name.iter().position(|byte| byte.is_ascii_whitespace() || matches!(byte, b'>' | b'/'))?;
    std::str::from_utf8(&name[..end]).ok()
}

/// Returns the first child element with this local name.
pub fn child<'a, 'input>(node: Node<'a, 'input>, name: &str) -> Option<Node<'a, 'input>> {
    children(node, name).next()
}

/// Returns the child elements with this local name.
pub fn children<'a, 'input: 'a>(
    node: Node<'a, 'input>,
    name: &str,
) -> impl Iterator<Item = Node<'a, 'input>> {
    node.children().filter(move |child| child.is_element() && child.tag_name().name() == name)
}

/// Returns the element at a path of local names, such as `a/b`.
pub fn at<'a, 'input>(node: Node<'a, 'input>, path: &str) -> Option<Node<'a, 'input>> {
    path.split('/').try_fold(node, child)
}

/// Returns the text of the element at a path of local names. `None`: there is no such element, or its text is blank.
pub fn text_at(node: Node, path: &str) -> Option<String> {
    at(node, path).map(text).filter(|text| !text.trim().is_empty())
}

/// Returns the text of an element and its descendants. `sup`, `sub` and `tex-math` elements become LaTeX, which a later
/// step converts to Unicode.
pub fn text(node: Node) -> String {
    let mut out = String::new();
    write_text(node, &mut out, 0);
    out
}

fn write_text(node: Node, out: &mut String, depth: usize) {
    for child in node.children() {
        if let Some(text) = child.text().filter(|_| child.is_text()) {
            out.push_str(text);
        } else if child.is_element() && depth < MAX_DEPTH {
            let (before, after) = match child.tag_name().name() {
                "sup" => ("$^{", "}$"),
                "sub" => ("$_{", "}$"),
                "tex-math" => ("$", "$"),
                _ => ("", ""),
            };
            let start = out.len();
            out.push_str(before);
            let inner = out.len();
            write_text(child, out, depth + 1);
            if out.len() == inner {
                out.truncate(start);
            } else {
                out.push_str(after);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufReader, Cursor};

    const SELECTION: Selection = Selection { elements: &["p"], start_tags: &["v"] };

    fn elements(text: &[u8]) -> Vec<Result<(u64, String), u64>> {
        // Read one byte at a time, so that the result cannot depend on where buffers end.
        let reader = BufReader::with_capacity(1, Cursor::new(text.to_vec()));
        let elements = ElementReader {
            reader: Box::new(reader),
            selection: SELECTION,
            line: 1,
            root: None,
            ended: false,
        };
        elements.map(|element| element.map_err(|refused| refused.line)).collect()
    }

    #[test]
    fn selected_elements_are_extracted_with_their_lines() {
        let text = "<?xml?><v a='1'>\n<p>a<b>c</b></p><q/><pp>no</pp>\n<p x='2'/><p >d</p\n></v><p>";
        let expected = [(1, "<v a='1'/>"), (2, "<p>a<b>c</b></p>"), (3, "<p x='2'/>"), (3, "<p >d</p\n>")];
        let got = elements(text.as_bytes());
        assert_eq!(got[..4], expected.map(|(line, xml)| Ok((line, xml.to_string()))));
        assert_eq!(got[4..], [Err(4)], "the last element is incomplete");
        let truncated = "<v><p/>\n<p/>\n";
        assert_eq!(elements(truncated.as_bytes()).last(), Some(&Err(3)));
        let text = "<!-- <p>no</p> --><x:p><x:b/></x:p><!----><p/>";
        let got: Vec<_> = elements(text.as_bytes()).into_iter().map(|element| element.unwrap().1).collect();
        assert_eq!(got, ["<x:p><x:b/></x:p>", "<p/>"]);
        assert_eq!(elements(b"<p>\xff</p><p>a</p>"), [Err(1), Ok((1, "<p>a</p>".into()))]);
    }

    #[test]
    fn an_element_over_the_size_limit_is_refused_and_the_next_is_read() {
        let long = format!("<p>{}<b/></p><p>a</p>", "x".repeat(MAX_ENTRY_BYTES));
        assert_eq!(elements(long.as_bytes()), [Err(1), Ok((1, "<p>a</p>".into()))]);
        let long = format!("<p>{}</p><p>a</p>", "<b>x</b>".repeat(MAX_ENTRY_BYTES / 8));
        assert_eq!(elements(long.as_bytes()), [Err(1), Ok((1, "<p>a</p>".into()))]);
    }

    #[test]
    fn text_includes_all_descendants() {
        let read = |xml: &str| parse(xml, text).unwrap();
        assert_eq!(
            read("<p>H<sub>2</sub>O <i>and</i> <m:x y:z='1'>&lt;<tex-math>x^2</tex-math></m:x><sup/></p>"),
            "H$_{2}$O and <$x^2$"
        );
        assert!(parse("<p>&nothing;</p>", text).unwrap_err().contains("cannot be read as XML"));
        let deep = format!("<p>{}x{}</p>", "<a>".repeat(1000), "</a>".repeat(1000));
        assert_eq!(parse(&deep, text).unwrap(), "");
    }
}
