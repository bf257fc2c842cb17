//! The reader as a deserializer of derived types.

use std::borrow::Cow;
use std::fmt::Display;

use serde::de::{
    self, DeserializeSeed, Deserializer, IntoDeserializer, MapAccess, SeqAccess, Visitor,
};
use serde::forward_to_deserialize_any;

use super::reader::{Error, Reader};
use super::without_value;

impl de::Error for Error {
    fn custom<T: Display>(message: T) -> Self {
        Self::unexpected(without_value(&message.to_string()), 0)
    }
}

impl<'de> Deserializer<'de> for &mut Reader<'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let read = match self.peek() {
            Some(b'"') => Text(self.string()?).deserialize_any(visitor),
            Some(b'{') => {
                self.enter()?;
                let value = visitor.visit_map(Entries::of(self));
                value.and_then(|value| self.close(b'}').map(|()| value))
            }
            Some(b'[') => {
                self.enter()?;
                let value = visitor.visit_seq(Entries::of(self));
                value.and_then(|value| self.close(b']').map(|()| value))
            }
            _ => match self.scalar()? {
                "null" => visitor.visit_unit(),
                "true" => visitor.visit_bool(true),
                "false" => visitor.visit_bool(false),
                number => serde_json::Deserializer::from_str(number)
                    .deserialize_any(visitor)
                    .map_err(de::Error::custom),
            },
        };
        read.map_err(|error: Error| error.placed(self.position()))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.null()? {
            visitor.visit_none()
        } else {
            visitor.visit_some(self)
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.peek();
        let name = self.string()?;
        let read = visitor.visit_enum(name.into_deserializer());
        read.map_err(|error: Error| error.placed(self.position()))
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.skip()?;
        visitor.visit_unit()
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct identifier
    }
}

/// A string or a key.
struct Text<'de>(Cow<'de, str>);

impl<'de> Deserializer<'de> for Text<'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Cow::Borrowed(text) => visitor.visit_borrowed_str(text),
            Cow::Owned(text) => visitor.visit_string(text),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

/// The items of a list, or the members of an object.
struct Entries<'r, 'de> {
    reader: &'r mut Reader<'de>,
    first: bool,
}

impl<'r, 'de> Entries<'r, 'de> {
    fn of(reader: &'r mut Reader<'de>) -> Self {
        Self {
            reader,
            first: true,
        }
    }
}

impl<'de> SeqAccess<'de> for Entries<'_, 'de> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Error> {
        if !self.reader.next(b']', std::mem::take(&mut self.first))? {
            return Ok(None);
        }
        seed.deserialize(&mut *self.reader).map(Some)
    }
}

impl<'de> MapAccess<'de> for Entries<'_, 'de> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Error> {
        if !self.reader.next(b'}', std::mem::take(&mut self.first))? {
            return Ok(None);
        }
        let key = self.reader.string()?;
        seed.deserialize(Text(key)).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        self.reader.expect(b':')?;
        seed.deserialize(&mut *self.reader)
    }
}

#[cfg(test)]
mod tests {
    use serde::de::IgnoredAny;
    use serde_json::Value;

    use super::*;
    use crate::json::reader::NESTING_MAX;

    const SAMPLE: &str = r#" {"a":[1,-2.5e+3,0,true,false,null,"x",{},[]] , "b\u00e9\"\\" : {"c":{"d":[[{"e":""}]]},"f":"ü"},"g":{},"h":{} ,"i":{},
"a long key":{"j":{},"k":{}},"l":0.1}
"#;

    fn read(text: &str) -> Result<Value, Error> {
        let mut reader = Reader::new(text);
        let value = reader.value()?;
        reader.end().map(|()| value)
    }

    fn skip(text: &str) -> Result<&str, Error> {
        let mut reader = Reader::new(text);
        let skipped = reader.skip()?;
        reader.end().map(|()| skipped)
    }

    /// serde_json is what this reader must agree with, on what is JSON and on what it says.
    fn agree(text: &str) {
        let (ours, theirs) = (read(text).ok(), serde_json::from_str(text).ok());
        assert_eq!(ours, theirs, "{text:?}");
        let theirs = serde_json::from_str::<IgnoredAny>(text).is_ok();
        assert_eq!(skip(text).is_ok(), theirs, "{text:?}");
    }

    #[test]
    fn every_change_of_a_character_is_taken_as_serde_json_takes_it() {
        agree(SAMPLE);
        let others = "{}[]:,\"\\ \n\t\0\u{1f}/bu0129.-+eEtfnxé";
        for (at, character) in SAMPLE.char_indices() {
            let (before, after) = (&SAMPLE[..at], &SAMPLE[at + character.len_utf8()..]);
            agree(before);
            agree(&format!("{before}{after}"));
            for other in others.chars() {
                agree(&format!("{before}{other}{after}"));
                agree(&format!("{before}{other}{character}{after}"));
            }
        }
    }

    #[test]
    fn escapes_and_numbers_are_taken_as_serde_json_takes_them() {
        for text in [
            r#""\ud83d\ude00""#,
            r#""\ud83d""#,
            r#""\ud83dx""#,
            r#""\uDE00""#,
            r#""\u12""#,
            r#""\u12G4""#,
            r#""\x""#,
            r#""\"#,
            "\"\u{7f}\"",
            "\"\t\"",
            "01",
            "-",
            "-0",
            "1.",
            ".5",
            "1e",
            "1e+",
            "1E5",
            "1e999",
            "18446744073709551616",
            "nul",
            "nullx",
            "true false",
            "",
            " ",
            "\u{feff}{}",
            "{\"a\" 1}",
            "{\"a\":1,}",
            "[1,]",
            "[,1]",
            "{,}",
            "{1:2}",
            "[}",
            "{]",
            "[1 2]",
        ] {
            agree(text);
        }
    }

    #[test]
    fn what_is_skipped_is_given_as_it_is() {
        assert_eq!(
            skip(" [1, {\"a\": \"]\"}] ").unwrap(),
            "[1, {\"a\": \"]\"}]"
        );
        assert_eq!(skip("null").unwrap(), "null");
    }

    #[test]
    fn nesting_is_bounded_whether_read_or_skipped() {
        let nested = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
        for levels in [1, NESTING_MAX] {
            assert!(read(&nested(levels)).is_ok() && skip(&nested(levels)).is_ok());
        }
        let members = |levels: usize| nested(levels).replace("[]", r#"[{"a":{},"b":{},"c":{}}]"#);
        assert!(read(&members(NESTING_MAX - 2)).is_ok() && skip(&members(NESTING_MAX - 2)).is_ok());
        for text in [
            nested(NESTING_MAX + 1),
            members(NESTING_MAX - 1),
            "[{\"a\":".repeat(100_000),
        ] {
            assert!(read(&text).unwrap_err().is_nesting());
            assert!(skip(&text).unwrap_err().is_nesting());
        }
    }

    #[test]
    fn a_problem_does_not_show_the_value() {
        let problem = Reader::new(r#"{"a": "hunter2, expected hunter2"}"#)
            .value::<std::collections::HashMap<String, u8>>()
            .unwrap_err();
        assert_eq!(problem.to_string(), "expected u8 at byte 33");
    }

    #[test]
    fn what_has_another_shape_is_skipped_and_what_is_no_json_is_not() {
        let mut reader = Reader::new(r#"[{"a": [1, "x"]}, 7]"#);
        assert!(reader.value_or_skip::<Vec<u8>>().unwrap().is_err());
        assert!(reader.end().is_ok());
        assert!(Reader::new("[1, ]").value_or_skip::<String>().is_err());
    }
}
