//! A namespace, a webhook that serves it, and what tests do there.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Once;
use std::time::Duration;

use agentteam_webhook::yaml;
use kube::Client;
use kube::api::{Api, DynamicObject, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};

use crate::foreign;
use crate::rig::Rig;
use crate::webhook::Webhook;

/// The older name of the API's group.
const OLDER_GROUP: &str = "claude.amcheste.io";

pub struct Scene<W = Webhook<'static>> {
    pub rig: &'static Rig,
    pub client: Client,
    pub namespace: String,
    /// The API group of the teams.
    pub group: String,
    pub webhook: W,
}

impl Scene {
    /// A namespace of one's own, and a webhook with these flags in front of it.
    pub async fn new(prefix: &str, flags: &[&str]) -> Self {
        Self::in_namespace(prefix, &[], flags).await
    }

    /// The same, with labels on the namespace.
    pub async fn in_namespace(prefix: &str, labels: &[(&str, &str)], flags: &[&str]) -> Self {
        let Scene {
            rig,
            client,
            namespace,
            ..
        } = Scene::labelled(prefix, labels).await;
        let group = flags
            .iter()
            .skip_while(|flag| **flag != "--api-group")
            .nth(1)
            .copied()
            .unwrap_or("kagents.dev");
        // With the rights that the manifests give it, and no more.
        let account = account_in(rig, &namespace).await;
        // Controllers of other tests would judge this one's teams, and this one theirs.
        let quiet = if flags.iter().any(|flag| flag.starts_with("--controller")) {
            None
        } else {
            Some("--controller=false")
        };
        let flags: Vec<_> = flags.iter().copied().chain(quiet).collect();
        let mut webhook = Webhook::start_as(rig, &account, &flags).await;
        webhook.register_for(group, &[&namespace]).await;
        let group = group.to_owned();
        Self {
            rig,
            client,
            namespace,
            group,
            webhook,
        }
    }

    /// The same for a definition of somebody else's, with an administrator's rights.
    pub async fn foreign(prefix: &str, group: &str) -> Self {
        let Scene {
            rig,
            client,
            namespace,
            ..
        } = Scene::bare(prefix).await;
        foreign::install(rig);
        let kubeconfig = rig.admin_kubeconfig(&namespace);
        let mut webhook = Webhook::start_as(rig, &kubeconfig, &["--api-group", group]).await;
        webhook.register_for(group, &[&namespace]).await;
        Self {
            rig,
            client,
            namespace,
            group: group.to_owned(),
            webhook,
        }
    }

    pub fn metrics(&self) -> String {
        self.webhook.get("/metrics").unwrap().1
    }
}

impl Scene<()> {
    /// A namespace without a webhook.
    pub async fn bare(prefix: &str) -> Self {
        Self::labelled(prefix, &[]).await
    }

    /// A namespace that is there already.
    pub async fn of(namespace: &str) -> Self {
        let rig = Rig::get();
        Self {
            rig,
            client: rig.client().await,
            namespace: namespace.to_owned(),
            group: "kagents.dev".to_owned(),
            webhook: (),
        }
    }

    async fn labelled(prefix: &str, labels: &[(&str, &str)]) -> Self {
        let rig = Rig::get();
        install(rig);
        let (client, namespace) = (rig.client().await, rig.namespace(prefix, labels).await);
        Self {
            rig,
            client,
            namespace,
            group: "kagents.dev".to_owned(),
            webhook: (),
        }
    }
}

impl<W> Scene<W> {
    pub async fn team(&self, name: &str, group: &str, spec: Value) -> Value {
        self.try_team(name, group, &spec).await.unwrap()
    }

    pub async fn try_team(
        &self,
        name: &str,
        group: &str,
        spec: &Value,
    ) -> Result<Value, kube::Error> {
        let team = json!({"apiVersion": format!("{group}/v1alpha1"), "kind": "AgentTeam", "metadata": {"name": name}, "spec": spec});
        let resource = ApiResource::from_gvk_with_plural(
            &GroupVersionKind::gvk(group, "v1alpha1", "AgentTeam"),
            "agentteams",
        );
        self.post(&team, &resource, &PostParams::default()).await
    }

    /// Creates a Pod.
    pub async fn create(&self, pod: &Value) -> Result<Value, kube::Error> {
        self.post(pod, &pods(), &PostParams::default()).await
    }

    /// Creates a Pod as far as everything but storing it.
    pub async fn dry_run(&self, pod: &Value) -> Result<Value, kube::Error> {
        self.post(
            pod,
            &pods(),
            &PostParams {
                dry_run: true,
                ..PostParams::default()
            },
        )
        .await
    }

