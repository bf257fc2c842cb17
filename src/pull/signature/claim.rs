//! What was signed, and by whom. Pure.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use thiserror::Error;

use super::keys::Keys;
use crate::json::{self, Object};
use crate::names::Shown;
use crate::pull::digest::Digest;

/// What a claim says that it is.
const CLAIM_TYPE: &str = "cosign container image signature";

/// What the statement of a signature says that it is. A key may attest other things of an artifact: a bill of
/// materials, say, which does not mean that anybody may use it.
const SIGNATURE: &str = "https://sigstore.dev/cosign/sign/v1";

/// What the payload of an envelope is.
const STATEMENT: &str = "application/vnd.in-toto+json";

/// The types of statements, of which the parts that are read are the same.
const STATEMENT_TYPES: [&str; 2] = [
    "https://in-toto.io/Statement/v1",
    "https://in-toto.io/Statement/v0.1",
];

/// Why a signature does not hold.
#[derive(Clone, Debug, Error, PartialEq, Eq, PartialOrd, Ord)]
pub enum Problem {
    /// It names another artifact.
    #[error("it is for another digest, {}", Shown(.0))]
    OtherDigest(String),
    /// It says something else of the artifact.
    #[error("what is signed is {}, and no signature of the artifact", Shown(.0))]
    OtherKind(String),
    /// Not by these keys.
    #[error("not by a key of --verify-key")]
    OtherKey,
    /// It is not as cosign makes them.
    #[error("it cannot be read: {0}")]
    Unreadable(String),
}

/// A claim: the "simple signing" of container images.
#[derive(Deserialize)]
struct Claim {
    critical: Object<Critical>,
}

/// `docker-reference`, the repository in which it was signed, is not read, as cosign does not: a mirror has another.
#[derive(Deserialize)]
struct Critical {
    image: Object<Image>,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Deserialize)]
struct Image {
    #[serde(rename = "docker-manifest-digest")]
    digest: String,
}

/// A Sigstore bundle. What it holds for verification besides is not needed with a key.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Bundle {
    dsse_envelope: Object<Envelope>,
}

/// A signed payload and what it is.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope {
    payload: String,
    payload_type: String,
    signatures: Vec<Object<Signature>>,
}

#[derive(Deserialize)]
struct Signature {
    sig: String,
}

/// An in-toto statement: something that is said of subjects.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Statement {
    #[serde(rename = "_type")]
    kind: String,
    predicate_type: String,
    subject: Vec<Object<Subject>>,
}

#[derive(Deserialize)]
struct Subject {
    digest: Object<Digests>,
}

#[derive(Deserialize)]
struct Digests {
    #[serde(default)]
    sha256: String,
}

/// Checks that one of `keys` signed this claim, and that it is about `digest`. Only what is signed is looked into.
pub(super) fn check_claim(
    claim: &[u8],
    signature: &str,
    keys: &Keys,
    digest: &Digest,
) -> Result<(), Problem> {
    if !keys.signed(claim, &decoded(signature)?) {
        return Err(Problem::OtherKey);
    }
    let Claim {
        critical: Object(Critical {
            image: Object(image),
            kind,
        }),
    } = read(claim)?;
    if kind != CLAIM_TYPE {
        return Err(Problem::OtherKind(kind));
    }
    if image.digest != digest.as_str() {
        return Err(Problem::OtherDigest(image.digest));
    }
    Ok(())
}

/// Checks that one of `keys` signed the statement in this bundle, and that it is the signature of `digest`. Of the
/// payload, only what is signed is looked into.
pub(super) fn check_bundle(bundle: &[u8], keys: &Keys, digest: &Digest) -> Result<(), Problem> {
    let Bundle {
        dsse_envelope: Object(envelope),
    } = read(bundle)?;
    let payload = decoded(&envelope.payload)?;
    let [Object(signature)] = envelope.signatures.as_slice() else {
        let count = envelope.signatures.len();
        return Err(Problem::Unreadable(format!(
            "its envelope has {count} signatures, not one"
        )));
    };
    let message = encoded(&envelope.payload_type, &payload);
    if !keys.signed(&message, &decoded(&signature.sig)?) {
        return Err(Problem::OtherKey);
    }
    if envelope.payload_type != STATEMENT {
        return Err(Problem::OtherKind(envelope.payload_type));
    }
    let Statement {
        kind,
        predicate_type,
        subject,
    } = read(&payload)?;
    if !STATEMENT_TYPES.contains(&&*kind) {
        return Err(Problem::OtherKind(kind));
    }
    if predicate_type != SIGNATURE {
        return Err(Problem::OtherKind(predicate_type));
    }
    let subjects = subject
        .into_iter()
        .map(|Object(subject)| format!("sha256:{}", subject.digest.0.sha256));
    let mut others = Vec::new();
    for subject in subjects {
        if subject == digest.as_str() {
            return Ok(());
        }
        others.push(subject);
    }
    Err(Problem::OtherDigest(others.join(" ")))
}

/// What is signed of an envelope: the type and the payload, each with its length before it, so that neither can be taken
/// for a part of the other.
fn encoded(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let (type_length, length) = (payload_type.len(), payload.len());
    let mut message = format!("DSSEv1 {type_length} {payload_type} {length} ").into_bytes();
    message.extend_from_slice(payload);
    message
}

fn decoded(text: &str) -> Result<Vec<u8>, Problem> {
    let decoded = STANDARD.decode(text);
    decoded.map_err(|_| Problem::Unreadable("it is not base64".to_owned()))
}

fn read<'de, T: Deserialize<'de>>(text: &'de [u8]) -> Result<T, Problem> {
    let Object(read) =
        serde_json::from_slice(text).map_err(|error| Problem::Unreadable(json::problem(&error)))?;
    Ok(read)
}
