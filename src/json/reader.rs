//! A strict reader of JSON that passes over a text once, and copies nothing that has no escapes in it.
//!
//! All strings that are read are borrowed: from the text, or, where they have escapes, from an arena. None has to be freed by itself.
//!
//! Most of a review is not looked at: `managedFields`, variables, probes. Skipping it is where the time goes, and so the
//! reader is made for that: it holds what it skips to the same grammar as what it reads, and counts its depth, in the
//! same pass.

use std::borrow::Cow;
use std::fmt::Display;
use std::str::FromStr;

use bumpalo::Bump;
use thiserror::Error;

use super::scan::{Scan, after_colon, after_plain, after_scalar, trimmed};
use super::seen::Seen;

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
    /// What is wrong, for those who do not see the text.
    #[must_use]
    pub fn what(&self) -> String {
        match &*self.0 {
            Problem::Unexpected { what, .. } => what.clone(),
            problem @ Problem::Nesting => problem.to_string(),
        }
    }

    #[cold]
    #[inline(never)]
    fn nesting() -> Self {
        Self(Box::new(Problem::Nesting))
    }

    #[cold]
    #[inline(never)]
    fn unexpected(what: impl Display, at: usize) -> Self {
        let what = what.to_string();
        Self(Box::new(Problem::Unexpected { what, at }))
    }
}

/// A string or `null` that was held to the grammar, and is read where it is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Unread<'a>(&'a str);

impl<'a> Unread<'a> {
    /// The string, which is empty for `null`. Where half a surrogate pair is in it, which no API server sends, its escapes stay.
    #[must_use]
    pub fn string(self) -> Cow<'a, str> {
        let Self(text) = self;
        let quoted = text
            .strip_prefix('"')
            .and_then(|text| text.strip_suffix('"'));
        let plain = Cow::Borrowed(quoted.unwrap_or_default());
        if !plain.contains('\\') {
            return plain;
        }
        serde_json::from_str(text).map_or(plain, Cow::Owned)
    }
}

/// A reader of a text, and where in it it is.
///
/// Each of its functions reads or skips what comes next. What cannot be read is an error where it stands.
#[derive(Debug)]
pub struct Reader<'a> {
    text: &'a str,
    arena: &'a Bump,
    scan: Scan<'a>,
    seen: Option<&'a Seen>,
}

impl<'a> Reader<'a> {
    /// A reader at the beginning of `text`, which puts strings that have escapes into `arena`.
    #[must_use]
    pub fn new(text: &'a str, arena: &'a Bump) -> Self {
        Self {
            text,
            arena,
            scan: Scan::new(text.as_bytes()),
            seen: None,
        }
    }

    /// The same, which goes faster over what it has `seen`.
    #[must_use]
    pub fn with(self, seen: &'a Seen) -> Self {
        let seen = Some(seen);
        Self { seen, ..self }
    }

    /// Reads an object by calling `member` with each key at its value, which must be read or skipped.
    ///
    /// # Errors
    /// When there is no object here, or `member` fails.
    #[inline]
    pub fn object(
        &mut self,
        mut member: impl FnMut(&mut Self, &'a str) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut goes_on = self.open(b'{', b'}', "expected an object")?;
        while goes_on {
            let key = self.text()?;
            self.step(after_colon)?;
            member(self, key)?;
            goes_on = self.goes_on(b'}')?;
        }
        Ok(())
    }

    /// Reads a list by calling `item` at each item, which must be read or skipped.
    ///
    /// # Errors
    /// When there is no list here, or `item` fails.
    #[inline]
    pub fn list<T>(
        &mut self,
        mut item: impl FnMut(&mut Self) -> Result<T, Error>,
    ) -> Result<Vec<T>, Error> {
        let mut goes_on = self.open(b'[', b']', "expected a list")?;
        let mut items = Vec::new();
        while goes_on {
            items.push(item(self)?);
            goes_on = self.goes_on(b']')?;
        }
        Ok(items)
    }

    /// Reads a string.
    ///
    /// # Errors
    /// When there is no string here.
    #[inline]
    pub fn string(&mut self) -> Result<&'a str, Error> {
        match self.peek() {
            Some(b'"') => self.text(),
            _ => Err(self.unexpected("expected a string")),
        }
    }

