//! cert-manager's own cainjector fills the caBundle of what the cert-manager overlay installs, and nobody else touches it.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};

use k8s_openapi::ByteString;
use serde_json::{Value, json};

use crate::PATIENCE;
use crate::identity::Identity;
use crate::process::Supervised;
use crate::registration::{MUTATING, VALIDATING};
use crate::render::path;
use crate::rig::Rig;
use crate::tools::{foreign_definitions, tool};
use crate::webhook::Webhook;

/// The Secret that cert-manager makes of the overlay's Certificate.
fn issue(rig: &Rig, identity: &Identity) {
    let certificate = get(rig, "certificate.cert-manager.io");
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
        "metadata": {"name": certificate["spec"]["secretName"], "namespace": "agentteam-system",
            "annotations": {"cert-manager.io/certificate-name": certificate["metadata"]["name"]}},
        "stringData": {"ca.crt": identity.ca, "tls.crt": identity.certificate, "tls.key": identity.key}});
    rig.kubectl(&["apply", "-f", "-"], &secret.to_string())
        .success();
}

/// The object of this kind that is called as the program is.
fn get(rig: &Rig, kind: &str) -> Value {
    let args = [
        "get",
        kind,
        "agentteam-webhook",
        "-n",
        "agentteam-system",
        "-o",
        "json",
        "--show-managed-fields",
    ];
    serde_json::from_str(&rig.kubectl(&args, "").success()).unwrap()
}

/// Waits until every entry of both configurations trusts this authority, beside others that it may have trusted before.
fn trusted(rig: &Rig, identity: &Identity) {
    let start = Instant::now();
    loop {
        let bundles: Vec<_> = [MUTATING, VALIDATING]
            .iter()
            .flat_map(|kind| get(rig, kind)["webhooks"].as_array().unwrap().clone())
            .map(|entry| bundle(&entry["clientConfig"]["caBundle"]))
            .collect();
        assert_eq!(bundles.len(), 3);
        if bundles
            .iter()
            .all(|bundle| bundle.contains(identity.ca.trim()))
        {
            return;
        }
        assert!(start.elapsed() < PATIENCE, "{bundles:?}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn bundle(field: &Value) -> String {
    let bytes: Option<ByteString> = serde_json::from_value(field.clone()).unwrap();
    String::from_utf8(bytes.unwrap_or_default().0).unwrap()
}

/// Who ever wrote a field of an object.
fn writers(object: &Value) -> BTreeSet<String> {
    let managers = object["metadata"]["managedFields"].as_array().unwrap();
    managers
        .iter()
        .map(|entry| entry["manager"].as_str().unwrap().to_owned())
        .collect()
}

fn identity(rig: &Rig) -> Identity {
    let names = get(rig, "certificate.cert-manager.io")["spec"]["dnsNames"].clone();
    let mut names: Vec<String> = serde_json::from_value(names).unwrap();
    // Nothing leads from the Service to this machine, so the API server calls the address.
    names.push("127.0.0.1".to_owned());
    Identity::make(&names.iter().map(String::as_str).collect::<Vec<_>>()).unwrap()
}

fn start_cainjector(rig: &Rig, dir: &Path) -> Supervised {
    let mut command = Supervised::command(&tool("cainjector"), &dir.join("none"));
    let log = File::create(dir.join("cainjector.log")).unwrap();
    command
        .env("KUBECONFIG", rig.kubeconfig())
        .stdout(log.try_clone().unwrap())
        .stderr(log);
    Supervised::spawn(command).unwrap()
}

/// The webhook in a process on this machine, with the certificate and the rights of the overlay.
async fn serve<'rig>(rig: &'rig Rig, dir: &Path, identity: &Identity) -> Webhook<'rig> {
    let [certificate, key] =
        ["tls.crt", "tls.key"].map(|name| dir.join(name).display().to_string());
    std::fs::write(&certificate, &identity.certificate).unwrap();
    std::fs::write(&key, &identity.key).unwrap();
    let account = rig
        .service_account_kubeconfig("agentteam-system", "agentteam-webhook")
        .await;
    let flags = [
        "--tls-mode",
        "files",
        "--tls-cert-file",
        &certificate,
        "--tls-key-file",
        &key,
    ];
    Webhook::start_as(rig, &account, &flags).await
}

