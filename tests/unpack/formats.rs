//! Every way to pack a skill that is met in the wild ends as one flat directory with `SKILL.md` at its root.
//!
//! The packages are made by oras-go, archive/tar and klauspost/compress: `tests/tools/pack` says how.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use agentteam_webhook::pull::Blob;
use agentteam_webhook::pull::digest::Digest;
use agentteam_webhook::pull::manifest::{Document, Manifest};
use agentteam_webhook::pull::package::needed;
use agentteam_webhook::pull::unpack::{Unpacked, Warning};
use serde_json::Value;
use tempfile::TempDir;

use crate::scene::{Scene, blob_of};
use crate::tools::tool;

/// The ways, and whether files keep their exec bit in them.
pub const WAYS: [(&str, bool); 19] = [
    ("oras-directory", true),
    ("oras-nested", true),
    ("oras-files", false),
    ("oras-mixed", true),
    ("agentskills-files", false),
    ("agentskills-gzip", true),
    ("agentskills-zstd", true),
    ("agentskills-tar", true),
    ("acr", true),
    ("flux", true),
    ("tarball-gzip", true),
    ("tarball-zstd", true),
    ("tarball-tar", true),
    ("toolhive", true),
    ("image", true),
    ("image-zstd", true),
    ("image-tar", true),
    ("image-docker", true),
    ("image-index", true),
];

/// What comes out.
pub fn skill(keeps_exec_bits: bool) -> Vec<String> {
    let content =
        r#""---\nname: web-research\ndescription: Searches the web.\n---\n# Web research\n""#;
    let mut listed = vec![format!("644 SKILL.md {content}"), "755 references/".into()];
    let mut directory = "references/".to_owned();
    for _ in 0..8 {
        directory.push_str("long-directory/");
        listed.push(format!("755 {directory}"));
    }
    listed.push(format!("644 {directory}{}.md \"long\\n\"", "n".repeat(160)));
    listed.push(r#"644 references/notes.md "notes\n""#.into());
    listed.push("755 scripts/".into());
    let mode = if keeps_exec_bits { "755" } else { "644" };
    listed.push(format!(
        r##"{mode} scripts/run.sh "#!/bin/sh\necho run\n""##
    ));
    listed
}

/// The packages, as an OCI layout.
fn layout() -> &'static Path {
    static LAYOUT: OnceLock<TempDir> = OnceLock::new();
    LAYOUT
        .get_or_init(|| {
            let dir = tempfile::tempdir().unwrap();
            let done = Command::new(tool("pack"))
                .arg("layout")
                .arg(dir.path())
                .output()
                .unwrap();
            let stderr = String::from_utf8_lossy(&done.stderr);
            assert!(done.status.success(), "{stderr}");
            let made = String::from_utf8(done.stdout).unwrap();
            let ways: Vec<_> = WAYS.iter().map(|(way, _)| *way).collect();
            assert_eq!(made.lines().collect::<Vec<_>>(), ways);
            dir
        })
        .path()
}

fn path_of(digest: &str) -> PathBuf {
    layout().join("blobs").join(digest.replace(':', "/"))
}

/// The manifest with a tag; of several, that for this platform.
fn manifest(tag: &str) -> Manifest {
    let index = fs::read(layout().join("index.json")).unwrap();
    let index: Value = serde_json::from_slice(&index).unwrap();
    let tags: BTreeMap<_, _> = index["manifests"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| {
            let tag = entry["annotations"]["org.opencontainers.image.ref.name"].as_str();
            (tag.unwrap_or_default(), entry["digest"].as_str().unwrap())
        })
        .collect();
    let read = |digest: &str| Document::read(&fs::read(path_of(digest)).unwrap(), &[]).unwrap();
    match read(tags[tag]) {
        Document::Manifest(manifest) => *manifest,
        Document::Index(index) => {
            let is_ours = |architecture: &str| architecture == "amd64";
            let ours = index.manifests.iter().find(|entry| {
                let platform = entry.platform.as_ref();
                platform.is_some_and(|platform| is_ours(&platform.architecture))
            });
            match read(ours.unwrap().digest.as_str()) {
                Document::Manifest(manifest) => *manifest,
                Document::Index(_) => panic!("an index of indexes"),
            }
        }
    }
}

fn blobs(manifest: &Manifest) -> Vec<Blob> {
    let layers = manifest.layers.iter().enumerate();
    layers
        .map(|(index, layer)| blob_of(index, &path_of(layer.digest.as_str())))
        .collect()
}

fn unpack(scene: &Scene, way: &str) -> Unpacked {
    let manifest = manifest(way);
    for layer in &manifest.layers {
        let content = fs::read(path_of(layer.digest.as_str())).unwrap();
        assert_eq!(Digest::of(&content), layer.digest);
    }
    let package = needed(&manifest).unwrap();
    let unpacked = scene.unpack(&package, &blobs(&manifest));
    unpacked.unwrap_or_else(|error| panic!("{way}: {error}"))
}

#[test]
fn every_way_to_pack_a_skill_ends_as_the_same_directory() {
    for (way, keeps_exec_bits) in WAYS {
        let scene = Scene::new();
        let unpacked = unpack(&scene, way);
        assert_eq!(scene.listing(), skill(keeps_exec_bits), "{way}");
        assert_eq!((unpacked.files, unpacked.bytes), (4, 103), "{way}");
        assert_eq!(unpacked.warnings, Vec::<Warning>::new(), "{way}");
        scene.assert_nothing_beside();
    }
}

#[test]
fn pulling_again_gives_the_same() {
    for (way, keeps_exec_bits) in [
        ("oras-nested", true),
        ("image", true),
        ("oras-files", false),
    ] {
        let scene = Scene::new();
        for _ in 0..3 {
            unpack(&scene, way);
            assert_eq!(scene.listing(), skill(keeps_exec_bits), "{way}");
        }
        assert_eq!(fs::read_dir(scene.output()).unwrap().count(), 1);
    }
}

#[test]
fn another_version_replaces_the_one_that_is_there() {
    let scene = Scene::new();
    unpack(&scene, "image");
    fs::write(scene.skill().join("stale.md"), "stale").unwrap();
    fs::write(scene.skill().join("SKILL.md"), "stale").unwrap();
    unpack(&scene, "oras-files");
    assert_eq!(scene.listing(), skill(false));
}
