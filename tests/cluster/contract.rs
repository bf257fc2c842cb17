//! The rest of the contract with a Pod, as the API server and kubectl show it.

use std::time::Duration;

use serde_json::{Value, json};

use crate::scene::{Scene, find, pod};

const OCI: &str = "ghcr.io/acme/skills/web-research:v1";

fn one_oci_skill() -> Value {
    json!({"lead": {"skills": [{"name": "web-research", "source": {"oci": OCI}}]}})
}

/// What kubectl prints when `pod` is created.
fn kubectl_create(scene: &Scene, pod: &Value) -> String {
    let output = scene.rig.kubectl(
        &["create", "-n", &scene.namespace, "-f", "-"],
        &pod.to_string(),
    );
    assert!(
        !output.status.success(),
        "{} {}",
        output.stdout,
        output.stderr
    );
    output.stderr
}

#[tokio::test]
async fn every_denial_reaches_the_person_as_a_sentence() {
    let scene = Scene::new("denials", &["--allowed-registries", "ghcr.io/acme/*"]).await;
    // The API server holds back what its own schema forbids, so only what passes that can be tried here.
    scene.team("t", "kagents.dev", json!({
        "skills": [{"name": "shared", "source": {"configMap": "shared"}}],
        "lead": {"skills": [{"name": "web-research", "source": {"oci": OCI}}]},
        "teammates": [
            {"name": "elsewhere", "skills": [{"name": "s", "source": {"oci": "docker.io/library/s:1"}}]},
            {"name": "reference", "skills": [{"name": "s", "source": {"oci": "$(TOKEN)"}}]},
            {"name": "config-map", "skills": [{"name": "s", "source": {"configMap": "A/b"}}]},
        ],
    })).await;
    let namespace = &scene.namespace;
    let with = |change: &dyn Fn(&mut Value)| {
        let mut pod = pod("t", "lead");
        change(&mut pod);
        pod
    };
    let agent = |name: &str| pod("t", name);
    let label = |key: &'static str, value: &'static str| {
        with(&move |pod| pod["metadata"]["labels"][key] = json!(value))
    };
    let annotation = |key: &'static str, value: &'static str| {
        with(&move |pod| pod["metadata"]["annotations"] = json!({(key): value}))
    };
    let cases = [
        (pod("nowhere", "lead"), format!("TeamNotFound: there is no AgentTeam nowhere in namespace {namespace}; create it, correct the label kagents.dev/agent-team, or opt out with the label kagents.dev/inject: \"false\"")),
        (agent("nobody"), "AgentNotFound: AgentTeam t has no agent \"nobody\" (from the label kagents.dev/agent); it has lead, elsewhere, reference and config-map; correct the label kagents.dev/agent, or opt out with the label kagents.dev/inject: \"false\"".into()),
        (with(&|pod| { pod["metadata"]["labels"] = json!({"kagents.dev/team": "t"}); }), "AgentNotNamed: the Pod names AgentTeam t but none of its agents; add the label kagents.dev/agent with one of lead, elsewhere, reference and config-map, or opt out with the label kagents.dev/inject: \"false\"".into()),
        (with(&|pod| { pod["metadata"]["labels"] = json!({"kagents.dev/team": "t", "app.kubernetes.io/component": "helper"}); }), "AgentNotFound: AgentTeam t has no agent \"helper\" (from the label app.kubernetes.io/component); it has".into()),
        (label("kagents.dev/team", "other"), "TeamLabelsDiffer: the labels kagents.dev/agent-team: \"t\" and kagents.dev/team: \"other\" name different AgentTeams; keep one of them".into()),
        (agent("elsewhere"), "RegistryNotAllowed: skill s: docker.io/library/s:1 is not in an allowed registry; the allowed ones are set by --allowed-registries".into()),
        (agent("reference"), "InvalidSkill: agent reference of AgentTeam t: skill \"s\": source.oci \"$(TOKEN)\" has the character '$', which no reference has; write it as registry.example/org/skill:v1; mend the team".into()),
        (agent("config-map"), "InvalidSkill: agent config-map of AgentTeam t: skill \"s\": source.configMap \"A/b\" is not the name of a ConfigMap; mend the team".into()),
        (annotation("kagents.dev/skill-delivery", "pigeon"), "UnknownDelivery: the annotation kagents.dev/skill-delivery of the Pod says \"pigeon\", which is not a delivery mode; it must be oras, puller or image".into()),
        (annotation("kagents.dev/skill-delivery", "puller"), "DeliveryUnavailable: delivery puller needs the image of agentteam-webhook itself, which this server was not told; set --webhook-image, or use oras".into()),
        (annotation("kagents.dev/skill-container", "x"), "ContainerNotFound: the annotation kagents.dev/skill-container names container \"x\", but the Pod has agent; correct the annotation".into()),
        (with(&|pod| pod["spec"]["containers"] = json!([{"name": "a", "image": "a:1"}, {"name": "b", "image": "b:1"}])), "AmbiguousContainer: the Pod has the containers a and b and it is not said which of them is the agent's; name it with the annotation kagents.dev/skill-container".into()),
        (with(&|pod| pod["spec"]["os"] = json!({"name": "windows"})), "WindowsPod: the Pod runs on Windows, where skills cannot be delivered; opt out with the label kagents.dev/inject: \"false\"".into()),
        (with(&|pod| pod["spec"]["volumes"] = json!([{"name": "skill-web-research", "configMap": {"name": "x"}}])), "VolumeConflict: the Pod has a volume skill-web-research of kind \"configMap\", where skills need one of kind emptyDir; rename the Pod's volume".into()),
        (with(&|pod| {
            pod["spec"]["volumes"] = json!([{"name": "data", "emptyDir": {}}]);
            pod["spec"]["containers"][0]["volumeMounts"] = json!([{"name": "data", "mountPath": "/var/claude-skills/shared/x"}]);
        }), "MountConflict: container agent has volume \"data\" mounted at \"/var/claude-skills/shared/x\", at or below /var/claude-skills/shared, where skill shared goes; mount it elsewhere".into()),
    ];
    for (pod, sentence) in cases {
        let said = kubectl_create(&scene, &pod);
        assert!(
            said.contains(&format!("denied the request: {sentence}")),
            "{said}\n{sentence}"
        );
        let word = sentence.split(':').next().unwrap();
        assert!(
            said.starts_with(&format!("Error from server ({word})")),
            "{said}"
        );
    }
    let pods = scene
        .rig
        .kubectl(&["get", "pods", "-n", namespace, "-o", "name"], "")
        .success();
    assert_eq!(pods, "", "a denied Pod is not there");
}

