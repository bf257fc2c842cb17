//! Bombs: what is small and becomes large is stopped, with little memory and without delay.

use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use std::{env, fs};

use agentteam_webhook::pull::limits::Limits;
use agentteam_webhook::pull::package::{Package, Part, Reading};
use agentteam_webhook::pull::path::EntryPath;

use crate::scene::{SKILL_MD, Scene, blob_of};
use crate::tarball::{Header, Tarball};

/// Writes `head`, then zeros up to `length` bytes, then the end of an archive, compressed.
fn gzip_bomb(head: &[u8], length: usize) -> Vec<u8> {
    let encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    pour(encoder, head, length).finish().unwrap()
}

fn zstd_bomb(head: &[u8], length: usize, window: u32) -> Vec<u8> {
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
    encoder.window_log(window).unwrap();
    pour(encoder, head, length).finish().unwrap()
}

fn pour<W: Write>(mut writer: W, head: &[u8], length: usize) -> W {
    writer.write_all(head).unwrap();
    let zeros = vec![0; 1 << 20];
    for _ in 0..length >> 20 {
        writer.write_all(&zeros).unwrap();
    }
    writer
}

/// The header of a file of this size.
fn header(size: usize) -> Vec<u8> {
    let header = Header::new(b'0', "bomb").size(size).sealed();
    Tarball::skill().raw(&header, b"").0
}

/// That each bomb is refused for its reason.
fn stopped(bombs: Vec<(&str, Vec<u8>, &str)>) {
    for (what, bomb, reason) in bombs {
        let began = Instant::now();
        let why = Scene::new().refuse(&bomb);
        assert!(why.contains(reason), "{what}: {why}");
        // Generous: it takes milliseconds on an idle machine.
        assert!(began.elapsed() < Duration::from_mins(1), "{what}");
    }
}

#[test]
fn bombs_are_stopped_at_50_mb_and_10_000_entries() {
    const GIB: usize = 1 << 30;
    let many = |count: usize, header: fn(usize) -> Header| {
        let all = (0..count).map(header);
        all.fold(Tarball::skill(), |archive, header| {
            archive.entry(&header, b"")
        })
        .end()
    };
    let nested = |index: usize| Header::new(b'0', &format!("{index}/{}f", "d/".repeat(45)));
    let records = (0..60).fold(Tarball::skill(), |archive, index| {
        let filler = format!("comment={}", "x".repeat(1_000_000));
        archive.pax(&[&filler]).file(&index.to_string(), b"")
    });
    let long = Tarball::skill().entry(&Header::new(b'x', "x"), &vec![b'x'; (1 << 20) + 1]);
    let bytes = "more than 50000000 bytes";
    let entries = "more than 10000 files, directories and links";
    stopped(vec![
        ("gzip", gzip_bomb(&header(GIB), GIB / 4), bytes),
        ("zstd", zstd_bomb(&header(GIB), GIB, 23), bytes),
        ("a size and nothing more", header(8 * GIB - 1), bytes),
        (
            "zeros behind the end",
            gzip_bomb(&Tarball::skill().end(), 64 << 20),
            bytes,
        ),
        ("extended headers", records.end(), bytes),
        (
            "files",
            many(10_000, |index| Header::new(b'0', &index.to_string())),
            entries,
        ),
        (
            "one directory",
            many(10_000, |_| Header::new(b'5', "./")),
            entries,
        ),
        (
            "records for all",
            many(10_000, |_| Header::new(b'g', "g")),
            entries,
        ),
        ("directories that nobody named", many(250, nested), entries),
        ("an extended header", long.end(), "more than 1048576 bytes"),
        (
            "a large window",
            zstd_bomb(&header(0), GIB / 4, 27),
            "cannot be read",
        ),
    ]);
}

