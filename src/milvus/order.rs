//! The newest rows first, from an engine that cannot sort: it can count, so the day is halved towards.
//!
//! Its own file because it is an algorithm of its own, over nothing but counts and keys. How many rows are newer than a
//! day is asked some dozens of times, some milliseconds each, until a few are newer; from then on, once or twice.

use crate::error::Result;
use crate::milvus::engine::{Key, Milvus, and};
use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// So many keys are asked for, and sorted here.
const FEW: usize = 2000;

/// What can be counted, and whose keys can be asked for, by an expression.
pub trait Rows {
    /// How many pass.
    fn count(&self, expression: &str) -> Result<usize>;

    /// Those that pass, at most so many, in no order.
    fn keys(&self, expression: &str, limit: usize) -> Result<Vec<Key>>;
}

impl Rows for Milvus {
    fn count(&self, expression: &str) -> Result<usize> {
        Milvus::count(self, expression)
    }

    fn keys(&self, expression: &str, limit: usize) -> Result<Vec<Key>> {
        Milvus::keys(self, expression, limit)
    }
}

/// Bounds that are remembered.
const REMEMBERED: usize = 64;

/// What rows are sorted by: each by the first of these in which they differ.
const FIELDS: [&str; 3] = ["first", "last", "number"];

/// The last day there can be.
pub const LAST_DAY: i64 = 99_991_231;

/// The first and the last day of a month or a year differ by less, as numbers.
const YEAR: i64 = 10_000;

/// Finds the newest rows.
#[derive(Default)]
pub struct Newest {
    /// Expressions that left a few of the newest rows when they were asked last, by what was asked and whether it was for
    /// those after a place. Whatever comes or goes meanwhile, they leave the newest ones, and how many is asked each time.
    bounds: Mutex<HashMap<(String, bool), String>>,
}

