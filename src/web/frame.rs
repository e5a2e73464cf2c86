//! The parts that several pages have: the head and the navigation, the search form, and the query above the results.

use super::page_query::{PageQuery, toggle, toggle_label};
use super::statics::{SCRIPT, STYLE};
use maud::{DOCTYPE, Markup, html};

/// The HTML around the content of a page: the head and the navigation.
pub struct Frame<'a> {
    /// Title of the page. The window's title is this title and the program's name. Empty: only the program's name.
    pub title: &'a str,
    /// The newest day with papers, `YYYY-MM-DD`, for the link to the pages of days. `None`: no link.
    pub newest_day: Option<&'a str>,
}

/// Maximum number of example papers that are shown with a link that removes the paper from the query. Each of these
/// links contains the ids of all other example papers, so the size of the page grows with the square of the number of
/// links.
const MAX_CHIPS: usize = 30;

/// The query, as it is shown above the results.
#[derive(Default)]
pub struct QueryPanel {
    /// The query string of the page.
    pub page_query: PageQuery,
    /// The query's texts.
    pub texts: Vec<InputText>,
    /// The query's papers.
    pub chips: Vec<Chip>,
    /// Notices for the reader, such as ids that no paper has.
    pub notes: Vec<String>,
    /// Whether a cross-encoder can rerank the results.
    pub has_reranker: bool,
}

/// A text of the query, split where the text exceeds the model's maximum length.
pub struct InputText {
    /// The beginning of the text, which the model read.
    pub read: String,
    /// The end of the text, which was cut off. Empty: the model read the whole text.
    pub cut: String,
    /// Number of tokens that the model read.
    pub tokens: usize,
}

/// A paper in the query, as an example of similar or of dissimilar papers.
pub struct Chip {
    /// Id of the paper, as it is written in the query.
    pub id: String,
    /// Title of the paper.
    pub title: String,
    /// Whether results should be dissimilar to the paper. `false`: results should be similar to it.
    pub is_unlike: bool,
}