#[test]
fn what_is_allowed_can_be_used_up() {
    let mut scene = Scene::new();
    let skill_md = SKILL_MD.len() as u64;
    let archive = Tarball::skill().file("d/f", &[b'x'; 1000]).end();
    // SKILL.md, d and d/f; both files, and the zeros of which only the first block is needed.
    let needed = Limits {
        bytes: skill_md + 1000,
        entries: 3,
    };
    scene.limits = needed;
    scene.unpack_archive(&archive).unwrap();
    for less in [
        Limits {
            bytes: needed.bytes - 1,
            ..needed
        },
        Limits {
            entries: 2,
            ..needed
        },
    ] {
        let mut scene = Scene::new();
        scene.limits = less;
        scene.refuse(&archive);
    }
}

#[test]
fn files_count_as_archives_do() {
    let mut scene = Scene::new();
    scene.limits.bytes = 99;
    let reading = Reading::File(EntryPath::parse(b"SKILL.md").unwrap());
    let refused = scene.unpack_layers(&reading, &[&[b'x'; 100]]);
    assert!(
        refused
            .unwrap_err()
            .to_string()
            .contains("more than 99 bytes")
    );
    scene.assert_untouched();
}

/// Names a package for this test to unpack in a process of its own, and say how much memory that took.
const UNPACK: &str = "TEST_UNPACK";

/// Packages that take much memory, and what becomes of each: as many names and targets as may be, each as long as may be;
/// long headers; a long file; a bomb. All with zstd's largest window.
pub fn heavy() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let links = (0..9_999).fold(Tarball::skill(), |archive, index| {
        let name = format!("N{index:0254}");
        let target = format!("{}SKILL.md", "./".repeat(120));
        let records = [format!("path={name}"), format!("linkpath={target}")];
        archive.pax(&[&records[0], &records[1]]).link("l", "l")
    });
    let extended = (0..40).fold(Tarball::skill(), |archive, index| {
        let filler = format!("comment={}", "x".repeat((1 << 20) - 100));
        archive.pax(&[&filler]).file(&index.to_string(), b"")
    });
    let large = Header::new(b'0', "large").size(47 << 20).sealed();
    let large = Tarball::skill().raw(&large, &vec![b'x'; 47 << 20]).end();
    let zstd = |archive: Vec<u8>| {
        let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
        encoder.window_log(23).unwrap();
        encoder.write_all(&archive).unwrap();
        encoder.finish().unwrap()
    };
    vec![
        ("links", zstd(links.end()), "1 files"),
        ("extended headers", zstd(extended.end()), "41 files"),
        ("a large file", zstd(large), "2 files"),
        (
            "a bomb",
            zstd_bomb(&header(1 << 30), 1 << 30, 23),
            "more than 50000000 bytes",
        ),
    ]
}

/// The largest resident memory of a process so far, in KiB; nothing when it has ended.
pub fn peak(process: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

#[test]
fn memory_stays_below_64_mib() {
    if let Some(path) = env::var_os(UNPACK) {
        let package = Package {
            parts: vec![Part {
                layer: 0,
                reading: Reading::Archive,
            }],
            left_out: Vec::new(),
        };
        let outcome = match Scene::new().unpack(&package, &[blob_of(0, Path::new(&path))]) {
            Ok(unpacked) => format!("{} files", unpacked.files),
            Err(error) => error.to_string(),
        };
        println!("\npeak {} KiB, {outcome}", peak("self").unwrap());
        return;
    }
    for (what, bytes, says) in heavy() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&bytes).unwrap();
        let output = Command::new(env::current_exe().unwrap())
            .args([
                "--exact",
                "limits::memory_stays_below_64_mib",
                "--nocapture",
            ])
            .env(UNPACK, file.path())
            .output()
            .unwrap();
        let stdout = String::from_utf8_lossy(&output.stdout);
        let line = stdout.lines().find_map(|line| line.strip_prefix("peak "));
        let line = line.unwrap_or_else(|| panic!("{what}: {stdout}"));
        println!("{what}: {line}");
        let (peak, outcome) = line.split_once(" KiB, ").unwrap();
        assert!(outcome.contains(says), "{what}: {outcome}");
        assert!(
            peak.parse::<u64>().unwrap() < 64 << 10,
            "{what}: {peak} KiB"
        );
    }
}
