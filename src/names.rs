//! Names as Kubernetes knows them, and how a text that came from outside is shown in a message.

use std::fmt::{self, Display, Formatter};

/// The longest DNS label, and so the longest name of a container or a volume.
pub const LABEL_MAX: usize = 63;

/// The longest DNS subdomain, and so the longest name of most objects.
pub const SUBDOMAIN_MAX: usize = 253;

/// Whether `text` is a DNS label as in RFC 1123: a-z, 0-9 and inner `-`, at most `longest` characters.
#[must_use]
pub fn is_dns_label(text: &str, longest: usize) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !text.is_empty()
        && text.len() <= longest
        && text.bytes().all(inner)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// Whether `text` is a DNS subdomain as in RFC 1123, which names Secrets, `ConfigMaps` and most other objects.
#[must_use]
pub fn is_dns_subdomain(text: &str) -> bool {
    text.len() <= SUBDOMAIN_MAX
        && text
            .split('.')
            .all(|label| is_dns_label(label, SUBDOMAIN_MAX))
}

/// Shows a text that came from outside: quoted, on one line, and not longer than a person would read.
pub struct Shown<'a>(pub &'a str);

impl Display for Shown<'_> {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        const MOST: usize = 96;
        match self.0.char_indices().nth(MOST) {
            Some((end, _)) => write!(formatter, "{:?}…", self.0.get(..end).unwrap_or_default()),
            None => write!(formatter, "{:?}", self.0),
        }
    }
}

/// Shows names as a person lists them: `a, b and c`.
pub struct Listed<I>(pub I);

impl<I, T> Display for Listed<I>
where
    I: Iterator<Item = T> + Clone,
    T: Display,
{
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let mut names = self.0.clone().peekable();
        let mut first = true;
        while let Some(name) = names.next() {
            match (first, names.peek().is_some()) {
                (true, _) => write!(formatter, "{name}")?,
                (false, true) => write!(formatter, ", {name}")?,
                (false, false) => write!(formatter, " and {name}")?,
            }
            first = false;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_and_subdomains() {
        for good in ["a", "0", "a-b", "a--b", &"x".repeat(63)] {
            assert!(is_dns_label(good, LABEL_MAX), "{good}");
        }
        for bad in [
            "",
            "-a",
            "a-",
            "A",
            "a_b",
            "a.b",
            "ä",
            "a b",
            "a\0",
            &"x".repeat(64),
        ] {
            assert!(!is_dns_label(bad, LABEL_MAX), "{bad}");
        }
        assert!(is_dns_subdomain("a.b-c.d"));
        for bad in ["", "a..b", ".a", "a.", "a/b", "A.b", &"x.".repeat(127)] {
            assert!(!is_dns_subdomain(bad), "{bad}");
        }
    }

    #[test]
    fn a_shown_text_stays_on_one_line_and_short() {
        assert_eq!(Shown("a\nb").to_string(), r#""a\nb""#);
        assert!(Shown(&"x".repeat(1 << 20)).to_string().len() < 128);
    }

    #[test]
    fn names_are_listed_as_people_do() {
        let listed = |names: &[&str]| Listed(names.iter()).to_string();
        assert_eq!(listed(&[]), "");
        assert_eq!(listed(&["a"]), "a");
        assert_eq!(listed(&["a", "b"]), "a and b");
        assert_eq!(listed(&["a", "b", "c"]), "a, b and c");
    }
}
