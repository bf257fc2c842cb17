//! The product's webhook configurations, pointed at a process on this machine.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, DynamicObject, ObjectMeta, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};

use crate::rig::Rig;

/// For Pods.
pub const MUTATING: &str = "mutatingwebhookconfiguration";

/// For teams.
pub const VALIDATING: &str = "validatingwebhookconfiguration";

/// The name of the entry that tells whether the API server knows the configuration yet.
const MARKER: &str = "marker.rig.test";
const MARKER_LABEL: &str = "rig.test/marker";

/// A configuration that is in force until this value is dropped.
pub struct Registration<'rig> {
    rig: &'rig Rig,
    kind: String,
    pub name: String,
}

impl<'rig> Registration<'rig> {
    /// Creates `manifest` under a name of its own for these namespaces only, with every entry calling its path at
    /// `server`.
    ///
    /// Returns when the API server calls it, and not before: it learns of new configurations by a watch, and
    /// a Pod created meanwhile would pass unseen.
    pub async fn create(
        rig: &'rig Rig,
        mut manifest: Value,
        server: &str,
        ca: &str,
        namespaces: &[&str],
    ) -> Self {
        let namespace = *namespaces
            .first()
            .expect("a registration is for some namespace");
        let name = rig.unique("rig-webhook");
        point_at(&mut manifest, &name, server, ca, namespaces);
        let client = rig.client().await;
        let kind = manifest["kind"]
            .as_str()
            .expect("a manifest has a kind")
            .to_owned();
        let resource = ApiResource::from_gvk_with_plural(
            &GroupVersionKind::gvk("admissionregistration.k8s.io", "v1", &kind),
            &format!("{}s", kind.to_lowercase()),
        );
        let configuration = serde_json::from_value(manifest).expect("it has metadata");
        Api::<DynamicObject>::all_with(client.clone(), &resource)
            .create(&PostParams::default(), &configuration)
            .await
            .expect("the configuration is admitted");
        let registration = Self { rig, kind, name };
        registration
            .in_force(Api::namespaced(client, namespace))
            .await;
        registration
    }

    /// Waits until the marker entry refuses a dry run.
    async fn in_force(&self, config_maps: Api<ConfigMap>) {
        let labels = BTreeMap::from([(MARKER_LABEL.to_owned(), self.name.clone())]);
        let probe = ConfigMap {
            metadata: ObjectMeta {
                name: Some(self.name.clone()),
                labels: Some(labels),
                ..ObjectMeta::default()
            },
            ..ConfigMap::default()
        };
        let dry_run = PostParams {
            dry_run: true,
            ..PostParams::default()
        };
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(20) {
            match config_maps.create(&dry_run, &probe).await {
                Err(kube::Error::Api(status)) if status.message.contains(MARKER) => return,
                Err(error) => panic!("a ConfigMap to probe with is refused: {error}"),
                Ok(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
        panic!("the API server does not call {} yet", self.name);
    }
}

impl Drop for Registration<'_> {
    fn drop(&mut self) {
        // By kubectl, since a destructor cannot wait for a client. That it is gone already is fine.
        self.rig.kubectl(
            &["delete", &self.kind, &self.name, "--ignore-not-found"],
            "",
        );
    }
}

/// One of the configurations, as the manifests ship it.
pub fn shipped(configuration: &str) -> Value {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("manifests/base/{configuration}.yaml"));
    let yaml = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    agentteam_webhook::yaml::parse(&yaml)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Changes where the entries call and for which namespaces; all else stays as it ships, for it is under test.
fn point_at(configuration: &mut Value, name: &str, server: &str, ca: &str, namespaces: &[&str]) {
    let only =
        json!({"key": "kubernetes.io/metadata.name", "operator": "In", "values": namespaces});
    configuration["metadata"]["name"] = name.into();
    let entries = configuration["webhooks"]
        .as_array_mut()
        .expect("a configuration has webhooks");
    for entry in &mut *entries {
        let path = entry["clientConfig"]["service"]["path"].as_str();
        let url = format!("{server}{}", path.expect("a path is set"));
        entry["clientConfig"] = json!({"url": url, "caBundle": ByteString(ca.into())});
        match entry["namespaceSelector"]["matchExpressions"].as_array_mut() {
            Some(expressions) => expressions.push(only.clone()),
            None => entry["namespaceSelector"]["matchExpressions"] = json!([only]),
        }
    }
    // Calls a port where nobody can listen, so that whatever it matches is refused: for our probes only.
    entries.push(json!({
        "name": MARKER,
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
        "failurePolicy": "Fail",
        "timeoutSeconds": 1,
        "clientConfig": {"url": "https://127.0.0.1:1/"},
        "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"]}],
        "namespaceSelector": {"matchExpressions": [only]},
        "objectSelector": {"matchLabels": {MARKER_LABEL: name}},
    }));
}
