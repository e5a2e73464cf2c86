//! The map of results: an SVG drawing with the query in the middle and similar papers close to each other, and a table
//! of the papers for readers who cannot see the drawing. The module [`layout`](super::layout) computes the points.

use super::facets::year;
use super::frame::{Frame, QueryPanel, path_of};
use super::layout::Point;
use super::list::{authors, tabs};
use super::page_query::{Colour, PageQuery};
use likewise_papers::Paper;
use maud::{Markup, html};
use std::collections::HashMap;

/// Maximum number of papers on a map.
pub const MAX_MAP_PAPERS: usize = 100;

/// Number of groups with a colour of their own. Papers that belong to no group have one more colour.
const COLOURS: usize = 5;

/// Half of the drawing's width and height, in SVG units.
const HALF: f32 = 500.0;

/// Distance of the outermost points from the edge of the drawing, in SVG units.
const MARGIN: f32 = 24.0;

/// A paper on a map.
pub struct MapItem {
    /// The paper.
    pub paper: Paper,
    /// Cosine similarity of the paper to the query.
    pub similarity: f32,
    /// Point of the paper on the map.
    pub point: Point,
}

/// Renders the page of the map as HTML.
pub fn map_page(panel: &QueryPanel, papers: &[MapItem], frame: &Frame) -> String {
    let query = &panel.page_query;
    let groups = Groups::of(papers, query.colour);
    frame.render(html! {
        h1.hidden { "Map of similar papers" }
        (panel.render("/map"))
        section.mapped aria-label="Map" {
            (tabs(panel, "/map"))
            @if papers.is_empty() { p.empty { "No paper matches these filters." } }
            @else {
                (legend(&groups, query))
                p.hint { "Your query is in the middle: the closer a paper is to it, the more similar. Papers close to each other are similar. Click a dot for the map around that paper." }
                figure.map { (drawing(papers, &groups)) figcaption.hidden { "The same papers are in the table below." } }
                details.table {
                    summary { "The map as a table" }
                    (table(papers, &groups))
                }
            }
        }
    })
}

/// The groups that papers are coloured by.
struct Groups {
    /// The group of each paper: an index into `names`. The style class of the group's colour is `g` and this index.
    of: Vec<usize>,
    /// The name of each group. An empty name: no paper belongs to the group.
    names: Vec<String>,
}

impl Groups {
    fn of(papers: &[MapItem], colour: Colour) -> Groups {
        match colour {
            Colour::Year => Groups::by_year(papers),
            Colour::Category => Groups::by_category(papers),
        }
    }

    /// Groups papers by ranges of years, with about the same number of papers in each group.
    fn by_year(papers: &[MapItem]) -> Groups {
        let years: Vec<Option<i32>> = papers.iter().map(|item| year(&item.paper)).collect();
        let mut sorted: Vec<i32> = years.iter().flatten().copied().collect();
        sorted.sort_unstable();
        let mut starts: Vec<i32> =
            (0..COLOURS).filter_map(|part| sorted.get(part * sorted.len() / COLOURS).copied()).collect();
        starts.dedup();
        let last = sorted.last().copied().unwrap_or_default();
        let end = |group: usize| starts.get(group + 1).map_or(last, |next| next - 1);
        let span = |(group, first): (usize, &i32)| match end(group) {
            end if end <= *first => first.to_string(),
            end => format!("{first}–{end}"),
        };
        let mut names: Vec<String> = starts.iter().enumerate().map(span).collect();
        let group = |year: &Option<i32>| match year {
            Some(year) => starts.partition_point(|start| start <= year).saturating_sub(1),
            None => COLOURS,
        };
        let of: Vec<usize> = years.iter().map(group).collect();
        if of.contains(&COLOURS) {
            names.resize(COLOURS, String::new());
            names.push("no year".into());
        }
        Groups { of, names }
    }

    /// Groups papers by the most frequent categories. A paper with several of these categories belongs to the most
    /// frequent of them.
    fn by_category(papers: &[MapItem]) -> Groups {
        let mut counts: HashMap<&str, usize> = HashMap::new();
        for item in papers {
            item.paper.categories.iter().for_each(|category| *counts.entry(category).or_default() += 1);
        }
        let mut frequent: Vec<(&str, usize)> = counts.into_iter().collect();
        frequent.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
        frequent.truncate(COLOURS);
        let group = |item: &MapItem| {
            let has = |(name, _): &(&str, usize)| item.paper.categories.iter().any(|other| other == name);
            frequent.iter().position(has).unwrap_or(COLOURS)
        };
        let mut names: Vec<String> = frequent.iter().map(|(name, _)| name.to_string()).collect();
        names.resize(COLOURS, String::new());
        names.push("other".into());
        Groups { of: papers.iter().map(group).collect(), names }
    }
}

