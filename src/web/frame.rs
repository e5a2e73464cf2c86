//! What every page has: its head, the way to ask, and what is asked now.

use super::asked::{Asked, toggle, toggle_label};
use super::statics::{SCRIPT, STYLE, address};
use maud::{DOCTYPE, Markup, html};

/// A page's frame.
pub struct Frame<'a> {
    /// For the window's title; the program's name follows.
    pub title: &'a str,
    /// The day of the newest paper, if there is one.
    pub newest_day: Option<&'a str>,
}

/// Papers of a question that can be taken out of it one by one: the address of each such link has all the others in it.
const CHIPS: usize = 30;

/// What is asked, as it is shown above the answers.
#[derive(Default)]
pub struct Question {
    /// As the address has it.
    pub asked: Asked,
    /// The texts, as far as they were read.
    pub reads: Vec<Read>,
    /// The papers.
    pub chips: Vec<Chip>,
    /// What somebody should know: that something was cut, or is not here.
    pub notes: Vec<String>,
}

/// A text that was read.
pub struct Read {
    /// What the model read of it.
    pub read: String,
    /// What it did not.
    pub cut: String,
    /// Tokens that were read.
    pub tokens: usize,
}

/// A paper that is a part of the question.
pub struct Chip {
    /// Its id, as it was asked by.
    pub id: String,
    /// Its title.
    pub title: String,
    /// Whether answers should be unlike it.
    pub is_unlike: bool,
}

impl Frame<'_> {
    /// The page around some content.
    pub fn around(&self, content: Markup) -> String {
        let title =
            if self.title.is_empty() { "likewise".into() } else { format!("{} · likewise", self.title) };
        let page = html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    title { (title) }
                    link rel="stylesheet" href=(address(&STYLE));
                    link rel="icon" href="data:,";
                    script src=(address(&SCRIPT)) defer {}
                }
                body {
                    a.skip href="#content" { "To the papers" }
                    header.top {
                        a.brand href="/" { "likewise" }
                        nav aria-label="Pages" {
                            @if let Some(day) = self.newest_day { a href={ "/date/" (day) } { "Days" } }
                            a href="/status" { "Status" }
                            a href="/docs/" { "API" }
                        }
                    }
                    main id="content" { (content) }
                }
            }
        };
        page.into_string()
    }
}

impl Question {
    /// The field, what was read of it, and the papers that are a part of the question.
    pub fn shown(&self, path: &str) -> Markup {
        // What was named and is not here stays to be mended, if it is all there is.
        let text = if self.asked.is_nothing() { &self.asked.missing } else { &self.asked.q };
        html! {
            (field(&text.join("\n\n"), false, Some(&self.asked)))
            @for note in &self.notes { p.note role="status" { (note) } }
            @if !self.chips.is_empty() {
                ul.chips aria-label="Papers in the question" {
                    @for chip in self.chips.iter().take(CHIPS) { li { (self.chip(chip, path)) } }
                }
            }
            @if self.chips.len() > CHIPS {
                details.read {
                    summary { "and " (self.chips.len() - CHIPS) " more" }
                    @for chip in &self.chips[CHIPS..] { p { (if chip.is_unlike { "unlike " } else { "" }) (chip.title) } }
                }
            }
            (filters(&self.asked, path))
            @for read in self.reads.iter().filter(|read| !read.cut.is_empty()) {
                details.read {
                    summary { "The first " (read.tokens) " tokens were read; the rest was cut" }
                    p { (read.read) span.cut { (read.cut) } }
                }
            }
        }
    }

    fn chip(&self, chip: &Chip, path: &str) -> Markup {
        let without = self.asked.with(|asked| {
            toggle(if chip.is_unlike { &mut asked.unlike } else { &mut asked.like }, &chip.id);
        });
        let (class, word) = if chip.is_unlike { ("chip unlike", "unlike") } else { ("chip", "like") };
        html! {
            span class=(class) {
                b { (word) } " "
                a href={ "/papers/" (path_of(&chip.id)) } { (chip.title) }
                a.remove href=(without.link(if without.is_nothing() { "/" } else { path })) aria-label={ "Remove " (chip.title) } { "×" }
            }
        }
    }
}

