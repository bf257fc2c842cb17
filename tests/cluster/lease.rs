//! Leader election on a real API server, with the rights that the manifests give.

use std::io::{self, Write};
use std::path::PathBuf;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use agentteam_webhook::controller::lease::{Candidate, Leadership, NAME};
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use kube::api::{Api, DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::rig::Rig;
use crate::scene::{account, grant_lease, install};

/// A namespace with the shipped Role, so that no test shares its lease with another.
struct Stage {
    rig: &'static Rig,
    namespace: String,
    kubeconfig: PathBuf,
    /// The lease, as an administrator sees it.
    leases: Api<Lease>,
}

impl Stage {
    async fn new(prefix: &str) -> Self {
        let stage = Self::without_role(prefix).await;
        stage.grant("agentteam-webhook", "agentteam-system");
        let kubeconfig = account(stage.rig).await;
        Self {
            kubeconfig,
            ..stage
        }
    }

    /// Candidates have the rights of the namespace's default account, which are none.
    async fn without_role(prefix: &str) -> Self {
        let rig = Rig::get();
        install(rig);
        let namespace = rig.namespace(prefix, &[]).await;
        let kubeconfig = rig.service_account_kubeconfig(&namespace, "default").await;
        let leases = Api::namespaced(rig.client().await, &namespace);
        Self {
            rig,
            namespace,
            kubeconfig,
            leases,
        }
    }

    /// Gives the shipped Role, in this namespace, to an account.
    fn grant(&self, name: &str, namespace: &str) {
        grant_lease(self.rig, &self.namespace, name, namespace);
    }

    async fn candidate(&self, name: &str) -> Candidate {
        let client = self.rig.client_as(&self.kubeconfig).await;
        Candidate::new(client, self.namespace.clone(), NAME.to_owned(), name)
    }

    async fn replica(&self, name: &str) -> Replica {
        Replica::start(self.candidate(name).await)
    }

    async fn replicas<const N: usize>(&self, names: [&str; N]) -> Replicas {
        let mut replicas = Vec::new();
        for name in names {
            replicas.push(self.replica(name).await);
        }
        Replicas::of(replicas)
    }

    async fn record(&self) -> LeaseSpec {
        self.leases.get(NAME).await.unwrap().spec.unwrap()
    }

    /// The record, once it names this replica.
    async fn record_of(&self, replica: &Replica) -> LeaseSpec {
        let record = self.record().await;
        assert_eq!(
            record.holder_identity.as_deref(),
            Some(&*replica.identity),
            "{record:?}"
        );
        record
    }
}

/// A candidate at work in a task of its own.
struct Replica {
    identity: String,
    leadership: Leadership,
    task: JoinHandle<()>,
    stop: Option<oneshot::Sender<()>>,
    paused: watch::Sender<bool>,
}

impl Replica {
    fn start(candidate: Candidate) -> Self {
        let identity = candidate.identity().to_owned();
        let (stop, stopped) = oneshot::channel();
        let (paused, mut gate) = watch::channel(false);
        let (leadership, campaign) = candidate.campaign(async {
            let _ = stopped.await;
        });
        let task = tokio::spawn(async move {
            let mut campaign = pin!(campaign);
            loop {
                let _ = gate.wait_for(|paused| !paused).await;
                tokio::select! {
                    biased;
                    Ok(_) = gate.wait_for(|paused| *paused) => {}
                    () = &mut campaign => return,
                }
            }
        });
        Self {
            identity,
            leadership,
            task,
            stop: Some(stop),
            paused,
        }
    }

    /// Ends it as a SIGTERM does.
    async fn stop(&mut self) {
        self.stop.take().unwrap().send(()).unwrap();
        (&mut self.task).await.unwrap();
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Replicas of which no two may ever lead at once: a task looks at all of them every few milliseconds.
struct Replicas {
    replicas: Vec<Replica>,
    watcher: JoinHandle<()>,
}

impl Replicas {
    fn of(replicas: Vec<Replica>) -> Self {
        let handles: Vec<_> = replicas
            .iter()
            .map(|replica| replica.leadership.clone())
            .collect();
        let watcher = tokio::spawn(async move {
            loop {
                let leaders: Vec<_> = handles.iter().filter(|handle| handle.is_leader()).collect();
                // They were asked one after the other: two led at once only if the first did so even after the last.
                let two = leaders.len() > 1 && leaders[0].is_leader();
                assert!(!two, "{} replicas lead at once", leaders.len());
                sleep(Duration::from_millis(2)).await;
            }
        });
        Self { replicas, watcher }
    }

    /// Which of them leads, as soon as one other than `not` does; and after how long.
    async fn leader(&self, not: Option<usize>, within: Duration) -> (usize, Duration) {
        let start = Instant::now();
        loop {
            let mut others = (0..self.replicas.len()).filter(|&index| Some(index) != not);
            if let Some(index) = others.find(|&index| self.replicas[index].leadership.is_leader()) {
                return (index, start.elapsed());
            }
            assert!(start.elapsed() < within, "nobody leads after {within:?}");
            sleep(Duration::from_millis(2)).await;
        }
    }

    /// Goes on for a while, in which `leader` leads at every moment, and so no other does.
    async fn stays(&self, leader: usize, time: Duration) {
        let start = Instant::now();
        while start.elapsed() < time {
            assert!(self.replicas[leader].leadership.is_leader());
            sleep(Duration::from_millis(2)).await;
        }
    }

    /// Ends the test, in which no two have led at once.
    fn end(self) {
        assert!(!self.watcher.is_finished(), "two replicas led at once");
        self.watcher.abort();
    }
}

const SOON: Duration = Duration::from_secs(3);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_three_leads_and_its_release_lets_another() {
    let stage = Stage::new("lease").await;
    let mut three = stage.replicas(["one", "two", "three"]).await;

    let (first, _) = three.leader(None, SOON).await;
    three.stays(first, Duration::from_secs(3)).await;
    let record = stage.record_of(&three.replicas[first]).await;
    assert_eq!(record.lease_transitions, Some(0));
    assert_eq!(record.lease_duration_seconds, Some(15));
    assert!(record.renew_time > record.acquire_time, "{record:?}");
    let mut leadership = three.replicas[first].leadership.clone();

    three.replicas[first].stop().await;

    leadership.lost().await;
    assert!(!leadership.elected().await, "its campaign has ended");
    let (second, after) = three.leader(Some(first), SOON).await;
    println!("released: a new leader after {after:?}");
    let record = stage.record_of(&three.replicas[second]).await;
    assert_eq!(record.lease_transitions, Some(1));

    for index in (0..3).filter(|&index| index != first) {
        three.replicas[index].stop().await;
    }
    let record = stage.record().await;
    assert_eq!(record.holder_identity.as_deref(), Some(""), "{record:?}");
    three.end();
}

/// The one slow test: a lease that nobody released is left to its holder for 15 s.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_release_another_leads_when_the_lease_has_run_out() {
    tokio::join!(killed(), paused());
}

async fn killed() {
    let stage = Stage::new("lease-killed").await;
    let three = stage.replicas(["one", "two", "three"]).await;
    let (first, _) = three.leader(None, SOON).await;
    // The others have seen it.
    three.stays(first, SOON).await;

    three.replicas[first].task.abort();

    let (second, after) = three.leader(Some(first), Duration::from_secs(20)).await;
    println!("killed: a new leader after {after:?}");
    assert!(after > Duration::from_secs(10), "{after:?}");
    assert!(!three.replicas[first].leadership.is_leader());
    let record = stage.record_of(&three.replicas[second]).await;
    assert_eq!(record.lease_transitions, Some(1));
    three.end();
}

async fn paused() {
    let stage = Stage::new("lease-paused").await;
    let three = stage.replicas(["one", "two", "three"]).await;
    let (first, _) = three.leader(None, SOON).await;
    three.stays(first, SOON).await;
    let start = Instant::now();
    let mut leadership = three.replicas[first].leadership.clone();

    three.replicas[first].paused.send_replace(true);

    leadership.lost().await;
    let led_on = start.elapsed();
    let (second, _) = three.leader(Some(first), Duration::from_secs(20)).await;
    let after = start.elapsed();
    println!("paused: led on for {led_on:?}; a new leader after {after:?}");
    assert!(led_on < Duration::from_millis(10_500), "{led_on:?}");
    assert!(after < Duration::from_secs(20), "{after:?}");

    three.replicas[first].paused.send_replace(false);

    three.stays(second, SOON).await;
    stage.record_of(&three.replicas[second]).await;
    three.end();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clocks_five_minutes_apart_do_no_harm() {
    const BEHIND: Clock = || SystemTime::now() - Duration::from_secs(150);
    const AHEAD: Clock = || SystemTime::now() + Duration::from_secs(150);
    // By the follower's clock the leader has not renewed for five minutes; or has renewed in five minutes.
    tokio::join!(apart(BEHIND, AHEAD), apart(AHEAD, BEHIND));
}

type Clock = fn() -> SystemTime;

async fn apart(leader: Clock, follower: Clock) {
    let stage = Stage::new("lease-clocks").await;
    let leader = Replica::start(stage.candidate("leader").await.with_wall_clock(leader));
    leader.leadership.clone().elected().await;
    let follower = stage.candidate("follower").await.with_wall_clock(follower);
    let mut two = Replicas::of(vec![leader, Replica::start(follower)]);
    two.stays(0, Duration::from_secs(6)).await;

    two.replicas[0].stop().await;

    two.leader(Some(0), SOON).await;
    stage.record_of(&two.replicas[1]).await;
    two.end();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_that_was_suspended_leads_only_after_it_has_renewed() {
    static SLEPT: AtomicU64 = AtomicU64::new(0);
    let stage = Stage::new("lease-suspended").await;
    let candidate = stage
        .candidate("one")
        .await
        .with_wall_clock(|| SystemTime::now() + Duration::from_secs(SLEPT.load(Ordering::Relaxed)));
    let one = Replicas::of(vec![Replica::start(candidate)]);
    one.leader(None, SOON).await;
    one.stays(0, Duration::from_millis(100)).await;
    let before = stage.record_of(&one.replicas[0]).await;

    SLEPT.store(600, Ordering::Relaxed);

    assert!(!one.replicas[0].leadership.is_leader());
    one.leader(None, SOON).await;
    let after = stage.record_of(&one.replicas[0]).await;
    assert!(after.renew_time > before.renew_time);
    one.end();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_that_is_deleted_or_emptied_stays_with_its_holder() {
    tokio::join!(deleted(), emptied());
}

async fn deleted() {
    let stage = Stage::new("lease-deleted").await;
    let three = stage.replicas(["one", "two", "three"]).await;
    let (first, _) = three.leader(None, SOON).await;
    three.stays(first, SOON).await;
    let before = stage.leases.get(NAME).await.unwrap();

    let deleted = stage.leases.delete(NAME, &DeleteParams::default()).await;

    deleted.unwrap();
    three.stays(first, SOON).await;
    stage.record_of(&three.replicas[first]).await;
    let after = stage.leases.get(NAME).await.unwrap();
    assert_ne!(after.metadata.uid, before.metadata.uid);
    three.end();
}

async fn emptied() {
    let stage = Stage::new("lease-emptied").await;
    let three = stage.replicas(["one", "two", "three"]).await;
    let (first, _) = three.leader(None, SOON).await;
    three.stays(first, SOON).await;

    let patch = Patch::Merge(json!({"metadata": {"labels": {"somebodys": "own"}}, "spec": null}));
    let params = PatchParams::default();
    let patched = stage.leases.patch(NAME, &params, &patch).await.unwrap();
    let patched = patched.spec.unwrap_or_default();
    assert_eq!(patched, LeaseSpec::default());

    three.stays(first, SOON).await;
    let record = stage.record_of(&three.replicas[first]).await;
    assert_eq!(record.lease_transitions, Some(0), "it never changed hands");
    let after = stage.leases.get(NAME).await.unwrap();
    let labels = after.metadata.labels.unwrap();
    assert_eq!(labels["somebodys"], "own", "what is not ours is left");
    three.end();
}

// In one thread, whose log is caught.
#[tokio::test]
async fn who_lacks_the_right_says_so_once_and_leads_as_soon_as_it_has_it() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .json()
        .with_writer(move || writer.clone());
    let _guard = tracing::subscriber::set_default(subscriber.finish());
    let stage = Stage::without_role("lease-rights").await;
    let replica = stage.replica("one").await;

    // Long enough for a second try.
    sleep(SOON).await;

    let warnings = log.warnings();
    let problem = warnings[0]["fields"]["problem"].as_str().unwrap();
    let namespace = &stage.namespace;
    assert!(
        problem.starts_with(&format!(
            "this webhook may not get leases.coordination.k8s.io in namespace {namespace}: "
        )),
        "{problem}"
    );
    assert!(
        problem.contains(&format!("system:serviceaccount:{namespace}:default")),
        "{problem}"
    );
    assert_eq!(warnings.len(), 1, "{warnings:?}");

    stage.grant("default", namespace);

    let start = Instant::now();
    while !replica.leadership.is_leader() {
        assert!(
            start.elapsed() < Duration::from_secs(5),
            "{:?}",
            log.warnings()
        );
        sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn the_shipped_role_is_for_one_lease_in_one_namespace() {
    let rig = Rig::get();
    install(rig);
    let account = "--as=system:serviceaccount:agentteam-system:agentteam-webhook";
    let can = |verb: &str, resource: &str, namespace: &str| {
        let args = ["auth", "can-i", verb, resource, "-n", namespace, account];
        rig.kubectl(&args, "").stdout.trim() == "yes"
    };
    let (ours, other) = (
        "leases.coordination.k8s.io/agentteam-webhook",
        "leases.coordination.k8s.io/other",
    );
    for (verb, resource) in [
        ("get", ours),
        ("update", ours),
        ("create", "leases.coordination.k8s.io"),
    ] {
        assert!(can(verb, resource, "agentteam-system"), "{verb} {resource}");
        assert!(!can(verb, resource, "kube-system"), "{verb} {resource}");
    }
    for (verb, resource) in [
        ("get", other),
        ("update", other),
        ("delete", ours),
        ("patch", ours),
        ("list", "leases.coordination.k8s.io"),
        ("watch", "leases.coordination.k8s.io"),
    ] {
        assert!(
            !can(verb, resource, "agentteam-system"),
            "{verb} {resource}"
        );
    }
}

/// What was logged, one JSON object a line.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn warnings(&self) -> Vec<Value> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
        lines
            .filter(|line: &Value| line["level"] == "WARN")
            .collect()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
