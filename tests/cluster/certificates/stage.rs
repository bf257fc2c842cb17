//! A namespace with the shipped rights, and two webhook configurations of one name that nobody else has.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use agentteam_webhook::certs::secret::Content;
use agentteam_webhook::yaml;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, DynamicObject, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::registration::{MUTATING, VALIDATING, shipped};
use crate::rig::Rig;
use crate::scene::{account_in, install};
use crate::webhook::Webhook;

pub const SECRET: &str = "agentteam-webhook-tls";

/// The stage of one test.
pub struct Stage {
    pub rig: &'static Rig,
    pub namespace: String,
    /// The name of the two configurations.
    pub configuration: String,
    /// Of the webhook's own account.
    pub kubeconfig: PathBuf,
    pub secrets: Api<Secret>,
    client: kube::Client,
}

impl Stage {
    /// Rights and configurations as they ship, under names of their own.
    pub async fn new(prefix: &str) -> Self {
        let stage = Self::without_configurations(prefix).await;
        stage.configure(MUTATING).await;
        stage.configure(VALIDATING).await;
        stage
    }

    pub async fn without_configurations(prefix: &str) -> Self {
        let rig = Rig::get();
        install(rig);
        Self::bare(rig, prefix).await
    }

    /// The same on a control plane of one's own, without teams.
    pub async fn on(rig: &'static Rig, prefix: &str) -> Self {
        let rights = concat!(env!("CARGO_MANIFEST_DIR"), "/manifests/base/rbac.yaml");
        rig.kubectl(&["create", "namespace", "agentteam-system"], "")
            .success();
        rig.kubectl(&["apply", "-f", rights], "").success();
        let stage = Self::bare(rig, prefix).await;
        stage.configure(MUTATING).await;
        stage.configure(VALIDATING).await;
        stage
    }

    async fn bare(rig: &'static Rig, prefix: &str) -> Self {
        let namespace = rig.namespace(prefix, &[]).await;
        let kubeconfig = account_in(rig, &namespace).await;
        let client = rig.client().await;
        let stage = Self {
            rig,
            configuration: rig.unique("certificates"),
            secrets: Api::namespaced(client.clone(), &namespace),
            namespace,
            kubeconfig,
            client,
        };
        stage.grant();
        stage
    }

    /// Gives the webhook's account what `manifests/overlays/self-signed` gives it, for this stage's objects.
    fn grant(&self) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"));
        let path = path.join("manifests/overlays/self-signed/rbac.yaml");
        let text = std::fs::read_to_string(path).unwrap();
        let documents = yaml::documents(&text);
        let mut objects: Vec<Value> = documents
            .into_iter()
            .map(|document| document.parse().unwrap())
            .collect();
        let kinds: Vec<_> = objects
            .iter()
            .map(|object| object["kind"].clone())
            .collect();
        assert_eq!(
            kinds,
            ["Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"]
        );
        assert_eq!(
            objects[2]["rules"][0]["resourceNames"],
            json!(["agentteam-webhook"])
        );
        objects[2]["rules"][0]["resourceNames"] = json!([self.configuration]);
        for object in &mut objects {
            if object["metadata"].get("namespace").is_some() {
                object["metadata"]["namespace"] = json!(self.namespace);
            } else {
                object["metadata"]["name"] = json!(self.configuration);
            }
            if object["roleRef"]["kind"] == "ClusterRole" {
                object["roleRef"]["name"] = json!(self.configuration);
            }
            self.rig
                .kubectl(&["apply", "-f", "-"], &object.to_string())
                .success();
        }
    }

    /// Creates a configuration as it ships, for this namespace only and called by nobody.
    pub async fn configure(&self, kind: &str) -> Value {
        let mut object = shipped(kind);
        object["metadata"]["name"] = json!(self.configuration);
        for entry in object["webhooks"].as_array_mut().unwrap() {
            entry["clientConfig"]["service"]["namespace"] = json!(self.namespace);
            entry["objectSelector"] = json!({"matchLabels": {"rig.test/never": "true"}});
        }
        self.create(kind, object).await
    }

    pub async fn create(&self, kind: &str, object: Value) -> Value {
        let object = serde_json::from_value(object).unwrap();
        let created = self.api(kind).create(&PostParams::default(), &object).await;
        serde_json::to_value(created.unwrap()).unwrap()
    }

    pub fn api(&self, kind: &str) -> Api<DynamicObject> {
        let camel = if kind == MUTATING {
            "MutatingWebhookConfiguration"
        } else {
            "ValidatingWebhookConfiguration"
        };
        let kind_of = GroupVersionKind::gvk("admissionregistration.k8s.io", "v1", camel);
        let resource = ApiResource::from_gvk_with_plural(&kind_of, &format!("{kind}s"));
        Api::all_with(self.client.clone(), &resource)
    }

    pub async fn read(&self, kind: &str) -> Value {
        let object = self.api(kind).get(&self.configuration).await.unwrap();
        serde_json::to_value(object).unwrap()
    }

    pub fn patch(&self, kind: &str, patch: &Value) {
        self.rig.patch(kind, &self.configuration, patch);
    }

    /// The flags of a replica.
    pub fn flags(&self) -> Vec<&str> {
        vec![
            "--tls-mode",
            "self-signed",
            "--webhook-configuration",
            &self.configuration,
            "--controller=false",
        ]
    }

    pub async fn replica(&self) -> Webhook<'static> {
        Webhook::start_as(self.rig, &self.kubeconfig, &self.flags()).await
    }

    /// What the Secret holds, as far as it can be used.
    pub async fn content(&self) -> Option<Content> {
        let secret = self.secrets.get_opt(SECRET).await.unwrap()?;
        Some(Content::read(&secret.data.unwrap_or_default(), None))
    }

    /// The `caBundle`s of all entries, which must be the same.
    pub async fn bundle(&self) -> String {
        let mut bundles = Vec::new();
        for kind in [MUTATING, VALIDATING] {
            bundles.extend(self.bundles(kind).await);
        }
        bundles.dedup();
        assert_eq!(bundles.len(), 1, "they differ: {bundles:?}");
        bundles.remove(0)
    }

    /// The `caBundle` of each entry.
    pub async fn bundles(&self, kind: &str) -> Vec<String> {
        let object = self.read(kind).await;
        let entries = object["webhooks"].as_array().unwrap();
        let bundle = |entry: &Value| {
            let bundle = entry["clientConfig"]["caBundle"]
                .as_str()
                .unwrap_or_default();
            String::from_utf8(STANDARD.decode(bundle).unwrap()).unwrap()
        };
        entries.iter().map(bundle).collect()
    }

    /// Whether every entry of both configurations holds all of the Secret's authorities, and nothing else.
    pub async fn is_known(&self) -> bool {
        let Some(content) = self.content().await else {
            return false;
        };
        let mut all = self.bundles(MUTATING).await;
        all.extend(self.bundles(VALIDATING).await);
        !content.authorities.is_empty() && all.iter().all(|bundle| *bundle == content.bundle())
    }

    /// The name of the Service, which clients verify.
    pub fn service(&self) -> String {
        format!("agentteam-webhook.{}.svc", self.namespace)
    }
}

