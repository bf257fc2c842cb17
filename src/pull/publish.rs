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

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;
    use tempfile::TempDir;

    fn skill() -> SkillName {
        SkillName::parse("web").unwrap()
    }

    /// A staging that holds a skill of this version.
    fn staged(output: &Path, version: &str) -> Staging {
        let staging = Staging::prepare(output, &skill()).unwrap();
        let tree = staging.tree();
        for name in ["a.md", "SKILL.md", &format!("only-{version}.md"), "z.md"] {
            fs::write(tree.join(name), version).unwrap();
        }
        make_directory(&tree.join("docs")).unwrap();
        fs::write(tree.join("docs/x.md"), version).unwrap();
        symlink("SKILL.md", tree.join("AGENTS.md")).unwrap();
        staging
    }

    /// A directory for skills; with the skill's own directory in it, as the mount point of a volume is.
    fn output(is_mounted: bool) -> TempDir {
        let output = tempfile::tempdir().unwrap();
        if is_mounted {
            fs::create_dir(output.path().join("web")).unwrap();
        }
        output
    }

    /// The names in the skill's directory, with the version that each file is of.
    fn listed(output: &Path) -> Vec<String> {
        let show = |path: &PathBuf| {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            let file = if path.is_dir() {
                path.join("x.md")
            } else {
                path.clone()
            };
            format!("{name} {}", fs::read_to_string(file).unwrap())
        };
        entries(&output.join("web"))
            .unwrap()
            .iter()
            .map(show)
            .collect()
    }

    fn expected(version: &str) -> Vec<String> {
        let only = format!("only-{version}.md");
        ["AGENTS.md", "SKILL.md", "a.md", "docs", &only, "z.md"]
            .map(|name| format!("{name} {version}"))
            .to_vec()
    }

    #[test]
    fn a_skill_appears_and_nothing_else_is_left() {
        for is_mounted in [false, true] {
            let output = output(is_mounted);
            let path = staged(output.path(), "1").publish().unwrap();
            assert_eq!(path, output.path().join("web"));
            assert_eq!(listed(output.path()), expected("1"));
            assert_eq!(fs::read_dir(output.path()).unwrap().count(), 1);
            let mode = fs::metadata(&path).unwrap().permissions().mode();
            assert!(is_mounted || mode & 0o777 == 0o755);
            staged(output.path(), "2").publish().unwrap();
            assert_eq!(listed(output.path()), expected("2"));
            assert_eq!(fs::read_dir(output.path()).unwrap().count(), 1);
        }
    }

    /// Lets a run of version 2 end after so many steps, as if it were killed; says whether it had ended by itself.
    fn killed_after(steps: usize, output: &Path) -> bool {
        let staging = staged(output, "2");
        let mut left = staging.steps().unwrap().into_iter();
        for step in left.by_ref().take(steps) {
            step.run().unwrap();
        }
        let is_whole = left.next().is_none();
        std::mem::forget(staging);
        is_whole
    }

    #[test]
    fn a_run_that_is_killed_at_any_step_leaves_a_whole_skill_or_none_and_the_next_one_gives_the_same()
     {
        for (is_mounted, before) in [
            (false, None),
            (true, None),
            (false, Some("1")),
            (true, Some("1")),
        ] {
            for steps in 0.. {
                let output = output(is_mounted);
                if let Some(version) = before {
                    staged(output.path(), version).publish().unwrap();
                }
                let is_whole = killed_after(steps, output.path());
                let skill_md = fs::read_to_string(output.path().join("web/SKILL.md")).ok();
                if let Some(version) = &skill_md {
                    let found = listed_without_partial(output.path());
                    assert_eq!(found, expected(version), "{is_mounted} {before:?} {steps}");
                }
                assert!(!is_whole || skill_md.as_deref() == Some("2"));
                // Again, and again killed, and then not.
                killed_after(steps / 2, output.path());
                staged(output.path(), "3").publish().unwrap();
                assert_eq!(
                    listed(output.path()),
                    expected("3"),
                    "{is_mounted} {before:?} {steps}"
                );
                assert_eq!(fs::read_dir(output.path()).unwrap().count(), 1);
                if is_whole {
                    assert!(steps >= 2);
                    break;
                }
            }
        }
    }

    fn listed_without_partial(output: &Path) -> Vec<String> {
        let partial = output.join("web").join(PARTIAL);
        let aside = output.join("aside");
        let is_there = partial.exists();
        if is_there {
            fs::rename(&partial, &aside).unwrap();
        }
        let found = listed(output);
        if is_there {
            fs::rename(&aside, &partial).unwrap();
        }
        found
    }

    #[test]
    fn a_run_that_is_killed_while_it_unpacks_leaves_nothing_that_stays() {
        for is_mounted in [false, true] {
            let output = output(is_mounted);
            let staging = Staging::prepare(output.path(), &skill()).unwrap();
            fs::write(staging.files().join("0"), "half").unwrap();
            fs::write(staging.tree().join("stale.md"), "half").unwrap();
            std::mem::forget(staging);
            staged(output.path(), "1").publish().unwrap();
            assert_eq!(listed(output.path()), expected("1"));
            assert_eq!(fs::read_dir(output.path()).unwrap().count(), 1);
        }
    }

    #[test]
    fn what_is_given_up_is_removed() {
        for is_mounted in [false, true] {
            let output = output(is_mounted);
            drop(staged(output.path(), "1"));
            let left = fs::read_dir(output.path()).unwrap().count();
            assert_eq!(left, usize::from(is_mounted));
            assert!(!is_mounted || listed(output.path()).is_empty());
        }
    }

    #[test]
    fn what_is_not_ours_is_not_replaced() {
        let output = output(true);
        let web = output.path().join("web");
        fs::write(web.join("thesis.doc"), "precious").unwrap();
        let refused = Staging::prepare(output.path(), &skill());
        assert!(matches!(refused, Err(PublishError::NoSkill(_))));
        fs::remove_dir_all(&web).unwrap();
        symlink("/", &web).unwrap();
        let refused = Staging::prepare(output.path(), &skill());
        assert!(matches!(refused, Err(PublishError::NoDirectory(_))));
    }

    #[test]
    fn links_of_a_former_skill_are_removed_and_not_followed() {
        let output = output(true);
        let elsewhere = tempfile::tempdir().unwrap();
        fs::write(elsewhere.path().join("precious"), "kept").unwrap();
        let web = output.path().join("web");
        fs::write(web.join("SKILL.md"), "1").unwrap();
        symlink(elsewhere.path(), web.join("docs")).unwrap();
        staged(output.path(), "2").publish().unwrap();
        assert_eq!(listed(output.path()), expected("2"));
        assert!(elsewhere.path().join("precious").exists());
    }
}
