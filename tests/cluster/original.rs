//! The five cases that the original operator's tests name, through the API server.

use serde_json::json;

use crate::scene::{Scene, find, pod};

#[tokio::test]
async fn oci_skill_becomes_an_empty_dir_and_an_init_container() {
    let scene = Scene::new("oci-skill", &[]).await;
    scene
        .team(
            "oci-skills",
            "kagents.dev",
            json!({"teammates": [{"name": "worker", "skills": [
        {"name": "web-research", "source": {"oci": "ghcr.io/acme/skills/web-research:v1"}}]}]}),
        )
        .await;

    let made = scene.create(&pod("oci-skills", "worker")).await.unwrap();

    let volume = find(&made["spec"]["volumes"], "skill-web-research");
    assert!(volume["emptyDir"].is_object(), "{volume}");
    assert!(volume["configMap"].is_null());
    let puller = find(&made["spec"]["initContainers"], "pull-skill-web-research");
    assert_eq!(puller["image"], "ghcr.io/oras-project/oras:v1.2.0");
    let command = [
        "oras",
        "pull",
        "--no-tty",
        "--output",
        "/skill-out",
        "ghcr.io/acme/skills/web-research:v1",
    ];
    assert_eq!(puller["command"], json!(command));
    let output = find(&puller["volumeMounts"], "skill-web-research");
    assert_eq!(
        (&output["mountPath"], &output["readOnly"]),
        (&json!("/skill-out"), &json!(null))
    );
    let mount = find(
        &made["spec"]["containers"][0]["volumeMounts"],
        "skill-web-research",
    );
    assert_eq!(mount["mountPath"], "/var/claude-skills/web-research");
    assert_eq!(mount["readOnly"], true);
    // No registry credentials were given, so there are none.
    assert!(find(&puller["env"], "DOCKER_CONFIG").is_null());
    assert!(find(&made["spec"]["volumes"], "skill-auth").is_null());
}

#[tokio::test]
async fn private_registry_gets_docker_config_and_the_secret_volume() {
    let scene = Scene::new("private", &[]).await;
    scene
        .team(
            "oci-private",
            "kagents.dev",
            json!({
        "imagePullSecrets": [{"name": "ghcr-creds"}],
        "teammates": [{"name": "worker", "skills": [
            {"name": "internal", "source": {"oci": "ghcr.io/acme-internal/skills/secret:v3"}}]}]}),
        )
        .await;

    let made = scene.create(&pod("oci-private", "worker")).await.unwrap();

    assert_eq!(
        made["spec"]["imagePullSecrets"],
        json!([{"name": "ghcr-creds"}])
    );
    let volume = find(&made["spec"]["volumes"], "skill-auth");
    assert_eq!(volume["secret"]["secretName"], "ghcr-creds");
    assert_eq!(
        volume["secret"]["items"],
        json!([{"key": ".dockerconfigjson", "path": "config.json"}])
    );
    let puller = find(&made["spec"]["initContainers"], "pull-skill-internal");
    assert_eq!(
        find(&puller["env"], "DOCKER_CONFIG")["value"],
        "/auth/.docker"
    );
    let mount = find(&puller["volumeMounts"], "skill-auth");
    assert_eq!(
        (&mount["mountPath"], &mount["readOnly"]),
        (&json!("/auth/.docker"), &json!(true))
    );
    let agent = &made["spec"]["containers"][0];
    assert!(
        find(&agent["volumeMounts"], "skill-auth").is_null(),
        "credentials are the puller's alone"
    );
}

#[tokio::test]
async fn config_map_skill_is_projected_unchanged() {
    let scene = Scene::new("config-map", &[]).await;
    scene
        .team(
            "cm-skills",
            "kagents.dev",
            json!({"teammates": [{"name": "worker", "skills": [
        {"name": "report-writing", "source": {"configMap": "report-skill"}}]}]}),
        )
        .await;

    let made = scene.create(&pod("cm-skills", "worker")).await.unwrap();

    assert_eq!(
        find(&made["spec"]["volumes"], "skill-report-writing")["configMap"]["name"],
        "report-skill"
    );
    let mount = find(
        &made["spec"]["containers"][0]["volumeMounts"],
        "skill-report-writing",
    );
    assert_eq!(mount["mountPath"], "/var/claude-skills/report-writing");
    assert!(
        made["spec"]["initContainers"].is_null(),
        "a ConfigMap needs no puller"
    );
}

#[tokio::test]
async fn both_kinds_on_one_agent() {
    let scene = Scene::new("mixed", &[]).await;
    scene
        .team(
            "mixed-skills",
            "kagents.dev",
            json!({"teammates": [{"name": "worker", "skills": [
        {"name": "config-skill", "source": {"configMap": "cm"}},
        {"name": "oci-skill", "source": {"oci": "ghcr.io/x/y:1"}}]}]}),
        )
        .await;

    let made = scene.create(&pod("mixed-skills", "worker")).await.unwrap();

    assert!(find(&made["spec"]["volumes"], "skill-config-skill")["configMap"].is_object());
    assert!(find(&made["spec"]["volumes"], "skill-oci-skill")["emptyDir"].is_object());
    let pullers = made["spec"]["initContainers"].as_array().unwrap();
    assert_eq!(pullers.len(), 1);
    assert_eq!(pullers[0]["name"], "pull-skill-oci-skill");
}

#[tokio::test]
async fn skill_puller_image_is_settable() {
    let scene = Scene::new(
        "image",
        &["--skill-puller-image", "my-mirror.example.com/oras:v1.2.0"],
    )
    .await;
    scene
        .team(
            "override-image",
            "kagents.dev",
            json!({"teammates": [{"name": "worker", "skills": [
        {"name": "x", "source": {"oci": "ghcr.io/x/x:1"}}]}]}),
        )
        .await;

    let made = scene
        .create(&pod("override-image", "worker"))
        .await
        .unwrap();

    let puller = find(&made["spec"]["initContainers"], "pull-skill-x");
    assert_eq!(puller["image"], "my-mirror.example.com/oras:v1.2.0");
}
