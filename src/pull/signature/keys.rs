//! The public keys that may have signed.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, ECDSA_P521_SHA512_ASN1, ParsedPublicKey,
    RSA_PKCS1_2048_8192_SHA256, VerificationAlgorithm,
};

use pem::Pem;

use crate::names::Shown;
use crate::pull::failure::Failure;

/// The largest file with keys that is read, in bytes: as large as a `ConfigMap` may be.
const FILE_MAX: u64 = 1 << 20;

/// What cosign signs with, one algorithm for each kind of key. With Ed25519, it hashes first (Ed25519ph), which the library
/// does not know.
const ALGORITHMS: [&dyn VerificationAlgorithm; 4] = [
    &ECDSA_P256_SHA256_ASN1,
    &ECDSA_P384_SHA384_ASN1,
    &ECDSA_P521_SHA512_ASN1,
    &RSA_PKCS1_2048_8192_SHA256,
];

/// The one kind of PEM block that has a public key of any algorithm.
const PUBLIC_KEY: &str = "PUBLIC KEY";

/// Public keys, any of which may have signed: at least one.
#[derive(Clone, Debug)]
pub struct Keys(Arc<[ParsedPublicKey]>);

impl Keys {
    /// Reads public keys in PEM, one or more in each file. None where there are no files.
    ///
    /// # Errors
    /// When one of them cannot be read, or has anything else in it than public keys.
    pub fn read(files: &[PathBuf]) -> Result<Option<Self>, Failure> {
        let mut keys = Vec::new();
        for file in files {
            let read = read(file).and_then(|pem| parse(&pem));
            keys.extend(read.map_err(|problem| {
                let file = file.display();
                Failure::Configuration(format!("--verify-key {file} cannot be used: {problem}"))
            })?);
        }
        Ok((!keys.is_empty()).then(|| Self(keys.into())))
    }

    /// Whether one of the keys signed `message`.
    pub(super) fn signed(&self, message: &[u8], signature: &[u8]) -> bool {
        self.0
            .iter()
            .any(|key| key.verify_sig(message, signature).is_ok())
    }
}

fn read(file: &Path) -> Result<Vec<u8>, String> {
    let mut content = Vec::new();
    File::open(file)
        .and_then(|file| file.take(FILE_MAX).read_to_end(&mut content))
        .map_err(|error| error.to_string())?;
    Ok(content)
}

/// The keys of a PEM file. What is not as it should be is named by its label alone: it may be a secret.
fn parse(text: &[u8]) -> Result<Vec<ParsedPublicKey>, String> {
    let blocks = pem::parse_many(text).map_err(|_| "it is not PEM".to_owned())?;
    if blocks.is_empty() {
        return Err(format!("it has no {PUBLIC_KEY} in it, as cosign.pub has"));
    }
    let key = |block: &Pem| {
        if block.tag() != PUBLIC_KEY {
            let label = Shown(block.tag());
            return Err(format!(
                "it has a block {label}, where only {PUBLIC_KEY} may be; give the public key, cosign.pub"
            ));
        }
        let with = |algorithm| ParsedPublicKey::new(algorithm, block.contents()).ok();
        let key = ALGORITHMS.into_iter().find_map(with);
        key.ok_or_else(|| {
            "it has a key that is neither ECDSA (P-256, P-384 or P-521) nor RSA".to_owned()
        })
    };
    blocks.iter().map(key).collect()
}
