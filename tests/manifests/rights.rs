//! The ServiceAccount's rights are those of a list, and no more.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::render::{find, kustomize, path};
use crate::rig::Rig;

/// Every right that some Role or ClusterRole gives, one a line: where, what, which one, and the verb.
fn rights(objects: &[Value]) -> BTreeSet<String> {
    let mut rights = BTreeSet::new();
    for binding in objects.iter().filter(|object| {
        matches!(
            object["kind"].as_str(),
            Some("RoleBinding" | "ClusterRoleBinding")
        )
    }) {
        let subjects = binding["subjects"].as_array().unwrap();
        assert_eq!(subjects.len(), 1, "{binding}");
        assert_eq!(subjects[0]["kind"], "ServiceAccount");
        assert_eq!(subjects[0]["name"], "agentteam-webhook");
        assert_eq!(subjects[0]["namespace"], "agentteam-system");
        let scope = match binding["kind"].as_str() {
            Some("RoleBinding") => binding["metadata"]["namespace"].as_str().unwrap(),
            _ => "everywhere",
        };
        let reference = &binding["roleRef"];
        let (kind, name) = (&reference["kind"], &reference["name"]);
        let role = find(objects, kind.as_str().unwrap(), name.as_str().unwrap());
        for rule in role["rules"].as_array().unwrap() {
            let words = |field: &str| {
                let words = rule[field].as_array().into_iter().flatten();
                words
                    .map(|word| word.as_str().unwrap().to_owned())
                    .collect::<Vec<_>>()
            };
            let known = ["apiGroups", "resources", "resourceNames", "verbs"];
            assert!(
                rule.as_object()
                    .unwrap()
                    .keys()
                    .all(|key| known.contains(&key.as_str())),
                "{rule}"
            );
            let names = match words("resourceNames") {
                names if names.is_empty() => vec!["*".to_owned()],
                names => names,
            };
            for group in words("apiGroups") {
                for resource in words("resources") {
                    for name in &names {
                        for verb in words("verbs") {
                            rights.insert(format!("{scope}: {resource}.{group} {name}: {verb}"));
                        }
                    }
                }
            }
        }
    }
    rights
}

/// Teams and the Pods that name them are read everywhere; nothing is, of Secrets and ConfigMaps.
const ALWAYS: &[&str] = &[
    "agentteam-system: leases.coordination.k8s.io *: create",
    "agentteam-system: leases.coordination.k8s.io agentteam-webhook: get",
    "agentteam-system: leases.coordination.k8s.io agentteam-webhook: update",
    "everywhere: agentteams.kagents.dev *: get",
    "everywhere: agentteams.kagents.dev *: list",
    "everywhere: agentteams.kagents.dev *: watch",
    "everywhere: agentteams/status.kagents.dev *: update",
    "everywhere: events. *: create",
    "everywhere: pods. *: list",
    "everywhere: pods. *: watch",
];

/// Its own certificate: one Secret of its own namespace, and its own two configurations.
const SELF_SIGNED: &[&str] = &[
    "agentteam-system: secrets. *: create",
    "agentteam-system: secrets. agentteam-webhook-tls: get",
    "agentteam-system: secrets. agentteam-webhook-tls: list",
    "agentteam-system: secrets. agentteam-webhook-tls: update",
    "agentteam-system: secrets. agentteam-webhook-tls: watch",
    "everywhere: mutatingwebhookconfigurations.admissionregistration.k8s.io agentteam-webhook: get",
    "everywhere: mutatingwebhookconfigurations.admissionregistration.k8s.io agentteam-webhook: list",
    "everywhere: mutatingwebhookconfigurations.admissionregistration.k8s.io agentteam-webhook: patch",
    "everywhere: mutatingwebhookconfigurations.admissionregistration.k8s.io agentteam-webhook: watch",
    "everywhere: validatingwebhookconfigurations.admissionregistration.k8s.io agentteam-webhook: get",
    "everywhere: validatingwebhookconfigurations.admissionregistration.k8s.io agentteam-webhook: list",
    "everywhere: validatingwebhookconfigurations.admissionregistration.k8s.io agentteam-webhook: patch",
    "everywhere: validatingwebhookconfigurations.admissionregistration.k8s.io agentteam-webhook: watch",
];

#[test]
fn with_a_certificate_of_its_own() {
    let objects = kustomize(Rig::get(), &path("manifests/overlays/self-signed"));
    let expected = ALWAYS.iter().chain(SELF_SIGNED).map(ToString::to_string);
    assert_eq!(rights(&objects), expected.collect());
}

#[test]
fn with_a_certificate_of_somebody_else() {
    let objects = kustomize(Rig::get(), &path("manifests/overlays/cert-manager"));
    let expected = ALWAYS.iter().map(ToString::to_string);
    assert_eq!(rights(&objects), expected.collect());
}
