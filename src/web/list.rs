//! Papers in a list: what they are, how near each is, and how to go on from it.

use super::asked::{Asked, Order, is_label, toggle, toggle_label};
use super::facets::Facets;
use super::frame::{Frame, Question, field, hidden, path_of};
use crate::search::{Hit, Mode, Shares, Why};
use likewise_papers::Paper;
use maud::{Markup, html};

/// A paper in a list.
pub struct Shown {
    /// The paper.
    pub paper: Paper,
    /// How near it is, if something was asked.
    pub nearness: Option<Nearness>,
    /// Why it is a hit, if something was asked.
    pub why: Option<Why>,
    /// Its abstract's sentences, and which are marked.
    pub sentences: Vec<(String, bool)>,
    /// Whether it came since the last visit.
    pub is_new: bool,
}

/// How near a paper is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Nearness {
    /// By its cosine.
    Similarity(f32),
    /// By its score, as a share of the nearest paper's: scores of a short text are all low, and what they mean ends at the
    /// same value for many papers.
    OfBest {
        /// That share, 0 to 1.
        share: f32,
        /// The probability that it is related, if that is known.
        probability: Option<f32>,
    },
}

impl Nearness {
    /// Of a hit, where the nearest has the score `best`.
    pub fn of(hit: &Hit, best: f32) -> Nearness {
        let share = if best > 0.0 { (hit.score / best).clamp(0.0, 1.0) } else { 0.0 };
        Nearness::OfBest { share, probability: hit.chance }
    }

    fn probability(self) -> Option<f32> {
        match self {
            Nearness::Similarity(_) => None,
            Nearness::OfBest { probability, .. } => probability,
        }
    }
}

/// The answers to a question.
pub struct Listing {
    /// What was asked.
    pub question: Question,
    /// The page of answers.
    pub hits: Vec<Shown>,
    /// What the papers around the question are: of which years, whatever years are wanted; and so on.
    pub facets: Facets,
    /// Papers that are looked at for these.
    pub pool: usize,
    /// Whether there are more.
    pub is_more: bool,
    /// Whether there is nothing because nothing is like what was asked.
    pub nothing_like_it: bool,
    /// Whether papers can be compared by their words, too.
    pub has_words: bool,
}

/// Papers shown at once.
pub const PAGE: usize = 20;

/// The answers to a question.
pub fn list_page(listing: &Listing, frame: &Frame) -> String {
    let (question, asked) = (&listing.question, &listing.question.asked);
    frame.around(html! {
        h1.hidden { "Papers like this" }
        (question.shown("/"))
        // All that was named may be not here.
        @if !asked.is_nothing() { div.columns { (aside(listing)) (results(listing)) } }
    })
}

fn results(listing: &Listing) -> Markup {
    let asked = &listing.question.asked;
    html! {
        section.results aria-label="Papers" {
            (tabs(asked, "/"))
            @if listing.has_words { (modes(asked)) }
            @if listing.nothing_like_it { (nothing_like_it(asked)) }
            @else if listing.hits.is_empty() { (nothing(asked)) }
            ol.hits start=(asked.offset + 1) { @for hit in &listing.hits { (item(hit, Some(asked))) } }
            @if listing.is_more {
                a.more href=(Asked { offset: asked.offset + PAGE, ..asked.clone() }.link("/")) { "More" }
            }
        }
    }
}

/// In which order, or as a map.
pub fn tabs(asked: &Asked, path: &str) -> Markup {
    let order = |order, name| {
        let is_current = path == "/" && asked.order == order;
        html! { a href=(asked.with(|asked| asked.order = order).link("/")) aria-current=[is_current.then_some("true")] { (name) } }
    };
    let is_map = path == "/map";
    html! {
        nav.tabs aria-label="Order" {
            (order(Order::Relevance, "Nearest"))
            (order(Order::Newest, "Newest"))
            (order(Order::Diverse, "Diverse"))
            a href=(asked.with(|asked| asked.order = Order::Relevance).link("/map")) aria-current=[is_map.then_some("true")] { "Map" }
        }
    }
}

