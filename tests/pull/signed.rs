//! An artifact that is signed as cosign does it, or nearly so, and its registry.

use std::collections::BTreeMap;

use agentteam_webhook::pull::digest::Digest;
use agentteam_webhook::pull::manifest::{OCI_INDEX, OCI_MANIFEST};
use serde_json::{Value, json};

use crate::artifact::{Artifact, manifest};
use crate::server::{Reply, Request};
use crate::signer::{BUNDLE, CLAIM, CLAIM_SIGNATURE, Signer, claim, statement};

const EMPTY: &str = "application/vnd.oci.empty.v1+json";

/// The skill `web` in its registry, with what is said to be its signatures.
#[derive(Clone)]
pub struct Signed {
    /// The skill.
    pub artifact: Artifact,
    /// What its tag names: the skill, if not an index.
    pub named: Value,
    /// The layers of the image of claims.
    claims: Vec<Value>,
    /// What refers to the artifact.
    referrers: Vec<Value>,
    manifests: BTreeMap<String, Value>,
    blobs: BTreeMap<String, Vec<u8>>,
    /// Whether the registry lists referrers itself.
    pub has_list: bool,
}

impl Signed {
    pub fn new() -> Self {
        let artifact = Artifact::skill();
        Self {
            named: artifact.manifest.clone(),
            artifact,
            claims: Vec::new(),
            referrers: Vec::new(),
            manifests: BTreeMap::new(),
            blobs: BTreeMap::new(),
            has_list: false,
        }
    }

    /// The digest of what the tag names.
    pub fn digest(&self) -> String {
        Digest::of(self.named.to_string().as_bytes()).to_string()
    }

    /// Signed as cosign did before 3.
    pub fn by_claim(mut self, signer: &Signer) -> Self {
        let claim = claim(&self.digest()).to_string();
        let signature = signer.sign(claim.as_bytes());
        self.add_claim(&claim, &signature);
        self
    }

    /// Signed as cosign 3 does.
    pub fn by_bundle(mut self, signer: &Signer) -> Self {
        let bundle = signer.statement(&statement(&self.digest()));
        self.add_bundle(&bundle);
        self
    }

    pub fn add_claim(&mut self, claim: &str, signature: &str) {
        let mut layer = self.blob(CLAIM, claim.as_bytes());
        layer["annotations"] = json!({(CLAIM_SIGNATURE): signature});
        self.claims.push(layer);
    }

    pub fn add_bundle(&mut self, bundle: &Value) {
        let config = self.blob(EMPTY, b"{}");
        let layer = self.blob(BUNDLE, bundle.to_string().as_bytes());
        let referrer = json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "artifactType": BUNDLE, "config": config, "layers": [layer]});
        self.add_referrer(&referrer);
    }

    /// Anything that refers to the artifact.
    pub fn add_referrer(&mut self, referrer: &Value) {
        let text = referrer.to_string();
        let digest = Digest::of(text.as_bytes()).to_string();
        self.referrers.push(json!({"mediaType": OCI_MANIFEST, "digest": digest, "size": text.len(), "artifactType": BUNDLE}));
        self.manifests.insert(digest, referrer.clone());
    }

    /// A blob of the registry's, and its descriptor.
    pub fn blob(&mut self, media_type: &str, content: &[u8]) -> Value {
        let digest = Digest::of(content).to_string();
        self.blobs.insert(digest.clone(), content.to_vec());
        json!({"mediaType": media_type, "digest": digest, "size": content.len()})
    }

    /// What its registry answers.
    pub fn answer(&self, request: &Request) -> Reply {
        let (_, last) = request.target.rsplit_once('/').unwrap();
        let tag = self.digest().replace(':', "-");
        let referrers =
            json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": self.referrers});
        if request.target.contains("/referrers/") {
            return if self.has_list && last == self.digest() {
                manifest(&referrers)
            } else {
                Reply::new(404).body("404 page not found")
            };
        }
        if let Some(content) = self.blobs.get(last) {
            return Reply::new(200).body(content.clone());
        }
        if request.target.contains("/blobs/") {
            return self.artifact.answer(request);
        }
        if let Some(found) = self.manifests.get(last) {
            return manifest(found);
        }
        if last == self.artifact.digest() {
            return manifest(&self.artifact.manifest);
        }
        if last == "v1" || last == self.digest() {
            return manifest(&self.named);
        }
        if last == tag && !self.has_list && !self.referrers.is_empty() {
            return manifest(&referrers);
        }
        if last == format!("{tag}.sig") && !self.claims.is_empty() {
            let config = self.claims[0].clone();
            return manifest(
                &json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": self.claims}),
            );
        }
        Reply::new(404)
    }
}
