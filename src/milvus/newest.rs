//! Finds the newest rows of an engine that cannot sort, by bisection over counts of rows.
//!
//! The first search counts the rows that are newer than some day, for a few dozen days and at a few milliseconds each,
//! until the count is small enough to read and sort these rows. The result of the bisection is cached: a later search
//! of the same rows needs only one or two counts, unless many rows have been added or deleted meanwhile.

use crate::error::Result;
use crate::milvus::engine::{Milvus, RowKey, and};
use std::cmp::Reverse;
use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Maximum number of keys that are read and sorted at once, unless more rows are requested.
const MAX_SORTED: usize = 2000;

/// Rows that can be counted and read by an expression.
pub trait RowSource {
    /// The number of rows that pass an expression.
    fn count(&self, expression: &str) -> Result<usize>;

    /// The keys of at most `limit` rows that pass an expression, in no particular order.
    fn keys(&self, expression: &str, limit: usize) -> Result<Vec<RowKey>>;
}

impl RowSource for Milvus {
    fn count(&self, expression: &str) -> Result<usize> {
        Milvus::count(self, expression)
    }

    fn keys(&self, expression: &str, limit: usize) -> Result<Vec<RowKey>> {
        Milvus::keys(self, expression, limit)
    }
}

/// Maximum number of bounds that are cached.
const MAX_CACHED_BOUNDS: usize = 64;

/// The fields that rows are sorted by, most significant first.
const SORT_FIELDS: [&str; 3] = ["first", "last", "number"];

/// The largest day, as `yyyymmdd`.
pub const LAST_DAY: i64 = 99_991_231;

/// Upper limit for the difference between the last and the first day of a paper's date, both as the number `yyyymmdd`.
/// A date covers at most a year.
const YEAR: i64 = 10_000;

/// Finds the newest rows.
#[derive(Default)]
pub struct NewestRows {
    /// The bound that was used last, for each expression and for whether a cursor was given. A bound is an expression
    /// that selects a few of the newest rows. It still selects the newest rows after any writes, but these rows must be
    /// counted again before the bound is used.
    bounds: Mutex<HashMap<(String, bool), String>>,
}

