//! AgentTeams as somebody else defines them, without a rule, and the policy that holds the one rule for them.

use std::path::Path;
use std::sync::Once;
use std::time::{Duration, Instant};

use kube::Client;
use kube::api::{Api, DynamicObject, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};

use crate::rig::Rig;

/// A definition with the types of the fields and nothing else: no rule, no pattern, nothing required.
pub const TYPED: &str = "typed.example";

/// A definition that takes anything for a spec.
pub const LOOSE: &str = "loose.example";

/// Installs both definitions, once.
pub fn install(rig: &Rig) {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let text = json!({"type": "string"});
        let skills = json!({"type": "array", "items": {"type": "object", "properties": {
            "name": text,
            "source": {"type": "object", "properties": {"configMap": text, "oci": text}},
        }}});
        let typed = json!({"type": "object", "properties": {
            "imagePullSecrets": {"type": "array", "items": {"type": "object", "properties": {"name": text}}},
            "skills": skills,
            "lead": {"type": "object", "properties": {"prompt": text, "skills": skills}},
            "teammates": {"type": "array", "items": {"type": "object", "properties": {"name": text, "skills": skills}}},
        }});
        let loose = json!({"x-kubernetes-preserve-unknown-fields": true});
        for (group, spec) in [(TYPED, typed), (LOOSE, loose)] {
            let definition = definition(group, &spec).to_string();
            rig.kubectl(&["create", "-f", "-"], &definition).success();
            let name = format!("crd/agentteams.{group}");
            rig.kubectl(&["wait", "--for=condition=Established", &name], "")
                .success();
        }
    });
}

fn definition(group: &str, spec: &Value) -> Value {
    let anything = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("agentteams.{group}")},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"kind": "AgentTeam", "listKind": "AgentTeamList", "plural": "agentteams", "singular": "agentteam"},
            "versions": [{
                "name": "v1alpha1", "served": true, "storage": true, "subresources": {"status": {}},
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec, "status": anything}}},
            }],
        },
    })
}

/// The policy as the manifests ship it, for these definitions too; its binding for one namespace only.
pub struct Policy {
    rig: &'static Rig,
    name: String,
}

impl Policy {
    /// In force for both groups when this returns.
    pub async fn create(rig: &'static Rig, namespace: &str) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests/policy/skill-source.yaml");
        let shipped = std::fs::read_to_string(path).expect("the policy is shipped");
        let name = rig.unique("skill-source");
        let groups = "[kagents.dev, claude.amcheste.io";
        assert!(shipped.contains(groups), "the policy is for both groups");
        let text = shipped
            .replace("agentteam-skill-source", &name)
            .replace(groups, &format!("{groups}, {TYPED}, {LOOSE}"));
        let mut objects = agentteam_webhook::yaml::documents(&text)
            .iter()
            .map(|document| document.parse().expect("it is YAML"))
            .collect::<Vec<_>>();
        objects.last_mut().expect("the binding is last")["spec"]["matchResources"] = json!({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}}});
        let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
        let said = rig.kubectl(&["create", "-f", "-"], &list.to_string());
        assert!(!said.stderr.contains("Warning"), "{}", said.stderr);
        said.success();
        let policy = Self { rig, name };
        let bad = json!({"lead": {"skills": [{"name": "s", "source": {}}]}});
        for group in [TYPED, LOOSE] {
            let start = Instant::now();
            while dry_run(&rig.client().await, group, namespace, &bad)
                .await
                .is_ok()
            {
                assert!(
                    start.elapsed() < Duration::from_secs(20),
                    "the policy is not in force"
                );
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        policy
    }
}

impl Drop for Policy {
    fn drop(&mut self) {
        for kind in [
            "validatingadmissionpolicybinding",
            "validatingadmissionpolicy",
        ] {
            self.rig.kubectl(&["delete", kind, &self.name], "");
        }
    }
}

/// A team of `group`.
pub fn team(group: &str, name: &str, spec: &Value) -> Value {
    json!({"apiVersion": format!("{group}/v1alpha1"), "kind": "AgentTeam", "metadata": {"name": name}, "spec": spec})
}

/// Creates a team as far as everything but storing it; the API server's words where it is refused.
pub async fn dry_run(
    client: &Client,
    group: &str,
    namespace: &str,
    spec: &Value,
) -> Result<(), String> {
    let resource = ApiResource::from_gvk_with_plural(
        &GroupVersionKind::gvk(group, "v1alpha1", "AgentTeam"),
        "agentteams",
    );
    let api = Api::<DynamicObject>::namespaced_with(client.clone(), namespace, &resource);
    let params = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    let object = serde_json::from_value(team(group, "t", spec)).unwrap();
    match api.create(&params, &object).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) => Err(status.message),
        Err(error) => panic!("{error}"),
    }
}
