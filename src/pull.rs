//! The puller: skills from OCI registries into directories.
//!
//! | | |
//! |---|---|
//! | [`manifest`], [`digest`] | what a registry says of an artifact, read strictly |
//! | [`package`] | which layers are needed, and how each is to be read |
//! | [`archive`], [`path`], [`limits`] | tar archives, read strictly |
//! | [`tree`], [`select`], [`skill_md`] | what the layers hold together, where in it the skill is, whether it is one |
//! | [`unpack`], [`publish`], [`files`] | the skill's directory, which appears whole or not at all |

pub mod archive;
pub mod digest;
pub mod files;
pub mod limits;
pub mod manifest;
pub mod package;
pub mod path;
pub mod publish;
pub mod select;
pub mod skill_md;
pub mod tree;
pub mod unpack;

use std::fs::File;

/// A layer that was downloaded, in full and as its digest says.
#[derive(Debug)]
pub struct Blob {
    /// Which of the manifest's layers it is.
    pub layer: usize,
    /// What it holds, to be read from the start. The file has no name and is gone when this is dropped.
    pub file: File,
}
