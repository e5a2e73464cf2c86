//! The page of a day, which lists the papers of the day.

use super::frame::{Frame, path_of};
use super::list::{ListItem, list_item};
use likewise_papers::Paper;
use maud::html;

/// Content of the page of a day.
pub struct DayView {
    /// The day, `YYYY-MM-DD`.
    pub date: String,
    /// The nearest earlier day with papers, `YYYY-MM-DD`. `None`: no earlier day has papers.
    pub before: Option<String>,
    /// The nearest later day with papers, `YYYY-MM-DD`. `None`: no later day has papers.
    pub after: Option<String>,
    /// The day's papers, in the order in which they are shown.
    pub papers: Vec<ListItem>,
    /// Number of the day's papers that are not shown.
    pub left_out: usize,
    /// The papers that the reader follows. The day's papers are ranked by similarity to these papers; if the list is
    /// empty, the day's papers are not ranked.
    pub followed: Vec<Paper>,
}

/// Renders the page of a day as HTML.
pub fn day_page(day: &DayView, frame: &Frame) -> String {
    let new = day.papers.iter().filter(|paper| paper.is_new).count();
    frame.render(html! {
        section.results aria-label="Papers of the day" {
            nav.days aria-label="Days" {
                @if let Some(date) = &day.before { a rel="prev" href={ "/date/" (date) } { "← " (date) } } @else { span {} }
                h1 { time datetime=(day.date) { (day.date) } }
                @if let Some(date) = &day.after { a rel="next" href={ "/date/" (date) } { (date) " →" } } @else { span {} }
            }
            form.day action="/date" method="get" {
                label { "Another day " input type="date" name="date" value=(day.date) required; }
                button type="submit" { "Show" }
            }
            p.hint {
                (day.papers.len() + day.left_out) " papers"
                @if new > 0 { ", " (new) " new since your last visit" }
                @if day.followed.is_empty() { ". Follow papers on their pages to rank this list by similarity to them." }
                @else {
                    ", ranked by similarity to "
                    @for (index, paper) in day.followed.iter().enumerate() {
                        @if index > 0 { ", " }
                        a href={ "/papers/" (path_of(paper.id.as_str())) } { (paper.title) }
                    }
                    "."
                }
            }
            @if day.papers.is_empty() { div.empty { p { "No paper is known to be published on this day." } } }
            ol.hits { @for paper in &day.papers { (list_item(paper, None)) } }
            @if day.left_out > 0 { p.hint { (day.left_out) " more papers are not shown." } }
        }
    })
}
