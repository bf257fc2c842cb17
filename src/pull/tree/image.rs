//! Layers of an image, one upon the other, as the OCI image specification has it.
//!
//! A file `.wh.NAME` in a layer removes NAME of the layers below, and `.wh..wh..opq` all that they have in its
//! directory.

use std::collections::BTreeSet;

use super::{Child, Directory, InvalidTree, Node, key};
use crate::pull::limits::Budget;
use crate::pull::path::EntryPath;

const WHITEOUT: &str = ".wh.";
const OPAQUE: &str = ".wh..wh..opq";

/// What a layer removes from a directory of the layers below.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Removed {
    /// Everything.
    All,
    /// These names.
    Names(BTreeSet<Box<str>>),
}

impl Default for Removed {
    fn default() -> Self {
        Self::Names(BTreeSet::new())
    }
}

impl Directory {
    /// Puts a layer's node where the path says, or remembers what it removes.
    ///
    /// # Errors
    /// As [`Directory::insert`], and for a whiteout of an unknown kind.
    pub fn insert_in_layer(
        &mut self,
        path: &EntryPath,
        node: Node,
        budget: &mut Budget,
    ) -> Result<(), InvalidTree> {
        let Some((parent, name)) = path.split_last() else {
            return self.insert(path, node, budget);
        };
        if parent.split('/').any(|name| name.starts_with(WHITEOUT)) {
            return Err(InvalidTree::Whiteout(path.to_string()));
        }
        let Some(removed) = name.strip_prefix(WHITEOUT) else {
            return self.insert(path, node, budget);
        };
        let mut directory = self;
        for name in parent.split('/').filter(|name| !name.is_empty()) {
            directory = directory.enter(name, path, budget)?;
        }
        let is_known = matches!(node, Node::File(_))
            && (name == OPAQUE
                || !matches!(removed, "" | "." | "..") && !removed.starts_with(WHITEOUT));
        match &mut directory.removed {
            _ if !is_known => return Err(InvalidTree::Whiteout(path.to_string())),
            Removed::All => {}
            removed_here if name == OPAQUE => *removed_here = Removed::All,
            Removed::Names(names) => {
                names.insert(removed.into());
            }
        }
        Ok(())
    }

    /// Lays a layer upon this tree.
    ///
    /// # Errors
    /// When something would be below a file or link of this tree, or beside a name that differs in case only.
    pub fn overlay(&mut self, layer: Self) -> Result<(), InvalidTree> {
        self.overlay_below(layer, "")
    }

