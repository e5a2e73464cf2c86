//! XML, one element after the other: those of some names are cut out of the stream, and parsed alone.
//!
//! Its own file because an archive's XML is one document of gigabytes: parsed as one, its first mistake would be its
//! end, and it would have to be held whole. What is cut out is one paper, so a bad one is refused and the next one read.

use super::lines::MAX_ENTRY_BYTES;
use super::unread::Unread;
use super::xml_mend::mended;
use super::{Entries, Entry, Refused};
use roxmltree::{Document, Node, ParsingOptions};
use std::collections::BTreeSet;
use std::io::BufRead;

/// Most elements and texts that one entry may have: each takes memory.
const MAX_NODES: u32 = 200_000;

/// Longest tag: attributes are compared with each other.
const LONGEST_TAG: usize = 64 << 10;

/// Elements within elements whose text is read.
const DEEPEST: usize = 64;

/// What to cut out.
pub struct Cut {
    /// Elements that are taken whole.
    pub whole: &'static [&'static str],
    /// Elements of which only the start tag is taken, since the others stand in them.
    pub starts: &'static [&'static str],
}

/// Gives what `read` makes of every element that is cut out: an entry, none, or several.
pub fn entries(
    reader: Box<dyn BufRead + Send>,
    cut: Cut,
    unread: &Unread,
    mut read: impl FnMut(Node, &Unread) -> Vec<Result<Entry, String>> + Send + 'static,
) -> Entries {
    let unread = unread.clone();
    let elements = Elements { reader, cut, line: 1, root: None, ended: false };
    Box::new(elements.flat_map(move |element| match element {
        Err(refused) => vec![Err(refused)],
        Ok((line, xml)) => {
            let xml = mended(&xml, &unread);
            let entries =
                parse(&xml, |element| read(element, &unread)).unwrap_or_else(|reason| vec![Err(reason)]);
            entries.into_iter().map(|entry| entry.map_err(|reason| Refused { line, reason })).collect()
        }
    }))
}

fn parse<T>(xml: &str, read: impl FnOnce(Node) -> T) -> Result<T, String> {
    let tags = || xml.split('<').map(|tag| tag.split('>').next().unwrap_or_default());
    if tags().any(|tag| tag.len() > LONGEST_TAG) {
        return Err(format!("got a tag of over {LONGEST_TAG} bytes, wanted a paper"));
    }
    // What stands around it declared its prefixes.
    let declared: String =
        prefixes(xml).into_iter().map(|prefix| format!(" xmlns:{prefix}=\"{prefix}\"")).collect();
    let wrapped = format!("<x{declared}>{xml}</x>");
    let options = ParsingOptions { nodes_limit: MAX_NODES, ..ParsingOptions::default() };
    let document = Document::parse_with_options(&wrapped, options)
        .map_err(|error| format!("it is not well-formed XML: {error}"))?;
    let element = document.root_element().first_element_child().ok_or("it is empty; wanted an element")?;
    Ok(read(element))
}

/// The prefixes of names in tags.
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

/// The elements that are cut out, with the lines they begin in.
struct Elements {
    reader: Box<dyn BufRead + Send>,
    cut: Cut,
    line: u64,
    /// The element that all others stand in, while it is open.
    root: Option<String>,
    ended: bool,
}

impl Iterator for Elements {
    type Item = Result<(u64, String), Refused>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.ended {
            match self.element() {
                Ok(Some(element)) => return Some(element),
                Ok(None) => {}
                Err(error) => {
                    self.ended = true;
                    let reason = format!(
                        "the file ends badly here ({error}); everything before was read, get the file again"
                    );
                    return Some(Err(Refused { line: self.line, reason }));
                }
            }
        }
        None
    }
}

