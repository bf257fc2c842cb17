//! A disk that is full, or takes nothing at all: it is said, nothing is left half done, and with room the next run succeeds.

use std::fs;
use std::sync::{Arc, Mutex};

use crate::artifact::{Artifact, SKILL_MD};
use crate::machine::{Disk, alone, must};
use crate::run::{Done, Run, files};
use crate::server::Server;

/// Where the disk is: all of the output, or a volume for the one skill, as a Pod has it.
const DISKS: [&str; 2] = ["out", "out/web"];

/// The kernel's words.
const FULL: &str = "No space left on device (os error 28); make room there";
const READ_ONLY: &str = "Read-only file system (os error 30); make it writable";

/// A registry on this machine, and what it has.
fn registry() -> (Server, Arc<Mutex<Artifact>>) {
    must("ip", &["link", "set", "lo", "up"]);
    let current = Arc::new(Mutex::new(Artifact::skill()));
    let artifact = Arc::clone(&current);
    let server = Server::start(move |request| artifact.lock().unwrap().answer(request));
    (server, current)
}

/// The first version of the skill, which is small.
fn small() -> Artifact {
    let mut artifact = Artifact::skill();
    artifact.manifest["layers"]
        .as_array_mut()
        .unwrap()
        .truncate(1);
    artifact.file("old.md", b"old");
    artifact
}

/// The run failed so, and the first version stands as it stood.
fn kept_the_old(done: &Done, words: &str) {
    assert_eq!(done.code, 14, "{}", done.stderr);
    assert!(done.stderr.contains(words), "{}", done.stderr);
    let old = [
        ("web/SKILL.md", SKILL_MD.as_bytes()),
        ("web/old.md", b"old"),
    ];
    let old = old.map(|(path, content)| (path.to_owned(), content.to_vec()));
    assert_eq!(done.files, old);
}

#[test]
fn a_full_disk_is_said_and_the_next_run_has_room() {
    alone(
        "disk::a_full_disk_is_said_and_the_next_run_has_room",
        || {
            let (server, _) = registry();
            for place in DISKS {
                // Nothing fits, SKILL.md does, all but the last page does.
                for pages in [1, 2, 74] {
                    let mut run = Run::web(&server.host());
                    let disk = Disk::mount(&run.path(place), &format!("size={}", pages * 4096));
                    let done = run.go();
                    done.failed(14, FULL);
                    assert!(done.stderr.contains("/out/"), "{}", done.stderr);
                    disk.remount("size=1m");
                    run.go().is_web();
                }
            }
        },
    );
}

#[test]
fn a_disk_that_takes_so_many_files_and_no_more() {
    alone("disk::a_disk_that_takes_so_many_files_and_no_more", || {
        let (server, _) = registry();
        for place in DISKS {
            let mut failures = 0;
            // One is the root. Each run gets one step farther, until all of them are taken.
            for inodes in 1.. {
                let mut run = Run::web(&server.host());
                let disk = Disk::mount(&run.path(place), &format!("nr_inodes={inodes}"));
                let done = run.go();
                if done.code == 0 {
                    done.is_web();
                    break;
                }
                done.failed(14, FULL);
                failures += 1;
                disk.remount("nr_inodes=100");
                run.go().is_web();
            }
            // The directory of the run, two in it, and two files.
            assert!(failures >= 5, "{place}: {failures}");
        }
    });
}

#[test]
fn a_skill_that_is_there_stays_while_the_next_one_does_not_fit() {
    alone(
        "disk::a_skill_that_is_there_stays_while_the_next_one_does_not_fit",
        || {
            let (server, current) = registry();
            for place in DISKS {
                *current.lock().unwrap() = small();
                let mut run = Run::web(&server.host());
                let disk = Disk::mount(&run.path(place), "size=200k");
                assert_eq!(run.go().code, 0);
                *current.lock().unwrap() = Artifact::skill();
                kept_the_old(&run.go(), FULL);
                disk.remount("ro");
                kept_the_old(&run.go(), READ_ONLY);
                disk.remount("rw,size=1m");
                run.go().is_web();
            }
        },
    );
}

#[test]
fn a_read_only_target_is_said_and_left_alone() {
    alone("disk::a_read_only_target_is_said_and_left_alone", || {
        let (server, _) = registry();
        for place in DISKS {
            let mut run = Run::web(&server.host());
            // Mounted read-only over a file system that is not: root is told no, too.
            let disk = Disk::mount(&run.path(place), "size=1m");
            disk.remount("bind,ro");
            assert!(fs::write(run.path(place).join("file"), "").is_err());
            let done = run.go();
            done.failed(14, READ_ONLY);
            assert!(done.stderr.contains("/out/"), "{}", done.stderr);
            disk.remount("bind,rw");
            run.go().is_web();
        }
    });
}

#[test]
fn layers_on_their_way_need_room_too() {
    alone("disk::layers_on_their_way_need_room_too", || {
        let (server, _) = registry();
        for (options, words, room) in [
            ("size=100k", FULL, "size=1m"),
            ("nr_inodes=1", FULL, "nr_inodes=9"),
            ("ro", READ_ONLY, "rw"),
        ] {
            let run = Run::web(&server.host());
            let temporary = run.path("temporary");
            let disk = Disk::mount(&temporary, options);
            let mut run = run.env("TMPDIR", temporary.to_str().unwrap());
            let done = run.go();
            done.failed(14, words);
            assert!(
                done.stderr.contains("which TMPDIR names"),
                "{}",
                done.stderr
            );
            assert!(!run.path("out").exists());
            disk.remount(room);
            run.go().is_web();
            assert_eq!(disk.names(), [""; 0]);
        }
    });
}

#[test]
fn last_words_that_nobody_keeps_change_nothing() {
    alone("disk::last_words_that_nobody_keeps_change_nothing", || {
        let (server, _) = registry();
        let mut run = Run::web(&server.host());
        let disk = Disk::mount(&run.path("full"), "size=4k");
        fs::write(run.path("full/filler"), [0; 4096]).unwrap();
        let log = run.path("last-words");
        fs::write(run.path("full/log"), "").unwrap();
        fs::write(&log, "").unwrap();
        // As the kubelet mounts it: one file of the node's disk.
        let bind = [run.path("full/log"), log.clone()];
        must(
            "mount",
            &[
                "--bind",
                bind[0].to_str().unwrap(),
                bind[1].to_str().unwrap(),
            ],
        );
        let done = run.go();
        must("umount", &[log.to_str().unwrap()]);
        drop(disk);
        done.is_web();
        assert!(
            done.stderr.starts_with("warning: --termination-log ")
                && done.stderr.contains("No space left"),
            "{}",
            done.stderr
        );
        assert_eq!(files(&run.path("out")).len(), 2);
    });
}
