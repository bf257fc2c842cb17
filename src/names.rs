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
        quote(formatter, self.0, 96)
    }
}

/// Shows what a program said: as [`Shown`], but long enough for a sentence with an address in it, whose end says what is
/// wrong.
pub struct Said<'a>(pub &'a str);

impl Said<'_> {
    /// How many characters of it are shown.
    pub const MOST: usize = 300;
}

impl Display for Said<'_> {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        quote(formatter, self.0, Self::MOST)
    }
}

fn quote(formatter: &mut Formatter<'_>, text: &str, most: usize) -> fmt::Result {
    match text.char_indices().nth(most) {
        Some((end, _)) => write!(formatter, "{:?}…", text.get(..end).unwrap_or_default()),
        None => write!(formatter, "{text:?}"),
    }
}

/// Shows a name as it is where it could be an object's, and otherwise as any text that came from outside: a Pod is
/// asked about before anybody has looked at the names in it.
pub struct Named<'a>(pub &'a str);

impl Display for Named<'_> {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
        if self.0.len() <= SUBDOMAIN_MAX && self.0.bytes().all(known) {
            formatter.write_str(self.0)
        } else {
            Shown(self.0).fmt(formatter)
        }
    }
}

/// Shows names as a person lists them, `a, b and c`, and not more than a person would read.
pub struct Listed<I>(pub I);

impl<I, T> Display for Listed<I>
where
    I: Iterator<Item = T> + Clone,
    T: Display,
{
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        const MOST: usize = 16;
        let mut names = self.0.clone().peekable();
        for index in 0..MOST {
            let Some(name) = names.next() else {
                return Ok(());
            };
            match (index, names.peek().is_some()) {
                (0, _) => write!(formatter, "{name}")?,
                (_, true) => write!(formatter, ", {name}")?,
                (_, false) => write!(formatter, " and {name}")?,
            }
        }
        match names.count() {
            0 => Ok(()),
            more => write!(formatter, " and {more} more"),
        }
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
        assert!(Said(&"x".repeat(1 << 20)).to_string().len() < 320);
    }

    #[test]
    fn a_name_is_quoted_where_it_is_none() {
        for name in ["agent-0", "a.b", "Agent"] {
            assert_eq!(Named(name).to_string(), name);
        }
        assert_eq!(Named("a\nb").to_string(), r#""a\nb""#);
        assert!(Named(&"x".repeat(1 << 20)).to_string().len() < 128);
    }

    #[test]
    fn names_are_listed_as_people_do() {
        let listed = |names: &[&str]| Listed(names.iter()).to_string();
        assert_eq!(listed(&[]), "");
        assert_eq!(listed(&["a"]), "a");
        assert_eq!(listed(&["a", "b"]), "a and b");
        assert_eq!(listed(&["a", "b", "c"]), "a, b and c");
        assert!(listed(&["a"; 16]).ends_with(", a and a"));
        assert!(listed(&["a"; 1_000]).ends_with(", a and 984 more"));
    }
}
