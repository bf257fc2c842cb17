//! The image: what both ways to build it say of it, and what is in the archive that is made without an engine.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::render::path;

fn read(name: &str) -> String {
    std::fs::read_to_string(path(name)).unwrap()
}

/// The instructions of the Containerfile's last stage, each with its arguments, on one line.
fn last_stage() -> Vec<(String, String)> {
    let text = read("image/Containerfile").replace("\\\n", " ");
    let (_, stage) = text.rsplit_once("\nFROM ").unwrap();
    let lines = format!("FROM {stage}");
    let instructions = lines.lines().filter_map(|line| line.split_once(' '));
    instructions
        .map(|(word, rest)| (word.to_owned(), rest.trim().to_owned()))
        .collect()
}

/// The `config` of the image that `image/build.sh` writes, in this version of the program.
fn config() -> Value {
    let script = read("image/build.sh");
    let (_, rest) = script.split_once("<<CONFIG\n").unwrap();
    let (config, _) = rest.split_once("\nCONFIG\n").unwrap();
    serde_json::from_str(&config.replace("$version", env!("CARGO_PKG_VERSION"))).unwrap()
}

#[test]
fn it_is_the_same_with_an_engine_and_without() {
    let stage = last_stage();
    let arguments = |word: &str| {
        let found: Vec<_> = stage.iter().filter(|(name, _)| name == word).collect();
        assert_eq!(found.len(), 1, "{word}");
        found[0].1.clone()
    };
    let list = |text: String| serde_json::from_str::<Value>(&text).unwrap();
    let version = arguments("ARG").replace("VERSION=", "");
    let labels: BTreeMap<String, String> = arguments("LABEL")
        .split("\" ")
        .filter_map(|label| label.split_once('='))
        .map(|(key, value)| {
            (
                key.trim().to_owned(),
                value.trim_matches('"').replace("${VERSION}", &version),
            )
        })
        .collect();
    let ports: BTreeMap<String, Value> = arguments("EXPOSE")
        .split(' ')
        .map(|port| (format!("{port}/tcp"), json!({})))
        .collect();

    assert_eq!(
        arguments("FROM"),
        "scratch",
        "no shell, and nothing else to run"
    );
    assert_eq!(arguments("USER"), "65532:65532");
    assert!(labels.len() >= 4, "{labels:?}");
    assert_eq!(
        config(),
        json!({
            "Entrypoint": list(arguments("ENTRYPOINT")), "Cmd": list(arguments("CMD")), "User": arguments("USER"),
            "WorkingDir": "/", "ExposedPorts": ports, "Labels": labels,
        })
    );
}

fn archive(output: &Path, root: &Path, config: &Path) {
    let status = Command::new("bash")
        .arg(path("image/archive.sh"))
        .args([output, Path::new("localhost/example:1"), root, config])
        .status();
    assert!(status.unwrap().success());
}

/// A file of an unpacked archive, checked against the digest by which it is named.
fn blob(layout: &Path, descriptor: &Value) -> Vec<u8> {
    let digest = descriptor["digest"].as_str().unwrap();
    let content = std::fs::read(layout.join("blobs").join(digest.replace(':', "/"))).unwrap();
    let found = Sha256::digest(&content)
        .iter()
        .fold(String::from("sha256:"), |text, byte| {
            format!("{text}{byte:02x}")
        });
    assert_eq!(found, digest);
    assert_eq!(descriptor["size"], content.len());
    content
}

#[test]
fn the_archive_holds_what_went_in_and_is_the_same_each_time() {
    let dir = tempfile::tempdir().unwrap();
    let place = |name: &str| dir.path().join(name);
    std::fs::create_dir_all(place("root")).unwrap();
    std::fs::write(place("root/program"), "a program").unwrap();
    std::fs::write(place("config.json"), config().to_string()).unwrap();
    archive(&place("first.tar"), &place("root"), &place("config.json"));
    // Files that are made anew, with another time.
    std::thread::sleep(std::time::Duration::from_millis(1100));
    std::fs::write(place("root/program"), "a program").unwrap();
    archive(&place("second.tar"), &place("root"), &place("config.json"));
    assert!(
        std::fs::read(place("first.tar")).unwrap() == std::fs::read(place("second.tar")).unwrap()
    );

    let tar = |args: &[&str]| {
        let output = Command::new("tar")
            .args(args)
            .current_dir(dir.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    std::fs::create_dir(place("layout")).unwrap();
    tar(&["-xf", "first.tar", "-C", "layout"]);
    let layout = place("layout");
    let json = |content: &[u8]| serde_json::from_slice::<Value>(content).unwrap();
    let index = json(&std::fs::read(layout.join("index.json")).unwrap());
    let manifest = json(&blob(&layout, &index["manifests"][0]));
    let image = json(&blob(&layout, &manifest["config"]));
    assert_eq!(image["config"], config());
    std::fs::write(place("layer.tgz"), blob(&layout, &manifest["layers"][0])).unwrap();
    let listing = tar(&["-tvzf", "layer.tgz", "--numeric-owner"]);
    assert!(listing.contains(" 0/0 "), "{listing}");
    assert!(listing.contains("./program"), "{listing}");
    let saved = json(&std::fs::read(layout.join("manifest.json")).unwrap());
    assert_eq!(saved[0]["RepoTags"], json!(["localhost/example:1"]));
}
