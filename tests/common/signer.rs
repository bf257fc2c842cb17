//! Signs as cosign does.

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// The media type of a bundle, as cosign 3 makes them.
pub const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
/// The media type of a claim, as cosign made them before.
pub const CLAIM: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
/// The annotation of a claim that has its signature.
pub const CLAIM_SIGNATURE: &str = "dev.cosignproject.cosign/signature";

/// A private key.
pub struct Signer(EcdsaKeyPair);

impl Signer {
    pub fn new() -> Self {
        Self(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap())
    }

    /// The public key, as it stands in `cosign.pub`.
    pub fn public_key(&self) -> String {
        let der: PublicKeyX509Der<'_> = self.0.public_key().as_der().unwrap();
        pem::encode(&pem::Pem::new("PUBLIC KEY", der.as_ref()))
    }

    /// A signature, in base64.
    pub fn sign(&self, message: &[u8]) -> String {
        STANDARD.encode(self.0.sign(&SystemRandom::new(), message).unwrap())
    }

    /// A bundle around a payload.
    pub fn bundle(&self, payload_type: &str, payload: &str) -> Value {
        let message = format!(
            "DSSEv1 {} {payload_type} {} {payload}",
            payload_type.len(),
            payload.len()
        );
        json!({
            "mediaType": BUNDLE,
            "verificationMaterial": {"publicKey": {"hint": "of the key"}},
            "dsseEnvelope": {
                "payload": STANDARD.encode(payload),
                "payloadType": payload_type,
                "signatures": [{"sig": self.sign(message.as_bytes())}],
            },
        })
    }

    /// The bundle around a statement.
    pub fn statement(&self, statement: &Value) -> Value {
        self.bundle("application/vnd.in-toto+json", &statement.to_string())
    }
}

/// What cosign 3 signs of an artifact.
pub fn statement(digest: &str) -> Value {
    json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"digest": {"sha256": digest.trim_start_matches("sha256:")}, "annotations": {}}],
        "predicateType": "https://sigstore.dev/cosign/sign/v1",
        "predicate": {},
    })
}

/// What cosign signed before.
pub fn claim(digest: &str) -> Value {
    json!({
        "critical": {
            "identity": {"docker-reference": "registry.example.com/another/name"},
            "image": {"docker-manifest-digest": digest},
            "type": "cosign container image signature",
        },
        "optional": null,
    })
}
