//! Looking ahead for the ends of strings.
//!
//! Where a string ends says where the next one begins, so that a search for each would wait for the one before. What is
//! special in strings is found in 64 bytes at once instead, whatever they belong to, and kept.

use wide::u8x16;

/// Which of 64 bytes do not stand for themselves in a string: quotes, backslashes and controls.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ahead {
    /// How much text there was from the first of them on.
    length: usize,
    /// A bit for each, the lowest for the first.
    specials: u64,
}

const BLOCK: usize = 64;

impl Ahead {
    /// The text from the first byte on that does not stand for itself in a string. What is asked for is an end of one text each
    /// time.
    #[inline]
    pub(super) fn plain_from<'a>(&mut self, rest: &'a [u8]) -> Option<&'a [u8]> {
        let gone = self.length.wrapping_sub(rest.len());
        if gone >= BLOCK {
            return self.look(rest);
        }
        match self.specials >> gone {
            0 => self.look(rest.get(BLOCK - gone..)?),
            specials => rest.get(specials.trailing_zeros() as usize..),
        }
    }

    /// The same, of what was not looked at yet.
    #[inline(never)]
    fn look<'a>(&mut self, mut rest: &'a [u8]) -> Option<&'a [u8]> {
        while let Some((block, tail)) = rest.split_first_chunk() {
            self.length = rest.len();
            self.specials = specials(block);
            if self.specials != 0 {
                return rest.get(self.specials.trailing_zeros() as usize..);
            }
            rest = tail;
        }
        let is_special = |byte: &u8| *byte < 0x20 || *byte == b'"' || *byte == b'\\';
        rest.get(rest.iter().position(is_special)?..)
    }
}

#[inline]
fn specials(block: &[u8; BLOCK]) -> u64 {
    let mut all = 0;
    for sixteen in block.as_chunks().0.iter().rev() {
        let bytes = u8x16::new(*sixteen);
        let controls = bytes.min(u8x16::splat(0x1f)).simd_eq(bytes);
        let quotes = bytes.simd_eq(u8x16::splat(b'"'));
        let escapes = bytes.simd_eq(u8x16::splat(b'\\'));
        all = all << 16 | u64::from((controls | quotes | escapes).to_bitmask());
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_special_in_a_string_is_found_wherever_it_stands() {
        for special in 0..=u8::MAX {
            for at in 0..150 {
                for before in [b'a', b'!', b'#', b'[', b']', 0x20, 0x7f, 0x80, 0xff] {
                    let mut bytes = [before; 150];
                    bytes[at] = special;
                    let is_special = special < 0x20 || special == b'"' || special == b'\\';
                    let expected = is_special.then_some(&bytes[at..]);
                    assert_eq!(
                        Ahead::default().plain_from(&bytes),
                        expected,
                        "{special} at {at}"
                    );
                }
            }
        }
    }

    #[test]
    fn each_one_of_many_is_found() {
        let mut text = b"\"a\"\\bb\"\"\tccccccc\"".repeat(40);
        for length in 1..90 {
            text.extend(vec![b'd'; length]);
            text.push(b'"');
        }
        for step in 1..70 {
            let (mut ahead, mut rest) = (Ahead::default(), &text[..]);
            while let Some(tail) = rest.get(step..) {
                rest = tail;
                let next = rest.iter().position(|byte| b"\"\\\t".contains(byte));
                assert_eq!(ahead.plain_from(rest), next.map(|at| &rest[at..]));
            }
        }
    }
}
