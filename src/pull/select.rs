//! Where in what was unpacked the skill is.

use thiserror::Error;

use super::tree::{Directory, Node, Stored};
use crate::names::{Listed, Shown};
use crate::skill::SkillName;

/// What makes a directory a skill.
pub const SKILL_MD: &str = "SKILL.md";

/// How far down a skill is looked for: `NAME/` and `skills/NAME/`.
const DEPTH: usize = 2;

/// A skill's directory.
#[derive(Debug, PartialEq, Eq)]
pub struct Selected {
    /// What is in it.
    pub directory: Directory,
    /// Its `SKILL.md`.
    pub skill_md: Stored,
    /// Where it was.
    pub path: String,
    /// What was beside it and is left out, where it is not another skill.
    pub left_out: Vec<String>,
}

/// Why there is no skill.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum NoSkill {
    /// No `SKILL.md`.
    #[error(
        "there is no SKILL.md at the root or in a directory below it{}; push the skill with `oras push REF .` from inside its directory",
        found(.0)
    )]
    Missing(Vec<String>),
    /// Several skills, and none that is this one.
    #[error("there are several skills, {}, and none of them is {skill}", Listed(.found.iter().map(|path| Shown(path))))]
    NotAmong {
        /// The skill's name.
        skill: String,
        /// Where skills are.
        found: Vec<String>,
    },
    /// Several skills that are this one.
    #[error("there are several skills of this name: {}", Listed(.0.iter().map(|path| Shown(path))))]
    Ambiguous(Vec<String>),
}

/// Finds the skill: the root, if it holds `SKILL.md`; the only directory that does; or of several the one with the
/// skill's name.
///
/// # Errors
/// When there is none, or it is not clear which.
pub fn select(mut tree: Directory, skill: &SkillName) -> Result<Selected, NoSkill> {
    if let Some(skill_md) = skill_md(&tree) {
        return Ok(Selected {
            directory: tree,
            skill_md,
            path: ".".to_owned(),
            left_out: Vec::new(),
        });
    }
    let mut found = Vec::new();
    find(&tree, "", DEPTH, &mut found);
    let named = |path: &&String| path.rsplit('/').next() == Some(skill.as_str());
    let (path, is_only) = match found.as_slice() {
        [] => return Err(NoSkill::Missing(names(&tree))),
        [only] => (only.clone(), true),
        several => match several.iter().filter(named).collect::<Vec<_>>().as_slice() {
            [one] => ((*one).clone(), false),
            [] => {
                let skill = skill.to_string();
                return Err(NoSkill::NotAmong { skill, found });
            }
            same => {
                return Err(NoSkill::Ambiguous(
                    same.iter().map(|&path| path.clone()).collect(),
                ));
            }
        },
    };
    let mut left_out = Vec::new();
    let mut here = String::new();
    for name in path.split('/') {
        let beside = tree
            .children()
            .map(|(name, _)| name)
            .filter(|&other| other != name);
        left_out.extend(beside.map(|other| format!("{here}{other}")));
        here = format!("{here}{name}/");
        tree = tree.take_directory(name).unwrap_or_default();
    }
    if !is_only {
        left_out.clear();
    }
    let skill_md = skill_md(&tree).ok_or_else(|| NoSkill::Missing(names(&tree)))?;
    Ok(Selected {
        directory: tree,
        skill_md,
        path,
        left_out,
    })
}

/// The `SKILL.md` of a directory. A link is none: what is checked must be what is read.
fn skill_md(directory: &Directory) -> Option<Stored> {
    match directory.get(SKILL_MD) {
        Some(Node::File(stored)) => Some(*stored),
        _ => None,
    }
}

fn find(directory: &Directory, here: &str, depth: usize, found: &mut Vec<String>) {
    for (name, node) in directory.children() {
        match node {
            Node::Directory(below) if skill_md(below).is_some() => {
                found.push(format!("{here}{name}"));
            }
            Node::Directory(below) if depth > 1 => {
                find(below, &format!("{here}{name}/"), depth - 1, found);
            }
            _ => {}
        }
    }
}

