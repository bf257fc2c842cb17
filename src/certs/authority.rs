//! Authorities of our own, and what they issue.

use std::sync::Arc;

use pem::{EncodeConfig, LineEnding, Pem};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PublicKeyData,
};
use rustls::RootCertStore;
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use time::OffsetDateTime;
use x509_parser::extensions::GeneralName;

use super::{InvalidCertificate, Leaf, Validity, parse, validity};

/// What clocks may differ by, in seconds: a certificate is valid from that long before it is made.
pub const CLOCK_SKEW: i64 = 600;

/// One who certifies; with its key, where that is known. Its key is never shown.
#[derive(Clone)]
pub struct Authority {
    certificate: CertificateDer<'static>,
    validity: Validity,
    key: Option<Arc<KeyPair>>,
}

impl Authority {
    /// Makes an authority at the time `now` for `life`, both in seconds.
    ///
    /// # Errors
    /// When the system gives no random numbers.
    pub fn make(now: i64, life: i64) -> Result<Self, InvalidCertificate> {
        let mut params = CertificateParams::new(Vec::new())?;
        params
            .distinguished_name
            .push(DnType::CommonName, "agentteam-webhook CA");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.not_before = moment(now - CLOCK_SKEW)?;
        params.not_after = moment(now + life)?;
        let key = KeyPair::generate()?;
        let certificate = CertifiedIssuer::self_signed(params, &key)?.der().clone();
        Self::read(certificate, &[Arc::new(key)])
    }

    /// Reads an authority's certificate, and finds its key among `keys`.
    ///
    /// # Errors
    /// When it is no authority's certificate.
    pub fn read(
        certificate: CertificateDer<'static>,
        keys: &[Arc<KeyPair>],
    ) -> Result<Self, InvalidCertificate> {
        let parsed = parse(&certificate)?;
        if !parsed.is_ca() {
            return Err(InvalidCertificate::Unreadable(
                "it is not an authority's".to_owned(),
            ));
        }
        let public = parsed.public_key().raw;
        let key = keys
            .iter()
            .find(|key| key.subject_public_key_info() == public);
        Ok(Self {
            validity: validity(&parsed),
            key: key.cloned(),
            certificate,
        })
    }

    /// When it is valid.
    #[must_use]
    pub fn validity(&self) -> Validity {
        self.validity
    }

    /// Its certificate.
    #[must_use]
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// Its certificate in PEM: what a `caBundle` holds.
    #[must_use]
    pub fn to_pem(&self) -> String {
        to_pem("CERTIFICATE", &self.certificate)
    }

    /// Its key in PEM, where it is known.
    #[must_use]
    pub fn key_to_pem(&self) -> Option<String> {
        self.key
            .as_ref()
            .map(|key| to_pem("PRIVATE KEY", key.serialized_der()))
    }

    /// Whether it can issue anything.
    #[must_use]
    pub fn has_key(&self) -> bool {
        self.key.is_some()
    }

    /// The same without its key.
    #[must_use]
    pub fn without_key(self) -> Self {
        Self { key: None, ..self }
    }

    /// Issues a certificate for a server that is reached under `names`, DNS names or addresses, at the time `now` for
    /// `life`, both in seconds; it does not outlive the authority.
    ///
    /// # Errors
    /// When a name is neither a DNS name nor an address, or the authority's key is not known.
    pub fn issue(&self, names: &[String], now: i64, life: i64) -> Result<Pair, InvalidCertificate> {
        let Some(authority_key) = self.key.as_deref() else {
            return Err(InvalidCertificate::Unreadable(
                "the key of its authority is not known".to_owned(),
            ));
        };
        let issuer = Issuer::from_ca_cert_der(&self.certificate, authority_key)?;
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(names)?;
        params
            .distinguished_name
            .push(DnType::CommonName, "agentteam-webhook");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        params.not_before = moment((now - CLOCK_SKEW).max(self.validity.not_before))?;
        params.not_after = moment((now + life).min(self.validity.not_after))?;
        let certificate = params.signed_by(&key, &issuer)?.der().clone();
        Pair::new(certificate, key.serialize_der())
    }

    /// Whether it certified `pair`, as a client sees it.
    #[must_use]
    pub fn certified(&self, pair: &Pair) -> bool {
        let mut roots = RootCertStore::empty();
        let at = u64::try_from(pair.validity.not_after.min(self.validity.not_after)).unwrap_or(0);
        let at = UnixTime::since_unix_epoch(std::time::Duration::from_secs(at));
        let algorithms = default_provider().signature_verification_algorithms;
        roots.add(self.certificate.clone()).is_ok()
            && ParsedCertificate::try_from(&pair.certificate).is_ok_and(|leaf| {
                let (none, all) = (&[], algorithms.all);
                verify_server_cert_signed_by_trust_anchor(&leaf, &roots, none, at, all).is_ok()
            })
    }
}

impl PartialEq for Authority {
    fn eq(&self, other: &Self) -> bool {
        self.certificate == other.certificate
    }
}

/// A server's certificate and key, as they are kept. The key is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Pair {
    certificate: CertificateDer<'static>,
    /// In PKCS #8.
    key: Vec<u8>,
    validity: Validity,
}

impl Pair {
    fn new(certificate: CertificateDer<'static>, key: Vec<u8>) -> Result<Self, InvalidCertificate> {
        let validity = validity(&parse(&certificate)?);
        let pair = Self {
            certificate,
            key,
            validity,
        };
        pair.to_leaf()?;
        Ok(pair)
    }

