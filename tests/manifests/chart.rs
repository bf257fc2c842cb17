//! The Helm chart says what the overlays and components say.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tempfile::NamedTempFile;

use crate::accepted::{is_accepted, rendered, rig};
use crate::elsewhere::rendered_with;
use crate::identity::Identity;
use crate::render::{assert_same, find, kustomize, objects, path};
use crate::tools::{helm, helm_template};

fn chart(flags: &[&str]) -> Vec<Value> {
    helm_template(flags).unwrap()
}

/// Helm makes the release's namespace itself, so the chart has none.
fn without_namespace(objects: Vec<Value>) -> Vec<Value> {
    let (namespaces, rest): (Vec<_>, Vec<_>) = objects
        .into_iter()
        .partition(|object| object["kind"] == "Namespace");
    assert_eq!(namespaces.len(), 1);
    rest
}

fn overlay(name: &str) -> Vec<Value> {
    without_namespace(kustomize(
        rig(),
        &path(&format!("manifests/overlays/{name}")),
    ))
}

#[test]
fn its_default_is_the_default_overlay() {
    assert_same(&chart(&[]), &overlay("self-signed"));
}

#[test]
fn with_cert_manager_it_is_the_overlay_of_that_name() {
    let found = chart(&["--set", "certificates.mode=certManager"]);
    assert_same(&found, &overlay("cert-manager"));
}

#[test]
fn for_the_older_group_it_is_the_component_of_that_name() {
    let expected = rendered("manifests/overlays/self-signed", &["claude-amcheste-io"]);
    let found = chart(&["--set", "group=claude.amcheste.io"]);
    assert_same(&sorted_env(found), &sorted_env(without_namespace(expected)));
}

#[test]
fn with_a_service_monitor_it_is_the_component_of_that_name() {
    let expected = rendered("manifests/overlays/self-signed", &["service-monitor"]);
    let found = chart(&["--set", "serviceMonitor.enabled=true"]);
    assert_same(&found, &without_namespace(expected));
}

#[test]
fn the_definition_is_that_of_the_group_and_outlives_the_release() {
    for group in ["kagents.dev", "claude.amcheste.io"] {
        let set = format!("group={group},definition.create=true");
        let found = chart(&["--set", &set]);

        let name = format!("agentteams.{group}");
        let mut definition = find(&found, "CustomResourceDefinition", &name).clone();
        is_accepted(std::slice::from_ref(&definition));
        let metadata = definition["metadata"].as_object_mut().unwrap();
        let annotations = metadata.remove("annotations");
        assert_eq!(
            annotations,
            Some(json!({"helm.sh/resource-policy": "keep"}))
        );
        let shipped = std::fs::read_to_string(path(&format!("manifests/crd/{name}.yaml")));
        assert_same(&[definition], &objects(&shipped.unwrap()));
    }
}

/// A chart is given no key, so the Secret is there already.
#[test]
fn with_a_certificate_from_elsewhere_it_is_the_overlay_for_that() {
    let identity = Identity::make(&["webhook"]).unwrap();
    let mut expected = without_namespace(rendered_with(&identity));
    expected.retain(|object| object["kind"] != "Secret");

    let given = json!({"certificates": {"mode": "files", "caBundle": identity.ca}});
    let values = values(&given);
    let found = chart(&["--values", values.path().to_str().unwrap()]);

    assert_same(&found, &expected);
    is_accepted(&found);
}

fn values(given: &Value) -> NamedTempFile {
    let file = NamedTempFile::new().unwrap();
    std::fs::write(file.path(), given.to_string()).unwrap();
    file
}

/// In which order a container's variables stand means nothing, as long as none is made of another.
fn sorted_env(mut objects: Vec<Value>) -> Vec<Value> {
    for object in &mut objects {
        if object["kind"] == "Deployment" {
            let env = object
                .pointer_mut("/spec/template/spec/containers/0/env")
                .unwrap();
            let env = env.as_array_mut().unwrap();
            env.sort_by_key(|variable| variable["name"].to_string());
        }
    }
    objects
}