    /// Reads a string, or `null` as the empty one, as the API server does.
    ///
    /// # Errors
    /// When neither is here.
    #[inline]
    pub fn string_or_null(&mut self) -> Result<&'a str, Error> {
        if self.null()? {
            return Ok("");
        }
        self.string()
    }

    /// Reads an integer.
    ///
    /// # Errors
    /// When there is none here, or one that does not fit.
    pub fn integer(&mut self) -> Result<i64, Error> {
        self.parsed("expected an integer")
    }

    /// Reads `true` or `false`.
    ///
    /// # Errors
    /// When neither is here.
    pub fn boolean(&mut self) -> Result<bool, Error> {
        self.parsed("expected true or false")
    }

    /// Reads `null`, if that is next; whether it was.
    ///
    /// # Errors
    /// When it begins like `null` and is not.
    #[inline]
    pub fn null(&mut self) -> Result<bool, Error> {
        if self.peek() != Some(b'n') {
            return Ok(false);
        }
        self.step(after_scalar).map(|()| true)
    }

    /// Reads the value of a field that must not have come before: what comes twice may mean two things.
    ///
    /// # Errors
    /// When it came before, or `read` fails.
    #[inline]
    pub fn once<T>(
        &mut self,
        key: &str,
        field: &mut Option<T>,
        read: impl FnOnce(&mut Self) -> Result<T, Error>,
    ) -> Result<(), Error> {
        if field.is_some() {
            return Err(self.unexpected(format_args!("the field {key} comes twice")));
        }
        *field = Some(read(self)?);
        Ok(())
    }

    /// Reads by `read`, or skips what cannot be read so and says why.
    ///
    /// # Errors
    /// When the text is not JSON here.
    pub fn or_skip<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, Error>,
    ) -> Result<Result<T, Error>, Error> {
        let start = self.scan;
        let value = read(self);
        if value.is_err() {
            self.scan = start;
            self.skip()?;
        }
        Ok(value)
    }

    /// Skips a value; its text.
    ///
    /// # Errors
    /// When there is no JSON value here.
    pub fn raw(&mut self) -> Result<&'a str, Error> {
        let start = self.position();
        self.skip()?;
        Ok(self.since(start))
    }

    /// Skips a string or `null`, to read it later.
    ///
    /// # Errors
    /// When neither is here.
    pub fn unread_string(&mut self) -> Result<Unread<'a>, Error> {
        match self.peek() {
            Some(b'"' | b'n') => self.raw().map(Unread),
            _ => Err(self.unexpected("expected a string")),
        }
    }

    /// Skips a value.
    ///
    /// # Errors
    /// When there is no JSON value here.
    #[inline]
    pub fn skip(&mut self) -> Result<(), Error> {
        self.scan.over_value().ok_or_else(|| self.malformed())
    }

    /// Skips a value that may be long and the same in many texts, and that it does no harm to remember.
    ///
    /// # Errors
    /// When there is no JSON value here.
    pub fn skip_common(&mut self) -> Result<(), Error> {
        let Scan { rest, depth, .. } = self.scan;
        let Some(seen) = self.seen.filter(|_| rest.starts_with(b"{")) else {
            return self.skip();
        };
        if let Some(rest) = seen.after(rest, depth) {
            self.scan.rest = rest;
            return Ok(());
        }
        seen.keep(self.raw()?, depth);
        Ok(())
    }

    /// Ends the text.
    ///
    /// # Errors
    /// When there is more.
    pub fn end(&mut self) -> Result<(), Error> {
        self.scan.rest = trimmed(self.scan.rest);
        match self.scan.rest {
            [] => Ok(()),
            _ => Err(self.unexpected("expected the end")),
        }
    }

    /// The first byte of what comes next.
    #[inline]
    #[must_use]
    pub fn peek(&self) -> Option<u8> {
        self.scan.rest.first().copied()
    }

    /// Goes over a bracket that must open here; whether there is anything before the one that closes, or else over both.
    #[inline]
    fn open(&mut self, opens: u8, closes: u8, expected: &str) -> Result<bool, Error> {
        if self.peek() != Some(opens) {
            return Err(self.unexpected(expected));
        }
        match self.scan.rest {
            [_, tail @ ..] if self.scan.depth < NESTING_MAX => self.scan.rest = trimmed(tail),
            _ => return Err(self.malformed()),
        }
        if let [byte, tail @ ..] = self.scan.rest
            && *byte == closes
        {
            self.scan.rest = tail;
            return Ok(false);
        }
        self.scan.depth += 1;
        Ok(true)
    }

    /// Goes over the comma to the next member or item, or over the bracket that closes; which of them it was.
    #[inline]
    fn goes_on(&mut self, closes: u8) -> Result<bool, Error> {
        self.scan.rest = trimmed(self.scan.rest);
        match self.scan.rest {
            [b',', tail @ ..] => {
                self.scan.rest = trimmed(tail);
                Ok(true)
            }
            [byte, tail @ ..] if *byte == closes => {
                self.scan.rest = tail;
                self.scan.depth -= 1;
                Ok(false)
            }
            _ => Err(self.malformed()),
        }
    }

    /// Reads a string that must begin here.
    #[inline]
    fn text(&mut self) -> Result<&'a str, Error> {
        match self.plain_text() {
            Some(text) => Ok(text),
            None => self.escaped_text(),
        }
    }

    /// Reads a string without escapes; nothing where it is another one.
    #[inline]
    fn plain_text(&mut self) -> Option<&'a str> {
        let tail = after_plain(self.scan.rest, &mut self.scan.ahead)?;
        let (start, end) = (self.position() + 1, self.text.len() - tail.len() - 1);
        self.scan.rest = tail;
        self.text.get(start..end)
    }

    #[cold]
    #[inline(never)]
    fn escaped_text(&mut self) -> Result<&'a str, Error> {
        if self.peek() != Some(b'"') {
            return Err(self.malformed());
        }
        let text: String = serde_json::from_str(self.raw()?).map_err(|_| self.malformed())?;
        Ok(self.arena.alloc_str(&text))
    }

    fn parsed<T: FromStr>(&mut self, expected: &str) -> Result<T, Error> {
        let start = self.position();
        let value = self.raw()?.parse();
        value.map_err(|_| Error::unexpected(expected, start))
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
    #[cold]
    pub(crate) fn unexpected(&self, what: impl Display) -> Error {
        Error::unexpected(what, self.position())
    }

    fn position(&self) -> usize {
        self.text.len() - self.scan.rest.len()
    }
}
