//! An authority made in memory, for a webhook that was given no certificate.
//!
//! Its key never leaves the process; its certificate is what clients are told to trust.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use time::OffsetDateTime;

use super::{InvalidCertificate, Leaf, Served};
use crate::clock::unix_seconds;

/// How long the authority is valid: longer than any process runs.
const AUTHORITY_LIFE: time::Duration = time::Duration::days(3650);

/// How long a leaf is valid. It is renewed after two thirds of that.
const LEAF_LIFE: time::Duration = time::Duration::days(90);

/// What clocks may differ by.
const CLOCK_SKEW: time::Duration = time::Duration::minutes(10);

/// How often the wall clock is asked whether to renew. Timers do not run while a machine sleeps.
const POLL: Duration = Duration::from_secs(30);

/// An authority and the names that it certifies.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    names: Vec<String>,
}

impl Authority {
    /// Makes an authority for a server that is reached under `names`, DNS names or addresses.
    ///
    /// # Errors
    /// When a name is neither.
    pub fn new(names: Vec<String>) -> Result<Self, InvalidCertificate> {
        let mut params = CertificateParams::new(Vec::new())?;
        params
            .distinguished_name
            .push(DnType::CommonName, "agentteam-webhook CA");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        (params.not_before, params.not_after) = validity(AUTHORITY_LIFE);
        Ok(Self {
            issuer: CertifiedIssuer::self_signed(params, KeyPair::generate()?)?,
            names,
        })
    }

    /// The authority's certificate in PEM: what a `caBundle` holds.
    #[must_use]
    pub fn certificate(&self) -> String {
        self.issuer.pem()
    }

    /// Makes a certificate for the server.
    ///
    /// # Errors
    /// When a name is neither a DNS name nor an address.
    pub fn issue(&self) -> Result<Leaf, InvalidCertificate> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(self.names.clone())?;
        params
            .distinguished_name
            .push(DnType::CommonName, "agentteam-webhook");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        (params.not_before, params.not_after) = validity(LEAF_LIFE);
        let certificate = params.signed_by(&key, &self.issuer)?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        Leaf::new(vec![certificate.der().clone()], key)
    }
}

/// Replaces the leaf when two thirds of its life are over, for ever.
pub async fn renew(authority: Authority, mut renew_at: i64, served: Arc<Served>) {
    loop {
        tokio::time::sleep(POLL).await;
        if unix_seconds() < renew_at {
            continue;
        }
        match authority.issue() {
            Ok(leaf) => {
                renew_at = leaf.renew_at();
                served.replace(leaf);
                tracing::info!("the certificate is renewed");
            }
            Err(error) => tracing::error!(%error, "the certificate could not be renewed"),
        }
    }
}

fn validity(life: time::Duration) -> (OffsetDateTime, OffsetDateTime) {
    let now = OffsetDateTime::from(SystemTime::now());
    (now - CLOCK_SKEW, now + life)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leaf_is_renewed_before_it_ends() {
        let authority = Authority::new(vec!["localhost".into(), "127.0.0.1".into()]).unwrap();
        let leaf = authority.issue().unwrap();
        assert!(unix_seconds() < leaf.renew_at() && leaf.renew_at() < leaf.not_after());
        assert!(
            authority
                .certificate()
                .starts_with("-----BEGIN CERTIFICATE-----")
        );
    }
}
