//! The flags of the certificate.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use kube::Client;

use crate::certs::Served;
use crate::certs::files::Files;
use crate::certs::memory::Memory;
use crate::certs::self_signed::{SelfSigned, Settings};
use crate::names::{Shown, is_dns_subdomain};

/// The names of a server on this machine.
const LOCAL_NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// The Service of the shipped manifests.
const SERVICE: &str = "agentteam-webhook";

/// The certificate.
#[derive(Args, Debug)]
#[command(next_help_heading = "TLS")]
pub struct TlsArgs {
    /// Where the certificate comes from. Default: files where --tls-cert-file is set, else memory
    #[arg(long, env = "AGENTTEAM_WEBHOOK_TLS_MODE", value_name = "MODE")]
    tls_mode: Option<TlsMode>,

    /// With files: the server's certificate and those that lead to its authority, in PEM; read again when it changes
    #[arg(
        long,
        env = "AGENTTEAM_WEBHOOK_TLS_CERT_FILE",
        value_name = "FILE",
        requires = "tls_key_file"
    )]
    tls_cert_file: Option<PathBuf>,

    /// With files: the key of the certificate, in PEM
    #[arg(
        long,
        env = "AGENTTEAM_WEBHOOK_TLS_KEY_FILE",
        value_name = "FILE",
        requires = "tls_cert_file"
    )]
    tls_key_file: Option<PathBuf>,

    /// With self-signed: the Secret, in the webhook's own namespace, that the replicas share
    #[arg(
        long,
        env = "AGENTTEAM_WEBHOOK_TLS_SECRET",
        value_name = "NAME",
        default_value = "agentteam-webhook-tls",
        value_parser = object_name
    )]
    tls_secret: String,

    /// With self-signed: the MutatingWebhookConfiguration and the ValidatingWebhookConfiguration whose caBundle is kept
    #[arg(
        long,
        env = "AGENTTEAM_WEBHOOK_WEBHOOK_CONFIGURATION",
        value_name = "NAME",
        default_value = "agentteam-webhook",
        value_parser = object_name
    )]
    webhook_configuration: String,

    /// With self-signed and memory: the names that the certificate is for, divided by commas. Default: with self-signed
    /// the Service agentteam-webhook in the webhook's own namespace; with memory localhost,127.0.0.1,::1
    #[arg(
        long,
        env = "AGENTTEAM_WEBHOOK_TLS_NAMES",
        value_name = "NAME",
        value_delimiter = ','
    )]
    tls_names: Vec<String>,

    /// With memory: write the authority's certificate here, in PEM; - is stdout, which is the default
    #[arg(long, env = "AGENTTEAM_WEBHOOK_TLS_CA_OUT", value_name = "FILE")]
    tls_ca_out: Option<PathBuf>,
}

/// Where the certificate comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum TlsMode {
    /// An authority in a Secret that the replicas share, made known in the caBundle of the webhook configurations
    SelfSigned,
    /// Files that another program keeps
    Files,
    /// An authority in memory, for a laptop and for tests
    Memory,
}

impl TlsArgs {
    /// Whether the certificate is kept in the cluster.
    #[must_use]
    pub fn needs_cluster(&self) -> bool {
        self.tls_mode == Some(TlsMode::SelfSigned)
    }

    /// The certificate to serve; starts the task that keeps it fresh.
    ///
    /// # Errors
    /// When the flags do not fit together, or the files hold no certificate.
    pub fn certificate(&self, client: Option<&Client>) -> Result<Arc<Served>> {
        let files = self.tls_cert_file.as_ref().zip(self.tls_key_file.as_ref());
        let default = if files.is_some() {
            TlsMode::Files
        } else {
            TlsMode::Memory
        };
        let mode = self.tls_mode.unwrap_or(default);
        if mode != TlsMode::Files && files.is_some() {
            bail!("--tls-cert-file and --tls-key-file are for --tls-mode files");
        }
        if mode == TlsMode::Files && !self.tls_names.is_empty() {
            bail!(
                "--tls-names is for a certificate that is made; the one in --tls-cert-file has names already"
            );
        }
        if mode != TlsMode::Memory && self.tls_ca_out.is_some() {
            bail!("--tls-ca-out is for --tls-mode memory");
        }
        match (mode, files, client) {
            (TlsMode::Files, Some((certificate, key)), _) => from_files(Files {
                certificate: certificate.clone(),
                key: key.clone(),
            }),
            (TlsMode::Files, None, _) => {
                bail!("--tls-mode files needs --tls-cert-file and --tls-key-file")
            }
            (TlsMode::Memory, ..) => self.in_memory(),
            (TlsMode::SelfSigned, _, Some(client)) => Ok(self.self_signed(client)),
            (TlsMode::SelfSigned, _, None) => bail!("--tls-mode self-signed needs a cluster"),
        }
    }

    fn self_signed(&self, client: &Client) -> Arc<Served> {
        let namespace = client.default_namespace().to_owned();
        let names = if self.tls_names.is_empty() {
            let service = format!("{SERVICE}.{namespace}.svc");
            vec![format!("{service}.cluster.local"), service]
        } else {
            self.tls_names.clone()
        };
        let settings = Settings {
            namespace,
            secret: self.tls_secret.clone(),
            configuration: self.webhook_configuration.clone(),
            names,
        };
        let keeper = SelfSigned::new(client.clone(), settings);
        let served = keeper.served();
        tokio::spawn(keeper.run());
        served
    }

    fn in_memory(&self) -> Result<Arc<Served>> {
        let names = if self.tls_names.is_empty() {
            LOCAL_NAMES.map(str::to_owned).to_vec()
        } else {
            self.tls_names.clone()
        };
        let memory = Memory::new(names)?;
        let leaf = memory.issue()?;
        match &self.tls_ca_out {
            Some(file) if file.as_os_str() != "-" => std::fs::write(file, memory.certificate())
                .with_context(|| format!("--tls-ca-out {} cannot be written", file.display()))?,
            _ => print!("{}", memory.certificate()),
        }
        let served = Arc::new(Served::new(leaf));
        tokio::spawn(memory.renew(Arc::clone(&served)));
        Ok(served)
    }
}

fn from_files(files: Files) -> Result<Arc<Served>> {
    let content = files.read()?;
    let served = Arc::new(Served::new(files.leaf(&content)?));
    tokio::spawn(files.watch(content, Arc::clone(&served)));
    Ok(served)
}

fn object_name(text: &str) -> Result<String, String> {
    if is_dns_subdomain(text) {
        Ok(text.to_owned())
    } else {
        Err(format!("{} cannot be the name of an object", Shown(text)))
    }
}
