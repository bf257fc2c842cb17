//! Tar archives, read strictly: what two readers could understand differently is refused, and so is what a skill
//! has no use for.
//!
//! What is read is a part of what POSIX, GNU tar and Go agree on: ustar and GNU headers, extended headers of PAX
//! (`path`, `linkpath`, `size`) and GNU's long names. Owners, times, extended attributes and mode bits other than
//! "executable" are read over. Hard links, devices, FIFOs, sparse files and everything else are refused by name.
//!
//! Memory is bounded: a buffer, and one extended header of at most [`EXTENSION_MAX`].

mod compression;
mod header;
mod pax;
mod problem;

use std::io::{self, ErrorKind, Read};

use self::header::{BLOCK, Block, Header, Kind};
use super::limits::Budget;
use super::path::{EntryPath, InvalidPath};

pub use compression::decompress;
pub use problem::{ArchiveError, Problem};

/// The longest extended header, and the longest long name. Go's limit, too.
pub const EXTENSION_MAX: u64 = 1 << 20;

/// The longest target of a link, in bytes. Together, all of them must fit into memory.
pub const TARGET_MAX: usize = 255;

/// How much content is handed on at once.
const CHUNK: usize = 64 << 10;

/// A file, directory or link of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where it is.
    pub path: EntryPath,
    /// What it is.
    pub kind: EntryKind,
}

/// What an entry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// A directory.
    Directory,
    /// A file, whose content [`Archive::chunk`] gives.
    File {
        /// Its length in bytes.
        size: u64,
        /// Whether anybody may execute it.
        executable: bool,
    },
    /// A symbolic link, to this text.
    Link(String),
}

/// An archive that is being read.
pub struct Archive<R> {
    reader: R,
    /// How many bytes were read.
    offset: u64,
    /// Where the header of the entry begins.
    entry_at: u64,
    /// What the entry is called.
    entry_name: Vec<u8>,
    /// What is left of the entry's content.
    content: u64,
    /// What fills the content's last block.
    padding: u64,
    buffer: Box<[u8]>,
}

/// What headers before an entry's own say of it.
#[derive(Debug, Default)]
struct Extended {
    pax: Option<pax::Records>,
    long_name: Option<Vec<u8>>,
    long_link: Option<Vec<u8>>,
}

impl<R: Read> Archive<R> {
    /// An archive to be read from its start.
    pub fn new(reader: R) -> Self {
        Self {
            reader,
            offset: 0,
            entry_at: 0,
            entry_name: Vec::new(),
            content: 0,
            padding: 0,
            buffer: vec![0; CHUNK].into_boxed_slice(),
        }
    }

    /// The next entry, paid for from the budget with all of its content; nothing at the end of the archive.
    ///
    /// # Errors
    /// When the archive cannot be read, is refused, or the budget does not suffice. Nothing can be read after that.
    pub fn next(&mut self, budget: &mut Budget) -> Result<Option<Entry>, ArchiveError> {
        self.entry(budget).map_err(|problem| self.error(problem))
    }

    /// The next piece of the entry's content; empty at its end.
    ///
    /// # Errors
    /// When it cannot be read, or the archive ends within it.
    pub fn chunk(&mut self) -> Result<&[u8], ArchiveError> {
        if self.content == 0 {
            return Ok(&[]);
        }
        let most = usize::try_from(self.content).map_or(CHUNK, |left| left.min(CHUNK));
        let buffer = self.buffer.get_mut(..most).unwrap_or_default();
        let result = match read_some(&mut self.reader, buffer) {
            Ok(0) => Err(Problem::Truncated),
            Ok(read) => Ok(read),
            Err(error) => Err(error.into()),
        };
        let read = result.map_err(|problem| self.error(problem))?;
        self.offset += read as u64;
        self.content -= read as u64;
        Ok(self.buffer.get(..read).unwrap_or_default())
    }

    fn entry(&mut self, budget: &mut Budget) -> Result<Option<Entry>, Problem> {
        self.skip_content()?;
        let mut extended = Extended::default();
        loop {
            self.entry_at = self.offset;
            self.entry_name.clear();
            let Some(block) = self.block()? else {
                if self.offset == 0 {
                    return Err(Problem::Empty);
                }
                extended.check_is_used()?;
                return Ok(None);
            };
            if block.is_zero() {
                extended.check_is_used()?;
                self.end(budget)?;
                return Ok(None);
            }
            let header = Header::read(&block)?;
            self.entry_name.clone_from(&header.name);
            match header.kind {
                Kind::Extended => {
                    let records = pax::Records::read(&self.body(header.size, budget)?)?;
                    extended.add_pax(records)?;
                }
                Kind::Global => {
                    extended.check_is_used()?;
                    budget.take_entry()?;
                    pax::check_global(&self.body(header.size, budget)?)?;
                }
                Kind::LongName => {
                    let name = header::long_text(self.body(header.size, budget)?)?;
                    extended.add_long(|extended| &mut extended.long_name, name)?;
                }
                Kind::LongLink => {
                    let link = header::long_text(self.body(header.size, budget)?)?;
                    extended.add_long(|extended| &mut extended.long_link, link)?;
                }
                Kind::File | Kind::Directory | Kind::Link => {
                    budget.take_entry()?;
                    budget.take_bytes(header.size)?;
                    return self.finish(header, extended).map(Some);
                }
            }
        }
    }