    /// Reads a certificate and its key from PEM.
    ///
    /// # Errors
    /// When there is none, or they do not belong together.
    pub fn read(certificate: &[u8], key: &[u8]) -> Result<Self, InvalidCertificate> {
        let unreadable = |error: rustls::pki_types::pem::Error| {
            InvalidCertificate::Unreadable(error.to_string())
        };
        let certificate = CertificateDer::from_pem_slice(certificate).map_err(unreadable)?;
        let key = PrivatePkcs8KeyDer::from_pem_slice(key).map_err(unreadable)?;
        Self::new(certificate, key.secret_pkcs8_der().to_vec())
    }

    /// The certificate in PEM.
    #[must_use]
    pub fn to_pem(&self) -> String {
        to_pem("CERTIFICATE", &self.certificate)
    }

    /// The key in PEM.
    #[must_use]
    pub fn key_to_pem(&self) -> String {
        to_pem("PRIVATE KEY", &self.key)
    }

    /// When it is valid.
    #[must_use]
    pub fn validity(&self) -> Validity {
        self.validity
    }

    /// What can be served.
    ///
    /// # Errors
    /// When the two do not belong together.
    pub fn to_leaf(&self) -> Result<Leaf, InvalidCertificate> {
        let key = PrivatePkcs8KeyDer::from(self.key.clone());
        Leaf::new(vec![self.certificate.clone()], key.into())
    }

    /// Whether it is for each of `names`.
    #[must_use]
    pub fn covers(&self, names: &[String]) -> bool {
        ParsedCertificate::try_from(&self.certificate).is_ok_and(|leaf| {
            names.iter().all(|name| {
                ServerName::try_from(name.as_str())
                    .is_ok_and(|name| verify_server_name(&leaf, &name).is_ok())
            })
        })
    }

    /// The DNS names that it is for.
    #[must_use]
    pub fn dns_names(&self) -> Vec<String> {
        let Ok(parsed) = parse(&self.certificate) else {
            return Vec::new();
        };
        let Ok(Some(names)) = parsed.subject_alternative_name() else {
            return Vec::new();
        };
        let names = names.value.general_names.iter();
        names
            .filter_map(|name| match name {
                GeneralName::DNSName(name) => Some((*name).to_owned()),
                _ => None,
            })
            .collect()
    }
}

fn to_pem(tag: &str, der: &[u8]) -> String {
    let config = EncodeConfig::new().set_line_ending(LineEnding::LF);
    pem::encode_config(&Pem::new(tag, der), config)
}

fn moment(seconds: i64) -> Result<OffsetDateTime, InvalidCertificate> {
    OffsetDateTime::from_unix_timestamp(seconds)
        .map_err(|error| InvalidCertificate::Unreadable(format!("no such time: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_800_000_000;
    const DAY: i64 = 86_400;

    fn names() -> Vec<String> {
        ["a.b.svc", "127.0.0.1", "::1"].map(str::to_owned).to_vec()
    }

    #[test]
    fn what_an_authority_issues_is_its_own_and_nobody_elses() {
        let [one, other] = [(); 2].map(|()| Authority::make(NOW, 90 * DAY).unwrap());
        let pair = one.issue(&names(), NOW, 7 * DAY).unwrap();
        assert!(one.certified(&pair) && !other.certified(&pair));
        assert!(pair.covers(&names()) && !pair.covers(&["c.b.svc".to_owned()]));
        assert_eq!(pair.dns_names(), ["a.b.svc"]);
    }

    #[test]
    fn a_certificate_is_valid_from_before_now_and_does_not_outlive_its_authority() {
        let authority = Authority::make(NOW, 90 * DAY).unwrap();
        let validity = authority.issue(&names(), NOW, 7 * DAY).unwrap().validity();
        assert_eq!(validity.not_before, NOW - CLOCK_SKEW);
        assert_eq!(validity.not_after, NOW + 7 * DAY);
        let late = NOW + 89 * DAY;
        let validity = authority.issue(&names(), late, 7 * DAY).unwrap().validity();
        assert_eq!(validity.not_after, authority.validity().not_after);
    }

    #[test]
    fn all_of_it_is_read_again_from_pem() {
        let authority = Authority::make(NOW, 90 * DAY).unwrap();
        let pair = authority.issue(&names(), NOW, 7 * DAY).unwrap();
        let key = KeyPair::from_pem(&authority.key_to_pem().unwrap()).unwrap();
        let certificate = CertificateDer::from_pem_slice(authority.to_pem().as_bytes()).unwrap();
        let again = Authority::read(certificate, &[Arc::new(key)]).unwrap();
        assert!(again == authority && again.has_key() && again.certified(&pair));
        let read = Pair::read(pair.to_pem().as_bytes(), pair.key_to_pem().as_bytes()).unwrap();
        assert!(read == pair);
        let other = authority.issue(&names(), NOW, 7 * DAY).unwrap();
        let mixed = Pair::read(pair.to_pem().as_bytes(), other.key_to_pem().as_bytes());
        assert!(mixed.is_err(), "a key of another certificate");
        let leaf = CertificateDer::from_pem_slice(pair.to_pem().as_bytes()).unwrap();
        assert!(
            Authority::read(leaf, &[]).is_err(),
            "a leaf is no authority"
        );
    }

    #[test]
    fn two_thirds_of_a_life() {
        let validity = Validity {
            not_before: 0,
            not_after: 90,
        };
        assert!(!validity.is_due(59) && validity.is_due(60));
        assert!(!validity.has_ended(89) && validity.has_ended(90));
    }
}