async fn gives_a_pod_its_skill(rig: &Rig) {
    let namespace = rig.namespace("agents", &[]).await;
    let team = json!({"apiVersion": "kagents.dev/v1alpha1", "kind": "AgentTeam", "metadata": {"name": "team"},
        "spec": {"lead": {"skills": [{"name": "style", "source": {"configMap": "style"}}]}}});
    rig.kubectl(&["create", "-n", &namespace, "-f", "-"], &team.to_string())
        .success();
    let pod = json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "agent", "labels": {"kagents.dev/agent-team": "team", "kagents.dev/agent": "lead"}},
        "spec": {"containers": [{"name": "agent", "image": "agent:1"}]}});
    let create = [
        "create",
        "--dry-run=server",
        "-n",
        &namespace,
        "-o",
        "json",
        "-f",
        "-",
    ];
    let start = Instant::now();
    // The API server learns of the address by a watch.
    let admitted = loop {
        let output = rig.kubectl(&create, &pod.to_string());
        if output.status.success() {
            break output.stdout;
        }
        assert!(start.elapsed() < PATIENCE, "{}", output.stderr);
    };
    let admitted: Value = serde_json::from_str(&admitted).unwrap();
    let volumes = admitted["spec"]["volumes"].as_array().unwrap();
    assert!(
        volumes.iter().any(|volume| volume["name"] == "skill-style"),
        "{admitted}"
    );
}

/// A control plane of its own, since the configurations are for every namespace.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_overlay_is_trusted_by_the_api_server_through_cainjector_alone() {
    let rig = Rig::start().unwrap();
    let definition = path("manifests/crd/agentteams.kagents.dev.yaml")
        .display()
        .to_string();
    rig.kubectl(&["apply", "-f", &definition], "").success();
    for definition in foreign_definitions() {
        rig.kubectl(
            &["apply", "--server-side", "-f", "-"],
            &definition.to_string(),
        )
        .success();
    }
    rig.kubectl(&["wait", "--for=condition=Established", "crd", "--all"], "")
        .success();
    let overlay = path("manifests/overlays/cert-manager")
        .display()
        .to_string();
    rig.kubectl(&["apply", "-k", &overlay], "").success();
    let dir = tempfile::tempdir().unwrap();
    let _cainjector = start_cainjector(&rig, dir.path());

    let first = identity(&rig);
    issue(&rig, &first);

    trusted(&rig, &first);
    let webhook = serve(&rig, dir.path(), &first).await;
    point_at(&rig, &format!("https://{}", webhook.address));
    gives_a_pod_its_skill(&rig).await;

    // Another authority; and what somebody emptied is filled again.
    let second = identity(&rig);
    issue(&rig, &second);
    trusted(&rig, &second);
    for kind in [MUTATING, VALIDATING] {
        let empty = json!([{"op": "remove", "path": "/webhooks/0/clientConfig/caBundle"}]);
        rig.patch(kind, "agentteam-webhook", &empty);
    }
    trusted(&rig, &second);

    for kind in [MUTATING, VALIDATING] {
        let expected = [
            "cert-manager-cainjector",
            "kubectl-client-side-apply",
            "kubectl-patch",
        ];
        assert_eq!(
            writers(&get(&rig, kind)),
            expected.map(str::to_owned).into()
        );
    }
}

/// Has every entry call its path at `server`, and changes nothing else.
fn point_at(rig: &Rig, server: &str) {
    for kind in [MUTATING, VALIDATING] {
        let configuration = get(rig, kind);
        let entries = configuration["webhooks"].as_array().unwrap();
        let changes = entries.iter().enumerate().flat_map(|(place, entry)| {
            let config = format!("/webhooks/{place}/clientConfig");
            let called = entry["clientConfig"]["service"]["path"].as_str().unwrap();
            [
                json!({"op": "remove", "path": format!("{config}/service")}),
                json!({"op": "add", "path": format!("{config}/url"), "value": format!("{server}{called}")}),
            ]
        });
        rig.patch(kind, "agentteam-webhook", &changes.collect());
    }
}
