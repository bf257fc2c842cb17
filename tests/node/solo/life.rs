//! The life of an install: upgrade, replicas and a node that end, uninstall. Each test has the node alone.

use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use kube::api::{Api, ApiResource, DynamicObject, PostParams};
use serde_json::{Value, json};

use crate::install::{self, NAMESPACE, replicas};
use crate::node::Node;
use crate::place::{Place, labels, pod};

/// A Pod that no node takes: it is admitted and stored, and costs nothing.
fn unscheduled(name: &str) -> Value {
    let mut agent = pod(name, "team");
    agent["spec"]["nodeSelector"] = json!({"none": "such"});
    agent
}

/// A Pod that names no team.
fn unlabelled(name: &str) -> Value {
    let mut other = unscheduled(name);
    other["metadata"]["labels"] = json!({});
    other
}

/// Whether the API server shows a Pod with its skills.
fn injected(created: &Value) -> bool {
    let containers = &created["spec"]["initContainers"];
    containers.as_array().is_some_and(|all| {
        all.iter()
            .any(|container| container["name"] == "pull-skill-web-research")
    })
}

/// Creates Pods without the noise of starting a program for each.
struct Creator<'place> {
    place: &'place Place<'place>,
    runtime: tokio::runtime::Runtime,
    client: kube::Client,
}

impl<'place> Creator<'place> {
    fn new(place: &'place Place) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let client = runtime.block_on(place.node.control.client());
        Self {
            place,
            runtime,
            client,
        }
    }

    /// What was made, or why the API server refused it; and how long that took.
    fn create(&self, pod: &Value) -> (Result<Value, String>, Duration) {
        let kind = ApiResource::erase::<k8s_openapi::api::core::v1::Pod>(&());
        let (client, namespace) = (self.client.clone(), &self.place.namespace);
        let pods = Api::<DynamicObject>::namespaced_with(client, namespace, &kind);
        let pod = serde_json::from_value(pod.clone()).unwrap();
        let begin = Instant::now();
        let made = self
            .runtime
            .block_on(pods.create(&PostParams::default(), &pod));
        let made = made
            .map(|pod| serde_json::to_value(pod).unwrap())
            .map_err(|error| error.to_string());
        (made, begin.elapsed())
    }

    /// Creates a Pod that names no team. It must never notice what becomes of the webhook, which would hold it up for 5 s.
    #[track_caller]
    fn create_unlabelled(&self, name: &str) {
        let (made, took) = self.create(&unlabelled(name));
        made.unwrap_or_else(|error| panic!("{name}, which names no team, was refused: {error}"));
        assert!(
            took < Duration::from_secs(4),
            "{name}, which names no team, waited {took:?}"
        );
    }
}

/// Creates labelled Pods one after another while `change` happens, and for a while longer. Every one must be admitted, with
/// its skills. Gives their number.
fn under_a_stream(place: &Place, change: impl FnOnce()) -> usize {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let stream = scope.spawn(|| {
            let creator = Creator::new(place);
            let mut made = 0;
            while !done.load(Ordering::Relaxed) {
                let (created, _) = creator.create(&unscheduled(&format!("stream-{made}")));
                let created =
                    created.unwrap_or_else(|error| panic!("Pod {made} was refused: {error}"));
                assert!(injected(&created), "Pod {made} has no skills: {created}");
                made += 1;
                std::thread::sleep(Duration::from_millis(20));
            }
            made
        });
        change();
        // Whatever the change left behind has time to show.
        std::thread::sleep(Duration::from_secs(5));
        done.store(true, Ordering::Relaxed);
        stream
            .join()
            .expect("every Pod of the stream has its skills")
    })
}

/// Of both replicas, one after another.
#[test]
fn an_upgrade_under_a_stream_of_pods() {
    let node = Node::alone();
    let (place, _) = Place::with_public_skill(&node, "upgrade");
    let before = replicas(&node);

    let made = under_a_stream(&place, || install::apply(&node, "0.1.1"));

    assert!(made > 50, "only {made} Pods");
    // They answer until nobody asks them any more, and then they end.
    for replica in &before {
        let gone = [
            "wait",
            "-n",
            NAMESPACE,
            "--for=delete",
            replica,
            "--timeout=120s",
        ];
        node.kubectl(&gone).success();
    }
    install::apply(&node, "0.1.0");
}

