//! The Pods that name a team, watched; of each, only what [`coverage`](super::coverage) needs is kept.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures::StreamExt;
use kube::api::{Api, DynamicObject};
use kube::core::{ApiResource, GroupVersionKind};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Client, ResourceExt};

use super::coverage::{AgentPod, Coverage};
use super::queue::Queue;
use crate::api::Keys;
use crate::clock::unix_seconds;
use crate::team::Team;
use crate::teams::Key;
use crate::teams::cluster::watch_problem;

/// The Pods of each team.
pub struct Pods {
    teams: Mutex<ByTeam>,
    /// How many of the two watches have not listed what is there.
    unlisted: tokio::sync::watch::Sender<usize>,
}

type ByTeam = HashMap<Key, HashMap<Box<str>, AgentPod>>;

impl Default for Pods {
    fn default() -> Self {
        Self {
            teams: Mutex::default(),
            unlisted: tokio::sync::watch::Sender::new(2),
        }
    }
}

impl Pods {
    /// What became of the skills of `team`; nothing before all Pods are known, for then it would say too little.
    #[must_use]
    pub fn coverage(&self, team: &Team) -> Option<Coverage> {
        if *self.unlisted.borrow() > 0 {
            return None;
        }
        let pods = self.lock();
        let of_team = pods
            .get(&Key::new(&team.namespace, &team.name))
            .into_iter()
            .flatten();
        let named = of_team.map(|(name, pod)| (&**name, pod));
        Some(Coverage::of(team, named, unix_seconds()))
    }

    /// Waits until all Pods are known.
    pub async fn listed(&self) {
        // The sender is ours, so the channel stays open.
        let _ = self.unlisted.subscribe().wait_for(|left| *left == 0).await;
    }

    /// The teams with a Pod that is pulling.
    #[must_use]
    pub fn pulling(&self) -> Vec<Key> {
        let pods = self.lock();
        let pulling = pods
            .iter()
            .filter(|(_, pods)| pods.values().any(AgentPod::is_pulling));
        pulling.map(|(key, _)| key.clone()).collect()
    }

    /// Takes in a Pod; whether that changed anything.
    fn insert(&self, key: Key, name: Box<str>, pod: AgentPod) -> bool {
        self.lock()
            .entry(key)
            .or_default()
            .insert(name, pod.clone())
            != Some(pod)
    }

    fn remove(&self, key: &Key, name: &str) {
        let mut pods = self.lock();
        if let Some(of_team) = pods.get_mut(key) {
            of_team.remove(name);
            if of_team.is_empty() {
                pods.remove(key);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, ByTeam> {
        self.teams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps `pods` as the cluster is and queues the team of each that changes, for ever.
pub async fn watch(client: &Client, keys: &Keys, pods: &Pods, queue: &Queue) {
    // A selector cannot say "or". The second leaves out what the first has.
    let selectors = [
        keys.agent_team.clone(),
        format!("{},!{}", keys.team, keys.agent_team),
    ];
    let [first, second] = selectors.map(|selector| {
        Watch {
            keys,
            pods,
            queue,
            known: HashMap::new(),
        }
        .run(client, selector)
    });
    tokio::join!(first, second);
}

/// One of the two watches.
struct Watch<'a> {
    keys: &'a Keys,
    pods: &'a Pods,
    queue: &'a Queue,
    /// The team of each Pod that this watch brought.
    known: HashMap<PodName, Key>,
}

type PodName = (Box<str>, Box<str>);

impl Watch<'_> {
    async fn run(mut self, client: &Client, selector: String) {
        let resource =
            ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk("", "v1", "Pod"), "pods");
        let api = Api::<DynamicObject>::all_with(client.clone(), &resource);
        let mut events = watcher(api, watcher::Config::default().labels(&selector))
            .default_backoff()
            .boxed();
        let (mut listed, mut is_first) = (HashSet::new(), true);
        while let Some(event) = events.next().await {
            match event {
                Ok(Event::Init) => listed.clear(),
                Ok(Event::InitApply(object)) => {
                    listed.insert(pod_name(&object));
                    self.apply(&object);
                }
                Ok(Event::InitDone) => {
                    let gone: Vec<_> = self
                        .known
                        .keys()
                        .filter(|name| !listed.contains(*name))
                        .cloned()
                        .collect();
                    for name in &gone {
                        self.forget(name);
                    }
                    if std::mem::take(&mut is_first) {
                        self.pods.unlisted.send_modify(|left| *left -= 1);
                    }
                }
                Ok(Event::Apply(object)) => self.apply(&object),
                Ok(Event::Delete(object)) => self.forget(&pod_name(&object)),
                Err(error) => {
                    let problem = watch_problem(&error, "pods");
                    tracing::warn!(
                        problem,
                        "the watch of Pods is interrupted and will be tried again"
                    );
                }
            }
        }
    }

    fn apply(&mut self, object: &DynamicObject) {
        let name = pod_name(object);
        let Some((team, pod)) = read(object, self.keys) else {
            return self.forget(&name);
        };
        let key = Key::new(&name.0, &team);
        if self.known.get(&name).is_some_and(|before| *before != key) {
            self.forget(&name);
        }
        if self.pods.insert(key.clone(), name.1.clone(), pod) {
            self.queue.push(key.clone());
        }
        self.known.insert(name, key);
    }

    fn forget(&mut self, name: &PodName) {
        if let Some(key) = self.known.remove(name) {
            self.pods.remove(&key, &name.1);
            self.queue.push(key);
        }
    }
}

fn read(object: &DynamicObject, keys: &Keys) -> Option<(Box<str>, AgentPod)> {
    AgentPod::read(&serde_json::to_value(object).ok()?, keys)
}

fn pod_name(object: &DynamicObject) -> PodName {
    (
        object.namespace().unwrap_or_default().into(),
        object.name_any().into(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::team::Identity;
    use serde_json::Value;

    #[test]
    fn nothing_is_said_of_a_team_before_both_watches_have_listed() {
        let (pods, team) = (
            Pods::default(),
            Team::read(Identity::default(), &Value::Null),
        );
        for _ in 0..2 {
            assert_eq!(pods.coverage(&team), None);
            pods.unlisted.send_modify(|left| *left -= 1);
        }
        assert_eq!(pods.coverage(&team), Some(Coverage::default()));
    }
}
