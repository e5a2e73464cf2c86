//! JSON objects that are objects.
//!
//! Its own file because serde takes a list for a struct, field by field in their order: `"filter": []` would be a filter
//! that nobody has written, and `["a text"]` a question.

use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
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
