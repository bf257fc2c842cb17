//! The init containers that pull skills, one for each with ORAS or one of our own for all, and the volumes that they share.

use serde_json::{Value, json};

use super::naming::{
    AUTH_VOLUME, CA_VOLUME, KEY_VOLUME, NO_TOKEN_VOLUME, TEMPORARY_VOLUME, free_skills_puller,
};
use super::plan::Pull;
use super::pod::{Container, Pod};
use super::settings::{ImageName, PlainHttpHost, PullerSettings, Quantity};
use super::verify_key::{FLAG, VerifyKey};
use super::version::ServerVersion;
use crate::skill::ObjectName;

const AUTH_PATH: &str = "/auth/.docker";
const CA_PATH: &str = "/etc/agentteam-webhook/ca";
const OUTPUT_PATH: &str = "/skill-out";
const TEMPORARY_PATH: &str = "/tmp";
/// This program in its own image.
const OWN_PROGRAM: &str = "/agentteam-webhook";
/// Where the kubelet reads a container's last words.
const TERMINATION_LOG: &str = "/dev/termination-log";
/// Where the API server mounts a token, unless something is mounted there already.
const TOKEN_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// The user of a puller where neither the agent's container nor its Pod names one: nobody, in distroless images.
const DEFAULT_USER: i64 = 65532;

/// A volume as an injected container needs it.
pub(super) struct SharedVolume {
    pub(super) name: &'static str,
    pub(super) kind: &'static str,
    pub(super) source: Value,
}

/// What all pullers of a Pod have in common.
pub(super) struct Pullers<'a> {
    settings: &'a PullerSettings,
    pull_secrets: &'a [&'a ObjectName],
    verify_key: Option<&'a VerifyKey<'a>>,
    user: i64,
    restart: bool,
}

