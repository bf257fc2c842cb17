//! Certificate and authority rotated 200 times under load.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use agentteam_webhook::certs::bundle::Look;
use agentteam_webhook::certs::rotation::Lifetimes;
use agentteam_webhook::certs::secret::Content;
use agentteam_webhook::clock::unix_seconds;
use futures::StreamExt;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{Config, watcher};
use serde_json::json;

use super::replica::Replica;
use super::stage::{Client, SECRET, Stage, within};
use crate::registration::{MUTATING, VALIDATING};

const ROTATIONS: usize = 200;

const DAY: i64 = 86_400;

/// Each step of the clock is two thirds of an authority's life, while the certificate has one third left.
const LIFETIMES: Lifetimes = Lifetimes {
    authority: 3 * DAY,
    leaf: 3 * DAY,
};

/// How old a client's view of the `caBundle` may be.
const SETTLED_AFTER: Duration = Duration::from_millis(200);

/// How old it is in these clients, who would not notice a certificate that is served too early if they always looked first.
const AGE: Duration = Duration::from_millis(100);

/// How many clients go by each configuration.
const CLIENTS: usize = 2;

static PASSED: AtomicI64 = AtomicI64::new(0);

fn clock() -> i64 {
    unix_seconds() + PASSED.load(Ordering::Relaxed)
}

/// What became of the load.
#[derive(Default)]
struct Load {
    over: AtomicBool,
    answered: AtomicUsize,
    /// Failed, and took longer than the time for which an old view is good: proves nothing.
    late: AtomicUsize,
    failed: Mutex<Vec<String>>,
}

impl Load {
    /// Asks one replica after another, with a new connection each, trusting the `caBundle` as it stood a moment ago.
    async fn run(&self, stage: &Stage, replicas: &[Replica], kind: &str) {
        let client = Client::new(&stage.service(), clock);
        for replica in replicas.iter().cycle() {
            if self.over.load(Ordering::Relaxed) {
                return;
            }
            let start = Instant::now();
            let bundle = stage.bundles(kind).await.remove(0);
            tokio::time::sleep(AGE).await;
            let answer = client.ask(replica.address, &bundle).await;
            match answer {
                Ok(_) => _ = self.answered.fetch_add(1, Ordering::Relaxed),
                Err(_) if start.elapsed() >= SETTLED_AFTER => {
                    self.late.fetch_add(1, Ordering::Relaxed);
                }
                Err(error) => self.failed.lock().unwrap().push(error.to_string()),
            }
        }
    }
}

/// When, in the order of the store, each authority was first known to the one and served to the other.
#[derive(Default)]
struct History {
    /// By certificate: the revision at which a kind of configuration first held it in every entry.
    known: HashMap<(Vec<u8>, &'static str), u64>,
    /// By certificate: the revision at which the Secret first held a certificate of it.
    served: HashMap<Vec<u8>, u64>,
}

impl History {
    async fn follow_secret(history: Arc<Mutex<Self>>, secrets: Api<Secret>) {
        let events = watcher(secrets, Config::default()).default_backoff();
        let mut events = events.applied_objects().boxed();
        while let Some(event) = events.next().await {
            let Ok(secret) = event else { continue };
            let revision = secret.metadata.resource_version.unwrap().parse().unwrap();
            let content = Content::read(&secret.data.unwrap_or_default(), None);
            let Some(pair) = &content.pair else { continue };
            let issuer = content.issuer(pair).unwrap().certificate().to_vec();
            history
                .lock()
                .unwrap()
                .served
                .entry(issuer)
                .or_insert(revision);
        }
    }

