//! The query string of a page, with the examples to search for, the filters, and the order of the list.
//!
//! Every link that changes the query or the list has the query string of the page with one parameter changed. So each
//! state of a page has an address that can be shared, and the browser's Back button works.

use crate::search::Mode;
use serde::Deserialize;

/// Maximum number of texts in a query, of papers that results should be similar to, and of papers that results should
/// be dissimilar to. The limit holds for each of the three separately.
pub const MAX_EXAMPLES: usize = 200;

/// Maximum number of categories, and of venues, in a filter.
const MAX_LABELS: usize = 50;

/// The parameters in the query string of a page.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct PageQuery {
    /// Texts that the results should be similar to.
    pub q: Vec<String>,
    /// Ids of papers that the results should be similar to.
    pub like: Vec<String>,
    /// Ids of papers that the results should be dissimilar to.
    pub unlike: Vec<String>,
    /// Earliest date of publication: `YYYY`, `YYYY-MM` or `YYYY-MM-DD`. `None`: no limit.
    #[serde(deserialize_with = "empty_as_none")]
    pub from: Option<String>,
    /// Latest date of publication, in the same formats as `from`. `None`: no limit.
    #[serde(deserialize_with = "empty_as_none")]
    pub to: Option<String>,
    /// Categories of which a result must have at least one. Empty: no limit.
    pub category: Vec<String>,
    /// Venues of which a result must have one. Empty: no limit.
    pub venue: Vec<String>,
    /// How papers are compared with the query. `None`: the default of the search.
    pub mode: Option<Mode>,
    /// Whether to list the most similar papers even if none is similar enough to count as a match.
    pub all: bool,
    /// The order of the list.
    pub order: Order,
    /// Number of papers skipped at the beginning of the list.
    pub offset: usize,
    /// The property of papers that the colours of the map show.
    pub colour: Colour,
    /// Ids and addresses in the text of the search form that no paper in the library has. The links that change the
    /// query leave this parameter out; see [`PageQuery::with`].
    pub missing: Vec<String>,
    /// Errors of bibliography entries that could not be read, at all or in part. Links leave them out as for `missing`.
    pub not_read: Vec<String>,
    /// Number of examples left out because the address would be too long. Links leave it out as for `missing`.
    #[serde(rename = "left")]
    pub left_out: usize,
}

/// The order in which papers are listed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Order {
    /// Most similar first.
    #[default]
    Relevance,
    /// Most similar first, but the first papers are in the order of the cross-encoder. Without a cross-encoder, like
    /// `Relevance`.
    Reranked,
    /// Newest first. Papers that are much less similar to the query than the most similar paper are left out, but the
    /// 20 most similar papers are always listed.
    Newest,
    /// Most similar first, but papers that are similar to an earlier paper of the list come later (maximal marginal
    /// relevance).
    Diverse,
}

/// The property of papers that the colours of the map show.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Colour {
    /// Years of publication.
    #[default]
    Year,
    /// The most frequent categories.
    Category,
}

/// Reads a form field that was left empty, or has only spaces, as `None`.
fn empty_as_none<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let text = String::deserialize(deserializer)?;
    Ok(Some(text).filter(|text| !text.trim().is_empty()))
}

impl PageQuery {
    /// Refuses lists that are too long, because every link of a page contains all lists of the page's query.
    ///
    /// # Errors
    /// Returns a message with the name of the list, its length and the maximum, if a list has more than
    /// [`MAX_EXAMPLES`] values, or a list of categories or venues has more than 50.
    pub fn check(&self) -> Result<(), String> {
        let lists = [
            ("q", &self.q, MAX_EXAMPLES),
            ("like", &self.like, MAX_EXAMPLES),
            ("unlike", &self.unlike, MAX_EXAMPLES),
            ("missing", &self.missing, MAX_EXAMPLES),
            ("not_read", &self.not_read, MAX_EXAMPLES),
            ("category", &self.category, MAX_LABELS),
            ("venue", &self.venue, MAX_LABELS),
        ];
        match lists.iter().find(|(_, list, max)| list.len() > *max) {
            Some((name, list, max)) => {
                Err(format!("{name} must have at most {max} values (got {})", list.len()))
            }
            None => Ok(()),
        }
    }

    /// Whether there is neither a text nor a paper that the results should be similar to.
    pub fn has_no_examples(&self) -> bool {
        self.q.iter().all(|text| text.trim().is_empty()) && self.like.is_empty()
    }

    /// The query for papers that are similar to one paper.
    pub fn paper(id: &str) -> PageQuery {
        PageQuery { like: vec![id.into()], ..PageQuery::default() }
    }

    /// The earliest and the latest date, swapped if they are in the wrong order.
    pub fn days(&self) -> (Option<&str>, Option<&str>) {
        let (from, to) = (self.from.as_deref(), self.to.as_deref());
        // Compare the dates at the precision of the less precise date, because the year 2020 contains the month
        // 2020-05.
        let is_after = |from: &str, to: &str| {
            let common = from.len().min(to.len());
            from.as_bytes()[..common] > to.as_bytes()[..common]
        };
        match (from, to) {
            (Some(first), Some(last)) if is_after(first, last) => (to, from),
            days => days,
        }
    }

