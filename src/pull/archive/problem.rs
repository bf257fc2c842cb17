//! Why an archive is refused.

use std::fmt::{self, Display, Formatter};
use std::io;

use strum::IntoStaticStr;
use thiserror::Error;

use super::{EXTENSION_MAX, TARGET_MAX};
use crate::names::Shown;
use crate::pull::limits::OverLimit;
use crate::pull::path::InvalidPath;

/// What is wrong with an archive, and where.
#[derive(Debug, Error)]
pub struct ArchiveError {
    /// How many bytes of the archive, decompressed, stand before the header.
    pub at: u64,
    /// The entry's name, where it is known.
    pub name: Option<String>,
    /// What is wrong.
    #[source]
    pub problem: Problem,
}

impl Display for ArchiveError {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let Self { at, name, problem } = self;
        match name {
            Some(name) => write!(formatter, "entry {}: {problem}", Shown(name)),
            None => write!(formatter, "at byte {at}: {problem}"),
        }
    }
}

/// What can be wrong with an archive.
#[derive(Debug, Error, IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub enum Problem {
    /// It cannot be read or decompressed.
    #[error("it cannot be read: {0}")]
    Read(#[from] io::Error),
    /// It has no bytes.
    #[error("the archive is empty")]
    Empty,
    /// It ends too early.
    #[error("the archive ends in the middle")]
    Truncated,
    /// A limit.
    #[error(transparent)]
    Limit(#[from] OverLimit),
    /// A path.
    #[error(transparent)]
    Path(#[from] InvalidPath),
    /// No magic number of a known format.
    #[error("this is no tar header of POSIX or GNU tar; pack it anew with a current tar or oras")]
    Format,
    /// The checksum is another.
    #[error("the checksum of the header is wrong")]
    Checksum,
    /// A field that is no number, or one that readers read differently.
    #[error("the header's field {0} is no number")]
    Number(&'static str),
    /// Something behind the end of a text, or where nothing belongs.
    #[error("the header's field {0} has more in it than a text")]
    Text(&'static str),
    /// A hard link.
    #[error("it is a hard link; pack files as files (GNU tar: --hard-dereference)")]
    HardLink,
    /// A device.
    #[error("it is a device")]
    Device,
    /// A FIFO.
    #[error("it is a FIFO")]
    Fifo,
    /// A sparse file.
    #[error("it is a sparse file; pack it without --sparse")]
    Sparse,
    /// Another type.
    #[error("it is of the type {:?}, which no skill has a use for", char::from(*.0))]
    Type(u8),
    /// A directory or link with content.
    #[error("it has content and is no file")]
    UnexpectedContent,
    /// A file or directory with a target.
    #[error("it names a target and is no link")]
    UnexpectedLink,
    /// A link without a target.
    #[error("it is a link to nothing")]
    EmptyLink,
    /// A link with a long target.
    #[error("it is a link with a target of more than {TARGET_MAX} bytes")]
    LinkTooLong,
    /// A file or link whose name ends with a slash, or is the root.
    #[error("it is named as a directory and is none")]
    NamedAsDirectory,
    /// The header and its extension give two sizes.
    #[error("the header and its PAX extension give different sizes")]
    SizesDisagree,
    /// A malformed extended header.
    #[error("a PAX header is malformed")]
    Pax,
    /// A record that may not be there, or not so.
    #[error("the PAX record {} is not read here", Shown(.0))]
    PaxRecord(String),
    /// An extended header, or a long name, twice.
    #[error("it is described by more than one extended header")]
    ExtensionTwice,
    /// An extended header, and no entry.
    #[error("an extended header describes nothing")]
    ExtensionOfNothing,
    /// An extended header that is too long.
    #[error("an extended header has more than {EXTENSION_MAX} bytes")]
    ExtensionTooLong,
    /// One block of zeros, and then more.
    #[error("there is a block of zeros in the middle of the archive")]
    LoneZeroBlock,
    /// Something after the end.
    #[error("there is more data after the end of the archive")]
    TrailingData,
}

impl Problem {
    /// A word for it, the same for all archives that have it.
    #[must_use]
    pub fn word(&self) -> &'static str {
        self.into()
    }
}
