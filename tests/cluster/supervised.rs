//! Whether children die with the process that started them.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::process::Supervised;

fn alive(pid: &str) -> bool {
    let check = Command::new("/bin/sh")
        .args(["-c", r#"kill -s 0 "$1" 2>/dev/null"#, "sh", pid])
        .status();
    check.unwrap().success()
}

#[test]
fn a_killed_test_process_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("data");
    std::fs::create_dir(&dir).unwrap();
    // In place of a test process: it holds the other end of the pipe, and can be killed.
    let mut holder = Command::new("sleep")
        .arg("1000")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut command = Supervised::command(Path::new("/bin/sh"), &dir);
    command.args(["-c", "echo $$; exec sleep 1000"]);
    command
        .stdin(holder.stdout.take().unwrap())
        .stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut pid = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut pid)
        .unwrap();
    let pid = pid.trim();
    assert!(alive(pid) && dir.exists());

    holder.kill().unwrap();
    holder.wait().unwrap();

    child.wait().unwrap();
    assert!(
        !alive(pid) && !dir.exists(),
        "process {pid} or {} is still there",
        dir.display()
    );
}

#[test]
fn signals_reach_the_program_and_its_exit_code_comes_back() {
    let mut command = Supervised::command(Path::new("/bin/sh"), Path::new(""));
    command
        .args([
            "-c",
            "trap 'exit 7' TERM; echo up; while :; do sleep 0.01; done",
        ])
        .stdout(Stdio::piped());
    let mut child = Supervised::spawn(command).unwrap();
    let mut up = String::new();
    BufReader::new(child.take_stdout().unwrap())
        .read_line(&mut up)
        .unwrap();
    assert_eq!(child.ended(), None);

    child.signal("TERM");

    let status = child
        .ends_within(Duration::from_secs(5))
        .expect("SIGTERM ends it");
    assert_eq!(status.code(), Some(7));
}
