//! A day's papers.

use super::frame::{Frame, path_of};
use super::list::{Shown, item};
use likewise_papers::Paper;
use maud::html;

/// A day.
pub struct Day {
    /// `YYYY-MM-DD`.
    pub date: String,
    /// The day before it on which there are papers.
    pub before: Option<String>,
    /// The day after it.
    pub after: Option<String>,
    /// Its papers, in the order in which they are shown.
    pub papers: Vec<Shown>,
    /// Papers of the day that are not shown.
    pub left_out: usize,
    /// The papers by which they are ranked.
    pub followed: Vec<Paper>,
}

/// A day's page.
pub fn day_page(day: &Day, frame: &Frame) -> String {
    let new = day.papers.iter().filter(|paper| paper.is_new).count();
    frame.around(html! {
        section.results aria-label="Papers of the day" {
            nav.days aria-label="Days" {
                @if let Some(date) = &day.before { a rel="prev" href={ "/date/" (date) } { "← " (date) } } @else { span {} }
                h1 { time datetime=(day.date) { (day.date) } }
                @if let Some(date) = &day.after { a rel="next" href={ "/date/" (date) } { (date) " →" } } @else { span {} }
            }
            form.day action="/date" method="get" {
                label { "Another day " input type="date" name="date" value=(day.date) required; }
                button type="submit" { "Go" }
            }
            p.hint {
                (day.papers.len() + day.left_out) " papers"
                @if new > 0 { ", " (new) " new since your last visit" }
                @if day.followed.is_empty() { ". Follow papers, on their pages, and days are ranked by closeness to them." }
                @else {
                    ", ranked by closeness to "
                    @for (place, paper) in day.followed.iter().enumerate() {
                        @if place > 0 { ", " }
                        a href={ "/papers/" (path_of(paper.id.as_str())) } { (paper.title) }
                    }
                    "."
                }
            }
            @if day.papers.is_empty() { div.empty { p { "No paper is known to be of this day." } } }
            ol.hits { @for paper in &day.papers { (item(paper, None)) } }
            @if day.left_out > 0 { p.hint { (day.left_out) " more are not shown." } }
        }
    })
}
