//! One header of 512 bytes.

use std::ops::Range;

use super::Problem;

/// The length of a block in bytes.
pub(super) const BLOCK: usize = 512;

/// A block as it was read.
pub(super) struct Block(pub [u8; BLOCK]);

/// What a header says.
pub(super) struct Header {
    pub kind: Kind,
    pub name: Vec<u8>,
    pub link: Vec<u8>,
    pub size: u64,
    pub executable: bool,
}

/// What a header describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Directory,
    Link,
    /// PAX records of the next entry.
    Extended,
    /// PAX records of all entries from here on.
    Global,
    /// GNU's long name of the next entry.
    LongName,
    /// GNU's long target of the next entry.
    LongLink,
}

const NAME: Range<usize> = 0..100;
const MODE: Range<usize> = 100..108;
const SIZE: Range<usize> = 124..136;
const CHECKSUM: Range<usize> = 148..156;
const TYPE: usize = 156;
const LINK: Range<usize> = 157..257;
/// With the version.
const MAGIC: Range<usize> = 257..265;
const POSIX_PREFIX: Range<usize> = 345..500;
/// Where POSIX has nothing, and another format a number.
const POSIX_REST: Range<usize> = 500..512;
/// The parts of volumes and sparse files.
const GNU_REST: Range<usize> = 369..512;

/// Fields that say nothing to us, and that other readers must be able to read all the same: as numbers of 32 bits.
const IDS: [(&str, Range<usize>); 4] = [
    ("uid", 108..116),
    ("gid", 116..124),
    ("devmajor", 329..337),
    ("devminor", 337..345),
];

/// As seconds, perhaps before 1970.
const TIME: (&str, Range<usize>) = ("mtime", 136..148);

/// And those that only GNU has.
const GNU_TIMES: [(&str, Range<usize>); 2] = [("atime", 345..357), ("ctime", 357..369)];

impl Default for Block {
    fn default() -> Self {
        Self([0; BLOCK])
    }
}

impl Block {
    pub(super) fn is_zero(&self) -> bool {
        is_zero(&self.0)
    }

    fn field(&self, range: Range<usize>) -> &[u8] {
        self.0.get(range).unwrap_or_default()
    }

    /// That the checksum is that of the bytes, taken as unsigned or, as some have done, as signed.
    fn check_sum(&self) -> Result<(), Problem> {
        let (mut unsigned, mut signed) = (0_i64, 0_i64);
        for (index, &byte) in self.0.iter().enumerate() {
            let byte = if CHECKSUM.contains(&index) {
                b' '
            } else {
                byte
            };
            unsigned += i64::from(byte);
            signed += i64::from(byte.cast_signed());
        }
        let sum = number(self.field(CHECKSUM)).ok_or(Problem::Number("checksum"))?;
        if sum == unsigned || sum == signed {
            Ok(())
        } else {
            Err(Problem::Checksum)
        }
    }
}

impl Header {
    pub(super) fn read(block: &Block) -> Result<Self, Problem> {
        block.check_sum()?;
        let mut name = text("name", block.field(NAME))?.to_vec();
        match block.field(MAGIC) {
            b"ustar\x0000" => {
                let prefix = text("prefix", block.field(POSIX_PREFIX))?;
                if !prefix.is_empty() {
                    name = [prefix, b"/", &name].concat();
                }
                if !is_zero(block.field(POSIX_REST)) {
                    return Err(Problem::Format);
                }
            }
            b"ustar  \0" => {
                for (field, range) in GNU_TIMES {
                    number(block.field(range)).ok_or(Problem::Number(field))?;
                }
                if !is_zero(block.field(GNU_REST)) {
                    return Err(match block.field(TYPE..TYPE + 1) {
                        b"S" => Problem::Sparse,
                        _ => Problem::Format,
                    });
                }
            }
            _ => return Err(Problem::Format),
        }
        for (field, range) in IDS {
            id(block.field(range)).ok_or(Problem::Number(field))?;
        }
        let (field, range) = TIME;
        number(block.field(range)).ok_or(Problem::Number(field))?;
        let mode = id(block.field(MODE)).ok_or(Problem::Number("mode"))?;
        let size = number(block.field(SIZE)).and_then(|size| u64::try_from(size).ok());
        Ok(Self {
            kind: Kind::of(block.field(TYPE..TYPE + 1))?,
            name,
            link: text("linkname", block.field(LINK))?.to_vec(),
            size: size.ok_or(Problem::Number("size"))?,
            executable: mode & 0o111 != 0,
        })
    }
}

