//! The certificate that is served, and where it comes from: files, a Secret that the replicas share, or memory.

pub mod authority;
pub mod bundle;
pub mod files;
pub mod memory;
pub mod rotation;
pub mod secret;
pub mod self_signed;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use arc_swap::ArcSwapOption;
use k8s_openapi::jiff::Timestamp;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use thiserror::Error;

use crate::metrics::CertificateMetrics;

/// Why a certificate cannot be served.
#[derive(Debug, Error)]
pub enum InvalidCertificate {
    /// A file could not be read.
    #[error("{path}: {error}")]
    File {
        /// The file.
        path: String,
        /// Why.
        error: std::io::Error,
    },
    /// A file holds no certificate or no key.
    #[error("{path} holds no {what} in PEM: {error}")]
    Pem {
        /// The file.
        path: String,
        /// What was looked for.
        what: &'static str,
        /// Why it was not found.
        error: rustls::pki_types::pem::Error,
    },
    /// Key and certificate do not belong together, or cannot be used.
    #[error("the certificate and the key cannot be used together: {0}")]
    Pair(#[from] rustls::Error),
    /// The certificate cannot be read, or is not what it must be.
    #[error("the certificate cannot be read: {0}")]
    Unreadable(String),
    /// A certificate could not be made.
    #[error("a certificate could not be made: {0}")]
    Making(#[from] rcgen::Error),
}

/// When a certificate is valid, in seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// From when on.
    pub not_before: i64,
    /// Until when.
    pub not_after: i64,
}

impl Validity {
    /// When two thirds of the time are over.
    #[must_use]
    pub fn renew_at(self) -> i64 {
        self.not_after - (self.not_after - self.not_before) / 3
    }

    /// Whether it is time for a successor.
    #[must_use]
    pub fn is_due(self, now: i64) -> bool {
        now >= self.renew_at()
    }

    /// Whether it is over.
    #[must_use]
    pub fn has_ended(self, now: i64) -> bool {
        now >= self.not_after
    }
}

/// What the product's own certificates share.
fn parse(der: &[u8]) -> Result<x509_parser::certificate::X509Certificate<'_>, InvalidCertificate> {
    x509_parser::parse_x509_certificate(der)
        .map(|(_, certificate)| certificate)
        .map_err(|error| InvalidCertificate::Unreadable(error.to_string()))
}

fn validity(certificate: &x509_parser::certificate::X509Certificate<'_>) -> Validity {
    let validity = certificate.validity();
    Validity {
        not_before: validity.not_before.timestamp(),
        not_after: validity.not_after.timestamp(),
    }
}

/// A certificate with its key, ready to be served.
#[derive(Debug)]
pub struct Leaf {
    key: Arc<CertifiedKey>,
    validity: Validity,
}

impl Leaf {
    /// Takes a chain, its own certificate first, and that one's key.
    ///
    /// # Errors
    /// When they do not belong together.
    pub fn new(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<Self, InvalidCertificate> {
        let first = chain
            .first()
            .ok_or_else(|| InvalidCertificate::Unreadable("there is none".to_owned()))?;
        let validity = validity(&parse(first)?);
        let key =
            CertifiedKey::from_der(chain, key, &rustls::crypto::aws_lc_rs::default_provider())?;
        Ok(Self {
            key: Arc::new(key),
            validity,
        })
    }

    /// When it is valid.
    #[must_use]
    pub fn validity(&self) -> Validity {
        self.validity
    }
}

/// The certificate that is served now; it can be replaced while connections are open.
#[derive(Debug, Default)]
pub struct Served {
    leaf: ArcSwapOption<Leaf>,
    authority_ends: AtomicI64,
    waits: ArcSwapOption<String>,
    /// What is counted.
    pub metrics: CertificateMetrics,
}

impl Served {
    /// Serves `leaf`.
    #[must_use]
    pub fn new(leaf: Leaf) -> Self {
        let served = Self::default();
        served.replace(leaf);
        served
    }