/// The filters that are set, each to be taken back: the list of all may be folded, or far down.
fn filters(asked: &Asked, path: &str) -> Markup {
    let dates = match asked.days() {
        (None, None) => None,
        (Some(from), None) => Some(format!("from {from}")),
        (None, Some(to)) => Some(format!("to {to}")),
        (Some(from), Some(to)) if from == to => Some(from.to_string()),
        (Some(from), Some(to)) => Some(format!("{from} – {to}")),
    };
    let ever = dates.map(|dates| (dates, asked.with(|asked| (asked.from, asked.to) = (None, None))));
    let category =
        |name: &String| (name.clone(), asked.with(|asked| toggle_label(&mut asked.category, name)));
    let venue = |name: &String| (name.clone(), asked.with(|asked| toggle_label(&mut asked.venue, name)));
    let all: Vec<(String, Asked)> = ever
        .into_iter()
        .chain(asked.category.iter().map(category))
        .chain(asked.venue.iter().map(venue))
        .collect();
    html! {
        @if !all.is_empty() {
            ul.chips aria-label="Filters that are set" {
                @for (name, without) in &all {
                    li { span.chip.filter {
                        span { "only " b { (name) } }
                        a.remove href=(without.link(path)) aria-label={ "Remove the filter " (name) } { "×" }
                    } }
                }
            }
        }
    }
}

/// The field that takes everything; `is_first`, if a page is for nothing else. What else is asked stays.
pub fn field(text: &str, is_first: bool, asked: Option<&Asked>) -> Markup {
    html! {
        form.ask action="/ask" method="post" role="search" {
            label for="q" { "A sentence, an abstract, an arXiv id, a DOI, or a .bib file" }
            div.field {
                textarea id="q" name="q" rows="3" placeholder="Paste an abstract, yours or another’s …" required[text.is_empty()] autofocus[is_first] autocomplete="off" spellcheck="false" { (text) }
                button type="submit" { "Find" }
            }
            @if let Some(asked) = asked { (hidden(&asked.with(|asked| asked.q.clear()))) }
        }
    }
}

/// What is asked, as a form's hidden fields.
pub fn hidden(asked: &Asked) -> Markup {
    let link = asked.link("");
    let pairs = form_urlencoded::parse(link.trim_start_matches('?').as_bytes());
    html! { @for (name, value) in pairs { input type="hidden" name=(name) value=(value); } }
}

/// Where a reader's key is given, where a server wants one.
fn key() -> Markup {
    html! {
        form.key action="/key" method="post" {
            label for="key" { "Key" }
            input id="key" name="key" type="password" required autocomplete="current-password";
            button type="submit" { "Open" }
        }
    }
}

/// An id in a path: what would end one is encoded.
pub fn path_of(id: &str) -> String {
    let mut path = String::with_capacity(id.len());
    // Browsers go up and down by these.
    let has_dots = id.split('/').any(|part| [".", ".."].contains(&part));
    for byte in id.bytes() {
        match byte {
            b'/' if has_dots => path.push_str("%2F"),
            b'0'..=b'9'
            | b'a'..=b'z'
            | b'A'..=b'Z'
            | b'-'
            | b'.'
            | b'_'
            | b'~'
            | b'/'
            | b':'
            | b'('
            | b')' => {
                path.push(byte.into());
            }
            _ => path.push_str(&format!("%{byte:02X}")),
        }
    }
    path
}

/// What went wrong, and what to do.
pub fn problem_page(what: &str, status: u16, text: &str) -> String {
    let title = match status {
        404 => "Not here",
        401 | 403 => "Not allowed",
        429 | 503 => "Busy",
        500.. => "Something went wrong",
        _ => "That cannot be asked",
    };
    Frame { title, newest_day: None }.around(html! {
        section.empty {
            h1 { (title) }
            p { (what) }
        }
        @if status == 401 { (key()) } @else { (field(text, false, None)) }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_stay_one_path() {
        assert_eq!(path_of("10.1000/a(b)?c#d e%"), "10.1000/a(b)%3Fc%23d%20e%25");
        assert_eq!(path_of("é"), "%C3%A9");
        assert_eq!(path_of("a/../b"), "a%2F..%2Fb");
    }

    #[test]
    fn what_is_said_is_escaped() {
        let page = problem_page("<script>alert(1)</script>", 404, "</textarea><b>");
        assert!(!page.contains("<script>a") && !page.contains("</textarea><b>"), "{page}");
    }
}
