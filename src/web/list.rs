//! The list of results, the start page, and a paper as an item of a list.

use super::facets::{Facets, LabelCount, YearCount};
use super::frame::{Focus, Frame, QueryPanel, hidden, path_of, search_form};
use super::page_query::{Order, PageQuery, is_same_label, toggle, toggle_label};
use crate::search::{Explanation, Hit, Mode, ScoreBreakdown};
use likewise_papers::Paper;
use maud::{Markup, html};

/// A paper in a list.
pub struct ListItem {
    /// The paper.
    pub paper: Paper,
    /// The score of the paper. `None`: the list is not ranked by similarity, or the paper has no vector.
    pub score: Option<DisplayScore>,
    /// The explanation of why the paper is a hit. `None`: the list shows no explanations.
    pub explanation: Option<Explanation>,
    /// The sentences of the abstract. The `bool` says whether a sentence is highlighted.
    pub sentences: Vec<(String, bool)>,
    /// Whether the paper was added since the reader's last visit.
    pub is_new: bool,
}

/// The score of a paper, in the form in which a list shows it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum DisplayScore {
    /// The cosine similarity, -1 to 1.
    Cosine(f32),
    /// The score relative to the best score of the list. Neither the score itself nor the probability tells the papers
    /// of a list apart: all scores for a short query are low, and many papers have the same maximum probability.
    RelativeToBest {
        /// The score divided by the best score, 0 to 1.
        ratio: f32,
        /// The probability that the paper is related. `None`: the model is not calibrated.
        probability: Option<f32>,
    },
}

impl DisplayScore {
    /// The score of a hit, relative to `best`, the highest score of the query's hits.
    pub fn of(hit: &Hit, best: f32) -> DisplayScore {
        let ratio = if best > 0.0 { (hit.score / best).clamp(0.0, 1.0) } else { 0.0 };
        DisplayScore::RelativeToBest { ratio, probability: hit.probability }
    }

    fn probability(self) -> Option<f32> {
        match self {
            DisplayScore::Cosine(_) => None,
            DisplayScore::RelativeToBest { probability, .. } => probability,
        }
    }
}

/// Content of the page of results.
pub struct ListView {
    /// The query.
    pub panel: QueryPanel,
    /// One page of the results, in the order in which they are shown.
    pub hits: Vec<ListItem>,
    /// Counts of papers by year, category and venue. A filter by year does not limit the counts by year, so that other
    /// years stay visible; the same holds for categories and for venues.
    pub facets: Facets,
    /// Number of papers that `facets` counts, apart from the counts that ignore a filter.
    pub pool: usize,
    /// Whether there is a next page.
    pub has_more: bool,
    /// Whether there are no hits because no paper is similar enough to the query.
    pub no_match: bool,
    /// Whether the library can compare papers by their terms.
    pub has_terms: bool,
}

/// Number of papers on one page.
pub const PAGE_SIZE: usize = 20;

/// Renders the page of results as HTML.
pub fn list_page(view: &ListView, frame: &Frame) -> String {
    let query = &view.panel.page_query;
    frame.render(html! {
        h1.hidden { "Similar papers" }
        (view.panel.render("/"))
        // If the query consists of ids that no paper has, there are no examples, and therefore no results.
        @if !query.has_no_examples() { div.columns { (aside(view)) (results(view)) } }
    })
}

fn results(view: &ListView) -> Markup {
    let query = &view.panel.page_query;
    html! {
        section.results aria-label="Papers" {
            (tabs(&view.panel, "/"))
            @if view.has_terms { (modes(query)) }
            @if view.no_match { (no_match(query)) }
            @else if view.hits.is_empty() { (no_hits(query)) }
            ol.hits start=(query.offset + 1) { @for hit in &view.hits { (list_item(hit, Some(query))) } }
            @if view.has_more {
                a.more href=(PageQuery { offset: query.offset + PAGE_SIZE, ..query.clone() }.link("/")) { "More papers" }
            }
        }
    }
}

