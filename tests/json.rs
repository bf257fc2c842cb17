//! The reader of JSON against `serde_json`, on what API servers send and on what is nearly that.
//!
//! `PROPTEST_CASES` says how many texts; `make nightly` takes 100,000.

#![allow(clippy::unwrap_used, reason = "a test says what it expects by failing")]

#[path = "common/cases.rs"]
mod cases;

use std::sync::LazyLock;

use agentteam_webhook::json::reader::Reader;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

/// Parts of a review that a kube-apiserver sent, compact as it sends them and as people write them.
static TEXTS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let review: Value =
        serde_json::from_str(include_str!("../benches/reviews/large.json")).unwrap();
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

/// The whole text as a value.
fn read<'a, T: Deserialize<'a>>(text: &'a str) -> Option<T> {
    let mut reader = Reader::new(text);
    let value = reader.value().ok()?;
    reader.end().ok()?;
    Some(value)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases::cases(), ..ProptestConfig::default() })]

    #[test]
    fn what_is_skipped_or_read_is_json_where_serde_json_says_so(
        text in any::<Index>(),
        changes in prop::collection::vec(change(), 0..4),
    ) {
        let mut text: Vec<char> = text.get(&TEXTS).chars().collect();
        for change in changes {
            change.make(&mut text);
        }
        let text: String = text.into_iter().collect();
        let theirs = serde_json::from_str::<Value>(&text).ok();
        prop_assert_eq!(read::<Value>(&text), theirs, "{}", text);
        let theirs = serde_json::from_str::<IgnoredAny>(&text);
        prop_assert_eq!(read::<IgnoredAny>(&text).is_some(), theirs.is_ok(), "{}", text);
    }
}