fn legend(groups: &Groups, query: &PageQuery) -> Markup {
    let colour = |colour, name| {
        let is_current = query.colour == colour;
        html! { a href=(query.with(|query| query.colour = colour).link("/map")) aria-current=[is_current.then_some("true")] { (name) } }
    };
    html! {
        div.legend {
            p.by-colour { "Colour by " (colour(Colour::Year, "year")) " " (colour(Colour::Category, "category")) }
            ul {
                @for (group, name) in groups.names.iter().enumerate().filter(|(_, name)| !name.is_empty()) {
                    li { svg width="12" height="12" aria-hidden="true" { circle class=(format!("g{group}")) cx="6" cy="6" r="5" {} } (name) }
                }
            }
        }
    }
}

/// The title of a paper beside the paper's dot. The coordinates are in SVG units.
struct Label {
    x: f32,
    y: f32,
    anchor: &'static str,
    text: String,
}

/// Returns the titles of the 25 most similar papers, as far as these fit beside their dots without covering other dots
/// or titles. Exception: the titles of the 3 most similar papers are allowed to cover dots, but not other titles.
fn labels(papers: &[MapItem]) -> Vec<Label> {
    const MAX_LABELS: usize = 25;
    const MAY_COVER_DOTS: usize = 3;
    // Sizes in SVG units: the mean width of a letter, the height of a line, the distance from the centre of a dot to
    // the label, and the radius of a dot.
    const LETTER: f32 = 8.6;
    const LINE: f32 = 24.0;
    const GAP: f32 = 19.0;
    const DOT: f32 = 14.0;
    let at = |item: &MapItem| (HALF + item.point.x * (HALF - MARGIN), HALF + item.point.y * (HALF - MARGIN));
    let dots: Vec<(f32, f32)> = papers.iter().map(at).chain([(HALF, HALF)]).collect();
    let mut order: Vec<usize> = (0..papers.len()).collect();
    order.sort_by(|a, b| papers[*b].similarity.total_cmp(&papers[*a].similarity).then(a.cmp(b)));
    let (mut taken, mut labels): (Vec<(f32, f32, f32)>, Vec<Label>) = Default::default();
    for (rank, number) in order.into_iter().take(MAX_LABELS).enumerate() {
        let text = shortened(&papers[number].paper.title);
        let (width, (x, y)) = (text.chars().count() as f32 * LETTER, dots[number]);
        let right = (x + GAP, x + GAP + width, "start");
        let left = (x - GAP - width, x - GAP, "end");
        let is_free = |(from, to, _): &(f32, f32, &str)| {
            let covers_label =
                |other: &(f32, f32, f32)| *from < other.1 && other.0 < *to && (y - other.2).abs() < LINE;
            let covers_dot = |dot: &(f32, f32)| {
                dot.0 + DOT > *from && dot.0 - DOT < *to && (y - dot.1).abs() < DOT + LINE / 3.0
            };
            let fits = *from >= 0.0 && *to <= 2.0 * HALF && !taken.iter().any(covers_label);
            fits && (rank < MAY_COVER_DOTS || !dots.iter().any(covers_dot))
        };
        let sides = if x >= HALF { [right, left] } else { [left, right] };
        if let Some((from, to, anchor)) = sides.into_iter().find(is_free) {
            taken.push((from, to, y));
            labels.push(Label { x: if anchor == "start" { from } else { to }, y: y + 6.0, anchor, text });
        }
    }
    labels
}

/// Returns a title. If it has more than 34 characters, it is cut off, after a word if possible, and ends with `…`.
fn shortened(title: &str) -> String {
    const MAX_CHARS: usize = 34;
    let Some((end, _)) = title.char_indices().nth(MAX_CHARS) else { return title.into() };
    let end = title[..end].rfind(' ').unwrap_or(end);
    format!("{}…", title[..end].trim_end_matches([',', ':', ' ', '-', '–', '—']))
}

