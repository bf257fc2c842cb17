//! The reader of JSON against `serde_json`, on what API servers send and on what is nearly that.
//!
//! `PROPTEST_CASES` says how many texts; `make nightly` takes 100,000.

#![allow(clippy::unwrap_used, reason = "a test says what it expects by failing")]

#[path = "common/cases.rs"]
mod cases;

use std::sync::LazyLock;

use agentteam_webhook::admission::Request;
use agentteam_webhook::json::reader::{Error, NESTING_MAX, Reader};
use agentteam_webhook::json::seen::Seen;
use bumpalo::Bump;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde::de::IgnoredAny;
use serde_json::{Map, Value};

/// A review that a kube-apiserver sent.
const REVIEW: &str = include_str!("../benches/reviews/large.json");

/// Parts of it, compact as it sends them and as people write them.
static TEXTS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let review: Value = serde_json::from_str(REVIEW).unwrap();
    let part = |pointer: &str| review.pointer(pointer).unwrap();
    vec![
        part("/request/object/metadata/managedFields/0/fieldsV1").to_string(),
        part("/request/object/spec/containers").to_string(),
        format!("{:#}", part("/request/object/spec/volumes")),
        r#" [{"a":{},"b":{} ,"c":{}, "d":[]},-2.5e+3,0,true,false,null,"\u00e9\"\\ü",[[]],""] "#
            .to_owned(),
    ]
});

/// A change of a text.
#[derive(Clone, Debug)]
enum Change {
    Insert(Index, char),
    Replace(Index, char),
    Remove(Index, usize),
    Repeat(Index, usize),
}

impl Change {
    fn make(&self, text: &mut Vec<char>) {
        let (Self::Insert(at, _)
        | Self::Replace(at, _)
        | Self::Remove(at, _)
        | Self::Repeat(at, _)) = self;
        let at = at.index(text.len() + 1);
        let until = |length: usize| (at + length).min(text.len());
        match *self {
            Self::Insert(_, character) => text.insert(at, character),
            Self::Replace(_, character) => {
                text.splice(at..until(1), [character]);
            }
            Self::Remove(_, length) => {
                text.drain(at..until(length));
            }
            Self::Repeat(_, length) => {
                let part = text.iter().copied().take(until(length)).skip(at);
                let part: Vec<_> = part.collect();
                text.splice(at..at, part);
            }
        }
    }
}

fn change() -> impl Strategy<Value = Change> {
    let characters: Vec<char> = "{}[]:,\"\\ \n\t\u{1}/bfnrtu0129.-+eEalsxé"
        .chars()
        .collect();
    let (at, character) = (any::<Index>, select(characters));
    prop_oneof![
        (at(), character.clone()).prop_map(|(at, character)| Change::Insert(at, character)),
        (at(), character).prop_map(|(at, character)| Change::Replace(at, character)),
        (at(), 1..20_usize).prop_map(|(at, length)| Change::Remove(at, length)),
        (at(), 1..20_usize).prop_map(|(at, length)| Change::Repeat(at, length)),
    ]
}

fn changed(text: &str, changes: &[Change]) -> String {
    let mut text = text.chars().collect();
    for change in changes {
        change.make(&mut text);
    }
    text.into_iter().collect()
}

/// The whole text, read by `read`.
fn whole<'a, T>(
    text: &'a str,
    arena: &'a Bump,
    read: impl FnOnce(&mut Reader<'a>) -> Result<T, Error>,
) -> Result<T, Error> {
    let mut reader = Reader::new(text, arena);
    let value = read(&mut reader)?;
    reader.end().map(|()| value)
}

fn value(reader: &mut Reader<'_>) -> Result<Value, Error> {
    Ok(match reader.peek() {
        Some(b'{') => {
            let mut members = Map::new();
            reader.object(|reader, key| {
                members.insert(key.into(), value(reader)?);
                Ok(())
            })?;
            Value::Object(members)
        }
        Some(b'[') => Value::Array(reader.list(value)?),
        Some(b'"') => Value::String(reader.string()?.into()),
        // Of numbers the reader knows the grammar, and integers.
        _ => serde_json::from_str(reader.raw()?).unwrap_or_default(),
    })
}

