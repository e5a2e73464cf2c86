//! A paper's page: everything that is known of it, and what is around it.

use super::asked::Asked;
use super::frame::{Frame, field, path_of};
use super::list::{Nearness, Shown, bar, by, item, safe};
use likewise_papers::Paper;
use maud::{Markup, html};

/// A paper, and what is around it.
pub struct PaperView {
    /// The paper.
    pub paper: Paper,
    /// What each source says of it, where several do.
    pub records: Vec<Paper>,
    /// The nearest, best first.
    pub neighbours: Vec<Shown>,
    /// More of them, by when they were published: date, similarity.
    pub over_time: Vec<(Paper, f32)>,
    /// Whether it is followed.
    pub is_followed: bool,
}

/// A paper's page.
pub fn paper_page(view: &PaperView, frame: &Frame) -> String {
    let paper = &view.paper;
    let id = paper.id.as_str();
    frame.around(html! {
        article.paper {
            h1 { (paper.title) }
            p.by { (if paper.authors.is_empty() { by(paper) } else { paper.authors.join(", ") }) }
            p.actions {
                a href=(Asked::paper(id).link("/")) { "Papers like this" }
                a href=(Asked::paper(id).link("/map")) { "Map" }
                @if let Some(url) = safe(paper) { a href=(url) rel="noreferrer" { "Source" } }
                a.cite href={ "/v1/papers/" (path_of(id)) "?format=bibtex" } { "BibTeX" }
                a href={ "/v1/papers/" (path_of(id)) "?format=ris" } download=(file_name(id, "ris")) { "RIS" }
            }
            @if paper.withdrawn { p.note { "This paper was withdrawn." } }
            @if paper.r#abstract.is_empty() { p.hint { "No abstract is known." } }
            @else { p.whole { (paper.r#abstract) } }
            (known(paper))
            @if let Some(day) = frame.newest_day { (follow(id, view.is_followed, day)) }
        }
        @if view.records.len() > 1 { (versions(&view.records)) }
        @if view.over_time.len() > 2 { (timeline(paper, &view.over_time)) }
        section.results aria-label="Nearest papers" {
            h2.heading { "Nearest" }
            ol.hits { @for neighbour in &view.neighbours { (item(neighbour, None)) } }
            a.more href=(Asked::paper(id).link("/")) { "All papers like this" }
        }
        section.again { (field("", false, None)) }
    })
}

/// A file's name for a paper.
fn file_name(id: &str, end: &str) -> String {
    let name: String = id.chars().map(|letter| if letter.is_alphanumeric() { letter } else { '-' }).collect();
    format!("{name}.{end}")
}

/// Where there are no days, following would lead nowhere.
fn follow(id: &str, is_followed: bool, newest_day: &str) -> Markup {
    html! {
        form.follow action="/follow" method="post" {
            input type="hidden" name="id" value=(id);
            input type="hidden" name="follow" value=(if is_followed { "no" } else { "yes" });
            button type="submit" { (if is_followed { "Followed · stop" } else { "Follow" }) }
            span.hint { a href={ "/date/" (newest_day) } { "Days" } " are ranked by closeness to the papers you follow." }
        }
    }
}

fn known(paper: &Paper) -> Markup {
    let rows = [
        ("Venue", paper.venue.clone()),
        ("Categories", Some(paper.categories.join(", ")).filter(|list| !list.is_empty())),
        ("Source", paper.source.clone()),
    ];
    html! {
        dl.known {
            @if let Some(date) = &paper.published {
                // Only a whole date is a day with a page.
                div { dt { "Published" } dd { @if date.len() == 10 { a href={ "/date/" (date) } { (date) } } @else { (date) } } }
            }
            @for (name, value) in rows.iter().filter_map(|(name, value)| Some((name, value.as_ref()?))) {
                div { dt { (name) } dd { (value) } }
            }
            div {
                dt { "Ids" }
                dd { @for id in paper.ids() {
                    @if let Some(url) = id.url() { a.id href=(url) rel="noreferrer" { (id.as_str()) } } @else { span.id { (id.as_str()) } }
                    " "
                } }
            }
        }
    }
}

/// What each source says: a preprint, what was published of it.
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
                        @if let Some(url) = safe(record) { " " a href=(url) rel="noreferrer" { "Source" } }
                    }
                }
            }
        }
    }
}