    /// The address of this query: `path`, and the query string if any parameter differs from its default.
    pub fn link(&self, path: &str) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        let lists = [
            ("q", &self.q),
            ("like", &self.like),
            ("unlike", &self.unlike),
            ("category", &self.category),
            ("venue", &self.venue),
            ("missing", &self.missing),
            ("not_read", &self.not_read),
        ];
        for (name, list) in lists {
            query.extend_pairs(list.iter().map(|value| (name, value)));
        }
        for (name, value) in [("from", &self.from), ("to", &self.to)] {
            query.extend_pairs(value.iter().map(|value| (name, value)));
        }
        match self.order {
            Order::Relevance => {}
            Order::Reranked => drop(query.append_pair("order", "reranked")),
            Order::Newest => drop(query.append_pair("order", "newest")),
            Order::Diverse => drop(query.append_pair("order", "diverse")),
        }
        if let Some(mode) = self.mode {
            query.append_pair("mode", &mode.to_string());
        }
        if self.all {
            query.append_pair("all", "true");
        }
        if self.offset > 0 {
            query.append_pair("offset", &self.offset.to_string());
        }
        if self.colour == Colour::Category {
            query.append_pair("colour", "category");
        }
        if self.left_out > 0 {
            query.append_pair("left", &self.left_out.to_string());
        }
        match query.finish() {
            query if query.is_empty() => path.into(),
            query => format!("{path}?{query}"),
        }
    }

    /// Returns a changed copy that starts at the first page of results. Leaves out `missing`, `not_read` and
    /// `left_out`, which are about the text that was submitted.
    pub fn with(&self, change: impl FnOnce(&mut PageQuery)) -> PageQuery {
        let (missing, not_read) = (Vec::new(), Vec::new());
        let mut changed = PageQuery { missing, not_read, left_out: 0, offset: 0, ..self.clone() };
        change(&mut changed);
        changed
    }
}

/// Adds a value to a list, or removes the value if the list contains it.
pub fn toggle(list: &mut Vec<String>, value: &str) {
    match list.iter().position(|other| other == value) {
        Some(index) => drop(list.remove(index)),
        None => list.push(value.into()),
    }
}

/// Adds a category or venue to a list, or removes it if the list contains it in any combination of upper and lower
/// case.
pub fn toggle_label(list: &mut Vec<String>, label: &str) {
    match list.iter().position(|other| is_same_label(other, label)) {
        Some(index) => drop(list.remove(index)),
        None => list.push(label.into()),
    }
}

/// Whether two labels are equal, apart from upper and lower case.
pub fn is_same_label(one: &str, other: &str) -> bool {
    one.to_lowercase() == other.to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_parsed_back_to_the_same_query() {
        let query = PageQuery {
            q: vec!["knots & bees".into(), "x=\"<y>\"".into()],
            like: vec!["10.1000/x".into()],
            from: Some("2020".into()),
            category: vec!["cs.LG".into()],
            mode: Some(Mode::Lexical),
            all: true,
            order: Order::Diverse,
            offset: 20,
            colour: Colour::Category,
            left_out: 3,
            ..PageQuery::default()
        };
        let link = query.link("/");
        assert!(link.starts_with("/?q=knots+%26+bees&"), "{link}");
        assert_eq!(serde_html_form::from_str::<PageQuery>(link.strip_prefix("/?").unwrap()).unwrap(), query);
        assert_eq!(PageQuery::default().link("/map"), "/map");
        let form: PageQuery = serde_html_form::from_str("q=a&from=&to=+&utm_source=x").unwrap();
        assert_eq!(form, PageQuery { q: vec!["a".into()], ..PageQuery::default() });
    }

    #[test]
    fn swapped_dates_are_put_in_order() {
        let days = |from: &str, to: &str| {
            let query = PageQuery { from: Some(from.into()), to: Some(to.into()), ..PageQuery::default() };
            let (first, last) = query.days();
            (first.unwrap().to_string(), last.unwrap().to_string())
        };
        assert_eq!(days("2024", "2020"), ("2020".into(), "2024".into()));
        assert_eq!(days("2020-05", "2020"), ("2020-05".into(), "2020".into()));
        assert_eq!(days("2020", "2020-01-01"), ("2020".into(), "2020-01-01".into()));
    }

    #[test]
    fn labels_are_removed_in_any_case() {
        let mut list = vec!["Deep Learning".to_string(), "b".into()];
        toggle_label(&mut list, "deep learning");
        assert_eq!(list, ["b"]);
    }

    #[test]
    fn changed_queries_start_at_the_first_page() {
        let query = PageQuery { offset: 40, ..PageQuery::paper("p") };
        let changed = query.with(|query| toggle(&mut query.like, "p"));
        assert_eq!(changed, PageQuery::default());
    }
}
