//! What fails with files, said with the path and what was to be done.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use thiserror::Error;

/// A file or directory with which something failed.
#[derive(Debug, Error)]
#[error("{path:?} cannot be {action}: {source}{}", advice(source))]
pub struct FileError {
    /// Which.
    pub path: PathBuf,
    /// What was to be done, as in "cannot be written".
    pub action: &'static str,
    /// Why it failed.
    pub source: io::Error,
}

/// What to do about a disk that takes nothing, to stand behind what is wrong with it.
pub(super) fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "; make room there",
        ErrorKind::ReadOnlyFilesystem => "; make it writable, or choose another place",
        _ => "",
    }
}

/// Says of an error what was to be done with what.
pub(super) fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FileError {
    let path = path.to_path_buf();
    move |source| FileError {
        path,
        action,
        source,
    }
}