#[tokio::test]
async fn denials_of_digests_secrets_and_names_reach_the_person_too() {
    let scene = Scene::new("more-denials", &["--require-digest"]).await;
    scene.team("t", "kagents.dev", one_oci_skill()).await;
    let pinned = json!({"imagePullSecrets": [{"name": "A/b"}], "lead": {"skills": [{"name": "web-research",
        "source": {"oci": format!("ghcr.io/acme/skills/web-research@sha256:{}", "0".repeat(64))}}]}});
    scene.team("secret", "kagents.dev", pinned).await;
    let mut impossible = pod("t", "lead");
    impossible["metadata"]["labels"]["kagents.dev/agent-team"] = json!("Not_a-Team");
    for (pod, sentence) in [
        (
            pod("t", "lead"),
            "DigestRequired: skill web-research: ghcr.io/acme/skills/web-research:v1 names a tag, but digests are required here; append @sha256:…",
        ),
        (
            pod("secret", "lead"),
            "InvalidPullSecret: AgentTeam secret: spec.imagePullSecrets names \"A/b\", which is not the name of a Secret; mend the team",
        ),
        (
            impossible,
            "InvalidTeamName: the label kagents.dev/agent-team says \"Not_a-Team\", which cannot be the name of an AgentTeam; give the name of one in the Pod's own namespace, without the namespace",
        ),
    ] {
        let said = kubectl_create(&scene, &pod);
        assert!(
            said.contains(&format!("denied the request: {sentence}")),
            "{said}\n{sentence}"
        );
    }
}

