//! What packages hold, as a tree in memory, with the files' content kept elsewhere under numbers.
//!
//! Nothing that a package calls a file touches the file system before the whole tree is known and judged. So there is
//! no order of entries, and no link, through which anything could be written elsewhere.

mod image;
mod links;

use std::collections::BTreeMap;

use strum::IntoStaticStr;
use thiserror::Error;

use super::limits::{Budget, OverLimit};
use super::path::EntryPath;
use crate::names::Shown;

/// A directory and all that is below it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Directory {
    /// By name, in lower case: names that differ in nothing else would be one file on many a machine.
    children: BTreeMap<Box<str>, Child>,
    /// Whether an entry said that it is there, rather than one below it.
    is_explicit: bool,
    /// What a layer of an image removes from the layers below it.
    removed: image::Removed,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Child {
    name: Box<str>,
    node: Node,
}

/// What has a name in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    /// A directory.
    Directory(Directory),
    /// A file.
    File(Stored),
    /// A symbolic link with its target.
    Link(Box<str>),
}

/// A file's content, and where it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The number that it is kept under.
    pub id: u32,
    /// Its length in bytes.
    pub size: u64,
}

/// Why a tree is refused.
#[derive(Clone, Debug, Error, IntoStaticStr, PartialEq, Eq)]
#[strum(serialize_all = "kebab-case")]
pub enum InvalidTree {
    /// The same path twice.
    #[error("{} is there twice", Shown(.0))]
    Duplicate(String),
    /// Two names that are one where case is not told apart.
    #[error("{} and {} differ in upper and lower case only", Shown(.0), Shown(.1))]
    Case(String, String),
    /// Something below what is no directory.
    #[error("{} is below a file or a link", Shown(.0))]
    NoDirectory(String),
    /// Too many directories.
    #[error(transparent)]
    Limit(#[from] OverLimit),
    /// A name that only a layer of an image may have, and only with a meaning that is known.
    #[error("{} is no whiteout that is known", Shown(.0))]
    Whiteout(String),
    /// A link with a target that is absolute, leads out of the skill or takes a way round.
    #[error(
        "the link {} has the target {}, which is no plain relative path within the skill",
        Shown(.0),
        Shown(.1)
    )]
    LinkTarget(String, String),
    /// A link to anything but a file.
    #[error("the link {} has the target {}, which is no file of the skill", Shown(.0), Shown(.1))]
    LinkToNoFile(String, String),
}

impl Directory {
    /// Puts a node where the path says, and the directories that it needs.
    ///
    /// # Errors
    /// When something is there already, but for a directory in the place of another; when a part of the path is no
    /// directory; when the budget does not suffice for the directories.
    pub fn insert(
        &mut self,
        path: &EntryPath,
        node: Node,
        budget: &mut Budget,
    ) -> Result<(), InvalidTree> {
        let Some((parent, name)) = path.split_last() else {
            self.is_explicit = true;
            return match node {
                Node::Directory(_) => Ok(()),
                _ => Err(InvalidTree::Duplicate(path.to_string())),
            };
        };
        let mut directory = self;
        for name in parent.split('/').filter(|name| !name.is_empty()) {
            directory = directory.enter(name, path, budget)?;
        }
        let is_directory = matches!(node, Node::Directory(_));
        match directory.get_mut(name)? {
            Some(Node::Directory(there)) if is_directory => there.is_explicit = true,
            Some(_) => return Err(InvalidTree::Duplicate(path.to_string())),
            None => directory.put(name, node),
        }
        Ok(())
    }

