//! JSON, where serde takes too much or too little.
//!
//! Its own file because serde takes a list for a struct, field by field in their order: `"filter": []` would be a filter
//! that nobody has written, and `["a text"]` a question. And it does not take `5.0` for a whole number, which it is in
//! JSON, and how some languages write all of them.

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};
use std::fmt;
use std::marker::PhantomData;

/// What was read of an object, and of nothing else.
#[derive(Debug, Clone, Default)]
pub struct Object<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Object<T>, D::Error> {
        object(deserializer).map(Object)
    }
}

/// Reads an object, and nothing else; for `deserialize_with`.
///
/// # Errors
/// The deserializer's own.
pub fn object<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    deserializer.deserialize_map(OfObject(PhantomData))
}

/// The same of what may be null.
///
/// # Errors
/// The deserializer's own.
pub fn object_or_null<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    Ok(Option::<Object<T>>::deserialize(deserializer)?.map(|object| object.0))
}

struct OfObject<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for OfObject<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map))
    }
}

/// Reads what is given and does not take nothing for something: serde takes an empty field for one that is left out; for
/// `deserialize_with`.
///
/// # Errors
/// The deserializer's own.
pub fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// The same of a whole number.
///
/// # Errors
/// As [`whole`].
pub fn whole_if_there<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<usize>, D::Error> {
    whole(deserializer).map(Some)
}

/// Largest whole number that every JSON parser reads as what it is.
const MOST_EXACT: f64 = 9_007_199_254_740_992.0;

/// Reads a whole number, 0 or more, however it is written; for `deserialize_with`.
///
/// # Errors
/// The deserializer's own.
pub fn whole<'de, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
    deserializer.deserialize_any(OfWhole)
}

/// The same of what may be null.
///
/// # Errors
/// The deserializer's own.
pub fn whole_or_null<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<usize>, D::Error> {
    struct Whole(usize);
    impl<'de> Deserialize<'de> for Whole {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Whole, D::Error> {
            whole(deserializer).map(Whole)
        }
    }
    Ok(Option::<Whole>::deserialize(deserializer)?.map(|whole| whole.0))
}

struct OfWhole;

impl Visitor<'_> for OfWhole {
    type Value = usize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number, 0 or more")
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<usize, E> {
        match usize::try_from(value) {
            Ok(whole) if value <= MOST_EXACT as u64 => Ok(whole),
            _ => Err(E::invalid_value(Unexpected::Unsigned(value), &self)),
        }
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<usize, E> {
        usize::try_from(value).map_err(|_| E::invalid_value(Unexpected::Signed(value), &self))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<usize, E> {
        match value {
            value if value.fract() != 0.0 => Err(E::invalid_type(Unexpected::Float(value), &self)),
            value if (0.0..=MOST_EXACT).contains(&value) => Ok(value as usize),
            value => Err(E::invalid_value(Unexpected::Float(value), &self)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize, PartialEq)]
    struct Pair {
        first: u8,
        #[serde(default, deserialize_with = "object_or_null")]
        inner: Option<Box<Pair>>,
    }

    #[test]
    fn a_whole_number_is_one_however_it_is_written() {
        #[derive(Deserialize)]
        struct Counted {
            #[serde(deserialize_with = "whole")]
            count: usize,
            #[serde(default, deserialize_with = "whole_or_null")]
            more: Option<usize>,
        }
        let read = |text: &str| serde_json::from_str::<Counted>(text).map(|read| (read.count, read.more));
        assert_eq!(read(r#"{"count":5.0,"more":1e2}"#).unwrap(), (5, Some(100)));
        assert_eq!(read(r#"{"count":0,"more":null}"#).unwrap(), (0, None));
        for wrong in ["1.5", "-1", "-1.0", "1e300", "18446744073709551615", "\"5\"", "null", "true", "[]"] {
            assert!(read(&format!("{{\"count\":{wrong}}}")).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_list_is_no_object() {
        let read = |text| serde_json::from_str::<Object<Pair>>(text).map(|pair| pair.0);
        let inner = Some(Box::new(Pair { first: 2, inner: None }));
        assert_eq!(read(r#"{"first":1,"inner":{"first":2}}"#).unwrap(), Pair { first: 1, inner });
        assert_eq!(read(r#"{"first":1,"inner":null}"#).unwrap(), Pair { first: 1, inner: None });
        for wrong in ["[1]", "1", "null", r#"{"first":1,"inner":[2]}"#, r#"{"first":[]}"#] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
