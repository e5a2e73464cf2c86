//! The papers around a question, as a map: the question in the middle, the similar near to each other.
//!
//! Its own file because it is drawn: an SVG whose places [`layout`](super::layout) computes, and a table of the same
//! papers for those who cannot see it.

use super::asked::{Asked, Colour};
use super::facets::year;
use super::frame::{Frame, Question, path_of};
use super::layout::Place;
use super::list::{by, tabs};
use likewise_papers::Paper;
use maud::{Markup, html};
use std::collections::HashMap;

/// Papers on a map.
pub const ON_MAP: usize = 100;

/// Colours there are, apart from that for all others.
const COLOURS: usize = 5;

/// Half of the drawing's width and height.
const HALF: f32 = 500.0;

/// What is left around the places.
const MARGIN: f32 = 24.0;

/// A paper on a map.
pub struct Mapped {
    /// The paper.
    pub paper: Paper,
    /// Its similarity.
    pub score: f32,
    /// Where it is put.
    pub place: Place,
}

/// A map.
pub fn map_page(question: &Question, papers: &[Mapped], frame: &Frame) -> String {
    let asked = &question.asked;
    let groups = Groups::of(papers, asked.colour);
    frame.around(html! {
        h1.hidden { "Papers around this" }
        (question.shown("/map"))
        section.mapped aria-label="Map" {
            (tabs(asked, "/map"))
            @if papers.is_empty() { p.empty { "No paper passes." } }
            @else {
                (legend(&groups, asked))
                p.hint { "The nearer to the middle, the more like the question; the nearer to each other, the more alike. A dot leads to what is around its paper." }
                figure.map { (drawing(papers, &groups)) figcaption.hidden { "The same papers are in the table below." } }
                details.table {
                    summary { "The map as a table" }
                    (table(papers, &groups))
                }
            }
        }
    })
}

/// Which colour each paper has, and what the colours mean.
struct Groups {
    of: Vec<usize>,
    names: Vec<String>,
}

impl Groups {
    fn of(papers: &[Mapped], colour: Colour) -> Groups {
        match colour {
            Colour::Year => Groups::by_year(papers),
            Colour::Category => Groups::by_category(papers),
        }
    }

