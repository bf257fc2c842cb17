//! Links are allowed where they are harmless: to a file of the same skill, by a relative path, and not through or to
//! another link. Such a link means the same wherever the skill is copied, and there is no chain to follow.

use super::{Directory, InvalidTree, Node};

impl Directory {
    /// Judges every link in the tree, as a skill's directory with nothing around it.
    ///
    /// # Errors
    /// On the first link that leads out of the tree, or to anything but a file in it.
    pub fn check_links(&self) -> Result<(), InvalidTree> {
        self.check_links_below(self, &mut Vec::new())
    }

    fn check_links_below<'a>(
        &'a self,
        root: &Self,
        here: &mut Vec<&'a str>,
    ) -> Result<(), InvalidTree> {
        for (name, node) in self.children() {
            match node {
                Node::File(_) => {}
                Node::Directory(directory) => {
                    here.push(name);
                    directory.check_links_below(root, here)?;
                    here.pop();
                }
                Node::Link(target) => {
                    let link = || [here.as_slice(), &[name]].concat().join("/");
                    let at = resolve(here, target)
                        .ok_or_else(|| InvalidTree::LinkTarget(link(), target.to_string()))?;
                    if !root.has_file(&at) {
                        return Err(InvalidTree::LinkToNoFile(link(), target.to_string()));
                    }
                }
            }
        }
        Ok(())
    }

    fn has_file(&self, path: &[&str]) -> bool {
        match path.split_first() {
            None => false,
            Some((name, rest)) => match self.get(name) {
                Some(Node::File(_)) => rest.is_empty(),
                Some(Node::Directory(directory)) => directory.has_file(rest),
                Some(Node::Link(_)) | None => false,
            },
        }
    }
}

/// The names from the root to what a link in the directory `here` names; nothing where it leads out. It may go up only
/// at its beginning: what `a/..` is depends on what `a` is.
fn resolve<'a>(here: &[&'a str], target: &'a str) -> Option<Vec<&'a str>> {
    let mut at = here.to_vec();
    let mut is_down = false;
    for name in target.split('/') {
        match name {
            "" => return None,
            "." => {}
            ".." if is_down => return None,
            ".." => {
                at.pop()?;
            }
            name => {
                is_down = true;
                at.push(name);
            }
        }
    }
    Some(at)
}

#[cfg(test)]
mod tests {
    use super::super::{Budget, EntryPath, Stored};
    use super::*;
    use crate::pull::limits::Limits;

    fn tree(links: &[(&str, &str)]) -> Directory {
        let mut tree = Directory::default();
        let budget = &mut Budget::new(Limits::default());
        let mut insert = |path: &str, node| {
            let path = EntryPath::parse(path.as_bytes()).unwrap();
            tree.insert(&path, node, budget).unwrap();
        };
        for file in ["SKILL.md", "docs/v1.md", "docs/deep/x.md"] {
            insert(file, Node::File(Stored { id: 0, size: 0 }));
        }
        for (path, target) in links {
            insert(path, Node::Link((*target).into()));
        }
        tree
    }

    #[test]
    fn a_link_to_a_file_of_the_skill_is_harmless() {
        for (path, target) in [
            ("AGENTS.md", "SKILL.md"),
            ("AGENTS.md", "./SKILL.md"),
            ("docs/latest.md", "v1.md"),
            ("docs/skill.md", "../SKILL.md"),
            ("docs/deep/v1.md", "../../docs/v1.md"),
            ("latest.md", "docs/./v1.md"),
        ] {
            assert_eq!(
                tree(&[(path, target)]).check_links(),
                Ok(()),
                "{path} -> {target}"
            );
        }
    }

    #[test]
    fn a_link_that_leads_out_is_refused() {
        for (path, target) in [
            ("x", "/etc/passwd"),
            ("x", "../x"),
            ("x", ".."),
            ("docs/x", "../../x"),
            ("docs/x", "../../skill/SKILL.md"),
            ("x", "docs//v1.md"),
            ("x", "SKILL.md/"),
            ("x", "docs/../SKILL.md"),
            ("x", "missing/../SKILL.md"),
            ("x", "SKILL.md/../SKILL.md"),
        ] {
            let refused = InvalidTree::LinkTarget(path.to_owned(), target.to_owned());
            assert_eq!(tree(&[(path, target)]).check_links(), Err(refused));
        }
    }

    #[test]
    fn a_link_to_anything_but_a_file_is_refused() {
        for (path, target) in [
            ("x", "missing"),
            ("x", "docs"),
            ("x", "."),
            ("docs/x", ".."),
            ("x", "x"),
            ("x", "skill.md"),
            ("x", "SKILL.md/x"),
        ] {
            let refused = InvalidTree::LinkToNoFile(path.to_owned(), target.to_owned());
            let found = tree(&[(path, target)]).check_links();
            assert_eq!(found, Err(refused), "{path} -> {target}");
        }
    }

    #[test]
    fn chains_of_links_are_refused() {
        for links in [
            [("a", "b"), ("b", "SKILL.md")],
            [("a", "b"), ("b", "a")],
            [("a", "docs"), ("b", "a/v1.md")],
        ] {
            assert!(tree(&links).check_links().is_err(), "{links:?}");
        }
    }
}
