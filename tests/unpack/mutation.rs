//! Archives of every kind, changed at random but always in the same way.

use std::fs;
use std::process::Command;

use crate::tarball::{BLOCK, Header, Tarball, pax_records, seal};

/// Random numbers that are the same on every machine (splitmix64).
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).unwrap()
    }

    pub fn pick<'a, T: ?Sized>(&mut self, of: &[&'a T]) -> &'a T {
        of[self.below(of.len())]
    }

    fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }
}

/// Archives to begin with: as tools write them, and as nobody does.
pub fn seeds() -> Vec<Vec<u8>> {
    [good_seeds(), bad_seeds()].concat()
}

/// Archives as GNU tar writes them in each of the formats that are read, and others with all that is read.
pub fn good_seeds() -> Vec<Vec<u8>> {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, content: &str| {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    };
    write("SKILL.md", crate::scene::SKILL_MD);
    write("scripts/run.sh", &"#!/bin/sh\n".repeat(80));
    write("empty", "");
    std::os::unix::fs::symlink("SKILL.md", dir.path().join("AGENTS.md")).unwrap();
    let tar = |format: &str, long: bool| {
        if long {
            write(
                &format!("{}/{}.md", "long".repeat(20), "name".repeat(40)),
                "long",
            );
        }
        let output = Command::new("tar")
            .args([
                "--create",
                "--sort=name",
                "--mtime=@1700000000",
                "--owner=author:1000",
            ])
            .args([
                "--group=author:1000",
                "--mode=go+u,go-w",
                "--file=-",
                "--format",
                format,
            ])
            .args(if format == "pax" {
                &["--pax-option=exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime"][..]
            } else {
                &[]
            })
            .args(["-C", dir.path().to_str().unwrap(), "."])
            .output()
            .expect("GNU tar is needed");
        assert!(output.status.success());
        output.stdout
    };
    let mut seeds: Vec<_> = ["ustar", "gnu", "oldgnu", "pax"]
        .iter()
        .map(|format| tar(format, false))
        .collect();
    seeds.extend(["gnu", "pax"].iter().map(|format| tar(format, true)));
    let skill = Tarball::skill;
    seeds.extend(
        [
            skill().directory("d/").file("d/x", b"x").link("d/l", "x"),
            skill()
                .pax(&["path=p/q", "size=3", "mtime=1.5", "comment=x"])
                .file("x", b"abc"),
            skill().pax(&["linkpath=SKILL.md"]).link("l", "x"),
            skill()
                .entry(&Header::gnu(b'L', "././@LongLink"), b"long/name\0")
                .file("x", b"x"),
            skill()
                .entry(&Header::gnu(b'K', "././@LongLink"), b"SKILL.md\0")
                .link("l", "x"),
            skill()
                .entry(
                    &Header::new(b'g', "pax_global_header"),
                    b"16 comment=0123\n",
                )
                .file("x", b"x"),
            skill().entry(&Header::new(b'0', "name").with(345, b"prefix"), b"x"),
            skill().entry(
                &Header::gnu(b'0', "x").with(345, b"14371573000\x0014371573000\0"),
                b"x",
            ),
            skill().entry(
                &Header::new(b'0', "x").with(108, b"\x80\0\0\0\x10\0\0\0"),
                b"x",
            ),
        ]
        .map(Tarball::end),
    );
    seeds
}

/// Archives with what is refused.
fn bad_seeds() -> Vec<Vec<u8>> {
    let skill = Tarball::skill;
    [
        skill().entry(&Header::new(b'1', "hard").target("SKILL.md"), b""),
        skill()
            .entry(&Header::new(b'3', "device"), b"")
            .entry(&Header::new(b'6', "fifo"), b""),
        skill()
            .pax(&[
                "GNU.sparse.major=1",
                "GNU.sparse.minor=0",
                "GNU.sparse.realsize=9",
            ])
            .file("x", b"1\n0\n1\n"),
    ]
    .map(Tarball::end)
    .to_vec()
}

