//! What the controller says of teams and of their Pods.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::foreign::TYPED;
use crate::scene::{Scene, account_in, pod};
use crate::webhook::Webhook;

const OCI: &str = "ghcr.io/acme/skills/web-research:v1";

impl Scene {
    fn read(&self, kind: &str, name: &str) -> Value {
        serde_json::from_str(
            &self
                .rig
                .kubectl(
                    &["get", kind, name, "-n", &self.namespace, "-o", "json"],
                    "",
                )
                .success(),
        )
        .unwrap()
    }

    /// The condition of the team `t`, as soon as it is as `expected`.
    pub async fn condition(&self, kind: &str, expected: impl Fn(&Value) -> bool) -> Value {
        let mut last = Value::Null;
        for _ in 0..200 {
            let team = self.read(&format!("agentteams.{}", self.group), "t");
            let conditions = team["status"]["conditions"]
                .as_array()
                .cloned()
                .unwrap_or_default();
            last = conditions
                .into_iter()
                .find(|condition| condition["type"] == kind)
                .unwrap_or_default();
            if expected(&last) {
                return last;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("not in 20 s: {last}");
    }

    /// Waits until `expected` holds of the metrics: another test's leader may have been first to write.
    async fn measured(&self, line: &str, there: bool) {
        for _ in 0..100 {
            if self.metrics().contains(line) == there {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("{line} is there: {}, after 10 s", !there);
    }

    /// Deletes a Pod at once: no kubelet is there to end it.
    fn delete_pod(&self, name: &str) {
        let now = ["--grace-period=0", "--force", "-n", &self.namespace];
        let args = [&["delete", "pod", name], &now[..]].concat();
        self.rig.kubectl(&args, "").success();
    }

    /// Says of a Pod what a kubelet would say.
    pub fn kubelet_says(&self, pod: &str, status: &Value) {
        let patch = json!({"status": status}).to_string();
        self.rig
            .kubectl(
                &[
                    "patch",
                    "pod",
                    pod,
                    "-n",
                    &self.namespace,
                    "--subresource=status",
                    "--type=merge",
                    "-p",
                    &patch,
                ],
                "",
            )
            .success();
    }

    fn events(&self, of: &str) -> Vec<Value> {
        let selector = format!("involvedObject.name={of}");
        let list = self
            .rig
            .kubectl(
                &[
                    "get",
                    "events",
                    "-n",
                    &self.namespace,
                    "--field-selector",
                    &selector,
                    "-o",
                    "json",
                ],
                "",
            )
            .success();
        serde_json::from_str::<Value>(&list).unwrap()["items"]
            .as_array()
            .unwrap()
            .clone()
    }
}

fn one_oci_skill() -> Value {
    json!({"lead": {"skills": [{"name": "web-research", "source": {"oci": OCI}}]}})
}

#[tokio::test]
async fn a_team_says_all_that_is_wrong_with_it_and_that_it_is_mended() {
    let scene = Scene::new("skills-valid", &["--controller"]).await;
    scene.team("t", "kagents.dev", json!({
        "imagePullSecrets": [{"name": "A/b"}],
        "lead": {"skills": [{"name": "a", "source": {"oci": "no-host:v1"}}, {"name": "b", "source": {"configMap": "B_c"}}]}})).await;

    let condition = scene
        .condition("SkillsValid", |condition| condition["status"] == "False")
        .await;

    assert_eq!(
        (&condition["reason"], &condition["observedGeneration"]),
        (&json!("InvalidTeam"), &json!(1))
    );
    let message = condition["message"].as_str().unwrap();
    for part in [
        "\"A/b\"",
        "agent lead: skill \"a\"",
        "agent lead: skill \"b\"",
    ] {
        assert!(message.contains(part), "{message}");
    }
    // A Pod is told the same words.
    let denied = scene
        .create(&pod("t", "lead"))
        .await
        .unwrap_err()
        .to_string();
    let problem = message
        .split("skill \"a\": ")
        .nth(1)
        .unwrap()
        .split("; (")
        .next()
        .unwrap();
    assert!(denied.contains(problem), "{denied}\n{message}");
    assert_eq!(
        scene
            .events("t")
            .iter()
            .filter(|event| event["reason"] == "InvalidTeam")
            .count(),
        1
    );

    scene.apply(&json!({"apiVersion": "kagents.dev/v1alpha1", "kind": "AgentTeam", "metadata": {"name": "t"},
        "spec": {"imagePullSecrets": [{"name": "a"}], "lead": {"skills": [{"name": "a", "source": {"oci": OCI}}]}}}));
    let condition = scene
        .condition("SkillsValid", |condition| condition["status"] == "True")
        .await;
    assert_eq!(condition["observedGeneration"], 2);
    scene.create(&pod("t", "lead")).await.unwrap();
    assert_eq!(scene.events("t").len(), 1, "a mended team is no event");
}

#[tokio::test]
async fn pods_that_were_never_injected_are_found() {
    let mut scene = Scene::new("uninjected", &["--controller"]).await;
    scene.team("t", "kagents.dev", one_oci_skill()).await;
    scene
        .condition("SkillsDelivered", |condition| {
            condition["reason"] == "NoPods"
        })
        .await;
    scene.webhook.unregister();
    let mut missed = pod("t", "lead");
    missed["metadata"] = json!({"name": "missed", "labels": missed["metadata"]["labels"],
        "annotations": {"kagents.dev/skills": "forged: it has them all"}});
    // The API server takes a moment to forget the configuration.
    let mut made = scene.create(&missed).await.unwrap();
    while !made["spec"]["initContainers"].is_null() {
        scene.delete_pod("missed");
        made = scene.create(&missed).await.unwrap();
    }

    let condition = scene
        .condition("SkillsDelivered", |condition| {
            condition["status"] == "False"
        })
        .await;

    assert_eq!(condition["reason"], "PodsNotInjected");
    assert!(
        condition["message"]
            .as_str()
            .unwrap()
            .starts_with("1 of 1 Pods have none of their skills"),
        "{condition}"
    );
    let line = format!(
        "uninjected_pods{{namespace=\"{}\",team=\"t\"}} 1",
        scene.namespace
    );
    scene.measured(&line, true).await;
    let events = scene.events("missed");
    assert_eq!(
        events
            .iter()
            .filter(|event| event["reason"] == "SkillsNotInjected")
            .count(),
        1,
        "{events:?}"
    );

    scene.delete_pod("missed");
    scene
        .condition("SkillsDelivered", |condition| condition["status"] == "True")
        .await;
    scene.measured(&line, false).await;
}

#[tokio::test]
async fn a_pull_that_fails_is_told_in_the_puller_s_words_and_forgotten_when_it_succeeds() {
    let scene = Scene::new("failing", &["--controller"]).await;
    scene.team("t", "kagents.dev", one_oci_skill()).await;
    let mut named = pod("t", "lead");
    named["metadata"] = json!({"name": "agent", "labels": named["metadata"]["labels"]});
    scene.create(&named).await.unwrap();
    scene
        .condition("SkillsDelivered", |condition| {
            condition["reason"] == "Delivered"
        })
        .await;
    let words = "Error response from registry: unauthorized: authentication required";
    let terminated = json!({"exitCode": 1, "reason": "Error", "message": format!("pulling\n{words}\n"), "startedAt": null, "finishedAt": null, "containerID": "c://1"});
    let puller = |state: Value| {
        json!({"phase": "Pending", "initContainerStatuses": [{"name": "pull-skill-web-research", "image": "i", "imageID": "",
            "ready": false, "restartCount": 1, "state": state, "lastState": {"terminated": terminated}}]})
    };
    scene.kubelet_says(
        "agent",
        &puller(json!({"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}})),
    );

    let condition = scene
        .condition("SkillsDelivered", |condition| {
            condition["status"] == "False"
        })
        .await;

    assert_eq!(condition["reason"], "PullsFailing");
    let message = condition["message"].as_str().unwrap();
    assert!(
        message.contains(&format!("agent: skill web-research: \"{words}\"")),
        "{message}"
    );
    assert_eq!(
        scene
            .events("agent")
            .iter()
            .filter(|event| event["reason"] == "SkillPullFailing")
            .count(),
        1
    );
    let line = format!(
        "failing_pulls{{namespace=\"{}\",team=\"t\"}} 1",
        scene.namespace
    );
    scene.measured(&line, true).await;

    let mut done = puller(
        json!({"terminated": {"exitCode": 0, "containerID": "c://2", "startedAt": null, "finishedAt": null}}),
    );
    done["phase"] = json!("Running");
    scene.kubelet_says("agent", &done);
    scene
        .condition("SkillsDelivered", |condition| condition["status"] == "True")
        .await;
    scene.measured(&line, false).await;
}

/// Another controller writes its condition in a loop; neither side's is ever lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_status_that_another_controller_writes_too_keeps_both_conditions() {
    use kube::api::{Api, DynamicObject, PostParams};
    use kube::core::{ApiResource, GroupVersionKind};
    let scene = Scene::new("two-writers", &["--controller"]).await;
    scene.team("t", "kagents.dev", one_oci_skill()).await;
    let resource = ApiResource::from_gvk_with_plural(
        &GroupVersionKind::gvk("kagents.dev", "v1alpha1", "AgentTeam"),
        "agentteams",
    );
    let api =
        Api::<DynamicObject>::namespaced_with(scene.client.clone(), &scene.namespace, &resource);
    let mut written = 0;
    for round in 0..150 {
        let mut team = api.get("t").await.unwrap();
        let status = team
            .data
            .as_object_mut()
            .unwrap()
            .entry("status")
            .or_insert_with(|| json!({}));
        let conditions = status
            .as_object_mut()
            .unwrap()
            .entry("conditions")
            .or_insert_with(|| json!([]));
        let conditions = conditions.as_array_mut().unwrap();
        let lost = written > 0
            && !conditions
                .iter()
                .any(|condition| condition["message"] == format!("round {written}"));
        assert!(!lost, "round {written} is lost: {conditions:?}");
        conditions.retain(|condition| condition["type"] != "Progressing");
        conditions.push(json!({"type": "Progressing", "status": "True", "reason": "Loop", "message": format!("round {round}"), "lastTransitionTime": "2026-01-01T00:00:00Z"}));
        if round % 10 == 0 {
            // Something that changes our own condition.
            let skills: Vec<_> = (0..=round / 10)
                .map(|number| json!({"name": format!("s{number}"), "source": {"configMap": "c"}}))
                .collect();
            scene.apply(&json!({"apiVersion": "kagents.dev/v1alpha1", "kind": "AgentTeam", "metadata": {"name": "t"}, "spec": {"lead": {"skills": skills}}}));
        }
        match api.replace_status("t", &PostParams::default(), &team).await {
            Ok(_) => written = round,
            Err(kube::Error::Api(status)) if status.code == 409 => {}
            Err(error) => panic!("{error}"),
        }
    }
    scene
        .condition("SkillsValid", |condition| {
            condition["message"] == "1 agents with 15 skills"
        })
        .await;
    let team = scene.read("agentteams.kagents.dev", "t");
    let kinds: Vec<_> = team["status"]["conditions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|condition| condition["type"].as_str().unwrap())
        .collect();
    assert_eq!(
        kinds.iter().filter(|kind| **kind == "Progressing").count(),
        1,
        "{kinds:?}"
    );
    assert_eq!(kinds.len(), 3, "{kinds:?}");
}

#[tokio::test]
async fn without_the_controller_there_is_no_lease() {
    let scene = Scene::new("no-controller", &["--controller=false"]).await;
    let lease = scene.rig.kubectl(
        &["get", "lease", "agentteam-webhook", "-n", &scene.namespace],
        "",
    );
    assert!(lease.stderr.contains("NotFound"), "{lease:?}");
}

/// The definition is an operator's and has no rule: the webhook and the controller hold it, in the same words.
#[tokio::test]
async fn under_a_foreign_definition_a_team_with_two_sources_is_invalid_and_its_pods_are_denied() {
    let scene = Scene::foreign("foreign", TYPED).await;
    let team = |source: Value| {
        json!({"apiVersion": format!("{TYPED}/v1alpha1"), "kind": "AgentTeam", "metadata": {"name": "t"},
            "spec": {"lead": {"skills": [{"name": "web-research", "source": source}]}}})
    };
    let mut pod = pod("t", "lead");
    pod["metadata"]["labels"] =
        json!({(format!("{TYPED}/agent-team")): "t", (format!("{TYPED}/agent")): "lead"});
    for (source, sets) in [
        (json!({"configMap": "c", "oci": OCI}), "both"),
        (json!({}), "neither"),
    ] {
        scene.apply(&team(source));
        let sentence = format!(
            "skill \"web-research\": skill source must set exactly one of configMap or oci, and this one sets {sets}"
        );
        let said = |condition: &Value| {
            condition["message"]
                .as_str()
                .is_some_and(|message| message.contains(&sentence))
        };
        let condition = scene
            .condition("SkillsValid", |condition| {
                condition["status"] == "False" && said(condition)
            })
            .await;
        assert_eq!(condition["reason"], "InvalidTeam");
        let denied = scene.create(&pod).await.unwrap_err().to_string();
        assert!(denied.contains(&sentence), "{denied}");
    }
    scene.apply(&team(json!({"oci": OCI})));
    scene
        .condition("SkillsValid", |condition| condition["status"] == "True")
        .await;
    scene.create(&pod).await.unwrap();
}

/// Two whole processes: the one that leads is killed, and the other answers all the while and leads within 20 s.
#[tokio::test]
async fn when_the_leader_is_killed_another_process_leads() {
    let leads = "this process writes conditions and events";
    let mut scene = Scene::new("killed", &["--controller"]).await;
    scene.team("t", "kagents.dev", one_oci_skill()).await;
    scene.webhook.logged(leads).await;
    let account = account_in(scene.rig, &scene.namespace).await;
    let second = Webhook::start_as(scene.rig, &account, &["--controller"]).await;

    scene.webhook.signal("KILL");
    let killed = Instant::now();

    let mut named = pod("t", "lead");
    named["metadata"]["namespace"] = json!(scene.namespace);
    assert_eq!(second.review_in(&scene.namespace, &named)["allowed"], true);
    second.logged(leads).await;
    assert!(
        killed.elapsed() < Duration::from_secs(20),
        "{:?}",
        killed.elapsed()
    );
}
