//! The controller on a real API server, with 10,000 teams and 2,000 Pods that name one: `make bench-controller`.

#![allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    clippy::must_use_candidate,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a benchmark ends where something is not as it should be"
)]

#[path = "../tests/cluster/foreign.rs"]
mod foreign;
#[path = "../tests/common/identity.rs"]
mod identity;
#[path = "../tests/common/process.rs"]
mod process;
#[path = "../tests/cluster/registration.rs"]
mod registration;
#[path = "../tests/cluster/rig.rs"]
mod rig;
#[path = "../tests/cluster/scene.rs"]
mod scene;
#[path = "../tests/cluster/webhook.rs"]
mod webhook;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use futures::{StreamExt, stream};
use kube::api::{Api, DynamicObject, Patch, PatchParams, PostParams, WatchEvent, WatchParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};

use rig::Rig;
use scene::Scene;
use webhook::Webhook;

const TEAMS: usize = 10_000;
const PODS: usize = 2_000;
const CHANGES: usize = 200;

/// How long nothing may be written while nothing changes.
const IDLE: Duration = Duration::from_secs(30);

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(measure());
}

async fn measure() {
    let scene = Scene::bare("many").await;
    let teams = teams(&scene);
    eprintln!("creating {TEAMS} teams and {PODS} Pods");
    create(&scene, TEAMS, |number| team(number, 1), &teams).await;
    create(&scene, PODS, pod, &pods(&scene)).await;

    let kubeconfig = scene.rig.admin_kubeconfig(&scene.namespace);
    let start = Instant::now();
    let webhook = Webhook::start_as(scene.rig, &kubeconfig, &["--server-version", "1.36"]).await;
    let synced = start.elapsed();
    let start = Instant::now();
    let written = settle(scene.rig, Duration::from_secs(5)).await;
    let told = start.elapsed().saturating_sub(Duration::from_secs(5));
    let resident = resident_mib(&webhook);

    let before = writes(scene.rig);
    tokio::time::sleep(IDLE).await;
    let idle = writes(scene.rig) - before;
    let p99 = changes(&teams).await;

    println!("| figure | measured | aim |\n|---|---|---|");
    println!(
        "| start to ready with {TEAMS} teams | {:.1} s | ≤ 5 s |",
        synced.as_secs_f64()
    );
    println!(
        "| then, until every team has its conditions ({written} writes) | {:.1} s | |",
        told.as_secs_f64()
    );
    println!(
        "| resident memory with {TEAMS} teams and {PODS} Pods | {resident:.1} MiB | ≤ 64 MiB |"
    );
    println!(
        "| writes in {} s while nothing changes | {idle} | 0 |",
        IDLE.as_secs()
    );
    println!(
        "| a team's change to its condition, p99 of {CHANGES} | {:.0} ms | ≤ 1000 ms |",
        p99.as_secs_f64() * 1e3
    );
}

fn team(number: usize, version: usize) -> Value {
    let skill = |name: &str| json!({"name": name, "source": {"oci": format!("ghcr.io/example/skills/{name}-{number}:v{version}")}});
    let mate = |name: &str| json!({"name": name, "prompt": "Research.", "skills": [skill("web"), skill("report")]});
    json!({"apiVersion": "kagents.dev/v1alpha1", "kind": "AgentTeam", "metadata": {"name": format!("t{number}")},
        "spec": {"imagePullSecrets": [{"name": "creds"}], "lead": {"prompt": "Lead.", "skills": [skill("plan")]}, "teammates": [mate("a"), mate("b")]}})
}

/// A Pod of an early team that was never injected.
fn pod(number: usize) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": format!("p{number}"), "labels": {"kagents.dev/agent-team": format!("t{}", number % 500), "kagents.dev/agent": "a"}},
        "spec": {"containers": [{"name": "agent", "image": "agent:1"}]}})
}

