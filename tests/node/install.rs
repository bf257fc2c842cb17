//! The product on the node, by the commands of the README.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use tempfile::TempDir;

use crate::images::ORAS;
use crate::node::{ADDRESS, Node, repository};

pub const NAMESPACE: &str = "agentteam-system";

/// A registry that only some tests start.
pub const SOMETIMES: &str = "10.200.0.1:5001";

/// A registry that takes calls and never answers, where a test plays it. Both speak plain HTTP.
pub const HANGING: &str = "10.200.0.1:5002";

/// A person's own directory: the manifests, and a kustomization on top of them.
fn directory() -> &'static TempDir {
    static DIRECTORY: OnceLock<TempDir> = OnceLock::new();
    DIRECTORY.get_or_init(|| {
        let directory = tempfile::tempdir().unwrap();
        let copied = Command::new("cp")
            .arg("-r")
            .arg(repository("manifests"))
            .arg(directory.path())
            .status();
        assert!(copied.unwrap().success());
        directory
    })
}

/// What stays when the webhook goes: the definition of AgentTeam.
pub fn prepare(node: &Node) {
    let definition = directory()
        .path()
        .join("manifests/crd/agentteams.kagents.dev.yaml");
    node.kubectl(&["apply", "-f", definition.to_str().unwrap()])
        .success();
}

/// The overlay, with this tag of the image and the settings of this node.
fn overlay(tag: &str) -> PathBuf {
    let kustomization = format!(
        r#"
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources: [manifests/overlays/self-signed]
images:
  - {{name: localhost/agentteam-webhook, newTag: {tag}}}
patches:
  - patch: |-
      apiVersion: apps/v1
      kind: Deployment
      metadata: {{name: agentteam-webhook, namespace: {NAMESPACE}}}
      spec:
        template:
          spec:
            containers:
              - name: webhook
                env:
                  - {{name: AGENTTEAM_WEBHOOK_SKILL_PULLER_IMAGE, value: "{ORAS}"}}
                  - {{name: AGENTTEAM_WEBHOOK_PLAIN_HTTP_REGISTRIES, value: "{ADDRESS}:5000,{SOMETIMES},{HANGING}"}}
                  - {{name: AGENTTEAM_WEBHOOK_REGISTRY_CA_CONFIG_MAP, value: registry-ca}}
sortOptions: {{order: fifo}}
"#
    );
    let directory = directory().path();
    std::fs::write(directory.join("kustomization.yaml"), kustomization).unwrap();
    directory.to_owned()
}

/// Installs it, or changes what is installed; done when every replica is as it should be.
#[track_caller]
pub fn apply(node: &Node, tag: &str) {
    let overlay = overlay(tag);
    node.kubectl(&["apply", "-k", overlay.to_str().unwrap()])
        .success();
    rolled_out(node);
}

#[track_caller]
pub fn rolled_out(node: &Node) {
    let deployment = "deployment/agentteam-webhook";
    let done = node.kubectl(&[
        "rollout",
        "status",
        "-n",
        NAMESPACE,
        deployment,
        "--timeout=180s",
    ]);
    if !done.status.success() {
        let pods = node.kubectl(&["describe", "pods", "-n", NAMESPACE]).stdout;
        let logs = node.kubectl(&["logs", "-n", NAMESPACE, deployment, "--tail=30"]);
        panic!(
            "not installed: {}{pods}\n{}{}",
            done.stderr, logs.stdout, logs.stderr
        );
    }
}

/// Takes it away.
pub fn delete(node: &Node) {
    let overlay = overlay("0.1.0");
    let overlay = overlay.to_str().unwrap();
    node.kubectl(&["delete", "--ignore-not-found", "-k", overlay])
        .success();
}

/// The names of the replicas.
pub fn replicas(node: &Node) -> Vec<String> {
    let label = "app.kubernetes.io/name=agentteam-webhook";
    let pods = node.kubectl(&["get", "pods", "-n", NAMESPACE, "-l", label, "-o", "name"]);
    let names = pods.success();
    names.lines().map(str::to_owned).collect()
}
