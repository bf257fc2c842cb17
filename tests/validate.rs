//! What `POST /validate` and `agentteam-webhook validate` say, without an API server.

#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test says what it expects by failing"
)]

mod common;

use std::process::Command;
use std::sync::Arc;

use agentteam_webhook::server::App;
use agentteam_webhook::teams::Index;
use common::{Flags, answer_at, webhook};
use serde_json::{Value, json};

const ORAS: &str = "--skill-puller-image=ghcr.io/oras-project/oras:v1.3.3";

fn app(flags: &[&str]) -> Arc<App> {
    let flags: Vec<_> = flags.iter().map(ToString::to_string).collect();
    webhook(Index::default(), &Flags::parse_words(&flags))
}

fn team(spec: &Value) -> Value {
    json!({
        "apiVersion": "kagents.dev/v1alpha1",
        "kind": "AgentTeam",
        "metadata": {"name": "t", "namespace": "ns", "uid": "x"},
        "spec": spec,
    })
}

fn bad() -> Value {
    team(&json!({
        "auth": {"apiKeySecret": "unknown to us"},
        "lead": {"skills": [{"name": "none", "source": {}}, {"name": "both", "source": {"configMap": "c", "oci": "g.io/x:1"}}]},
        "teammates": [{"name": "A"}],
    }))
}

const ALL_PROBLEMS: &str = "InvalidTeam: 3 problems: \
    (1) agent lead: skill \"none\": skill source must set exactly one of configMap or oci, and this one sets neither; \
    (2) agent lead: skill \"both\": skill source must set exactly one of configMap or oci, and this one sets both; \
    (3) spec.teammates[0].name \"A\": it must be 1 to 63 characters of a-z, 0-9 and -, beginning and ending with a letter or digit";

/// A review as an API server sends it.
fn review(operation: &str, object: &Value, old: &Value) -> Value {
    let resource = json!({"group": "kagents.dev", "version": "v1alpha1", "resource": "agentteams"});
    let kind = json!({"group": "kagents.dev", "version": "v1alpha1", "kind": "AgentTeam"});
    json!({
        "kind": "AdmissionReview",
        "apiVersion": "admission.k8s.io/v1",
        "request": {
            "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
            "kind": kind, "resource": resource, "requestKind": kind, "requestResource": resource,
            "name": "t", "namespace": "ns", "operation": operation,
            "userInfo": {"username": "admin"},
            "object": object, "oldObject": old, "dryRun": true,
            "options": {"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1"}
        }
    })
}

async fn ask(app: &Arc<App>, review: &Value) -> Value {
    answer_at("/validate?timeout=5s", app, review).await
}

async fn is_refused(app: &Arc<App>, review: &Value) -> bool {
    !ask(app, review).await["allowed"].as_bool().unwrap()
}

