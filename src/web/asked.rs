//! What a page shows, as the address bar has it.
//!
//! Its own file because every link of the page is this with one thing changed: so a link can be shared, and Back works.

use crate::search::Mode;
use serde::Deserialize;

/// Most texts, and most papers on either side.
pub const MOST: usize = 200;

/// Most categories, and most venues.
const MOST_LABELS: usize = 50;

/// What a page shows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Asked {
    /// Texts that papers should be like.
    pub q: Vec<String>,
    /// Papers that papers should be like.
    pub like: Vec<String>,
    /// Papers that they should be unlike.
    pub unlike: Vec<String>,
    /// The first day.
    #[serde(deserialize_with = "not_empty")]
    pub from: Option<String>,
    /// The last day.
    #[serde(deserialize_with = "not_empty")]
    pub to: Option<String>,
    /// Of one of these categories.
    pub category: Vec<String>,
    /// Of one of these venues.
    pub venue: Vec<String>,
    /// By what papers are compared, if not as usual.
    pub mode: Option<Mode>,
    /// Whether papers are shown that have little to do with what is asked, if there are no others.
    pub all: bool,
    /// In which order.
    pub order: Order,
    /// How many are passed over.
    pub offset: usize,
    /// By what a map is coloured.
    pub colour: Colour,
    /// Papers that were named and are not here: said once.
    pub missing: Vec<String>,
    /// Entries of a bibliography that could not be read, or not wholly: said once.
    pub not_read: Vec<String>,
    /// Texts that there was no room for: said once.
    pub left: usize,
}

/// In which order papers are listed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Order {
    /// The most similar first.
    #[default]
    Relevance,
    /// The newest of the nearest first.
    Newest,
    /// The most similar first, but none that says what one before it said.
    Diverse,
}

/// By what a map is coloured.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Colour {
    /// Older, newer.
    #[default]
    Year,
    /// The commonest categories.
    Category,
}

/// A field of a form that was left empty is none.
fn not_empty<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let text = String::deserialize(deserializer)?;
    Ok(Some(text).filter(|text| !text.trim().is_empty()))
}

impl Asked {
    /// Refuses lists that are too long: every link of a page has all of them in it.
    ///
    /// # Errors
    /// A sentence that says what was got and wanted.
    pub fn check(&self) -> Result<(), String> {
        let lists = [
            ("q", &self.q, MOST),
            ("like", &self.like, MOST),
            ("unlike", &self.unlike, MOST),
            ("missing", &self.missing, MOST),
            ("not_read", &self.not_read, MOST),
            ("category", &self.category, MOST_LABELS),
            ("venue", &self.venue, MOST_LABELS),
        ];
        match lists.iter().find(|(_, list, most)| list.len() > *most) {
            Some((name, list, most)) => Err(format!("{name}: got {}, wanted at most {most}", list.len())),
            None => Ok(()),
        }
    }

    /// Whether there is nothing that papers should be like.
    pub fn is_nothing(&self) -> bool {
        self.q.iter().all(|text| text.trim().is_empty()) && self.like.is_empty()
    }

    /// Papers like one.
    pub fn paper(id: &str) -> Asked {
        Asked { like: vec![id.into()], ..Asked::default() }
    }

    /// The first and the last day, in their order.
    pub fn days(&self) -> (Option<&str>, Option<&str>) {
        let (from, to) = (self.from.as_deref(), self.to.as_deref());
        // As far as both say it: `2020` has all of `2020-05` in it.
        let is_after = |from: &str, to: &str| {
            let said = from.len().min(to.len());
            from.as_bytes()[..said] > to.as_bytes()[..said]
        };
        match (from, to) {
            (Some(first), Some(last)) if is_after(first, last) => (to, from),
            days => days,
        }
    }

    /// The address that asks this.
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
        if self.left > 0 {
            query.append_pair("left", &self.left.to_string());
        }
        match query.finish() {
            query if query.is_empty() => path.into(),
            query => format!("{path}?{query}"),
        }
    }

    /// The same from the beginning, with something changed.
    pub fn with(&self, change: impl FnOnce(&mut Asked)) -> Asked {
        let said_once = Asked { missing: Vec::new(), not_read: Vec::new(), left: 0, ..self.clone() };
        let mut asked = Asked { offset: 0, ..said_once };
        change(&mut asked);
        asked
    }
}

/// Puts a value into a list, or takes it out.
pub fn toggle(list: &mut Vec<String>, value: &str) {
    match list.iter().position(|other| other == value) {
        Some(place) => drop(list.remove(place)),
        None => list.push(value.into()),
    }
}

/// The same of labels, which are the same however they are spelled.
pub fn toggle_label(list: &mut Vec<String>, label: &str) {
    match list.iter().position(|other| is_label(other, label)) {
        Some(place) => drop(list.remove(place)),
        None => list.push(label.into()),
    }
}

/// Whether two are one label.
pub fn is_label(one: &str, other: &str) -> bool {
    one.to_lowercase() == other.to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_say_what_is_asked_and_are_read_again() {
        let asked = Asked {
            q: vec!["knots & bees".into(), "x=\"<y>\"".into()],
            like: vec!["10.1000/x".into()],
            from: Some("2020".into()),
            category: vec!["cs.LG".into()],
            mode: Some(Mode::Lexical),
            all: true,
            order: Order::Diverse,
            offset: 20,
            colour: Colour::Category,
            ..Asked::default()
        };
        let link = asked.link("/");
        assert!(link.starts_with("/?q=knots+%26+bees&"), "{link}");
        assert_eq!(serde_html_form::from_str::<Asked>(link.strip_prefix("/?").unwrap()).unwrap(), asked);
        assert_eq!(Asked::default().link("/map"), "/map");
        let form: Asked = serde_html_form::from_str("q=a&from=&to=+&utm_source=x").unwrap();
        assert_eq!(form, Asked { q: vec!["a".into()], ..Asked::default() });
    }

    #[test]
    fn days_are_in_their_order() {
        let days = |from: &str, to: &str| {
            let asked = Asked { from: Some(from.into()), to: Some(to.into()), ..Asked::default() };
            let (first, last) = asked.days();
            (first.unwrap().to_string(), last.unwrap().to_string())
        };
        assert_eq!(days("2024", "2020"), ("2020".into(), "2024".into()));
        assert_eq!(days("2020-05", "2020"), ("2020-05".into(), "2020".into()));
        assert_eq!(days("2020", "2020-01-01"), ("2020".into(), "2020-01-01".into()));
    }

    #[test]
    fn labels_are_taken_back_however_they_are_spelled() {
        let mut list = vec!["Deep Learning".to_string(), "b".into()];
        toggle_label(&mut list, "deep learning");
        assert_eq!(list, ["b"]);
    }

    #[test]
    fn a_change_begins_at_the_first_page() {
        let asked = Asked { offset: 40, ..Asked::paper("p") };
        let changed = asked.with(|asked| toggle(&mut asked.like, "p"));
        assert_eq!(changed, Asked::default());
    }
}
