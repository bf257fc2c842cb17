//! The life of an install, as far as the API server is concerned.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use k8s_openapi::ByteString;
use serde_json::{Value, json};

use crate::PATIENCE;
use crate::identity::Identity;
use crate::registration::{MUTATING, VALIDATING};
use crate::render::path;
use crate::rig::{Output, Rig};
use crate::tools::helm;

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

fn pod(labels: Value) -> String {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"generateName": "agent-", "labels": labels},
        "spec": {"containers": [{"name": "agent", "image": "agent:1"}]}})
    .to_string()
}

/// An install that nobody ever answers for: installed, applied again as for an upgrade, and taken away.
struct Life<'a> {
    rig: &'a Rig,
    /// Where Pods are made.
    namespace: &'a str,
    apply: &'a dyn Fn() -> String,
    delete: &'a dyn Fn() -> String,
}

impl Life<'_> {
    /// Lives it; what is left afterwards that was not there before.
    async fn pass(&self) -> BTreeSet<String> {
        let rig = self.rig;
        let before = everything(rig);
        (self.apply)();
        self.holds_up_labelled_pods().await;
        self.publish_an_authority();
        let applied = revisions(rig);
        assert!(applied.len() > 10, "{applied:?}");
        (self.apply)();
        assert_eq!(
            revisions(rig),
            applied,
            "what the webhook or cainjector wrote stays"
        );
        (self.delete)();
        let after = everything(rig);
        assert_eq!(
            before.difference(&after).count(),
            0,
            "the team and its definition are somebody's"
        );
        self.create(json!({"kagents.dev/agent-team": "team"}))
            .success();
        after.difference(&before).cloned().collect()
    }

    fn create(&self, labels: Value) -> Output {
        let create = [
            "create",
            "--dry-run=server",
            "-n",
            self.namespace,
            "-f",
            "-",
        ];
        self.rig.kubectl(&create, &pod(labels))
    }

    /// The configuration is in force as soon as the API server has seen it, and others never notice.
    async fn holds_up_labelled_pods(&self) {
        let start = Instant::now();
        loop {
            let created = self.create(json!({"kagents.dev/agent-team": "team"}));
            if created.stderr.contains("failed calling webhook") {
                break;
            }
            assert!(start.elapsed() < PATIENCE, "{created:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        self.create(json!({})).success();
        self.create(json!({"kagents.dev/agent-team": "team", "kagents.dev/inject": "false"}))
            .success();
    }

    fn publish_an_authority(&self) {
        let authority = ByteString(Identity::make(&["webhook"]).unwrap().ca.into_bytes());
        let patch =
            json!([{"op": "add", "path": "/webhooks/0/clientConfig/caBundle", "value": authority}]);
        for kind in [MUTATING, VALIDATING] {
            self.rig.patch(kind, "agentteam-webhook", &patch);
        }
    }
}

/// A control plane of its own, since the configurations are for every namespace.
#[tokio::test]
async fn what_is_installed_can_be_applied_again_and_taken_away() {
    let rig = Rig::start().unwrap();
    let kubectl = |args: &[&str]| rig.kubectl(args, "").success();
    let namespace = rig.namespace("agents", &[]).await;
    let definition = path("manifests/crd/agentteams.kagents.dev.yaml")
        .display()
        .to_string();
    kubectl(&["apply", "-f", &definition]);
    kubectl(&["wait", "--for=condition=Established", "-f", &definition]);
    let team = json!({"apiVersion": "kagents.dev/v1alpha1", "kind": "AgentTeam", "metadata": {"name": "team"}, "spec": {}});
    rig.kubectl(&["create", "-n", &namespace, "-f", "-"], &team.to_string())
        .success();

    let overlay = path("manifests/overlays/self-signed").display().to_string();
    let left = Life {
        rig: &rig,
        namespace: &namespace,
        apply: &|| kubectl(&["apply", "-k", &overlay]),
        // Nobody ends a namespace here, so this does not wait for it.
        delete: &|| {
            kubectl(&[
                "delete",
                "--ignore-not-found",
                "--wait=false",
                "-k",
                &overlay,
            ])
        },
    }
    .pass()
    .await;
    assert_eq!(
        left,
        ["Namespace <none> agentteam-system".to_owned()].into()
    );
    let phase = [
        "get",
        "namespace",
        "agentteam-system",
        "-o",
        "jsonpath={.status.phase}",
    ];
    assert_eq!(kubectl(&phase), "Terminating");

    // With Helm, in another namespace, which Helm makes and leaves.
    let chart = path("manifests/chart").display().to_string();
    let helm = |args: &[&str]| {
        let release = ["--namespace", "agentteam-helm"];
        helm(&[args, &release].concat(), Some(&rig.kubeconfig()))
    };
    let install = [
        "upgrade",
        "agentteam-webhook",
        &chart,
        "--install",
        "--create-namespace",
    ];
    let left = Life {
        rig: &rig,
        namespace: &namespace,
        apply: &|| helm(&install).unwrap(),
        delete: &|| helm(&["uninstall", "agentteam-webhook"]).unwrap(),
    }
    .pass()
    .await;
    assert_eq!(left, ["Namespace <none> agentteam-helm".to_owned()].into());

    // The definition that is there is somebody's, so Helm does not touch it.
    let defined = kubectl(&["get", "-f", &definition, "-o", "yaml"]);
    let refused = helm(&[&install[..], &["--set", "definition.create=true"]].concat()).unwrap_err();
    assert!(refused.contains("invalid ownership metadata"), "{refused}");
    assert_eq!(kubectl(&["get", "-f", &definition, "-o", "yaml"]), defined);
    // And its own it keeps.
    kubectl(&["delete", "-f", &definition]);
    helm(&[&install[..], &["--set", "definition.create=true"]].concat()).unwrap();
    helm(&["uninstall", "agentteam-webhook"]).unwrap();
    kubectl(&["get", "-f", &definition]);
}
