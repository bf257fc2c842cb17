//! Paths that came from outside, parsed once: what an [`EntryPath`] holds stays below the directory it is joined to.

use std::fmt::{self, Display, Formatter};

use thiserror::Error;

/// The longest path below a skill's directory, in bytes. With the directory it must fit into what Linux takes, 4,096.
pub const PATH_MAX: usize = 1024;

/// The longest name of a file or directory, in bytes, as file systems have it.
pub const NAME_MAX: usize = 255;

/// A path below a skill's directory, as `scripts/run.sh`: plain names, with one `/` between two. Empty, it is the
/// directory itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EntryPath(Box<str>);

/// Why a path is refused.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum InvalidPath {
    /// It is empty.
    #[error("the path is empty")]
    Empty,
    /// It begins with `/`.
    #[error("the path is absolute")]
    Absolute,
    /// It goes up.
    #[error("the path has `..` in it")]
    Parent,
    /// It is longer than [`PATH_MAX`].
    #[error("the path has more than {PATH_MAX} bytes")]
    TooLong,
    /// One of its names is longer than [`NAME_MAX`].
    #[error("a name in the path has more than {NAME_MAX} bytes")]
    NameTooLong,
    /// It is not UTF-8.
    #[error("the path is not UTF-8")]
    NotUtf8,
    /// It has a NUL, a line break or the like.
    #[error("the path has a control character in it")]
    Control,
}

impl EntryPath {
    /// Reads a path. Names `.` and doubled slashes say nothing and are left out, as is a slash at the end.
    ///
    /// # Errors
    /// When it could lead elsewhere, or could not be shown or written.
    pub fn parse(path: &[u8]) -> Result<Self, InvalidPath> {
        if path.len() > PATH_MAX {
            return Err(InvalidPath::TooLong);
        }
        let path = str::from_utf8(path).map_err(|_| InvalidPath::NotUtf8)?;
        if path.is_empty() {
            return Err(InvalidPath::Empty);
        }
        if path.starts_with('/') {
            return Err(InvalidPath::Absolute);
        }
        if path.chars().any(char::is_control) {
            return Err(InvalidPath::Control);
        }
        let mut names = Vec::new();
        for name in path.split('/') {
            match name {
                "" | "." => {}
                ".." => return Err(InvalidPath::Parent),
                name if name.len() > NAME_MAX => return Err(InvalidPath::NameTooLong),
                name => names.push(name),
            }
        }
        Ok(Self(names.join("/").into()))
    }

    /// The path as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is the skill's directory itself.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The names that it is made of; none for the directory itself.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.split('/').filter(|name| !name.is_empty())
    }

    /// The directory that holds it and its name there; nothing for the directory itself.
    #[must_use]
    pub fn split_last(&self) -> Option<(&str, &str)> {
        match self.0.rsplit_once('/') {
            Some(parts) => Some(parts),
            None => (!self.is_root()).then_some(("", &*self.0)),
        }
    }
}

impl Display for EntryPath {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str(if self.is_root() { "." } else { &self.0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(path: &str) -> Result<String, InvalidPath> {
        EntryPath::parse(path.as_bytes()).map(|path| path.as_str().to_owned())
    }

    #[test]
    fn a_path_is_brought_to_one_form() {
        for same in ["a/b", "./a/b", "a//b", "a/./b/", "././a/b//."] {
            assert_eq!(parse(same).unwrap(), "a/b", "{same}");
        }
        for root in [".", "./", ".//./"] {
            assert_eq!(parse(root).unwrap(), "", "{root}");
        }
        for odd in [
            "...", "..a", "a..", "a\\b", "C:", "~", "-rf", " ", "$(x)", "é",
        ] {
            assert_eq!(parse(odd).unwrap(), odd);
        }
    }

    #[test]
    fn what_could_lead_elsewhere_is_refused() {
        for up in ["..", "../x", "a/..", "a/../b", "a/../../b", "./.."] {
            assert_eq!(parse(up), Err(InvalidPath::Parent), "{up}");
        }
        for absolute in ["/", "/etc/passwd", "//x"] {
            assert_eq!(parse(absolute), Err(InvalidPath::Absolute), "{absolute}");
        }
        assert_eq!(parse(""), Err(InvalidPath::Empty));
        for control in ["a\0b", "a\nb", "\r", "a\u{7f}", "a\u{85}"] {
            assert_eq!(parse(control), Err(InvalidPath::Control), "{control:?}");
        }
        assert_eq!(EntryPath::parse(b"a\xff"), Err(InvalidPath::NotUtf8));
    }

    #[test]
    fn a_path_has_a_length_that_fits() {
        let name = "n".repeat(NAME_MAX);
        assert!(parse(&name).is_ok());
        assert_eq!(parse(&format!("{name}n")), Err(InvalidPath::NameTooLong));
        let path = "a/".repeat(PATH_MAX / 2);
        assert!(parse(&path).is_ok());
        assert_eq!(parse(&format!("{path}a")), Err(InvalidPath::TooLong));
        assert_eq!(parse(&"x".repeat(10 << 10)), Err(InvalidPath::TooLong));
    }

    #[test]
    fn a_path_falls_into_its_last_name_and_the_rest() {
        let split = |path: &str| {
            let path = EntryPath::parse(path.as_bytes()).unwrap();
            path.split_last()
                .map(|(parent, name)| (parent.to_owned(), name.to_owned()))
        };
        assert_eq!(split("."), None);
        assert_eq!(split("a"), Some((String::new(), "a".into())));
        assert_eq!(split("a/b/c"), Some(("a/b".into(), "c".into())));
    }
}
