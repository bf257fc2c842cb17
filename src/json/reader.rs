//! A strict reader of JSON that passes over a text once, and copies nothing that has no escapes in it.
//!
//! Most of a review is not looked at: `managedFields`, variables, probes. Skipping it is where the time goes, and so the
//! reader is made for that: it holds what it skips to the same grammar as what it reads, and counts its depth, in the
//! same pass. It is also a [`serde::Deserializer`], so that what is looked at are ordinary derived types.

use std::borrow::Cow;
use std::fmt::Display;

use serde::Deserialize;
use thiserror::Error;

use super::scan::{Scan, after, after_scalar, after_string, trimmed};

/// The deepest nesting that is read or skipped.
pub const NESTING_MAX: usize = 128;

/// Why a text is not the JSON that was expected. Says nothing of the values in it: they may be secrets, and of any length.
///
/// In a box, for results that are passed in registers.
#[derive(Debug, Error)]
#[error(transparent)]
pub struct Error(Box<Problem>);

#[derive(Debug, Error)]
enum Problem {
    #[error("it is nested more than {NESTING_MAX} levels deep")]
    Nesting,
    #[error("{what} at byte {at}")]
    Unexpected { what: String, at: usize },
}

impl Error {
    #[cold]
    #[inline(never)]
    fn nesting() -> Self {
        Self(Box::new(Problem::Nesting))
    }

    #[cold]
    #[inline(never)]
    pub(super) fn unexpected(what: impl Display, at: usize) -> Self {
        let what = what.to_string();
        Self(Box::new(Problem::Unexpected { what, at }))
    }

    /// The same, found at `at` where nobody said yet where.
    pub(super) fn placed(mut self, found: usize) -> Self {
        if let Problem::Unexpected { at: at @ 0, .. } = &mut *self.0 {
            *at = found;
        }
        self
    }

    #[cfg(test)]
    pub(super) fn is_nesting(&self) -> bool {
        matches!(*self.0, Problem::Nesting)
    }
}

/// A reader of a text, and where in it it is.
#[derive(Debug)]
pub struct Reader<'a> {
    text: &'a str,
    scan: Scan<'a>,
}

impl<'a> Reader<'a> {
    /// A reader at the beginning of `text`.
    #[must_use]
    pub fn new(text: &'a str) -> Self {
        let scan = Scan {
            rest: text.as_bytes(),
            depth: 0,
        };
        Self { text, scan }
    }

