//! An authority made in memory, for a webhook that was given no certificate.
//!
//! Its key never leaves the process; its certificate is what clients are told to trust.

use std::sync::Arc;
use std::time::Duration;

use super::authority::Authority;
use super::{InvalidCertificate, Leaf, Served};
use crate::clock::unix_seconds;

const DAY: i64 = 86_400;

/// How long the authority is valid, in seconds: longer than any process runs.
const AUTHORITY_LIFE: i64 = 3_650 * DAY;

/// How long a leaf is valid, in seconds. It is renewed after two thirds of that.
const LEAF_LIFE: i64 = 90 * DAY;

/// How often the wall clock is asked whether to renew. Timers do not run while a machine sleeps.
const POLL: Duration = Duration::from_secs(30);

/// An authority and the names that it certifies.
pub struct Memory {
    authority: Authority,
    names: Vec<String>,
}

impl Memory {
    /// Makes an authority for a server that is reached under `names`, DNS names or addresses.
    ///
    /// # Errors
    /// When the system gives no random numbers.
    pub fn new(names: Vec<String>) -> Result<Self, InvalidCertificate> {
        let authority = Authority::make(unix_seconds(), AUTHORITY_LIFE)?;
        Ok(Self { authority, names })
    }

    /// The authority's certificate in PEM: what a `caBundle` holds.
    #[must_use]
    pub fn certificate(&self) -> String {
        self.authority.to_pem()
    }

    /// Makes a certificate for the server.
    ///
    /// # Errors
    /// When a name is neither a DNS name nor an address.
    pub fn issue(&self) -> Result<Leaf, InvalidCertificate> {
        self.authority
            .issue(&self.names, unix_seconds(), LEAF_LIFE)?
            .to_leaf()
    }

    /// Replaces the leaf when two thirds of its life are over, for ever.
    pub async fn renew(self, served: Arc<Served>) {
        served.authority_ends(self.authority.validity().not_after);
        loop {
            tokio::time::sleep(POLL).await;
            if !served.is_due(unix_seconds()) {
                continue;
            }
            match self.issue() {
                Ok(leaf) => {
                    served.replace(leaf);
                    tracing::info!("the certificate is renewed");
                }
                Err(error) => {
                    served.metrics.errors.inc();
                    tracing::error!(%error, "the certificate could not be renewed");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leaf_is_renewed_before_it_ends() {
        let memory = Memory::new(vec!["localhost".into(), "127.0.0.1".into()]).unwrap();
        let validity = memory.issue().unwrap().validity();
        assert!(unix_seconds() < validity.renew_at() && validity.renew_at() < validity.not_after);
        assert!(
            memory
                .certificate()
                .starts_with("-----BEGIN CERTIFICATE-----")
        );
    }
}