#[tokio::test]
async fn a_restricted_namespace_admits_the_pod() {
    let enforce = [("pod-security.kubernetes.io/enforce", "restricted")];
    let scene = Scene::in_namespace(
        "restricted",
        &enforce,
        &["--registry-ca-config-map", "corporate-ca"],
    )
    .await;
    scene
        .team(
            "t",
            "kagents.dev",
            json!({
        "imagePullSecrets": [{"name": "one"}, {"name": "two"}],
        "lead": {"skills": [
            {"name": "a", "source": {"oci": "ghcr.io/x/a:1"}},
            {"name": "b", "source": {"configMap": "b"}}]}}),
        )
        .await;
    let mut pod = pod("t", "lead");
    pod["spec"]["securityContext"] = json!({"runAsNonRoot": true, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}});
    pod["spec"]["containers"][0]["securityContext"] =
        json!({"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}});

    let made = scene.create(&pod).await.unwrap();

    let puller = find(&made["spec"]["initContainers"], "pull-skill-a");
    assert_eq!(
        puller["securityContext"]["runAsUser"], 1000,
        "as the agent's, so that it can read what was pulled"
    );
    let sources = &find(&made["spec"]["volumes"], "skill-auth")["projected"]["sources"];
    let names: Vec<_> = sources
        .as_array()
        .unwrap()
        .iter()
        .map(|source| &source["secret"]["name"])
        .collect();
    assert_eq!(names, ["one", "two"], "every pull secret is projected");
    assert_eq!(
        made["spec"]["imagePullSecrets"],
        json!([{"name": "one"}, {"name": "two"}])
    );
    assert_eq!(
        find(&puller["env"], "SSL_CERT_DIR")["value"],
        "/etc/agentteam-webhook/ca"
    );

    // The namespace does refuse what is not restricted: the Pod as it is, without what makes it so.
    pod["metadata"]["labels"] = json!({});
    pod["spec"]["containers"][0]["securityContext"] = json!({});
    assert!(
        scene
            .create(&pod)
            .await
            .unwrap_err()
            .to_string()
            .contains("violates PodSecurity")
    );
}

#[tokio::test]
async fn no_token_is_mounted_into_a_puller() {
    let scene = Scene::new("token", &[]).await;
    scene.team("t", "kagents.dev", one_oci_skill()).await;

    let made = scene.create(&pod("t", "lead")).await.unwrap();

    let at_token_path = |container: &Value| -> Vec<String> {
        let mounts = container["volumeMounts"].as_array().unwrap().iter();
        let there = mounts
            .filter(|mount| mount["mountPath"] == "/var/run/secrets/kubernetes.io/serviceaccount");
        there
            .map(|mount| mount["name"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(
        at_token_path(&made["spec"]["initContainers"][0]),
        ["pull-skills-no-token"]
    );
    assert!(find(&made["spec"]["volumes"], "pull-skills-no-token")["emptyDir"].is_object());
    // The agent's own token is its own affair.
    assert!(at_token_path(&made["spec"]["containers"][0])[0].starts_with("kube-api-access-"));
}

#[tokio::test]
async fn a_quota_and_a_limit_range_admit_the_pod() {
    let scene = Scene::new("quota", &[]).await;
    scene.team("t", "kagents.dev", one_oci_skill()).await;
    let quota = json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "q"}, "spec": {"hard": {
        "requests.cpu": "1", "requests.memory": "1Gi", "limits.cpu": "2", "limits.memory": "1Gi"}}});
    let range = json!({"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "r"}, "spec": {"limits": [
        {"type": "Container", "max": {"cpu": "2", "memory": "512Mi"}, "min": {"cpu": "1m", "memory": "4Mi"}}]}});
    scene.apply(&quota);
    scene.apply(&range);
    // No controller-manager counts here: the quota's status says what is used.
    scene.rig.kubectl(&["patch", "quota", "q", "-n", &scene.namespace, "--subresource=status", "--type=merge", "-p",
        r#"{"status": {"hard": {"requests.cpu": "1", "requests.memory": "1Gi", "limits.cpu": "2", "limits.memory": "1Gi"}, "used": {"requests.cpu": "0", "requests.memory": "0", "limits.cpu": "0", "limits.memory": "0"}}}"#], "").success();
    let mut pod = pod("t", "lead");
    pod["spec"]["containers"][0]["resources"] = json!({"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"cpu": "1", "memory": "128Mi"}});

    let made = scene.create(&pod).await.unwrap();

    let resources = &made["spec"]["initContainers"][0]["resources"];
    assert_eq!(
        resources["requests"],
        json!({"cpu": "10m", "memory": "32Mi"})
    );
    assert_eq!(resources["limits"], json!({"cpu": "1", "memory": "256Mi"}));
    // A container without resources is refused there.
    let bare = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "bare"}, "spec": {"containers": [{"name": "a", "image": "a:1"}]}});
    assert!(scene.create(&bare).await.is_err());
}

