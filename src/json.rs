//! JSON read more strictly, and shown more carefully, than derived readers do by themselves.

mod ahead;
pub mod reader;
mod scan;
pub mod seen;

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};

/// A struct that was an object. Derived readers also take a list of the fields in their order, which no API server does.
pub struct Object<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ObjectVisitor<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
            type Value = T;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map))
            }
        }

        deserializer
            .deserialize_map(ObjectVisitor(PhantomData))
            .map(Self)
    }
}

/// What is wrong and where, without the value that was found there: it may be a secret, and of any length.
#[must_use]
pub fn problem(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rsplit_once(", expected ") {
        Some((_, expected)) => format!("expected {expected}"),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize, PartialEq)]
    struct Pair<'a> {
        name: &'a str,
        number: u8,
    }

    fn read(text: &str) -> Result<Pair<'_>, String> {
        let read = serde_json::from_str::<Object<Pair<'_>>>(text);
        read.map(|Object(pair)| pair)
            .map_err(|error| problem(&error))
    }

    #[test]
    fn an_object_is_no_list() {
        let pair = Pair {
            name: "a",
            number: 1,
        };
        assert_eq!(read(r#"{"name": "a", "number": 1}"#), Ok(pair));
        assert_eq!(
            read(r#"["a", 1]"#),
            Err("expected an object at line 1 column 0".into())
        );
    }

    #[test]
    fn a_problem_does_not_show_the_value() {
        let problem = read(r#"{"name": "a", "number": "hunter2, expected hunter2"}"#).unwrap_err();
        assert_eq!(problem, "expected u8 at line 1 column 51");
        let problem = read(r#"{"name": "a"}"#).unwrap_err();
        assert_eq!(problem, "missing field `number` at line 1 column 13");
    }
}
