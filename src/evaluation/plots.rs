//! What a space is like → one page of figures and plots, as SVG.
//!
//! Its own file because it is drawn: it knows figures only.

use super::space::SpaceFigures;
use maud::{Markup, html};

/// The page's size.
const WIDTH: f32 = 920.0;
const HEIGHT: f32 = 640.0;

/// The size of one plot, without what is written around it.
const PLOT: (f32, f32) = (380.0, 180.0);

/// One series of a plot.
struct Series {
    name: &'static str,
    colour: &'static str,
    /// Shares of the whole, one a bar.
    bars: Vec<f32>,
}

/// The page.
pub fn space_page(figures: &SpaceFigures) -> String {
    let rows = told(figures);
    let geometry = &figures.geometry;
    let cosines = [
        series("pairs by chance", "#8a8f98", histogram(geometry.random.iter().copied(), -0.2, 1.0)),
        series("each one's nearest", "#2f6fde", histogram(geometry.nearest.iter().copied(), -0.2, 1.0)),
    ];
    let most = 40.0;
    let often = geometry.occurrences.iter().map(|count| (*count as f32).min(most - 0.1));
    let often = [series("papers", "#2f6fde", histogram(often, 0.0, most))];
    let first = figures.places.iter().map(|place| (*place as f32).min(most) - 1.0);
    let first = [series("titles", "#2f6fde", histogram(first, 0.0, most))];
    let page = html! {
        svg xmlns="http://www.w3.org/2000/svg" viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } width=(WIDTH) height=(HEIGHT) font-family="system-ui, sans-serif" font-size="13" fill="#1d2026" {
            rect width="100%" height="100%" fill="#ffffff" {}
            text x="30" y="40" font-size="20" font-weight="600" { "The space of " (figures.model) }
            text x="30" y="62" fill="#5c626c" { (figures.papers) " papers, of which " (figures.compared) " drawn by chance were compared with each other" }
            @for (place, (name, value, note)) in rows.iter().enumerate() {
                @let y = 100.0 + 26.0 * place as f32;
                text x="30" y=(y) { (name) }
                text x="270" y=(y) font-weight="600" text-anchor="end" { (value) }
                text x="284" y=(y) fill="#5c626c" font-size="11" { (note) }
            }
            (plot("Cosines", &cosines, ("-0.2", "1"), (510.0, 110.0)))
            (plot("How often a paper is one of another's ten nearest", &often, ("0", "40 or more"), (30.0, 400.0)))
            (plot("At which place a title finds its abstract", &first, ("1", "40 or later"), (510.0, 400.0)))
        }
    };
    page.into_string()
}

/// Figures, each with what a good one is.
fn told(figures: &SpaceFigures) -> Vec<(&'static str, String, &'static str)> {
    let share = |share: f32| format!("{:.1} %", 100.0 * share);
    vec![
        ("Anisotropy", format!("{:.3}", figures.anisotropy), "0: everywhere; 1: one cone"),
        ("Mean nearest cosine", format!("{:.3}", figures.mean_nearest), "among those compared"),
        ("Hubness (skewness)", format!("{:.2}", figures.hubness), "above 1: few come up everywhere"),
        ("Nobody's neighbour", share(figures.nowhere), "papers that hardly come up"),
        ("Nearly the same as another", share(figures.duplicates), "in the whole library"),
        ("Title finds abstract first", share(figures.title_first), "among as many as were asked"),
        ("Title to abstract, MRR", format!("{:.3}", figures.title_mrr), "1: always the first"),
        ("recall@10 of the index", format!("{:.4}", figures.index_recall), "beside comparing with all"),
    ]
}

fn series(name: &'static str, colour: &'static str, bars: Vec<f32>) -> Series {
    Series { name, colour, bars }
}

/// Shares of values in equal parts of a range; what is beyond it is in the outermost.
fn histogram(values: impl Iterator<Item = f32>, from: f32, to: f32) -> Vec<f32> {
    const BARS: usize = 40;
    let (mut bars, mut all) = (vec![0.0_f32; BARS], 0.0_f32);
    for value in values {
        let place = ((value - from) / (to - from) * BARS as f32).max(0.0) as usize;
        bars[place.min(BARS - 1)] += 1.0;
        all += 1.0;
    }
    bars.iter_mut().for_each(|bar| *bar /= all.max(1.0));
    bars
}

/// Bars of one or more series over one axis.
fn plot(title: &str, all: &[Series], ends: (&str, &str), (x, y): (f32, f32)) -> Markup {
    let (width, height) = PLOT;
    let most = all.iter().flat_map(|series| &series.bars).copied().fold(1e-6, f32::max);
    let outline = |bars: &[f32]| {
        let step = width / bars.len() as f32;
        let corners = bars.iter().enumerate().flat_map(|(place, bar)| {
            let level = height - bar / most * height;
            [(place as f32 * step, level), ((place + 1) as f32 * step, level)]
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
            text x=(width) y="0" fill="#5c626c" text-anchor="end" font-size="11" { (format!("{:.1} %", 100.0 * most)) }
            @if all.len() > 1 {
                @for (place, series) in all.iter().enumerate() {
                    text x="8" y=(14 + 16 * place) fill=(series.colour) { (series.name) }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_counted_where_they_are() {
        let bars = histogram([-5.0, 0.0, 0.01, 0.99, 7.0].into_iter(), 0.0, 1.0);
        assert_eq!((bars[0], bars[39]), (0.6, 0.4));
        assert_eq!(histogram(std::iter::empty(), 0.0, 1.0), [0.0; 40]);
    }
}