#[tokio::test]
async fn a_bad_team_is_refused_with_all_its_problems() {
    let app = app(&[]);
    let response = ask(&app, &review("CREATE", &bad(), &json!(null))).await;
    assert_eq!(response["allowed"], false);
    assert_eq!(
        response["status"],
        json!({"code": 422, "reason": "InvalidTeam", "message": ALL_PROBLEMS})
    );
    let metrics = app.metrics.to_text(<_>::default());
    assert!(
        metrics.contains(r#"admission_requests_total{decision="denied",reason="InvalidTeam"} 1"#),
        "{metrics}"
    );
}

#[tokio::test]
async fn a_valid_team_is_admitted_with_warnings() {
    let skill =
        |oci: &str| team(&json!({"lead": {"skills": [{"name": "s", "source": {"oci": oci}}]}}));
    let app = app(&[ORAS]);
    let response = ask(
        &app,
        &review("CREATE", &skill("ghcr.io/x/y:1"), &json!(null)),
    )
    .await;
    let uid = "705ab4f5-6393-11e8-b7cc-42010a800002";
    let line =
        "pulled by tag, which may name something else tomorrow: s (lead); append @sha256:… to pin";
    assert_eq!(
        response,
        json!({"uid": uid, "allowed": true, "warnings": [line]})
    );
    let config_map =
        team(&json!({"lead": {"skills": [{"name": "s", "source": {"configMap": "c"}}]}}));
    let response = ask(&app, &review("CREATE", &config_map, &json!(null))).await;
    assert_eq!(response, json!({"uid": uid, "allowed": true}));
    let metrics = app.metrics.to_text(<_>::default());
    assert!(
        metrics.contains(r#"admission_requests_total{decision="valid",reason=""} 2"#),
        "{metrics}"
    );
}

#[tokio::test]
async fn only_what_changes_for_the_worse_or_stays_bad_is_refused() {
    let app = app(&[]);
    let with = |change: &dyn Fn(&mut Value)| {
        let mut team = bad();
        change(&mut team);
        team
    };
    let update = |new: &Value| review("UPDATE", new, &bad());
    let annotated = |value: &'static str| {
        move |team: &mut Value| {
            team["metadata"]["annotations"] = json!({"kagents.dev/skill-delivery": value});
        }
    };
    let harmless: [&dyn Fn(&mut Value); 5] = [
        &|team| team["metadata"]["labels"] = json!({"a": "b"}),
        &|team| team["metadata"]["annotations"] = json!({"kagents.dev/other": "x"}),
        &|team| team["metadata"]["finalizers"] = json!(["a/b"]),
        &|team| team["status"] = json!({"phase": "Running"}),
        &|team| {
            team["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
            team["spec"]["lead"]["prompt"] = json!("changed");
        },
    ];
    for change in harmless {
        let new = with(change);
        let response = ask(&app, &update(&new)).await;
        assert_eq!(response["allowed"], true, "{new}");
        assert!(response["warnings"].is_null(), "{response}");
    }
    let stays_bad: [&dyn Fn(&mut Value); 2] = [
        &|team| team["spec"]["lead"]["prompt"] = json!("changed"),
        &annotated("oras"),
    ];
    for change in stays_bad {
        let response = ask(&app, &update(&with(change))).await;
        assert_eq!(response["status"]["message"], ALL_PROBLEMS);
    }
    let good = team(&json!({}));
    assert!(!is_refused(&app, &update(&good)).await);
    assert!(is_refused(&app, &review("UPDATE", &bad(), &good)).await);
    let mut pigeon = good.clone();
    annotated("pigeon")(&mut pigeon);
    let response = ask(&app, &review("UPDATE", &pigeon, &good)).await;
    assert_eq!(
        response["status"]["message"],
        "InvalidTeam: the annotation kagents.dev/skill-delivery of AgentTeam t says \"pigeon\", which is not a delivery mode; it must be oras, puller or image"
    );
    let asking = |value: &str| {
        let mut team = good.clone();
        team["metadata"]["annotations"] = json!({"kagents.dev/skill-verify-key": value});
        team
    };
    assert!(!is_refused(&app, &review("UPDATE", &asking("skill-signers"), &good)).await);
    assert!(!is_refused(&app, &review("UPDATE", &asking("a/b"), &asking("a/b"))).await);
    let response = ask(&app, &review("UPDATE", &asking("a/b"), &good)).await;
    assert_eq!(
        response["status"]["message"],
        "InvalidTeam: the annotation kagents.dev/skill-verify-key of AgentTeam t says \"a/b\", which is not the name of a ConfigMap; name the one that has the public key as cosign.pub"
    );
}

#[tokio::test]
async fn what_is_no_writing_of_a_team_is_let_through() {
    let app = app(&[]);
    assert!(!is_refused(&app, &review("DELETE", &json!(null), &bad())).await);
    assert!(!is_refused(&app, &review("CONNECT", &bad(), &json!(null))).await);
    let others: [(&str, Value); 4] = [
        ("/request/subResource", json!("status")),
        ("/request/resource/resource", json!("agentruns")),
        ("/request/resource/group", json!("claude.amcheste.io")),
        ("/request/resource/group", json!("")),
    ];
    for (place, value) in others {
        let mut review = review("CREATE", &bad(), &json!(null));
        review["request"]["subResource"] = json!("");
        *review.pointer_mut(place).unwrap() = value;
        let response = ask(&app, &review).await;
        assert_eq!(
            response,
            json!({"uid": review["request"]["uid"], "allowed": true})
        );
    }
    let older = common::webhook(
        Index::default(),
        &Flags::parse_words(&["--api-group=claude.amcheste.io".to_owned()]),
    );
    assert!(!is_refused(&older, &review("CREATE", &bad(), &json!(null))).await);
}

#[tokio::test]
async fn what_no_api_server_sends_is_refused() {
    let app = app(&[]);
    let good = team(&json!({}));
    let changed = |place: &str, value: Value| {
        let mut review = review("CREATE", &good, &json!(null));
        *review.pointer_mut(place).unwrap() = value;
        review
    };
    let cases = [
        (
            changed("/request/object", json!(null)),
            "UnreadableTeam: the AgentTeam cannot be read: the request has no object",
        ),
        (
            changed("/request/object", json!([])),
            "UnreadableTeam: the AgentTeam cannot be read: its kind is \"\"",
        ),
        (
            changed("/request/object/kind", json!("Pod")),
            "UnreadableTeam: the AgentTeam cannot be read: its kind is \"Pod\"",
        ),
        (
            changed("/request/kind/kind", json!("Pod")),
            "UnreadableTeam: the AgentTeam cannot be read: the request's kind is \"Pod\"",
        ),
        (
            changed("/request/namespace", json!("other")),
            "NamespaceMismatch: the AgentTeam says namespace \"ns\", but it is written to \"other\"; make the two the same",
        ),
    ];
    for (review, message) in cases {
        let response = ask(&app, &review).await;
        let word = message.split(':').next().unwrap();
        assert_eq!(
            response["status"],
            json!({"code": 400, "reason": word, "message": message})
        );
    }
}

/// Exit code and stdout of `agentteam-webhook validate`.
fn command_line(args: &[&str], stdin: &str) -> (i32, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_agentteam-webhook"));
    let (stdout, _, code) = common::run(command.arg("validate").args(args), stdin);
    (code, stdout)
}

#[test]
fn the_command_line_says_the_same() {
    let good =
        team(&json!({"lead": {"skills": [{"name": "s", "source": {"oci": "ghcr.io/x/y:1"}}]}}));
    let warning = "  warning: pulled by tag, which may name something else tomorrow: s (lead); append @sha256:… to pin";
    let said = format!("stdin:1: AgentTeam ns/t: valid\n{warning}\n");
    assert_eq!(command_line(&[ORAS], &good.to_string()), (0, said));

    let mut other = bad();
    other["metadata"] = json!({"name": "u"});
    let list = json!({"kind": "List", "items": [{"kind": "Pod"}, other, good]});
    let broken = "apiVersion: kagents.dev/v1\nkind: AgentTeam";
    let (code, said) = command_line(&[ORAS, "-f", "-"], &format!("---\n{list}\n---\n{broken}\n"));
    assert_eq!(code, 1);
    let lines: Vec<_> = said.lines().collect();
    assert_eq!(lines.len(), 7, "{said}");
    assert_eq!(lines[0], "stdin:1: AgentTeam default/u: invalid");
    for (index, line) in lines[1..4].iter().enumerate() {
        let problem = line.strip_prefix("  problem: ").unwrap();
        assert!(
            ALL_PROBLEMS.contains(&format!("({}) {problem}", index + 1)),
            "{problem}"
        );
    }
    assert_eq!(lines[4..6], ["stdin:1: AgentTeam ns/t: valid", warning]);
    assert!(
        lines[6].starts_with("stdin:3: the AgentTeam's apiVersion is"),
        "{said}"
    );
}

#[test]
fn what_cannot_be_validated_is_not_called_valid() {
    for (args, stdin) in [
        (&["-f", "nowhere"][..], ""),
        (&[], ""),
        (&[], "kind: Pod"),
        (&["--no-such-flag"], ""),
    ] {
        assert_eq!(command_line(args, stdin), (2, String::new()), "{args:?}");
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_str().unwrap();
    assert_eq!(command_line(&["-f", path], "").0, 2);
    std::fs::write(dir.path().join("a.yaml"), "a: [").unwrap();
    assert_eq!(command_line(&["-f", path], "").0, 1);
}