impl Newest {
    /// The newest `wanted` rows that pass an expression, and one for what comes after a place, newest first.
    pub fn of(&self, rows: &impl Rows, all: &str, after: Option<&str>, wanted: usize) -> Result<Vec<Key>> {
        if wanted == 0 {
            return Ok(Vec::new());
        }
        let few = FEW.max(wanted);
        let left = and(all, after.unwrap_or_default());
        let key = (all.to_string(), after.is_some());
        let known = self.lock().get(&key).cloned();
        let serves =
            |bound: &String| -> Result<bool> { Ok(is_enough(rows.count(&and(&left, bound))?, wanted, few)) };
        let bound = match known {
            Some(bound) if serves(&bound)? => bound,
            _ => {
                let bound = bound_of(rows, &left, wanted, few)?;
                let mut bounds = self.lock();
                if bounds.len() >= REMEMBERED {
                    bounds.clear();
                }
                bounds.insert(key, bound.clone());
                bound
            }
        };
        let mut keys = rows.keys(&and(&left, &bound), few)?;
        keys.sort_unstable_by_key(|key| Reverse(key.clone()));
        keys.truncate(wanted);
        Ok(keys)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(String, bool), String>> {
        self.bounds.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_enough(count: usize, wanted: usize, few: usize) -> bool {
    (wanted..=few).contains(&count)
}

/// An expression that leaves the newest of what passes another: at least `wanted`, if there are so many, and at most `few`,
/// unless more are the same by all fields.
fn bound_of(rows: &impl Rows, expression: &str, wanted: usize, few: usize) -> Result<String> {
    if rows.count(expression)? <= few {
        return Ok(String::new());
    }
    let mut level = Vec::with_capacity(FIELDS.len());
    for field in FIELDS {
        let (mut least, mut most) = match (field, level.first()) {
            ("number", _) => (0, i64::MAX),
            (_, Some(&(_, first))) => (first, first + YEAR),
            (_, None) => (0, LAST_DAY),
        };
        while least < most {
            let middle = least + (most - least - 1) / 2 + 1;
            let bound = at_least(&level, field, middle);
            match rows.count(&and(expression, &bound))? {
                count if is_enough(count, wanted, few) => return Ok(bound),
                count if count > few => least = middle,
                _ => most = middle - 1,
            }
        }
        level.push((field, least));
    }
    Ok(level.pop().map_or(String::new(), |(field, least)| at_least(&level, field, least)))
}

/// The expression that leaves what is newer by one of some fields, or the same by these and not older by another.
fn at_least(level: &[(&str, i64)], field: &str, value: i64) -> String {
    let mut same = String::new();
    let mut parts = Vec::with_capacity(level.len() + 1);
    for (field, value) in level {
        parts.push(format!("({same}{field} > {value})"));
        same += &format!("{field} == {value} and ");
    }
    parts.push(format!("({same}{field} >= {value})"));
    parts.join(" or ")
}

/// The largest value for which something is so that is so for all below it, too; the least, if it is so for none.
pub fn largest((mut least, mut most): (i64, i64), is_so: impl Fn(i64) -> Result<bool>) -> Result<i64> {
    while least < most {
        let middle = least + (most - least - 1) / 2 + 1;
        if is_so(middle)? { least = middle } else { most = middle - 1 }
    }
    Ok(least)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::cell::Cell;

    /// Keys, asked by the expressions that are made here, and how often they were counted.
    #[derive(Default)]
    struct Listed {
        keys: Vec<Key>,
        counted: Cell<usize>,
    }

    impl Listed {
        fn passing(&self, expression: &str) -> Vec<Key> {
            let passes = |key: &Key, part: &str| {
                let [field, sign, value] = part.split(' ').collect::<Vec<_>>()[..] else { panic!("{part}") };
                let value: i64 = value.parse().unwrap();
                let of = match field {
                    "first" => key.days.0.into(),
                    "last" => key.days.1.into(),
                    _ => key.number,
                };
                match sign {
                    ">" => of > value,
                    ">=" => of >= value,
                    _ => of == value,
                }
            };
            let expression = expression.replace(['(', ')'], "");
            let all = |key: &Key, parts: &str| parts.split(" and ").all(|part| passes(key, part));
            let any =
                |key: &&Key| expression.is_empty() || expression.split(" or ").any(|parts| all(key, parts));
            self.keys.iter().filter(any).cloned().collect()
        }
    }

    impl Rows for Listed {
        fn count(&self, expression: &str) -> Result<usize> {
            self.counted.set(self.counted.get() + 1);
            Ok(self.passing(expression).len())
        }

        fn keys(&self, expression: &str, limit: usize) -> Result<Vec<Key>> {
            let mut passing = self.passing(expression);
            passing.truncate(limit);
            Ok(passing)
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn halving_finds_what_sorting_finds(count in 0_usize..9000, days in 1_i32..40, wanted in 1_usize..1500) {
            let key = |number: usize| {
                let day = 20_200_101 + (number as i32).wrapping_mul(7919).rem_euclid(days);
                let last = if number.is_multiple_of(3) { day } else { day + 30 };
                Key { days: if number.is_multiple_of(11) { (0, 0) } else { (day, last) }, number: number as i64 * 1_000_003, id: number.to_string() }
            };
            let mut listed = Listed { keys: (0..count).map(key).collect(), ..Listed::default() };
            let newest = Newest::default();
            for more in 0..2 {
                let mut sorted = listed.keys.clone();
                sorted.sort_by_key(|key| Reverse(key.clone()));
                sorted.truncate(wanted);
                prop_assert_eq!(newest.of(&listed, "", None, wanted).unwrap(), sorted.clone());
                listed.counted.set(0);
                prop_assert_eq!(newest.of(&listed, "", None, wanted).unwrap(), sorted);
                prop_assert!(listed.counted.get() <= 2, "what was found once is found at once: {:?}", listed.counted);
                listed.keys.extend((0..700).map(|number| key(count + 700 * more + number)));
            }
        }
    }

    #[test]
    fn the_largest_is_found() {
        for so in 0..=20 {
            assert_eq!(largest((0, 20), |value| Ok(value <= so)).unwrap(), so);
        }
        assert_eq!(largest((0, i64::MAX), |value| Ok(value <= 5)).unwrap(), 5);
        assert_eq!(largest((3, 9), |_| Ok(false)).unwrap(), 3);
    }
}
