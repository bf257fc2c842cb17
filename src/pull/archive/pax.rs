//! The records of PAX headers, `LENGTH KEY=VALUE` on a line each.

use super::Problem;

/// What records say of the next entry.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Records {
    pub path: Option<Vec<u8>>,
    pub link: Option<Vec<u8>>,
    pub size: Option<u64>,
}

impl Records {
    /// Reads the records of a header.
    pub(super) fn read(mut body: &[u8]) -> Result<Self, Problem> {
        let mut records = Self::default();
        while !body.is_empty() {
            let (key, value, rest) = record(body)?;
            body = rest;
            let is_first = match key {
                b"path" => records.path.replace(filled(key, value)?).is_none(),
                b"linkpath" => records.link.replace(filled(key, value)?).is_none(),
                b"size" => {
                    let size = decimal(value).ok_or_else(|| refused(key))?;
                    records.size.replace(size).is_none()
                }
                _ => {
                    check_other(key, value)?;
                    true
                }
            };
            if !is_first {
                return Err(refused(key));
            }
        }
        Ok(records)
    }
}

/// Reads over the records for all entries, as git writes one with a comment. Not all readers heed them, so they may say
/// nothing of what matters here.
pub(super) fn check_global(mut body: &[u8]) -> Result<(), Problem> {
    while !body.is_empty() {
        let (key, value, rest) = record(body)?;
        body = rest;
        if matches!(key, b"path" | b"linkpath" | b"size") {
            return Err(refused(key));
        }
        check_other(key, value)?;
    }
    Ok(())
}

/// That a record which says nothing to us says nothing to others that would change what we read, and can be read by
/// them.
fn check_other(key: &[u8], value: &[u8]) -> Result<(), Problem> {
    if key == b"hdrcharset" {
        return Err(refused(key));
    }
    if key.starts_with(b"GNU.sparse.") {
        return Err(Problem::Sparse);
    }
    let is_readable = match key {
        b"uid" | b"gid" => decimal(value).is_some_and(|id| u32::try_from(id).is_ok()),
        b"atime" | b"mtime" | b"ctime" => is_time(value),
        b"uname" | b"gname" => !value.contains(&0),
        _ => true,
    };
    if is_readable {
        Ok(())
    } else {
        Err(refused(key))
    }
}

/// A key, its value, and what follows them.
type Record<'a> = (&'a [u8], &'a [u8], &'a [u8]);

/// The first record of `body`.
fn record(body: &[u8]) -> Result<Record<'_>, Problem> {
    let space = body.iter().position(|&byte| byte == b' ');
    let (length, _) = body
        .split_at_checked(space.ok_or(Problem::Pax)?)
        .ok_or(Problem::Pax)?;
    let end = decimal(length).and_then(|length| usize::try_from(length).ok());
    let (record, rest) = end
        .and_then(|end| body.split_at_checked(end))
        .ok_or(Problem::Pax)?;
    let text = record
        .get(length.len() + 1..)
        .and_then(|text| text.strip_suffix(b"\n"))
        .ok_or(Problem::Pax)?;
    let equals = text
        .iter()
        .position(|&byte| byte == b'=')
        .ok_or(Problem::Pax)?;
    let (key, value) = text.split_at_checked(equals).ok_or(Problem::Pax)?;
    if key.is_empty() || key.contains(&0) {
        return Err(Problem::Pax);
    }
    Ok((key, value.get(1..).unwrap_or_default(), rest))
}

/// A text that is there and ends nowhere before its end.
fn filled(key: &[u8], value: &[u8]) -> Result<Vec<u8>, Problem> {
    if value.is_empty() || value.contains(&0) {
        return Err(refused(key));
    }
    Ok(value.to_vec())
}

/// A number as everybody writes it: digits, and no zero before others.
fn decimal(text: &[u8]) -> Option<u64> {
    let is_plain = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    let is_padded = text.len() > 1 && text.first() == Some(&b'0');
    (is_plain && !is_padded)
        .then(|| str::from_utf8(text).ok()?.parse().ok())
        .flatten()
}

/// Whether it is seconds, perhaps before 1970, perhaps with a fraction.
fn is_time(text: &[u8]) -> bool {
    let text = text.strip_prefix(b"-").unwrap_or(text);
    let mut parts = text.splitn(2, |&byte| byte == b'.');
    let seconds = parts.next().unwrap_or_default();
    decimal(seconds).is_some_and(|seconds| i64::try_from(seconds).is_ok())
        && parts
            .next()
            .is_none_or(|fraction| fraction.iter().all(u8::is_ascii_digit))
}

fn refused(key: &[u8]) -> Problem {
    Problem::PaxRecord(String::from_utf8_lossy(key).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `KEY=VALUE` as a record, with its length.
    fn line(text: &str) -> Vec<u8> {
        let mut length = text.len() + 2;
        while length != text.len() + 2 + length.to_string().len() {
            length += 1;
        }
        format!("{length} {text}\n").into_bytes()
    }

    fn lines(texts: &[&str]) -> Vec<u8> {
        texts.iter().flat_map(|text| line(text)).collect()
    }

    #[test]
    fn records_are_read() {
        let texts = [
            "path=a/b",
            "linkpath=c=d",
            "size=7",
            "mtime=17.5000000",
            "ctime=-1.",
            "uid=0",
            "gname=",
            "SCHILY.xattr.user.x=\0\n",
        ];
        let expected = Records {
            path: Some(b"a/b".to_vec()),
            link: Some(b"c=d".to_vec()),
            size: Some(7),
        };
        assert_eq!(Records::read(&lines(&texts)).unwrap(), expected);
        assert_eq!(Records::read(b"").unwrap(), Records::default());
    }

    #[test]
    fn what_is_malformed_is_refused() {
        for bad in [
            &b"12 path=a/b"[..],
            b"11 path=a/b\n",
            b"13 path=a/b\n",
            b"012 path=a/b\n",
            b"+12 path=a/b\n",
            b"99999999999999999999 path=a\n",
            b"0 path=a\n",
            b"3 \n",
            b"5 =x\n",
            b"7 path\n",
            b" path=a\n",
            b"12 path=a/b\n\0\0",
        ] {
            assert!(matches!(Records::read(bad), Err(Problem::Pax)), "{bad:?}");
        }
    }

    #[test]
    fn what_readers_read_differently_is_refused() {
        for bad in [
            &["path="][..],
            &["path=\0a"],
            &["path=a", "path=a"],
            &["linkpath=a", "linkpath=b"],
            &["size=1", "size=1"],
            &["size=-1"],
            &["size=1.5"],
            &["size=01"],
            &["size=18446744073709551616"],
            &["hdrcharset=BINARY"],
            &["uid=x"],
            &["gid=4294967296"],
            &["mtime=x"],
            &["atime=1.x"],
            &["uname=a\0b"],
        ] {
            let found = Records::read(&lines(bad));
            assert!(matches!(found, Err(Problem::PaxRecord(_))), "{bad:?}");
        }
        let sparse = Records::read(&line("GNU.sparse.major=1"));
        assert!(matches!(sparse, Err(Problem::Sparse)));
    }

    #[test]
    fn global_records_say_nothing_that_matters() {
        assert!(check_global(&line("comment=0123")).is_ok());
        assert!(check_global(b"").is_ok());
        for bad in ["path=a", "linkpath=a", "size=7", "GNU.sparse.name=a"] {
            assert!(check_global(&line(bad)).is_err(), "{bad:?}");
        }
    }
}
