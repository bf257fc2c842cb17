//! A test on a machine of its own: what it mounts, which addresses it has and what names stand for there is seen by nobody
//! else, and gone when it ends.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

/// Set in the process that has the machine.
const INSIDE: &str = "AGENTTEAM_WEBHOOK_TEST_MACHINE";

/// Runs `body` as the only test of a process that is root of its own mounts and network. `test` is the full name of the test
/// that calls this.
pub fn alone(test: &str, body: impl FnOnce()) {
    if env::var_os(INSIDE).is_some() {
        return body();
    }
    let mut command = Command::new("unshare");
    command.args(["--mount", "--net"]);
    if fs::metadata("/proc/self").is_ok_and(|process| process.uid() != 0) {
        command.arg("--map-root-user");
    }
    let done = command
        .arg(env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture"])
        .env(INSIDE, "1")
        .output()
        .expect("unshare is there, on Linux with util-linux");
    let [stdout, stderr] =
        [done.stdout, done.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    assert!(
        !stderr.starts_with("unshare: "),
        "mounts of one's own need root, or a kernel that lets anybody have namespaces: {stderr}"
    );
    assert!(
        done.status.success() && stdout.contains("1 passed"),
        "{stdout}{stderr}"
    );
}

/// Runs a program that must succeed.
#[track_caller]
pub fn must(program: &str, args: &[&str]) {
    let done = Command::new(program).args(args).output();
    let done = done.unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(
        done.status.success(),
        "{program} {args:?}: {}",
        String::from_utf8_lossy(&done.stderr)
    );
}

/// A disk in memory, mounted until this is dropped.
pub struct Disk(PathBuf);

impl Disk {
    /// With these options of tmpfs, at a directory that is made for it.
    pub fn mount(at: &Path, options: &str) -> Self {
        fs::create_dir_all(at).unwrap();
        let path = at.to_str().unwrap();
        must("mount", &["-t", "tmpfs", "-o", options, "tmpfs", path]);
        Self(at.to_owned())
    }

    /// Changes the options of what is mounted, such as its size.
    pub fn remount(&self, options: &str) {
        let options = format!("remount,{options}");
        // With its source, or else mount repeats options that only the kernel may set.
        let path = self.0.to_str().unwrap();
        must("mount", &["-o", &options, "tmpfs", path]);
    }

    /// The names of what is there.
    pub fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).unwrap();
        entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // It goes with the machine in any case; without it, what is below is not removed.
        let _ = Command::new("umount").arg(&self.0).status();
    }
}