    async fn follow(
        history: Arc<Mutex<Self>>,
        api: Api<DynamicObject>,
        name: String,
        kind: &'static str,
    ) {
        let config = Config::default().fields(&format!("metadata.name={name}"));
        let mut events = watcher(api, config)
            .default_backoff()
            .applied_objects()
            .boxed();
        while let Some(event) = events.next().await {
            let Ok(object) = event else { continue };
            let revision = object
                .metadata
                .resource_version
                .clone()
                .unwrap()
                .parse()
                .unwrap();
            let look = Look::at(&serde_json::to_value(object).unwrap());
            for authority in look.authorities() {
                if look.holds(&authority) {
                    let key = (authority.certificate().to_vec(), kind);
                    history.lock().unwrap().known.entry(key).or_insert(revision);
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_rotations_under_load_fail_no_request_and_are_known_before_they_are_served() {
    let stage = Arc::new(Stage::new("tls-rotation").await);
    let mut replicas = Vec::new();
    for _ in 0..2 {
        let replica = Replica::start(&stage, |keeper| {
            keeper
                .with_wall_clock(clock)
                .with_lifetimes(LIFETIMES)
                .with_settled_after(SETTLED_AFTER)
        });
        replicas.push(replica.await);
    }
    let replicas = Arc::new(replicas);
    let history = Arc::<Mutex<History>>::default();
    let following = [
        tokio::spawn(History::follow_secret(
            Arc::clone(&history),
            stage.secrets.clone(),
        )),
        tokio::spawn(History::follow(
            Arc::clone(&history),
            stage.api(MUTATING),
            stage.configuration.clone(),
            MUTATING,
        )),
        tokio::spawn(History::follow(
            Arc::clone(&history),
            stage.api(VALIDATING),
            stage.configuration.clone(),
            VALIDATING,
        )),
    ];
    let limit = Duration::from_mins(1);
    within(limit, "the first certificate", || async {
        stage.is_known().await
            && replicas
                .iter()
                .all(|replica| replica.served.check(clock()).is_ok())
    })
    .await;
    let load = Arc::<Load>::default();
    let kinds = [[MUTATING; CLIENTS], [VALIDATING; CLIENTS]].concat();
    let clients = kinds.into_iter().map(|kind| {
        let (load, stage, replicas) =
            (Arc::clone(&load), Arc::clone(&stage), Arc::clone(&replicas));
        tokio::spawn(async move { load.run(&stage, &replicas, kind).await })
    });
    let clients: Vec<_> = clients.collect();

    let start = Instant::now();
    let mut most = 0;
    for rotation in 0..ROTATIONS {
        let before = stage.content().await.unwrap();
        PASSED.fetch_add(2 * DAY + 900, Ordering::Relaxed);
        // Nobody need wait for the next look at the clock.
        let wake =
            json!({"metadata": {"annotations": {"rig.test/rotation": rotation.to_string()}}});
        stage
            .secrets
            .patch(SECRET, &PatchParams::default(), &Patch::Merge(wake))
            .await
            .unwrap();
        within(limit, "a new authority in service everywhere", || async {
            let content = stage.content().await.unwrap();
            let pair = content.pair.as_ref().unwrap();
            content.authorities[0] != before.authorities[0]
                && content.authorities[0].certified(pair)
                && replicas
                    .iter()
                    .all(|replica| replica.served.not_after() == pair.validity().not_after)
        })
        .await;
        most = most.max(stage.content().await.unwrap().authorities.len());
    }
    let took = start.elapsed();
    load.over.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.unwrap();
    }

    let (answered, late) = (
        load.answered.load(Ordering::Relaxed),
        load.late.load(Ordering::Relaxed),
    );
    println!("{ROTATIONS} rotations in {took:?}, {answered} requests answered, {late} late");
    let failed = std::mem::take(&mut *load.failed.lock().unwrap());
    assert!(
        failed.is_empty(),
        "{} of {answered} failed: {:?}",
        failed.len(),
        failed.first()
    );
    assert!(answered > 5 * ROTATIONS, "{answered} requests are no load");
    assert!(
        late * 100 <= answered,
        "{late} of {answered} are too late to tell"
    );
    assert!(most <= 4, "authorities are forgotten: there were {most}");
    let errors: u64 = replicas
        .iter()
        .map(|replica| replica.served.metrics.errors.get())
        .sum();
    assert_eq!(errors, 0);

    // The histories end with the last event, which may be under way.
    within(limit, "the whole history", || async {
        history.lock().unwrap().served.len() > ROTATIONS
    })
    .await;
    for task in following {
        task.abort();
    }
    let history = history.lock().unwrap();
    let first = history.served.values().min().unwrap();
    for (authority, served) in &history.served {
        for kind in [MUTATING, VALIDATING] {
            let known = history.known.get(&(authority.clone(), kind));
            let known = known.expect("each authority is made known");
            assert!(
                known < served || served == first,
                "{kind}: known at {known}, served at {served}"
            );
        }
    }
}
