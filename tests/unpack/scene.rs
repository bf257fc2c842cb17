//! A directory into which skills are unpacked.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use agentteam_webhook::pull::Blob;
use agentteam_webhook::pull::limits::Limits;
use agentteam_webhook::pull::package::{Package, Part, Reading};
use agentteam_webhook::pull::publish::Staging;
use agentteam_webhook::pull::unpack::{UnpackError, Unpacked, unpack};
use agentteam_webhook::skill::SkillName;
use tempfile::TempDir;

pub const SKILL: &str = "web-research";

pub const SKILL_MD: &str = "---\nname: web-research\ndescription: Searches the web.\n---\n";

/// A file system in memory, and how many KiB must be free there: enough for the heaviest skills of all tests at once.
const MEMORY: &str = "/dev/shm";
const ROOM: u64 = 1 << 20;

/// A directory that is removed when it is dropped. In memory where there is room: on a disk, ten thousand files that are
/// made and removed again and again may take a minute.
pub fn tempdir() -> TempDir {
    static HAS_ROOM: LazyLock<bool> = LazyLock::new(|| {
        let df = Command::new("df").args(["-Pk", MEMORY]).output();
        let text = df.map_or_else(
            |_| String::new(),
            |df| String::from_utf8_lossy(&df.stdout).into(),
        );
        let free = text
            .lines()
            .nth(1)
            .and_then(|line| line.split_whitespace().nth(3)?.parse().ok());
        free.is_some_and(|free: u64| free >= ROOM)
    });
    let inside = HAS_ROOM
        .then(|| tempfile::tempdir_in(MEMORY).ok())
        .flatten();
    inside.unwrap_or_else(|| tempfile::tempdir().unwrap())
}

pub struct Scene {
    dir: TempDir,
    pub limits: Limits,
    pub is_strict: bool,
}

impl Scene {
    pub fn new() -> Self {
        let dir = tempdir();
        fs::write(dir.path().join("canary"), "sings").unwrap();
        fs::create_dir(dir.path().join("out")).unwrap();
        Self {
            dir,
            limits: Limits::default(),
            is_strict: true,
        }
    }

    /// Where the skill appears.
    pub fn skill(&self) -> PathBuf {
        self.output().join(SKILL)
    }

    pub fn output(&self) -> PathBuf {
        self.dir.path().join("out")
    }

    /// Unpacks and publishes.
    pub fn unpack(&self, package: &Package, blobs: &[Blob]) -> Result<Unpacked, UnpackError> {
        let name = SkillName::parse(SKILL).unwrap();
        let staging = Staging::prepare(&self.output(), &name).unwrap();
        let unpacked = unpack(package, blobs, &name, self.limits, self.is_strict, &staging)?;
        staging.publish().unwrap();
        Ok(unpacked)
    }

    /// The same with one archive.
    pub fn unpack_archive(&self, archive: &[u8]) -> Result<Unpacked, UnpackError> {
        self.unpack_layers(&Reading::Archive, &[archive])
    }

    /// The same with layers that are read in one way.
    pub fn unpack_layers(
        &self,
        reading: &Reading,
        layers: &[&[u8]],
    ) -> Result<Unpacked, UnpackError> {
        let parts = (0..layers.len()).map(|layer| Part {
            layer,
            reading: reading.clone(),
        });
        let package = Package {
            parts: parts.collect(),
            left_out: Vec::new(),
        };
        let blobs: Vec<_> = layers
            .iter()
            .enumerate()
            .map(|(layer, content)| blob(layer, content))
            .collect();
        self.unpack(&package, &blobs)
    }

    /// Refuses an archive, leaves nothing behind, and says why.
    pub fn refuse(&self, archive: &[u8]) -> String {
        let refused = self.unpack_archive(archive);
        let why = refused.expect_err("it is to be refused").to_string();
        self.assert_untouched();
        why
    }

    /// Nothing appeared, in the target or beside it.
    pub fn assert_untouched(&self) {
        assert_eq!(list(&self.output()), Vec::<String>::new());
        self.assert_nothing_beside();
    }

    /// Nothing happened outside the target.
    pub fn assert_nothing_beside(&self) {
        let mut names: Vec<_> = fs::read_dir(self.dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        names.sort();
        assert_eq!(names, ["canary", "out"]);
        let canary = fs::read_to_string(self.dir.path().join("canary")).unwrap();
        assert_eq!(canary, "sings");
    }

    /// What is in the skill's directory.
    pub fn listing(&self) -> Vec<String> {
        list(&self.skill())
    }
}

pub fn blob(layer: usize, content: &[u8]) -> Blob {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(content).unwrap();
    Blob { layer, file }
}

pub fn blob_of(layer: usize, path: &Path) -> Blob {
    let file = File::open(path).unwrap();
    Blob { layer, file }
}

/// What is in a directory: modes, paths, and the content of files or the targets of links.
pub fn list(directory: &Path) -> Vec<String> {
    let mut listed = Vec::new();
    list_below(directory, "", &mut listed);
    listed
}

fn list_below(directory: &Path, here: &str, listed: &mut Vec<String>) {
    let mut entries: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    entries.sort();
    for name in entries {
        let path = directory.join(&name);
        let metadata = fs::symlink_metadata(&path).unwrap();
        let mode = metadata.permissions().mode() & 0o7777;
        if metadata.is_symlink() {
            let target = fs::read_link(&path).unwrap();
            listed.push(format!("{here}{name} -> {}", target.display()));
        } else if metadata.is_dir() {
            listed.push(format!("{mode:o} {here}{name}/"));
            list_below(&path, &format!("{here}{name}/"), listed);
        } else {
            let content = fs::read(&path).unwrap();
            let content = String::from_utf8_lossy(&content);
            listed.push(format!("{mode:o} {here}{name} {content:?}"));
        }
    }
}
