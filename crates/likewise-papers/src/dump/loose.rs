//! Values of JSON as dumps have them: null where something is missing, a number where text was promised.
//!
//! Its own file because one field that is not as promised must not cost a paper: it is read if it can be, and otherwise
//! noted as [`Unread`].

use super::unread::Unread;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::fmt;
use std::marker::PhantomData;

/// A value that should be a `T`.
#[derive(Debug, Default, PartialEq)]
pub enum Loose<T> {
    /// There is none, or it is null.
    #[default]
    Absent,
    /// There is one.
    Is(T),
    /// There is something else: what JSON calls it.
    Other(&'static str),
}

/// A text. A number is a text as it is written.
pub type Text = Loose<String>;

/// A list, of which each item may be something else.
pub type List<T> = Loose<Vec<Loose<T>>>;

impl<T> Loose<T> {
    /// The value; what is none is noted under the field's name.
    pub fn read(self, field: &str, unread: &Unread) -> Option<T> {
        match self {
            Loose::Absent => None,
            Loose::Is(value) => Some(value),
            Loose::Other(kind) => {
                unread.note(&format!("{field}: got {kind}"), "");
                None
            }
        }
    }
}

impl<T> List<T> {
    /// The items; what is none is noted under the field's name.
    pub fn items(self, field: &str, unread: &Unread) -> Vec<T> {
        let items = self.read(field, unread).unwrap_or_default();
        items.into_iter().filter_map(|item| item.read(field, unread)).collect()
    }
}

/// A JSON object with the fields of a struct.
#[derive(Debug, Default, PartialEq)]
pub struct Object<T>(pub T);

/// A text, or a number that is told from one: as an id, a fraction has lost its zeros (`0704.0010` becomes 704.001).
#[derive(Debug, PartialEq)]
pub enum Id {
    /// As it is written.
    Text(String),
    /// A whole number.
    Whole(String),
    /// Any other number.
    Fraction(String),
}

impl Id {
    /// The id.
    ///
    /// # Errors
    /// A sentence, if it is a number that is not whole.
    pub fn text(self) -> Result<String, String> {
        match self {
            Id::Text(text) | Id::Whole(text) => Ok(text),
            Id::Fraction(number) => Err(format!("id: got the number {number}, wanted text in quotes")),
        }
    }
}

/// What a type is read from; anything it does not name is not one.
pub trait Shape<'de>: Sized {
    /// From text.
    fn text(_: &str) -> Option<Self> {
        None
    }

    /// From a number.
    fn number(_: f64, _written: &str) -> Option<Self> {
        None
    }

    /// From true or false.
    fn truth(_: bool) -> Option<Self> {
        None
    }

    /// From a list, all of which is taken.
    fn list<A: SeqAccess<'de>>(mut list: A) -> Result<Option<Self>, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(None)
    }

    /// From an object, all of which is taken.
    fn object<A: MapAccess<'de>>(mut object: A) -> Result<Option<Self>, A::Error> {
        while object.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(None)
    }
}

impl Shape<'_> for String {
    fn text(text: &str) -> Option<String> {
        Some(text.to_string())
    }

    fn number(_: f64, written: &str) -> Option<String> {
        Some(written.to_string())
    }
}

impl Shape<'_> for Id {
    fn text(text: &str) -> Option<Id> {
        Some(Id::Text(text.to_string()))
    }

    fn number(number: f64, written: &str) -> Option<Id> {
        let is_whole = (0.0..=1e15).contains(&number) && number.fract() == 0.0;
        Some(if is_whole { Id::Whole(format!("{number:.0}")) } else { Id::Fraction(written.to_string()) })
    }
}

impl Shape<'_> for bool {
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
            .map(|(_, truth)| truth)
    }

    fn truth(truth: bool) -> Option<bool> {
        Some(truth)
    }
}

impl<'de, T: Deserialize<'de>> Shape<'de> for Vec<T> {
    fn list<A: SeqAccess<'de>>(mut list: A) -> Result<Option<Vec<T>>, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element()? {
            items.push(item);
        }
        Ok(Some(items))
    }
}

impl<'de, T: Deserialize<'de>> Shape<'de> for Object<T> {
    fn object<A: MapAccess<'de>>(object: A) -> Result<Option<Object<T>>, A::Error> {
        T::deserialize(MapAccessDeserializer::new(object)).map(|fields| Some(Object(fields)))
    }
}

struct Reading<T>(PhantomData<T>);

impl<'de, T: Shape<'de>> Visitor<'de> for Reading<T> {
    type Value = Loose<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_unit<E>(self) -> Result<Loose<T>, E> {
        Ok(Loose::Absent)
    }

    fn visit_bool<E>(self, truth: bool) -> Result<Loose<T>, E> {
        Ok(of(T::truth(truth), "true or false"))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Loose<T>, E> {
        Ok(of(T::number(number as f64, &number.to_string()), "a number"))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Loose<T>, E> {
        Ok(of(T::number(number as f64, &number.to_string()), "a number"))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Loose<T>, E> {
        Ok(of(T::number(number, &number.to_string()), "a number"))
    }

    fn visit_str<E>(self, text: &str) -> Result<Loose<T>, E> {
        Ok(of(T::text(text), "text"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Loose<T>, A::Error> {
        Ok(of(T::list(list)?, "a list"))
    }

    fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<Loose<T>, A::Error> {
        Ok(of(T::object(object)?, "an object"))
    }
}

fn of<T>(value: Option<T>, kind: &'static str) -> Loose<T> {
    value.map_or(Loose::Other(kind), Loose::Is)
}

impl<'de, T: Shape<'de>> Deserialize<'de> for Loose<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Loose<T>, D::Error> {
        deserializer.deserialize_any(Reading(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Deserialize, Debug, Default)]
    #[serde(default)]
    struct Row {
        text: Text,
        id: Loose<Id>,
        flag: Loose<bool>,
        list: List<Object<Inner>>,
    }

    #[derive(Deserialize, Debug, Default, PartialEq)]
    #[serde(default)]
    struct Inner {
        name: Text,
    }

    fn row(text: &str) -> Row {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn what_is_missing_or_null_is_absent() {
        for text in ["{}", r#"{"text":null,"id":null,"flag":null,"list":null,"more":[{}]}"#] {
            let Row { text, id, flag, list } = row(text);
            assert_eq!((text, id, flag, list), (Loose::Absent, Loose::Absent, Loose::Absent, Loose::Absent));
        }
    }

    #[test]
    fn what_can_be_read_is_and_the_rest_is_noted() {
        let unread = Unread::default();
        let Row { text, id, flag, list } = row(
            r#"{"text":7.5,"id":3,"flag":"true","list":[{"name":"a"},null,"b",[1,{"c":[2]}],{"name":["d"]}]}"#,
        );
        assert_eq!(
            (text.read("text", &unread), flag.read("flag", &unread)),
            (Some("7.5".into()), Some(true))
        );
        assert_eq!(id.read("id", &unread).unwrap().text(), Ok("3".into()));
        let names: Vec<_> =
            list.items("list", &unread).into_iter().map(|item| item.0.name.read("name", &unread)).collect();
        assert_eq!(names, [Some("a".into()), None]);
        assert_eq!(
            unread.lines(),
            ["list: got a list: once", "list: got text: once", "name: got a list: once"]
        );
        let wrong = row(r#"{"id":704.001,"text":{"a":[1]}}"#);
        assert!(wrong.id.read("id", &unread).unwrap().text().unwrap_err().contains("wanted text in quotes"));
        assert_eq!(wrong.text, Loose::Other("an object"));
    }
}