/// By what papers are compared.
fn modes(asked: &Asked) -> Markup {
    let mode = |mode, name| {
        let is_current = asked.mode == mode;
        html! { a href=(asked.with(|asked| asked.mode = mode).link("/")) aria-current=[is_current.then_some("true")] { (name) } }
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

fn nothing_like_it(asked: &Asked) -> Markup {
    html! {
        div.empty {
            p { "Nothing here is like this." }
            p { "The nearest papers have little to do with it. Ask with more of its words, such as a whole abstract, or "
                a href=(asked.with(|asked| asked.all = true).link("/")) { "see them all the same" } "." }
        }
    }
}

fn nothing(asked: &Asked) -> Markup {
    let has_filter =
        asked.from.is_some() || asked.to.is_some() || !asked.category.is_empty() || !asked.venue.is_empty();
    if asked.mode == Some(Mode::Lexical) && !has_filter && asked.offset == 0 {
        return html! {
            div.empty {
                p { "No paper here has these words." }
                p { a href=(asked.with(|asked| asked.mode = None).link("/")) { "Ask by meaning, too" } }
            }
        };
    }
    html! {
        div.empty {
            p { @if has_filter { "No paper passes these filters." } @else { "No paper is here." } }
            @if has_filter { p { a href=(unfiltered(asked).link("/")) { "Ask again without filters" } } }
            @else if asked.offset > 0 { p { a href=(asked.with(|_| {}).link("/")) { "To the first papers" } } }
            @else { p { "There is nothing in this library yet: " code { "likewise ingest DUMP" } " takes papers in." } }
        }
    }
}

fn unfiltered(asked: &Asked) -> Asked {
    asked.with(|asked| {
        (asked.from, asked.to) = (None, None);
        asked.category.clear();
        asked.venue.clear();
    })
}

/// A paper of a list.
pub fn item(shown: &Shown, asked: Option<&Asked>) -> Markup {
    let paper = &shown.paper;
    let id = paper.id.as_str();
    html! {
        li.hit tabindex="-1" {
            article {
                @if let Some(nearness) = shown.nearness { (bar(nearness)) }
                h2 { a href={ "/papers/" (path_of(id)) } { (paper.title) } }
                p.by { (by(paper)) }
                p.about {
                    @if shown.is_new { span.new { "new" } " " }
                    @if paper.withdrawn { span.withdrawn { "withdrawn" } " " }
                    (about(paper))
                }
                @if !shown.sentences.is_empty() {
                    details.abstract {
                        summary { span.fold { (sentences(&shown.sentences)) } }
                    }
                }
                @if let Some(why) = &shown.why { (because(why, shown.nearness.and_then(Nearness::probability))) }
                (actions(paper, asked))
            }
        }
    }
}

/// Why a paper is a hit: what its score comes from, the terms it shares, and what they stand in.
fn because(why: &Why, probability: Option<f32>) -> Markup {
    const TERMS: usize = 6;
    let Shares { semantic, title, lexical, .. } = why.shares;
    let all = [("meaning", semantic), ("title", title), ("words", lexical)];
    let whole: f32 = all.iter().map(|(_, share)| share.max(0.0)).sum();
    let terms: Vec<&str> = why.terms.iter().take(TERMS).map(|term| term.term.as_str()).collect();
    html! {
        details.why {
            summary { "Why" @if !terms.is_empty() { span.terms { (terms.join(", ")) } } }
            @if let Some(probability) = probability {
                p.probability { "Related with a probability of " (format!("{probability:.2}")) }
            }
            @if whole > 0.0 {
                p.shares { @for (name, share) in all.iter().filter(|(_, share)| *share > 0.0) { span { (name) " " (format!("{:.0} %", 100.0 * share / whole)) } } }
            }
            @for pair in &why.pairs {
                div.pair { p { (pair.asked.text) } p { (pair.found.text) } }
            }
        }
    }
}

/// An abstract; folded, it begins where it is about the question.
fn sentences(sentences: &[(String, bool)]) -> Markup {
    const FOLDED: usize = 200;
    let marked = sentences.iter().position(|(_, is_marked)| *is_marked).unwrap_or_default();
    let is_far = sentences[..marked].iter().map(|(text, _)| text.len()).sum::<usize>() > FOLDED;
    let (early, rest) = sentences.split_at(if is_far { marked } else { 0 });
    html! {
        @if !early.is_empty() { span.early { (plainly(early)) } }
        (plainly(rest))
    }
}

fn plainly(sentences: &[(String, bool)]) -> Markup {
    html! { @for (text, is_marked) in sentences { @if *is_marked { mark { (text.trim_end()) } " " } @else { (text) } } }
}

/// Its authors: all of a few, the first of many.
pub fn by(paper: &Paper) -> String {
    const FEW: usize = 6;
    match paper.authors.len() {
        0 => "Unknown authors".into(),
        count if count <= FEW => paper.authors.join(", "),
        count => format!("{} and {} others", paper.authors[..FEW - 1].join(", "), count - FEW + 1),
    }
}

/// When and where.
pub fn about(paper: &Paper) -> Markup {
    const FEW: usize = 4;
    html! {
        @if let Some(date) = &paper.published { time datetime=(date) { (date) } }
        @if let Some(venue) = &paper.venue { span.venue { (venue) } }
        @for category in paper.categories.iter().take(FEW) { span.category { (category) } }
        span.id { (paper.id.as_str()) }
    }
}

fn actions(paper: &Paper, asked: Option<&Asked>) -> Markup {
    let id = paper.id.as_str();
    html! {
        p.actions {
            @if let Some(asked) = asked {
                a href=(asked.with(|asked| toggle(&mut asked.like, id)).link("/")) { "More like this" }
                a href=(asked.with(|asked| toggle(&mut asked.unlike, id)).link("/")) { "Less like this" }
            } @else {
                a href=(Asked::paper(id).link("/")) { "Papers like this" }
            }
            @if let Some(url) = safe(paper) { a href=(url) rel="noreferrer" { "Source" } }
            a.cite href={ "/v1/papers/" (path_of(id)) "?format=bibtex" } { "BibTeX" }
        }
    }
}

/// Where to read it, if that is a page: an address in a dump can be anything.
pub fn safe(paper: &Paper) -> Option<&str> {
    let url = paper.url.as_deref()?;
    let is_page = ["https://", "http://"].iter().any(|scheme| url.to_ascii_lowercase().starts_with(scheme));
    is_page.then_some(url)
}

/// How near a paper is, as a quiet bar.
pub fn bar(nearness: Nearness) -> Markup {
    const WIDTH: f32 = 56.0;
    let (score, said, number) = match nearness {
        Nearness::Similarity(score) => (score, format!("similarity {score:.2}"), format!("{score:.2}")),
        Nearness::OfBest { share, .. } => {
            let number = format!("{:.0} %", 100.0 * share);
            (share, format!("score: {number} of the nearest paper's"), number)
        }
    };
    html! {
        span.score title=(said) {
            svg width="56" height="4" aria-hidden="true" {
                rect.all width="56" height="4" rx="2" {}
                rect.part width=(format!("{:.1}", score.clamp(0.0, 1.0) * WIDTH)) height="4" rx="2" {}
            }
            span.number { span.hidden { (said) } span aria-hidden="true" { (number) } }
        }
    }
}

/// Filters, with what each would leave.
fn aside(listing: &Listing) -> Markup {
    let (facets, asked) = (&listing.facets, &listing.question.asked);
    html! {
        aside aria-label="Filters" {
            details.filters {
                summary { "Filters" }
                p.hint { "Counted among the nearest " (listing.pool) "; a filter looks further." }
                (years(&facets.years, asked))
                (labels("Categories", &facets.categories, &asked.category, |asked, label| toggle_label(&mut asked.category, label), asked))
                (labels("Venues", &facets.venues, &asked.venue, |asked, label| toggle_label(&mut asked.venue, label), asked))
                p.hint.keys { kbd { "j" } " " kbd { "k" } " next, previous · " kbd { "o" } " unfold · " kbd { "Enter" } " open · " kbd { "/" } " ask" }
            }
        }
    }
}

fn labels(
    heading: &str,
    counts: &[(String, usize)],
    chosen: &[String],
    change: fn(&mut Asked, &str),
    asked: &Asked,
) -> Markup {
    // What is chosen can be taken back, also where nothing has it.
    let missing = chosen.iter().filter(|label| !counts.iter().any(|(other, _)| is_label(other, label)));
    let all: Vec<(&String, Option<usize>)> = missing
        .map(|label| (label, None))
        .chain(counts.iter().map(|(label, count)| (label, Some(*count))))
        .collect();
    html! {
        @if !all.is_empty() {
            h2 { (heading) }
            ul.labels {
                @for (label, count) in all {
                    @let is_chosen = chosen.iter().any(|other| is_label(other, label));
                    li {
                        a href=(asked.with(|asked| change(asked, label)).link("/")) aria-current=[is_chosen.then_some("true")] {
                            span { (label) }
                            @if let Some(count) = count { span.count { (count) } }
                        }
                    }
                }
            }
        }
    }
}

/// Papers a year, as bars that can be dragged over; and two fields for whoever has no mouse or no script.
fn years(years: &[(i32, usize)], asked: &Asked) -> Markup {
    const HEIGHT: f32 = 40.0;
    let most = years.iter().map(|(_, count)| *count).max().unwrap_or(1).max(1);
    let width = years.len().max(1) * 10;
    let is_within = |year: i32| {
        let (from, to) = asked.days();
        let from = from.and_then(|from| from.get(..4)?.parse().ok());
        let to = to.and_then(|to| to.get(..4)?.parse().ok());
        from.is_none_or(|from: i32| year >= from) && to.is_none_or(|to: i32| year <= to)
    };
    html! {
        h2 { "Years" }
        @if years.len() > 1 {
            svg.years viewBox=(format!("0 0 {width} 40")) preserveAspectRatio="none" aria-hidden="true" {
                @for (place, (year, count)) in years.iter().enumerate() {
                    @let height = (*count as f32 / most as f32 * HEIGHT).max(if *count > 0 { 2.0 } else { 0.0 });
                    rect.out[!is_within(*year)] data-year=(year) x=(place * 10 + 1) y=(format!("{:.1}", HEIGHT - height)) width="8" height=(format!("{height:.1}")) {
                        title { (year) ": " (count) }
                    }
                }
            }
        }
        form.range action="/" method="get" {
            (hidden(&asked.with(|asked| (asked.from, asked.to) = (None, None))))
            label { "from " input name="from" inputmode="numeric" pattern="[0-9]{4}(-[0-9]{2}){0,2}" size="6" placeholder=[years.first().map(|(year, _)| year)] value=[asked.from.as_ref()]; }
            label { "to " input name="to" inputmode="numeric" pattern="[0-9]{4}(-[0-9]{2}){0,2}" size="6" placeholder=[years.last().map(|(year, _)| year)] value=[asked.to.as_ref()]; }
            button type="submit" { "Filter" }
        }
    }
}

/// Where one begins.
pub fn start_page(papers: usize, model: &str, newest: &[Shown], frame: &Frame) -> String {
    frame.around(html! {
        section.start {
            h1 { "Which papers are like this one?" }
            (field("", true, None))
            p.hint {
                (thousands(papers)) " papers, compared by " (model) ". What you paste goes to this server only; the answer’s address has it, too."
            }
        }
        @if !newest.is_empty() {
            section.results aria-label="Newest papers" {
                h2.heading { "Newest here" }
                ol.hits { @for hit in newest { (item(hit, None)) } }
            }
        }
    })
}

/// 87249 → 87,249.
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
    fn numbers_are_grouped() {
        assert_eq!(
            [0, 12, 999, 1000, 87_249, 2_700_000].map(thousands),
            ["0", "12", "999", "1,000", "87,249", "2,700,000"]
        );
    }

    #[test]
    fn papers_of_one_probability_are_told_apart_by_their_scores() {
        let hit = |score| Hit { score, chance: Some(0.64), ..Hit::default() };
        let told: Vec<String> =
            [0.5, 0.45, 0.2, -0.1].map(|score| bar(Nearness::of(&hit(score), 0.5)).into_string()).into();
        for (told, number) in told.iter().zip(["100 %", "90 %", "40 %", "0 %"]) {
            assert!(told.contains(&format!(">{number}<")), "{told}");
        }
        assert_eq!(Nearness::of(&hit(0.4), 0.5).probability(), Some(0.64));
    }

    #[test]
    fn hostile_papers_are_text() {
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
        let shown = Shown {
            paper,
            nearness: Some(Nearness::OfBest { share: 0.5, probability: Some(0.5) }),
            why: None,
            sentences: vec![(hostile.into(), true)],
            is_new: true,
        };
        let text = item(&shown, Some(&Asked::paper(hostile))).into_string();
        assert!(
            !text.contains("<script") && !text.contains("\" onmouse") && !text.contains("javascript:"),
            "{text}"
        );
    }
}
