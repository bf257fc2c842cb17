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

/// Whether a byte stands for itself in a string. A table is a third faster than comparisons here.
const PLAIN: [bool; 256] = {
    let mut plain = [true; 256];
    let mut rest: &mut [bool] = &mut plain;
    let mut byte = 0_u8;
    while let Some((first, others)) = rest.split_first_mut() {
        *first = byte >= 0x20 && byte != b'"' && byte != b'\\';
        byte = byte.wrapping_add(1);
        rest = others;
    }
    plain
};

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
    #[inline]
    pub(super) fn string(&mut self) -> Option<bool> {
        if self.byte() != Some(b'"') {
            return None;
        }
        self.at += 1;
        let mut escaped = false;
        loop {
            while let Some(byte) = self.byte()
                && PLAIN.get(usize::from(byte)) == Some(&true)
            {
                self.at += 1;
            }
            match self.byte()? {
                b'"' => break,
                b'\\' => {
                    escaped = true;
                    self.escape()?;
                }
                _ => return None,
            }
        }
        self.at += 1;
        Some(escaped)
    }

    #[inline]
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
