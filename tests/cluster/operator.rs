//! Pods exactly as the original operator makes them, of both its versions.

use serde_json::{Value, json};

use crate::scene::{Scene, find};

/// What both versions make, but for the group and the skills.
fn operator_pod(group: &str, app: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "market-research-researcher",
            "labels": {
                "app.kubernetes.io/name": app,
                "app.kubernetes.io/instance": "market-research",
                "app.kubernetes.io/component": "researcher",
                (format!("{group}/team")): "market-research",
                (format!("{group}/role")): "teammate",
            },
        },
        "spec": {
            "restartPolicy": "Never",
            "containers": [{
                "name": "claude-code",
                "image": "ghcr.io/example/claude-code-runner:latest",
                "env": [{"name": "CLAUDE_CODE_AGENT_NAME", "value": "researcher"}],
                "volumeMounts": [{"name": "team-state", "mountPath": "/var/claude-state"}],
            }],
            "volumes": [{"name": "team-state", "persistentVolumeClaim": {"claimName": "market-research-team-state"}}],
        },
    })
}

fn sample() -> Value {
    json!({
        "workspace": {"output": {"mountPath": "/workspace/output", "size": "1Gi"}},
        "auth": {"apiKeySecret": "anthropic-api-key"},
        "imagePullSecrets": [{"name": "ghcr-creds"}],
        "lead": {"model": "opus", "prompt": "Coordinate."},
        "teammates": [{
            "name": "researcher", "model": "sonnet", "prompt": "Research.",
            "skills": [
                {"name": "web-research", "source": {"oci": "ghcr.io/example/skills/web-research:v1"}},
                {"name": "report-writing", "source": {"oci": "ghcr.io/example-internal/skills/report-writing:v3"}},
            ],
            "outputs": [{"path": "/workspace/output/findings.md"}],
        }],
    })
}

/// Version 0.7 ignores `oci`: beside it, unmodified, its Pods get their OCI skills.
#[tokio::test]
async fn a_pod_of_version_0_7_gets_its_oci_skills() {
    let group = "claude.amcheste.io";
    let scene = Scene::new("operator-07", &["--api-group", group]).await;
    scene.team("market-research", group, sample()).await;

    let made = scene
        .create(&operator_pod(group, "claude-teams-operator"))
        .await
        .unwrap();

    for skill in ["web-research", "report-writing"] {
        let puller = find(
            &made["spec"]["initContainers"],
            &format!("pull-skill-{skill}"),
        );
        assert_eq!(
            puller["restartPolicy"], "OnFailure",
            "a failed pull must not fail a Never Pod for good"
        );
        assert_eq!(
            find(&puller["env"], "DOCKER_CONFIG")["value"],
            "/auth/.docker"
        );
        let mount = find(
            &made["spec"]["containers"][0]["volumeMounts"],
            &format!("skill-{skill}"),
        );
        assert_eq!(mount["mountPath"], format!("/var/claude-skills/{skill}"));
    }
    assert_eq!(
        find(&made["spec"]["volumes"], "skill-auth")["secret"]["secretName"],
        "ghcr-creds"
    );
    assert_eq!(
        made["spec"]["imagePullSecrets"],
        json!([{"name": "ghcr-creds"}])
    );
}

/// Version 0.8 injects for itself: what it made stays exactly as it is.
#[tokio::test]
async fn a_pod_of_version_0_8_is_left_alone() {
    let scene = Scene::new("operator-08", &[]).await;
    scene.team("market-research", "kagents.dev", sample()).await;
    let mut pod = operator_pod("kagents.dev", "kagents");
    pod["spec"]["imagePullSecrets"] = json!([{"name": "ghcr-creds"}]);
    let mut pullers = Vec::new();
    for (skill, repository) in [
        ("web-research", "example/skills/web-research:v1"),
        (
            "report-writing",
            "example-internal/skills/report-writing:v3",
        ),
    ] {
        let volume = format!("skill-{skill}");
        pod["spec"]["volumes"]
            .as_array_mut()
            .unwrap()
            .push(json!({"name": volume, "emptyDir": {}}));
        pod["spec"]["containers"][0]["volumeMounts"].as_array_mut().unwrap()
            .push(json!({"name": volume, "mountPath": format!("/var/claude-skills/{skill}"), "readOnly": true}));
        pullers.push(json!({
            "name": format!("pull-skill-{skill}"),
            "image": "ghcr.io/oras-project/oras:v1.2.0",
            "command": ["oras", "pull", "--output", "/skill-out", format!("ghcr.io/{repository}")],
            "env": [{"name": "DOCKER_CONFIG", "value": "/auth/.docker"}],
            "volumeMounts": [
                {"name": volume, "mountPath": "/skill-out"},
                {"name": "skill-auth", "mountPath": "/auth/.docker", "readOnly": true},
            ],
        }));
    }
    pod["spec"]["initContainers"] = json!(pullers);
    pod["spec"]["volumes"].as_array_mut().unwrap().push(json!({"name": "skill-auth", "secret": {
        "secretName": "ghcr-creds", "items": [{"key": ".dockerconfigjson", "path": "config.json"}]}}));

    let made = scene.create(&pod).await.unwrap();

    let metrics = scene.metrics();
    assert!(
        metrics.contains(r#"admission_requests_total{decision="unchanged",reason=""} 1"#),
        "{metrics}"
    );
    assert_eq!(made["spec"]["initContainers"].as_array().unwrap().len(), 2);
    assert!(made["metadata"]["annotations"].is_null());
    for (puller, before) in made["spec"]["initContainers"]
        .as_array()
        .unwrap()
        .iter()
        .zip(&pullers)
    {
        assert_eq!(puller["command"], before["command"]);
        assert!(puller["restartPolicy"].is_null() && puller["securityContext"].is_null());
    }
}