impl NewestRows {
    /// Returns the keys of at most `limit` rows, the newest ones, newest first. The rows pass the expression `all` and,
    /// with a cursor, also the expression `after`.
    pub fn find(
        &self,
        rows: &impl RowSource,
        all: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<RowKey>> {
        if limit == 0 {
            return Ok(Vec::new());
        }
        let allowed = limit..=MAX_SORTED.max(limit);
        let expression = and(all, after.unwrap_or_default());
        let cache_key = (all.to_string(), after.is_some());
        let cached = self.lock().get(&cache_key).cloned();
        let is_valid =
            |bound: &String| -> Result<bool> { Ok(allowed.contains(&rows.count(&and(&expression, bound))?)) };
        let bound = match cached {
            Some(bound) if is_valid(&bound)? => bound,
            _ => {
                let bound = find_bound(rows, &expression, &allowed)?;
                let mut bounds = self.lock();
                if bounds.len() >= MAX_CACHED_BOUNDS {
                    bounds.clear();
                }
                bounds.insert(cache_key, bound.clone());
                bound
            }
        };
        let mut keys = rows.keys(&and(&expression, &bound), *allowed.end())?;
        keys.sort_unstable_by_key(|key| Reverse(key.clone()));
        keys.truncate(limit);
        Ok(keys)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(String, bool), String>> {
        self.bounds.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Finds an expression that selects the newest of the rows that pass `expression`. The number of selected rows is in
/// the range `allowed`. There are fewer rows if fewer pass `expression`, and more if more rows are equal in all sort
/// fields.
fn find_bound(rows: &impl RowSource, expression: &str, allowed: &RangeInclusive<usize>) -> Result<String> {
    if rows.count(expression)? <= *allowed.end() {
        return Ok(String::new());
    }
    let mut fixed = Vec::with_capacity(SORT_FIELDS.len());
    for field in SORT_FIELDS {
        let (mut min, mut max) = match (field, fixed.first()) {
            ("number", _) => (0, i64::MAX),
            (_, Some(&(_, first))) => (first, first + YEAR),
            (_, None) => (0, LAST_DAY),
        };
        while min < max {
            let middle = min + (max - min - 1) / 2 + 1;
            let bound = at_least(&fixed, field, middle);
            match rows.count(&and(expression, &bound))? {
                count if allowed.contains(&count) => return Ok(bound),
                count if count > *allowed.end() => min = middle,
                _ => max = middle - 1,
            }
        }
        fixed.push((field, min));
    }
    Ok(fixed.pop().map_or(String::new(), |(field, min)| at_least(&fixed, field, min)))
}

/// The expression for rows whose `fixed` fields and `field`, compared in this order, are at least the given values.
fn at_least(fixed: &[(&str, i64)], field: &str, value: i64) -> String {
    let mut equal = String::new();
    let mut parts = Vec::with_capacity(fixed.len() + 1);
    for (field, value) in fixed {
        parts.push(format!("({equal}{field} > {value})"));
        equal += &format!("{field} == {value} and ");
    }
    parts.push(format!("({equal}{field} >= {value})"));
    parts.join(" or ")
}

/// The largest value in a range that satisfies a condition, by bisection; the start of the range if no value does. If a
/// value satisfies the condition, all smaller values must satisfy it too.
pub fn largest(range: RangeInclusive<i64>, condition: impl Fn(i64) -> Result<bool>) -> Result<i64> {
    let (mut min, mut max) = range.into_inner();
    while min < max {
        let middle = min + (max - min - 1) / 2 + 1;
        if condition(middle)? { min = middle } else { max = middle - 1 }
    }
    Ok(min)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::milvus::engine::DayRange;
    use proptest::prelude::*;
    use std::cell::Cell;

    /// Keys in memory that the expressions of this module can select, and the number of times that rows were counted.
    #[derive(Default)]
    struct KeyList {
        keys: Vec<RowKey>,
        counted: Cell<usize>,
    }

    impl KeyList {
        fn passing(&self, expression: &str) -> Vec<RowKey> {
            let passes = |key: &RowKey, part: &str| {
                let [field, sign, value] = part.split(' ').collect::<Vec<_>>()[..] else { panic!("{part}") };
                let value: i64 = value.parse().unwrap();
                let of = match field {
                    "first" => key.days.first.into(),
                    "last" => key.days.last.into(),
                    _ => key.number,
                };
                match sign {
                    ">" => of > value,
                    ">=" => of >= value,
                    _ => of == value,
                }
            };
            let expression = expression.replace(['(', ')'], "");
            let all = |key: &RowKey, parts: &str| parts.split(" and ").all(|part| passes(key, part));
            let any = |key: &&RowKey| {
                expression.is_empty() || expression.split(" or ").any(|parts| all(key, parts))
            };
            self.keys.iter().filter(any).cloned().collect()
        }
    }

    impl RowSource for KeyList {
        fn count(&self, expression: &str) -> Result<usize> {
            self.counted.set(self.counted.get() + 1);
            Ok(self.passing(expression).len())
        }

        fn keys(&self, expression: &str, limit: usize) -> Result<Vec<RowKey>> {
            let mut passing = self.passing(expression);
            passing.truncate(limit);
            Ok(passing)
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn bisection_finds_the_same_rows_as_sorting(count in 0_usize..9000, days in 1_i32..40, limit in 1_usize..1500) {
            let key = |number: usize| {
                let day = 20_200_101 + (number as i32).wrapping_mul(7919).rem_euclid(days);
                let last = if number.is_multiple_of(3) { day } else { day + 30 };
                let days = if number.is_multiple_of(11) { DayRange::default() } else { DayRange { first: day, last } };
                RowKey { days, number: number as i64 * 1_000_003, id: number.to_string() }
            };
            let mut rows = KeyList { keys: (0..count).map(key).collect(), ..KeyList::default() };
            let newest = NewestRows::default();
            for more in 0..2 {
                let mut sorted = rows.keys.clone();
                sorted.sort_by_key(|key| Reverse(key.clone()));
                sorted.truncate(limit);
                prop_assert_eq!(newest.find(&rows, "", None, limit).unwrap(), sorted.clone());
                rows.counted.set(0);
                prop_assert_eq!(newest.find(&rows, "", None, limit).unwrap(), sorted);
                prop_assert!(rows.counted.get() <= 2, "the cached bound needs at most 2 counts: {:?}", rows.counted);
                rows.keys.extend((0..700).map(|number| key(count + 700 * more + number)));
            }
        }
    }

    #[test]
    fn largest_finds_the_last_value_that_holds() {
        for limit in 0..=20 {
            assert_eq!(largest(0..=20, |value| Ok(value <= limit)).unwrap(), limit);
        }
        assert_eq!(largest(0..=i64::MAX, |value| Ok(value <= 5)).unwrap(), 5);
        assert_eq!(largest(3..=9, |_| Ok(false)).unwrap(), 3);
    }
}
