//! `--tls-mode files`: a Secret as the kubelet mounts it, replaced while clients ask.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use agentteam_webhook::certs::authority::{Authority, Pair};
use agentteam_webhook::clock::unix_seconds;
use tempfile::TempDir;

use super::stage::{Client, within};
use crate::rig::Rig;
use crate::scene::install;
use crate::webhook::Webhook;

const NAME: &str = "agentteam-webhook.agentteam-system.svc";

/// More than the 10 s between two looks, on a busy machine.
const RELOADED_WITHIN: Duration = Duration::from_mins(1);

/// A directory in which `tls.crt` and `tls.key` lead through `..data`, which is replaced in one step.
struct Mount(TempDir);

impl Mount {
    fn new(pair: &Pair) -> Self {
        let mount = Self(tempfile::tempdir().unwrap());
        for file in ["tls.crt", "tls.key"] {
            symlink(Path::new("..data").join(file), mount.path(file)).unwrap();
        }
        mount.put("first", pair);
        mount
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn put(&self, version: &str, pair: &Pair) {
        std::fs::create_dir(self.path(version)).unwrap();
        std::fs::write(self.path(version).join("tls.crt"), pair.to_pem()).unwrap();
        std::fs::write(self.path(version).join("tls.key"), pair.key_to_pem()).unwrap();
        symlink(version, self.path("..next")).unwrap();
        std::fs::rename(self.path("..next"), self.path("..data")).unwrap();
    }

    async fn serve(&self) -> Webhook<'static> {
        let rig = Rig::get();
        install(rig);
        let (certificate, key) = (self.path("tls.crt"), self.path("tls.key"));
        let [certificate, key] = [&certificate, &key].map(|path| path.to_str().unwrap());
        let files = ["--tls-cert-file", certificate, "--tls-key-file", key];
        Webhook::start(
            rig,
            &[&files[..], &["--tls-mode", "files", "--controller=false"]].concat(),
        )
        .await
    }
}

/// A certificate for an hour, which began some seconds ago.
fn issue(authority: &Authority, ago: i64) -> Pair {
    authority
        .issue(&[NAME.to_owned()], unix_seconds() - ago, 3_600)
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_that_is_replaced_is_served_without_a_failed_request() {
    let [before, after] = [(); 2].map(|()| Authority::make(unix_seconds(), 9_000).unwrap());
    let mount = Mount::new(&issue(&before, 0));
    let webhook = mount.serve().await;
    let address = webhook.address;
    let both = before.to_pem() + &after.to_pem();
    let (over, answered) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicUsize::new(0)),
    );
    let load = tokio::spawn({
        let (over, answered) = (Arc::clone(&over), Arc::clone(&answered));
        async move {
            let client = Client::new(NAME, unix_seconds);
            while !over.load(Ordering::Relaxed) {
                client.ask(address, &both).await.unwrap();
                answered.fetch_add(1, Ordering::Relaxed);
            }
        }
    });

    mount.put("second", &issue(&after, 0));

    let client = Client::new(NAME, unix_seconds);
    let replaced = || async { client.ask(address, &after.to_pem()).await.is_ok() };
    let took = within(RELOADED_WITHIN, "the new certificate", replaced).await;
    over.store(true, Ordering::Relaxed);
    load.await.unwrap();
    println!(
        "served after {took:?}, {} requests",
        answered.load(Ordering::Relaxed)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_expired_certificate_makes_the_server_unready_until_it_is_replaced() {
    let authority = Authority::make(unix_seconds() - 3_700, 9_000).unwrap();
    let mount = Mount::new(&issue(&authority, 0));
    let webhook = mount.serve().await;
    let says = |status, what: &'static str| {
        let webhook = &webhook;
        move || async move {
            let (code, body) = webhook.get("/readyz").unwrap();
            code == status && body.starts_with(what)
        }
    };
    mount.put("second", &issue(&authority, 3_700));
    let ended = says(503, "not ready: the certificate ended at ");
    within(RELOADED_WITHIN, "the reason", ended).await;
    mount.put("third", &issue(&authority, 0));
    within(RELOADED_WITHIN, "readiness", says(200, "ok")).await;
}
