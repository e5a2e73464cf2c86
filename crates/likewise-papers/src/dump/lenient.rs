//! Deserialises JSON values that can be null, missing, or of the wrong type.
//!
//! Dumps do not always keep to their schema, and one wrong field must not cause the paper to be refused. A value of the
//! wrong type is converted if possible. Otherwise, the value is ignored and counted in [`Warnings`].

use super::warnings::Warnings;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::fmt;
use std::marker::PhantomData;

/// A JSON value that should be a `T`.
#[derive(Debug, Default, PartialEq)]
pub enum Lenient<T> {
    /// The value is missing or null.
    #[default]
    Absent,
    /// The value is a `T`.
    Valid(T),
    /// The value has another type. The text is the name of that type, such as `a number`.
    Mismatch(&'static str),
}

/// A text. Numbers are accepted and become text.
pub type LenientText = Lenient<String>;

/// A list. Each item can be of the wrong type.
pub type LenientList<T> = Lenient<Vec<Lenient<T>>>;

impl<T> Lenient<T> {
    /// Returns the value. `None`: the value is absent or has the wrong type. A wrong type is counted in `warnings`
    /// under the name `field`.
    pub fn read(self, field: &str, warnings: &Warnings) -> Option<T> {
        match self {
            Lenient::Absent => None,
            Lenient::Valid(value) => Some(value),
            Lenient::Mismatch(kind) => {
                warnings.add(&format!("{field}: ignored {kind}"), "");
                None
            }
        }
    }
}

impl<T> LenientList<T> {
    /// Returns the items of type `T`. Items of another type are counted in `warnings` under the name `field`.
    pub fn items(self, field: &str, warnings: &Warnings) -> Vec<T> {
        let items = self.read(field, warnings).unwrap_or_default();
        items.into_iter().filter_map(|item| item.read(field, warnings)).collect()
    }
}

/// A JSON object, deserialised as the struct `T`.
#[derive(Debug, Default, PartialEq)]
pub struct JsonObject<T>(pub T);

/// An id, which is a text or a number in JSON. Numbers that are not whole, or outside 0 to 10¹⁵, have their own
/// variant, because they are refused: an arXiv id written as a number has lost its zeros (`0704.0010` becomes 704.001).
#[derive(Debug, PartialEq)]
pub enum RawId {
    /// A text.
    Text(String),
    /// A whole number from 0 to 10¹⁵.
    Whole(String),
    /// Any other number.
    Fraction(String),
}

impl RawId {
    /// Returns the id as text.
    ///
    /// # Errors
    /// Returns the reason if the id is a [`RawId::Fraction`].
    pub fn into_text(self) -> Result<String, String> {
        match self {
            RawId::Text(text) | RawId::Whole(text) => Ok(text),
            RawId::Fraction(number) => Err(format!(
                "id must be text in quotes, or a whole number from 0 to 10¹⁵ (got the number {number})"
            )),
        }
    }
}

/// A type that JSON values are converted to, with one method per type of JSON value. The default methods return `None`,
/// which means that `Self` cannot be read from a value of that type.
pub trait FromJsonValue<'de>: Sized {
    /// Converts a text.
    fn text(_: &str) -> Option<Self> {
        None
    }

    /// Converts a number. `_written` is the number as text.
    fn number(_: f64, _written: &str) -> Option<Self> {
        None
    }

    /// Converts a boolean.
    fn boolean(_: bool) -> Option<Self> {
        None
    }

    /// Converts a list to `Self`. Must read all items, even to return `None`, so that parsing can continue.
    fn list<A: SeqAccess<'de>>(mut list: A) -> Result<Option<Self>, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(None)
    }

    /// Converts an object to `Self`. Must read all entries, even to return `None`, so that parsing can continue.
    fn object<A: MapAccess<'de>>(mut object: A) -> Result<Option<Self>, A::Error> {
        while object.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(None)
    }
}

impl FromJsonValue<'_> for String {
    fn text(text: &str) -> Option<String> {
        Some(text.to_string())
    }

    fn number(_: f64, written: &str) -> Option<String> {
        Some(written.to_string())
    }
}

impl FromJsonValue<'_> for RawId {
    fn text(text: &str) -> Option<RawId> {
        Some(RawId::Text(text.to_string()))
    }

    fn number(number: f64, written: &str) -> Option<RawId> {
        let is_whole = (0.0..=1e15).contains(&number) && number.fract() == 0.0;
        Some(if is_whole {
            RawId::Whole(format!("{number:.0}"))
        } else {
            RawId::Fraction(written.to_string())
        })
    }
}