/// Its neighbours by when they were published and how near they are.
fn timeline(paper: &Paper, over_time: &[(Paper, f32)]) -> Markup {
    const WIDTH: f32 = 1000.0;
    const HEIGHT: f32 = 200.0;
    let times: Vec<Option<f32>> = over_time.iter().map(|(paper, _)| when(paper)).collect();
    let own = when(paper);
    let all = || times.iter().chain([&own]).flatten().copied();
    let first = all().fold(f32::INFINITY, f32::min).floor();
    let last = (all().fold(f32::NEG_INFINITY, f32::max) + 0.01).ceil();
    let scores = || over_time.iter().map(|(_, score)| *score);
    let (least, most) = (scores().fold(1.0, f32::min), scores().fold(-1.0, f32::max));
    let x = |time: f32| 20.0 + (time - first) / (last - first).max(1.0) * (WIDTH - 40.0);
    let y = |score: f32| 12.0 + (most - score) / (most - least).max(1e-6) * (HEIGHT - 24.0);
    html! {
        section.time aria-label="Nearest papers over time" {
            h2.heading { "Over time" }
            p.hint { "Its nearest " (over_time.len()) " papers: the higher, the nearer." }
            figure {
                svg viewBox=(format!("0 0 {WIDTH} {}", HEIGHT + 24.0)) role="group" aria-label="Nearest papers by date" {
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
        (nearest_before(own, over_time))
    }
}

/// The nearest of what came before, and of what came after.
fn nearest_before(own: Option<f32>, over_time: &[(Paper, f32)]) -> Markup {
    let Some(own) = own else { return html! {} };
    let list = |name: &str, keep: &dyn Fn(f32) -> bool| {
        const FEW: usize = 5;
        let papers: Vec<&(Paper, f32)> =
            over_time.iter().filter(|(paper, _)| when(paper).is_some_and(keep)).take(FEW).collect();
        html! {
            @if !papers.is_empty() {
                div {
                    h3 { (name) }
                    ul { @for (paper, score) in papers { li { (bar(Nearness::Similarity(*score))) " " a href={ "/papers/" (path_of(paper.id.as_str())) } { (paper.title) } } } }
                }
            }
        }
    };
    html! {
        div.before-after {
            (list("Nearest before it", &|time| time < own))
            (list("Nearest after it", &|time| time > own))
        }
    }
}

/// A date as a number of years.
fn when(paper: &Paper) -> Option<f32> {
    let mut parts = paper.published.as_deref()?.split('-').map(|part| part.parse::<f32>().ok());
    let year = parts.next()??;
    let month = parts.next().flatten().map_or(6.5, |month| month - 1.0);
    let day = parts.next().flatten().map_or(0.0, |day| day / 31.0);
    Some(year + (month + day) / 12.0)
}

/// Years that are written below an axis, at most about ten.
fn ticks(first: i32, last: i32) -> impl Iterator<Item = i32> {
    let step = ((last - first) / 8).max(1);
    (first..=last).step_by(step as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_numbers_of_years() {
        let at = |date: &str| when(&Paper { published: Some(date.into()), ..Paper::default() });
        assert!(
            at("2021").unwrap() > at("2021-06-30").unwrap() && at("2021").unwrap() < at("2021-08").unwrap()
        );
        assert!(at("2021-12-31").unwrap() < at("2022-01-01").unwrap() + 0.1);
        assert_eq!(when(&Paper::default()), None);
        assert!(ticks(1990, 2026).count() <= 10 && ticks(2020, 2021).count() == 2);
    }
}