fn teams(scene: &Scene<()>) -> Api<DynamicObject> {
    let resource = ApiResource::from_gvk_with_plural(
        &GroupVersionKind::gvk("kagents.dev", "v1alpha1", "AgentTeam"),
        "agentteams",
    );
    Api::namespaced_with(scene.client.clone(), &scene.namespace, &resource)
}

fn pods(scene: &Scene<()>) -> Api<DynamicObject> {
    let resource =
        ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk("", "v1", "Pod"), "pods");
    Api::namespaced_with(scene.client.clone(), &scene.namespace, &resource)
}

async fn create(
    _: &Scene<()>,
    count: usize,
    object: impl Fn(usize) -> Value,
    api: &Api<DynamicObject>,
) {
    let params = PostParams::default();
    stream::iter(0..count)
        .map(|number| serde_json::from_value(object(number)).unwrap())
        .for_each_concurrent(32, |object: DynamicObject| {
            let params = &params;
            async move {
                api.create(params, &object).await.unwrap();
            }
        })
        .await;
}

/// Status writes that the API server has served.
fn writes(rig: &Rig) -> u64 {
    let metrics = rig.kubectl(&["get", "--raw", "/metrics"], "").success();
    let is_write = |line: &&str| {
        line.starts_with("apiserver_request_total{")
            && line.contains(r#"resource="agentteams""#)
            && line.contains(r#"verb="PUT""#)
    };
    let count = |line: &str| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap();
    metrics.lines().filter(is_write).map(count).sum()
}

/// Waits until nothing was written for a while; how much was written in all.
async fn settle(rig: &Rig, quiet: Duration) -> u64 {
    let (mut seen, mut since) = (writes(rig), Instant::now());
    while since.elapsed() < quiet {
        tokio::time::sleep(Duration::from_millis(250)).await;
        let now = writes(rig);
        if now != seen {
            (seen, since) = (now, Instant::now());
        }
    }
    seen
}

fn resident_mib(webhook: &Webhook<'_>) -> f64 {
    let kib = webhook.resident_kib();
    f64::from(u32::try_from(kib).unwrap()) / 1024.0
}

/// From the answer to a change until the condition for it is seen; the slowest but one percent.
async fn changes(teams: &Api<DynamicObject>) -> Duration {
    let mut changed = HashMap::new();
    let mut took = Vec::new();
    let version = teams
        .list_metadata(&kube::api::ListParams::default().limit(1))
        .await
        .unwrap()
        .metadata
        .resource_version
        .unwrap();
    let mut events = teams
        .watch(&WatchParams::default(), &version)
        .await
        .unwrap()
        .boxed();
    let mut next = 0;
    let mut pace = tokio::time::interval(Duration::from_millis(50));
    while took.len() < CHANGES {
        tokio::select! {
            _ = pace.tick(), if next < CHANGES => {
                let number = next * (TEAMS / CHANGES);
                next += 1;
                let patch = json!({"spec": {"teammates": [{"name": format!("new{number}")}]}});
                let start = Instant::now();
                let team = teams.patch(&format!("t{number}"), &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
                changed.insert(team.metadata.name.unwrap(), (start, team.metadata.generation.unwrap()));
            }
            Some(event) = events.next() => {
                let Ok(WatchEvent::Modified(team)) = event else { continue };
                let name = team.metadata.name.clone().unwrap();
                let Some((start, generation)) = changed.get(&name) else { continue };
                let conditions = team.data["status"]["conditions"].as_array().cloned().unwrap_or_default();
                let valid = conditions.iter().find(|condition| condition["type"] == "SkillsValid");
                if valid.is_some_and(|condition| condition["observedGeneration"] == *generation) {
                    took.push(start.elapsed());
                    changed.remove(&name);
                }
            }
            () = tokio::time::sleep(Duration::from_secs(30)) => panic!("{} of {CHANGES} changes were seen", took.len()),
        }
    }
    took.sort();
    took[took.len() * 99 / 100]
}
