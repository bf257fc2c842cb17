//! The puller: skills from OCI registries into directories.
//!
//! | | |
//! |---|---|
//! | [`manifest`], [`digest`] | what a registry says of an artifact, read strictly |

pub mod digest;
pub mod manifest;

use std::fs::File;

/// A layer that was downloaded, in full and as its digest says.
#[derive(Debug)]
pub struct Blob {
    /// Which of the manifest's layers it is.
    pub layer: usize,
    /// What it holds, to be read from the start. The file has no name and is gone when this is dropped.
    pub file: File,
}
