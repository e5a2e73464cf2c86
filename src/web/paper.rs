//! The page of a paper, which shows the metadata, the versions, and the similar papers.

use super::frame::{Focus, Frame, path_of, search_form};
use super::list::{DisplayScore, ListItem, authors, list_item, score_bar, web_address};
use super::page_query::PageQuery;
use likewise_papers::Paper;
use maud::{Markup, html};

/// Content of the page of a paper.
pub struct PaperView {
    /// The paper.
    pub paper: Paper,
    /// The records that the paper was merged from.
    pub records: Vec<Paper>,
    /// The most similar papers, best first.
    pub neighbours: Vec<ListItem>,
    /// The papers of the timeline, each with the cosine similarity to this paper, most similar first.
    pub over_time: Vec<(Paper, f32)>,
    /// Whether the reader follows the paper.
    pub is_followed: bool,
}

/// Renders the page of a paper as HTML.
pub fn paper_page(view: &PaperView, frame: &Frame) -> String {
    let paper = &view.paper;
    let id = paper.id.as_str();
    frame.render(html! {
        article.paper {
            h1 { (paper.title) }
            p.by { (if paper.authors.is_empty() { authors(paper) } else { paper.authors.join(", ") }) }
            p.actions {
                a href=(PageQuery::paper(id).link("/")) { "Similar papers" }
                a href=(PageQuery::paper(id).link("/map")) { "Map" }
                @if let Some(url) = web_address(paper) { a href=(url) rel="noreferrer" { "Source" } }
                a.cite href={ "/v1/papers/" (path_of(id)) "?format=bibtex" } { "BibTeX" }
                a href={ "/v1/papers/" (path_of(id)) "?format=ris" } download=(file_name(id, "ris")) { "RIS" }
            }
            @if paper.withdrawn { p.note { "This paper was withdrawn." } }
            @if paper.r#abstract.is_empty() { p.hint { "No abstract available." } }
            @else { p.whole { (paper.r#abstract) } }
            (metadata(paper))
            @if let Some(day) = frame.newest_day { (follow(id, view.is_followed, day)) }
        }
        @if view.records.len() > 1 { (versions(&view.records)) }
        @if view.over_time.len() > 2 { (timeline(paper, &view.over_time)) }
        section.results aria-label="Similar papers" {
            h2.heading { "Most similar papers" }
            ol.hits { @for neighbour in &view.neighbours { (list_item(neighbour, None)) } }
            a.more href=(PageQuery::paper(id).link("/")) { "All similar papers" }
        }
        section.again { (search_form("", Focus::OnClick, None)) }
    })
}

/// Returns a file name for downloading the citation of a paper. Characters of the id that can be invalid in a file name
/// become `-`.
fn file_name(id: &str, extension: &str) -> String {
    let name: String = id.chars().map(|letter| if letter.is_alphanumeric() { letter } else { '-' }).collect();
    format!("{name}.{extension}")
}

/// The button to follow or unfollow a paper. It is shown only if the library has pages of days, because following a
/// paper changes only the ranking on these pages.
fn follow(id: &str, is_followed: bool, newest_day: &str) -> Markup {
    html! {
        form.follow action="/follow" method="post" {
            input type="hidden" name="id" value=(id);
            input type="hidden" name="follow" value=(if is_followed { "no" } else { "yes" });
            button type="submit" { (if is_followed { "Unfollow" } else { "Follow" }) }
            span.hint { a href={ "/date/" (newest_day) } { "Days" } " are ranked by similarity to the papers you follow." }
        }
    }
}

fn metadata(paper: &Paper) -> Markup {
    let rows = [
        ("Venue", paper.venue.clone()),
        ("Categories", Some(paper.categories.join(", ")).filter(|list| !list.is_empty())),
        ("Source", paper.source.clone()),
    ];
    html! {
        dl.known {
            @if let Some(date) = &paper.published {
                // Only a complete date, `YYYY-MM-DD`, has a page.
                div { dt { "Published" } dd { @if date.len() == 10 { a href={ "/date/" (date) } { (date) } } @else { (date) } } }
            }
            @for (name, value) in rows.iter().filter_map(|(name, value)| Some((name, value.as_ref()?))) {
                div { dt { (name) } dd { (value) } }
            }
            div {
                dt { "Identifiers" }
                dd { @for id in paper.ids() {
                    @if let Some(url) = id.url() { a.id href=(url) rel="noreferrer" { (id.as_str()) } } @else { span.id { (id.as_str()) } }
                    " "
                } }
            }
        }
    }
}

/// The list of a paper's records, such as a preprint and its publication.
fn versions(records: &[Paper]) -> Markup {
    html! {
        section.versions aria-label="Versions" {
            h2.heading { "Versions" }
            ul {
                @for record in records {
                    li {
                        span.id { (record.id.as_str()) }
                        @if let Some(date) = &record.published { " " time datetime=(date) { (date) } }
                        @if let Some(venue) = &record.venue { " " span.venue { (venue) } }
                        @if let Some(source) = &record.source { " " span.hint { "from " (source) } }
                        @if record.withdrawn { " " span.withdrawn { "withdrawn" } }
                        @if let Some(url) = web_address(record) { " " a href=(url) rel="noreferrer" { "Source" } }
                    }
                }
            }
        }
    }
}

/// A chart of the similar papers, with the date of publication on the horizontal axis and the similarity on the
/// vertical axis.
fn timeline(paper: &Paper, over_time: &[(Paper, f32)]) -> Markup {
    const WIDTH: f32 = 1000.0;
    const HEIGHT: f32 = 200.0;
    let times: Vec<Option<f32>> = over_time.iter().map(|(paper, _)| decimal_year(paper)).collect();
    let own = decimal_year(paper);
    let all = || times.iter().chain([&own]).flatten().copied();
    let first = all().fold(f32::INFINITY, f32::min).floor();
    let last = (all().fold(f32::NEG_INFINITY, f32::max) + 0.01).ceil();
    let scores = || over_time.iter().map(|(_, score)| *score);
    let (lowest, highest) = (scores().fold(1.0, f32::min), scores().fold(-1.0, f32::max));
    let x = |time: f32| 20.0 + (time - first) / (last - first).max(1.0) * (WIDTH - 40.0);
    let y = |score: f32| 12.0 + (highest - score) / (highest - lowest).max(1e-6) * (HEIGHT - 24.0);
    html! {
        section.time aria-label="Similar papers over time" {
            h2.heading { "Over time" }
            p.hint { "The " (over_time.len()) " most similar papers by date; the higher, the more similar." }
            figure {
                svg viewBox=(format!("0 0 {WIDTH} {}", HEIGHT + 24.0)) role="group" aria-label="Similar papers by date" {
                    line.axis x1="0" x2=(WIDTH) y1=(HEIGHT) y2=(HEIGHT) {}
                    @for year in ticks(first as i32, last as i32) {
                        text.tick x=(format!("{:.0}", x(year as f32))) y=(HEIGHT + 18.0) { (year) }
                    }
                    @if let Some(own) = own { line.own x1=(format!("{:.1}", x(own))) x2=(format!("{:.1}", x(own))) y1="0" y2=(HEIGHT) { title { "This paper" } } }
                    @for ((paper, score), time) in over_time.iter().zip(&times) {
                        @if let Some(time) = time {
                            a href={ "/papers/" (path_of(paper.id.as_str())) } aria-label=(format!("{}, {}, similarity {score:.2}", paper.title, paper.published.as_deref().unwrap_or_default())) {
                                circle.dot cx=(format!("{:.1}", x(*time))) cy=(format!("{:.1}", y(*score))) r="7" { title { (paper.title) } }
                            }
                        }
                    }
                }
            }
        }
        (before_and_after(own, over_time))
    }
}

/// Two lists of at most 5 papers each: the most similar papers that were published before this paper, and the most
/// similar papers that were published after it.
fn before_and_after(own: Option<f32>, over_time: &[(Paper, f32)]) -> Markup {
    let Some(own) = own else { return html! {} };
    let list = |name: &str, keep: &dyn Fn(f32) -> bool| {
        const MAX_PAPERS: usize = 5;
        let dated = over_time.iter().filter(|(paper, _)| decimal_year(paper).is_some_and(keep));
        let papers: Vec<&(Paper, f32)> = dated.take(MAX_PAPERS).collect();
        html! {
            @if !papers.is_empty() {
                div {
                    h3 { (name) }
                    ul { @for (paper, score) in papers { li { (score_bar(DisplayScore::Cosine(*score))) " " a href={ "/papers/" (path_of(paper.id.as_str())) } { (paper.title) } } } }
                }
            }
        }
    };
    html! {
        div.before-after {
            (list("Most similar earlier papers", &|time| time < own))
            (list("Most similar later papers", &|time| time > own))
        }
    }
}

/// Returns the date of publication as a decimal number of years: 2021-07 is 2021.5. A date without a month counts as
/// the middle of the year. `None`: the date is unknown.
fn decimal_year(paper: &Paper) -> Option<f32> {
    let mut parts = paper.published.as_deref()?.split('-').map(|part| part.parse::<f32>().ok());
    let year = parts.next()??;
    let month = parts.next().flatten().map_or(6.5, |month| month - 1.0);
    let day = parts.next().flatten().map_or(0.0, |day| day / 31.0);
    Some(year + (month + day) / 12.0)
}

/// Returns the years that are written below the horizontal axis: at most 16.
fn ticks(first: i32, last: i32) -> impl Iterator<Item = i32> {
    let step = ((last - first) / 8).max(1);
    (first..=last).step_by(step as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_converted_to_decimal_years() {
        let at = |date: &str| decimal_year(&Paper { published: Some(date.into()), ..Paper::default() });
        assert!(
            at("2021").unwrap() > at("2021-06-30").unwrap() && at("2021").unwrap() < at("2021-08").unwrap()
        );
        assert!(at("2021-12-31").unwrap() < at("2022-01-01").unwrap() + 0.1);
        assert_eq!(decimal_year(&Paper::default()), None);
        assert!(ticks(1990, 2026).count() <= 10 && ticks(2020, 2021).count() == 2);
    }
}
