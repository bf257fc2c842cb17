//! Skills, on disk and as they arrived.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tempfile::TempDir;

/// Text and exec bit by path, relative to the skill.
pub type Files = BTreeMap<String, (String, bool)>;

/// A skill as its author has it.
pub struct Skill {
    pub files: Files,
    dir: TempDir,
}

impl Skill {
    /// With instructions, a script and a reference; what they say is its own.
    pub fn new(name: &str) -> Self {
        let files = [
            (
                "SKILL.md",
                format!("---\nname: {name}\ndescription: How to {name}.\n---\n\n# {name}\n"),
                false,
            ),
            (
                "scripts/run.sh",
                format!("#!/bin/sh\necho {name} runs\n"),
                true,
            ),
            (
                "references/notes.md",
                format!("Notes of {name}: ünïcödé.\n"),
                false,
            ),
        ];
        let files = files.map(|(path, text, runs)| (path.to_owned(), (text, runs)));
        Self::of(files.into())
    }

    pub fn of(files: Files) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for (path, (text, runs)) in &files {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, text).unwrap();
            let mode = if *runs { 0o755 } else { 0o644 };
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        }
        Self { files, dir }
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }
}

/// A shell's commands that print all files below the directory `$1`, for [`read`].
pub const PRINT: &str = r#"
cd "$1"
for file in $(find . -type f -o -type l | sort); do
    test -f "$file" || continue
    echo "=== ${file#./} $(stat -L -c %a "$file")"
    cat "$file"
done
"#;

/// What [`PRINT`] printed. Links that a ConfigMap volume is made of are left out.
pub fn read(printed: &str) -> Files {
    let mut files = Files::new();
    let mut current = None;
    for line in printed.split_inclusive('\n') {
        if let Some(head) = line.strip_prefix("=== ") {
            let (path, mode) = head.trim_end().rsplit_once(' ').expect("a path and a mode");
            let runs = u32::from_str_radix(mode, 8).expect("an octal mode") & 0o111 != 0;
            current = Some(path.to_owned());
            files.insert(path.to_owned(), (String::new(), runs));
        } else if let Some(path) = &current {
            files
                .get_mut(path)
                .expect("its head came first")
                .0
                .push_str(line);
        }
    }
    files.retain(|path, _| !path.starts_with(".."));
    files
}