/// One archive, out of the seeds by one to four changes, and mostly by one: of more changes little remains to be read.
pub fn mutated(seeds: &[Vec<u8>], number: u64) -> Vec<u8> {
    let mut random = Random::new(number);
    let seed = random.below(seeds.len());
    let mut archive = seeds[seed].clone();
    let changes = [1, 1, 1, 1, 2, 2, 3, 4][random.below(8)];
    for _ in 0..changes {
        mutate(&mut archive, seeds, &mut random);
    }
    archive
}

fn mutate(archive: &mut Vec<u8>, seeds: &[Vec<u8>], random: &mut Random) {
    if archive.len() < BLOCK {
        archive.resize(BLOCK, 0);
    }
    let blocks = archive.len() / BLOCK;
    let block = random.below(blocks) * BLOCK;
    match random.below(16) {
        0..=3 => field(header_of(archive, random), random),
        4..=6 => harmless(header_of(archive, random), random),
        7 => {
            // In content there is nothing to break.
            let at = archive.iter().position(|&byte| byte == b'#').unwrap_or(0);
            archive[at] = random.byte();
        }
        8 => {
            let at = random.below(archive.len());
            archive[at] ^= 1 << random.below(8);
            let block = at / BLOCK * BLOCK;
            if random.below(3) > 0
                && archive[block..].len() >= BLOCK
                && is_header(&archive[block..block + BLOCK])
            {
                seal(&mut archive[block..block + BLOCK]);
            }
        }
        9 => drop(archive.drain(block..block + BLOCK)),
        10 => {
            let copy = archive[block..block + BLOCK].to_vec();
            let at = random.below(blocks + 1) * BLOCK;
            archive.splice(at..at, copy);
        }
        11 => {
            let other = &seeds[random.below(seeds.len())];
            let from = random.below(other.len() / BLOCK) * BLOCK;
            archive.splice(block..block, other[from..].iter().copied());
        }
        12 => archive.truncate(random.below(archive.len()) + 1),
        13..=14 => records(archive, random),
        _ => {
            let (header, content) = extra(random);
            let added = Tarball::default().raw(&header, &content).0;
            archive.splice(block..block, added);
        }
    }
}

/// One of the headers, or any block.
fn header_of<'a>(archive: &'a mut [u8], random: &mut Random) -> &'a mut [u8] {
    let headers: Vec<_> = archive
        .chunks_exact(BLOCK)
        .enumerate()
        .filter(|(_, block)| is_header(block))
        .map(|(index, _)| index)
        .collect();
    let index = if headers.is_empty() {
        0
    } else {
        headers[random.below(headers.len())]
    };
    &mut archive[index * BLOCK..(index + 1) * BLOCK]
}

fn is_header(block: &[u8]) -> bool {
    &block[257..262] == b"ustar"
        || (block[0] != 0 && block[148..154].iter().all(u8::is_ascii_digit))
}

/// Changes a field of a header, and mostly its checksum with it.
fn field(header: &mut [u8], random: &mut Random) {
    let numbers = [
        &b"00000000000\0"[..],
        b"00000000001\0",
        b"00000000777\0",
        b"00000001000\0",
        b"00000002000\0",
        b"77777777777\0",
        b"           \0",
        b"12 \0\0\0\0\0\0\0\0\0",
        b"\x0000000000012",
        b"-0000000001\0",
        b"000000 1000\0",
        b"\x80\0\0\0\0\0\0\0\0\0\x02\0",
        b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\0\0\0\0\0\0\0\0\0\0\0\0",
    ];
    let texts = [
        &b"SKILL.md"[..],
        b"x",
        b"x/",
        b"./x//y",
        b"../x",
        b"/x",
        b"",
        b"a\0b",
        b"d/../x",
        b"\xc3\xa9",
        b"\xff",
    ];
    let set = |header: &mut [u8], at: usize, length: usize, value: &[u8]| {
        header[at..at + length].fill(0);
        let length = length.min(value.len());
        header[at..at + length].copy_from_slice(&value[..length]);
    };
    match random.below(10) {
        0..=1 => set(header, 124, 12, random.pick(&numbers)),
        2 => {
            let (at, length) = [
                (100, 8),
                (108, 8),
                (116, 8),
                (136, 12),
                (329, 8),
                (337, 8),
                (345, 12),
            ][random.below(7)];
            set(header, at, length, random.pick(&numbers));
        }
        3 => set(header, 0, 100, random.pick(&texts)),
        4 => set(header, 157, 100, random.pick(&texts)),
        5 => set(header, 345, 155, random.pick(&texts)),
        6..=7 => header[156] = b"01234567xgLKSDMVNX\0"[random.below(18)],
        8 => set(
            header,
            257,
            8,
            random.pick(&[
                &b"ustar\x0000"[..],
                b"ustar  \0",
                b"ustar\0\0\0",
                b"",
                b"ustar 00",
            ]),
        ),
        _ => header[random.below(BLOCK)] = random.byte(),
    }
    if random.below(20) > 0 {
        seal(header);
    }
}

