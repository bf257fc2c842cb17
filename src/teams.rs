//! Where teams come from: a watch of the cluster, or a directory of files.
//!
//! Either way one task feeds the [`Index`], and admission only reads it. What the cluster's watch has not brought yet
//! can be looked up live.

pub mod cluster;
pub mod directory;

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use arc_swap::ArcSwap;
use thiserror::Error;
use tokio::sync::broadcast;

use crate::team::Team;

/// Every known team, by namespace and name.
#[derive(Debug)]
pub struct Index {
    teams: RwLock<ByNamespace>,
    changes: broadcast::Sender<Key>,
}

/// How many changes may wait for a listener. One that lags behind looks at every team.
const CHANGES_MAX: usize = 1024;

/// The namespace and name of a team.
#[derive(Clone, Debug, Hash, PartialEq, Eq)]
pub struct Key {
    /// The namespace.
    pub namespace: Arc<str>,
    /// The name.
    pub name: Arc<str>,
}

impl Key {
    /// The key of the team `name` in `namespace`.
    #[must_use]
    pub fn new(namespace: &str, name: &str) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
        }
    }
}

impl Default for Index {
    fn default() -> Self {
        Self {
            teams: RwLock::default(),
            changes: broadcast::Sender::new(CHANGES_MAX),
        }
    }
}

type ByNamespace = HashMap<Box<str>, HashMap<Box<str>, Arc<Team>>>;

impl Index {
    /// The team of this name.
    #[must_use]
    pub fn get(&self, namespace: &str, name: &str) -> Option<Arc<Team>> {
        let teams = self.teams.read().unwrap_or_else(PoisonError::into_inner);
        teams.get(namespace)?.get(name).cloned()
    }

    /// How many teams there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.teams
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .values()
            .map(HashMap::len)
            .sum()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The key of every team.
    #[must_use]
    pub fn keys(&self) -> Vec<Key> {
        let teams = self.teams.read().unwrap_or_else(PoisonError::into_inner);
        teams
            .iter()
            .flat_map(|(namespace, named)| named.keys().map(|name| Key::new(namespace, name)))
            .collect()
    }

    /// The keys of teams that change from now on.
    #[must_use]
    pub fn changes(&self) -> broadcast::Receiver<Key> {
        self.changes.subscribe()
    }

    /// Takes in a new or changed team.
    pub fn insert(&self, team: Team) {
        let key = Key::new(&team.namespace, &team.name);
        add(
            &mut self.teams.write().unwrap_or_else(PoisonError::into_inner),
            team,
        );
        self.changed(key);
    }

    /// Forgets a team.
    pub fn remove(&self, namespace: &str, name: &str) {
        let mut teams = self.teams.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(named) = teams.get_mut(namespace) {
            named.remove(name);
            if named.is_empty() {
                teams.remove(namespace);
            }
        }
        drop(teams);
        self.changed(Key::new(namespace, name));
    }

    /// Knows these teams and no others.
    pub fn replace(&self, teams: Vec<Team>) {
        let mut replacement = ByNamespace::new();
        for team in teams {
            add(&mut replacement, team);
        }
        let before = std::mem::replace(
            &mut *self.teams.write().unwrap_or_else(PoisonError::into_inner),
            replacement,
        );
        let after = self.teams.read().unwrap_or_else(PoisonError::into_inner);
        let changed = differences(&before, &after);
        drop(after);
        for key in changed {
            self.changed(key);
        }
    }

    fn changed(&self, key: Key) {
        // Nobody needs to listen.
        let _ = self.changes.send(key);
    }
}

/// The teams that are in one of the two, or differ.
fn differences(before: &ByNamespace, after: &ByNamespace) -> Vec<Key> {
    let differs = |one: &ByNamespace, other: &ByNamespace| -> Vec<Key> {
        let teams = one.iter().flat_map(|(namespace, named)| {
            named
                .iter()
                .map(move |(name, team)| (namespace, name, team))
        });
        teams
            .filter(|(namespace, name, team)| {
                other.get(*namespace).and_then(|named| named.get(*name)) != Some(team)
            })
            .map(|(namespace, name, _)| Key::new(namespace, name))
            .collect()
    };
    let mut keys = differs(after, before);
    keys.extend(differs(before, after).into_iter().filter(|key| {
        after
            .get(&*key.namespace)
            .is_none_or(|named| !named.contains_key(&*key.name))
    }));
    keys
}

fn add(teams: &mut ByNamespace, team: Team) {
    teams
        .entry(team.namespace.clone())
        .or_default()
        .insert(team.name.clone(), Arc::new(team));
}

/// Whether the teams were read yet, and if not, why.
#[derive(Debug)]
pub struct Sync(ArcSwap<Option<String>>);

impl Sync {
    /// # Errors
    /// The reason, while the teams are not known.
    pub fn check(&self) -> Result<(), String> {
        self.0.load().as_ref().clone().map_or(Ok(()), Err)
    }

    /// From now on the teams are known.
    pub fn done(&self) {
        self.0.store(Arc::new(None));
    }

    fn waits(&self, why: String) {
        if self.check().is_err() {
            self.0.store(Arc::new(Some(why)));
        }
    }
}

impl Default for Sync {
    fn default() -> Self {
        Self(ArcSwap::from_pointee(Some(
            "the AgentTeams have not been read yet".to_owned(),
        )))
    }
}

/// The teams that admission asks for.
#[derive(Clone)]
pub struct Teams {
    /// What is known.
    pub index: Arc<Index>,
    /// Whether it is known yet.
    pub sync: Arc<Sync>,
    /// How to ask the cluster, where there is one.
    pub live: Option<cluster::Live>,
}

/// The API server did not say whether there is such a team.
#[derive(Debug, Error)]
#[error("{0}")]
pub struct LookupFailed(pub String);

impl Teams {
    /// Asks the cluster itself. Teams from files have nothing newer than the index, once that is read.
    ///
    /// # Errors
    /// When the API server gave no answer in time, or the files are not read yet.
    pub async fn look_up(
        &self,
        namespace: &str,
        name: &str,
    ) -> Result<Option<Arc<Team>>, LookupFailed> {
        match &self.live {
            Some(live) => live.get(namespace, name).await,
            None => self.sync.check().map(|()| None).map_err(LookupFailed),
        }
    }
}
