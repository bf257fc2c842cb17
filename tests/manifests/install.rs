//! The life of an install, as far as the API server is concerned.

use std::collections::BTreeSet;

use k8s_openapi::ByteString;
use serde_json::{Value, json};

use crate::identity::Identity;
use crate::render::path;
use crate::rig::Rig;

/// Every object of the cluster that can be listed, but for those that come and go by themselves.
fn everything(rig: &Rig) -> BTreeSet<String> {
    list(
        rig,
        "KIND:.kind,NAMESPACE:.metadata.namespace,NAME:.metadata.name",
        "",
    )
}

/// The revision of each object that is ours.
fn revisions(rig: &Rig) -> BTreeSet<String> {
    list(
        rig,
        "KIND:.kind,NAME:.metadata.name,REVISION:.metadata.resourceVersion",
        "app.kubernetes.io/name=agentteam-webhook",
    )
}

fn list(rig: &Rig, columns: &str, labels: &str) -> BTreeSet<String> {
    let resources = rig
        .kubectl(&["api-resources", "--verbs=list", "-o", "name"], "")
        .success();
    let resources: Vec<_> = resources
        .lines()
        .filter(|name| !name.starts_with("events") && !name.starts_with("leases"))
        .collect();
    let columns = format!("custom-columns={columns}");
    let found = rig.kubectl(
        &[
            "get",
            &resources.join(","),
            "-A",
            "-l",
            labels,
            "-o",
            &columns,
            "--no-headers",
        ],
        "",
    );
    let found = found.success();
    let words = found
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>());
    words.map(|words| words.join(" ")).collect()
}

fn labelled_pod() -> Value {
    json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"generateName": "agent-", "labels": {"kagents.dev/agent-team": "team", "kagents.dev/agent": "lead"}},
        "spec": {"containers": [{"name": "agent", "image": "agent:1"}]}})
}

/// A control plane of its own, since the configurations are for every namespace.
#[tokio::test]
async fn what_is_installed_can_be_applied_again_and_taken_away() {
    let rig = Rig::start().unwrap();
    let namespace = rig.namespace("agents", &[]).await;
    let create = ["create", "--dry-run=server", "-n", &namespace, "-f", "-"];
    let overlay = path("manifests/overlays/self-signed").display().to_string();
    let definition = path("manifests/crd/agentteams.kagents.dev.yaml")
        .display()
        .to_string();
    rig.kubectl(&["apply", "-f", &definition], "").success();
    rig.kubectl(
        &["wait", "--for=condition=Established", "-f", &definition],
        "",
    )
    .success();
    let team = json!({"apiVersion": "kagents.dev/v1alpha1", "kind": "AgentTeam", "metadata": {"name": "team"}, "spec": {}});
    rig.kubectl(&["create", "-n", &namespace, "-f", "-"], &team.to_string())
        .success();
    let before = everything(&rig);

    rig.kubectl(&["apply", "-k", &overlay], "").success();

    // The configuration is in force as soon as the API server has seen it, and nobody is there to answer.
    let mut refused = rig.kubectl(&create, &labelled_pod().to_string());
    for _ in 0..200 {
        if !refused.status.success() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        refused = rig.kubectl(&create, &labelled_pod().to_string());
    }
    assert!(
        refused.stderr.contains("failed calling webhook"),
        "{}",
        refused.stderr
    );
    let mut unlabelled = labelled_pod();
    unlabelled["metadata"]["labels"] = json!({});
    rig.kubectl(&create, &unlabelled.to_string()).success();

    // What the webhook or cainjector wrote stays when the manifests are applied again, as for an upgrade.
    let authority = ByteString(Identity::make(&["webhook"]).unwrap().ca.into_bytes());
    for kind in [
        "mutatingwebhookconfiguration",
        "validatingwebhookconfiguration",
    ] {
        let patch =
            json!([{"op": "add", "path": "/webhooks/0/clientConfig/caBundle", "value": authority}])
                .to_string();
        rig.kubectl(
            &[
                "patch",
                kind,
                "agentteam-webhook",
                "--type=json",
                "-p",
                &patch,
            ],
            "",
        )
        .success();
    }
    let applied = revisions(&rig);
    assert!(applied.len() > 10, "{applied:?}");
    rig.kubectl(&["apply", "-k", &overlay], "").success();
    assert_eq!(revisions(&rig), applied);

    // Nobody ends a namespace here, so this does not wait for it.
    let delete = [
        "delete",
        "--ignore-not-found",
        "--wait=false",
        "-k",
        &overlay,
    ];
    rig.kubectl(&delete, "").success();

    let after = everything(&rig);
    let left: Vec<_> = after.difference(&before).collect();
    assert_eq!(left, ["Namespace <none> agentteam-system"]);
    assert_eq!(
        before.difference(&after).count(),
        0,
        "the team and its definition are somebody's"
    );
    let phase = [
        "get",
        "namespace",
        "agentteam-system",
        "-o",
        "jsonpath={.status.phase}",
    ];
    assert_eq!(rig.kubectl(&phase, "").success(), "Terminating");
    rig.kubectl(&create, &labelled_pod().to_string()).success();
}
