//! Layers become a skill's directory.
//!
//! First all layers are read: the content of their files goes to numbered files, their names into a tree in memory.
//! Then the tree is judged: where in it the skill is, whether it is one, whether its links are harmless. Only then are
//! the numbered files given their places, and links are made at the very end, when nothing is written any more.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, BufReader, Read, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::Blob;
use super::archive::{Archive, ArchiveError, EntryKind, decompress};
use super::files::{FileError, failed};
use super::limits::{Budget, Limits, OverLimit};
use super::package::{Package, Reading};
use super::path::EntryPath;
use super::publish::{PARTIAL, Staging, make_directory};
use super::select::{NoSkill, select};
use super::skill_md::{self, InvalidSkillMd};
use super::tree::{Directory, InvalidTree, Node, Stored};
use crate::names::{Listed, Shown};
use crate::skill::SkillName;

/// What was unpacked.
#[derive(Debug, PartialEq, Eq)]
pub struct Unpacked {
    /// How many files the skill has.
    pub files: u32,
    /// How many bytes they have together.
    pub bytes: u64,
    /// What is unwise, and what was left out.
    pub warnings: Vec<Warning>,
}

/// What a person should know of a skill that was unpacked all the same.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Warning {
    /// Its `SKILL.md` is not what the specification says.
    #[error(transparent)]
    SkillMd(InvalidSkillMd),
    /// There was more beside the skill's directory.
    #[error("the skill is in {}; left out is what is beside it: {}", Shown(path), Listed(.names.iter().map(|name| Shown(name))))]
    Beside {
        /// Where the skill is.
        path: String,
        /// What is beside it.
        names: Vec<String>,
    },
    /// Layers without a title beside others with one.
    #[error("left out are layers without a title: {}", Listed(.0.iter().map(|kind| Shown(kind))))]
    Untitled(Vec<String>),
}