fn drawing(papers: &[MapItem], groups: &Groups) -> Markup {
    let at = |value: f32| format!("{:.1}", HALF + value * (HALF - MARGIN));
    html! {
        svg viewBox="0 0 1000 1000" role="group" aria-label="The query in the middle, the most similar papers closest to it" {
            @for part in [1.0_f32, 2.0, 3.0] {
                circle.ring cx=(HALF) cy=(HALF) r=(format!("{:.0}", part / 3.0 * (HALF - MARGIN))) {}
            }
            @for (item, group) in papers.iter().zip(&groups.of) {
                a href=(PageQuery::paper(item.paper.id.as_str()).link("/map")) aria-label=(format!("{}, similarity {:.2}", item.paper.title, item.similarity)) {
                    circle class=(format!("dot g{group}")) cx=(at(item.point.x)) cy=(at(item.point.y)) r="13" {
                        title { (item.paper.title) }
                    }
                }
            }
            @for label in labels(papers) {
                text.label x=(format!("{:.1}", label.x)) y=(format!("{:.1}", label.y)) text-anchor=(label.anchor) aria-hidden="true" { (label.text) }
            }
            circle.middle cx=(HALF) cy=(HALF) r="11" { title { "Your query" } }
        }
    }
}

fn table(papers: &[MapItem], groups: &Groups) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label="Papers on the map" {
            table {
                thead { tr { th scope="col" { "Paper" } th scope="col" { "Authors" } th scope="col" { "Published" } th scope="col" { "Group" } th scope="col" { "Similarity" } } }
                tbody {
                    @for (item, group) in papers.iter().zip(&groups.of) {
                        @let paper = &item.paper;
                        tr {
                            td { a href={ "/papers/" (path_of(paper.id.as_str())) } { (paper.title) } }
                            td { (authors(paper)) }
                            td { (paper.published.as_deref().unwrap_or_default()) }
                            td { (groups.names.get(*group).map_or("", |name| name)) }
                            td { (format!("{:.2}", item.similarity)) }
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(published: &str, categories: &[&str]) -> MapItem {
        let paper = Paper {
            published: Some(published.into()).filter(|date: &String| !date.is_empty()),
            categories: categories.iter().map(|category| category.to_string()).collect(),
            ..Paper::default()
        };
        MapItem { paper, similarity: 0.5, point: Point { x: 0.0, y: 0.0 } }
    }

    #[test]
    fn years_are_grouped_in_order() {
        let papers: Vec<MapItem> =
            ["2010", "2011", "2012", "2020", "2020", "2020", ""].iter().map(|year| item(year, &[])).collect();
        let groups = Groups::of(&papers, Colour::Year);
        assert_eq!(
            groups.names.iter().filter(|name| !name.is_empty()).collect::<Vec<_>>(),
            ["2010", "2011", "2012–2019", "2020", "no year"]
        );
        assert_eq!(groups.of, [0, 1, 2, 3, 3, 3, COLOURS]);
        assert!(Groups::of(&[], Colour::Year).names.is_empty());
    }

    #[test]
    fn the_most_frequent_categories_have_colours() {
        let papers = [item("", &["rare", "a"]), item("", &["a"]), item("", &["b", "a"]), item("", &[])];
        let groups = Groups::of(&papers, Colour::Category);
        assert_eq!((groups.names[0].as_str(), &groups.of[..]), ("a", &[0, 0, 0, COLOURS][..]));
    }

    #[test]
    fn the_most_similar_paper_has_its_title_even_over_dots() {
        let title = "<script>window.hacked=1</script> a title that is as long as a line";
        let at = |x: f32, similarity, title: &str| {
            let paper = Paper { title: title.into(), ..Paper::default() };
            MapItem { paper, similarity, point: Point { x, y: 0.0 } }
        };
        let mut papers = vec![at(0.2, 0.9, title)];
        papers.extend((0..40).map(|step| at(step as f32 / 20.0 - 1.0, 0.5, "far")));
        let labels = labels(&papers);
        assert!(labels[0].text.starts_with("<script>"), "{}", labels[0].text);
        let drawn = drawing(&papers, &Groups::of(&papers, Colour::Year)).into_string();
        assert!(!drawn.contains("<script") && drawn.contains("&lt;script&gt;"));
    }
}