    fn overlay_below(&mut self, layer: Self, here: &str) -> Result<(), InvalidTree> {
        match layer.removed {
            Removed::All => self.children.clear(),
            Removed::Names(names) => {
                for name in names {
                    if self.get(&name).is_some() {
                        self.children.remove(&*key(&name));
                    }
                }
            }
        }
        self.is_explicit |= layer.is_explicit;
        for Child { name, node } in layer.children.into_values() {
            let path = || format!("{here}{name}");
            match (self.get_mut(&name)?, node) {
                (Some(Node::Directory(there)), Node::Directory(above)) => {
                    there.overlay_below(above, &format!("{here}{name}/"))?;
                }
                (Some(_), Node::Directory(above)) if !above.is_explicit => {
                    return Err(InvalidTree::NoDirectory(path()));
                }
                (_, Node::Directory(above)) => {
                    // There may be whiteouts in it, and nothing for them to remove.
                    let mut directory = Self::default();
                    directory.overlay_below(above, &format!("{here}{name}/"))?;
                    self.put(&name, Node::Directory(directory));
                }
                (_, node) => self.put(&name, node),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::Stored;
    use super::*;
    use crate::pull::limits::Limits;

    /// A layer of files, of directories where the path ends with `/`, and of links to `x` where it ends with `@`.
    fn layer(paths: &[&str]) -> Result<Directory, InvalidTree> {
        let mut layer = Directory::default();
        for (id, path) in (0..).zip(paths) {
            let node = match path.chars().last() {
                Some('/') => Node::Directory(Directory::explicit()),
                Some('@') => Node::Link("x".into()),
                _ => Node::File(Stored { id, size: 0 }),
            };
            let path = EntryPath::parse(path.trim_end_matches('@').as_bytes()).unwrap();
            layer.insert_in_layer(&path, node, &mut Budget::new(Limits::default()))?;
        }
        Ok(layer)
    }

    fn list(directory: &Directory, here: &str, into: &mut Vec<String>) {
        for (name, node) in directory.children() {
            match node {
                Node::Directory(directory) => {
                    into.push(format!("{here}{name}/"));
                    list(directory, &format!("{here}{name}/"), into);
                }
                Node::File(_) => into.push(format!("{here}{name}")),
                Node::Link(_) => into.push(format!("{here}{name}@")),
            }
        }
    }

    fn image(layers: &[&[&str]]) -> Result<Vec<String>, InvalidTree> {
        let mut image = Directory::default();
        for paths in layers {
            image.overlay(layer(paths)?)?;
        }
        let mut listed = Vec::new();
        list(&image, "", &mut listed);
        Ok(listed)
    }

    #[test]
    fn an_upper_layer_wins() {
        let merged = image(&[&["a", "d/x", "l@"], &["d/y", "l", "a@"]]).unwrap();
        assert_eq!(merged, ["a@", "d/", "d/x", "d/y", "l"]);
    }

    #[test]
    fn a_whiteout_removes_a_name_of_the_layers_below() {
        let base: &[&str] = &["a", "d/x", "d/y"];
        assert_eq!(image(&[base, &[".wh.a"]]).unwrap(), ["d/", "d/x", "d/y"]);
        assert_eq!(image(&[base, &["d/.wh.x"]]).unwrap(), ["a", "d/", "d/y"]);
        assert_eq!(image(&[base, &[".wh.d"]]).unwrap(), ["a"]);
        assert_eq!(
            image(&[base, &[".wh.none", "none/.wh.x"]]).unwrap(),
            ["a", "d/", "d/x", "d/y", "none/"]
        );
        // What the layer itself brings stays, whichever comes first.
        assert_eq!(
            image(&[base, &[".wh.d", "d/z"]]).unwrap(),
            ["a", "d/", "d/z"]
        );
        assert_eq!(
            image(&[base, &["d/z", ".wh.d"]]).unwrap(),
            ["a", "d/", "d/z"]
        );
        // Case is told apart.
        assert_eq!(
            image(&[base, &[".wh.A"]]).unwrap(),
            ["a", "d/", "d/x", "d/y"]
        );
    }

    #[test]
    fn an_opaque_directory_hides_what_is_below_it() {
        let base: &[&str] = &["d/x", "d/e/y", "z"];
        let opaque = "d/.wh..wh..opq";
        for layer in [[opaque, "d/n"], ["d/n", opaque]] {
            assert_eq!(image(&[base, &layer]).unwrap(), ["d/", "d/n", "z"]);
        }
        assert_eq!(
            image(&[base, &[".wh..wh..opq"]]).unwrap(),
            Vec::<String>::new()
        );
        assert_eq!(image(&[base, &[opaque, "d/.wh.x"]]).unwrap(), ["d/", "z"]);
    }

    #[test]
    fn whiteouts_of_an_unknown_kind_are_refused() {
        for bad in [
            ".wh.",
            ".wh..",
            ".wh...",
            ".wh..wh.plnk",
            "d/.wh..wh.aufs",
            ".wh.a/",
            ".wh.a/x",
            "d/.wh.a/.wh.x",
            ".wh.a@",
        ] {
            assert!(
                matches!(layer(&[bad]), Err(InvalidTree::Whiteout(_))),
                "{bad}"
            );
        }
    }

    #[test]
    fn a_directory_replaces_a_file_only_where_the_layer_names_it() {
        assert_eq!(image(&[&["a"], &["a/", "a/x"]]).unwrap(), ["a/", "a/x"]);
        assert_eq!(image(&[&["a@"], &["a/", "a/x"]]).unwrap(), ["a/", "a/x"]);
        for below in [&["a"][..], &["a@"]] {
            let refused = InvalidTree::NoDirectory("a".to_owned());
            assert_eq!(image(&[below, &["a/x"]]), Err(refused));
        }
        assert_eq!(image(&[&["a/x"], &["a"]]).unwrap(), ["a"]);
    }

    #[test]
    fn names_that_differ_in_case_only_are_refused_across_layers() {
        assert!(matches!(
            image(&[&["a"], &["A"]]),
            Err(InvalidTree::Case(..))
        ));
        assert_eq!(image(&[&["a"], &["A", ".wh.a"]]).unwrap(), ["A"]);
    }
}
