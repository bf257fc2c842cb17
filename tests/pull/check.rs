//! `check`: what a reference is, and which ways of delivery can make a skill of it.

use std::fs;

use agentteam_webhook::pull::digest::Digest;
use serde_json::{Value, json};

use crate::artifact::{Artifact, SKILL_MD};
use crate::identity::Identity;
use crate::run::{Done, Run, SECRET, password};
use crate::server::{Reply, Server};
use crate::tools::Registry;

fn check(reference: &str, host: &str) -> Run {
    Run::command("check")
        .arg(reference)
        .arg("--plain-http-registry")
        .arg(host)
}

/// The answers for `oras`, `puller` and `image`.
fn answers(done: &Done) -> [bool; 3] {
    let of = |delivery: &str| {
        let prefix = format!("  delivery {delivery}: ");
        let line = done
            .stdout
            .lines()
            .find_map(|line| line.strip_prefix(&prefix));
        line.unwrap_or_else(|| panic!("{}", done.stdout)) == "yes"
    };
    [of("oras"), of("puller"), of("image")]
}

#[test]
fn what_oras_pushed_is_told_apart() {
    let registry = Registry::start();
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("web")).unwrap();
    fs::write(directory.path().join("web/SKILL.md"), SKILL_MD).unwrap();
    let digest = registry.push("org/flat:v1", &directory.path().join("web"));
    registry.push_with("org/nested:v1", directory.path(), &["web"]);
    registry.push_with("org/file:v1", &directory.path().join("web"), &["SKILL.md"]);
    let host = &registry.address;
    for (name, expected, packing) in [
        ("flat", [true, true, false], "an archive"),
        ("nested", [false, true, false], "an archive"),
        ("file", [true, true, false], "files"),
    ] {
        let done = check(&format!("{host}/org/{name}:v1"), host).done();
        assert_eq!(
            (done.code, answers(&done)),
            (0, expected),
            "{}{}",
            done.stdout,
            done.stderr
        );
        assert!(
            done.stdout.contains(&format!("packed as {packing}\n")),
            "{}",
            done.stdout
        );
    }
    let flat = format!("{host}/org/flat:v1");
    assert!(
        check(&flat, host)
            .done()
            .stdout
            .starts_with(&format!("{flat}@{digest}\n  is an artifact"))
    );
    for (delivery, code) in [("oras", 0), ("puller", 0), ("image", 12)] {
        assert_eq!(
            check(&flat, host)
                .arg("--delivery")
                .arg(delivery)
                .done()
                .code,
            code,
            "{delivery}"
        );
    }
    let done = check(&format!("{host}/org/none:v1"), host)
        .arg("--json")
        .done();
    let said: Value = serde_json::from_str(&done.stdout).unwrap();
    assert_eq!(
        (done.code, said["error"]["kind"].as_str()),
        (5, Some("NotFound"))
    );
}

/// A registry with an image of one layer, whose configuration names so many.
fn image(diff_ids: usize) -> Server {
    let mut artifact = Artifact::skill();
    let config =
        json!({"rootfs": {"type": "layers", "diff_ids": vec!["sha256:0"; diff_ids]}}).to_string();
    let digest = Digest::of(config.as_bytes()).to_string();
    artifact.manifest["config"] = json!({"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest, "size": config.len()});
    artifact.blobs.insert(digest, config.into_bytes());
    let layers = artifact.manifest["layers"].as_array_mut().unwrap();
    layers.truncate(1);
    layers[0]["mediaType"] = json!("application/vnd.oci.image.layer.v1.tar+gzip");
    layers[0].as_object_mut().unwrap().remove("annotations");
    Server::start(move |request| artifact.answer(request))
}

#[test]
fn an_image_is_one_only_if_its_configuration_fits_its_layers() {
    for (diff_ids, expected) in [
        (1, [false, true, true]),
        (0, [false, true, false]),
        (2, [false, true, false]),
    ] {
        let server = image(diff_ids);
        let host = server.host();
        let done = check(&format!("{host}/org/web:v1"), &host).done();
        assert_eq!(answers(&done), expected, "{}", done.stdout);
        assert!(done.stdout.contains("is an image"), "{}", done.stdout);
        // The manifest and the configuration, and not the layer.
        assert_eq!(server.seen().len(), 2);
    }
}

#[test]
fn json_says_all_of_it() {
    let server = image(1);
    let host = server.host();
    let done = check(&format!("{host}/org/web:v1"), &host)
        .arg("--json")
        .done();
    let said: Value = serde_json::from_str(&done.stdout).unwrap();
    assert_eq!(said["reference"], format!("{host}/org/web:v1"));
    assert_eq!(
        (
            said["kind"].as_str(),
            said["layers"].as_u64(),
            &said["index"]
        ),
        (Some("image"), Some(1), &Value::Null)
    );
    assert_eq!(said["packing"], "layers of an image");
    assert_eq!(
        said["deliveries"][1],
        json!({"delivery": "puller", "problem": null})
    );
    assert_eq!(said["deliveries"][0]["delivery"], "oras");
    assert!(
        said["deliveries"][0]["problem"]
            .as_str()
            .unwrap()
            .contains("empty directory")
    );
}

#[test]
fn what_nothing_can_be_made_of_has_an_exit_code() {
    let mut artifact = Artifact::skill();
    artifact.manifest["layers"] = json!([]);
    let server = Server::start(move |request| artifact.answer(request));
    let host = server.host();
    let done = check(&format!("{host}/org/web:v1"), &host).done();
    assert_eq!(
        (done.code, answers(&done)),
        (12, [false; 3]),
        "{}",
        done.stdout
    );
    for bad in ["web", "user:hunter2-is-secret@ghcr.io/x:1"] {
        assert_eq!(Run::command("check").arg(bad).done().code, 2);
    }
}

#[test]
fn it_has_the_credentials_of_pull() {
    let identity = Identity::make(&["registry.example"]).unwrap();
    let artifact = Artifact::skill();
    let server = Server::start_tls(&identity, move |request| {
        match request.header("authorization") {
            Some(_) => artifact.answer(request),
            None => Reply::new(401).header("www-authenticate", "Basic realm=\"x\""),
        }
    });
    let proxy = format!("http://{}", server.host());
    let run = || {
        Run::command("check")
            .arg("registry.example/org/web:v1")
            .env("HTTPS_PROXY", &proxy)
            .trusting(&identity.ca)
    };
    assert_eq!(run().done().code, 3);
    assert_eq!(
        run()
            .config(&password("registry.example", SECRET))
            .done()
            .code,
        0
    );
}