impl Elements {
    /// Reads up to the next tag, and the element it begins, if that is one to cut out.
    fn element(&mut self) -> std::io::Result<Option<Result<(u64, String), Refused>>> {
        let mut bytes = Vec::new();
        if !self.read_to(b'<', &mut bytes, 0)? {
            self.ended = true;
            let line = self.line;
            let is_cut_off = |root| {
                let reason = format!(
                    "the file ends before its <{root}> does; everything before was read, get the file again"
                );
                Err(Refused { line, reason })
            };
            return Ok(self.root.take().map(is_cut_off));
        }
        let line = self.line;
        bytes.clear();
        bytes.push(b'<');
        let is_whole = self.read_to(b'>', &mut bytes, MAX_ENTRY_BYTES)?;
        if bytes.starts_with(b"<!--") {
            self.skip_comment(bytes)?;
            return Ok(None);
        }
        self.follow_root(&bytes);
        let Some(name) = name(&bytes).filter(|name| self.is_cut(name)).map(str::to_string) else {
            return Ok(None);
        };
        let refused = |reason: String| Ok(Some(Err(Refused { line, reason })));
        if !is_whole {
            self.ended = true;
            return refused("the file ends in the middle of a tag; get the file again".into());
        }
        let is_empty = bytes.ends_with(b"/>");
        if self.cut.starts.contains(&local(&name)) && !is_empty {
            bytes.truncate(bytes.len() - 1);
            bytes.extend_from_slice(b"/>");
        } else if !is_empty {
            let end = format!("</{name}").into_bytes();
            loop {
                let before = bytes.len();
                if !self.read_to(b'>', &mut bytes, MAX_ENTRY_BYTES)? {
                    self.ended = true;
                    return refused(format!(
                        "the file ends within a <{name}>; everything before was read, get the file again"
                    ));
                }
                let tag = memchr::memrchr(b'<', &bytes[before..]).map(|place| &bytes[before + place..]);
                if tag.is_some_and(|tag| {
                    tag.starts_with(&end) && tag[end.len()..].trim_ascii_start().starts_with(b">")
                }) {
                    break;
                }
                if bytes.len() >= MAX_ENTRY_BYTES {
                    self.skip_past(&end)?;
                    return refused(format!(
                        "got a <{name}> of over {MAX_ENTRY_BYTES} bytes, wanted a paper"
                    ));
                }
            }
        }
        match String::from_utf8(bytes) {
            Ok(xml) => Ok(Some(Ok((line, xml)))),
            Err(_) => refused("it is not UTF-8; convert the file to UTF-8".into()),
        }
    }

    fn is_cut(&self, name: &str) -> bool {
        self.cut.whole.contains(&local(name)) || self.cut.starts.contains(&local(name))
    }

    /// Takes note of where the outermost element begins and ends.
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
                let name = name(tag).filter(is_start).filter(|name| !self.cut.whole.contains(&local(name)));
                self.root = name.filter(|_| !tag.ends_with(b"/>")).map(str::to_string);
            }
        }
    }

    /// Skips a comment whose beginning was read.
    fn skip_comment(&mut self, mut read: Vec<u8>) -> std::io::Result<()> {
        while !read.ends_with(b"-->") {
            let kept = read.len().saturating_sub(8);
            read.drain(..kept);
            if !self.read_to(b'>', &mut read, MAX_ENTRY_BYTES)? {
                break;
            }
        }
        Ok(())
    }

    /// Reads up to and including a byte; keeps no more than `most` bytes in all. Gives whether the byte was there.
    fn read_to(&mut self, end: u8, kept: &mut Vec<u8>, most: usize) -> std::io::Result<bool> {
        loop {
            let bytes = self.reader.fill_buf()?;
            if bytes.is_empty() {
                return Ok(false);
            }
            let found = memchr::memchr(end, bytes);
            let used = found.map_or(bytes.len(), |place| place + 1);
            self.line += memchr::memchr_iter(b'\n', &bytes[..used]).count() as u64;
            // The last byte tells what it is, even of what is too long.
            let room = most.saturating_sub(kept.len()).min(used);
            kept.extend_from_slice(&bytes[..room]);
            self.reader.consume(used);
            if found.is_some() {
                return Ok(true);
            }
        }
    }

    /// Skips past the end of an element that is too long to be held.
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

/// A name without its prefix.
fn local(name: &str) -> &str {
    name.rsplit(':').next().unwrap_or(name)
}

/// The name of a start tag.
fn name(tag: &[u8]) -> Option<&str> {
    let name = tag.strip_prefix(b"<")?;
    let end = name.iter().position(|byte| byte.is_ascii_whitespace() || matches!(byte, b'>' | b'/'))?;
    std::str::from_utf8(&name[..end]).ok()
}

/// The first child element of this name, whatever its prefix.
pub fn child<'a, 'input>(node: Node<'a, 'input>, name: &str) -> Option<Node<'a, 'input>> {
    children(node, name).next()
}

