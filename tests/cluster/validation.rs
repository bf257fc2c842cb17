//! The door for teams: the definition's rules, the policy, the webhook and the judgement that the controller uses.

use agentteam_webhook::api::{EXACTLY_ONE_SOURCE, Group};
use agentteam_webhook::inject::Settings;
use agentteam_webhook::team::{Identity, Team};
use agentteam_webhook::validation::{List, problems};
use serde_json::{Value, json};

use crate::foreign::{LOOSE, Policy, TYPED, dry_run, install, team};
use crate::rig::{Output, Rig};
use crate::scene::Scene;
use crate::team_table::{Case, cases};
use crate::webhook::Webhook;

/// What the judgement says of a spec.
fn judged(spec: &Value) -> Vec<String> {
    let group: Group = TYPED.parse().unwrap();
    let identity = Identity {
        name: "t".into(),
        ..Identity::default()
    };
    problems(&Team::read(identity, spec), &Settings::new(&group))
}

/// Whether an answer is a refusal for what a case breaks, and holds the sentence exactly where it should.
#[track_caller]
fn agrees(who: &str, case: &Case, refused: Option<&str>, broken: &[&str]) {
    let said = refused.unwrap_or_default();
    let expected = broken.iter().any(|word| case.breaks(word));
    assert_eq!(refused.is_some(), expected, "{who}: {}: {said}", case.name);
    // Where a type is wrong, the API server stops before it comes to rules.
    let is_stopped = who == "definition" && case.breaks("shape");
    assert_eq!(
        said.contains(EXACTLY_ONE_SOURCE),
        case.breaks("sources") && !is_stopped,
        "{who}: {}: {said}",
        case.name
    );
}

/// A webhook for a foreign group, in front of a namespace.
async fn door(group: &str, namespace: &str, flags: &[&str]) -> Webhook<'static> {
    let rig = Rig::get();
    let mut webhook = Webhook::start(rig, &[&["--api-group", group], flags].concat()).await;
    webhook.register_door(group, &[namespace]).await;
    webhook
}

#[tokio::test]
async fn definition_policy_webhook_and_judgement_agree_on_every_team() {
    let Scene {
        rig,
        client,
        namespace: own,
        ..
    } = Scene::bare("agree").await;
    install(rig);
    let (by_policy, by_webhook) = (
        rig.namespace("agree-policy", &[]).await,
        rig.namespace("agree-webhook", &[]).await,
    );
    let policy = Policy::create(rig, &by_policy).await;
    let doors = [
        door(TYPED, &by_webhook, &[]).await,
        door(LOOSE, &by_webhook, &[]).await,
    ];
    let cases = cases();
    assert!(cases.len() >= 30);
    for case in &cases {
        let spec = &case.spec;
        let judged = judged(spec);
        let sentence = (!judged.is_empty()).then(|| List(&judged).to_string());
        agrees(
            "judgement",
            case,
            sentence.as_deref(),
            &["sources", "rule", "ours"],
        );

        let said = dry_run(&client, "kagents.dev", &own, spec).await.err();
        agrees(
            "definition",
            case,
            said.as_deref(),
            &["sources", "rule", "shape"],
        );
        // The policy has nothing against what our definition admits.
        let said = dry_run(&client, "kagents.dev", &by_policy, spec)
            .await
            .err();
        agrees(
            "definition",
            case,
            said.as_deref(),
            &["sources", "rule", "shape"],
        );

        for group in [TYPED, LOOSE] {
            if group == TYPED && case.breaks("untyped") {
                let said = dry_run(&client, group, &own, spec).await.err();
                let said = said.unwrap_or_default();
                assert!(said.contains("must be of type"), "{}: {said}", case.name);
                continue;
            }
            dry_run(&client, group, &own, spec).await.unwrap();
            let said = dry_run(&client, group, &by_policy, spec).await.err();
            agrees("policy", case, said.as_deref(), &["sources"]);
            let said = dry_run(&client, group, &by_webhook, spec).await.err();
            agrees(
                "webhook",
                case,
                said.as_deref(),
                &["sources", "rule", "ours"],
            );
            let expected = sentence.as_ref().map(|sentence| {
                format!("admission webhook \"agentteams.webhook.{group}\" denied the request: InvalidTeam: {sentence}")
            });
            assert_eq!(said, expected, "{}", case.name);
        }
    }
    drop((policy, doors));
}

fn kubectl(namespace: &str, args: &[&str], object: &Value) -> Output {
    Rig::get().kubectl(&[args, &["-n", namespace]].concat(), &object.to_string())
}

fn bad() -> Value {
    json!({
        "lead": {"skills": [{"name": "none", "source": {}}, {"name": "fine", "source": {"configMap": "c"}}]},
        "teammates": [{"name": "m", "skills": [{"name": "both", "source": {"configMap": "c", "oci": "g.io/x:1"}}]}],
    })
}

/// What the webhook says of [`bad`].
const BAD: &str = "InvalidTeam: 2 problems: \
    (1) agent lead: skill \"none\": skill source must set exactly one of configMap or oci, and this one sets neither; \
    (2) agent m: skill \"both\": skill source must set exactly one of configMap or oci, and this one sets both";

