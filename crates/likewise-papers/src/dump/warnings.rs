//! Counts the values of a dump that readers ignore or replace: wrong types, unreadable dates, unknown columns, invalid
//! characters. Each kind of problem is reported once, with the number of values and an example.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Maximum number of kinds of problem that are counted. A dump with more kinds was probably read in the wrong format.
const MAX_KINDS: usize = 100;

/// Maximum length of an example, in characters. Longer examples are truncated.
const MAX_EXAMPLE_CHARS: usize = 60;

/// Warnings about one dump: the number of values that were ignored or replaced, and the first such value as an example,
/// for each kind of problem. Clones share the counts.
#[derive(Clone, Debug, Default)]
pub struct Warnings(Arc<Mutex<BTreeMap<String, Tally>>>);

#[derive(Debug)]
struct Tally {
    count: u64,
    example: String,
}

impl Warnings {
    /// Counts one value under a kind of problem such as `published: not a date`. The first value of each kind becomes
    /// the example; an empty example is not shown. A new kind is ignored if 100 kinds are
    /// already counted.
    pub fn add(&self, kind: &str, value: &str) {
        let mut kinds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(tally) = kinds.get_mut(kind) {
            tally.count += 1;
        } else if kinds.len() < MAX_KINDS {
            let example: String = value.chars().take(MAX_EXAMPLE_CHARS).collect();
            let example = if example.len() < value.len() { example + "…" } else { example };
            kinds.insert(kind.to_string(), Tally { count: 1, example });
        }
    }

    /// Returns one line per kind, such as `published: not a date: 3 times, first "n.d."`, sorted by kind.
    pub fn lines(&self) -> Vec<String> {
        let kinds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let line = |(kind, Tally { count, example }): (&String, &Tally)| {
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
        let warnings = Warnings::default();
        let clone = warnings.clone();
        clone.add("published: not a date", "n.d.");
        clone.add("published: not a date", "soon");
        warnings.add("authors: ignored a number", "");
        assert_eq!(
            warnings.lines(),
            ["authors: ignored a number: once", "published: not a date: 2 times, first \"n.d.\""]
        );
        warnings.add("long", &"ä".repeat(61));
        assert!(warnings.lines()[1].ends_with("ä…\""), "{:?}", warnings.lines());
        (0..200).for_each(|number| warnings.add(&number.to_string(), ""));
        assert_eq!(warnings.lines().len(), MAX_KINDS);
    }
}