/// Links to the results of a query in each order, and to the map of the results.
pub fn tabs(panel: &QueryPanel, path: &str) -> Markup {
    let query = &panel.page_query;
    let order = |order, name| {
        let is_current = path == "/" && query.order == order;
        html! { a href=(query.with(|query| query.order = order).link("/")) aria-current=[is_current.then_some("true")] { (name) } }
    };
    let is_map = path == "/map";
    html! {
        nav.tabs aria-label="Order" {
            (order(Order::Relevance, "Most similar"))
            @if panel.has_reranker { (order(Order::Reranked, "Reranked")) }
            (order(Order::Newest, "Newest"))
            (order(Order::Diverse, "Diverse"))
            a href=(query.with(|query| query.order = Order::Relevance).link("/map")) aria-current=[is_map.then_some("true")] { "Map" }
        }
    }
}

/// Links to the results of a query in each mode of comparison.
fn modes(query: &PageQuery) -> Markup {
    let mode = |mode, name| {
        let is_current = query.mode == mode;
        html! { a href=(query.with(|query| query.mode = mode).link("/")) aria-current=[is_current.then_some("true")] { (name) } }
    };
    html! {
        nav.modes aria-label="Compared by" {
            span.hint { "Compared by" }
            (mode(None, "meaning and words"))
            (mode(Some(Mode::Semantic), "meaning"))
            (mode(Some(Mode::Lexical), "words"))
        }
    }
}

fn no_match(query: &PageQuery) -> Markup {
    html! {
        div.empty {
            p { "No match: no paper in this library is closely related to your query." }
            p { "Try a longer text, such as a whole abstract, or "
                a href=(query.with(|query| query.all = true).link("/")) { "show the most similar papers anyway" } "." }
        }
    }
}

fn no_hits(query: &PageQuery) -> Markup {
    let has_filter =
        query.from.is_some() || query.to.is_some() || !query.category.is_empty() || !query.venue.is_empty();
    if query.mode == Some(Mode::Lexical) && !has_filter && query.offset == 0 {
        return html! {
            div.empty {
                p { "No paper contains these words." }
                p { a href=(query.with(|query| query.mode = None).link("/")) { "Search by meaning, too" } }
            }
        };
    }
    html! {
        div.empty {
            @if has_filter {
                p { "No paper matches these filters." }
                p { a href=(unfiltered(query).link("/")) { "Search without filters" } }
            } @else if query.offset > 0 {
                p { "There are no more papers." }
                p { a href=(query.with(|_| {}).link("/")) { "Back to the first papers" } }
            } @else {
                p { "This library has no papers yet." }
                p { "Add some with " code { "likewise ingest DUMP" } "." }
            }
        }
    }
}

fn unfiltered(query: &PageQuery) -> PageQuery {
    query.with(|query| {
        (query.from, query.to) = (None, None);
        query.category.clear();
        query.venue.clear();
    })
}

/// A paper as an item of a list. `query` is the query that the list answers; the links `More like this` and `Less like
/// this` add the paper to it. `None`: the list is not the result of a query, so the link is `Similar papers`.
pub fn list_item(item: &ListItem, query: Option<&PageQuery>) -> Markup {
    let paper = &item.paper;
    let id = paper.id.as_str();
    html! {
        li.hit tabindex="-1" {
            article {
                @if let Some(score) = item.score { (score_bar(score)) }
                h2 { a href={ "/papers/" (path_of(id)) } { (paper.title) } }
                p.by { (authors(paper)) }
                p.about {
                    @if item.is_new { span.new { "new" } " " }
                    @if paper.withdrawn { span.withdrawn { "withdrawn" } " " }
                    (publication(paper))
                }
                @if !item.sentences.is_empty() {
                    details.abstract {
                        summary { span.fold { (sentences(&item.sentences)) } }
                    }
                }
                @if let Some(explanation) = &item.explanation { (explanation_details(explanation, item.score.and_then(DisplayScore::probability))) }
                (actions(paper, query))
            }
        }
    }
}

