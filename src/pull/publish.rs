//! A skill's directory appears whole or not at all.
//!
//! It is built in a directory of its own on the same file system. Where `DIR/NAME` does not exist, that is
//! `DIR/.NAME.partial`, and one rename makes the skill appear. Where it exists, as the mount point of a volume does,
//! nothing can be renamed onto it: then it is `DIR/NAME/.partial`, from which everything is moved up with `SKILL.md` as
//! the very last. A directory without `SKILL.md` is no skill, and one with it is complete.
//!
//! Whatever moment a run is interrupted at, the next one begins by removing what it left.

use std::ffi::OsStr;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::files::{FileError, failed};
use super::select::SKILL_MD;
use crate::skill::SkillName;

/// The directory in which a skill is built, where its own directory exists. No skill may have a file of this name at
/// its root.
pub const PARTIAL: &str = ".partial";

/// Where a skill is built, and where it goes. What is built is removed when this is dropped.
#[derive(Debug)]
pub struct Staging {
    /// `DIR/NAME`.
    target: PathBuf,
    /// Where it is built.
    work: PathBuf,
    /// Whether `target` exists and stays.
    is_in_place: bool,
}

/// Why a skill cannot be put where it should be.
#[derive(Debug, Error)]
pub enum PublishError {
    /// The file system.
    #[error(transparent)]
    File(#[from] FileError),
    /// Something is in the way.
    #[error("{0:?} is no directory: remove it, or write to another directory")]
    NoDirectory(PathBuf),
    /// A directory of somebody else's.
    #[error("{0:?} is not empty and is no skill: remove it, or write to another directory")]
    NoSkill(PathBuf),
}

/// One step of publishing. Between any two a run may end.
#[derive(Debug)]
enum Step {
    Remove(PathBuf),
    Rename { from: PathBuf, to: PathBuf },
}

impl Staging {
    /// Makes the directories in which the skill is built below `output`, and removes what an interrupted run left.
    ///
    /// # Errors
    /// When that fails, or something that is no skill stands in its place.
    pub fn prepare(output: &Path, skill: &SkillName) -> Result<Self, PublishError> {
        fs::create_dir_all(output).map_err(failed("made", output))?;
        let target = output.join(skill.as_str());
        let beside = output.join(format!(".{skill}{PARTIAL}"));
        let is_in_place = match fs::symlink_metadata(&target) {
            Ok(metadata) if metadata.is_dir() => true,
            Ok(_) => return Err(PublishError::NoDirectory(target)),
            Err(error) if error.kind() == ErrorKind::NotFound => false,
            Err(error) => return Err(failed("looked at", &target)(error).into()),
        };
        let within = target.join(PARTIAL);
        if is_in_place {
            check_is_ours(&target)?;
            remove(&beside)?;
        }
        let work = if is_in_place { within } else { beside };
        let staging = Self {
            target,
            work,
            is_in_place,
        };
        staging.begin()?;
        Ok(staging)
    }

    /// Where files are kept under numbers until their places are known.
    #[must_use]
    pub fn files(&self) -> PathBuf {
        self.work.join("files")
    }

    /// Where the skill's directory is built.
    #[must_use]
    pub fn tree(&self) -> PathBuf {
        self.work.join("tree")
    }

    /// Makes the skill appear, and removes all else: its directory.
    ///
    /// # Errors
    /// When a step fails. The skill is not there then.
    pub fn publish(self) -> Result<PathBuf, PublishError> {
        for step in self.steps()? {
            step.run()?;
        }
        Ok(self.target.clone())
    }

    /// Makes the directories. The outer one stays where it is there already: it is what says that the directory
    /// around it is ours.
    fn begin(&self) -> Result<(), FileError> {
        match fs::create_dir(&self.work) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                for entry in entries(&self.work)? {
                    remove(&entry)?;
                }
            }
            other => other.map_err(failed("made", &self.work))?,
        }
        for directory in [self.files(), self.tree()] {
            make_directory(&directory)?;
        }
        Ok(())
    }

    fn steps(&self) -> Result<Vec<Step>, FileError> {
        let (tree, target) = (self.tree(), &self.target);
        let mut steps = Vec::new();
        if self.is_in_place {
            let skill_md = target.join(SKILL_MD);
            let stale = entries(target)?
                .into_iter()
                .filter(|entry| *entry != self.work && *entry != skill_md);
            steps.push(Step::Remove(skill_md.clone()));
            steps.extend(stale.map(Step::Remove));
            let to = |from: &Path| target.join(from.file_name().unwrap_or_default());
            let mut fresh = entries(&tree)?;
            fresh.sort_by_key(|from| from.file_name() == Some(OsStr::new(SKILL_MD)));
            steps.extend(fresh.into_iter().map(|from| Step::Rename {
                to: to(&from),
                from,
            }));
        } else {
            steps.push(Step::Rename {
                from: tree,
                to: target.clone(),
            });
        }
        steps.push(Step::Remove(self.work.clone()));
        Ok(steps)
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // The next run removes what cannot be removed now.
        let _ = remove(&self.work);
    }
}

impl Step {
    fn run(self) -> Result<(), FileError> {
        match self {
            Self::Remove(path) => remove(&path),
            Self::Rename { from, to } => fs::rename(&from, &to).map_err(failed("written", &to)),
        }
    }
}

/// Makes a directory that everybody can read.
pub(super) fn make_directory(path: &Path) -> Result<(), FileError> {
    fs::create_dir(path).map_err(failed("made", path))?;
    let everybody = fs::Permissions::from_mode(0o755);
    fs::set_permissions(path, everybody).map_err(failed("made readable", path))
}

/// That a directory is empty, a skill, or what an interrupted run left.
fn check_is_ours(target: &Path) -> Result<(), PublishError> {
    let entries = entries(target)?;
    let is_known = |name: &str| {
        let path = target.join(name);
        entries.contains(&path)
    };
    if entries.is_empty() || is_known(SKILL_MD) || is_known(PARTIAL) {
        Ok(())
    } else {
        Err(PublishError::NoSkill(target.to_path_buf()))
    }
}

/// What is in a directory, in the order of the names.
fn entries(directory: &Path) -> Result<Vec<PathBuf>, FileError> {
    let read = || {
        let mut paths = fs::read_dir(directory)?
            .map(|entry| Ok(entry?.path()))
            .collect::<Result<Vec<_>, std::io::Error>>()?;
        paths.sort();
        Ok(paths)
    };
    read().map_err(failed("listed", directory))
}

/// Removes whatever is there, if there is anything, and no more: links are not followed.
fn remove(path: &Path) -> Result<(), FileError> {
    let result = match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match result {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => other.map_err(failed("removed", path)),
    }
}
