//! Warning Events, each once: its name is made from what it says, so that a second one meets the first.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Mutex, PoisonError};

use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, DynamicObject, ObjectMeta, PostParams};
use kube::core::ApiResource;
use kube::{Client, ResourceExt};

use super::coverage::Trouble;
use crate::condition::Condition;
use crate::team::Team;
use crate::teams::cluster::said;

/// Who writes.
const COMPONENT: &str = "agentteam-webhook";

/// The longest note that the API accepts.
const MESSAGE_MAX: usize = 1024;

/// Writes Events.
pub(super) struct Events {
    client: Client,
    /// What was said of Pods, so that it is not even tried again.
    told: Mutex<HashSet<u64>>,
}

/// How much is remembered of what was said.
const TOLD_MAX: usize = 100_000;

impl Events {
    pub(super) fn new(client: Client) -> Self {
        Self {
            client,
            told: Mutex::default(),
        }
    }

    /// Says on the team that a condition turned false.
    pub(super) async fn warn_team(
        &self,
        object: &DynamicObject,
        resource: &ApiResource,
        condition: &Condition,
    ) {
        let regarding = ObjectReference {
            api_version: Some(resource.api_version.clone()),
            kind: Some(resource.kind.clone()),
            name: Some(object.name_any()),
            namespace: object.namespace(),
            uid: object.uid(),
            ..ObjectReference::default()
        };
        // A condition that turns false again is another event.
        let turn = Timestamp::now().as_second();
        self.write(
            regarding,
            condition.reason,
            &condition.message,
            &turn.to_string(),
        )
        .await;
    }

    /// Says on a Pod that its skills did not arrive.
    pub(super) async fn warn_pod(&self, team: &Team, trouble: &Trouble, reason: &'static str) {
        let regarding = ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Pod".to_owned()),
            name: Some(trouble.pod.clone()),
            namespace: Some(team.namespace.to_string()),
            uid: Some(trouble.uid.clone()),
            ..ObjectReference::default()
        };
        let message = format!("AgentTeam {}: {}", team.name, trouble.what);
        self.write(regarding, reason, &message, "").await;
    }

    async fn write(
        &self,
        regarding: ObjectReference,
        reason: &'static str,
        message: &str,
        turn: &str,
    ) {
        let (name, namespace) = (
            regarding.name.clone().unwrap_or_default(),
            regarding.namespace.clone().unwrap_or_default(),
        );
        let mut hasher = DefaultHasher::new();
        (&regarding.uid, reason, turn).hash(&mut hasher);
        let id = hasher.finish();
        if self.was_told(id) {
            return;
        }
        let now = Time(Timestamp::now());
        let event = Event {
            metadata: ObjectMeta {
                name: Some(format!("{}.{:016x}", name.get(..200).unwrap_or(&name), id)),
                namespace: Some(namespace.clone()),
                ..ObjectMeta::default()
            },
            involved_object: regarding,
            type_: Some("Warning".to_owned()),
            reason: Some(reason.to_owned()),
            message: Some(message.chars().take(MESSAGE_MAX).collect()),
            source: Some(EventSource {
                component: Some(COMPONENT.to_owned()),
                ..EventSource::default()
            }),
            first_timestamp: Some(now.clone()),
            last_timestamp: Some(now),
            count: Some(1),
            ..Event::default()
        };
        let api = Api::<Event>::namespaced(self.client.clone(), &namespace);
        match api.create(&PostParams::default(), &event).await {
            Ok(_) => {}
            Err(kube::Error::Api(status)) if status.code == 409 => {}
            Err(error) => {
                tracing::warn!(problem = said(&error), namespace, name, "an Event is lost");
            }
        }
    }

    fn was_told(&self, id: u64) -> bool {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.len() >= TOLD_MAX {
            told.clear();
        }
        !told.insert(id)
    }
}
