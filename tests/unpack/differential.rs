//! Mutated archives, read by us, by Go and by GNU tar.
//!
//! What we read, the two others must read in the same way: names, types, sizes, execution, targets, and every byte of
//! the content. We may refuse what they read, by a reason that has a name. And unpacked, an archive leaves in the skill's
//! directory what Go lists, and nothing anywhere else.
//!
//! `ARCHIVES` says how many; `make nightly` takes 100,000.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::thread;

use crate::listers::{Go, GoListing, Kind, Seen, gnu, ours, sum};
use crate::mutation::{self, mutated, seeds};
use crate::scene::Scene;

/// How many archives are looked at side by side: most of the time is spent waiting for the other readers.
const WORKERS: usize = 8;

/// What became of archives.
#[derive(Default)]
struct Tally {
    read: u64,
    unpacked: u64,
    /// By the reason.
    refused: BTreeMap<&'static str, Refused>,
}

#[derive(Default)]
struct Refused {
    archives: u64,
    /// How many of them Go reads to their end.
    read_by_go: u64,
}

#[test]
fn what_tools_write_is_read_as_they_read_it() {
    let mut go = Go::start();
    for (number, archive) in (0..).zip(mutation::good_seeds()) {
        let (entries, contents) =
            ours(&archive).unwrap_or_else(|word| panic!("seed {number}: {word}"));
        check_same(number, &archive, &entries, &contents, &go.list(&archive));
    }
}

#[test]
fn what_is_read_is_what_go_and_gnu_tar_read() {
    let count = std::env::var("ARCHIVES").map_or(2_000, |count| count.parse().unwrap());
    let seeds = &seeds();
    let all = thread::scope(|scope| {
        let worker = |first| scope.spawn(move || compare((first..count).step_by(WORKERS), seeds));
        let workers: Vec<_> = (0..WORKERS as u64).map(worker).collect();
        let tallies = workers.into_iter().map(|worker| worker.join().unwrap());
        tallies.fold(Tally::default(), Tally::and)
    });
    let Tally {
        read,
        unpacked,
        mut refused,
    } = all;
    println!("{count} archives: {read} read as Go and GNU tar do; {unpacked} unpacked; refused:");
    for (word, tally) in &refused {
        let Refused {
            archives,
            read_by_go,
        } = tally;
        println!("{archives:>8} {word} ({read_by_go} of them Go reads)");
    }
    // Otherwise the mutations say nothing.
    assert!(read > count / 10 && refused.len() >= 10 && unpacked > count / 20);
    for never in ["checksum", "lone-zero-block", "pax"] {
        let tally = refused.remove(never).unwrap_or_default();
        assert_eq!(tally.read_by_go, 0, "Go reads what we call {never}");
    }
}

/// Compares what becomes of the archives with these numbers.
fn compare(numbers: impl Iterator<Item = u64>, seeds: &[Vec<u8>]) -> Tally {
    let (mut go, mut tally) = (Go::start(), Tally::default());
    for number in numbers {
        let archive = mutated(seeds, number);
        let listed = go.list(&archive);
        match ours(&archive) {
            Ok((entries, contents)) => {
                tally.read += 1;
                check_same(number, &archive, &entries, &contents, &listed);
            }
            Err(word) => {
                let refused = tally.refused.entry(word).or_default();
                refused.archives += 1;
                refused.read_by_go += u64::from(listed.error.is_none());
            }
        }
        tally.unpacked += u64::from(check_unpacked(number, &archive, &listed));
    }
    tally
}

impl Tally {
    fn and(mut self, other: Self) -> Self {
        self.read += other.read;
        self.unpacked += other.unpacked;
        for (word, theirs) in other.refused {
            let ours = self.refused.entry(word).or_default();
            ours.archives += theirs.archives;
            ours.read_by_go += theirs.read_by_go;
        }
        self
    }
}

fn check_same(
    number: u64,
    archive: &[u8],
    entries: &[Seen],
    contents: &[Vec<u8>],
    listed: &GoListing,
) {
    let disagree = |what: String| {
        let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{number}.tar"));
        fs::write(&kept, archive).unwrap();
        panic!(
            "archive {number}: {what}\nwe list {entries:?}\nit is in {}",
            kept.display()
        );
    };
    let sums: Vec<_> = contents.iter().map(|content| sum(content)).collect();
    if let Some(error) = &listed.error {
        disagree(format!("Go refuses it: {error}"));
    }
    if listed.entries != entries || listed.sums != sums {
        disagree(format!("Go lists {:?}", listed.entries));
    }
    match gnu(archive) {
        Err(error) => disagree(format!("GNU tar refuses it: {error}")),
        Ok((seen, _)) if seen != entries => disagree(format!("GNU tar lists {seen:?}")),
        Ok((_, content)) if content != contents.concat() => {
            disagree("GNU tar reads other content".into());
        }
        Ok(_) => {}
    }
}

/// Unpacks the archive; says whether a skill came out.
fn check_unpacked(number: u64, archive: &[u8], listed: &GoListing) -> bool {
    let mut scene = Scene::new();
    scene.is_strict = false;
    let result = scene.unpack_archive(archive);
    scene.assert_nothing_beside();
    if result.is_err() {
        scene.assert_untouched();
        return false;
    }
    // Where the skill was nested, what Go lists begins with its directory.
    let found = files(&scene.skill(), "");
    let is_listed = |below: &str| {
        found.iter().all(|(path, found)| {
            let path = format!("{below}{path}");
            let mut all = listed.entries.iter().zip(&listed.sums);
            all.any(|(seen, sum)| seen.path == path.as_bytes() && found == &shown(&seen.kind, sum))
        })
    };
    let mut roots = listed.entries.iter().filter_map(|seen| {
        let path = str::from_utf8(&seen.path).ok()?;
        path.strip_suffix("SKILL.md")
    });
    assert!(roots.any(is_listed), "archive {number}: {found:?}");
    true
}

/// Every file and link below a directory, with what it should be shown as.
fn files(directory: &Path, here: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        let path = format!("{here}{}", entry.file_name().into_string().unwrap());
        let metadata = entry.metadata().unwrap();
        if metadata.is_dir() {
            found.extend(files(&entry.path(), &format!("{path}/")));
            continue;
        }
        let kind = if metadata.is_symlink() {
            let target = fs::read_link(entry.path()).unwrap();
            shown(&Kind::Link(target.into_os_string().into_vec()), "")
        } else {
            let kind = Kind::File {
                size: metadata.len(),
                executable: metadata.permissions().mode() & 0o111 != 0,
            };
            shown(&kind, &sum(&fs::read(entry.path()).unwrap()))
        };
        found.push((path, kind));
    }
    found
}

fn shown(kind: &Kind, sum: &str) -> String {
    match kind {
        Kind::File { .. } => format!("{kind:?} {sum}"),
        _ => format!("{kind:?}"),
    }
}