/// All that the values may say at once, and where it goes.
#[test]
fn every_value_has_its_effect() {
    let given = json!({
        "replicas": 3,
        "image": {"repository": "registry.example/webhook", "tag": "v1", "pullPolicy": "Always"},
        "imagePullSecrets": ["creds"],
        "group": "agents.example.com",
        "definition": {"create": true},
        "certificates": {"mode": "certManager", "caBundle": ""},
        "skillPullerImage": "registry.example/oras:v1.3.3",
        "allowedRegistries": ["ghcr.io/example/*", "registry.example"],
        "requireDigest": true,
        "env": {"AGENTTEAM_WEBHOOK_LOG": "debug", "AGENTTEAM_WEBHOOK_DRAIN_SECONDS": 7},
        "resources": {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"memory": "2Gi"}},
        "priorityClassName": "system-cluster-critical",
        "nodeSelector": {"kubernetes.io/os": "linux"},
        "tolerations": [{"key": "agents", "operator": "Exists"}],
        "networkPolicy": {"enabled": false},
        "serviceMonitor": {"enabled": true},
    });
    let values = values(&given);

    let found = chart(&["--values", values.path().to_str().unwrap()]);

    is_accepted(&found);
    let deployment = &find(&found, "Deployment", "agentteam-webhook")["spec"];
    assert_eq!(deployment["replicas"], 3);
    let pod = &deployment["template"]["spec"];
    assert_eq!(pod["imagePullSecrets"], json!([{"name": "creds"}]));
    for field in ["priorityClassName", "nodeSelector", "tolerations"] {
        assert_eq!(pod[field], given[field]);
    }
    let container = &pod["containers"][0];
    assert_eq!(container["image"], "registry.example/webhook:v1");
    assert_eq!(container["imagePullPolicy"], "Always");
    assert_eq!(container["resources"], given["resources"]);
    let variable = |name: &str| {
        let name = format!("AGENTTEAM_WEBHOOK_{name}");
        let variables = container["env"].as_array().unwrap();
        let mut found = variables
            .iter()
            .filter(|variable| variable["name"] == name.as_str());
        found
            .next()
            .map(|variable| variable["value"].as_str().unwrap())
    };
    assert_eq!(variable("API_GROUP"), Some("agents.example.com"));
    assert_eq!(
        variable("SKILL_PULLER_IMAGE"),
        Some("registry.example/oras:v1.3.3")
    );
    assert_eq!(
        variable("WEBHOOK_IMAGE"),
        Some("registry.example/webhook:v1")
    );
    assert_eq!(
        variable("ALLOWED_REGISTRIES"),
        Some("ghcr.io/example/*,registry.example")
    );
    assert_eq!(variable("REQUIRE_DIGEST"), Some("true"));
    assert_eq!(variable("LOG"), Some("debug"));
    assert_eq!(variable("DRAIN_SECONDS"), Some("7"));
    let kinds: BTreeSet<_> = found
        .iter()
        .map(|object| object["kind"].as_str().unwrap())
        .collect();
    assert!(!kinds.contains("NetworkPolicy"));
    for kind in ["ServiceMonitor", "Certificate", "CustomResourceDefinition"] {
        assert!(kinds.contains(kind), "{kind}");
    }
}

#[test]
fn what_is_misspelt_is_refused() {
    for flag in [
        "replica=3",
        "image.name=x",
        "certificates.mode=selfsigned",
        "env.LOG=debug",
        "certificates.mode=files",
    ] {
        let refused = helm_template(&["--set", flag]).unwrap_err();
        assert!(
            refused.contains("values don't meet the specifications of the schema"),
            "{flag}: {refused}"
        );
    }
}

#[test]
fn helm_finds_nothing_to_warn_of() {
    helm(
        &[
            "lint",
            "--strict",
            path("manifests/chart").to_str().unwrap(),
        ],
        None,
    )
    .unwrap();
}

#[test]
fn its_version_is_that_of_the_program() {
    let chart = objects(&std::fs::read_to_string(path("manifests/chart/Chart.yaml")).unwrap());
    assert_eq!(chart[0]["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(chart[0]["appVersion"], env!("CARGO_PKG_VERSION"));
}