    /// What has this name in it.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Node> {
        let child = self.children.get(&*key(name))?;
        (*child.name == *name).then_some(&child.node)
    }

    /// Takes a directory out of this one.
    pub fn take_directory(&mut self, name: &str) -> Option<Self> {
        match self.children.remove(&*key(name))?.node {
            Node::Directory(directory) => Some(directory),
            _ => None,
        }
    }

    /// The names in it and what they stand for.
    pub fn children(&self) -> impl Iterator<Item = (&str, &Node)> + Clone {
        self.children
            .values()
            .map(|child| (&*child.name, &child.node))
    }

    /// A directory that an entry named.
    #[must_use]
    pub fn explicit() -> Self {
        Self {
            is_explicit: true,
            ..Self::default()
        }
    }

    /// The directory of this name, made where it is not there.
    fn enter(
        &mut self,
        name: &str,
        path: &EntryPath,
        budget: &mut Budget,
    ) -> Result<&mut Self, InvalidTree> {
        if self.get_mut(name)?.is_none() {
            budget.take_entry()?;
            self.put(name, Node::Directory(Self::default()));
        }
        match self.get_mut(name)? {
            Some(Node::Directory(directory)) => Ok(directory),
            _ => Err(InvalidTree::NoDirectory(path.to_string())),
        }
    }

    fn get_mut(&mut self, name: &str) -> Result<Option<&mut Node>, InvalidTree> {
        match self.children.get_mut(&*key(name)) {
            None => Ok(None),
            Some(child) if *child.name == *name => Ok(Some(&mut child.node)),
            Some(child) => Err(InvalidTree::Case(child.name.to_string(), name.to_owned())),
        }
    }

    fn put(&mut self, name: &str, node: Node) {
        let child = Child {
            name: name.into(),
            node,
        };
        self.children.insert(key(name), child);
    }
}

fn key(name: &str) -> Box<str> {
    name.to_lowercase().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pull::limits::Limits;

    fn path(path: &str) -> EntryPath {
        EntryPath::parse(path.as_bytes()).unwrap()
    }

    fn insert(tree: &mut Directory, at: &str, node: Node) -> Result<(), InvalidTree> {
        tree.insert(&path(at), node, &mut Budget::new(Limits::default()))
    }

    fn file() -> Node {
        Node::File(Stored { id: 0, size: 0 })
    }

    fn directory() -> Node {
        Node::Directory(Directory::explicit())
    }

    #[test]
    fn directories_come_before_or_after_what_they_hold_or_not_at_all() {
        let mut before = Directory::default();
        insert(&mut before, ".", directory()).unwrap();
        insert(&mut before, "a", directory()).unwrap();
        insert(&mut before, "a/b", file()).unwrap();
        insert(&mut before, "a", directory()).unwrap();
        let mut after = Directory::default();
        insert(&mut after, "a/b", file()).unwrap();
        insert(&mut after, "a", directory()).unwrap();
        insert(&mut after, ".", directory()).unwrap();
        assert_eq!(before, after);
        let mut never = Directory::default();
        insert(&mut never, "a/b", file()).unwrap();
        let Some(Node::Directory(a)) = never.get("a") else {
            panic!("a is a directory")
        };
        assert_eq!(a.children().collect::<Vec<_>>(), [("b", &file())]);
    }

    #[test]
    fn a_path_has_one_meaning() {
        let duplicate = |path: &str| Err(InvalidTree::Duplicate(path.to_owned()));
        let mut tree = Directory::default();
        insert(&mut tree, "f", file()).unwrap();
        insert(&mut tree, "d/x", file()).unwrap();
        insert(&mut tree, "l", Node::Link("d".into())).unwrap();
        for (at, node) in [
            ("f", file()),
            ("f", directory()),
            ("f", Node::Link("d/x".into())),
            ("d", file()),
            ("l", directory()),
            ("l", file()),
        ] {
            assert_eq!(insert(&mut tree, at, node), duplicate(at), "{at}");
        }
        assert_eq!(insert(&mut tree, ".", file()), duplicate("."));
        for below in ["f/x", "l/x", "l/x/y"] {
            let refused = Err(InvalidTree::NoDirectory(below.to_owned()));
            assert_eq!(insert(&mut tree, below, file()), refused);
        }
    }

    #[test]
    fn names_that_differ_in_case_only_are_refused() {
        let mut tree = Directory::default();
        insert(&mut tree, "Docs/É.md", file()).unwrap();
        for (at, one, other) in [
            ("docs/x", "Docs", "docs"),
            ("DOCS", "Docs", "DOCS"),
            ("Docs/é.md", "É.md", "é.md"),
        ] {
            let refused = Err(InvalidTree::Case(one.to_owned(), other.to_owned()));
            assert_eq!(insert(&mut tree, at, file()), refused, "{at}");
        }
        assert_eq!(tree.get("docs"), None);
    }

    #[test]
    fn directories_that_nobody_named_count() {
        let mut budget = Budget::new(Limits {
            bytes: 0,
            entries: 3,
        });
        let mut tree = Directory::default();
        tree.insert(&path("a/b/c/f"), file(), &mut budget).unwrap();
        let refused = tree.insert(&path("d/f"), file(), &mut budget);
        assert_eq!(refused, Err(InvalidTree::Limit(OverLimit::Entries(3))));
    }
}
