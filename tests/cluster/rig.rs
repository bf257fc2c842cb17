//! One etcd and one kube-apiserver for all tests of a binary.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use kube::api::{Api, ObjectMeta, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use rcgen::KeyPair;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::identity::Identity;
use crate::process::{Supervised, programs};

type Error = Box<dyn std::error::Error + Send + Sync>;

/// Ready after 4 to 5 seconds on two idle cores; a machine that also compiles is given more.
const READY_WITHIN: Duration = Duration::from_secs(90);

/// A control plane: what admits, validates and stores, and nothing that runs anything.
pub struct Rig {
    // Before `dir`, so that a dropped rig's processes end before their data goes.
    apiserver: Mutex<Supervised>,
    etcd: Mutex<Supervised>,
    dir: TempDir,
    /// Of the API server.
    flags: Vec<(&'static str, String)>,
    assets: PathBuf,
    server: String,
    ca: String,
    names: AtomicUsize,
}

/// Where a control plane differs from that of [`Rig::get`].
#[derive(Default)]
pub struct Settings {
    /// Of the API server; 0 takes a free one.
    pub port: u16,
    /// What its certificate is for, beside loopback.
    pub names: Vec<&'static str>,
    /// Flags of the API server; one that is set already is set anew.
    pub flags: Vec<(&'static str, String)>,
}

/// What a finished kubectl said.
#[derive(Debug)]
pub struct Output {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

impl Output {
    /// Standard output, once it is certain that all went well.
    #[track_caller]
    pub fn success(self) -> String {
        assert!(
            self.status.success(),
            "kubectl failed ({}): {}{}",
            self.status,
            self.stdout,
            self.stderr
        );
        self.stdout
    }
}

impl Rig {
    /// The rig of this process, started by the first who asks; the others wait, and block their thread.
    ///
    /// It lives in a static, whose destructor never runs: the pipes of [`Supervised`] end it.
    #[track_caller]
    pub fn get() -> &'static Self {
        // A failure is kept as well: the tests after the first must not each wait for it again.
        static RIG: OnceLock<Result<Rig, String>> = OnceLock::new();
        match RIG.get_or_init(|| Rig::start().map_err(|error| error.to_string())) {
            Ok(rig) => rig,
            Err(error) => panic!("the test cluster does not start: {error}"),
        }
    }

    /// Starts a control plane of one's own, for a test that breaks it; [`get`](Self::get) is for all others.
    pub fn start() -> Result<Self, Error> {
        Self::start_with(&Settings::default())
    }

    /// The same with other settings.
    pub fn start_with(settings: &Settings) -> Result<Self, Error> {
        // Fails when another test was first, which is just as well.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let assets = programs("tests/cluster/assets/build.sh")?;
        // A port that was free a moment ago may be taken by the time the server binds it.
        let mut attempts = 0;
        loop {
            attempts += 1;
            match Self::attempt(&assets, settings) {
                Err(error)
                    if attempts < 3 && error.to_string().contains("address already in use") => {}
                result => return result,
            }
        }
    }

    fn attempt(assets: &Path, settings: &Settings) -> Result<Self, Error> {
        let dir = tempfile::Builder::new()
            .prefix("agentteam-cluster-")
            .tempdir()?;
        let path = |name: &str| dir.path().join(name).display().to_string();
        let names = [
            &["127.0.0.1", "localhost", "kubernetes.default.svc"],
            &settings.names[..],
        ]
        .concat();
        let identity = Identity::make(&names)?;
        let service_accounts = KeyPair::generate()?;
        for (name, content) in [
            ("ca.crt", &identity.ca),
            ("tls.crt", &identity.certificate),
            ("tls.key", &identity.key),
            ("sa.key", &service_accounts.serialize_pem()),
            ("sa.pub", &service_accounts.public_key_pem()),
            (
                "tokens.csv",
                &"admin-token,admin,admin,system:masters\n".to_owned(),
            ),
        ] {
            std::fs::write(dir.path().join(name), content)?;
        }

        let [etcd_port, port] = free_ports()?;
        let port = if settings.port == 0 {
            port
        } else {
            settings.port
        };
        let etcd_url = format!("http://127.0.0.1:{etcd_port}");
        let etcd = start(
            assets,
            &dir,
            "etcd",
            &[
                ("unsafe-no-fsync", "true"),
                ("log-level", "warn"),
                ("data-dir", &path("etcd")),
                ("listen-client-urls", &etcd_url),
                ("advertise-client-urls", &etcd_url),
                // Nobody is there to peer with, so any port will do.
                ("listen-peer-urls", "http://127.0.0.1:0"),
            ],
        )?;
        let mut flags = vec![
            ("etcd-servers", etcd_url.clone()),
            ("bind-address", "127.0.0.1".to_owned()),
            ("advertise-address", "127.0.0.1".to_owned()),
            ("secure-port", port.to_string()),
            ("tls-cert-file", path("tls.crt")),
            ("tls-private-key-file", path("tls.key")),
            ("cert-dir", path("certs")),
            ("authorization-mode", "RBAC".to_owned()),
            ("token-auth-file", path("tokens.csv")),
            (
                "service-account-issuer",
                "https://kubernetes.default.svc".to_owned(),
            ),
            ("service-account-key-file", path("sa.pub")),
            ("service-account-signing-key-file", path("sa.key")),
            ("service-cluster-ip-range", "10.96.0.0/24".to_owned()),
            ("endpoint-reconciler-type", "none".to_owned()),
            ("allow-privileged", "true".to_owned()),
        ];
        flags.retain(|(name, _)| !settings.flags.iter().any(|(other, _)| other == name));
        flags.extend(settings.flags.iter().cloned());
        let given: Vec<_> = flags
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        let apiserver = start(assets, &dir, "kube-apiserver", &given)?;

        let rig = Self {
            apiserver: Mutex::new(apiserver),
            flags,
            etcd: Mutex::new(etcd),
            assets: assets.to_owned(),
            server: format!("https://127.0.0.1:{port}"),
            ca: identity.ca,
            names: AtomicUsize::new(0),
            dir,
        };
        rig.write_kubeconfig(&rig.kubeconfig(), "admin-token", "default")?;
        rig.wait_until_ready(SocketAddr::from(([127, 0, 0, 1], port)))?;
        Ok(rig)
    }