/// Waits until something holds, and says how long that took.
pub async fn within<F: Future<Output = bool>>(
    limit: Duration,
    what: &str,
    holds: impl Fn() -> F,
) -> Duration {
    let start = Instant::now();
    while !holds().await {
        assert!(start.elapsed() < limit, "{what}: not within {limit:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    start.elapsed()
}

/// An object without what every write changes and without its caBundles.
pub fn rest(mut object: Value) -> Value {
    for field in ["resourceVersion", "generation", "managedFields"] {
        object["metadata"].as_object_mut().unwrap().remove(field);
    }
    for entry in object["webhooks"].as_array_mut().unwrap() {
        entry["clientConfig"]
            .as_object_mut()
            .unwrap()
            .remove("caBundle");
    }
    object
}

/// The wall clock of clients that live in another time.
#[derive(Debug)]
struct Clock(fn() -> i64);

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        let seconds = u64::try_from((self.0)()).ok()?;
        Some(UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
    }
}

/// One client that makes a connection of its own for each request and trusts what a `caBundle` says.
pub struct Client {
    name: ServerName<'static>,
    clock: fn() -> i64,
}

impl Client {
    pub fn new(name: &str, clock: fn() -> i64) -> Self {
        Self {
            name: ServerName::try_from(name.to_owned()).unwrap(),
            clock,
        }
    }

    /// Asks for a review as an API server does; the certificate that was served.
    pub async fn ask(
        &self,
        address: SocketAddr,
        bundle: &str,
    ) -> io::Result<CertificateDer<'static>> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(bundle.as_bytes()) {
            roots.add(certificate.unwrap()).unwrap();
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_details(provider, Arc::new(Clock(self.clock)))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let limit = Duration::from_secs(30);
        let asked = timeout(limit, async {
            let stream = TcpStream::connect(address).await?;
            let connector = TlsConnector::from(Arc::new(config));
            let mut stream = connector.connect(self.name.clone(), stream).await?;
            let certificates = stream.get_ref().1.peer_certificates();
            let certificate = certificates.unwrap()[0].clone().into_owned();
            let review = review();
            let head = format!(
                "POST /mutate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                review.len()
            );
            stream.write_all(head.as_bytes()).await?;
            stream.write_all(review.as_bytes()).await?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await?;
            if answer.starts_with("HTTP/1.1 200") && answer.contains(r#""allowed":true"#) {
                Ok(certificate)
            } else {
                Err(io::Error::other(answer))
            }
        });
        asked
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }
}

/// A review of a ConfigMap, which every webhook admits, whatever it knows of teams.
fn review() -> String {
    json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
        "uid": "1", "operation": "CREATE", "namespace": "default", "object": {"kind": "ConfigMap", "metadata": {"name": "x"}},
        "kind": {"group": "", "version": "v1", "kind": "ConfigMap"},
        "resource": {"group": "", "version": "v1", "resource": "configmaps"}}})
    .to_string()
}
