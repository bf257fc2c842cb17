//! Teams from the API server: a watch that feeds the index, and live look-ups for what the watch has not brought yet.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use futures::StreamExt;
use kube::api::{Api, DynamicObject};
use kube::core::ApiResource;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Client, ResourceExt};
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::{Index, LookupFailed, Sync};
use crate::api::{Group, Keys};
use crate::clock::unix_seconds;
use crate::condition::Reported;
use crate::team::{Identity, Team};

/// How long a Pod waits for a look-up of its team. The API server gives a webhook 5 s in all.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(1);

/// How many look-ups are under way at once: a flood of Pods with a wrong label must not become a flood of requests.
const LOOKUPS_AT_ONCE: usize = 16;

/// Looks single teams up in the cluster.
#[derive(Clone)]
pub struct Live {
    client: Client,
    resource: ApiResource,
    keys: Keys,
    slots: Arc<Semaphore>,
}

impl Live {
    /// Look-ups through `client`.
    #[must_use]
    pub fn new(client: Client, group: &Group) -> Self {
        Self {
            client,
            resource: group.resource(),
            keys: Keys::of(group),
            slots: Arc::new(Semaphore::new(LOOKUPS_AT_ONCE)),
        }
    }

    /// The team as the API server knows it now.
    ///
    /// # Errors
    /// When the API server gave no answer within a second.
    pub async fn get(
        &self,
        namespace: &str,
        name: &str,
    ) -> Result<Option<Arc<Team>>, LookupFailed> {
        let api =
            Api::<DynamicObject>::namespaced_with(self.client.clone(), namespace, &self.resource);
        let answer = timeout(LOOKUP_TIMEOUT, async {
            let _slot = self.slots.acquire().await;
            api.get_opt(name).await
        });
        match answer.await {
            Ok(Ok(object)) => Ok(object.map(|object| Arc::new(team(&object, &self.keys)))),
            Ok(Err(error)) => Err(LookupFailed(said(&error))),
            Err(_) => Err(LookupFailed(format!(
                "the API server did not answer within {LOOKUP_TIMEOUT:?}"
            ))),
        }
    }
}

/// When the watch last brought anything, in seconds since 1970; 0 before the first time.
#[derive(Debug, Default)]
pub struct LastEvent(AtomicI64);

impl LastEvent {
    /// Seconds since 1970.
    #[must_use]
    pub fn get(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }

    fn now(&self) {
        self.0.store(unix_seconds(), Ordering::Relaxed);
    }
}

/// Keeps `index` as the cluster is, for ever.
pub async fn watch(
    client: Client,
    group: Group,
    index: Arc<Index>,
    sync: Arc<Sync>,
    last_event: Arc<LastEvent>,
) {
    let resource = group.resource();
    let keys = Keys::of(&group);
    let api = Api::<DynamicObject>::all_with(client, &resource);
    let mut events = watcher(api, watcher::Config::default())
        .default_backoff()
        .boxed();
    let mut listed = Vec::new();
    while let Some(event) = events.next().await {
        match event {
            Ok(event) => {
                last_event.now();
                match event {
                    Event::Init => listed = Vec::new(),
                    Event::InitApply(object) => listed.push(team(&object, &keys)),
                    Event::InitDone => {
                        index.replace(std::mem::take(&mut listed));
                        if sync.check().is_err() {
                            tracing::info!(teams = index.len(), "teams are known");
                        }
                        sync.done();
                    }
                    Event::Apply(object) => index.insert(team(&object, &keys)),
                    Event::Delete(object) => {
                        index.remove(&object.namespace().unwrap_or_default(), &object.name_any());
                    }
                }
            }
            Err(error) => {
                let problem = watch_problem(&error, &format!("agentteams.{group}"));
                tracing::warn!(
                    problem,
                    "the watch of AgentTeams is interrupted and will be tried again"
                );
                sync.waits(problem);
            }
        }
    }
}

/// Keeps of an object what this crate needs.
fn team(object: &DynamicObject, keys: &Keys) -> Team {
    let identity = Identity {
        namespace: object.namespace().unwrap_or_default(),
        name: object.name_any(),
        generation: object.metadata.generation.unwrap_or_default(),
        deleting: object.metadata.deletion_timestamp.is_some(),
        delivery: object.annotations().get(&keys.delivery).cloned(),
        verify_key: object.annotations().get(&keys.verify_key).cloned(),
        reported: Reported::read(
            object
                .data
                .pointer("/status/conditions")
                .unwrap_or(&Value::Null),
        ),
    };
    Team::read(identity, object.data.get("spec").unwrap_or(&Value::Null))
}

/// Why a watch of `resource` is interrupted.
pub(crate) fn watch_problem(error: &watcher::Error, resource: &str) -> String {
    let status = match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status))
        | watcher::Error::WatchFailed(kube::Error::Api(status))
        | watcher::Error::WatchError(status) => status,
        other => return chain(other),
    };
    match status.code {
        404 => format!("the resource {resource} is not installed in the cluster"),
        // The message names who may not do what.
        code => format!("the API server said {code}: {}", status.message),
    }
}

/// What became of a request, in words for people.
pub(crate) fn said(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => {
            format!("the API server said {}: {}", status.code, status.message)
        }
        other => chain(other),
    }
}

/// An error and what caused it.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}
