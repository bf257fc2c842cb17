//! The certificate that is served, and where it comes from: files, or an authority made in memory.

pub mod authority;
pub mod files;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use arc_swap::ArcSwap;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use thiserror::Error;

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
    /// The certificate cannot be read.
    #[error("the certificate cannot be read: {0}")]
    Unreadable(String),
    /// A certificate could not be made.
    #[error("a certificate could not be made: {0}")]
    Making(#[from] rcgen::Error),
}

/// A certificate with its key, and when it ends.
#[derive(Debug)]
pub struct Leaf {
    key: CertifiedKey,
    not_before: i64,
    not_after: i64,
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
        let unreadable = |problem: String| InvalidCertificate::Unreadable(problem);
        let first = chain
            .first()
            .ok_or_else(|| unreadable("there is none".to_owned()))?;
        let (_, parsed) = x509_parser::parse_x509_certificate(first)
            .map_err(|error| unreadable(error.to_string()))?;
        let validity = parsed.validity();
        let (not_before, not_after) = (
            validity.not_before.timestamp(),
            validity.not_after.timestamp(),
        );
        let key =
            CertifiedKey::from_der(chain, key, &rustls::crypto::aws_lc_rs::default_provider())?;
        Ok(Self {
            key,
            not_before,
            not_after,
        })
    }

    /// When it ends, in seconds since 1970.
    #[must_use]
    pub fn not_after(&self) -> i64 {
        self.not_after
    }

    /// When two thirds of its life are over, in seconds since 1970.
    #[must_use]
    pub fn renew_at(&self) -> i64 {
        self.not_before + (self.not_after - self.not_before) / 3 * 2
    }
}

/// The certificate that is served now; it can be replaced while connections are open.
#[derive(Debug)]
pub struct Served {
    key: ArcSwap<CertifiedKey>,
    not_after: AtomicI64,
}

impl Served {
    /// Serves `leaf`.
    #[must_use]
    pub fn new(leaf: Leaf) -> Self {
        let not_after = AtomicI64::new(leaf.not_after);
        Self {
            key: ArcSwap::from_pointee(leaf.key),
            not_after,
        }
    }

    /// Serves `leaf` from the next handshake on.
    pub fn replace(&self, leaf: Leaf) {
        self.not_after.store(leaf.not_after, Ordering::Relaxed);
        self.key.store(Arc::new(leaf.key));
    }

    /// When the certificate ends, in seconds since 1970.
    #[must_use]
    pub fn not_after(&self) -> i64 {
        self.not_after.load(Ordering::Relaxed)
    }
}

impl ResolvesServerCert for Served {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.key.load_full())
    }
}