/// The explanation of why a paper is a hit: the shared terms, the probability, the parts of the score, and the most
/// similar sentences.
fn explanation_details(explanation: &Explanation, probability: Option<f32>) -> Markup {
    const MAX_TERMS: usize = 6;
    let ScoreBreakdown { semantic, title, lexical, cross_encoder, .. } = explanation.score_breakdown;
    let reranked = cross_encoder.unwrap_or_default();
    let parts =
        [("meaning", semantic), ("title", title), ("words", lexical), ("reading both together", reranked)];
    let sum: f32 = parts.iter().map(|(_, part)| part.max(0.0)).sum();
    let terms: Vec<&str> = explanation.terms.iter().take(MAX_TERMS).map(|term| term.term.as_str()).collect();
    html! {
        details.explanation {
            summary { "Why this paper" @if !terms.is_empty() { span.terms { (terms.join(", ")) } } }
            @if let Some(probability) = probability {
                p.probability { "Probability that it is related: " (format!("{probability:.2}")) }
            }
            @if sum > 0.0 {
                p.breakdown { @for (name, part) in parts.iter().filter(|(_, part)| *part > 0.0) { span { (name) " " (format!("{:.0} %", 100.0 * part / sum)) } } }
            }
            @for pair in &explanation.pairs {
                div.pair { p { (pair.query.text) } p { (pair.hit.text) } }
            }
        }
    }
}

/// An abstract with its highlighted sentences. If the first highlighted sentence would be out of view in a collapsed
/// abstract, the sentences before it get the class `early`, which the stylesheet hides in a collapsed abstract.
fn sentences(sentences: &[(String, bool)]) -> Markup {
    const VISIBLE_BYTES: usize = 200;
    let first = sentences.iter().position(|(_, is_highlighted)| *is_highlighted).unwrap_or_default();
    let is_hidden = sentences[..first].iter().map(|(text, _)| text.len()).sum::<usize>() > VISIBLE_BYTES;
    let (early, rest) = sentences.split_at(if is_hidden { first } else { 0 });
    html! {
        @if !early.is_empty() { span.early { (highlighted(early)) } }
        (highlighted(rest))
    }
}

fn highlighted(sentences: &[(String, bool)]) -> Markup {
    html! { @for (text, is_highlighted) in sentences { @if *is_highlighted { mark { (text.trim_end()) } " " } @else { (text) } } }
}

/// Returns the names of all authors if there are at most 6. Otherwise, returns the names of the first 5 authors and the
/// number of the other authors.
pub fn authors(paper: &Paper) -> String {
    const MAX_AUTHORS: usize = 6;
    match paper.authors.len() {
        0 => "Unknown authors".into(),
        count if count <= MAX_AUTHORS => paper.authors.join(", "),
        count => {
            let (first, others) = (&paper.authors[..MAX_AUTHORS - 1], count - MAX_AUTHORS + 1);
            format!("{} and {others} others", first.join(", "))
        }
    }
}

/// The date, the venue, the first categories and the id of a paper.
fn publication(paper: &Paper) -> Markup {
    const MAX_CATEGORIES: usize = 4;
    html! {
        @if let Some(date) = &paper.published { time datetime=(date) { (date) } }
        @if let Some(venue) = &paper.venue { span.venue { (venue) } }
        @for category in paper.categories.iter().take(MAX_CATEGORIES) { span.category { (category) } }
        span.id { (paper.id.as_str()) }
    }
}

fn actions(paper: &Paper, query: Option<&PageQuery>) -> Markup {
    let id = paper.id.as_str();
    html! {
        p.actions {
            @if let Some(query) = query {
                a href=(query.with(|query| toggle(&mut query.like, id)).link("/")) { "More like this" }
                a href=(query.with(|query| toggle(&mut query.unlike, id)).link("/")) { "Less like this" }
            } @else {
                a href=(PageQuery::paper(id).link("/")) { "Similar papers" }
            }
            @if let Some(url) = web_address(paper) { a href=(url) rel="noreferrer" { "Source" } }
            a.cite href={ "/v1/papers/" (path_of(id)) "?format=bibtex" } { "BibTeX" }
        }
    }
}