/// The child elements of this name, whatever their prefix.
pub fn children<'a, 'input: 'a>(
    node: Node<'a, 'input>,
    name: &str,
) -> impl Iterator<Item = Node<'a, 'input>> {
    node.children().filter(move |child| child.is_element() && child.tag_name().name() == name)
}

/// The element at the end of a path of names.
pub fn at<'a, 'input>(node: Node<'a, 'input>, path: &str) -> Option<Node<'a, 'input>> {
    path.split('/').try_fold(node, child)
}

/// The text at the end of a path of names, if there is some.
pub fn text_at(node: Node, path: &str) -> Option<String> {
    at(node, path).map(text).filter(|text| !text.trim().is_empty())
}

/// The text of an element and all that is in it. Powers, indices and formulas become LaTeX, which is made readable
/// with all the rest.
pub fn text(node: Node) -> String {
    let mut out = String::new();
    write_text(node, &mut out, 0);
    out
}

fn write_text(node: Node, out: &mut String, depth: usize) {
    for child in node.children() {
        if let Some(text) = child.text().filter(|_| child.is_text()) {
            out.push_str(text);
        } else if child.is_element() && depth < DEEPEST {
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

    const CUT: Cut = Cut { whole: &["p"], starts: &["v"] };

    fn elements(text: &[u8]) -> Vec<Result<(u64, String), u64>> {
        // A byte at a time: nothing may depend on where a buffer ends.
        let reader = BufReader::with_capacity(1, Cursor::new(text.to_vec()));
        let elements = Elements { reader: Box::new(reader), cut: CUT, line: 1, root: None, ended: false };
        elements.map(|element| element.map_err(|refused| refused.line)).collect()
    }

    #[test]
    fn elements_are_cut_out_wherever_they_stand() {
        let text = "<?xml?><v a='1'>\n<p>a<b>c</b></p><q/><pp>no</pp>\n<p x='2'/><p >d</p\n></v><p>";
        let wanted = [(1, "<v a='1'/>"), (2, "<p>a<b>c</b></p>"), (3, "<p x='2'/>"), (3, "<p >d</p\n>")];
        let got = elements(text.as_bytes());
        assert_eq!(got[..4], wanted.map(|(line, xml)| Ok((line, xml.to_string()))));
        assert_eq!(got[4..], [Err(4)], "the last one has no end");
        let cut_off = "<v><p/>\n<p/>\n";
        assert_eq!(elements(cut_off.as_bytes()).last(), Some(&Err(3)));
        let text = "<!-- <p>no</p> --><x:p><x:b/></x:p><!----><p/>";
        let got: Vec<_> = elements(text.as_bytes()).into_iter().map(|element| element.unwrap().1).collect();
        assert_eq!(got, ["<x:p><x:b/></x:p>", "<p/>"]);
        assert_eq!(elements(b"<p>\xff</p><p>a</p>"), [Err(1), Ok((1, "<p>a</p>".into()))]);
    }

    #[test]
    fn one_too_long_to_hold_is_skipped() {
        let long = format!("<p>{}<b/></p><p>a</p>", "x".repeat(MAX_ENTRY_BYTES));
        assert_eq!(elements(long.as_bytes()), [Err(1), Ok((1, "<p>a</p>".into()))]);
        let long = format!("<p>{}</p><p>a</p>", "<b>x</b>".repeat(MAX_ENTRY_BYTES / 8));
        assert_eq!(elements(long.as_bytes()), [Err(1), Ok((1, "<p>a</p>".into()))]);
    }

    #[test]
    fn text_is_all_that_is_in_an_element() {
        let read = |xml: &str| parse(xml, text).unwrap();
        assert_eq!(
            read("<p>H<sub>2</sub>O <i>and</i> <m:x y:z='1'>&lt;<tex-math>x^2</tex-math></m:x><sup/></p>"),
            "H$_{2}$O and <$x^2$"
        );
        assert!(parse("<p>&nothing;</p>", text).unwrap_err().contains("not well-formed"));
        let deep = format!("<p>{}x{}</p>", "<a>".repeat(1000), "</a>".repeat(1000));
        assert_eq!(parse(&deep, text).unwrap(), "");
    }
}