/// Why layers do not become a skill.
#[derive(Debug, Error)]
pub enum UnpackError {
    /// The file system, and not the skill.
    #[error(transparent)]
    File(#[from] FileError),
    /// A layer that was not handed over.
    #[error("layer {0} was not downloaded")]
    NoBlob(usize),
    /// An archive.
    #[error("layer {layer}: {error}")]
    Archive {
        /// Which layer it is, from 0.
        layer: usize,
        /// What is wrong with it.
        error: ArchiveError,
    },
    /// What layers hold together.
    #[error("layer {layer}: {error}")]
    Layer {
        /// Which layer shows it, from 0.
        layer: usize,
        /// What is wrong.
        error: InvalidTree,
    },
    /// A limit.
    #[error(transparent)]
    Limit(#[from] OverLimit),
    /// A link.
    #[error(transparent)]
    Link(InvalidTree),
    /// There is no skill.
    #[error(transparent)]
    NoSkill(#[from] NoSkill),
    /// A name that is needed for another purpose.
    #[error("the skill has {PARTIAL:?} at its root, which pulling needs for itself: rename it")]
    Reserved,
    /// `SKILL.md` is not what the specification says, and that was to be strictly so.
    #[error("{}", Listed(.0.iter()))]
    SkillMd(Vec<InvalidSkillMd>),
}

/// Builds the skill's directory from the layers that its package needs. It is complete when this returns, and appears
/// by [`Staging::publish`].
///
/// At most a few MiB are held in memory. `is_strict` makes errors of what is wrong in `SKILL.md`; that there is none is
/// one in any case.
///
/// # Errors
/// When the layers are no skill, are refused, or the file system fails.
pub fn unpack(
    package: &Package,
    blobs: &[Blob],
    skill: &SkillName,
    limits: Limits,
    is_strict: bool,
    staging: &Staging,
) -> Result<Unpacked, UnpackError> {
    let mut reader = Reader {
        budget: Budget::new(limits),
        store: Store {
            directory: staging.files(),
            stored: 0,
        },
    };
    let mut tree = Directory::default();
    for part in &package.parts {
        let blob = blobs.iter().find(|blob| blob.layer == part.layer);
        let blob = blob.ok_or(UnpackError::NoBlob(part.layer))?;
        reader.read(blob, &part.reading, &mut tree)?;
    }
    let selected = select(tree, skill)?;
    let directory = selected.directory;
    directory.check_links().map_err(UnpackError::Link)?;
    if directory.get(PARTIAL).is_some() {
        return Err(UnpackError::Reserved);
    }
    let problems = reader.store.check_skill_md(selected.skill_md, skill)?;
    if is_strict && !problems.is_empty() {
        return Err(UnpackError::SkillMd(problems));
    }
    let mut warnings = Vec::new();
    if !package.left_out.is_empty() {
        warnings.push(Warning::Untitled(package.left_out.clone()));
    }
    if !selected.left_out.is_empty() {
        warnings.push(Warning::Beside {
            path: selected.path,
            names: selected.left_out,
        });
    }
    warnings.extend(problems.into_iter().map(Warning::SkillMd));
    let mut unpacked = Unpacked {
        files: 0,
        bytes: 0,
        warnings,
    };
    reader
        .store
        .place(&directory, &staging.tree(), &mut unpacked)?;
    make_links(&directory, &staging.tree())?;
    Ok(unpacked)
}

/// Reads layers.
struct Reader {
    budget: Budget,
    store: Store,
}

/// Files under numbers.
struct Store {
    directory: PathBuf,
    stored: u32,
}

impl Reader {
    /// Reads a layer into the tree.
    fn read(
        &mut self,
        blob: &Blob,
        reading: &Reading,
        tree: &mut Directory,
    ) -> Result<(), UnpackError> {
        let layer = blob.layer;
        let in_layer = |error| UnpackError::Layer { layer, error };
        match reading {
            Reading::File(path) => {
                let node = self.file(blob)?;
                tree.insert(path, node, &mut self.budget).map_err(in_layer)
            }
            Reading::Archive => self.archive(blob, tree, Directory::insert),
            Reading::ImageLayer => {
                let mut above = Directory::default();
                self.archive(blob, &mut above, Directory::insert_in_layer)?;
                tree.overlay(above).map_err(in_layer)
            }
        }
    }

    /// A layer that is a file.
    fn file(&mut self, blob: &Blob) -> Result<Node, UnpackError> {
        let name = PathBuf::from(format!("layer {}", blob.layer));
        let mut source = from_start(blob).map_err(failed("read", &name))?;
        let size = blob.file.metadata().map_err(failed("read", &name))?.len();
        self.budget.take_entry()?;
        self.budget.take_bytes(size)?;
        let (id, mut file, path) = self.store.create(false)?;
        io::copy(&mut source, &mut file).map_err(failed("written", &path))?;
        Ok(Node::File(Stored { id, size }))
    }

    /// A layer that is an archive, whose entries are put into the tree by `insert`.
    fn archive(
        &mut self,
        blob: &Blob,
        tree: &mut Directory,
        insert: fn(&mut Directory, &EntryPath, Node, &mut Budget) -> Result<(), InvalidTree>,
    ) -> Result<(), UnpackError> {
        let layer = blob.layer;
        let name = PathBuf::from(format!("layer {layer}"));
        let in_archive = |error| UnpackError::Archive { layer, error };
        let source = from_start(blob)
            .and_then(decompress)
            .map_err(failed("read", &name))?;
        let mut archive = Archive::new(source);
        while let Some(entry) = archive.next(&mut self.budget).map_err(in_archive)? {
            let node = match entry.kind {
                EntryKind::Directory => Node::Directory(Directory::explicit()),
                EntryKind::Link(target) => Node::Link(target.into()),
                EntryKind::File { size, executable } => {
                    let (id, mut file, path) = self.store.create(executable)?;
                    loop {
                        let chunk = archive.chunk().map_err(in_archive)?;
                        if chunk.is_empty() {
                            break;
                        }
                        file.write_all(chunk).map_err(failed("written", &path))?;
                    }
                    Node::File(Stored { id, size })
                }
            };
            insert(tree, &entry.path, node, &mut self.budget)
                .map_err(|error| UnpackError::Layer { layer, error })?;
        }
        Ok(())
    }
}

impl Store {
    /// A new file that everybody can read: its number, itself, where it is.
    fn create(&mut self, is_executable: bool) -> Result<(u32, File, PathBuf), FileError> {
        let id = self.stored;
        self.stored += 1;
        let path = self.path(id);
        let file = OpenOptions::new().write(true).create_new(true).open(&path);
        let file = file.map_err(failed("made", &path))?;
        let mode = if is_executable { 0o755 } else { 0o644 };
        file.set_permissions(Permissions::from_mode(mode))
            .map_err(failed("made readable", &path))?;
        Ok((id, file, path))
    }

    fn path(&self, id: u32) -> PathBuf {
        self.directory.join(id.to_string())
    }

    /// What is wrong with the skill's `SKILL.md`.
    fn check_skill_md(
        &self,
        stored: Stored,
        skill: &SkillName,
    ) -> Result<Vec<InvalidSkillMd>, FileError> {
        let path = self.path(stored.id);
        let mut content = Vec::new();
        File::open(&path)
            .and_then(|file| {
                file.take(skill_md::READ_MAX as u64)
                    .read_to_end(&mut content)
            })
            .map_err(failed("read", &path))?;
        Ok(skill_md::check(&content, skill))
    }

    /// Moves the files of a directory to their places below `at`, which is an empty directory.
    fn place(
        &self,
        directory: &Directory,
        at: &Path,
        unpacked: &mut Unpacked,
    ) -> Result<(), FileError> {
        for (name, node) in directory.children() {
            let path = at.join(name);
            match node {
                Node::Directory(directory) => {
                    make_directory(&path)?;
                    self.place(directory, &path, unpacked)?;
                }
                Node::File(stored) => {
                    fs::rename(self.path(stored.id), &path).map_err(failed("written", &path))?;
                    unpacked.files += 1;
                    unpacked.bytes += stored.size;
                }
                Node::Link(_) => {}
            }
        }
        Ok(())
    }
}

/// Makes the links of a directory, once everything else is in its place.
fn make_links(directory: &Directory, at: &Path) -> Result<(), FileError> {
    for (name, node) in directory.children() {
        let path = at.join(name);
        match node {
            Node::Directory(directory) => make_links(directory, &path)?,
            Node::File(_) => {}
            Node::Link(target) => {
                symlink(&**target, &path).map_err(failed("made", &path))?;
            }
        }
    }
    Ok(())
}

/// The layer's content, from its start.
fn from_start(blob: &Blob) -> io::Result<BufReader<&File>> {
    io::Seek::rewind(&mut &blob.file)?;
    Ok(BufReader::with_capacity(64 << 10, &blob.file))
}
