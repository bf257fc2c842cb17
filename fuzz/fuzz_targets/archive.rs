//! Any bytes, unpacked as an archive and as the layer of an image: nothing is written elsewhere, and what appears is whole,
//! plain and within the limits.
//!
//! The first byte says whether the checksums of tar headers are set right, so that what lies behind them is reached.
#![no_main]

use std::cell::RefCell;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path};

use agentteam_webhook::pull::Blob;
use agentteam_webhook::pull::limits::Limits;
use agentteam_webhook::pull::package::{Package, Part, Reading};
use agentteam_webhook::pull::publish::Staging;
use agentteam_webhook::pull::unpack::unpack;
use agentteam_webhook::skill::SkillName;
use libfuzzer_sys::fuzz_target;
use tempfile::TempDir;

const LIMITS: Limits = Limits {
    bytes: 1 << 20,
    entries: 100,
};

const BLOCK: usize = 512;

thread_local! {
    static DIR: RefCell<TempDir> = RefCell::new(tempfile::tempdir().unwrap());
}

fuzz_target!(|data: &[u8]| {
    let Some((&first, rest)) = data.split_first() else {
        return;
    };
    let mut archive = rest.to_vec();
    if first % 2 == 1 {
        seal_all(&mut archive);
    }
    DIR.with_borrow(|dir| {
        for reading in [Reading::Archive, Reading::ImageLayer] {
            check(dir.path(), &archive, reading);
        }
    });
});

fn check(dir: &Path, archive: &[u8], reading: Reading) {
    let skill = SkillName::parse("skill").unwrap();
    let output = dir.join("out");
    let mut file: File = tempfile::tempfile_in(dir).unwrap();
    file.write_all(archive).unwrap();
    let package = Package {
        parts: vec![Part { layer: 0, reading }],
        left_out: Vec::new(),
    };
    let staging = Staging::prepare(&output, &skill).unwrap();
    let blobs = [Blob { layer: 0, file }];
    let result = unpack(&package, &blobs, &skill, LIMITS, false, &staging);
    if let Ok(unpacked) = &result {
        let path = staging.publish().unwrap();
        let mut found = (0, 0);
        check_plain(&path, &path, &mut found);
        assert_eq!(found, (unpacked.files, unpacked.bytes));
        assert!(unpacked.bytes <= LIMITS.bytes && unpacked.files <= LIMITS.entries);
        assert!(path.join("SKILL.md").is_file());
        fs::remove_dir_all(path).unwrap();
    } else {
        drop(staging);
    }
    assert_eq!(fs::read_dir(&output).unwrap().count(), 0);
    fs::remove_dir(&output).unwrap();
    assert_eq!(fs::read_dir(dir).unwrap().count(), 0);
}

/// That there are directories and files that everybody can read, and links to such files; counts files and bytes.
fn check_plain(root: &Path, directory: &Path, found: &mut (u32, u64)) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let metadata = fs::symlink_metadata(&path).unwrap();
        let mode = metadata.permissions().mode() & 0o7777;
        if metadata.is_dir() {
            assert_eq!(mode, 0o755);
            check_plain(root, &path, found);
        } else if metadata.is_file() {
            assert!(mode == 0o644 || mode == 0o755);
            *found = (found.0 + 1, found.1 + metadata.len());
        } else {
            let target = fs::read_link(&path).unwrap();
            assert!(
                target
                    .components()
                    .all(|part| !matches!(part, Component::RootDir))
            );
            let real = fs::canonicalize(&path).unwrap();
            assert!(real.starts_with(fs::canonicalize(root).unwrap()) && real.is_file());
        }
    }
}

/// Sets the checksum of every block that has the magic of a header.
fn seal_all(archive: &mut [u8]) {
    for block in archive.chunks_exact_mut(BLOCK) {
        if &block[257..262] == b"ustar" {
            block[148..156].fill(b' ');
            let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
            block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        }
    }
}