#[tokio::test]
async fn a_dry_run_shows_the_skills_and_changes_nothing() {
    let scene = Scene::new("dry-run", &[]).await;
    scene.team("t", "kagents.dev", one_oci_skill()).await;

    let output = scene.rig.kubectl(
        &[
            "create",
            "--dry-run=server",
            "-o",
            "json",
            "-n",
            &scene.namespace,
            "-f",
            "-",
        ],
        &pod("t", "lead").to_string(),
    );

    assert!(
        output.stderr.contains("Warning: pulled by tag"),
        "{}",
        output.stderr
    );
    let made: Value = serde_json::from_str(&output.success()).unwrap();
    assert!(!find(&made["spec"]["initContainers"], "pull-skill-web-research").is_null());
    assert_eq!(
        scene
            .rig
            .kubectl(&["get", "pods", "-n", &scene.namespace, "-o", "name"], "")
            .success(),
        ""
    );
}

/// Without a controller-manager the Pod is made here as its controller would make it: from the template, with
/// generateName and an owner.
#[tokio::test]
async fn the_pods_of_a_deployment_and_of_a_job_get_their_skills() {
    let scene = Scene::new("workloads", &[]).await;
    scene.team("t", "kagents.dev", one_oci_skill()).await;
    let template = json!({
        "metadata": {"labels": {"app": "agent", "kagents.dev/agent-team": "t", "kagents.dev/agent": "lead"}},
        "spec": {"containers": [{"name": "claude-code", "image": "agent:1"}]}});
    let mut job_template = template.clone();
    job_template["spec"]["restartPolicy"] = json!("Never");
    let workloads = [
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "agent"},
            "spec": {"selector": {"matchLabels": {"app": "agent"}}, "template": template}}),
        json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "agent"}, "spec": {"template": job_template}}),
    ];
    for workload in workloads {
        let made = scene.apply(&workload);
        let mut pod = made["spec"]["template"].clone();
        assert!(
            pod["spec"]["initContainers"].is_null(),
            "workloads are left as they are"
        );
        pod["apiVersion"] = json!("v1");
        pod["kind"] = json!("Pod");
        pod["metadata"]["generateName"] = json!("agent-7d4b9c6f5-");
        pod["metadata"]["ownerReferences"] = json!([{"apiVersion": made["apiVersion"], "kind": made["kind"], "name": "agent",
            "uid": made["metadata"]["uid"], "controller": true, "blockOwnerDeletion": true}]);

        let pod = scene.create(&pod).await.unwrap();

        let puller = find(&pod["spec"]["initContainers"], "pull-skill-web-research");
        let never = made["kind"] == "Job";
        assert_eq!(
            puller["restartPolicy"],
            if never {
                json!("OnFailure")
            } else {
                Value::Null
            },
            "{}",
            made["kind"]
        );
        assert_eq!(
            find(
                &pod["spec"]["containers"][0]["volumeMounts"],
                "skill-web-research"
            )["readOnly"],
            true
        );
    }
}

#[tokio::test]
async fn pods_that_opted_out_or_name_no_team_are_as_they_came() {
    let scene = Scene::new("opt-out", &[]).await;
    let mut opted_out = pod("nowhere", "lead");
    opted_out["metadata"]["labels"]["kagents.dev/inject"] = json!("false");
    let mut unlabelled = pod("nowhere", "lead");
    unlabelled["metadata"]["labels"] = json!({"app": "x"});
    for pod in [opted_out, unlabelled] {
        let made = scene.create(&pod).await.unwrap();
        assert!(made["spec"]["initContainers"].is_null());
    }
    assert!(
        !scene.metrics().contains("admission_requests_total{"),
        "the webhook was not even asked"
    );
}