impl Frame<'_> {
    /// Renders the whole page with this content as HTML.
    pub fn render(&self, content: Markup) -> String {
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
                    link rel="stylesheet" href=(STYLE.path());
                    link rel="icon" href="data:,";
                    script src=(SCRIPT.path()) defer {}
                }
                body {
                    a.skip href="#content" { "Skip to the papers" }
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

impl QueryPanel {
    /// Renders the search form, the notices, the papers and the filters of the query, and the texts that were cut off.
    /// The links lead to `path`.
    pub fn render(&self, path: &str) -> Markup {
        // If the query has only unknown ids, show these ids in the form, so that the reader can correct them.
        let text =
            if self.page_query.has_no_examples() { &self.page_query.missing } else { &self.page_query.q };
        html! {
            (search_form(&text.join("\n\n"), Focus::OnClick, Some(&self.page_query)))
            @for note in &self.notes { p.note role="status" { (note) } }
            @if !self.chips.is_empty() {
                ul.chips aria-label="Papers in the query" {
                    @for chip in self.chips.iter().take(MAX_CHIPS) { li { (self.chip(chip, path)) } }
                }
            }
            @if self.chips.len() > MAX_CHIPS {
                details.read {
                    summary { "and " (self.chips.len() - MAX_CHIPS) " more" }
                    @for chip in &self.chips[MAX_CHIPS..] { p { (if chip.is_unlike { "unlike " } else { "" }) (chip.title) } }
                }
            }
            (filters(&self.page_query, path))
            @for text in self.texts.iter().filter(|text| !text.cut.is_empty()) {
                details.read {
                    summary { "The model read the first " (text.tokens) " tokens; the rest was cut off" }
                    p { (text.read) span.cut { (text.cut) } }
                }
            }
        }
    }

    fn chip(&self, chip: &Chip, path: &str) -> Markup {
        let without = self.page_query.with(|query| {
            toggle(if chip.is_unlike { &mut query.unlike } else { &mut query.like }, &chip.id);
        });
        let (class, word) = if chip.is_unlike { ("chip unlike", "unlike") } else { ("chip", "like") };
        html! {
            span class=(class) {
                b { (word) } " "
                a href={ "/papers/" (path_of(&chip.id)) } { (chip.title) }
                a.remove href=(without.link(if without.has_no_examples() { "/" } else { path })) aria-label={ "Remove " (chip.title) } { "×" }
            }
        }
    }
}

/// The active filters, each with a link that removes the filter. The list of all filters shows the active filters, too,
/// but that list can be collapsed, or be far down the page.
fn filters(query: &PageQuery, path: &str) -> Markup {
    let dates = match query.days() {
        (None, None) => None,
        (Some(from), None) => Some(format!("from {from}")),
        (None, Some(to)) => Some(format!("to {to}")),
        (Some(from), Some(to)) if from == to => Some(from.to_string()),
        (Some(from), Some(to)) => Some(format!("{from} – {to}")),
    };
    let dates = dates.map(|dates| (dates, query.with(|query| (query.from, query.to) = (None, None))));
    let category =
        |name: &String| (name.clone(), query.with(|query| toggle_label(&mut query.category, name)));
    let venue = |name: &String| (name.clone(), query.with(|query| toggle_label(&mut query.venue, name)));
    let all: Vec<(String, PageQuery)> = dates
        .into_iter()
        .chain(query.category.iter().map(category))
        .chain(query.venue.iter().map(venue))
        .collect();
    html! {
        @if !all.is_empty() {
            ul.chips aria-label="Active filters" {
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

/// The event that gives the keyboard focus to the search form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Focus {
    /// The page is loaded.
    OnLoad,
    /// The reader clicks into the form, or moves to it with the keyboard.
    OnClick,
}

/// The search form, with `text` in the text field. Hidden fields keep the parameters of `page_query`, except the texts
/// and the parameters that [`PageQuery::with`] resets.
pub fn search_form(text: &str, focus: Focus, page_query: Option<&PageQuery>) -> Markup {
    html! {
        form.ask action="/ask" method="post" role="search" {
            label for="q" { "A sentence, an abstract, an arXiv id, a DOI, or a .bib file" }
            div.field {
                textarea id="q" name="q" rows="3" placeholder="Paste an abstract, yours or another’s …" required[text.is_empty()] autofocus[focus == Focus::OnLoad] autocomplete="off" spellcheck="false" { (text) }
                button type="submit" { "Search" }
            }
            @if let Some(query) = page_query { (hidden(&query.with(|query| query.q.clear()))) }
        }
    }
}

/// The parameters of a query as hidden fields of a form.
pub fn hidden(page_query: &PageQuery) -> Markup {
    let link = page_query.link("");
    let pairs = form_urlencoded::parse(link.trim_start_matches('?').as_bytes());
    html! { @for (name, value) in pairs { input type="hidden" name=(name) value=(value); } }
}

/// The form for the reader's key, for a server that requires a key.
fn key_form() -> Markup {
    html! {
        form.key action="/key" method="post" {
            label for="key" { "Key for this server" }
            input id="key" name="key" type="password" required autocomplete="current-password";
            button type="submit" { "Continue" }
        }
    }
}

/// Returns the id of a paper as part of a URL path. All characters are percent-encoded, except ASCII letters, digits,
/// and some punctuation that is safe in a path.
pub fn path_of(id: &str) -> String {
    let mut path = String::with_capacity(id.len());
    // Browsers resolve `.` and `..` between slashes, even if the dots are encoded; so the slashes are encoded instead.
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

/// Renders the page of an error: the message, and the search form with `text`. For status 401, the page has the form
/// for a key instead of the search form.
pub fn problem_page(message: &str, status: u16, text: &str) -> String {
    let title = match status {
        404 => "Not found",
        401 | 403 => "Not allowed",
        429 | 503 => "The server is busy",
        500.. => "Something went wrong",
        _ => "Invalid request",
    };
    Frame { title, newest_day: None }.render(html! {
        section.empty {
            h1 { (title) }
            p { (message) }
        }
        @if status == 401 { (key_form()) } @else { (search_form(text, Focus::OnClick, None)) }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_percent_encoded_for_paths() {
        assert_eq!(path_of("10.1000/a(b)?c#d e%"), "10.1000/a(b)%3Fc%23d%20e%25");
        assert_eq!(path_of("é"), "%C3%A9");
        assert_eq!(path_of("a/../b"), "a%2F..%2Fb");
    }

    #[test]
    fn messages_and_texts_are_escaped() {
        let page = problem_page("<script>alert(1)</script>", 404, "</textarea><b>");
        assert!(!page.contains("<script>a") && !page.contains("</textarea><b>"), "{page}");
    }
}