/// What the policy says of it.
const BAD_BY_POLICY: &str = "skill source must set exactly one of configMap or oci: \
    agent lead: skill \"none\"; agent m: skill \"both\"";

#[tokio::test]
async fn kubectl_shows_all_problems() {
    let rig = Rig::get();
    install(rig);
    let (by_policy, by_webhook) = (
        rig.namespace("words-policy", &[]).await,
        rig.namespace("words-webhook", &[]).await,
    );
    let _policy = Policy::create(rig, &by_policy).await;
    let _door = door(TYPED, &by_webhook, &[]).await;
    let bad = team(TYPED, "t", &bad());
    for args in [
        &["create", "-f", "-"][..],
        &["apply", "--dry-run=server", "-f", "-"],
        &["apply", "--server-side", "-f", "-"],
    ] {
        let said = kubectl(&by_webhook, args, &bad).stderr;
        assert!(
            said.contains(&format!("denied the request: {BAD}\n")),
            "{said}"
        );
        let said = kubectl(&by_policy, args, &bad).stderr;
        assert!(
            said.contains(&format!("denied request: {BAD_BY_POLICY}\n")),
            "{said}"
        );
    }
    let said = kubectl(&by_webhook, &["create", "-f", "-"], &bad).stderr;
    assert!(
        said.starts_with("Error from server (InvalidTeam): "),
        "{said}"
    );
    let odd = json!({"lead": {"skills": [{"name": "a\"\nb"}, {}]}, "teammates": [{"skills": [{"name": "x"}]}]});
    let said = kubectl(&by_policy, &["create", "-f", "-"], &team(TYPED, "t", &odd)).stderr;
    let named = r#": agent lead: skill "a\"\nb", a skill without a name; an agent without a name: skill "x""#;
    assert!(
        said.contains(&format!("{EXACTLY_ONE_SOURCE}{named}\n")),
        "{said}"
    );
    let left = kubectl(
        &by_webhook,
        &["get", "agentteams.typed.example", "-o", "name"],
        &Value::Null,
    );
    assert_eq!(left.success(), "", "what is refused is not there");
}

