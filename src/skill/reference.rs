//! References to OCI artifacts, after the grammar of the OCI distribution specification.

use std::fmt::{self, Display, Formatter};
use std::ops::Range;

use thiserror::Error;

use super::host::Host;
use crate::names::Shown;

/// The longest tag of the distribution specification.
const TAG_MAX: usize = 128;

/// The longest host and repository together that registries and their clients accept.
const NAME_MAX: usize = 255;

/// `host/repository`, then `:tag`, `@digest` or both, and nothing else.
///
/// A reference begins with a letter, a digit or `[`, and has no white space, `$` or control character, so it can
/// stand in an argument vector as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    text: Box<str>,
    host: Host,
    repository: Range<u16>,
    tag: Option<Range<u16>>,
    digest: Option<Range<u16>>,
}

/// Why a text is not a reference.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum InvalidReference {
    /// A byte that no reference has.
    #[error(
        "{} has the character {found:?}, which no reference has; write it as registry.example/org/skill:v1",
        Shown(shown)
    )]
    Character {
        /// The reference, without credentials.
        shown: String,
        /// The character.
        found: char,
    },
    /// `https://` and the like.
    #[error("{} begins with a scheme; write it without, as registry.example/org/skill:v1", Shown(.0))]
    Scheme(String),
    /// `user:password@`, which is not shown.
    #[error(
        "carries credentials, which belong into a Secret named by spec.imagePullSecrets; write it as \
         registry.example/org/skill:v1"
    )]
    Credentials,
    /// No registry host, or one that is not a host.
    #[error("{} does not begin with the host of a registry; write it as registry.example/org/skill:v1", Shown(.0))]
    Host(String),
    /// The repository is not one.
    #[error(
        "{} has no valid repository: a-z, 0-9 and single . _ - between them, in parts divided by /",
        Shown(.0)
    )]
    Repository(String),
    /// Neither a tag nor a digest.
    #[error("{} names neither a tag nor a digest; add :v1 or @sha256:…", Shown(.0))]
    Unversioned(String),
    /// The tag is not one.
    #[error("{} has no valid tag: 1 to 128 of a-z, A-Z, 0-9, _, . and -, not beginning with . or -", Shown(.0))]
    Tag(String),
    /// The digest is not one.
    #[error("{} has no valid digest: sha256: and 64 hexadecimal digits, or sha512: and 128", Shown(.0))]
    Digest(String),
    /// Host and repository are too long.
    #[error("{} has a host and repository of more than {NAME_MAX} characters", Shown(.0))]
    Length(String),
}

impl Reference {
    /// Reads a reference.
    ///
    /// # Errors
    /// Says what is wrong with it, never showing credentials that stand in it.
    pub fn parse(text: &str) -> Result<Self, InvalidReference> {
        let shown = || text.to_owned();
        // Before anything is shown: what stands before an @ may be a password.
        if has_credentials(text) {
            return Err(InvalidReference::Credentials);
        }
        if text.contains("://") {
            return Err(InvalidReference::Scheme(shown()));
        }
        if let Some(found) = text.chars().find(|&found| !is_reference_character(found)) {
            return Err(InvalidReference::Character {
                shown: shown(),
                found,
            });
        }
        let slash = text
            .find('/')
            .ok_or_else(|| InvalidReference::Host(shown()))?;
        let (host, rest) = text.split_at(slash);
        let host = Host::parse(host).ok_or_else(|| InvalidReference::Host(shown()))?;
        let start = slash + 1;

        let at = rest.find('@').map(|offset| slash + offset);
        let named = text
            .get(start..at.unwrap_or(text.len()))
            .unwrap_or_default();
        let colon = named.find(':').map(|offset| start + offset);
        let repository = start..colon.or(at).unwrap_or(text.len());
        let tag = colon.map(|colon| colon + 1..at.unwrap_or(text.len()));
        let digest = at.map(|at| at + 1..text.len());

        let part = |range: &Range<usize>| text.get(range.clone()).unwrap_or_default();
        if !is_repository(part(&repository)) {
            return Err(InvalidReference::Repository(shown()));
        }
        if repository.end > NAME_MAX {
            return Err(InvalidReference::Length(shown()));
        }
        if tag.as_ref().is_some_and(|tag| !is_tag(part(tag))) {
            return Err(InvalidReference::Tag(shown()));
        }
        if digest
            .as_ref()
            .is_some_and(|digest| !is_digest(part(digest)))
        {
            return Err(InvalidReference::Digest(shown()));
        }
        if tag.is_none() && digest.is_none() {
            return Err(InvalidReference::Unversioned(shown()));
        }
        // Nothing that got here is longer than the longest name, tag and digest together.
        let narrow = |range: Range<usize>| {
            let narrow =
                |at: usize| u16::try_from(at).map_err(|_| InvalidReference::Length(shown()));
            Ok::<_, InvalidReference>(narrow(range.start)?..narrow(range.end)?)
        };
        Ok(Self {
            text: text.into(),
            host,
            repository: narrow(repository)?,
            tag: tag.map(narrow).transpose()?,
            digest: digest.map(narrow).transpose()?,
        })
    }

