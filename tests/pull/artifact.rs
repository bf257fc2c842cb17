//! An artifact as a registry has it.

use std::collections::BTreeMap;

use agentteam_webhook::pull::digest::Digest;
use agentteam_webhook::pull::manifest::OCI_MANIFEST;
use serde_json::{Value, json};

use crate::server::{Reply, Request};

pub const SKILL_MD: &str =
    "---\nname: web\ndescription: Looks things up.\n---\nHow to look things up.\n";

/// A skill of two files, one of them large enough to be cut.
#[derive(Clone)]
pub struct Artifact {
    pub manifest: Value,
    pub blobs: BTreeMap<String, Vec<u8>>,
}

impl Artifact {
    /// The skill `web`.
    pub fn skill() -> Self {
        let mut artifact = Self {
            manifest: json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "layers": []}),
            blobs: BTreeMap::new(),
        };
        artifact.manifest["config"] =
            artifact.descriptor("application/vnd.oci.empty.v1+json", b"{}");
        artifact.file("SKILL.md", SKILL_MD.as_bytes());
        artifact.file("data.bin", &large());
        artifact
    }

    /// Adds a file.
    pub fn file(&mut self, title: &str, content: &[u8]) {
        let mut layer = self.descriptor("application/octet-stream", content);
        layer["annotations"] = json!({"org.opencontainers.image.title": title});
        self.manifest["layers"].as_array_mut().unwrap().push(layer);
    }

    fn descriptor(&mut self, media_type: &str, content: &[u8]) -> Value {
        let digest = Digest::of(content).to_string();
        self.blobs.insert(digest.clone(), content.to_vec());
        json!({"mediaType": media_type, "digest": digest, "size": content.len()})
    }

    pub fn digest(&self) -> String {
        Digest::of(self.manifest.to_string().as_bytes()).to_string()
    }

    /// What an honest registry answers.
    pub fn answer(&self, request: &Request) -> Reply {
        let (_, last) = request.target.rsplit_once('/').unwrap();
        if request.target.contains("/manifests/") {
            return manifest(&self.manifest);
        }
        let Some(blob) = self.blobs.get(last) else {
            return Reply::new(404);
        };
        let offset = request.offset();
        if offset == 0 {
            return Reply::new(200).body(blob.clone());
        }
        let range = format!("bytes {offset}-{}/{}", blob.len() - 1, blob.len());
        Reply::new(206)
            .header("content-range", range)
            .body(&blob[offset..])
    }
}

/// A manifest as its registry sends it.
pub fn manifest(manifest: &Value) -> Reply {
    let media_type = manifest["mediaType"]
        .as_str()
        .unwrap_or("application/json")
        .to_owned();
    Reply::new(200)
        .header("content-type", media_type)
        .body(manifest.to_string())
}

/// What `data.bin` holds: 300,000 bytes that differ.
pub fn large() -> Vec<u8> {
    (0..300_000_u32)
        .map(|index| (index.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect()
}
