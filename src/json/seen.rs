//! Objects that were gone over before, and need not be held to the grammar again.

use std::collections::BTreeMap;
use std::ops::{Bound, RangeInclusive};
use std::sync::{PoisonError, RwLock};

/// The most that all kept objects may take, in bytes.
const SIZE_MAX: usize = 1 << 20;

/// How long the objects are that are kept: shorter ones are gone over as fast, and a longer one would leave no room for others.
const LENGTHS: RangeInclusive<usize> = 256..=SIZE_MAX / 8;

/// Objects that were skipped, to be skipped by comparison where they come again.
#[derive(Debug, Default)]
pub struct Seen(RwLock<Kept>);

#[derive(Debug, Default)]
struct Kept {
    /// The objects, and the depth that each was seen at.
    depths: BTreeMap<Box<[u8]>, usize>,
    size: usize,
}

impl Seen {
    /// The text after the object that it begins with, if that was seen before, and not less deep: then its own nesting is no
    /// more than may be here.
    pub(super) fn after<'a>(&self, text: &'a [u8], depth: usize) -> Option<&'a [u8]> {
        let kept = self.0.read().unwrap_or_else(PoisonError::into_inner);
        // No object begins with another one, so that none sorts between an object and a text that begins with it.
        let until_text = (Bound::Unbounded, Bound::Included(text));
        let (nearest, &seen_at) = kept.depths.range::<[u8], _>(until_text).next_back()?;
        let rest = text.strip_prefix(&**nearest)?;
        (depth <= seen_at).then_some(rest)
    }

    /// Keeps an object that is JSON at this depth. Where there is no room for it, all others are forgotten: those that are needed
    /// come again.
    pub(super) fn keep(&self, object: &str, depth: usize) {
        if !LENGTHS.contains(&object.len()) {
            return;
        }
        let mut kept = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if kept.size + object.len() > SIZE_MAX {
            *kept = Kept::default();
        }
        if kept
            .depths
            .insert(object.as_bytes().into(), depth)
            .is_none()
        {
            kept.size += object.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after<'a>(seen: &Seen, text: &'a str) -> Option<&'a [u8]> {
        seen.after(text.as_bytes(), 6)
    }

    #[test]
    fn what_was_kept_is_found_among_others_and_nothing_else_is() {
        let seen = Seen::default();
        let objects: Vec<_> = (0..50)
            .map(|number| format!(r#"{{"f:{}":{{}}}}"#, "x".repeat(300 + number)))
            .collect();
        for object in &objects {
            assert_eq!(after(&seen, &format!("{object},1")), None);
            seen.keep(object, 6);
        }
        for object in &objects {
            assert_eq!(after(&seen, &format!("{object},1")), Some(&b",1"[..]));
            assert_eq!(after(&seen, object), Some(&b""[..]));
            assert_eq!(after(&seen, &object[..object.len() - 1]), None);
            assert_eq!(after(&seen, &object.replace("{}", "{ }")), None);
        }
    }

    #[test]
    fn what_was_seen_is_held_to_the_grammar_where_it_is_deeper() {
        let seen = Seen::default();
        let object = format!(r#"{{"f:{}":{{}}}}"#, "x".repeat(300));
        for (depth, is_found) in [(5, false), (7, true)] {
            seen.keep(&object, depth);
            assert_eq!(after(&seen, &object).is_some(), is_found);
        }
    }

    #[test]
    fn what_is_kept_has_a_bound() {
        let seen = Seen::default();
        let object = |number: usize| format!(r#"{{"f:{number}":"{}"}}"#, "x".repeat(10_000));
        for number in 0..1_000 {
            seen.keep(&object(number), 6);
            assert!(after(&seen, &object(number)).is_some());
            let kept = seen.0.read().unwrap();
            let size: usize = kept.depths.keys().map(|object| object.len()).sum();
            assert!(kept.size == size && size <= SIZE_MAX);
        }
        assert_eq!(after(&seen, &object(0)), None);
        for other in [object(0).replace('x', &"x".repeat(20)), "{}".to_owned()] {
            seen.keep(&other, 6);
            assert_eq!(after(&seen, &other), None);
        }
    }
}