impl Kind {
    fn of(typeflag: &[u8]) -> Result<Self, Problem> {
        Ok(match typeflag {
            b"0" | b"\0" => Self::File,
            b"5" => Self::Directory,
            b"2" => Self::Link,
            b"x" => Self::Extended,
            b"g" => Self::Global,
            b"L" => Self::LongName,
            b"K" => Self::LongLink,
            b"1" => return Err(Problem::HardLink),
            b"3" | b"4" => return Err(Problem::Device),
            b"6" => return Err(Problem::Fifo),
            b"S" => return Err(Problem::Sparse),
            other => return Err(Problem::Type(other.first().copied().unwrap_or_default())),
        })
    }
}

/// The text of one of GNU's long names: it ends with a NUL.
pub(super) fn long_text(mut body: Vec<u8>) -> Result<Vec<u8>, Problem> {
    let end = text("long name", &body)?.len();
    if end == 0 || end == body.len() {
        return Err(Problem::Text("long name"));
    }
    body.truncate(end);
    Ok(body)
}

/// The text in a field: up to the first NUL, with nothing but NULs after it.
fn text<'a>(name: &'static str, field: &'a [u8]) -> Result<&'a [u8], Problem> {
    let end = field.iter().position(|&byte| byte == 0);
    let (text, rest) = field.split_at(end.unwrap_or(field.len()));
    if is_zero(rest) {
        Ok(text)
    } else {
        Err(Problem::Text(name))
    }
}

/// The number in a field: octal digits, perhaps after spaces, with nothing but spaces and NULs after them; or, as GNU
/// writes what is too large or negative, two's complement behind a byte 0x80 or 0xff. NULs alone are 0.
fn number(field: &[u8]) -> Option<i64> {
    if let [first @ (0x80 | 0xff), rest @ ..] = field {
        let start = if *first == 0xff { -1_i128 } else { 0 };
        let value = rest
            .iter()
            .fold(start, |value, &byte| value << 8 | i128::from(byte));
        return value.try_into().ok();
    }
    let spaces = field.iter().take_while(|&&byte| byte == b' ').count();
    let (_, rest) = field.split_at_checked(spaces)?;
    let digits = rest.iter().take_while(|byte| matches!(byte, b'0'..=b'7'));
    let (digits, rest) = rest.split_at_checked(digits.count())?;
    let is_blank = digits.is_empty() && !is_zero(field);
    if is_blank || !rest.iter().all(|byte| matches!(byte, 0 | b' ')) {
        return None;
    }
    let value = digits
        .iter()
        .fold(0, |value, &digit| value << 3 | i64::from(digit - b'0'));
    Some(value)
}

/// The number in a field that a user, a device or a mode has.
fn id(field: &[u8]) -> Option<u32> {
    number(field).and_then(|id| id.try_into().ok())
}

fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|&byte| byte == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_octal_or_of_base_256() {
        let cases: [(&[u8], i64); 9] = [
            (b"0000644\0", 0o644),
            (b"000644 \0", 0o644),
            (b"   644 \0", 0o644),
            (b"77777777", 0o77_777_777),
            (b"777777777777", 0o777_777_777_777),
            (b"\0\0\0\0\0\0\0\0", 0),
            (b"\x80\0\0\0\0\0\x01\x02", 258),
            (b"\xff\xff\xff\xff\xff\xff\xff\xfe", -2),
            (b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff", i64::MAX),
        ];
        for (field, value) in cases {
            assert_eq!(number(field), Some(value), "{field:?}");
        }
        let bad: [&[u8]; 10] = [
            b"        ",
            b"\x000000644",
            b"644\0 7\0\0",
            b"-000644\0",
            b"+000644\0",
            b"0x00644\0",
            b"0000648\0",
            b"\t000644\0",
            b"\x81\0\0\0\0\0\0\0",
            b"\x80\0\0\0\x80\0\0\0\0\0\0\0",
        ];
        for field in bad {
            assert_eq!(number(field), None, "{field:?}");
        }
    }

    #[test]
    fn a_text_ends_once() {
        assert_eq!(text("name", b"abc\0\0").unwrap(), b"abc");
        assert_eq!(text("name", b"abc").unwrap(), b"abc");
        assert!(text("name", b"abc\0d").is_err());
        assert_eq!(long_text(b"abc\0".to_vec()).unwrap(), b"abc");
        for bad in [&b""[..], b"\0", b"abc", b"abc\0d\0"] {
            assert!(long_text(bad.to_vec()).is_err(), "{bad:?}");
        }
    }
}
