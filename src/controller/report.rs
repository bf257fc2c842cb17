//! Writes conditions and events. Nothing is written that is said already, and nobody else's condition is ever lost.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use kube::api::{Api, DynamicObject, PostParams};
use kube::core::ApiResource;
use serde_json::{Value, json};
use thiserror::Error;
use tokio::time::timeout;

use super::coverage::Coverage;
use super::events::Events;
use super::lease::Leadership;
use crate::api::Group;
use crate::condition::{Condition, Reported};
use crate::team::Team;
use crate::teams::cluster::said;

/// How often a write is tried anew at once when somebody else wrote at the same time.
const CONFLICTS_MAX: usize = 5;

/// How long a write may take: less than a lease lasts after its holder stopped to lead.
const WRITE_TIMEOUT: Duration = Duration::from_secs(4);

/// A condition could not be written.
#[derive(Debug, Error)]
#[error("{0}")]
pub struct NotWritten(String);

/// Writes what is to be said.
pub struct Reporter {
    client: Client,
    resource: ApiResource,
    events: Events,
    leadership: Leadership,
}

impl Reporter {
    /// Writes through `client`, as long as this process leads.
    #[must_use]
    pub fn new(client: Client, group: &Group, leadership: Leadership) -> Self {
        Self {
            events: Events::new(client.clone()),
            client,
            resource: group.resource(),
            leadership,
        }
    }

    /// Says `conditions` of `team`, unless its status says them already.
    ///
    /// # Errors
    /// When the API server does not take them; they should be tried again later.
    pub async fn tell_team(&self, team: &Team, conditions: &[Condition]) -> Result<(), NotWritten> {
        if team.reported.says(conditions, team.generation) {
            return Ok(());
        }
        let api = Api::<DynamicObject>::namespaced_with(
            self.client.clone(),
            &team.namespace,
            &self.resource,
        );
        for _ in 0..CONFLICTS_MAX {
            let not_read = |error: kube::Error| NotWritten(said(&error));
            let Some(mut object) = api.get_opt(&team.name).await.map_err(not_read)? else {
                return Ok(());
            };
            if object.metadata.generation.unwrap_or_default() != team.generation {
                // The watch is about to bring a newer team, which will be judged then.
                return Ok(());
            }
            let Some(transitions) = change(&mut object, conditions, team.generation) else {
                return Ok(());
            };
            if !self.leadership.is_leader() {
                return Ok(());
            }
            let params = PostParams::default();
            let written = timeout(
                WRITE_TIMEOUT,
                api.replace_status(&team.name, &params, &object),
            );
            let Ok(written) = written.await else {
                return Err(NotWritten(format!(
                    "the API server did not answer within {WRITE_TIMEOUT:?}"
                )));
            };
            match written {
                Ok(_) => {
                    for condition in transitions {
                        self.events
                            .warn_team(&object, &self.resource, condition)
                            .await;
                    }
                    return Ok(());
                }
                Err(kube::Error::Api(status)) if status.code == 409 => {}
                Err(kube::Error::Api(status)) if status.code == 404 => return Ok(()),
                Err(error) => return Err(NotWritten(said(&error))),
            }
        }
        Err(NotWritten(format!(
            "somebody else wrote the status of the team {CONFLICTS_MAX} times in a row"
        )))
    }

    /// Puts an Event on each Pod whose skills did not arrive, once.
    pub async fn tell_pods(&self, team: &Team, coverage: &Coverage) {
        for trouble in &coverage.uninjected {
            self.events
                .warn_pod(team, trouble, "SkillsNotInjected")
                .await;
        }
        for trouble in &coverage.failing {
            self.events
                .warn_pod(team, trouble, "SkillPullFailing")
                .await;
        }
    }
}

/// Puts the conditions into the object's status; those that turned false. Nothing where the status says them already.
fn change<'c>(
    object: &mut DynamicObject,
    conditions: &'c [Condition],
    generation: i64,
) -> Option<Vec<&'c Condition>> {
    let status = object
        .data
        .as_object_mut()?
        .entry("status")
        .or_insert_with(|| json!({}))
        .as_object_mut()?;
    let list = status.entry("conditions").or_insert_with(|| json!([]));
    if Reported::read(list).says(conditions, generation) {
        return None;
    }
    if list.is_null() {
        *list = Value::Array(Vec::new());
    }
    let list = list.as_array_mut()?;
    let now = Time(Timestamp::now());
    let mut turned_false = Vec::new();
    for condition in conditions {
        let before = condition.put(list, generation, &now);
        if condition.status == "False" && before.as_deref() != Some("False") {
            turned_false.push(condition);
        }
    }
    Some(turned_false)
}