    fn wait_until_ready(&self, address: SocketAddr) -> Result<(), Error> {
        let start = Instant::now();
        let mut answer = "no connection yet".to_owned();
        while start.elapsed() < READY_WITHIN {
            for (name, ended) in [
                ("etcd", self.etcd.lock().unwrap().ended()),
                ("kube-apiserver", self.apiserver.lock().unwrap().ended()),
            ] {
                if let Some(status) = ended {
                    return Err(format!("{name} ended ({status}): {}", self.log_tail(name)).into());
                }
            }
            // Cheaper than a kubectl while nobody listens.
            if TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok() {
                let ready = self.kubectl(&["get", "--raw", "/readyz"], "");
                if ready.status.success() {
                    return Ok(());
                }
                answer = ready.stderr;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let seconds = READY_WITHIN.as_secs();
        Err(format!(
            "not ready within {seconds} s: {answer}{}",
            self.log_tail("kube-apiserver")
        )
        .into())
    }

    /// The last lines that `etcd` or `kube-apiserver` logged.
    pub fn log_tail(&self, name: &str) -> String {
        let log = std::fs::read(self.dir.path().join(format!("{name}.log"))).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }

    /// A file of the control plane: `ca.crt`, `sa.key`.
    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Where the programs are.
    pub fn assets(&self) -> &Path {
        &self.assets
    }

    /// The kubeconfig of a cluster administrator (`system:masters`).
    pub fn kubeconfig(&self) -> PathBuf {
        self.dir.path().join("kubeconfig")
    }

    /// A client for the administrator: a new one for each call, since a client belongs to the runtime that
    /// made it, and every `#[tokio::test]` has its own.
    pub async fn client(&self) -> kube::Client {
        self.client_as(&self.kubeconfig()).await
    }

    /// A client for whomever a kubeconfig names.
    pub async fn client_as(&self, kubeconfig: &Path) -> kube::Client {
        let kubeconfig = Kubeconfig::read_from(kubeconfig).expect("we wrote the kubeconfig");
        let config =
            kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await;
        kube::Client::try_from(config.expect("the kubeconfig is complete")).expect("the CA is ours")
    }

    /// Runs kubectl as the administrator; `stdin` is for `-f -`, and may be empty.
    pub fn kubectl(&self, args: &[&str], stdin: &str) -> Output {
        let mut child = Command::new(self.assets.join("kubectl"))
            .args(args)
            .env("KUBECONFIG", self.kubeconfig())
            // kubectl remembers what a server offers by its address; ours come and go at random ones.
            .env("KUBECACHEDIR", self.dir.path().join("kubectl-cache"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("kubectl is among the assets");
        let mut input = child.stdin.take().expect("standard input is a pipe");
        let output = std::thread::scope(|scope| {
            // In a thread of its own: kubectl may fill its output while we still write.
            scope.spawn(move || {
                let _ = input.write_all(stdin.as_bytes());
            });
            child
                .wait_with_output()
                .expect("our own child can be waited for")
        });
        Output {
            status: output.status,
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Changes a cluster-wide object by a JSON patch.
    #[track_caller]
    pub fn patch(&self, kind: &str, name: &str, patch: &Value) {
        let patch = patch.to_string();
        let args = ["patch", kind, name, "--type=json", "-p", &patch];
        self.kubectl(&args, "").success();
    }

    /// A name that nothing else of this rig has.
    pub fn unique(&self, prefix: &str) -> String {
        format!("{prefix}-{}", self.names.fetch_add(1, Ordering::Relaxed))
    }

    /// Makes a namespace that no other test has, with the `default` ServiceAccount that a controller-manager
    /// would make and without which the ServiceAccount plugin admits no Pod.
    pub async fn namespace(&self, prefix: &str, labels: &[(&str, &str)]) -> String {
        let name = self.unique(prefix);
        let labels: BTreeMap<_, _> = labels
            .iter()
            .map(|&(key, value)| (key.to_owned(), value.to_owned()))
            .collect();
        let client = self.client().await;
        let namespace = Namespace {
            metadata: ObjectMeta {
                name: Some(name.clone()),
                labels: Some(labels),
                ..ObjectMeta::default()
            },
            ..Namespace::default()
        };
        let namespaces = Api::all(client.clone());
        namespaces
            .create(&PostParams::default(), &namespace)
            .await
            .expect("a new namespace is admitted");
        let account = ServiceAccount {
            metadata: ObjectMeta {
                name: Some("default".to_owned()),
                ..ObjectMeta::default()
            },
            ..ServiceAccount::default()
        };
        let accounts = Api::namespaced(client, &name);
        accounts
            .create(&PostParams::default(), &account)
            .await
            .expect("a new ServiceAccount is admitted");
        name
    }

    /// A kubeconfig of the administrator that says it is at home in `namespace`.
    pub fn admin_kubeconfig(&self, namespace: &str) -> PathBuf {
        let path = self
            .dir
            .path()
            .join(format!("admin-{namespace}.kubeconfig"));
        self.write_kubeconfig(&path, "admin-token", namespace)
            .expect("the directory is ours");
        path
    }

    /// Ends the API server, as a node that goes down would.
    pub fn stop_apiserver(&self) {
        let mut apiserver = self.apiserver.lock().unwrap();
        apiserver.signal("KILL");
        apiserver
            .ends_within(Duration::from_secs(10))
            .expect("SIGKILL ends it");
    }

    /// Starts it again, on the same port, with what etcd kept.
    pub fn start_apiserver(&self) -> Result<(), Error> {
        let flags: Vec<_> = self
            .flags
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        *self.apiserver.lock().unwrap() = start(&self.assets, &self.dir, "kube-apiserver", &flags)?;
        self.wait_until_ready(self.server.trim_start_matches("https://").parse()?)
    }

    /// A kubeconfig with a one-hour token of an existing ServiceAccount, to run the product with just the
    /// rights that its manifests give it.
    pub async fn service_account_kubeconfig(&self, namespace: &str, name: &str) -> PathBuf {
        let request = TokenRequest {
            spec: TokenRequestSpec {
                expiration_seconds: Some(3600),
                ..TokenRequestSpec::default()
            },
            ..TokenRequest::default()
        };
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client().await, namespace);
        let minted = accounts
            .create_token_request(name, &PostParams::default(), &request)
            .await;
        let minted = minted.unwrap_or_else(|error| {
            panic!("no token for ServiceAccount {namespace}/{name}: {error}")
        });
        let token = minted
            .status
            .expect("an answered TokenRequest has a status")
            .token;
        let path = self.dir.path().join(self.unique("kubeconfig"));
        self.write_kubeconfig(&path, &token, namespace)
            .expect("the rig's directory is writable");
        path
    }

    /// All in one file (JSON, which is YAML), so that it can be handed on alone.
    fn write_kubeconfig(&self, path: &Path, token: &str, namespace: &str) -> io::Result<()> {
        let ca = k8s_openapi::ByteString(self.ca.clone().into_bytes());
        let config = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{
                "name": "rig",
                "cluster": {"server": self.server, "certificate-authority-data": ca},
            }],
            "users": [{"name": "rig", "user": {"token": token}}],
            "contexts": [{"name": "rig", "context": {"cluster": "rig", "user": "rig", "namespace": namespace}}],
            "current-context": "rig",
        });
        std::fs::write(path, config.to_string())
    }
}

/// Starts one of the programs with `--key=value` flags, logging to `dir/<program>.log`.
fn start(
    assets: &Path,
    dir: &TempDir,
    program: &str,
    flags: &[(&str, &str)],
) -> io::Result<Supervised> {
    let log = File::create(dir.path().join(format!("{program}.log")))?;
    // etcd goes last, and takes the directory with it: the API server may be killed for a while.
    let removed = if program == "etcd" {
        dir.path().to_owned()
    } else {
        dir.path().join("certs")
    };
    let mut command = Supervised::command(&assets.join(program), &removed);
    command.args(flags.iter().map(|(key, value)| format!("--{key}={value}")));
    command.stdout(log.try_clone()?).stderr(log);
    Supervised::spawn(command)
}

/// Two ports at once, so that they differ.
fn free_ports() -> io::Result<[u16; 2]> {
    let [one, other] = [
        TcpListener::bind("127.0.0.1:0")?,
        TcpListener::bind("127.0.0.1:0")?,
    ];
    Ok([one.local_addr()?.port(), other.local_addr()?.port()])
}
