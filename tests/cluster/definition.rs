//! The CustomResourceDefinition in `manifests/`: accepted, and each of its rules shown to reject.

use serde_json::{Value, json};

use crate::scene::Scene;

fn skill(name: &str, source: Value) -> Value {
    json!({"name": name, "source": source})
}

#[tokio::test]
async fn each_rule_rejects_what_it_is_for() {
    let scene = Scene::bare("rules").await;
    let cm = || json!({"configMap": "cm"});
    let exactly_one = "skill source must set exactly one of configMap or oci";
    let lead = |skills: Value| json!({"lead": {"skills": skills}});
    let mate = |skills: Value| json!({"teammates": [{"name": "a", "skills": skills}]});
    let cases = [
        (
            lead(json!([skill("s", json!({}))])),
            "spec.lead.skills[0].source: Invalid value",
            exactly_one,
        ),
        (
            lead(json!([skill(
                "s",
                json!({"configMap": "c", "oci": "g.io/x:1"})
            )])),
            "spec.lead.skills[0].source",
            exactly_one,
        ),
        (
            lead(json!([skill("s", json!({"configMap": "", "oci": ""}))])),
            "spec.lead.skills[0].source",
            exactly_one,
        ),
        (
            mate(json!([skill("s", json!({}))])),
            "spec.teammates[0].skills[0].source",
            exactly_one,
        ),
        (
            json!({"skills": [skill("s", json!({"configMap": "c", "oci": "g.io/x:1"}))]}),
            "spec.skills[0].source",
            exactly_one,
        ),
        (
            lead(json!([skill("A_b", cm())])),
            "spec.lead.skills[0].name",
            "should match '^[a-z0-9]([a-z0-9-]*[a-z0-9])?$'",
        ),
        (
            lead(json!([skill("../x", cm())])),
            "spec.lead.skills[0].name",
            "should match",
        ),
        (
            lead(json!([skill(&"x".repeat(65), cm())])),
            "spec.lead.skills[0].name",
            "may not be more than 64",
        ),
        (
            lead(json!([skill("", cm())])),
            "spec.lead.skills[0].name",
            "should be at least 1 chars long",
        ),
        (
            json!({"teammates": [{"name": "A"}]}),
            "spec.teammates[0].name",
            "should match",
        ),
        (
            json!({"teammates": [{"name": "a"}, {"name": "a"}]}),
            "spec.teammates[1]",
            "Duplicate value",
        ),
        (
            json!({"teammates": [{"name": "lead"}]}),
            "spec.teammates[0]",
            "a teammate must not be named lead",
        ),
        (
            lead(json!([skill("s", cm()), skill("s", cm())])),
            "spec.lead.skills[1]",
            "Duplicate value",
        ),
        (
            mate(json!([skill("s", cm()), skill("s", cm())])),
            "spec.teammates[0].skills[1]",
            "Duplicate value",
        ),
        (
            json!({"skills": [skill("s", cm()), skill("s", cm())]}),
            "spec.skills[1]",
            "Duplicate value",
        ),
        (
            json!({"skills": [skill("s", cm())], "lead": {"skills": [skill("s", cm())]}}),
            "spec: Invalid value",
            "a skill of spec.lead must not have the name of a skill of spec.skills",
        ),
        (
            json!({"skills": [skill("s", cm())], "teammates": [{"name": "a", "skills": [skill("s", cm())]}]}),
            "spec: Invalid value",
            "a skill of a teammate must not have the name of a skill of spec.skills",
        ),
    ];
    for (spec, place, problem) in cases {
        let error = scene
            .try_team("t", "kagents.dev", &spec)
            .await
            .unwrap_err()
            .to_string();
        assert!(
            error.contains(place) && error.contains(problem),
            "{spec}\n{error}"
        );
    }
}

#[tokio::test]
async fn what_is_legal_is_stored_with_all_that_others_keep_in_it() {
    let scene = Scene::bare("preserve").await;
    let spec = json!({
        "auth": {"apiKeySecret": "key"}, "workspace": {"output": {"size": "1Gi"}}, "unheardOf": [1, {"a": null}],
        "imagePullSecrets": [{"name": "creds", "future": true}],
        "skills": [{"name": "shared", "source": {"configMap": "cm", "git": "later"}, "version": 2}],
        "lead": {"prompt": "x", "model": "opus", "skills": [{"name": "a", "source": {"configMap": null, "oci": "g.io/x:1"}}]},
        "teammates": [{"name": "mate", "dependsOn": ["x"], "skills": [{"name": "b", "source": {"configMap": "", "oci": "g.io/x:1"}}]}],
    });
    let made = scene.try_team("t", "kagents.dev", &spec).await.unwrap();
    assert_eq!(made["spec"], spec);
    scene
        .try_team("empty", "kagents.dev", &json!({}))
        .await
        .unwrap();

    let status = r#"{"status": {"phase": "Running", "conditions": [{"type": "SkillsValid", "status": "True", "reason": "Valid", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"}]}}"#;
    scene
        .rig
        .kubectl(
            &[
                "patch",
                "agentteams.kagents.dev",
                "t",
                "-n",
                &scene.namespace,
                "--subresource=status",
                "--type=merge",
                "-p",
                status,
            ],
            "",
        )
        .success();
    let shown = scene
        .rig
        .kubectl(
            &["get", "agentteams.kagents.dev", "t", "-n", &scene.namespace],
            "",
        )
        .success();
    assert!(
        shown.starts_with("NAME   SKILLS VALID   SKILLS DELIVERED   AGE\nt      True "),
        "{shown}"
    );
    let phase = scene
        .rig
        .kubectl(
            &[
                "get",
                "agentteams.kagents.dev",
                "t",
                "-n",
                &scene.namespace,
                "-o",
                "jsonpath={.status.phase}",
            ],
            "",
        )
        .success();
    assert_eq!(phase, "Running", "what another controller writes stays");
}

/// `kubectl explain` shows what each field is for.
#[tokio::test]
async fn the_fields_are_explained() {
    let scene = Scene::bare("explain").await;
    let said = scene
        .rig
        .kubectl(&["explain", "agentteams.spec.lead.skills.source.oci"], "")
        .success();
    assert!(
        said.contains("An OCI artifact with its registry host"),
        "{said}"
    );
}

/// The API server bounds what a rule may cost: the largest team that the definition allows must be within that.
#[tokio::test]
async fn the_largest_team_can_be_judged() {
    let scene = Scene::bare("largest").await;
    let skills = |prefix: &str, count: usize| -> Vec<Value> {
        let name = |number| format!("{prefix}-{number:0width$}", width = 63 - prefix.len());
        (0..count)
            .map(|number| skill(&name(number), json!({"configMap": "c"})))
            .collect()
    };
    let agent = |number: usize| json!({"name": format!("a{number}"), "skills": skills("own", 128)});
    let mut spec = json!({
        "skills": skills("shared", 32),
        "lead": {"skills": skills("own", 128)},
        "teammates": (0..64).map(agent).collect::<Vec<_>>(),
    });
    scene.try_team("t", "kagents.dev", &spec).await.unwrap();
    spec["teammates"][63]["skills"][127]["name"] = spec["skills"][31]["name"].clone();
    let error = scene
        .try_team("u", "kagents.dev", &spec)
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("a skill of a teammate must not have the name of a skill of spec.skills"),
        "{error}"
    );
}
