//! Draws the measures of an embedding space as one page in SVG.

use super::space::SpaceFigures;
use maud::{Markup, html};

/// Width of the page, in SVG units.
const WIDTH: f32 = 920.0;

/// Height of the page, in SVG units.
const HEIGHT: f32 = 640.0;

/// Width and height of a plot without its labels, in SVG units.
const PLOT: (f32, f32) = (380.0, 180.0);

/// One series of a plot.
struct Series {
    name: &'static str,
    colour: &'static str,
    /// The height of each bar, as a share of all values.
    bars: Vec<f32>,
}

/// Returns the page as SVG text.
pub fn space_page(figures: &SpaceFigures) -> String {
    let rows = rows(figures);
    let geometry = &figures.geometry;
    let cosines = [
        series("random pairs", "#8a8f98", histogram(geometry.random.iter().copied(), -0.2, 1.0)),
        series("nearest neighbours", "#2f6fde", histogram(geometry.nearest.iter().copied(), -0.2, 1.0)),
    ];
    let max = 40.0;
    let occurrences = geometry.occurrences.iter().map(|count| (*count as f32).min(max - 0.1));
    let occurrences = [series("papers", "#2f6fde", histogram(occurrences, 0.0, max))];
    let ranks = figures.ranks.iter().map(|rank| (*rank as f32).min(max) - 1.0);
    let ranks = [series("titles", "#2f6fde", histogram(ranks, 0.0, max))];
    let page = html! {
        svg xmlns="http://www.w3.org/2000/svg" viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } width=(WIDTH) height=(HEIGHT) font-family="system-ui, sans-serif" font-size="13" fill="#1d2026" {
            rect width="100%" height="100%" fill="#ffffff" {}
            text x="30" y="40" font-size="20" font-weight="600" { "Embedding space of " (figures.model) }
            text x="30" y="62" fill="#5c626c" { (figures.papers) " papers, of which a random sample of " (figures.compared) " were compared with each other" }
            @for (index, (name, value, note)) in rows.iter().enumerate() {
                @let y = 100.0 + 26.0 * index as f32;
                text x="30" y=(y) { (name) }
                text x="270" y=(y) font-weight="600" text-anchor="end" { (value) }
                text x="284" y=(y) fill="#5c626c" font-size="11" { (note) }
            }
            (plot("Cosines", &cosines, ("-0.2", "1"), (510.0, 110.0)))
            (plot("Occurrences among the ten nearest of other papers", &occurrences, ("0", "40 or more"), (30.0, 400.0)))
            (plot("Rank of a title's own abstract", &ranks, ("1", "40 or later"), (510.0, 400.0)))
        }
    };
    page.into_string()
}

/// For each measure its name, its value, and a note that explains the value.
fn rows(figures: &SpaceFigures) -> Vec<(&'static str, String, &'static str)> {
    let share = |share: f32| format!("{:.1} %", 100.0 * share);
    vec![
        ("Anisotropy", format!("{:.3}", figures.anisotropy), "0: all directions; 1: one cone"),
        ("Mean nearest cosine", format!("{:.3}", figures.mean_nearest), "within the sample"),
        ("Hubness (skewness)", format!("{:.2}", figures.hubness), "above 1: a few papers are hubs"),
        ("Neighbour of no paper", share(figures.nowhere), "rarely found by similarity"),
        ("With a near duplicate", share(figures.duplicates), "in the whole library"),
        ("Own abstract ranked first", share(figures.title_first), "for titles, among as many abstracts"),
        ("Title to abstract, MRR", format!("{:.3}", figures.title_mrr), "1: always ranked first"),
        ("recall@10 of the index", format!("{:.4}", figures.index_recall), "against an exact search"),
    ]
}

fn series(name: &'static str, colour: &'static str, bars: Vec<f32>) -> Series {
    Series { name, colour, bars }
}

/// The shares of values in bins of equal width; values outside the range count in the first or last bin.
fn histogram(values: impl Iterator<Item = f32>, from: f32, to: f32) -> Vec<f32> {
    const BARS: usize = 40;
    let (mut bars, mut count) = (vec![0.0_f32; BARS], 0.0_f32);
    for value in values {
        let bar = ((value - from) / (to - from) * BARS as f32).max(0.0) as usize;
        bars[bar.min(BARS - 1)] += 1.0;
        count += 1.0;
    }
    bars.iter_mut().for_each(|bar| *bar /= count.max(1.0));
    bars
}

/// A bar chart of one or more series; `ends` are the labels at the two ends of the axis.
fn plot(title: &str, all: &[Series], ends: (&str, &str), (x, y): (f32, f32)) -> Markup {
    let (width, height) = PLOT;
    let max = all.iter().flat_map(|series| &series.bars).copied().fold(1e-6, f32::max);
    let outline = |bars: &[f32]| {
        let step = width / bars.len() as f32;
        let corners = bars.iter().enumerate().flat_map(|(index, bar)| {
            let level = height - bar / max * height;
            [(index as f32 * step, level), ((index + 1) as f32 * step, level)]
        });
        let corners: String = corners.map(|(x, y)| format!(" L{x:.1} {y:.1}")).collect();
        format!("M0 {height}{corners} L{width} {height} Z")
    };
    html! {
        g transform={ "translate(" (x) " " (y) ")" } {
            text y="-14" font-weight="600" { (title) }
            @for series in all {
                path d=(outline(&series.bars)) fill=(series.colour) fill-opacity="0.45" stroke=(series.colour) { title { (series.name) } }
            }
            line x1="0" x2=(width) y1=(height) y2=(height) stroke="#5c626c" {}
            text y=(height + 18.0) fill="#5c626c" { (ends.0) }
            text x=(width) y=(height + 18.0) fill="#5c626c" text-anchor="end" { (ends.1) }
            text x=(width) y="0" fill="#5c626c" text-anchor="end" font-size="11" { (format!("{:.1} %", 100.0 * max)) }
            @if all.len() > 1 {
                @for (index, series) in all.iter().enumerate() {
                    text x="8" y=(14 + 16 * index) fill=(series.colour) { (series.name) }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn histogram_counts_outliers_in_the_outer_bins() {
        let bars = histogram([-5.0, 0.0, 0.01, 0.99, 7.0].into_iter(), 0.0, 1.0);
        assert_eq!((bars[0], bars[39]), (0.6, 0.4));
        assert_eq!(histogram(std::iter::empty(), 0.0, 1.0), [0.0; 40]);
    }
}
