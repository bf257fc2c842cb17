//! Whom a registry's certificate must be from.
//!
//! As ORAS, which is a Go program, sees it: the system's authorities, or those of `SSL_CERT_FILE` instead, and those in
//! the directories of `SSL_CERT_DIR` besides. Where the system has none, as in our image, Mozilla's are built in.

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{self, PemObject};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore};

use super::failure::Failure;

/// Where systems keep the certificates of their authorities: Debian and Alpine, Red Hat, SUSE.
const SYSTEM_FILES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// TLS 1.2 and 1.3 for HTTP/2 and HTTP/1.1, with the authorities that the environment names.
///
/// # Errors
/// When a file or directory that a variable names cannot be read.
pub fn tls() -> Result<ClientConfig, Failure> {
    let set = |name| env::var_os(name).filter(|value| !value.is_empty());
    let roots = authorities(
        set("SSL_CERT_FILE").as_deref(),
        set("SSL_CERT_DIR").as_deref(),
    )?;
    configuration(roots)
}

/// TLS that trusts nobody, for those who are spoken to without it.
///
/// # Errors
/// When the crypto provider has no TLS 1.2 and 1.3.
pub fn no_tls() -> Result<ClientConfig, Failure> {
    configuration(RootCertStore::empty())
}

fn configuration(roots: RootCertStore) -> Result<ClientConfig, Failure> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map_err(|error| Failure::Configuration(format!("TLS cannot be used: {error}")))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

fn authorities(
    file: Option<&OsStr>,
    directories: Option<&OsStr>,
) -> Result<RootCertStore, Failure> {
    let mut roots = RootCertStore::empty();
    let system = SYSTEM_FILES
        .iter()
        .map(Path::new)
        .find(|file| file.exists());
    match file.map(Path::new).or(system) {
        Some(file) => add_file(&mut roots, file)?,
        None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
    }
    for directory in directories.map(env::split_paths).into_iter().flatten() {
        for file in files(&directory)? {
            add_file(&mut roots, &file)?;
        }
    }
    Ok(roots)
}

/// The files of a directory. A mounted `ConfigMap` has directories besides, and links to what is in them.
fn files(directory: &Path) -> Result<Vec<PathBuf>, Failure> {
    let unreadable = |error| unreadable(directory, &error);
    let mut files = Vec::new();
    for entry in directory.read_dir().map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.is_file() {
            files.push(path);
        }
    }
    Ok(files)
}

/// Adds the certificates of a file. One that cannot be used certifies nothing, so it is passed over, as everybody does.
fn add_file(roots: &mut RootCertStore, file: &Path) -> Result<(), Failure> {
    let certificates = CertificateDer::pem_file_iter(file).map_err(|error| match error {
        pem::Error::Io(error) => unreadable(file, &error),
        other => unreadable(file, &std::io::Error::other(other.to_string())),
    })?;
    roots.add_parsable_certificates(certificates.filter_map(Result::ok));
    Ok(())
}

fn unreadable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::Configuration(format!(
        "certificates of authorities cannot be read from {}: {error}; mend SSL_CERT_FILE and SSL_CERT_DIR",
        path.display()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certs::authority::Authority;
    use crate::clock::unix_seconds;

    #[test]
    fn a_directory_adds_to_a_file() {
        let directory = tempfile::tempdir().unwrap();
        let pem = || Authority::make(unix_seconds(), 60).unwrap().to_pem();
        let file = directory.path().join("file.pem");
        std::fs::write(&file, pem() + &pem()).unwrap();
        let more = directory.path().join("more");
        std::fs::create_dir_all(more.join("..data")).unwrap();
        std::fs::write(more.join("..data/ca.crt"), pem()).unwrap();
        std::os::unix::fs::symlink("..data/ca.crt", more.join("ca.crt")).unwrap();
        std::fs::write(more.join("README"), "no certificate").unwrap();
        let count = |directories| {
            authorities(Some(file.as_os_str()), directories)
                .unwrap()
                .len()
        };
        assert_eq!(count(None), 2);
        assert_eq!(count(Some(more.as_os_str())), 3);
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let failure = authorities(None, Some(OsStr::new("/does/not/exist"))).unwrap_err();
        assert!(failure.to_string().contains("/does/not/exist"), "{failure}");
    }
}