    /// Serves nothing yet, and is not ready for this reason.
    #[must_use]
    pub fn nothing(why: &str) -> Self {
        let served = Self::default();
        served.waits_for(why.to_owned());
        served
    }

    /// Serves `leaf` from the next handshake on.
    pub fn replace(&self, leaf: Leaf) {
        self.leaf.store(Some(Arc::new(leaf)));
    }

    /// Whether it is time to replace what is served.
    fn is_due(&self, now: i64) -> bool {
        let leaf = self.leaf.load();
        leaf.as_ref().is_none_or(|leaf| leaf.validity.is_due(now))
    }

    /// When the certificate ends, in seconds since 1970; 0 while there is none.
    #[must_use]
    pub fn not_after(&self) -> i64 {
        let leaf = self.leaf.load();
        leaf.as_ref().map_or(0, |leaf| leaf.validity.not_after)
    }

    /// When the authority of the certificate ends, in seconds since 1970; 0 where it is somebody else's.
    #[must_use]
    pub fn authority_not_after(&self) -> i64 {
        self.authority_ends.load(Ordering::Relaxed)
    }

    /// Whether clients can be sent here at this time, in seconds since 1970.
    ///
    /// # Errors
    /// The reason why not.
    pub fn check(&self, now: i64) -> Result<(), String> {
        if let Some(why) = self.waits.load_full() {
            return Err(why.to_string());
        }
        let leaf = self.leaf.load();
        let Some(validity) = leaf.as_ref().map(|leaf| leaf.validity) else {
            return Err("there is no certificate".to_owned());
        };
        let time = |seconds| {
            Timestamp::from_second(seconds)
                .map_or_else(|_| seconds.to_string(), |time| time.to_string())
        };
        if validity.has_ended(now) {
            return Err(format!(
                "the certificate ended at {}, and no newer one has come; the log says why",
                time(validity.not_after)
            ));
        }
        if now < validity.not_before {
            return Err(format!(
                "the certificate is not valid before {}; see whether the clocks are right",
                time(validity.not_before)
            ));
        }
        Ok(())
    }

    fn waits_for(&self, why: String) {
        self.waits.store(Some(Arc::new(why)));
    }

    fn trusted(&self) {
        self.waits.store(None);
    }

    fn authority_ends(&self, at: i64) {
        self.authority_ends.store(at, Ordering::Relaxed);
    }
}

impl ResolvesServerCert for Served {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let leaf = self.leaf.load();
        leaf.as_ref().map(|leaf| Arc::clone(&leaf.key))
    }
}

#[cfg(test)]
mod tests {
    use super::authority::Authority;
    use super::*;

    const NOW: i64 = 1_800_000_000;

    #[test]
    fn a_server_is_ready_while_its_certificate_is_valid() {
        let authority = Authority::make(NOW, 9_000).unwrap();
        let pair = authority.issue(&["a.b".to_owned()], NOW, 1_000).unwrap();
        let served = Served::new(pair.to_leaf().unwrap());
        assert_eq!(served.check(NOW), Ok(()));
        assert_eq!(
            served.check(NOW + 1_000).unwrap_err(),
            "the certificate ended at 2027-01-15T08:16:40Z, and no newer one has come; the log says why"
        );
        assert_eq!(
            served.check(NOW - 601).unwrap_err(),
            "the certificate is not valid before 2027-01-15T07:50:00Z; see whether the clocks are right"
        );
        served.replace(
            authority
                .issue(&["a.b".to_owned()], NOW, 2_000)
                .unwrap()
                .to_leaf()
                .unwrap(),
        );
        assert_eq!(served.check(NOW + 1_000), Ok(()));
    }

    #[test]
    fn a_server_without_a_certificate_says_what_it_waits_for() {
        assert_eq!(
            Served::default().check(NOW).unwrap_err(),
            "there is no certificate"
        );
        let served = Served::nothing("it has not been read yet");
        assert_eq!(served.check(NOW).unwrap_err(), "it has not been read yet");
        served.trusted();
        assert!(served.check(NOW).is_err());
    }
}