/// Returns the address of a paper if it is an HTTP or HTTPS address, otherwise `None`. An address in a dump can have
/// any scheme, such as `javascript:…`.
pub fn web_address(paper: &Paper) -> Option<&str> {
    let url = paper.url.as_deref()?;
    let is_http = ["https://", "http://"].iter().any(|scheme| url.to_ascii_lowercase().starts_with(scheme));
    is_http.then_some(url)
}

/// A score as a bar and a number.
pub fn score_bar(score: DisplayScore) -> Markup {
    const WIDTH: f32 = 56.0;
    let (length, description, number) = match score {
        DisplayScore::Cosine(cosine) => (cosine, format!("similarity {cosine:.2}"), format!("{cosine:.2}")),
        DisplayScore::RelativeToBest { ratio, .. } => {
            let number = format!("{:.0} %", 100.0 * ratio);
            (ratio, format!("{number} of the best score"), number)
        }
    };
    html! {
        span.score title=(description) {
            svg width="56" height="4" aria-hidden="true" {
                rect.all width="56" height="4" rx="2" {}
                rect.part width=(format!("{:.1}", length.clamp(0.0, 1.0) * WIDTH)) height="4" rx="2" {}
            }
            span.number { span.hidden { (description) } span aria-hidden="true" { (number) } }
        }
    }
}

/// The list of filters, each with the number of papers that match the filter among the papers that [`ListView::facets`]
/// counts.
fn aside(view: &ListView) -> Markup {
    let (facets, query) = (&view.facets, &view.panel.page_query);
    html! {
        aside aria-label="Filters" {
            details.filters {
                summary { "Filters" }
                p.hint { "Counts are for the " (view.pool) " most similar papers; filters search all papers." }
                (years(&facets.years, query))
                (labels("Categories", &facets.categories, &query.category, |query, label| toggle_label(&mut query.category, label), query))
                (labels("Venues", &facets.venues, &query.venue, |query, label| toggle_label(&mut query.venue, label), query))
                p.hint.keys { kbd { "j" } " " kbd { "k" } " next, previous · " kbd { "o" } " abstract · " kbd { "Enter" } " open · " kbd { "/" } " search" }
            }
        }
    }
}

/// The links for one kind of filter: categories or venues. `change` adds a label to the filter or, if the filter has
/// the label, removes it.
fn labels(
    heading: &str,
    counts: &[LabelCount],
    chosen: &[String],
    change: fn(&mut PageQuery, &str),
    query: &PageQuery,
) -> Markup {
    // Active filters are always listed, so that they can be removed, even if no counted paper has the label.
    let uncounted =
        chosen.iter().filter(|label| !counts.iter().any(|count| is_same_label(&count.label, label)));
    let all: Vec<(&String, Option<usize>)> = uncounted
        .map(|label| (label, None))
        .chain(counts.iter().map(|count| (&count.label, Some(count.papers))))
        .collect();
    html! {
        @if !all.is_empty() {
            h2 { (heading) }
            ul.labels {
                @for (label, count) in all {
                    @let is_chosen = chosen.iter().any(|other| is_same_label(other, label));
                    li {
                        a href=(query.with(|query| change(query, label)).link("/")) aria-current=[is_chosen.then_some("true")] {
                            span { (label) }
                            @if let Some(count) = count { span.count { (count) } }
                        }
                    }
                }
            }
        }
    }
}

