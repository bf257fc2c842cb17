//! Digests: what was asked for by one is compared with it before anybody looks inside.

use std::fmt::{self, Display, Formatter, Write as _};

use serde::de::{Deserialize, Deserializer, Error as _};
use sha2::{Digest as _, Sha256, Sha512};

/// A digest: `sha256:` or `sha512:` and as many hexadecimal digits as it takes, in lower case.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest(Box<str>);

/// Computes a digest, piece by piece.
#[derive(Clone, Debug)]
pub enum Hasher {
    /// SHA-256.
    Sha256(Sha256),
    /// SHA-512.
    Sha512(Sha512),
}

impl Digest {
    /// The digest, if `text` is one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits = match text.split_once(':') {
            Some(("sha256", digits)) if digits.len() == 64 => digits,
            Some(("sha512", digits)) if digits.len() == 128 => digits,
            _ => return None,
        };
        let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        digits.bytes().all(is_digit).then(|| Self(text.into()))
    }

    /// The SHA-256 digest of `content`.
    #[must_use]
    pub fn of(content: &[u8]) -> Self {
        let mut hasher = Hasher::Sha256(Sha256::new());
        hasher.update(content);
        hasher.finish()
    }

    /// Computes a digest of the same kind.
    #[must_use]
    pub fn hasher(&self) -> Hasher {
        if self.0.starts_with("sha512:") {
            Hasher::Sha512(Sha512::new())
        } else {
            Hasher::Sha256(Sha256::new())
        }
    }

    /// Whether this is the digest of `content`.
    #[must_use]
    pub fn is_of(&self, content: &[u8]) -> bool {
        let mut hasher = self.hasher();
        hasher.update(content);
        hasher.finish() == *self
    }

    /// The digest as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Hasher {
    /// Takes the next piece.
    pub fn update(&mut self, piece: &[u8]) {
        match self {
            Self::Sha256(hasher) => hasher.update(piece),
            Self::Sha512(hasher) => hasher.update(piece),
        }
    }

    /// The digest of all pieces.
    #[must_use]
    pub fn finish(self) -> Digest {
        match self {
            Self::Sha256(hasher) => named("sha256:", &hasher.finalize()),
            Self::Sha512(hasher) => named("sha512:", &hasher.finalize()),
        }
    }
}

fn named(algorithm: &str, hash: &[u8]) -> Digest {
    let mut text = algorithm.to_owned();
    for byte in hash {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    Digest(text.into())
}

impl Display for Digest {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| D::Error::custom("a digest that is none, expected sha256: and 64 hexadecimal digits, or sha512: and 128"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn a_digest_is_of_what_it_was_computed_from() {
        let empty = Digest::parse(EMPTY).unwrap();
        assert_eq!(Digest::of(b""), empty);
        assert!(empty.is_of(b"") && !empty.is_of(b"x"));
        let long = Digest::parse(&format!("sha512:{}", "0".repeat(128))).unwrap();
        let mut hasher = long.hasher();
        hasher.update(b"ab");
        hasher.update(b"c");
        let digest = hasher.finish();
        assert!(digest.as_str().starts_with("sha512:ddaf35a193617aba"));
        assert!(digest.is_of(b"abc"));
    }

    #[test]
    fn what_is_no_digest_is_refused() {
        let (upper, short, long) = (
            EMPTY.to_uppercase(),
            EMPTY.trim_end_matches('5'),
            format!("{EMPTY}0"),
        );
        for bad in [
            "",
            "sha256:",
            "md5:00",
            &upper,
            short,
            &long,
            &EMPTY.replace("sha256", "sha512"),
            &EMPTY.replace('e', "/"),
        ] {
            assert!(Digest::parse(bad).is_none(), "{bad}");
        }
    }
}
