//! A namespace on the node, and what tests do there.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::images::AGENT;
use crate::node::Node;
use crate::rig::Output;
use crate::skills::{Files, PRINT, Skill, read};

/// Longer than any wait should take, on a machine that may be busy.
const LIMIT: &str = "--timeout=180s";

pub struct Place<'node> {
    pub node: &'node Node,
    pub namespace: String,
}

impl<'node> Place<'node> {
    /// A new namespace, with the authority of the private registries in the ConfigMap that pullers look for.
    pub fn new(node: &'node Node, prefix: &str) -> Self {
        let namespace = node.control.unique(prefix);
        node.kubectl(&["create", "namespace", &namespace]).success();
        let place = Self { node, namespace };
        // Pods are refused until the controller-manager has made it.
        place
            .kubectl(&["wait", "--for=create", "serviceaccount/default", LIMIT])
            .success();
        place.authority(&node.identity.ca);
        place
    }

    /// A new namespace with a team, `team`, whose researcher has one public skill, `web-research`.
    pub fn with_public_skill(node: &'node Node, prefix: &str) -> (Self, Skill) {
        let place = Self::new(node, prefix);
        let skill = Skill::new("web-research");
        let repository = format!("{prefix}/web-research:v1");
        node.public.push(&repository, skill.path());
        let reference = format!("{}/{repository}", node.public.address);
        place.team("team", &[], &[("web-research", oci(&reference))]);
        (place, skill)
    }

    /// Says which authority pullers trust.
    pub fn authority(&self, ca: &str) {
        self.apply(&json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "registry-ca"},
            "data": {"ca.crt": ca},
        }));
    }

    pub fn kubectl(&self, args: &[&str]) -> Output {
        let all = [&["-n", &self.namespace], args].concat();
        self.node.control.kubectl(&all, "")
    }

    #[track_caller]
    pub fn apply(&self, object: &Value) {
        self.try_apply(object).success();
    }

    pub fn try_apply(&self, object: &Value) -> Output {
        let args = ["-n", &self.namespace, "apply", "-f", "-"];
        self.node.control.kubectl(&args, &object.to_string())
    }

    /// A team with one agent, `researcher`, which has these skills.
    #[track_caller]
    pub fn team(&self, name: &str, secrets: &[&str], skills: &[(&str, Value)]) {
        let secrets: Vec<_> = secrets.iter().map(|name| json!({"name": name})).collect();
        let skills: Vec<_> = skills
            .iter()
            .map(|(name, source)| json!({"name": name, "source": source}))
            .collect();
        self.apply(&json!({
            "apiVersion": "kagents.dev/v1alpha1",
            "kind": "AgentTeam",
            "metadata": {"name": name},
            "spec": {"imagePullSecrets": secrets, "teammates": [{"name": "researcher", "skills": skills}]},
        }));
    }

    /// Registry credentials, as `kubectl create secret docker-registry` makes them.
    #[track_caller]
    pub fn secret(&self, name: &str, registry: &str, user: &str, password: &str) {
        let auth = STANDARD.encode(format!("{user}:{password}"));
        let config =
            json!({"auths": {(registry): {"username": user, "password": password, "auth": auth}}});
        self.apply(&json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name},
            "type": "kubernetes.io/dockerconfigjson",
            "stringData": {".dockerconfigjson": config.to_string()},
        }));
    }

    /// Waits until a Pod is ready.
    #[track_caller]
    pub fn ready(&self, pod: &str) {
        self.wait(pod, "condition=Ready");
    }

    /// Waits for something of a Pod, as `kubectl wait --for` does; what went wrong is shown.
    #[track_caller]
    pub fn wait(&self, pod: &str, what: &str) {
        let waited = self.kubectl(&[
            "wait",
            &format!("--for={what}"),
            &format!("pod/{pod}"),
            LIMIT,
        ]);
        if !waited.status.success() {
            let described = self.kubectl(&["describe", "pod", pod]).stdout;
            let logs = self.kubectl(&["logs", pod, "--all-containers", "--prefix"]);
            panic!(
                "{}{described}\n{}{}",
                waited.stderr, logs.stdout, logs.stderr
            );
        }
    }

    /// What a shell in the agent's container says; it must succeed.
    #[track_caller]
    pub fn shell(&self, pod: &str, script: &str, argument: &str) -> String {
        let args = [
            "exec",
            pod,
            "-c",
            "claude-code",
            "--",
            "sh",
            "-ec",
            script,
            "sh",
            argument,
        ];
        self.kubectl(&args).success()
    }

    /// The files of a skill, read by the agent's user in the agent's container.
    #[track_caller]
    pub fn files(&self, pod: &str, skill: &str) -> Files {
        read(&self.shell(pod, PRINT, &format!("/var/claude-skills/{skill}")))
    }

    /// A value of an object, by a JSON path.
    #[track_caller]
    pub fn value(&self, object: &str, path: &str) -> String {
        self.kubectl(&["get", object, "-o", &format!("jsonpath={path}")])
            .success()
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        // Its Pods end; what they take shall be free for others. A failure was shown when it happened.
        self.kubectl(&["delete", "namespace", &self.namespace, "--wait=false"]);
    }
}

/// A Pod of the team's researcher, whose container waits to be asked.
pub fn pod(name: &str, team: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": labels(team)},
        "spec": {
            "terminationGracePeriodSeconds": 0,
            "containers": [{"name": "claude-code", "image": AGENT}],
        },
    })
}

pub fn labels(team: &str) -> Value {
    json!({"kagents.dev/agent-team": team, "kagents.dev/agent": "researcher"})
}

/// The source of a skill from a registry.
pub fn oci(reference: &str) -> Value {
    json!({"oci": reference})
}

pub fn config_map(name: &str) -> Value {
    json!({"configMap": name})
}
