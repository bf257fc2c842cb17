//! Why a skill was not pulled, and the exit code that tells which kind of failure it was.

use std::fmt::{self, Display, Formatter};
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use strum::{IntoStaticStr, VariantArray};
use thiserror::Error;

use super::digest::Digest;
use super::files::advice;
use super::manifest::InvalidManifest;
use super::package::InvalidPackage;
use super::publish::PublishError;
use super::unpack::UnpackError;

/// A kind of failure. Its number is the exit code of `pull` and `check`, and stays what it is.
#[derive(Clone, Copy, Debug, IntoStaticStr, PartialEq, Eq, VariantArray)]
pub enum Kind {
    /// The flags, or the files that they name, cannot be used.
    Configuration = 2,
    /// 401: no credentials, or wrong ones.
    Unauthorized = 3,
    /// 403: the credentials do not allow it.
    Forbidden = 4,
    /// 404: there is no such skill.
    NotFound = 5,
    /// The registry cannot be reached, or goes on failing.
    Unavailable = 6,
    /// 429: the registry asks to wait longer than there is time.
    RateLimited = 7,
    /// The time limit is over.
    TimedOut = 8,
    /// The registry's certificate is not trusted.
    Certificate = 9,
    /// The registry's answer is not followed: it leads astray, or is none.
    Refused = 10,
    /// What came is not what its digest or its size says.
    Mismatch = 11,
    /// The artifact holds no skill, or one that cannot be unpacked safely.
    NoSkill = 12,
    /// `SKILL.md` does not follow the specification.
    InvalidSkill = 13,
    /// The skill cannot be written.
    Output = 14,
    /// None of the keys that may have signed the artifact did.
    Unsigned = 15,
}

/// Why a skill was not pulled.
#[derive(Debug, Error)]
pub enum Failure {
    /// A file that a flag or a variable names cannot be used.
    #[error("{0}")]
    Configuration(String),
    /// 401.
    #[error("{host} refused {what} (401): {why}")]
    Unauthorized {
        /// The registry.
        host: String,
        /// What was asked for.
        what: String,
        /// What is to be done about it.
        why: String,
    },
    /// 403.
    #[error("{host} forbids {what} (403); let the credentials, or everybody, read it")]
    Forbidden {
        /// The registry.
        host: String,
        /// What was asked for.
        what: String,
    },
    /// 404.
    #[error(
        "{host} has no {what} (404), or none that these credentials may see; check the reference"
    )]
    NotFound {
        /// The registry.
        host: String,
        /// What was asked for.
        what: String,
    },
    /// It could not be had, and trying again did not help or would take too long.
    #[error("{host} {problem}{}", Tried(*tries))]
    Unavailable {
        /// The host that failed.
        host: String,
        /// What it did.
        problem: String,
        /// How often it was tried.
        tries: u32,
    },
    /// 429.
    #[error("{host} allows no more requests for now (429){}; pull less often, or with credentials", Tried(*tries))]
    RateLimited {
        /// The host.
        host: String,
        /// How often it was tried.
        tries: u32,
    },
    /// The time limit is over.
    #[error("it was not there after {} s{}; if it is large, raise --timeout", limit.as_secs(), Before(last.as_deref()))]
    TimedOut {
        /// The limit.
        limit: Duration,
        /// What was tried again before, if anything was.
        last: Option<String>,
    },
    /// The certificate is not trusted.
    #[error(
        "the certificate of {host} is not trusted: {problem}; put its authority into a directory that SSL_CERT_DIR names"
    )]
    Certificate {
        /// The host.
        host: String,
        /// What rustls says.
        problem: String,
    },
    /// What the registry answers is not followed.
    #[error("{host} {what}")]
    Refused {
        /// The registry.
        host: String,
        /// What it did, and why that is refused.
        what: String,
    },
    /// The manifest is not followed.
    #[error(transparent)]
    Manifest(#[from] InvalidManifest),
    /// The artifact packs no skill.
    #[error(transparent)]
    Package(#[from] InvalidPackage),
    /// The layers are no skill, or are not unpacked.
    #[error(transparent)]
    Unpack(#[from] UnpackError),
    /// The skill cannot be put where it should be.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// What came is not what was named.
    #[error("{host} sent something else than {what} names: {how}")]
    Mismatch {
        /// The registry.
        host: String,
        /// The digest, or what else it was called.
        what: String,
        /// What differs.
        how: &'static str,
    },
    /// It is not signed as it must be.
    #[error("{digest} is refused: {why}")]
    Unsigned {
        /// What the reference stands for.
        digest: Digest,
        /// What is missing or wrong.
        why: String,
    },
    /// A layer that was downloaded cannot be kept.
    #[error("a downloaded layer cannot be kept in {:?}, which TMPDIR names: {}{}", .0, .1, advice(.1))]
    Temporary(PathBuf, io::Error),
    /// The program failed, not what it works with.
    #[error("the program failed while it unpacked: {0}; this is a bug")]
    Bug(String),
}

/// How often something was tried, if more than once.
struct Tried(u32);

impl Display for Tried {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 | 1 => Ok(()),
            tries => write!(formatter, ", tried {tries} times"),
        }
    }
}

/// What went wrong before, if anything did.
struct Before<'a>(Option<&'a str>);

impl Display for Before<'_> {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => Ok(()),
            Some(last) => write!(formatter, "; before that, {last}"),
        }
    }
}

impl Failure {
    /// The kind of failure.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Configuration(_) => Kind::Configuration,
            Self::Unauthorized { .. } => Kind::Unauthorized,
            Self::Forbidden { .. } => Kind::Forbidden,
            Self::NotFound { .. } => Kind::NotFound,
            Self::Unavailable { .. } => Kind::Unavailable,
            Self::RateLimited { .. } => Kind::RateLimited,
            Self::TimedOut { .. } => Kind::TimedOut,
            Self::Certificate { .. } => Kind::Certificate,
            Self::Refused { .. } | Self::Manifest(_) => Kind::Refused,
            Self::Mismatch { .. } => Kind::Mismatch,
            Self::Unsigned { .. } => Kind::Unsigned,
            Self::Unpack(UnpackError::SkillMd(_)) => Kind::InvalidSkill,
            Self::Unpack(UnpackError::File(_))
            | Self::Publish(_)
            | Self::Temporary(..)
            | Self::Bug(_) => Kind::Output,
            Self::Package(_) | Self::Unpack(_) => Kind::NoSkill,
        }
    }

    /// Says how often it was tried, where that is part of what is said.
    #[must_use]
    pub fn after(mut self, count: u32) -> Self {
        if let Self::Unavailable { tries, .. } | Self::RateLimited { tries, .. } = &mut self {
            *tries = count;
        }
        self
    }
}

impl Kind {
    /// All kinds, in the order of their codes.
    pub const ALL: &[Self] = Self::VARIANTS;

    /// The exit code.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        self as u8
    }
}