/// Changes what readers should bear: a name, the mode, owner and time in another writing.
fn harmless(header: &mut [u8], random: &mut Random) {
    let number = |random: &mut Random, width: usize| {
        let number = random.below(0o10_000);
        match random.below(3) {
            0 => format!("{number:0width$o}\0"),
            1 => format!("{number:0width$o} "),
            _ => format!("{number:width$o}\0"),
        }
    };
    match random.below(6) {
        0 => {
            let name = format!("d{}/n{}", random.below(9), random.below(1000));
            header[..=name.len()].copy_from_slice(&[name.as_bytes(), b"\0"].concat());
            header[name.len()..100].fill(0);
        }
        1 => header[100..108].copy_from_slice(number(random, 7).as_bytes()),
        2 => header[108..116].copy_from_slice(number(random, 7).as_bytes()),
        3 => header[136..148].copy_from_slice(number(random, 11).as_bytes()),
        4 => header[116..124].copy_from_slice(&[0x80, 0, 0, 0, random.byte(), 0, 0, 1]),
        _ => header[265..297].fill(random.byte()),
    }
    seal(header);
}

/// Puts other records into a PAX header, or changes a byte in them.
fn records(archive: &mut [u8], random: &mut Random) {
    let Some(at) = archive
        .chunks_exact(BLOCK)
        .position(|block| is_header(block) && matches!(block[156], b'x' | b'g'))
    else {
        return field(header_of(archive, random), random);
    };
    let (header, rest) = archive[at * BLOCK..].split_at_mut(BLOCK);
    if rest.len() < BLOCK {
        return;
    }
    let body = &mut rest[..BLOCK];
    if random.below(3) == 0 {
        let end = body.iter().position(|&byte| byte == 0).unwrap_or(BLOCK);
        body[random.below(end + 1).min(BLOCK - 1)] = random.byte();
        return;
    }
    let known = [
        "path=x",
        "path=../x",
        "path=d/y",
        "path=",
        "path=a\0b",
        "linkpath=SKILL.md",
        "linkpath=/x",
        "size=0",
        "size=1",
        "size=512",
        "size=-1",
        "size=01",
        "uid=1",
        "uid=x",
        "mtime=1.5",
        "mtime=x",
        "comment=",
        "GNU.sparse.name=x",
        "GNU.sparse.size=1",
        "hdrcharset=BINARY",
        "SCHILY.xattr.user.x=y",
        "gname=\0",
        "atime=1",
        "charset=x",
    ];
    let records: Vec<_> = (0..=random.below(3)).map(|_| random.pick(&known)).collect();
    let text = pax_records(&records);
    body.fill(0);
    body[..text.len()].copy_from_slice(&text);
    let length = text.len() + usize::from(random.below(8) == 0);
    header[124..136].copy_from_slice(format!("{length:011o}\0").as_bytes());
    seal(header);
}

/// A header of a kind that matters, with its content.
fn extra(random: &mut Random) -> (Header, Vec<u8>) {
    let content = match random.below(8) {
        0 => pax_records(&["path=x/y"]),
        1 => pax_records(&["size=512"]),
        2 => pax_records(&["linkpath=SKILL.md"]),
        3 => b"long/name\0".to_vec(),
        4 => b"SKILL.md".to_vec(),
        5 => vec![b'x'; 600],
        _ => Vec::new(),
    };
    let header = Header::new(
        b"0125xgLKS"[random.below(9)],
        random.pick(&["x", "y/z", "d/", "SKILL.md"]),
    );
    let header = header.target(random.pick(&["", "", "SKILL.md", "../x"]));
    (header.size(content.len()).sealed(), content)
}
