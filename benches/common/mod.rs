//! The reviews and the team of the benchmarks, and what the webhook does with them in this process.
#![allow(
    dead_code,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    clippy::must_use_candidate,
    clippy::unwrap_used,
    reason = "each benchmark uses a part of it, and ends where its input is wrong"
)]

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use agentteam_webhook::admission::{Decision, Prepared, Request};
use agentteam_webhook::api::{Group, Keys};
use agentteam_webhook::inject::{Injection, Settings, Target, inject};
use agentteam_webhook::json::seen::Seen;
use agentteam_webhook::team::{Identity, Team};
use bumpalo::Bump;
use serde_json::{Value, json};

/// Reviews that a kube-apiserver v1.36.3 sent: of a Pod with one container, and of one with four, probes, variables,
/// annotations and `managedFields`.
pub const SMALL: &[u8] = include_bytes!("../reviews/small.json");
pub const LARGE: &[u8] = include_bytes!("../reviews/large.json");

/// An address on loopback with a port that was free a moment ago.
pub fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

/// The path of a program that the target of the Makefile built.
pub fn built(path: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    assert!(
        path.exists(),
        "{} is missing; make bench and make guard build what they run",
        path.display()
    );
    path
}

/// The team that both Pods name.
pub fn team() -> Team {
    read(&team_json("market-brief"))
}

/// The same under another name.
pub fn team_json(name: &str) -> Value {
    let oci = |name: &str, tag: &str| json!({"name": name, "source": {"oci": format!("ghcr.io/example/skills/{name}:{tag}")}});
    with_skills(
        name,
        &[oci("web-research", "v1"), oci("report-writing", "v3")],
    )
}

/// A team whose agent has these skills and one of the whole team.
pub fn with_skills(name: &str, skills: &[Value]) -> Value {
    json!({
        "apiVersion": "kagents.dev/v1alpha1",
        "kind": "AgentTeam",
        "metadata": {"name": name, "namespace": "cowork"},
        "spec": {
            "imagePullSecrets": [{"name": "ghcr-creds"}],
            "skills": [{"name": "house-style", "source": {"configMap": "house-style"}}],
            "teammates": [{"name": "researcher", "skills": skills}],
        },
    })
}

/// Reads a team as the webhook does.
pub fn read(team: &Value) -> Team {
    let identity = Identity::of(&team["metadata"], &Keys::of(&Group::default()));
    Team::read(identity, &team["spec"])
}

/// Writes the teams for the webhook, into `teams`, and for the others, into `teams.json`.
pub fn write_teams(directory: &Path, teams: &[Value]) {
    let own = directory.join("teams");
    let _ = fs::remove_dir_all(&own);
    fs::create_dir(&own).unwrap();
    for (number, some) in teams.chunks(500).enumerate() {
        let documents: Vec<_> = some.iter().map(ToString::to_string).collect();
        fs::write(
            own.join(format!("{number}.yaml")),
            documents.join("\n---\n"),
        )
        .unwrap();
    }
    fs::write(
        directory.join("teams.json"),
        json!({"items": teams}).to_string(),
    )
    .unwrap();
}

pub fn settings() -> Settings {
    Settings::new(&Group::default())
}

/// Bytes to bytes: all that the webhook does between the socket and the socket.
pub fn admit(body: &[u8], team: &Team, settings: &Settings) -> Vec<u8> {
    let (uid, injection) = injection(body, team, settings);
    let decision = Decision::Allowed(Arc::new(Prepared::from(&injection)));
    assert_eq!(decision.word(), "injected");
    decision.to_review(&uid)
}

/// The id of a review, and what its Pod gets.
pub fn injection(review: &[u8], team: &Team, settings: &Settings) -> (String, Injection) {
    let (arena, seen) = (Bump::new(), Seen::default());
    let request = Request::read(review, &arena, &seen).unwrap();
    let pod = request.pod().unwrap().unwrap();
    let target = Target::of(pod, &settings.keys).unwrap().unwrap();
    let injection = inject(pod, &target, team, settings, None).unwrap();
    (request.uid.to_owned(), injection)
}
