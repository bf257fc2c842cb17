//! Tar archives written header by header, also such as no tool would write.

/// The length of a block.
pub const BLOCK: usize = 512;

/// An archive in the making. Its end is not there before [`Tarball::end`].
#[derive(Clone, Default)]
pub struct Tarball(pub Vec<u8>);

/// A header, to be changed field by field.
#[derive(Clone)]
pub struct Header(pub [u8; BLOCK]);

impl Tarball {
    /// An archive that begins with a good `SKILL.md`.
    pub fn skill() -> Self {
        Self::default().file("SKILL.md", super::scene::SKILL_MD.as_bytes())
    }

    pub fn file(self, name: &str, content: &[u8]) -> Self {
        self.entry(&Header::new(b'0', name), content)
    }

    pub fn directory(self, name: &str) -> Self {
        self.entry(&Header::new(b'5', name), b"")
    }

    pub fn link(self, name: &str, target: &str) -> Self {
        self.entry(&Header::new(b'2', name).target(target), b"")
    }

    /// A header with its content, the size and the checksum of which are set.
    pub fn entry(self, header: &Header, content: &[u8]) -> Self {
        self.raw(&header.clone().size(content.len()).sealed(), content)
    }

    /// A header as it is, and content.
    pub fn raw(mut self, header: &Header, content: &[u8]) -> Self {
        self.0.extend(header.0);
        self.0.extend(content);
        let filled = self.0.len().next_multiple_of(BLOCK);
        self.0.resize(filled, 0);
        self
    }

    /// A PAX header with these records.
    pub fn pax(self, records: &[&str]) -> Self {
        self.entry(&Header::new(b'x', "PaxHeaders/x"), &pax_records(records))
    }

    /// Two blocks of zeros.
    pub fn end(mut self) -> Vec<u8> {
        self.0.resize(self.0.len() + 2 * BLOCK, 0);
        self.0
    }
}

impl Header {
    /// A POSIX header.
    pub fn new(typeflag: u8, name: &str) -> Self {
        let mut header = Self([0; BLOCK]);
        header.set(0, name.as_bytes());
        header.set(100, b"0000644\0");
        header.set(108, b"0001750\0");
        header.set(116, b"0001750\0");
        header.set(136, b"14371573000\0");
        header.0[156] = typeflag;
        header.set(257, b"ustar\x0000");
        header
    }

    /// A GNU header.
    pub fn gnu(typeflag: u8, name: &str) -> Self {
        let mut header = Self::new(typeflag, name);
        header.set(257, b"ustar  \0");
        header
    }

    pub fn target(mut self, target: &str) -> Self {
        self.set(157, target.as_bytes());
        self
    }

    pub fn mode(mut self, mode: &str) -> Self {
        self.set(100, mode.as_bytes());
        self
    }

    pub fn size(mut self, size: usize) -> Self {
        self.set(124, format!("{size:011o}\0").as_bytes());
        self
    }

    pub fn with(mut self, at: usize, bytes: &[u8]) -> Self {
        self.set(at, bytes);
        self
    }

    /// With the checksum that it should have.
    pub fn sealed(mut self) -> Self {
        seal(&mut self.0);
        self
    }

    fn set(&mut self, at: usize, bytes: &[u8]) {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
    }
}

/// Sets the checksum of the header in a block.
pub fn seal(block: &mut [u8]) {
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

/// Records of `KEY=VALUE`, each with its length.
pub fn pax_records(records: &[&str]) -> Vec<u8> {
    let line = |record: &&str| {
        let mut length = record.len() + 3;
        while length != record.len() + 2 + length.to_string().len() {
            length += 1;
        }
        format!("{length} {record}\n").into_bytes()
    };
    records.iter().flat_map(line).collect()
}
