//! How much a skill may hold, and what of that is spent.

use thiserror::Error;

/// How much a skill may hold, unpacked. What is packed and thrown away again counts, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes in all files together; 50,000,000 by default.
    pub bytes: u64,
    /// Files, directories and links together; 10,000 by default.
    pub entries: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            bytes: 50_000_000,
            entries: 10_000,
        }
    }
}

/// A limit that was met.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum OverLimit {
    /// Too many bytes.
    #[error("unpacked, it has more than {0} bytes")]
    Bytes(u64),
    /// Too many entries.
    #[error("it has more than {0} files, directories and links")]
    Entries(u32),
}

/// What is left of the limits.
#[derive(Debug)]
pub struct Budget {
    limits: Limits,
    bytes: u64,
    entries: u32,
}

impl Budget {
    /// All of it.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            bytes: limits.bytes,
            entries: limits.entries,
        }
    }

    /// Takes bytes, before they are read or written.
    ///
    /// # Errors
    /// When there are not so many left.
    pub fn take_bytes(&mut self, bytes: u64) -> Result<(), OverLimit> {
        self.bytes = self
            .bytes
            .checked_sub(bytes)
            .ok_or(OverLimit::Bytes(self.limits.bytes))?;
        Ok(())
    }

    /// Takes one entry.
    ///
    /// # Errors
    /// When there is none left.
    pub fn take_entry(&mut self) -> Result<(), OverLimit> {
        self.entries = self
            .entries
            .checked_sub(1)
            .ok_or(OverLimit::Entries(self.limits.entries))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_allowed_can_be_taken_and_no_more() {
        let mut budget = Budget::new(Limits {
            bytes: 10,
            entries: 2,
        });
        assert_eq!(budget.take_bytes(7), Ok(()));
        assert_eq!(budget.take_bytes(3), Ok(()));
        assert_eq!(budget.take_bytes(1), Err(OverLimit::Bytes(10)));
        assert_eq!(budget.take_bytes(u64::MAX), Err(OverLimit::Bytes(10)));
        assert_eq!(budget.take_entry(), Ok(()));
        assert_eq!(budget.take_entry(), Ok(()));
        assert_eq!(budget.take_entry(), Err(OverLimit::Entries(2)));
    }
}
