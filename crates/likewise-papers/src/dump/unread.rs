//! What a dump says and no paper has: values that could not be read, list items of another kind, unknown columns.
//!
//! Its own file because every reader drops something, and people have to be told once what it was.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Kinds that are kept apart; a dump with more of them is not what it was taken for.
const MOST_KINDS: usize = 100;

/// Longest part of a value that is shown, in characters.
const SHOWN: usize = 60;

/// What was not read of one dump, by kind, with how often and the first example. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Unread(Arc<Mutex<BTreeMap<String, Kind>>>);

#[derive(Debug)]
struct Kind {
    count: u64,
    example: String,
}

impl Unread {
    /// Counts one value of a kind, such as `published: no date`; the first is kept as the example.
    pub fn note(&self, kind: &str, value: &str) {
        let mut kinds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(seen) = kinds.get_mut(kind) {
            seen.count += 1;
        } else if kinds.len() < MOST_KINDS {
            let example: String = value.chars().take(SHOWN).collect();
            let example = if example.len() < value.len() { example + "…" } else { example };
            kinds.insert(kind.to_string(), Kind { count: 1, example });
        }
    }

    /// One line for each kind: `published: no date: 3 times, first "n.d."`.
    pub fn lines(&self) -> Vec<String> {
        let kinds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let line = |(kind, Kind { count, example }): (&String, &Kind)| {
            let times = if *count == 1 { "once".to_string() } else { format!("{count} times") };
            match example.is_empty() {
                true => format!("{kind}: {times}"),
                false => format!("{kind}: {times}, first {example:?}"),
            }
        };
        kinds.iter().map(line).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_counted_with_its_first_example() {
        let unread = Unread::default();
        let clone = unread.clone();
        clone.note("published: no date", "n.d.");
        clone.note("published: no date", "soon");
        unread.note("authors: a number", "");
        assert_eq!(
            unread.lines(),
            ["authors: a number: once", "published: no date: 2 times, first \"n.d.\""]
        );
        unread.note("long", &"ä".repeat(61));
        assert!(unread.lines()[1].ends_with("ä…\""), "{:?}", unread.lines());
        (0..200).for_each(|number| unread.note(&number.to_string(), ""));
        assert_eq!(unread.lines().len(), MOST_KINDS);
    }
}