impl<'a> Pullers<'a> {
    pub(super) fn new(
        pod: &Pod<'_>,
        agent: &Container<'_>,
        settings: &'a PullerSettings,
        pull_secrets: &'a [&'a ObjectName],
        verify_key: Option<&'a VerifyKey<'a>>,
        server: Option<ServerVersion>,
    ) -> Self {
        let never = pod.spec.restart_policy == Some("Never");
        Self {
            settings,
            pull_secrets,
            verify_key,
            user: user(pod, agent),
            // Without it, one failed pull would fail such a Pod for good.
            restart: never && server.is_some_and(ServerVersion::restarts_init_containers),
        }
    }

    /// The volumes that the pullers need besides those of the skills, of which so many are pulled at once.
    pub(super) fn volumes(&self, at_once: usize) -> Vec<SharedVolume> {
        let volume = |name, kind, source| SharedVolume { name, kind, source };
        let empty = |limit: &str| json!({"sizeLimit": limit});
        let mut volumes = vec![
            volume(
                TEMPORARY_VOLUME,
                "emptyDir",
                empty(&self.settings.size_limit.times(at_once)),
            ),
            volume(NO_TOKEN_VOLUME, "emptyDir", empty("1Mi")),
        ];
        match self.pull_secrets {
            [] => {}
            [secret] => {
                let items = [json!({"key": ".dockerconfigjson", "path": "config.json"})];
                volumes.push(volume(
                    AUTH_VOLUME,
                    "secret",
                    json!({"secretName": secret.as_str(), "items": items}),
                ));
            }
            secrets => {
                let source = |(index, secret): (usize, &&ObjectName)| {
                    let items = [json!({"key": ".dockerconfigjson", "path": config_file(index)})];
                    json!({"secret": {"name": secret.as_str(), "items": items}})
                };
                let sources: Vec<_> = secrets.iter().enumerate().map(source).collect();
                volumes.push(volume(
                    AUTH_VOLUME,
                    "projected",
                    json!({"sources": sources}),
                ));
            }
        }
        if let Some(name) = &self.settings.ca_config_map {
            volumes.push(volume(
                CA_VOLUME,
                "configMap",
                json!({"name": name.as_str()}),
            ));
        }
        if let Some(key) = self.verify_key {
            // Where it is missing, the puller fails and says so, and the team with it; a Pod that waits for it says nothing.
            volumes.push(volume(
                KEY_VOLUME,
                "configMap",
                json!({"name": key.config_map.as_str(), "optional": true}),
            ));
        }
        volumes
    }

    /// The init container that pulls one skill with ORAS.
    pub(super) fn oras(&self, pull: &Pull<'_>) -> Value {
        let mut command: Vec<_> = ["oras", "pull", "--no-tty", "--output", OUTPUT_PATH]
            .map(ToOwned::to_owned)
            .into();
        command.extend(self.registry_configs());
        if self.plain_http([pull].into_iter()).next().is_some() {
            command.push("--plain-http".to_owned());
        }
        command.push(pull.reference.to_string());
        let outputs = vec![json!({"name": pull.volume, "mountPath": OUTPUT_PATH})];
        self.container(&pull.container, &self.settings.image, &command, outputs)
    }

    /// The init container with this program that pulls all skills at once.
    pub(super) fn own(&self, pod: &Pod<'_>, image: &ImageName, pulls: &[&Pull<'_>]) -> Value {
        let mut command: Vec<_> = [OWN_PROGRAM, "pull", "--output", OUTPUT_PATH]
            .map(ToOwned::to_owned)
            .into();
        for pull in pulls {
            command.push("--skill".to_owned());
            command.push(format!("{}={}", pull.skill, pull.reference));
        }
        command.extend(self.registry_configs());
        for host in self.plain_http(pulls.iter().copied()) {
            command.push("--plain-http-registry".to_owned());
            command.push(host.to_string());
        }
        if let Some(key) = self.verify_key {
            command.extend([FLAG.to_owned(), key.file()]);
        }
        // By default both know the same limit.
        if self.settings.size_limit != Quantity::default() {
            command.push("--max-bytes".to_owned());
            command.push(self.settings.size_limit.bytes().to_string());
        }
        command.extend(["--termination-log", TERMINATION_LOG].map(ToOwned::to_owned));
        let outputs = pulls.iter().map(|pull| {
            let path = format!("{OUTPUT_PATH}/{}", pull.skill);
            json!({"name": pull.volume, "mountPath": path})
        });
        let name = free_skills_puller(|name| pod.has_container(name));
        self.container(&name, image, &command, outputs.collect())
    }

    fn container(
        &self,
        name: &str,
        image: &ImageName,
        command: &[String],
        outputs: Vec<Value>,
    ) -> Value {
        let mut container = json!({
            "name": name,
            "image": image.as_str(),
            "command": command,
            "env": self.variables(),
            "resources": self.settings.resources.to_json(),
            "securityContext": {
                "runAsUser": self.user,
                "runAsNonRoot": true,
                "allowPrivilegeEscalation": false,
                "readOnlyRootFilesystem": true,
                "capabilities": {"drop": ["ALL"]},
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "terminationMessagePolicy": "FallbackToLogsOnError",
            "volumeMounts": self.mounts(outputs),
        });
        if let (true, Some(fields)) = (self.restart, container.as_object_mut()) {
            fields.insert("restartPolicy".into(), json!("OnFailure"));
        }
        container
    }

    /// One pull secret is found by `DOCKER_CONFIG`; of several, each is named.
    fn registry_configs(&self) -> impl Iterator<Item = String> {
        let count = match self.pull_secrets.len() {
            1 => 0,
            count => count,
        };
        (0..count).flat_map(|index| {
            let file = format!("{AUTH_PATH}/{}", config_file(index));
            ["--registry-config".to_owned(), file]
        })
    }

    /// The plain-HTTP registries that some of `pulls` are from, in the order of the settings.
    fn plain_http<'p>(
        &self,
        pulls: impl Iterator<Item = &'p Pull<'p>> + Clone,
    ) -> impl Iterator<Item = &PlainHttpHost> {
        let is_used =
            move |plain: &&PlainHttpHost| pulls.clone().any(|pull| plain.is(pull.reference.host()));
        self.settings.plain_http.iter().filter(is_used)
    }

    fn variables(&self) -> Vec<Value> {
        let variable = |name: &str, value: &str| json!({"name": name, "value": value});
        let mut variables = vec![variable("TMPDIR", TEMPORARY_PATH)];
        if !self.pull_secrets.is_empty() {
            variables.push(variable("DOCKER_CONFIG", AUTH_PATH));
        }
        if self.settings.ca_config_map.is_some() {
            // Unlike --ca-file, this adds to the authorities of the image, so public registries go on working.
            variables.push(variable("SSL_CERT_DIR", CA_PATH));
        }
        variables.extend(
            self.settings
                .proxy
                .variables()
                .map(|(name, value)| variable(name, value)),
        );
        variables
    }

    fn mounts(&self, outputs: Vec<Value>) -> Vec<Value> {
        let read_only =
            |name: &str, path: &str| json!({"name": name, "mountPath": path, "readOnly": true});
        let mut mounts = outputs;
        mounts.push(json!({"name": TEMPORARY_VOLUME, "mountPath": TEMPORARY_PATH}));
        mounts.push(read_only(NO_TOKEN_VOLUME, TOKEN_PATH));
        if !self.pull_secrets.is_empty() {
            mounts.push(read_only(AUTH_VOLUME, AUTH_PATH));
        }
        if self.settings.ca_config_map.is_some() {
            mounts.push(read_only(CA_VOLUME, CA_PATH));
        }
        if let Some(key) = self.verify_key {
            mounts.push(read_only(KEY_VOLUME, &key.directory()));
        }
        mounts
    }
}

/// The user that pulls: the agent's, unless that is root or nobody says.
pub(super) fn user(pod: &Pod<'_>, agent: &Container<'_>) -> i64 {
    let users = [agent.security_context, pod.spec.security_context];
    let user = users
        .into_iter()
        .flatten()
        .find_map(|context| context.run_as_user);
    user.filter(|&user| user > 0).unwrap_or(DEFAULT_USER)
}

/// The file of the pull secret at `index`; the first has the name that every client looks for.
fn config_file(index: usize) -> String {
    if index == 0 {
        "config.json".to_owned()
    } else {
        format!("config-{}.json", index + 1)
    }
}
