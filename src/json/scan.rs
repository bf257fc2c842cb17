//! The grammar of JSON, gone over without reading anything.
//!
//! What is wrong is not said here, only where, so that each step is a few instructions, and all of a skip is in registers.

use super::reader::NESTING_MAX;

/// Where in a text one is, and how deep. Each step is over what it names, or none where that is not there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scan<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) at: usize,
    pub(super) depth: usize,
}

/// The first byte from `at` on that does not stand for itself in a string, found in eight at once.
#[inline]
fn end_of_plain(bytes: &[u8], mut at: usize) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    // The highest bit of each byte that is 0, and perhaps of some above it.
    let zeros = |word: u64| word.wrapping_sub(ONES) & !word;
    while let Some(eight) = bytes.get(at..).and_then(<[u8]>::first_chunk) {
        let word = u64::from_le_bytes(*eight);
        let quotes = zeros(word ^ (ONES * u64::from(b'"')));
        let escapes = zeros(word ^ (ONES * u64::from(b'\\')));
        let controls = word.wrapping_sub(ONES * 0x20) & !word;
        let found = (quotes | escapes | controls) & (ONES << 7);
        if found != 0 {
            return at + found.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    while let Some(&byte) = bytes.get(at)
        && byte >= 0x20
        && byte != b'"'
        && byte != b'\\'
    {
        at += 1;
    }
    at
}

impl Scan<'_> {
    /// The next byte that is not white space.
    #[inline]
    pub(super) fn peek(&mut self) -> Option<u8> {
        loop {
            match self.byte() {
                Some(b' ' | b'\n' | b'\r' | b'\t') => self.at += 1,
                byte => return byte,
            }
        }
    }

    #[inline]
    pub(super) fn byte(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    /// A bracket that opens.
    #[inline]
    pub(super) fn enter(&mut self) -> Option<()> {
        if self.depth == NESTING_MAX {
            return None;
        }
        self.depth += 1;
        self.at += 1;
        Some(())
    }

    /// A bracket that closes.
    #[inline]
    pub(super) fn leave(&mut self) {
        self.depth -= 1;
        self.at += 1;
    }

    #[inline]
    pub(super) fn expect(&mut self, byte: u8) -> Option<()> {
        if self.peek() != Some(byte) {
            return None;
        }
        self.at += 1;
        Some(())
    }

    /// After a value, and whether one was there. All of this is in registers: nobody else sees the copy.
    #[inline(never)]
    pub(super) fn after_value(mut self) -> (Self, Option<()>) {
        let found = self.value();
        (self, found)
    }

    #[inline]
    fn value(&mut self) -> Option<()> {
        // The brackets around, from the innermost, `{` a 1 and `[` a 0.
        let mut kinds = 0_u128;
        let outside = self.depth;
        loop {
            match self.peek()? {
                b'"' => {
                    self.string()?;
                }
                b'{' => {
                    self.enter()?;
                    if self.peek()? == b'"' {
                        kinds = kinds << 1 | 1;
                        self.string()?;
                        self.expect(b':')?;
                        continue;
                    }
                    if self.peek()? != b'}' {
                        return None;
                    }
                    self.leave();
                }
                b'[' => {
                    self.enter()?;
                    if self.peek()? != b']' {
                        kinds <<= 1;
                        continue;
                    }
                    self.leave();
                }
                _ => self.scalar()?,
            }
            // After a value: the next one of the same list or object, or the ends of those around it.
            loop {
                if self.depth == outside {
                    return Some(());
                }
                let in_object = kinds & 1 == 1;
                match self.peek()? {
                    b',' => {
                        self.at += 1;
                        if in_object {
                            self.peek();
                            self.string()?;
                            self.expect(b':')?;
                        }
                        break;
                    }
                    b'}' if in_object => {}
                    b']' if !in_object => {}
                    _ => return None,
                }
                self.leave();
                kinds >>= 1;
            }
        }
    }

    /// A string; whether it has escapes.
    #[allow(
        clippy::inline_always,
        reason = "a skip that calls it takes a third longer"
    )]
    #[inline(always)]
    pub(super) fn string(&mut self) -> Option<bool> {
        if self.byte() != Some(b'"') {
            return None;
        }
        self.at += 1;
        let mut escaped = false;
        loop {
            self.at = end_of_plain(self.bytes, self.at);
            match self.byte()? {
                b'"' => {
                    self.at += 1;
                    return Some(escaped);
                }
                b'\\' => {
                    escaped = true;
                    self.escape()?;
                }
                _ => return None,
            }
        }
    }

    fn escape(&mut self) -> Option<()> {
        self.at += 1;
        let length = match self.byte()? {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => 1,
            b'u' => 5,
            _ => return None,
        };
        let digits = self.bytes.get(self.at + 1..self.at + length)?;
        if !digits.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        self.at += length;
        Some(())
    }

    /// A number, `true`, `false` or `null`.
    #[inline]
    pub(super) fn scalar(&mut self) -> Option<()> {
        match self.byte()? {
            b't' => self.word(b"true"),
            b'f' => self.word(b"false"),
            b'n' => self.word(b"null"),
            _ => self.number(),
        }
    }

    #[inline]
    pub(super) fn word(&mut self, word: &[u8]) -> Option<()> {
        if !self.bytes.get(self.at..)?.starts_with(word) {
            return None;
        }
        self.at += word.len();
        Some(())
    }

    #[inline]
    fn number(&mut self) -> Option<()> {
        self.at += usize::from(self.byte() == Some(b'-'));
        match self.byte()? {
            b'0' => self.at += 1,
            _ => self.digits()?,
        }
        if self.byte() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.byte() {
            self.at += 1;
            self.at += usize::from(matches!(self.byte(), Some(b'+' | b'-')));
            self.digits()?;
        }
        Some(())
    }

    #[inline]
    fn digits(&mut self) -> Option<()> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.byte() {
            self.at += 1;
        }
        (self.at > start).then_some(())
    }
}

#[cfg(test)]
mod tests {
    use super::end_of_plain;

    #[test]
    fn what_is_special_in_a_string_is_found_wherever_it_stands() {
        for special in 0..=u8::MAX {
            for at in 0..20 {
                for before in [b'a', b'!', b'#', b'[', b']', 0x20, 0x7f, 0x80, 0xff] {
                    let mut bytes = [before; 20];
                    bytes[at] = special;
                    let is_special = special < 0x20 || special == b'"' || special == b'\\';
                    let end = if is_special { at } else { bytes.len() };
                    assert_eq!(end_of_plain(&bytes, 0), end, "{special} at {at}");
                }
            }
        }
    }
}
