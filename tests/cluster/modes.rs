//! Delivery modes `puller` and `image`, through the API server.

use serde_json::{Value, json};

use crate::scene::{Scene, find, pod};

const WEBHOOK_IMAGE: &str = "ghcr.io/example/agentteam-webhook:v1";
const RESTRICTED: [(&str, &str); 1] = [("pod-security.kubernetes.io/enforce", "restricted")];
const PINNED: &str = "ghcr.io/acme/skills/pinned@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn skills() -> Value {
    json!({
        "imagePullSecrets": [{"name": "ghcr-creds"}],
        "skills": [{"name": "style", "source": {"configMap": "style"}}],
        "lead": {"skills": [
            {"name": "web", "source": {"oci": "ghcr.io/acme/skills/web:v1"}},
            {"name": "pinned", "source": {"oci": PINNED}},
        ]},
    })
}

fn by(mode: &str) -> Value {
    let mut pod = pod("t", "lead");
    pod["metadata"]["annotations"] = json!({"kagents.dev/skill-delivery": mode});
    pod
}

/// The Pod as a namespace with Pod Security restricted takes it.
fn restricted(mut pod: Value) -> Value {
    let spec = &mut pod["spec"];
    spec["securityContext"] =
        json!({"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}});
    spec["containers"][0]["securityContext"] =
        json!({"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}});
    pod
}

fn names(list: &Value) -> Vec<&str> {
    let items = list.as_array().map(Vec::as_slice).unwrap_or_default();
    items
        .iter()
        .map(|item| item["name"].as_str().unwrap())
        .collect()
}

/// What the Pod is mounted for its agent, by path.
fn mounted(made: &Value) -> Vec<&str> {
    let mounts = made["spec"]["containers"][0]["volumeMounts"]
        .as_array()
        .unwrap();
    let paths = mounts
        .iter()
        .map(|mount| mount["mountPath"].as_str().unwrap());
    paths
        .filter(|path| path.starts_with("/var/claude-skills/"))
        .collect()
}

const PATHS: [&str; 3] = [
    "/var/claude-skills/style",
    "/var/claude-skills/web",
    "/var/claude-skills/pinned",
];

#[tokio::test]
async fn one_init_container_pulls_all_skills_in_a_restricted_namespace() {
    let flags = ["--webhook-image", WEBHOOK_IMAGE];
    let scene = Scene::in_namespace("mode-puller", &RESTRICTED, &flags).await;
    scene.team("t", "kagents.dev", skills()).await;
    let mut never = restricted(by("puller"));
    never["spec"]["restartPolicy"] = json!("Never");

    let made = scene.create(&never).await.unwrap();

    assert_eq!(names(&made["spec"]["initContainers"]), ["pull-skills"]);
    let puller = &made["spec"]["initContainers"][0];
    assert_eq!(puller["image"], WEBHOOK_IMAGE);
    assert_eq!(
        puller["restartPolicy"], "OnFailure",
        "the server's version was found"
    );
    let pinned = format!("pinned={PINNED}");
    let command = [
        "/agentteam-webhook",
        "pull",
        "--output",
        "/skill-out",
        "--skill",
        "web=ghcr.io/acme/skills/web:v1",
        "--skill",
        &pinned,
        "--termination-log",
        "/dev/termination-log",
    ];
    assert_eq!(puller["command"], json!(command));
    for skill in ["web", "pinned"] {
        let volume = format!("skill-{skill}");
        let output = find(&puller["volumeMounts"], &volume);
        assert_eq!(output["mountPath"], format!("/skill-out/{skill}"));
        assert!(find(&made["spec"]["volumes"], &volume)["emptyDir"].is_object());
    }
    assert_eq!(
        find(&puller["volumeMounts"], "pull-skills-no-token")["mountPath"],
        "/var/run/secrets/kubernetes.io/serviceaccount"
    );
    assert_eq!(names(&puller["volumeMounts"]).len(), 5, "and no token");
    assert_eq!(mounted(&made), PATHS);
    assert_eq!(made["spec"]["imagePullSecrets"][0]["name"], "ghcr-creds");

    // A controller makes another Pod of what came out, when the team has gained a skill.
    let mut more = skills();
    let list = more["lead"]["skills"].as_array_mut().unwrap();
    list.push(json!({"name": "late", "source": {"oci": "ghcr.io/acme/skills/late:v1"}}));
    scene.apply(&json!({"apiVersion": "kagents.dev/v1alpha1", "kind": "AgentTeam", "metadata": {"name": "t"}, "spec": more}));
    let mut again = never.clone();
    again["spec"] = made["spec"].clone();
    let made = scene
        .create_when(&again, |made| mounted(made).len() == 4)
        .await;
    assert_eq!(
        names(&made["spec"]["initContainers"]),
        ["pull-skills-2", "pull-skills"]
    );
    assert_eq!(
        made["spec"]["initContainers"][1],
        again["spec"]["initContainers"][0]
    );
}

/// The team says it, and no Pod can say otherwise.
#[tokio::test]
async fn where_a_team_asks_for_signatures_only_pods_whose_skills_are_checked_are_let_in() {
    let flags = ["--webhook-image", WEBHOOK_IMAGE];
    let scene = Scene::in_namespace("mode-signed", &RESTRICTED, &flags).await;
    let annotations =
        json!({"kagents.dev/skill-delivery": "puller", "kagents.dev/skill-verify-key": "signers"});
    scene.apply(&json!({"apiVersion": "kagents.dev/v1alpha1", "kind": "AgentTeam", "metadata": {"name": "t", "annotations": annotations}, "spec": skills()}));
    let of_the_team = restricted(pod("t", "lead"));

    let made = scene
        .create_when(&of_the_team, |made| {
            !made["spec"]["initContainers"].is_null()
        })
        .await;

    let puller = &made["spec"]["initContainers"][0];
    let file = "/etc/agentteam-webhook/verify-key/signers/cosign.pub";
    let command = puller["command"].as_array().unwrap();
    assert!(
        command
            .windows(2)
            .any(|pair| pair == ["--verify-key", file]),
        "{command:?}"
    );
    let mount = find(&puller["volumeMounts"], "pull-skills-key");
    assert_eq!(
        mount["mountPath"],
        "/etc/agentteam-webhook/verify-key/signers"
    );
    assert_eq!(mount["readOnly"], true);
    let keys = &find(&made["spec"]["volumes"], "pull-skills-key")["configMap"];
    assert_eq!(
        (&keys["name"], &keys["optional"]),
        (&json!("signers"), &json!(true))
    );
    // What came out is let in again, with the server's own defaults in it.
    let mut again = of_the_team.clone();
    again["spec"] = made["spec"].clone();
    let same = scene.create(&again).await.unwrap();
    assert_eq!(
        same["spec"]["initContainers"],
        made["spec"]["initContainers"]
    );

    let asks = "SignaturesUnchecked: AgentTeam t asks by the annotation kagents.dev/skill-verify-key for signatures to be checked, and ";
    for mode in ["oras", "image"] {
        let mut other = restricted(by(mode));
        other["metadata"]["annotations"]["kagents.dev/skill-verify-key"] = json!("");
        let denied = scene.create(&other).await.unwrap_err().to_string();
        let expected = format!("{asks}delivery {mode} does not check them; use delivery puller");
        assert!(denied.contains(&expected), "{denied}");
    }
    let mut own_keys = again.clone();
    for volume in own_keys["spec"]["volumes"].as_array_mut().unwrap() {
        if volume["name"] == "pull-skills-key" {
            volume["configMap"]["name"] = json!("mine");
        }
    }
    let denied = scene.create(&own_keys).await.unwrap_err().to_string();
    let expected =
        format!("{asks}volume pull-skills-key, which is in the Pod already, has other keys");
    assert!(denied.contains(&expected), "{denied}");
}

#[tokio::test]
async fn an_image_is_mounted_as_a_volume_without_an_init_container() {
    let scene = Scene::in_namespace("mode-image", &RESTRICTED, &[]).await;
    scene.team("t", "kagents.dev", skills()).await;

    let made = scene.create(&restricted(by("image"))).await.unwrap();

    assert!(made["spec"]["initContainers"].is_null());
    assert!(find(&made["spec"]["volumes"], "skill-auth").is_null());
    let image = |name: &str| find(&made["spec"]["volumes"], name)["image"].clone();
    assert_eq!(
        image("skill-web"),
        json!({"reference": "ghcr.io/acme/skills/web:v1", "pullPolicy": "Always"})
    );
    assert_eq!(
        image("skill-pinned"),
        json!({"reference": PINNED, "pullPolicy": "IfNotPresent"})
    );
    assert_eq!(mounted(&made), PATHS);
    assert_eq!(made["spec"]["imagePullSecrets"][0]["name"], "ghcr-creds");
}

#[tokio::test]
async fn the_pod_chooses_before_the_team_and_the_team_before_the_flag() {
    let flags = [
        "--webhook-image",
        WEBHOOK_IMAGE,
        "--skill-delivery",
        "image",
    ];
    let scene = Scene::new("mode-choice", &flags).await;
    scene.team("t", "kagents.dev", skills()).await;
    let mode = |made: &Value| {
        let record = made["metadata"]["annotations"]["kagents.dev/skills"].as_str();
        let record: Value = serde_json::from_str(record.unwrap()).unwrap();
        record["delivery"].as_str().unwrap().to_owned()
    };

    let by_flag = scene.create(&pod("t", "lead")).await.unwrap();
    assert_eq!(mode(&by_flag), "image");
    assert!(by_flag["spec"]["initContainers"].is_null());

    let annotate = [
        "annotate",
        "-n",
        &scene.namespace,
        "agentteams.kagents.dev",
        "t",
    ];
    let annotation = "kagents.dev/skill-delivery=puller";
    scene
        .rig
        .kubectl(&[&annotate[..], &[annotation]].concat(), "")
        .success();
    let by_team = scene
        .create_when(&pod("t", "lead"), |made| mode(made) == "puller")
        .await;
    assert_eq!(names(&by_team["spec"]["initContainers"]), ["pull-skills"]);

    let by_pod = scene.create(&by("oras")).await.unwrap();
    assert_eq!(mode(&by_pod), "oras");
    assert_eq!(
        names(&by_pod["spec"]["initContainers"]),
        ["pull-skill-web", "pull-skill-pinned"]
    );
    for made in [by_flag, by_team, by_pod] {
        assert_eq!(mounted(&made), PATHS);
        assert_eq!(
            find(&made["spec"]["volumes"], "skill-style")["configMap"]["name"],
            "style"
        );
    }
}

/// What the kubelet of 1.36.3 says with containerd 2.3 of an artifact that `oras push` made.
#[tokio::test]
async fn an_artifact_that_is_no_image_is_told_on_the_team_with_what_to_do() {
    let scene = Scene::new("mode-mount", &["--controller"]).await;
    let skill = json!({"name": "web", "source": {"oci": "ghcr.io/acme/skills/web:v1"}});
    scene
        .team("t", "kagents.dev", json!({"lead": {"skills": [skill]}}))
        .await;
    let mut named = by("image");
    named["metadata"]["name"] = json!("agent");
    scene.create(&named).await.unwrap();
    let words = "failed to mount image volume: ImageVolumeMountFailed: failed to unpack image volume: mismatched image rootfs and manifest layers";
    let waiting = json!({"waiting": {"reason": "CreateContainerError", "message": words}});
    scene.kubelet_says(
        "agent",
        &json!({"phase": "Pending", "containerStatuses": [{"name": "agent", "image": "agent:1", "imageID": "",
            "ready": false, "restartCount": 0, "state": waiting}]}),
    );

    let condition = scene
        .condition("SkillsDelivered", |condition| {
            condition["status"] == "False"
        })
        .await;

    assert_eq!(condition["reason"], "PullsFailing");
    assert_eq!(
        condition["message"],
        "1 of 1 Pods cannot get their skills: agent: skill web: it was pushed with oras and cannot be mounted; use delivery oras or puller"
    );
}
