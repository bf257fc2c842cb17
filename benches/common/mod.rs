//! A review of about 20 KiB, and what the webhook does with it in this process.
#![allow(
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    clippy::must_use_candidate,
    clippy::unwrap_used,
    reason = "a benchmark ends where its input is wrong"
)]

use agentteam_webhook::admission::{Decision, Request};
use agentteam_webhook::api::Group;
use agentteam_webhook::inject::{ServerVersion, Settings, Target, inject};
use agentteam_webhook::team::{Identity, Team};
use serde_json::{Value, json};

/// The review that `make demo` sends, its Pod grown to 20 KiB by what real Pods have: variables, annotations, containers.
pub fn review() -> Vec<u8> {
    let mut review: Value =
        serde_json::from_str(include_str!("../../examples/demo/review.json")).unwrap();
    let pod = &mut review["request"]["object"];
    let variables: Vec<_> = (0..100)
        .map(|number| json!({"name": format!("SETTING_{number}"), "value": format!("value of setting {number} \"quoted\"")}))
        .collect();
    pod["spec"]["containers"][0]["env"] = json!(variables);
    pod["metadata"]["annotations"] = json!({"notes": "x".repeat(4096)});
    let mut sidecar = pod["spec"]["containers"][0].clone();
    sidecar["name"] = json!("sidecar");
    pod["spec"]["containers"]
        .as_array_mut()
        .unwrap()
        .push(sidecar);
    serde_json::to_vec(&review).unwrap()
}

pub fn team() -> Team {
    let spec = json!({
        "imagePullSecrets": [{"name": "ghcr-creds"}],
        "skills": [{"name": "house-style", "source": {"configMap": "house-style"}}],
        "teammates": [{"name": "researcher", "skills": [
            {"name": "web-research", "source": {"oci": "ghcr.io/example/skills/web-research:v1"}},
            {"name": "report-writing", "source": {"oci": "ghcr.io/example/skills/report-writing:v3"}},
        ]}],
    });
    let identity = Identity {
        namespace: "cowork".into(),
        name: "market-brief".into(),
        ..Identity::default()
    };
    Team::read(identity, &spec)
}

pub fn settings() -> Settings {
    Settings::new(&Group::default())
}

/// Bytes to bytes: all that the webhook does between the socket and the socket.
pub fn admit(body: &[u8], team: &Team, settings: &Settings) -> Vec<u8> {
    let request = Request::read(body).unwrap();
    let pod = request.pod().unwrap().unwrap();
    let target = Target::of(&pod, &settings.keys).unwrap().unwrap();
    let server = Some(ServerVersion {
        major: 1,
        minor: 36,
    });
    let decision = Decision::from(inject(&pod, &target, team, settings, server));
    assert_eq!(decision.word(), "injected");
    decision.to_review(&request.uid)
}
