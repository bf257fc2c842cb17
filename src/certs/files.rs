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
            let content = match self.read() {
                Ok(content) if content == seen => continue,
                Ok(content) => content,
                Err(error) => {
                    served.metrics.errors.inc();
                    tracing::warn!(%error, "the certificate's files cannot be read; the one in use stays");
                    continue;
                }
            };
            match self.leaf(&content) {
                Ok(leaf) => {
                    served.replace(leaf);
                    tracing::info!(
                        not_after = served.not_after(),
                        "a new certificate is served"
                    );
                }
                Err(error) => {
                    served.metrics.errors.inc();
                    tracing::warn!(%error, "the certificate's files changed and cannot be used; the one in use stays");
                }
            }
            seen = content;
        }
    }
}