/// The filter by year. A bar chart shows the number of papers by year; dragging the mouse over the bars sets the range
/// of years. Two fields set the range without a mouse and without the script.
fn years(years: &[YearCount], query: &PageQuery) -> Markup {
    const HEIGHT: f32 = 40.0;
    let max = years.iter().map(|count| count.papers).max().unwrap_or(1).max(1);
    let width = years.len().max(1) * 10;
    let is_within = |year: i32| {
        let (from, to) = query.days();
        let from = from.and_then(|from| from.get(..4)?.parse().ok());
        let to = to.and_then(|to| to.get(..4)?.parse().ok());
        from.is_none_or(|from: i32| year >= from) && to.is_none_or(|to: i32| year <= to)
    };
    html! {
        h2 { "Years" }
        @if years.len() > 1 {
            svg.years viewBox=(format!("0 0 {width} 40")) preserveAspectRatio="none" aria-hidden="true" {
                @for (index, YearCount { year, papers }) in years.iter().enumerate() {
                    @let height = (*papers as f32 / max as f32 * HEIGHT).max(if *papers > 0 { 2.0 } else { 0.0 });
                    rect.out[!is_within(*year)] data-year=(year) x=(index * 10 + 1) y=(format!("{:.1}", HEIGHT - height)) width="8" height=(format!("{height:.1}")) {
                        title { (year) ": " (papers) }
                    }
                }
            }
        }
        form.range action="/" method="get" {
            (hidden(&query.with(|query| (query.from, query.to) = (None, None))))
            label { "from " input name="from" inputmode="numeric" pattern="[0-9]{4}(-[0-9]{2}){0,2}" size="6" placeholder=[years.first().map(|count| count.year)] value=[query.from.as_ref()]; }
            label { "to " input name="to" inputmode="numeric" pattern="[0-9]{4}(-[0-9]{2}){0,2}" size="6" placeholder=[years.last().map(|count| count.year)] value=[query.to.as_ref()]; }
            button type="submit" { "Filter" }
        }
    }
}

/// Renders the start page, with the search form and the newest papers, as HTML.
pub fn start_page(papers: usize, model: &str, newest: &[ListItem], frame: &Frame) -> String {
    frame.render(html! {
        section.start {
            h1 { "Which papers are like this one?" }
            (search_form("", Focus::OnLoad, None))
            p.hint {
                (thousands(papers)) " papers, compared by the model " (model) ". Your text is sent to this server only; it is also part of the address of the results."
            }
        }
        @if !newest.is_empty() {
            section.results aria-label="Newest papers" {
                h2.heading { "Newest papers" }
                ol.hits { @for paper in newest { (list_item(paper, None)) } }
            }
        }
    })
}

/// Formats a number with commas between groups of three digits: 87249 as `87,249`.
pub fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let groups: Vec<&[u8]> = digits.as_bytes().rchunks(3).rev().collect();
    groups.iter().map(|group| std::str::from_utf8(group).unwrap_or_default()).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use likewise_papers::PaperId;

    #[test]
    fn thousands_are_separated_by_commas() {
        assert_eq!(
            [0, 12, 999, 1000, 87_249, 2_700_000].map(thousands),
            ["0", "12", "999", "1,000", "87,249", "2,700,000"]
        );
    }

    #[test]
    fn papers_with_equal_probabilities_have_different_bars() {
        let hit = |score| Hit { score, probability: Some(0.64), ..Hit::default() };
        for (score, number) in [(0.5, "100 %"), (0.45, "90 %"), (0.2, "40 %"), (-0.1, "0 %")] {
            let bar = score_bar(DisplayScore::of(&hit(score), 0.5)).into_string();
            assert!(bar.contains(&format!(">{number}<")), "{bar}");
        }
        assert_eq!(DisplayScore::of(&hit(0.4), 0.5).probability(), Some(0.64));
    }

    #[test]
    fn markup_in_papers_is_escaped() {
        let hostile = "</a><script>alert(1)</script>\" onmouseover=\"x";
        let paper = Paper {
            id: PaperId::parse(hostile).unwrap(),
            title: hostile.into(),
            r#abstract: hostile.into(),
            authors: vec![hostile.into()],
            published: Some("2021".into()),
            categories: vec![hostile.into()],
            venue: Some(hostile.into()),
            url: Some("javascript:alert(1)".into()),
            ..Paper::default()
        };
        let shown = ListItem {
            paper,
            score: Some(DisplayScore::RelativeToBest { ratio: 0.5, probability: Some(0.5) }),
            explanation: None,
            sentences: vec![(hostile.into(), true)],
            is_new: true,
        };
        let text = list_item(&shown, Some(&PageQuery::paper(hostile))).into_string();
        assert!(
            !text.contains("<script") && !text.contains("\" onmouse") && !text.contains("javascript:"),
            "{text}"
        );
    }
}