/// A `kubectl rollout restart`, and one `kubectl delete` of a replica: both ask it to end.
#[test]
fn a_restart_and_a_replica_that_is_deleted_under_a_stream_of_pods() {
    let node = Node::alone();
    let (place, _) = Place::with_public_skill(&node, "restart");

    let made = under_a_stream(&place, || {
        node.kubectl(&[
            "rollout",
            "restart",
            "-n",
            NAMESPACE,
            "deployment/agentteam-webhook",
        ])
        .success();
        install::rolled_out(&node);
        node.kubectl(&["delete", "-n", NAMESPACE, &replicas(&node)[0]])
            .success();
        install::rolled_out(&node);
    });

    assert!(made > 50, "only {made} Pods");
}

/// The processes of both replicas, which are this machine's own.
fn processes() -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap() {
        let path = entry.unwrap().path();
        let words = std::fs::read(path.join("cmdline")).unwrap_or_default();
        if words.starts_with(b"/agentteam-webhook\0serve") {
            found.push(path.file_name().unwrap().to_str().unwrap().to_owned());
        }
    }
    found
}

fn signal(name: &str, processes: &[String]) {
    let done = Command::new("kill")
        .args(["-s", name])
        .args(processes)
        .status();
    assert!(done.unwrap().success());
}

/// Creates Pods that name no team, in turn with Pods that do, until the latter are admitted ten times in a row. The former must
/// never notice anything; the latter may be refused by the API server for want of an answer, and are never without
/// skills. Gives how many were refused.
#[track_caller]
fn until_well_again(place: &Place) -> usize {
    let creator = Creator::new(place);
    let (mut refused, mut well) = (0, 0);
    let start = Instant::now();
    for number in 0.. {
        assert!(
            start.elapsed() < Duration::from_mins(3),
            "refused {refused} Pods, and not well again"
        );
        creator.create_unlabelled(&format!("other-{number}"));
        match creator.create(&unscheduled(&format!("pod-{number}"))).0 {
            Ok(created) => {
                assert!(injected(&created), "Pod {number} has no skills: {created}");
                well += 1;
            }
            Err(error) => {
                assert!(error.contains("failed calling webhook"), "{error}");
                (refused, well) = (refused + 1, 0);
                std::thread::sleep(Duration::from_millis(200));
            }
        }
        if well == 10 {
            break;
        }
    }
    refused
}

/// Killed, without a chance to say so. The other answers; what the API server sent to the dead one is refused, and whoever
/// made the Pod makes it again.
#[test]
fn a_replica_that_is_killed() {
    let node = Node::alone();
    let (place, _) = Place::with_public_skill(&node, "one-killed");
    let both = processes();
    assert_eq!(both.len(), 2);

    signal("KILL", &both[..1]);

    let refused = until_well_again(&place);
    println!("refused {refused} Pods");
    install::rolled_out(&node);
}

#[test]
fn both_replicas_that_are_killed() {
    let node = Node::alone();
    let (place, skill) = Place::with_public_skill(&node, "both-killed");
    let template = json!({"metadata": {"labels": labels("team")}, "spec": pod("", "team")["spec"]});
    let workload = json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "researcher"},
        "spec": {"replicas": 1, "selector": {"matchLabels": labels("team")}, "template": template},
    });

    signal("KILL", &processes());
    // Its controller makes the Pod again and again until somebody answers.
    place.apply(&workload);
    let refused = until_well_again(&place);

    println!("refused {refused} Pods");
    install::rolled_out(&node);
    place
        .kubectl(&[
            "rollout",
            "status",
            "deployment/researcher",
            "--timeout=120s",
        ])
        .success();
    let label = "kagents.dev/agent-team=team,pod-template-hash";
    let name = place.kubectl(&[
        "get",
        "pods",
        "-l",
        label,
        "-o",
        "jsonpath={.items[0].metadata.name}",
    ]);
    assert_eq!(place.files(&name.success(), "web-research"), skill.files);
}