    /// Spans of years with about as many papers in each.
    fn by_year(papers: &[Mapped]) -> Groups {
        let years: Vec<Option<i32>> = papers.iter().map(|mapped| year(&mapped.paper)).collect();
        let mut sorted: Vec<i32> = years.iter().flatten().copied().collect();
        sorted.sort_unstable();
        let mut starts: Vec<i32> =
            (0..COLOURS).filter_map(|part| sorted.get(part * sorted.len() / COLOURS).copied()).collect();
        starts.dedup();
        let last = sorted.last().copied().unwrap_or_default();
        let end = |place: usize| starts.get(place + 1).map_or(last, |next| next - 1);
        let span = |(place, first): (usize, &i32)| match end(place) {
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

    /// The commonest categories; a paper has the colour of its first that is one of them.
    fn by_category(papers: &[Mapped]) -> Groups {
        let mut counts: HashMap<&str, usize> = HashMap::new();
        for mapped in papers {
            mapped.paper.categories.iter().for_each(|category| *counts.entry(category).or_default() += 1);
        }
        let mut common: Vec<(&str, usize)> = counts.into_iter().collect();
        common.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
        common.truncate(COLOURS);
        let group = |mapped: &Mapped| {
            let is_of = |(name, _): &(&str, usize)| mapped.paper.categories.iter().any(|other| other == name);
            common.iter().position(is_of).unwrap_or(COLOURS)
        };
        let mut names: Vec<String> = common.iter().map(|(name, _)| name.to_string()).collect();
        names.resize(COLOURS, String::new());
        names.push("other".into());
        Groups { of: papers.iter().map(group).collect(), names }
    }
}

fn legend(groups: &Groups, asked: &Asked) -> Markup {
    let colour = |colour, name| {
        let is_current = asked.colour == colour;
        html! { a href=(asked.with(|asked| asked.colour = colour).link("/map")) aria-current=[is_current.then_some("true")] { (name) } }
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

/// A title beside its place.
struct Label {
    x: f32,
    y: f32,
    anchor: &'static str,
    text: String,
}

/// Titles of the nearest, as far as they are written over nothing; the very nearest have one in any case, over dots if need
/// be, but never over another title.
fn labels(papers: &[Mapped]) -> Vec<Label> {
    const WANTED: usize = 25;
    const CERTAIN: usize = 3;
    const LETTER: f32 = 8.6;
    const LINE: f32 = 24.0;
    const BESIDE: f32 = 19.0;
    const DOT: f32 = 14.0;
    let at =
        |mapped: &Mapped| (HALF + mapped.place.x * (HALF - MARGIN), HALF + mapped.place.y * (HALF - MARGIN));
    let dots: Vec<(f32, f32)> = papers.iter().map(at).chain([(HALF, HALF)]).collect();
    let mut order: Vec<usize> = (0..papers.len()).collect();
    order.sort_by(|a, b| papers[*b].score.total_cmp(&papers[*a].score).then(a.cmp(b)));
    let (mut taken, mut labels): (Vec<(f32, f32, f32)>, Vec<Label>) = Default::default();
    for (rank, number) in order.into_iter().take(WANTED).enumerate() {
        let text = shortened(&papers[number].paper.title);
        let (width, (x, y)) = (text.chars().count() as f32 * LETTER, dots[number]);
        let right = (x + BESIDE, x + BESIDE + width, "start");
        let left = (x - BESIDE - width, x - BESIDE, "end");
        let is_free = |(from, to, _): &(f32, f32, &str)| {
            let is_over =
                |other: &(f32, f32, f32)| *from < other.1 && other.0 < *to && (y - other.2).abs() < LINE;
            let is_on = |dot: &(f32, f32)| {
                dot.0 + DOT > *from && dot.0 - DOT < *to && (y - dot.1).abs() < DOT + LINE / 3.0
            };
            let fits = *from >= 0.0 && *to <= 2.0 * HALF && !taken.iter().any(is_over);
            fits && (rank < CERTAIN || !dots.iter().any(is_on))
        };
        let sides = if x >= HALF { [right, left] } else { [left, right] };
        if let Some((from, to, anchor)) = sides.into_iter().find(is_free) {
            taken.push((from, to, y));
            labels.push(Label { x: if anchor == "start" { from } else { to }, y: y + 6.0, anchor, text });
        }
    }
    labels
}

/// The beginning of a title, to a word's end.
fn shortened(title: &str) -> String {
    const LETTERS: usize = 34;
    let Some((end, _)) = title.char_indices().nth(LETTERS) else { return title.into() };
    let end = title[..end].rfind(' ').unwrap_or(end);
    format!("{}…", title[..end].trim_end_matches([',', ':', ' ', '-', '–', '—']))
}

fn drawing(papers: &[Mapped], groups: &Groups) -> Markup {
    let at = |value: f32| format!("{:.1}", HALF + value * (HALF - MARGIN));
    html! {
        svg viewBox="0 0 1000 1000" role="group" aria-label="The question in the middle, the most similar papers nearest to it" {
            @for part in [1.0_f32, 2.0, 3.0] {
                circle.ring cx=(HALF) cy=(HALF) r=(format!("{:.0}", part / 3.0 * (HALF - MARGIN))) {}
            }
            @for (mapped, group) in papers.iter().zip(&groups.of) {
                a href=(Asked::paper(mapped.paper.id.as_str()).link("/map")) aria-label=(format!("{}, similarity {:.2}", mapped.paper.title, mapped.score)) {
                    circle class=(format!("dot g{group}")) cx=(at(mapped.place.x)) cy=(at(mapped.place.y)) r="13" {
                        title { (mapped.paper.title) }
                    }
                }
            }
            @for label in labels(papers) {
                text.label x=(format!("{:.1}", label.x)) y=(format!("{:.1}", label.y)) text-anchor=(label.anchor) aria-hidden="true" { (label.text) }
            }
            circle.middle cx=(HALF) cy=(HALF) r="11" { title { "What you asked" } }
        }
    }
}

fn table(papers: &[Mapped], groups: &Groups) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label="Papers on the map" {
            table {
                thead { tr { th scope="col" { "Paper" } th scope="col" { "Authors" } th scope="col" { "Published" } th scope="col" { "Group" } th scope="col" { "Similarity" } } }
                tbody {
                    @for (mapped, group) in papers.iter().zip(&groups.of) {
                        @let paper = &mapped.paper;
                        tr {
                            td { a href={ "/papers/" (path_of(paper.id.as_str())) } { (paper.title) } }
                            td { (by(paper)) }
                            td { (paper.published.as_deref().unwrap_or_default()) }
                            td { (groups.names.get(*group).map_or("", |name| name)) }
                            td { (format!("{:.2}", mapped.score)) }
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

    fn mapped(published: &str, categories: &[&str]) -> Mapped {
        let paper = Paper {
            published: Some(published.into()).filter(|date: &String| !date.is_empty()),
            categories: categories.iter().map(|category| category.to_string()).collect(),
            ..Paper::default()
        };
        Mapped { paper, score: 0.5, place: Place { x: 0.0, y: 0.0 } }
    }

    #[test]
    fn years_are_grouped_in_order() {
        let papers: Vec<Mapped> = ["2010", "2011", "2012", "2020", "2020", "2020", ""]
            .iter()
            .map(|year| mapped(year, &[]))
            .collect();
        let groups = Groups::of(&papers, Colour::Year);
        assert_eq!(
            groups.names.iter().filter(|name| !name.is_empty()).collect::<Vec<_>>(),
            ["2010", "2011", "2012–2019", "2020", "no year"]
        );
        assert_eq!(groups.of, [0, 1, 2, 3, 3, 3, COLOURS]);
        assert!(Groups::of(&[], Colour::Year).names.is_empty());
    }

    #[test]
    fn the_commonest_categories_have_colours() {
        let papers =
            [mapped("", &["rare", "a"]), mapped("", &["a"]), mapped("", &["b", "a"]), mapped("", &[])];
        let groups = Groups::of(&papers, Colour::Category);
        assert_eq!((groups.names[0].as_str(), &groups.of[..]), ("a", &[0, 0, 0, COLOURS][..]));
    }

    #[test]
    fn the_nearest_has_its_title_even_among_dots() {
        let title = "<script>window.hacked=1</script> a title that takes the room of a line";
        let at = |x: f32, score, title: &str| {
            let paper = Paper { title: title.into(), ..Paper::default() };
            Mapped { paper, score, place: Place { x, y: 0.0 } }
        };
        let mut papers = vec![at(0.2, 0.9, title)];
        papers.extend((0..40).map(|place| at(place as f32 / 20.0 - 1.0, 0.5, "far")));
        let labels = labels(&papers);
        assert!(labels[0].text.starts_with("<script>"), "{}", labels[0].text);
        let drawn = drawing(&papers, &Groups::of(&papers, Colour::Year)).into_string();
        assert!(!drawn.contains("<script") && drawn.contains("&lt;script&gt;"));
    }
}
