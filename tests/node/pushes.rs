//! What is pushed without the programs that people use for it: images without an engine, signatures without cosign.

use std::fs;
use std::path::Path;
use std::process::Command;

use agentteam_webhook::pull::digest::Digest;
use serde_json::json;

use crate::signer::{CLAIM, CLAIM_SIGNATURE, Signer, claim};
use crate::tools::Registry;

/// Pushes a directory as `docker build` and `docker push` would with `FROM scratch` and `COPY . /`; gives the digest.
pub fn push_image(registry: &Registry, repository: &str, directory: &Path) -> String {
    let dir = tempfile::tempdir().unwrap();
    let layer = dir.path().join("layer.tar");
    let packed = Command::new("tar")
        .args(["--create", "--owner=0", "--group=0", "--file"])
        .arg(&layer)
        .arg("--directory")
        .arg(directory)
        .arg(".")
        .status();
    assert!(packed.unwrap().success());
    let digest = Digest::of(&fs::read(&layer).unwrap());
    let compressed = Command::new("gzip").arg(&layer).status();
    assert!(compressed.unwrap().success());
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let config = json!({
        "architecture": architecture,
        "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": [digest.as_str()]},
    });
    fs::write(dir.path().join("config.json"), config.to_string()).unwrap();
    let args = [
        "--config",
        "config.json:application/vnd.oci.image.config.v1+json",
        "layer.tar.gz:application/vnd.oci.image.layer.v1.tar+gzip",
    ];
    registry.push_with(repository, dir.path(), &args)
}

/// Signs what has this digest, as `cosign sign --key … --new-bundle-format=false` does.
pub fn sign(registry: &Registry, repository: &str, digest: &str, signer: &Signer) {
    let dir = tempfile::tempdir().unwrap();
    let claim = claim(digest).to_string();
    let signature = signer.sign(claim.as_bytes());
    let annotations = json!({"claim.json": {(CLAIM_SIGNATURE): signature}});
    fs::write(dir.path().join("claim.json"), claim).unwrap();
    fs::write(dir.path().join("annotations.json"), annotations.to_string()).unwrap();
    let tag = format!("{repository}:{}.sig", digest.replace(':', "-"));
    let file = format!("claim.json:{CLAIM}");
    registry.push_with(
        &tag,
        dir.path(),
        &["--annotation-file", "annotations.json", &file],
    );
}