/// Everything that must work on a bad team that was there before webhook and policy were.
#[tokio::test]
async fn a_bad_team_that_is_there_can_be_labelled_reported_on_and_ended() {
    let rig = Rig::get();
    install(rig);
    let by_policy = rig.namespace("old-policy", &[]).await;
    let by_webhook = rig.namespace("old-webhook", &[]).await;
    for namespace in [&by_policy, &by_webhook] {
        for name in ["kept", "ended", "mended"] {
            kubectl(
                namespace,
                &["create", "-f", "-"],
                &team(TYPED, name, &bad()),
            )
            .success();
        }
    }
    let _policy = Policy::create(rig, &by_policy).await;
    let door = door(TYPED, &by_webhook, &[]).await;
    let resource = "agentteams.typed.example";
    for (namespace, refusal) in [(&by_policy, BAD_BY_POLICY), (&by_webhook, BAD)] {
        let run = |args: &[&str]| kubectl(namespace, args, &Value::Null);
        let patch =
            |name: &str, patch: &str| run(&["patch", resource, name, "--type=merge", "-p", patch]);
        run(&["label", resource, "kept", "a=b"]).success();
        run(&["annotate", resource, "kept", "example.com/note=x"]).success();
        let status = r#"{"status": {"phase": "Running", "conditions": [{"type": "SkillsValid", "status": "False"}]}}"#;
        run(&[
            "patch",
            resource,
            "kept",
            "--subresource=status",
            "--type=merge",
            "-p",
            status,
        ])
        .success();
        let refused = patch("kept", r#"{"spec": {"lead": {"prompt": "other"}}}"#).stderr;
        assert!(refused.contains(refusal), "{refused}");

        patch(
            "ended",
            r#"{"metadata": {"finalizers": ["example.com/wait"]}}"#,
        )
        .success();
        run(&["delete", resource, "ended", "--wait=false"]).success();
        patch("ended", r#"{"spec": {"lead": {"prompt": "last words"}}}"#).success();
        patch("ended", r#"{"metadata": {"finalizers": null}}"#).success();
        let gone = run(&["get", resource, "ended"]);
        assert!(gone.stderr.contains("NotFound"), "{gone:?}");

        patch("mended", r#"{"spec": {"lead": null, "teammates": null}}"#).success();
        let refused = patch(
            "mended",
            r#"{"spec": {"lead": {"skills": [{"name": "s"}]}}}"#,
        )
        .stderr;
        assert!(refused.contains(EXACTLY_ONE_SOURCE), "{refused}");
    }
    // The annotation is read, so a change of it is judged; by the webhook only.
    let annotate = |name: &str, value: &str| {
        let pair = format!("typed.example/skill-delivery={value}");
        kubectl(
            &by_webhook,
            &["annotate", resource, name, &pair],
            &Value::Null,
        )
    };
    assert!(annotate("kept", "oras").stderr.contains(BAD));
    annotate("mended", "oras").success();
    let refused = kubectl(
        &by_webhook,
        &[
            "annotate",
            "--overwrite",
            resource,
            "mended",
            "typed.example/skill-delivery=pigeon",
        ],
        &Value::Null,
    );
    assert!(
        refused.stderr.contains("InvalidTeam: the annotation typed.example/skill-delivery of AgentTeam mended says \"pigeon\", which is not a delivery mode; it must be oras, puller or image"),
        "{}",
        refused.stderr
    );
    let (_, metrics) = door.get("/metrics").unwrap();
    assert!(
        metrics.contains(r#"decision="denied",reason="InvalidTeam"} 4"#),
        "{metrics}"
    );
}

#[tokio::test]
async fn kubectl_shows_warnings_and_the_team_is_admitted() {
    let rig = Rig::get();
    install(rig);
    let namespace = rig.namespace("warnings", &[]).await;
    let flags = ["--allowed-registries", "ghcr.io/acme/*"];
    let _door = door(TYPED, &namespace, &flags).await;
    let spec = json!({
        "imagePullSecrets": [{"name": "creds"}, {"name": "creds"}],
        "skills": [{"name": "style", "source": {"oci": "ghcr.io/acme/style:v1"}}],
        "lead": {"skills": [{"name": "plan", "source": {"oci": "ghcr.io/acme/plan:latest"}}]},
        "teammates": [{"name": "m", "skills": [{"name": "web", "source": {"oci": "docker.io/x/web:v1"}}, {"name": "again", "source": {"oci": "docker.io/x/web:v1"}}]}],
    });
    let expected = [
        "Pods will be denied, because --allowed-registries does not allow the registries of web (m), again (m)",
        "pulled as :latest, which every release changes: plan (lead); name a release and append @sha256:… to pin",
        "pulled by tag, which may name something else tomorrow: style (every agent), web (m), again (m); append @sha256:… to pin",
        "delivered twice, because the agent has the same source under another name: again (m)",
        "spec.imagePullSecrets names more than once: creds",
        "OCI skills are pulled with ghcr.io/oras-project/oras:v1.2.0, an ORAS with known security holes; have --skill-puller-image set to v1.3.3 or newer",
    ];
    let expected = format!("Warning: {}\n", expected.join("\nWarning: "));
    let object = team(TYPED, "t", &spec);
    let tried = kubectl(
        &namespace,
        &["create", "--dry-run=server", "-f", "-"],
        &object,
    );
    assert_eq!(tried.stderr, expected);
    assert!(tried.success().contains("created (server dry run)"));
    let made = kubectl(&namespace, &["create", "-f", "-"], &object);
    assert_eq!(made.stderr, expected);
    made.success();
    let labelled = kubectl(
        &namespace,
        &["label", "agentteams.typed.example", "t", "a=b"],
        &Value::Null,
    );
    assert_eq!(
        labelled.stderr, "",
        "what does not change is not warned of again"
    );
}

#[tokio::test]
async fn a_webhook_that_is_down_keeps_nobody_from_editing_teams() {
    let rig = Rig::get();
    install(rig);
    let namespace = rig.namespace("down", &[]).await;
    let mut door = door(TYPED, &namespace, &[]).await;
    let bad = team(TYPED, "t", &bad());
    let create = ["create", "-f", "-"];
    assert!(kubectl(&namespace, &create, &bad).stderr.contains(BAD));
    door.signal("KILL");
    door.ends();
    kubectl(&namespace, &create, &bad).success();
}

/// As many agents and skills as our definition allows: the policy's cost stays within the API server's budget.
#[tokio::test]
async fn the_policy_judges_the_largest_team() {
    let rig = Rig::get();
    install(rig);
    let namespace = rig.namespace("large", &[]).await;
    let _policy = Policy::create(rig, &namespace).await;
    let largest = |source: &Value| {
        let skills = |of: &str, count: usize| -> Value {
            (0..count)
                .map(|n| json!({"name": format!("{of}-{n}"), "source": source}))
                .collect()
        };
        let teammates: Vec<_> = (0..64)
            .map(|n| json!({"name": format!("mate-{n}"), "skills": skills("own", 128)}))
            .collect();
        json!({"skills": skills("shared", 32), "lead": {"skills": skills("own", 128)}, "teammates": teammates})
    };
    let client = rig.client().await;
    let good = largest(&json!({"oci": "ghcr.io/x/y:1"}));
    for group in [TYPED, LOOSE] {
        dry_run(&client, group, &namespace, &good).await.unwrap();
    }
    let said = dry_run(&client, TYPED, &namespace, &largest(&json!({})))
        .await
        .unwrap_err();
    assert!(
        said.contains(&format!(
            "{EXACTLY_ONE_SOURCE}: every agent (spec.skills): skill \"shared-0\""
        )),
        "{said}"
    );
    assert!(said.ends_with('…') && said.len() < 1500, "{said}");
}