fn names(directory: &Directory) -> Vec<String> {
    directory
        .children()
        .map(|(name, _)| name.to_owned())
        .collect()
}

/// What is there instead, as a part of a sentence.
fn found(names: &[String]) -> String {
    if names.is_empty() {
        ", and nothing else".to_owned()
    } else {
        format!(", but {}", Listed(names.iter().map(|name| Shown(name))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pull::limits::{Budget, Limits};
    use crate::pull::path::EntryPath;

    fn tree(paths: &[&str]) -> Directory {
        let mut tree = Directory::default();
        for path in paths {
            let node = match path.strip_suffix('@') {
                Some(_) => Node::Link("x".into()),
                None => Node::File(Stored { id: 0, size: 0 }),
            };
            let path = EntryPath::parse(path.trim_end_matches('@').as_bytes()).unwrap();
            tree.insert(&path, node, &mut Budget::new(Limits::default()))
                .unwrap();
        }
        tree
    }

    fn found(paths: &[&str]) -> Result<(String, Vec<String>), NoSkill> {
        let skill = SkillName::parse("web").unwrap();
        let selected = select(tree(paths), &skill)?;
        assert_eq!(skill_md(&selected.directory), Some(selected.skill_md));
        Ok((selected.path, selected.left_out))
    }

    #[test]
    fn the_root_is_the_skill_where_it_holds_skill_md() {
        let at_root = Ok((".".to_owned(), vec![]));
        assert_eq!(found(&["SKILL.md"]), at_root);
        assert_eq!(found(&["SKILL.md", "web/SKILL.md"]), at_root);
    }

    #[test]
    fn the_only_directory_that_holds_skill_md_is_the_skill() {
        assert_eq!(
            found(&["my-skill/SKILL.md", "my-skill/a/b"]),
            Ok(("my-skill".into(), vec![]))
        );
        assert_eq!(
            found(&["skills/web/SKILL.md"]),
            Ok(("skills/web".into(), vec![]))
        );
        assert_eq!(
            found(&["x/SKILL.md", "y/z", "README.md"]),
            Ok(("x".into(), vec!["README.md".into(), "y".into()]))
        );
        assert_eq!(
            found(&["skills/x/SKILL.md", "skills/README.md", "z"]),
            Ok((
                "skills/x".into(),
                vec!["z".into(), "skills/README.md".into()]
            ))
        );
        assert_eq!(
            found(&["x/SKILL.md", "x/inner/SKILL.md"]),
            Ok(("x".into(), vec![]))
        );
    }

    #[test]
    fn of_several_skills_the_one_with_the_name_is_taken() {
        assert_eq!(
            found(&["web/SKILL.md", "other/SKILL.md"]),
            Ok(("web".into(), vec![]))
        );
        assert_eq!(
            found(&["skills/web/SKILL.md", "skills/other/SKILL.md"]),
            Ok(("skills/web".into(), vec![]))
        );
        assert!(matches!(
            found(&["a/SKILL.md", "b/SKILL.md"]),
            Err(NoSkill::NotAmong { .. })
        ));
        assert!(matches!(
            found(&["a/web/SKILL.md", "b/web/SKILL.md"]),
            Err(NoSkill::Ambiguous(_))
        ));
    }

    #[test]
    fn without_skill_md_there_is_no_skill() {
        for paths in [
            &[][..],
            &["README.md"],
            &["skill.md"],
            &["Skill.md"],
            &["SKILL.md@"],
            &["SKILL.md/x"],
            &["a/b/c/SKILL.md"],
        ] {
            assert!(
                matches!(found(paths), Err(NoSkill::Missing(_))),
                "{paths:?}"
            );
        }
        let problem = found(&["skill.md", "a/b"]).unwrap_err().to_string();
        assert!(
            problem.contains(r#"but "a" and "skill.md"; push"#),
            "{problem}"
        );
    }
}