    /// What creating the Pod makes of it, as soon as that is as `expected`.
    pub async fn create_when(&self, pod: &Value, expected: impl Fn(&Value) -> bool) -> Value {
        let mut last = Value::Null;
        for _ in 0..100 {
            last = self.dry_run(pod).await.unwrap();
            if expected(&last) {
                return last;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("not in 5 s: {last}");
    }

    /// Applies any object with kubectl.
    pub fn apply(&self, object: &Value) -> Value {
        let args = ["apply", "-n", &self.namespace, "-o", "json", "-f", "-"];
        serde_json::from_str(&self.rig.kubectl(&args, &object.to_string()).success()).unwrap()
    }

    async fn post(
        &self,
        object: &Value,
        resource: &ApiResource,
        params: &PostParams,
    ) -> Result<Value, kube::Error> {
        let api =
            Api::<DynamicObject>::namespaced_with(self.client.clone(), &self.namespace, resource);
        let object = serde_json::from_value(object.clone()).unwrap();
        Ok(serde_json::to_value(api.create(params, &object).await?).unwrap())
    }
}

/// Installs the definitions of both groups, and the rights of the webhook for both, once.
pub fn install(rig: &Rig) {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let manifests = Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests");
        let read = |name: &str| std::fs::read_to_string(manifests.join(name)).unwrap();
        let (definition, rights) = (
            read("crd/agentteams.kagents.dev.yaml"),
            read("base/rbac.yaml"),
        );
        rig.kubectl(&["create", "namespace", "agentteam-system"], "")
            .success();
        rig.kubectl(&["apply", "--server-side", "-f", "-"], &definition)
            .success();
        rig.kubectl(&["apply", "-f", "-"], &rights).success();
        let other = Command::new(env!("CARGO_BIN_EXE_agentteam-webhook"))
            .args(["crd", "--api-group", OLDER_GROUP])
            .output();
        rig.kubectl(
            &["apply", "--server-side", "-f", "-"],
            str::from_utf8(&other.unwrap().stdout).unwrap(),
        )
        .success();
        let role = read("base/rbac.yaml").replace("[kagents.dev]", &format!("[{OLDER_GROUP}]"));
        let role = role.replace(
            "name: agentteam-webhook\n",
            "name: agentteam-webhook-older\n",
        );
        let role = role.replace(
            "kind: ServiceAccount\n    name: agentteam-webhook-older",
            "kind: ServiceAccount\n    name: agentteam-webhook",
        );
        rig.kubectl(&["apply", "-f", "-"], &role).success();
        for group in ["kagents.dev", OLDER_GROUP] {
            let definition = format!("crd/agentteams.{group}");
            rig.kubectl(&["wait", "--for=condition=Established", &definition], "")
                .success();
        }
    });
}

/// The kubeconfig of the webhook's own ServiceAccount.
pub async fn account(rig: &Rig) -> PathBuf {
    rig.service_account_kubeconfig("agentteam-system", "agentteam-webhook")
        .await
}

/// The same, but that `namespace` is said to be the webhook's own, where it has the shipped Role: each test has a
/// lease of its own.
pub async fn account_in(rig: &Rig, namespace: &str) -> PathBuf {
    grant_lease(rig, namespace, "agentteam-webhook", "agentteam-system");
    let original = account(rig).await;
    let kubeconfig = std::fs::read_to_string(&original)
        .unwrap()
        .replace("agentteam-system", namespace);
    let path = original.with_extension(namespace);
    std::fs::write(&path, kubeconfig).unwrap();
    path
}

/// Gives the shipped Role for the lease, in `namespace`, to an account.
pub fn grant_lease(rig: &Rig, namespace: &str, account: &str, account_namespace: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests/base/rbac.yaml");
    let text = std::fs::read_to_string(path).unwrap();
    let objects = yaml::documents(&text)
        .into_iter()
        .map(|document| document.parse().unwrap());
    let role: Vec<Value> = objects
        .filter(|object: &Value| object["kind"] == "Role" || object["kind"] == "RoleBinding")
        .collect();
    assert_eq!(role.len(), 2);
    for mut object in role {
        object["metadata"]["namespace"] = json!(namespace);
        if object["kind"] == "RoleBinding" {
            object["subjects"] = json!([{"kind": "ServiceAccount", "name": account, "namespace": account_namespace}]);
        }
        rig.kubectl(&["apply", "-f", "-"], &object.to_string())
            .success();
    }
}

fn pods() -> ApiResource {
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk("", "v1", "Pod"), "pods")
}

/// A Pod with one container that names an agent.
pub fn pod(team: &str, agent: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"generateName": "agent-", "labels": {"kagents.dev/agent-team": team, "kagents.dev/agent": agent}},
        "spec": {"containers": [{"name": "agent", "image": "agent:1"}]},
    })
}

/// The item of a list with this name, or null.
pub fn find<'a>(list: &'a Value, name: &str) -> &'a Value {
    list.as_array()
        .and_then(|items| items.iter().find(|item| item["name"] == name))
        .unwrap_or(&Value::Null)
}