    /// Reads a value.
    ///
    /// # Errors
    /// When the text is not JSON here, or the value is of another shape.
    pub fn value<T: Deserialize<'a>>(&mut self) -> Result<T, Error> {
        T::deserialize(self)
    }

    /// Reads a value, or skips it where it is of another shape and says how.
    ///
    /// # Errors
    /// When the text is not JSON here.
    pub fn value_or_skip<T: Deserialize<'a>>(&mut self) -> Result<Result<T, Error>, Error> {
        let start = self.scan;
        match T::deserialize(&mut *self) {
            Ok(value) => Ok(Ok(value)),
            Err(error) => {
                self.scan = start;
                self.skip().map(|_| Err(error))
            }
        }
    }

    /// Reads an object by calling `member` at each value with its key, which must read or skip it.
    ///
    /// # Errors
    /// When there is no object here, or `member` fails.
    pub fn object(
        &mut self,
        mut member: impl FnMut(&mut Self, &str) -> Result<(), Error>,
    ) -> Result<(), Error> {
        if self.peek() != Some(b'{') {
            return Err(self.unexpected("expected an object"));
        }
        self.enter()?;
        let mut first = true;
        while self.next(b'}', first)? {
            let key = self.string()?;
            self.expect(b':')?;
            member(self, &key)?;
            first = false;
        }
        self.close(b'}')
    }

    /// Ends the text.
    ///
    /// # Errors
    /// When there is more.
    pub fn end(&mut self) -> Result<(), Error> {
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self.unexpected("expected the end")),
        }
    }

    /// Whether `null` is the next value, which is then read.
    ///
    /// # Errors
    /// When it begins like `null` and is not.
    #[inline]
    pub fn null(&mut self) -> Result<bool, Error> {
        if self.peek() != Some(b'n') {
            return Ok(false);
        }
        self.step(|rest| rest.strip_prefix(b"null")).map(|()| true)
    }

    /// Skips a value; its text.
    ///
    /// # Errors
    /// When there is no JSON value here.
    #[inline]
    pub fn skip(&mut self) -> Result<&'a str, Error> {
        self.peek();
        let start = self.position();
        match self.scan.rest {
            [b'"', ..] => {
                self.over_string()?;
            }
            [b'{' | b'[', ..] => {
                let (scan, skipped) = self.scan.after_value();
                self.scan = scan;
                skipped.ok_or_else(|| self.malformed())?;
            }
            _ => self.step(after_scalar)?,
        }
        Ok(self.since(start))
    }

    /// The next byte that is not white space.
    #[inline]
    pub(super) fn peek(&mut self) -> Option<u8> {
        self.scan.rest = trimmed(self.scan.rest);
        self.scan.rest.first().copied()
    }

    /// Goes over a bracket that opens.
    #[inline]
    pub(super) fn enter(&mut self) -> Result<(), Error> {
        match self.scan.rest {
            [_, tail @ ..] if self.scan.depth < NESTING_MAX => self.scan.rest = tail,
            _ => return Err(self.malformed()),
        }
        self.scan.depth += 1;
        Ok(())
    }

    /// Goes over a bracket that must close here.
    #[inline]
    pub(super) fn close(&mut self, bracket: u8) -> Result<(), Error> {
        self.expect(bracket)?;
        self.scan.depth -= 1;
        Ok(())
    }

    /// Goes to the next member or item; false where `end` is next.
    #[inline]
    pub(super) fn next(&mut self, end: u8, first: bool) -> Result<bool, Error> {
        match self.peek() {
            Some(byte) if byte == end => return Ok(false),
            _ if first => {}
            _ => {
                self.expect(b',')?;
                self.peek();
            }
        }
        Ok(true)
    }

    #[inline]
    pub(super) fn expect(&mut self, byte: u8) -> Result<(), Error> {
        self.step(|rest| after(byte, rest))
    }

    /// Reads a string, borrowed where it has no escapes.
    #[inline]
    pub(super) fn string(&mut self) -> Result<Cow<'a, str>, Error> {
        let start = self.position();
        if self.over_string()? {
            let read = serde_json::from_str(self.since(start));
            return read.map(Cow::Owned).map_err(|_| self.malformed());
        }
        let text = self.text.get(start + 1..self.position() - 1);
        Ok(Cow::Borrowed(text.unwrap_or_default()))
    }

    /// Goes over a string; whether it has escapes.
    #[inline]
    fn over_string(&mut self) -> Result<bool, Error> {
        let found = match self.scan.rest {
            [b'"', tail @ ..] => after_string(tail),
            _ => None,
        };
        let (rest, escaped) = found.ok_or_else(|| self.malformed())?;
        self.scan.rest = rest;
        Ok(escaped)
    }

    /// Goes over a number or a word; its text.
    pub(super) fn scalar(&mut self) -> Result<&'a str, Error> {
        let start = self.position();
        self.step(after_scalar)?;
        Ok(self.since(start))
    }

    fn since(&self, start: usize) -> &'a str {
        self.text.get(start..self.position()).unwrap_or_default()
    }

    #[inline]
    fn step(&mut self, step: impl FnOnce(&'a [u8]) -> Option<&'a [u8]>) -> Result<(), Error> {
        self.scan.rest = step(self.scan.rest).ok_or_else(|| self.malformed())?;
        Ok(())
    }

    #[cold]
    fn malformed(&self) -> Error {
        match self.scan.rest {
            [b'{' | b'[', ..] if self.scan.depth == NESTING_MAX => Error::nesting(),
            _ => self.unexpected("the text is not JSON"),
        }
    }

    /// An error here.
    pub(crate) fn unexpected(&self, what: impl Display) -> Error {
        Error::unexpected(what, self.position())
    }

    pub(super) fn position(&self) -> usize {
        self.text.len() - self.scan.rest.len()
    }
}
