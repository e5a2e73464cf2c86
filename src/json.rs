//! Deserialisers that are stricter or more lenient about JSON than serde.
//!
//! serde accepts an array in place of a struct, and assigns the items to the fields in their order: `"filter": []`
//! would be an empty filter, and `["a text"]` a query. [`StrictObject`] and [`object`] accept only objects. serde also
//! refuses `5.0` for an integer, although it is the same number as `5` in JSON, and some languages write all integers
//! like that. [`whole_number`] accepts `5.0` as well as `5`.

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};
use std::fmt;
use std::marker::PhantomData;

/// A value that is deserialised only from a JSON object.
#[derive(Debug, Clone, Default)]
pub struct StrictObject<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for StrictObject<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<StrictObject<T>, D::Error> {
        object(deserializer).map(StrictObject)
    }
}

/// Deserialises a JSON object, and refuses every other JSON value; for `deserialize_with`.
///
/// # Errors
/// Returns the deserialiser's error if the value is not an object, or its fields do not fit `T`.
pub fn object<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    deserializer.deserialize_map(ObjectVisitor(PhantomData))
}

/// Deserialises a JSON object or `null`; for `deserialize_with`.
///
/// # Errors
/// Returns the errors of [`object`].
pub fn object_or_null<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    Ok(Option::<StrictObject<T>>::deserialize(deserializer)?.map(|object| object.0))
}

struct ObjectVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map))
    }
}

/// Deserialises a query parameter that can be left out but must not be empty. By default, an `Option` reads the empty
/// value of `?k=` as `None`, as if the parameter was left out. For `deserialize_with`, together with `default`.
///
/// # Errors
/// Returns the deserialiser's error if the value is empty, or does not fit `T`.
pub fn non_empty<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// Deserialises a whole number that can be left out but must not be `null`; for `deserialize_with`, together with
/// `default`.
///
/// # Errors
/// Returns the errors of [`whole_number`].
pub fn some_whole_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<usize>, D::Error> {
    whole_number(deserializer).map(Some)
}

/// 2^53: a JSON parser that reads numbers as `f64` reads all integers up to this one exactly.
const MAX_EXACT: f64 = 9_007_199_254_740_992.0;

/// Deserialises a whole number from 0 to 2^53, written as an integer or as a float without a fraction; for
/// `deserialize_with`.
///
/// # Errors
/// Returns the deserialiser's error if the value is not a number, has a fraction, or is out of range.
pub fn whole_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
    deserializer.deserialize_any(WholeNumberVisitor)
}

/// Deserialises a whole number or `null`; for `deserialize_with`.
///
/// # Errors
/// Returns the errors of [`whole_number`].
pub fn whole_number_or_null<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<usize>, D::Error> {
    struct WholeNumber(usize);
    impl<'de> Deserialize<'de> for WholeNumber {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<WholeNumber, D::Error> {
            whole_number(deserializer).map(WholeNumber)
        }
    }
    Ok(Option::<WholeNumber>::deserialize(deserializer)?.map(|number| number.0))
}

struct WholeNumberVisitor;

impl Visitor<'_> for WholeNumberVisitor {
    type Value = usize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number, 0 or more")
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<usize, E> {
        match usize::try_from(value) {
            Ok(number) if value <= MAX_EXACT as u64 => Ok(number),
            _ => Err(E::invalid_value(Unexpected::Unsigned(value), &self)),
        }
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<usize, E> {
        usize::try_from(value).map_err(|_| E::invalid_value(Unexpected::Signed(value), &self))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<usize, E> {
        match value {
            value if value.fract() != 0.0 => Err(E::invalid_type(Unexpected::Float(value), &self)),
            value if (0.0..=MAX_EXACT).contains(&value) => Ok(value as usize),
            value => Err(E::invalid_value(Unexpected::Float(value), &self)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize, PartialEq)]
    struct Nested {
        first: u8,
        #[serde(default, deserialize_with = "object_or_null")]
        inner: Option<Box<Nested>>,
    }

    #[test]
    fn whole_numbers_are_accepted_as_integers_and_as_floats() {
        #[derive(Deserialize)]
        struct Numbers {
            #[serde(deserialize_with = "whole_number")]
            count: usize,
            #[serde(default, deserialize_with = "whole_number_or_null")]
            more: Option<usize>,
        }
        let parse =
            |text: &str| serde_json::from_str::<Numbers>(text).map(|numbers| (numbers.count, numbers.more));
        assert_eq!(parse(r#"{"count":5.0,"more":1e2}"#).unwrap(), (5, Some(100)));
        assert_eq!(parse(r#"{"count":0,"more":null}"#).unwrap(), (0, None));
        for wrong in ["1.5", "-1", "-1.0", "1e300", "18446744073709551615", "\"5\"", "null", "true", "[]"] {
            assert!(parse(&format!("{{\"count\":{wrong}}}")).is_err(), "{wrong}");
        }
    }

    #[test]
    fn objects_are_accepted_and_arrays_are_refused() {
        let parse = |text| serde_json::from_str::<StrictObject<Nested>>(text).map(|object| object.0);
        let inner = Some(Box::new(Nested { first: 2, inner: None }));
        assert_eq!(parse(r#"{"first":1,"inner":{"first":2}}"#).unwrap(), Nested { first: 1, inner });
        assert_eq!(parse(r#"{"first":1,"inner":null}"#).unwrap(), Nested { first: 1, inner: None });
        for wrong in ["[1]", "1", "null", r#"{"first":1,"inner":[2]}"#, r#"{"first":[]}"#] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