/// They hold connections and answer nothing, as behind a network that loses what is sent.
#[test]
fn both_replicas_that_hang() {
    let node = Node::alone();
    let (place, _) = Place::with_public_skill(&node, "both-hang");
    let both = processes();

    let creator = Creator::new(&place);

    signal("STOP", &both);
    creator.create_unlabelled("other");
    let (made, waited) = creator.create(&unscheduled("agent"));
    signal("CONT", &both);

    let error = made.expect_err("nobody answered");
    assert!(error.contains("failed calling webhook"), "{error}");
    // The configuration says 5 s.
    assert!(
        waited > Duration::from_secs(4) && waited < Duration::from_secs(20),
        "it waited {waited:?}"
    );
    until_well_again(&place);
    install::rolled_out(&node);
}

/// The power goes, and comes back: every container is started anew, the pullers of Pods that were there among them.
#[test]
fn a_node_that_is_restarted() {
    let node = Node::alone();
    let (place, skill) = Place::with_public_skill(&node, "node-restarted");
    place.apply(&pod("agent", "team"));
    place.ready("agent");

    {
        let mut daemons = node.daemons();
        daemons.kill("kubelet");
        daemons.kill("containerd");
        daemons.kill_containers();
    }
    assert_eq!(processes(), [""; 0], "the replicas are gone");
    place.apply(&unlabelled("other"));
    let made = place.try_apply(&unscheduled("meanwhile"));
    assert!(
        made.stderr.contains("failed calling webhook"),
        "{}",
        made.stderr
    );
    {
        let mut daemons = node.daemons();
        daemons.resume("containerd");
        daemons.wait_for_containerd();
        daemons.resume("kubelet");
    }

    place.wait(
        "agent",
        "jsonpath={.status.containerStatuses[0].restartCount}=1",
    );
    place.ready("agent");
    assert_eq!(place.files("agent", "web-research"), skill.files);
    until_well_again(&place);
    install::rolled_out(&node);
    place.apply(&pod("newcomer", "team"));
    place.ready("newcomer");
    assert_eq!(place.files("newcomer", "web-research"), skill.files);
}

/// The README's command. Nothing of it is left that could hold up a Pod; and the teams stay, for who comes back.
#[test]
fn an_uninstall() {
    let node = Node::alone();
    let (place, _) = Place::with_public_skill(&node, "uninstall");

    install::delete(&node);

    place.apply(&unscheduled("agent"));
    place.apply(&unlabelled("other"));
    let pods = place
        .kubectl(&["get", "pod", "agent", "-o", "json"])
        .success();
    assert!(!injected(&serde_json::from_str(&pods).unwrap()));
    let everything = node
        .kubectl(&["api-resources", "--verbs=list", "-o", "name"])
        .success();
    let kinds = everything
        .lines()
        .filter(|kind| *kind != "events" && !kind.starts_with("events."));
    let kinds: Vec<_> = kinds.collect();
    let left = node.kubectl(&[
        "get",
        &kinds.join(","),
        "-A",
        "-o",
        "name",
        "-l",
        "app.kubernetes.io/name=agentteam-webhook",
    ]);
    let left: Vec<_> = left
        .stdout
        .lines()
        .filter(|line| !line.contains("customresourcedefinition"))
        .collect();
    assert_eq!(left, [""; 0], "left behind");
    node.kubectl(&["get", "namespace", NAMESPACE])
        .stderr
        .find("NotFound")
        .expect("the namespace is gone");
    assert_eq!(place.value("agentteam/team", "{.metadata.name}"), "team");

    // Installed again, it says which Pods were made without it.
    install::apply(&node, "0.1.0");
    let path = r#"{.status.conditions[?(@.type=="SkillsDelivered")].reason}"#;
    let what = format!("--for=jsonpath={path}=PodsNotInjected");
    place
        .kubectl(&["wait", &what, "agentteam/team", "--timeout=120s"])
        .success();
}
