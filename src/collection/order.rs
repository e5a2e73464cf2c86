//! The newest rows first, from an engine that cannot sort: it can count, so the day is halved towards.
//!
//! Its own file because it is an algorithm of its own, over nothing but counts and keys. How many rows are newer than a
//! day is asked about twenty times, some milliseconds each, until so many are newer as are wanted.

use crate::error::Result;
use crate::index::milvus::{Key, Milvus, and};
use std::cmp::Reverse;

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

/// Fields in the order that they sort by, and the values that they may have.
type Fields<'a> = &'a [(&'a str, (i64, i64))];

const FIELDS: Fields = &[("first", (0, 99_991_231)), ("last", (0, 99_991_231)), ("number", (0, i64::MAX))];

/// The newest `wanted` rows that pass an expression, newest first.
pub fn newest(rows: &impl Rows, expression: &str, wanted: usize) -> Result<Vec<Key>> {
    let mut keys = newest_by(rows, expression, wanted, FIELDS)?;
    keys.sort_unstable_by_key(|key| Reverse(key.clone()));
    keys.truncate(wanted);
    Ok(keys)
}

/// At least those, in no order.
fn newest_by(rows: &impl Rows, expression: &str, wanted: usize, fields: Fields) -> Result<Vec<Key>> {
    if wanted == 0 {
        return Ok(Vec::new());
    }
    let few = FEW.max(wanted);
    let [(field, values), fields @ ..] = fields else { return rows.keys(expression, few) };
    if rows.count(expression)? <= few {
        return rows.keys(expression, few);
    }
    let bound =
        largest(
            *values,
            |value| Ok(rows.count(&and(expression, &format!("{field} >= {value}")))? >= wanted),
        )?;
    let above = and(expression, &format!("{field} > {bound}"));
    let mut keys = rows.keys(&above, few)?;
    let level = and(expression, &format!("{field} == {bound}"));
    keys.extend(newest_by(rows, &level, wanted - keys.len().min(wanted), fields)?);
    Ok(keys)
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

    /// Keys, asked by the expressions that are made here.
    struct Listed(Vec<Key>);

    impl Listed {
        fn passing(&self, expression: &str) -> Vec<Key> {
            let parts = expression.replace(['(', ')'], "");
            let passes = |key: &&Key| {
                parts.split(" and ").filter(|part| !part.is_empty()).all(|part| {
                    let [field, sign, value] = part.split(' ').collect::<Vec<_>>()[..] else {
                        panic!("{part}")
                    };
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
                })
            };
            self.0.iter().filter(passes).cloned().collect()
        }
    }

    impl Rows for Listed {
        fn count(&self, expression: &str) -> Result<usize> {
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
            let listed = Listed((0..count).map(key).collect());
            let mut sorted = listed.0.clone();
            sorted.sort_by_key(|key| Reverse(key.clone()));
            sorted.truncate(wanted);
            prop_assert_eq!(newest(&listed, "", wanted).unwrap(), sorted);
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
