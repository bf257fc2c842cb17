//! A certificate from files, as cert-manager or a person mounts them, read again when their content changes.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::{InvalidCertificate, Leaf, Served};

/// How often the files are read. The mount of a Secret is swapped by symlink, which many watches miss.
const POLL: Duration = Duration::from_secs(10);

/// The files of a certificate and its key, both in PEM.
#[derive(Clone, Debug)]
pub struct Files {
    /// The chain, the server's own certificate first.
    pub certificate: PathBuf,
    /// The key.
    pub key: PathBuf,
}

/// What the files hold; compared to tell whether they changed.
#[derive(PartialEq, Eq)]
pub struct Content {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl Files {
    /// Reads both files.
    ///
    /// # Errors
    /// When one of them cannot be read.
    pub fn read(&self) -> Result<Content, InvalidCertificate> {
        let read = |path: &PathBuf| {
            std::fs::read(path).map_err(|error| InvalidCertificate::File {
                path: path.display().to_string(),
                error,
            })
        };
        Ok(Content {
            certificate: read(&self.certificate)?,
            key: read(&self.key)?,
        })
    }

    /// The certificate in `content`.
    ///
    /// # Errors
    /// When it is none.
    pub fn leaf(&self, content: &Content) -> Result<Leaf, InvalidCertificate> {
        let pem = |path: &PathBuf, what, error| InvalidCertificate::Pem {
            path: path.display().to_string(),
            what,
            error,
        };
        let chain = CertificateDer::pem_slice_iter(&content.certificate)
            .collect::<Result<Vec<_>, _>>()
            .and_then(|chain| {
                if chain.is_empty() {
                    Err(rustls::pki_types::pem::Error::NoItemsFound)
                } else {
                    Ok(chain)
                }
            })
            .map_err(|error| pem(&self.certificate, "certificate", error))?;
        let key = PrivateKeyDer::from_pem_slice(&content.key)
            .map_err(|error| pem(&self.key, "private key", error))?;
        Leaf::new(chain, key)
    }

    /// Serves what the files hold, for ever. A pair that cannot be used is said once, and the one before it stays.
    pub async fn watch(self, mut seen: Content, served: Arc<Served>) {
        loop {
            tokio::time::sleep(POLL).await;
            self.look(&mut seen, &served);
        }
    }

    /// Serves what the files hold, if that is something else than was `seen`.
    fn look(&self, seen: &mut Content, served: &Served) {
        let content = match self.read() {
            Ok(content) if content == *seen => return,
            Ok(content) => content,
            Err(error) => {
                served.metrics.errors.inc();
                tracing::warn!(%error, "the certificate's files cannot be read; the one in use stays");
                return;
            }
        };
        match self.leaf(&content) {
            Ok(leaf) => {
                served.replace(leaf);
                let not_after = served.not_after();
                tracing::info!(not_after, "a new certificate is served");
            }
            Err(error) => {
                served.metrics.errors.inc();
                tracing::warn!(%error, "the certificate's files changed and cannot be used; the one in use stays");
            }
        }
        *seen = content;
    }
}

#[cfg(test)]
mod tests {
    use super::super::authority::{Authority, Pair};
    use super::*;

    const NOW: i64 = 1_800_000_000;

    /// Files in a directory of their own, and what a server makes of them.
    struct Scene {
        files: Files,
        seen: Content,
        served: Served,
        _dir: tempfile::TempDir,
    }

    impl Scene {
        fn new(pair: &Pair) -> Self {
            let dir = tempfile::tempdir().unwrap();
            let files = Files {
                certificate: dir.path().join("tls.crt"),
                key: dir.path().join("tls.key"),
            };
            std::fs::write(&files.certificate, pair.to_pem()).unwrap();
            std::fs::write(&files.key, pair.key_to_pem()).unwrap();
            let seen = files.read().unwrap();
            let served = Served::new(files.leaf(&seen).unwrap());
            Self {
                files,
                seen,
                served,
                _dir: dir,
            }
        }

        fn look(&mut self) -> (i64, u64) {
            self.files.look(&mut self.seen, &self.served);
            (self.served.not_after(), self.served.metrics.errors.get())
        }
    }

    fn pairs() -> [Pair; 2] {
        let authority = Authority::make(NOW, 9_000).unwrap();
        [1_000, 2_000].map(|life| authority.issue(&["a.b".to_owned()], NOW, life).unwrap())
    }

    #[test]
    fn a_pair_whose_files_are_replaced_one_after_the_other_is_served_when_both_are() {
        let [before, after] = pairs();
        for certificate_first in [true, false] {
            let mut scene = Scene::new(&before);
            let files = scene.files.clone();
            let certificate = || std::fs::write(&files.certificate, after.to_pem()).unwrap();
            let key = || std::fs::write(&files.key, after.key_to_pem()).unwrap();
            assert_eq!(scene.look(), (NOW + 1_000, 0));
            if certificate_first {
                certificate();
            } else {
                key();
            }
            assert_eq!(scene.look(), (NOW + 1_000, 1), "the pair before stays");
            assert_eq!(scene.look(), (NOW + 1_000, 1), "and it is said once");
            certificate();
            key();
            assert_eq!(scene.look(), (NOW + 2_000, 1));
        }
    }

    #[test]
    fn a_file_that_is_away_for_a_while_changes_nothing() {
        let [before, after] = pairs();
        let mut scene = Scene::new(&before);
        std::fs::remove_file(&scene.files.key).unwrap();
        assert_eq!(scene.look(), (NOW + 1_000, 1));
        std::fs::write(&scene.files.certificate, after.to_pem()).unwrap();
        std::fs::write(&scene.files.key, after.key_to_pem()).unwrap();
        assert_eq!(scene.look(), (NOW + 2_000, 1));
    }
}
