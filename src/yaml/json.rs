//! A document that is JSON is read as JSON, and a key twice is an error here too.

use std::fmt;

use serde::de::{
    DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use serde_json::{Map, Value};

use super::{Error, MAX_DEPTH, Problem};

/// The value, if `text` is JSON and starts with a brace: nothing else is taken for JSON by kubectl.
pub(super) fn read(text: &str) -> Option<Result<Value, Error>> {
    let is_json =
        text.trim_start().starts_with('{') && serde_json::from_str::<IgnoredAny>(text).is_ok();
    is_json.then(|| {
        let mut json = serde_json::Deserializer::from_str(text);
        Node { depth: 0 }
            .deserialize(&mut json)
            .map_err(|error| problem(&error))
    })
}

/// Where the JSON object ends that `text` starts with.
pub(super) fn object_end(text: &str) -> Option<usize> {
    if !text.trim_start().starts_with('{') {
        return None;
    }
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<IgnoredAny>();
    values.next()?.ok()?;
    Some(values.byte_offset())
}

fn problem(error: &serde_json::Error) -> Error {
    let message = error.to_string();
    let place = message.rfind(" at line ").unwrap_or(message.len());
    let (message, _) = message.split_at_checked(place).unwrap_or((&message, ""));
    Error {
        line: error.line(),
        column: error.column(),
        problem: Problem::Syntax(message.to_owned()),
    }
}

/// A value at a depth.
#[derive(Clone, Copy)]
struct Node {
    depth: usize,
}

impl Node {
    fn deeper<E: serde::de::Error>(self) -> Result<Self, E> {
        if self.depth >= MAX_DEPTH {
            return Err(E::custom(Problem::TooDeep));
        }
        Ok(Self {
            depth: self.depth + 1,
        })
    }
}

impl<'de> DeserializeSeed<'de> for Node {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut array = Vec::new();
        while let Some(item) = items.next_element_seed(inner)? {
            array.push(item);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut map = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            if map.contains_key(&key) {
                return Err(A::Error::custom(Problem::Duplicate(key)));
            }
            map.insert(key, entries.next_value_seed(inner)?);
        }
        Ok(Value::Object(map))
    }
}
