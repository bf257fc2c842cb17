//! What the replicas share: the data of one Secret.
//!
//! | key | what |
//! |---|---|
//! | `ca.crt` | everyone who is trusted, the newest authority first: what each `caBundle` holds |
//! | `ca.key` | the keys of those who may still issue: the newest, and the one before it until the newest is in service |
//! | `tls.crt`, `tls.key` | the certificate that every replica serves; empty while the first authority is being made known |

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::ByteString;
use k8s_openapi::jiff::Timestamp;
use rcgen::KeyPair;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};

use super::authority::{Authority, Pair};

/// The annotation that says until when authorities before the newest stay trusted.
pub const TRUSTED_UNTIL: &str = "webhook.kagents.dev/earlier-authorities-trusted-until";

/// How many authorities are kept. Only one who has the Secret deleted over and over makes so many.
pub const AUTHORITIES_MAX: usize = 16;

/// What the Secret holds, as far as it can be used.
#[derive(Clone, Default, PartialEq)]
pub struct Content {
    /// Those who are trusted, the newest first.
    pub authorities: Vec<Authority>,
    /// What is served; certified by one of the authorities.
    pub pair: Option<Pair>,
    /// Until when authorities before the newest are trusted, in seconds since 1970, once that is certain.
    pub trusted_until: Option<i64>,
}

impl Content {
    /// Reads the data and the annotation of a Secret, passing over what is no use.
    #[must_use]
    pub fn read(data: &BTreeMap<String, ByteString>, trusted_until: Option<&str>) -> Self {
        let get = |key: &str| data.get(key).map_or(&[][..], |value| value.0.as_slice());
        let keys: Vec<_> = PrivatePkcs8KeyDer::pem_slice_iter(get("ca.key"))
            .filter_map(|key| KeyPair::try_from(&key.ok()?).ok().map(Arc::new))
            .collect();
        let mut authorities = Vec::new();
        add(&mut authorities, authorities_in(get("ca.crt"), &keys));
        let pair = Pair::read(get("tls.crt"), get("tls.key"))
            .ok()
            .filter(|pair| authorities.iter().any(|one| one.certified(pair)));
        Self {
            authorities,
            pair,
            trusted_until: trusted_until
                .and_then(|time| time.parse::<Timestamp>().ok())
                .map(Timestamp::as_second),
        }
    }

    /// The four values that are ours.
    #[must_use]
    pub fn data(&self) -> [(&'static str, ByteString); 4] {
        let keys = self.authorities.iter().filter_map(Authority::key_to_pem);
        let pair = self.pair.as_ref();
        [
            ("ca.crt", self.bundle()),
            ("ca.key", keys.collect()),
            ("tls.crt", pair.map(Pair::to_pem).unwrap_or_default()),
            ("tls.key", pair.map(Pair::key_to_pem).unwrap_or_default()),
        ]
        .map(|(key, text)| (key, ByteString(text.into_bytes())))
    }

    /// The value of [`TRUSTED_UNTIL`].
    #[must_use]
    pub fn annotation(&self) -> Option<String> {
        let until = Timestamp::from_second(self.trusted_until?).ok()?;
        Some(until.to_string())
    }

    /// What each `caBundle` should hold.
    #[must_use]
    pub fn bundle(&self) -> String {
        self.authorities.iter().map(Authority::to_pem).collect()
    }

    /// The authority that issues from now on.
    #[must_use]
    pub fn newest(&self, now: i64) -> Option<&Authority> {
        let newest = self.authorities.first()?;
        (newest.has_key() && !newest.validity().has_ended(now)).then_some(newest)
    }

    /// Who certified `pair`.
    #[must_use]
    pub fn issuer(&self, pair: &Pair) -> Option<&Authority> {
        self.authorities.iter().find(|one| one.certified(pair))
    }

    /// The certificate, if it has not ended.
    #[must_use]
    pub fn valid_pair(&self, now: i64) -> Option<&Pair> {
        self.pair
            .as_ref()
            .filter(|pair| !pair.validity().has_ended(now))
    }
}

/// The authorities in PEM; what is none is passed over.
#[must_use]
pub fn authorities_in(pem: &[u8], keys: &[Arc<KeyPair>]) -> Vec<Authority> {
    CertificateDer::pem_slice_iter(pem)
        .filter_map(|certificate| Authority::read(certificate.ok()?, keys).ok())
        .collect()
}

/// Adds those who are not there yet; one who is there may get a key.
pub fn add(authorities: &mut Vec<Authority>, more: impl IntoIterator<Item = Authority>) {
    for one in more {
        match authorities.iter_mut().find(|known| **known == one) {
            Some(known) if known.has_key() => {}
            Some(known) => *known = one,
            None => authorities.push(one),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_800_000_000;
    const DAY: i64 = 86_400;

    fn content() -> Content {
        let names = ["a.b.svc".to_owned()];
        let [newest, before] = [(); 2].map(|()| Authority::make(NOW, 90 * DAY).unwrap());
        Content {
            pair: Some(before.issue(&names, NOW, 7 * DAY).unwrap()),
            authorities: vec![newest, before],
            trusted_until: Some(NOW + DAY),
        }
    }

    fn data(content: &Content) -> BTreeMap<String, ByteString> {
        let values = content.data().into_iter();
        values.map(|(key, value)| (key.to_owned(), value)).collect()
    }

    fn read(data: &BTreeMap<String, ByteString>) -> Content {
        Content::read(data, None)
    }

    #[test]
    fn what_is_written_is_read() {
        let content = content();
        let again = Content::read(&data(&content), content.annotation().as_deref());
        assert!(again == content);
        assert!(again.authorities.iter().all(Authority::has_key));
        assert!(again.newest(NOW).is_some() && again.newest(NOW + 90 * DAY).is_none());
        assert!(again.issuer(again.pair.as_ref().unwrap()) == content.authorities.get(1));
    }

    #[test]
    fn nothing_is_read_of_nothing() {
        assert!(read(&BTreeMap::new()) == Content::default());
    }

    #[test]
    fn the_rest_is_used_when_a_part_is_corrupt() {
        let content = content();
        let junk = || ByteString(b"-----BEGIN CERTIFICATE-----\nnot base64!".to_vec());
        for key in ["ca.crt", "ca.key", "tls.crt", "tls.key"] {
            let mut data = data(&content);
            data.insert(key.to_owned(), junk());
            let read = read(&data);
            let has = (
                read.authorities.len(),
                read.newest(NOW).is_some(),
                read.pair.is_some(),
            );
            let expected = match key {
                "ca.crt" => (0, false, false),
                "ca.key" => (2, false, true),
                _ => (2, true, false),
            };
            assert_eq!(has, expected, "{key}");
        }
    }

    #[test]
    fn a_pair_of_somebody_else_is_not_used() {
        let mut data = data(&content());
        let other = Authority::make(NOW, 90 * DAY).unwrap();
        let pair = other.issue(&["a.b.svc".to_owned()], NOW, DAY).unwrap();
        data.insert("tls.crt".into(), ByteString(pair.to_pem().into()));
        data.insert("tls.key".into(), ByteString(pair.key_to_pem().into()));
        assert!(read(&data).pair.is_none());
    }
}