    /// An entry from its headers.
    fn finish(&mut self, header: Header, extended: Extended) -> Result<Entry, Problem> {
        let Extended {
            pax,
            long_name,
            long_link,
        } = extended;
        let pax = pax.unwrap_or_default();
        if let Some(name) = long_name.or(pax.path) {
            self.entry_name = name;
        }
        let link = long_link.or(pax.link).unwrap_or(header.link);
        if pax.size.is_some_and(|size| size != header.size) {
            return Err(Problem::SizesDisagree);
        }
        if header.kind != Kind::File && header.size > 0 {
            return Err(Problem::UnexpectedContent);
        }
        if header.kind != Kind::Link && !link.is_empty() {
            return Err(Problem::UnexpectedLink);
        }
        if header.kind != Kind::Directory && self.entry_name.ends_with(b"/") {
            return Err(Problem::NamedAsDirectory);
        }
        let path = EntryPath::parse(&self.entry_name)?;
        if header.kind != Kind::Directory && path.is_root() {
            return Err(Problem::NamedAsDirectory);
        }
        let kind = match header.kind {
            Kind::File => EntryKind::File {
                size: header.size,
                executable: header.executable,
            },
            Kind::Link => {
                // That it stays inside is found out once all that it could name is there.
                let link = String::from_utf8(link).map_err(|_| InvalidPath::NotUtf8)?;
                match link.len() {
                    0 => return Err(Problem::EmptyLink),
                    1..=TARGET_MAX => {}
                    _ => return Err(Problem::LinkTooLong),
                }
                EntryKind::Link(link)
            }
            _ => EntryKind::Directory,
        };
        self.content = header.size;
        self.padding = padding(header.size);
        Ok(Entry { path, kind })
    }

    /// The content of a header that describes the next one.
    fn body(&mut self, size: u64, budget: &mut Budget) -> Result<Vec<u8>, Problem> {
        if size > EXTENSION_MAX {
            return Err(Problem::ExtensionTooLong);
        }
        budget.take_bytes(size)?;
        let mut body = Vec::new();
        let read = (&mut self.reader).take(size).read_to_end(&mut body)?;
        self.offset += read as u64;
        if (read as u64) < size {
            return Err(Problem::Truncated);
        }
        self.padding = padding(size);
        self.skip_content()?;
        Ok(body)
    }

    /// What follows a block of zeros: another one, and nothing but zeros to the end.
    fn end(&mut self, budget: &mut Budget) -> Result<(), Problem> {
        if self.block()?.is_some_and(|block| !block.is_zero()) {
            return Err(Problem::LoneZeroBlock);
        }
        loop {
            let read = read_some(&mut self.reader, &mut self.buffer)?;
            if read == 0 {
                return Ok(());
            }
            self.offset += read as u64;
            budget.take_bytes(read as u64)?;
            let rest = self.buffer.get(..read).unwrap_or_default();
            if rest.iter().any(|&byte| byte != 0) {
                return Err(Problem::TrailingData);
            }
        }
    }

    /// The next block; nothing where the archive ends before it.
    fn block(&mut self) -> Result<Option<Block>, Problem> {
        let mut block = Block::default();
        let read = read_full(&mut self.reader, &mut block.0)?;
        self.offset += read as u64;
        match read {
            0 => Ok(None),
            read if read == block.0.len() => Ok(Some(block)),
            _ => Err(Problem::Truncated),
        }
    }

    /// Reads over what is left of the content and its last block.
    fn skip_content(&mut self) -> Result<(), Problem> {
        let mut left = self.content + self.padding;
        while left > 0 {
            let most = usize::try_from(left).map_or(CHUNK, |left| left.min(CHUNK));
            let buffer = self.buffer.get_mut(..most).unwrap_or_default();
            match read_some(&mut self.reader, buffer)? {
                0 => return Err(Problem::Truncated),
                read => {
                    self.offset += read as u64;
                    left -= read as u64;
                }
            }
        }
        (self.content, self.padding) = (0, 0);
        Ok(())
    }

    fn error(&self, problem: Problem) -> ArchiveError {
        ArchiveError {
            at: self.entry_at,
            name: (!self.entry_name.is_empty())
                .then(|| String::from_utf8_lossy(&self.entry_name).into_owned()),
            problem,
        }
    }
}

impl Extended {
    fn add_pax(&mut self, records: pax::Records) -> Result<(), Problem> {
        if self.pax.is_some() || self.long_name.is_some() || self.long_link.is_some() {
            return Err(Problem::ExtensionTwice);
        }
        self.pax = Some(records);
        Ok(())
    }

    fn add_long(
        &mut self,
        text: impl Fn(&mut Self) -> &mut Option<Vec<u8>>,
        value: Vec<u8>,
    ) -> Result<(), Problem> {
        if self.pax.is_some() || text(self).is_some() {
            return Err(Problem::ExtensionTwice);
        }
        *text(self) = Some(value);
        Ok(())
    }

    /// That it was said of an entry, and not of the end of the archive.
    fn check_is_used(&self) -> Result<(), Problem> {
        if self.pax.is_some() || self.long_name.is_some() || self.long_link.is_some() {
            return Err(Problem::ExtensionOfNothing);
        }
        Ok(())
    }
}

/// How many bytes fill the last block of `size` bytes.
fn padding(size: u64) -> u64 {
    size.wrapping_neg() % BLOCK as u64
}

/// Reads until the buffer is full or there is no more: how many bytes.
fn read_full(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match read_some(reader, rest)? {
            0 => break,
            read => filled += read,
        }
    }
    Ok(filled)
}

/// Reads what there is: how many bytes, and 0 only at the end.
fn read_some(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match reader.read(buffer) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}