impl FromJsonValue<'_> for bool {
    fn text(text: &str) -> Option<bool> {
        match text.trim().to_lowercase().as_str() {
            "true" | "yes" | "1" => Some(true),
            "false" | "no" | "0" | "" => Some(false),
            _ => None,
        }
    }

    fn number(number: f64, _: &str) -> Option<bool> {
        [(0.0, false), (1.0, true)]
            .into_iter()
            .find(|(written, _)| *written == number)
            .map(|(_, boolean)| boolean)
    }

    fn boolean(boolean: bool) -> Option<bool> {
        Some(boolean)
    }
}

impl<'de, T: Deserialize<'de>> FromJsonValue<'de> for Vec<T> {
    fn list<A: SeqAccess<'de>>(mut list: A) -> Result<Option<Vec<T>>, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element()? {
            items.push(item);
        }
        Ok(Some(items))
    }
}

impl<'de, T: Deserialize<'de>> FromJsonValue<'de> for JsonObject<T> {
    fn object<A: MapAccess<'de>>(object: A) -> Result<Option<JsonObject<T>>, A::Error> {
        T::deserialize(MapAccessDeserializer::new(object)).map(|fields| Some(JsonObject(fields)))
    }
}

struct LenientVisitor<T>(PhantomData<T>);

impl<'de, T: FromJsonValue<'de>> Visitor<'de> for LenientVisitor<T> {
    type Value = Lenient<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_unit<E>(self) -> Result<Lenient<T>, E> {
        Ok(Lenient::Absent)
    }

    fn visit_bool<E>(self, boolean: bool) -> Result<Lenient<T>, E> {
        Ok(value_or_mismatch(T::boolean(boolean), "a boolean"))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Lenient<T>, E> {
        Ok(value_or_mismatch(T::number(number as f64, &number.to_string()), "a number"))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Lenient<T>, E> {
        Ok(value_or_mismatch(T::number(number as f64, &number.to_string()), "a number"))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Lenient<T>, E> {
        Ok(value_or_mismatch(T::number(number, &number.to_string()), "a number"))
    }

    fn visit_str<E>(self, text: &str) -> Result<Lenient<T>, E> {
        Ok(value_or_mismatch(T::text(text), "text"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Lenient<T>, A::Error> {
        Ok(value_or_mismatch(T::list(list)?, "a list"))
    }

    fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<Lenient<T>, A::Error> {
        Ok(value_or_mismatch(T::object(object)?, "an object"))
    }
}

fn value_or_mismatch<T>(value: Option<T>, kind: &'static str) -> Lenient<T> {
    value.map_or(Lenient::Mismatch(kind), Lenient::Valid)
}

impl<'de, T: FromJsonValue<'de>> Deserialize<'de> for Lenient<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Lenient<T>, D::Error> {
        deserializer.deserialize_any(LenientVisitor(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Deserialize, Debug, Default)]
    #[serde(default)]
    struct TestRecord {
        text: LenientText,
        id: Lenient<RawId>,
        flag: Lenient<bool>,
        list: LenientList<JsonObject<TestItem>>,
    }

    #[derive(Deserialize, Debug, Default, PartialEq)]
    #[serde(default)]
    struct TestItem {
        name: LenientText,
    }

    fn record(text: &str) -> TestRecord {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn missing_and_null_values_are_absent() {
        for text in ["{}", r#"{"text":null,"id":null,"flag":null,"list":null,"more":[{}]}"#] {
            let TestRecord { text, id, flag, list } = record(text);
            assert_eq!(
                (text, id, flag, list),
                (Lenient::Absent, Lenient::Absent, Lenient::Absent, Lenient::Absent)
            );
        }
    }

    #[test]
    fn convertible_values_are_read_and_others_are_warned_about() {
        let warnings = Warnings::default();
        let TestRecord { text, id, flag, list } = record(
            r#"{"text":7.5,"id":3,"flag":"true","list":[{"name":"a"},null,"b",[1,{"c":[2]}],{"name":["d"]}]}"#,
        );
        assert_eq!(
            (text.read("text", &warnings), flag.read("flag", &warnings)),
            (Some("7.5".into()), Some(true))
        );
        assert_eq!(id.read("id", &warnings).unwrap().into_text(), Ok("3".into()));
        let names: Vec<_> = list
            .items("list", &warnings)
            .into_iter()
            .map(|item| item.0.name.read("name", &warnings))
            .collect();
        assert_eq!(names, [Some("a".into()), None]);
        assert_eq!(
            warnings.lines(),
            ["list: ignored a list: once", "list: ignored text: once", "name: ignored a list: once"]
        );
        let wrong = record(r#"{"id":704.001,"text":{"a":[1]}}"#);
        assert!(
            wrong
                .id
                .read("id", &warnings)
                .unwrap()
                .into_text()
                .unwrap_err()
                .contains("must be text in quotes")
        );
        assert_eq!(wrong.text, Lenient::Mismatch("an object"));
    }
}