/// `serde_json` is what the reader must agree with, on what is JSON and on what it says.
fn agree(text: &str) -> Result<(), TestCaseError> {
    let skipped = whole(text, &Bump::new(), Reader::skip);
    let theirs = serde_json::from_str::<IgnoredAny>(text);
    prop_assert_eq!(skipped.is_ok(), theirs.is_ok(), "{}", text);
    match serde_json::from_str(text) {
        Err(error) if error.to_string().starts_with("number out of range") => {}
        theirs => prop_assert_eq!(
            whole(text, &Bump::new(), value).ok(),
            theirs.ok(),
            "{}",
            text
        ),
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases::cases(), ..ProptestConfig::default() })]

    #[test]
    fn what_is_skipped_or_read_is_json_where_serde_json_says_so(
        text in any::<Index>(),
        changes in prop::collection::vec(change(), 0..4),
    ) {
        let text: &String = text.get(&TEXTS);
        agree(&changed(text, &changes))?;
    }

    #[test]
    fn a_review_is_taken_alike_whatever_was_seen_before(changes in prop::collection::vec(change(), 0..3)) {
        static SEEN: LazyLock<Seen> = LazyLock::new(|| {
            let seen = Seen::default();
            Request::read(REVIEW.as_bytes(), &Bump::new(), &seen).unwrap();
            seen
        });
        let fields = &TEXTS[0];
        assert!(REVIEW.contains(fields));
        let review = REVIEW.replacen(fields, &changed(fields, &changes), 1);
        let arena = Bump::new();
        let read = |seen: &Seen| format!("{:?}", Request::read(review.as_bytes(), &arena, seen));
        prop_assert_eq!(read(&SEEN), read(&Seen::default()), "{}", review);
    }
}

const SAMPLE: &str = r#" {"a":[1,-2.5e+3,0,true,false,null,"x",{},[]] , "b\u00e9\"\\" : {"c":{"d":[[{"e":""}]]},"f":"ü"},"g":{},"h":{} ,"i":{},
"a long key":{"j":{},"k":{}},"l":0.1}
"#;

#[test]
fn every_change_of_a_character_is_taken_as_serde_json_takes_it() {
    let agree = |text: &str| agree(text).unwrap();
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
        agree(text).unwrap();
    }
}

#[test]
fn what_is_skipped_is_given_as_it_is() {
    let arena = Bump::new();
    let raw = |text| whole(text, &arena, Reader::raw).unwrap();
    assert_eq!(raw(" [1, {\"a\": \"]\"}] "), "[1, {\"a\": \"]\"}]");
    assert_eq!(raw("null"), "null");
}

#[test]
fn integers_and_booleans_are_read_as_what_they_are() {
    for (text, expected) in [
        ("0", Some(0)),
        ("-9223372036854775808", Some(i64::MIN)),
        ("9223372036854775808", None),
        ("1.0", None),
        ("1e3", None),
        ("01", None),
        ("\"1\"", None),
        ("true", None),
        ("null", None),
    ] {
        assert_eq!(
            whole(text, &Bump::new(), Reader::integer).ok(),
            expected,
            "{text}"
        );
    }
    for (text, expected) in [
        ("true", Some(true)),
        ("false", Some(false)),
        ("\"true\"", None),
        ("1", None),
        ("truex", None),
    ] {
        assert_eq!(
            whole(text, &Bump::new(), Reader::boolean).ok(),
            expected,
            "{text}"
        );
    }
}

#[test]
fn nesting_is_bounded_whether_read_or_skipped() {
    let nested = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
    let members = |levels: usize| nested(levels).replace("[]", r#"[{"a":{},"b":{},"c":{}}]"#);
    let taken = |text: &str| {
        let taken = [
            whole(text, &Bump::new(), value).map(drop),
            whole(text, &Bump::new(), Reader::skip),
        ];
        taken.map(|taken| taken.map_err(|error| error.to_string()))
    };
    for text in [nested(1), nested(NESTING_MAX), members(NESTING_MAX - 2)] {
        assert_eq!(taken(&text), [Ok(()), Ok(())]);
    }
    for text in [
        nested(NESTING_MAX + 1),
        members(NESTING_MAX - 1),
        "[{\"a\":".repeat(100_000),
    ] {
        let problem = || Err("it is nested more than 128 levels deep".to_owned());
        assert_eq!(taken(&text), [problem(), problem()]);
    }
}

#[test]
fn a_problem_does_not_show_the_value() {
    let problem = whole(
        r#" "hunter2, expected hunter2""#,
        &Bump::new(),
        Reader::integer,
    )
    .unwrap_err();
    assert_eq!(problem.to_string(), "expected an integer at byte 1");
    assert_eq!(problem.what(), "expected an integer");
}

#[test]
fn what_has_another_shape_is_skipped_and_what_is_no_json_is_not() {
    let integers = |reader: &mut Reader<'_>| reader.list(Reader::integer);
    let skip = |text| whole(text, &Bump::new(), |reader| reader.or_skip(integers));
    assert!(skip("[1, 2]").unwrap().is_ok());
    assert!(skip(r#"[{"a": [1, "x"]}, 7]"#).unwrap().is_err());
    assert!(skip("[\"x\", ]").is_err());
}
