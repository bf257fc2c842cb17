//! The grammar of JSON, gone over without reading anything.
//!
//! Every function here takes the text from where what it is named after begins, or has begun, and gives the text after it;
//! none where the text is not like that. What is wrong is not said, so that each step is a few instructions. API servers
//! send no white space, so what follows what is asked first, and white space last.

#![allow(
    clippy::inline_always,
    reason = "a skip that calls its steps takes a third longer"
)]

use super::ahead::Ahead;
use super::reader::NESTING_MAX;

/// Where in a text one is, and how deep.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scan<'a> {
    pub(super) rest: &'a [u8],
    pub(super) depth: usize,
    pub(super) ahead: Ahead,
}

impl<'a> Scan<'a> {
    /// At the beginning of a text.
    pub(super) fn new(text: &'a [u8]) -> Self {
        Self {
            rest: trimmed(text),
            depth: 0,
            ahead: Ahead::default(),
        }
    }

    /// Goes over a value; or, where there is none, to what is wrong.
    #[inline]
    pub(super) fn over_value(&mut self) -> Option<()> {
        self.rest = self.after_value(self.rest, self.depth)?;
        Some(())
    }

    #[inline(always)]
    fn after_value(&mut self, rest: &'a [u8], depth: usize) -> Option<&'a [u8]> {
        let after = match rest {
            [b'"', inside @ ..] => after_string(inside, &mut self.ahead),
            [b'{', inside @ ..] if depth < NESTING_MAX => match inside {
                [b'}', tail @ ..] => return Some(tail),
                _ => return self.after_members(trimmed(inside), depth + 1),
            },
            [b'[', inside @ ..] if depth < NESTING_MAX => {
                return self.after_items(trimmed(inside), depth + 1);
            }
            _ => after_scalar(rest),
        };
        after.or_else(|| self.stuck(rest, depth))
    }

    /// After an object that has begun.
    #[inline(never)]
    fn after_members(&mut self, mut rest: &'a [u8], depth: usize) -> Option<&'a [u8]> {
        if let [b'}', tail @ ..] = rest {
            return Some(tail);
        }
        loop {
            let value = match rest {
                [b'"', inside @ ..] => after_key(inside, &mut self.ahead),
                _ => None,
            };
            let Some(value) = value else {
                return self.stuck(rest, depth);
            };
            rest = match self.after_value(value, depth)? {
                tail @ [b',' | b'}', ..] => tail,
                tail => trimmed(tail),
            };
            match rest {
                [b',', tail @ ..] => rest = trimmed(tail),
                [b'}', tail @ ..] => return Some(tail),
                _ => return self.stuck(rest, depth),
            }
        }
    }

    /// After a list that has begun.
    #[inline(never)]
    fn after_items(&mut self, mut rest: &'a [u8], depth: usize) -> Option<&'a [u8]> {
        if let [b']', tail @ ..] = rest {
            return Some(tail);
        }
        loop {
            rest = trimmed(self.after_value(rest, depth)?);
            match rest {
                [b',', tail @ ..] => rest = trimmed(tail),
                [b']', tail @ ..] => return Some(tail),
                _ => return self.stuck(rest, depth),
            }
        }
    }

    /// Goes to where one is stuck.
    #[cold]
    #[inline(never)]
    fn stuck(&mut self, rest: &'a [u8], depth: usize) -> Option<&'a [u8]> {
        self.rest = rest;
        self.depth = depth;
        None
    }
}

/// The text from the first byte on that is not white space.
#[inline(always)]
pub(super) fn trimmed(mut rest: &[u8]) -> &[u8] {
    while let [b' ' | b'\n' | b'\r' | b'\t', tail @ ..] = rest {
        rest = tail;
    }
    rest
}

/// After a key that has begun, its colon, and white space.
#[inline(always)]
fn after_key<'a>(rest: &'a [u8], ahead: &mut Ahead) -> Option<&'a [u8]> {
    after_colon(after_string(rest, ahead)?)
}

/// After a colon and white space around it.
#[inline(always)]
pub(super) fn after_colon(rest: &[u8]) -> Option<&[u8]> {
    match rest {
        [b':', tail @ ..] => Some(trimmed(tail)),
        _ => match trimmed(rest) {
            [b':', tail @ ..] => Some(trimmed(tail)),
            _ => None,
        },
    }
}

/// After a string that has begun.
#[inline(always)]
fn after_string<'a>(mut rest: &'a [u8], ahead: &mut Ahead) -> Option<&'a [u8]> {
    loop {
        match ahead.plain_from(rest)? {
            [b'"', tail @ ..] => return Some(tail),
            [b'\\', tail @ ..] => rest = after_escape(tail)?,
            _ => return None,
        }
    }
}

/// After a string without escapes.
#[inline(never)]
pub(super) fn after_plain<'a>(rest: &'a [u8], ahead: &mut Ahead) -> Option<&'a [u8]> {
    let [b'"', inside @ ..] = rest else {
        return None;
    };
    match ahead.plain_from(inside)? {
        [b'"', tail @ ..] => Some(tail),
        _ => None,
    }
}

#[inline(always)]
fn after_escape(rest: &[u8]) -> Option<&[u8]> {
    match rest {
        [
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't',
            tail @ ..,
        ] => Some(tail),
        [b'u', tail @ ..] => {
            let (digits, tail) = tail.split_first_chunk::<4>()?;
            digits.iter().all(u8::is_ascii_hexdigit).then_some(tail)
        }
        _ => None,
    }
}

/// After a number, `true`, `false` or `null`.
#[inline]
pub(super) fn after_scalar(rest: &[u8]) -> Option<&[u8]> {
    match rest {
        [b't', ..] => rest.strip_prefix(b"true"),
        [b'f', ..] => rest.strip_prefix(b"false"),
        [b'n', ..] => rest.strip_prefix(b"null"),
        _ => after_number(rest),
    }
}

#[inline]
fn after_number(rest: &[u8]) -> Option<&[u8]> {
    let unsigned = rest.strip_prefix(b"-").unwrap_or(rest);
    let mut rest = match unsigned {
        [b'0', tail @ ..] => tail,
        _ => after_digits(unsigned)?,
    };
    if let [b'.', tail @ ..] = rest {
        rest = after_digits(tail)?;
    }
    if let [b'e' | b'E', tail @ ..] = rest {
        rest = match tail {
            [b'+' | b'-', tail @ ..] => after_digits(tail)?,
            _ => after_digits(tail)?,
        };
    }
    Some(rest)
}

#[inline]
fn after_digits(rest: &[u8]) -> Option<&[u8]> {
    let count = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if count == 0 {
        return None;
    }
    rest.get(count..)
}
