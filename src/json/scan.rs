//! The grammar of JSON, gone over without reading anything.
//!
//! Every function here takes the text from where what it is named after begins, or has begun, and gives the text after it;
//! none where the text is not like that. What is wrong is not said, so that each step is a few instructions. API servers
//! send no white space, so what follows what is asked first, and white space last.

#![allow(
    clippy::inline_always,
    reason = "a skip that calls its steps takes a third longer"
)]

use super::reader::NESTING_MAX;

/// Where in a text one is, and how deep.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scan<'a> {
    pub(super) rest: &'a [u8],
    pub(super) depth: usize,
}

impl Scan<'_> {
    /// After a value, and whether one was there. All of this is in registers: nobody else sees the copy.
    #[inline(never)]
    pub(super) fn after_value(mut self) -> (Self, Option<()>) {
        let found = self.value();
        (self, found)
    }

    #[inline(always)]
    fn value(&mut self) -> Option<()> {
        // The brackets around, from the innermost, `{` a 1 and `[` a 0.
        let mut kinds = 0_u128;
        let outside = self.depth;
        loop {
            match self.rest {
                [b'"', tail @ ..] => self.rest = after_string(tail)?,
                [b'{', tail @ ..] if self.depth < NESTING_MAX => match trimmed(tail) {
                    [b'}', tail @ ..] => self.rest = tail,
                    [b'"', tail @ ..] => {
                        self.depth += 1;
                        kinds = kinds << 1 | 1;
                        self.rest = after_key(tail, self.depth)?;
                        continue;
                    }
                    _ => return None,
                },
                [b'[', tail @ ..] if self.depth < NESTING_MAX => match trimmed(tail) {
                    [b']', tail @ ..] => self.rest = tail,
                    tail => {
                        self.depth += 1;
                        kinds <<= 1;
                        self.rest = tail;
                        continue;
                    }
                },
                [b' ' | b'\n' | b'\r' | b'\t', tail @ ..] => {
                    self.rest = tail;
                    continue;
                }
                rest => self.rest = after_scalar(rest)?,
            }
            // After a value: the next one of the same list or object, or the ends of those around it.
            loop {
                if self.depth == outside {
                    return Some(());
                }
                let is_object = kinds & 1 == 1;
                match self.rest {
                    [b',', tail @ ..] if is_object => {
                        let [b'"', tail @ ..] = trimmed(tail) else {
                            return None;
                        };
                        self.rest = after_key(tail, self.depth)?;
                        break;
                    }
                    [b',', tail @ ..] => {
                        self.rest = tail;
                        break;
                    }
                    [b'}', tail @ ..] if is_object => self.rest = tail,
                    [b']', tail @ ..] if !is_object => self.rest = tail,
                    [b' ' | b'\n' | b'\r' | b'\t', tail @ ..] => {
                        self.rest = tail;
                        continue;
                    }
                    _ => return None,
                }
                self.depth -= 1;
                kinds >>= 1;
            }
        }
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

/// After a key that has begun, and its colon; and after all members before it that are empty objects, as most of
/// `managedFields` are.
#[inline(always)]
fn after_key(mut rest: &[u8], depth: usize) -> Option<&[u8]> {
    loop {
        rest = match after_string(rest)? {
            [b':', b'{', b'}', b',', b'"', tail @ ..] if depth < NESTING_MAX => tail,
            [b':', tail @ ..] => return Some(tail),
            tail => return after(b':', tail),
        }
    }
}

/// After white space and this byte.
#[inline(always)]
pub(super) fn after(byte: u8, rest: &[u8]) -> Option<&[u8]> {
    match trimmed(rest) {
        [first, tail @ ..] if *first == byte => Some(tail),
        _ => None,
    }
}

/// After a string that has begun.
#[inline(always)]
pub(super) fn after_string(mut rest: &[u8]) -> Option<&[u8]> {
    loop {
        match plain_from(rest)? {
            [b'"', tail @ ..] => return Some(tail),
            [b'\\', tail @ ..] => rest = after_escape(tail)?,
            _ => return None,
        }
    }
}

/// From the first byte on that does not stand for itself in a string, found in eight at once.
#[inline(always)]
pub(super) fn plain_from(mut rest: &[u8]) -> Option<&[u8]> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    while let Some((eight, tail)) = rest.split_first_chunk() {
        let word = u64::from_le_bytes(*eight);
        // The highest bit of each byte that is found, and perhaps of some above it. With its second bit turned, a quote is 0x20
        // and comes right after the controls, and a space does not.
        let quotes_and_controls = (word ^ (ONES * 0x02)).wrapping_sub(ONES * 0x21);
        let escapes = (word ^ (ONES * u64::from(b'\\'))).wrapping_sub(ONES);
        let found = (quotes_and_controls | escapes) & !word & (ONES << 7);
        if found != 0 {
            return rest.get(found.trailing_zeros() as usize / 8..);
        }
        rest = tail;
    }
    let special = |byte: &u8| *byte < 0x20 || *byte == b'"' || *byte == b'\\';
    rest.get(rest.iter().position(special)?..)
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

#[cfg(test)]
mod tests {
    use super::plain_from;

    #[test]
    fn what_is_special_in_a_string_is_found_wherever_it_stands() {
        for special in 0..=u8::MAX {
            for at in 0..40 {
                for before in [b'a', b'!', b'#', b'[', b']', 0x20, 0x7f, 0x80, 0xff] {
                    let mut bytes = [before; 40];
                    bytes[at] = special;
                    let is_special = special < 0x20 || special == b'"' || special == b'\\';
                    let expected = is_special.then_some(&bytes[at..]);
                    assert_eq!(plain_from(&bytes), expected, "{special} at {at}");
                }
            }
        }
    }
}