    /// The whole reference, as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The registry.
    #[must_use]
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The repository, without host, tag and digest.
    #[must_use]
    pub fn repository(&self) -> &str {
        self.part(&self.repository)
    }

    /// The tag, if there is one.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_ref().map(|tag| self.part(tag))
    }

    /// The digest, if there is one. With it, the tag decides nothing.
    #[must_use]
    pub fn digest(&self) -> Option<&str> {
        self.digest.as_ref().map(|digest| self.part(digest))
    }

    fn part(&self, range: &Range<u16>) -> &str {
        let range = usize::from(range.start)..usize::from(range.end);
        self.text.get(range).unwrap_or_default()
    }
}

impl Display for Reference {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

/// Whether an `@` stands where no digest follows: in the first part, however it is set off, or before a `/`.
fn has_credentials(text: &str) -> bool {
    let after_scheme = text.split_once("://").map_or(text, |(_, rest)| rest);
    let authority = after_scheme.trim_start_matches('/').split('/').next();
    authority.is_some_and(|authority| authority.contains('@'))
        || text
            .rsplit_once('/')
            .is_some_and(|(before, _)| before.contains('@'))
}

/// Every character that some valid reference has.
fn is_reference_character(found: char) -> bool {
    found.is_ascii_alphanumeric() || matches!(found, '.' | '_' | '-' | '/' | ':' | '@' | '[' | ']')
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`, in parts divided by `/`.
fn is_repository(text: &str) -> bool {
    text.split('/').all(is_repository_part)
}

fn is_repository_part(part: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = part.as_bytes();
    let (Some(&first), Some(&last)) = (bytes.first(), bytes.last()) else {
        return false;
    };
    is_word(first)
        && is_word(last)
        && bytes.split(|&byte| is_word(byte)).all(|separator| {
            matches!(separator, b"" | b"." | b"_" | b"__")
                || separator.iter().all(|&byte| byte == b'-')
        })
}

fn is_tag(text: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    text.len() <= TAG_MAX
        && text.bytes().next().is_some_and(is_word)
        && text
            .bytes()
            .all(|byte| is_word(byte) || byte == b'.' || byte == b'-')
}

fn is_digest(text: &str) -> bool {
    let digits = match text.split_once(':') {
        Some(("sha256", hex)) if hex.len() == 64 => hex,
        Some(("sha512", hex)) if hex.len() == 128 => hex,
        _ => return false,
    };
    digits
        .bytes()
        .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHA256: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn a_reference_has_its_parts() {
        let text = format!("registry.example:5000/org/a_b/c--d.e:v1.2-rc_3@{SHA256}");
        let reference = Reference::parse(&text).unwrap();
        assert_eq!(reference.host().as_str(), "registry.example:5000");
        assert_eq!(reference.repository(), "org/a_b/c--d.e");
        assert_eq!(reference.tag(), Some("v1.2-rc_3"));
        assert_eq!(reference.digest(), Some(SHA256));
        assert_eq!(reference.as_str(), text);
    }

    #[test]
    fn a_tag_or_a_digest_is_enough() {
        let pinned = format!("ghcr.io/x/y@{SHA256}");
        for good in [
            "ghcr.io/x:1",
            "localhost/x:1",
            "localhost:5000/x:latest",
            "[::1]:5000/x:1",
            "10.0.0.1/x:1",
            &pinned,
        ] {
            assert!(Reference::parse(good).is_ok(), "{good}");
        }
    }

    #[test]
    fn what_is_not_a_reference_is_refused() {
        let long_tag = format!("ghcr.io/x/y:{}", "t".repeat(129));
        let long_name = format!("ghcr.io/{}:1", "x".repeat(256));
        let upper_digest = format!("ghcr.io/x/y@{}", SHA256.to_uppercase());
        for bad in [
            "",
            "/",
            "-T",
            "--allow-path-traversal",
            "--from-file",
            "-T/x:1",
            "x",
            "skills/web:v1",
            "./dir",
            "../dir/x:1",
            "/abs/path:1",
            "ghcr.io",
            "ghcr.io/",
            "ghcr.io/:1",
            "ghcr.io/x",
            "ghcr.io//x:1",
            "ghcr.io/x/:1",
            "ghcr.io/x:",
            "ghcr.io/Org/x:1",
            "ghcr.io/x..y:1",
            "ghcr.io/x___y:1",
            "ghcr.io/-x:1",
            "ghcr.io/x-:1",
            "ghcr.io/x:.1",
            "ghcr.io/x:-1",
            "ghcr.io/x:1:2",
            "ghcr.io/x@sha256:abc",
            "ghcr.io/x@",
            "ghcr.io/x:@",
            "ghcr.io/x@md5:00",
            "ghcr.io/x:1;id",
            "ghcr.io/x:`id`",
            "ghcr.io/x:1 --insecure",
            "ghcr.io/x:1\n",
            "ghcr.io/x:1\r",
            "ghcr.io/x:1\0",
            "ghcr.io/x:$(TOKEN)",
            "$$(X)/x:1",
            "ghcr.io/${X}:1",
            "ghcr.io/x:%31",
            "ghcr.io/x:1#y",
            "ghcr.io/x?y:1",
            "https://ghcr.io/x:1",
            "oci://ghcr.io/x:1",
            "user:pw@ghcr.io/x:1",
            "https://user:pw@ghcr.io/x:1",
            "gһcr.io/x:1",
            "ghcr.io./x:1",
            ".ghcr.io/x:1",
            "ghcr..io/x:1",
            "ghcr.io:/x:1",
            "ghcr.io:99999/x:1",
            "ghcr.io:x/x:1",
            "[::1/x:1",
            "::1/x:1",
            "[x]/x:1",
            "1.2.3.256/x:1",
            &long_tag,
            &long_name,
            &upper_digest,
        ] {
            assert!(Reference::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn credentials_are_never_shown() {
        for text in [
            "user:hunter2@ghcr.io/x:1",
            "https://user:hunter2@ghcr.io/x:1",
            "hunter2@ghcr.io\n/x",
            "//user:hunter2@ghcr.io/x:1",
            "//user:hunter2@ghcr.io",
            "https:/user:hunter2@ghcr.io/x:1",
            "https:///user:hunter2@ghcr.io",
            "https://user:p/hunter2@ghcr.io/x:1",
            "user:p/hunter2@ghcr.io/x:1",
        ] {
            let message = Reference::parse(text).unwrap_err().to_string();
            assert!(!message.contains("hunter2"), "{message}");
        }
    }
}