#[tokio::test]
async fn the_record_says_what_the_pod_got() {
    let scene = Scene::new("record", &[]).await;
    scene
        .team(
            "t",
            "kagents.dev",
            json!({"lead": {"skills": [
        {"name": "a", "source": {"oci": OCI}}, {"name": "b", "source": {"configMap": "b"}}]}}),
        )
        .await;
    let mut pod = pod("t", "lead");
    pod["metadata"]["annotations"] =
        json!({"kagents.dev/skills": r#"{"team": "forged"}"#, "mine": "stays"});

    let made = scene.create(&pod).await.unwrap();

    assert_eq!(made["metadata"]["annotations"]["mine"], "stays");
    let record: Value = serde_json::from_str(
        made["metadata"]["annotations"]["kagents.dev/skills"]
            .as_str()
            .unwrap(),
    )
    .unwrap();
    assert_eq!(
        record,
        json!({"team": "t", "agent": "lead", "generation": 1, "delivery": "oras", "skills": [
        {"name": "a", "oci": OCI}, {"name": "b", "configMap": "b"}]})
    );
}

#[tokio::test]
async fn the_service_account_s_own_pull_secrets_are_kept() {
    let scene = Scene::new("sa-secrets", &[]).await;
    let mut spec = one_oci_skill();
    spec["imagePullSecrets"] = json!([{"name": "team-creds"}, {"name": "node-creds"}]);
    scene.team("t", "kagents.dev", spec).await;
    scene
        .rig
        .kubectl(
            &[
                "patch",
                "serviceaccount",
                "default",
                "-n",
                &scene.namespace,
                "--type=merge",
                "-p",
                r#"{"imagePullSecrets": [{"name": "node-creds"}]}"#,
            ],
            "",
        )
        .success();
    // The admission plugin reads ServiceAccounts from a cache of its own.
    tokio::time::sleep(Duration::from_secs(1)).await;

    let made = scene.create(&pod("t", "lead")).await.unwrap();

    assert_eq!(
        made["spec"]["imagePullSecrets"],
        json!([{"name": "node-creds"}, {"name": "team-creds"}])
    );
}

/// A thousand teams, each with its Pod right behind it: the watch may be late, and none is refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_right_after_its_team_is_not_refused() {
    use futures::{StreamExt, stream};
    let scene = &Scene::new("right-after", &[]).await;
    let refused = stream::iter(0..1000)
        .map(|number| async move {
            let name = format!("t{number}");
            scene.team(&name, "kagents.dev", one_oci_skill()).await;
            scene
                .dry_run(&pod(&name, "lead"))
                .await
                .err()
                .map(|error| error.to_string())
        })
        .buffer_unordered(8)
        .filter_map(|refused| async { refused })
        .collect::<Vec<_>>()
        .await;
    assert!(
        refused.is_empty(),
        "{} of 1000: {}",
        refused.len(),
        refused[0]
    );
}

/// An agent that was added a moment ago is there, though the cache knows an older team.
#[tokio::test]
async fn a_pod_right_after_its_agent_is_not_refused() {
    let scene = Scene::new("new-agent", &[]).await;
    for number in 0..20 {
        let name = format!("a{number}");
        let teammates: Vec<_> = (0..=number)
            .map(|number| json!({"name": format!("a{number}")}))
            .collect();
        scene.apply(&json!({"apiVersion": "kagents.dev/v1alpha1", "kind": "AgentTeam", "metadata": {"name": "t"}, "spec": {"teammates": teammates}}));
        scene.dry_run(&pod("t", &name)).await.unwrap();
    }
}

/// The webhook fails closed, and the cluster's own Pods must not wait for it.
#[tokio::test]
async fn the_namespaces_of_the_cluster_and_of_the_webhook_are_never_looked_at() {
    let mut scene = Scene::new("own-namespace", &[]).await;
    for namespace in ["kube-system", "agentteam-system"] {
        scene.rig.kubectl(
            &["create", "serviceaccount", "default", "-n", namespace],
            "",
        );
        scene.webhook.register(&[namespace]).await;
        let mut labelled = pod("nowhere", "lead");
        labelled["metadata"]["namespace"] = json!(namespace);
        let args = ["create", "--dry-run=server", "-f", "-"];
        scene.rig.kubectl(&args, &labelled.to_string()).success();
    }
}

#[tokio::test]
async fn a_team_that_is_being_deleted_gives_nothing() {
    let scene = Scene::new("deleting", &[]).await;
    scene.apply(
        &json!({"apiVersion": "kagents.dev/v1alpha1", "kind": "AgentTeam", "spec": one_oci_skill(),
        "metadata": {"name": "t", "finalizers": ["example.com/held"]}}),
    );
    let delete = [
        "delete",
        "agentteams.kagents.dev",
        "t",
        "--wait=false",
        "-n",
        &scene.namespace,
    ];
    scene.rig.kubectl(&delete, "").success();
    let said = kubectl_create(&scene, &pod("t", "lead"));
    assert!(
        said.contains("TeamDeleting: AgentTeam t is being deleted; create it anew"),
        "{said}"
    );
}
