//! What an API server can do to the watch of teams, played by a mock.

#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test says what it expects by failing"
)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use agentteam_webhook::api::Group;
use agentteam_webhook::teams::cluster::{self, LastEvent};
use agentteam_webhook::teams::{Index, Sync};
use axum::http::{Request, Response};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use tower_test::mock::{self, Handle};

type Server = Handle<Request<Body>, Response<Body>>;

/// A watch that talks to a mock.
struct Watch {
    server: Server,
    index: Arc<Index>,
    sync: Arc<Sync>,
    last_event: Arc<LastEvent>,
}

impl Watch {
    fn start() -> Self {
        let (service, server) = mock::pair::<Request<Body>, Response<Body>>();
        let client = Client::new(service, "default");
        let (index, sync, last_event) = (
            Arc::<Index>::default(),
            Arc::<Sync>::default(),
            Arc::<LastEvent>::default(),
        );
        tokio::spawn(cluster::watch(
            client,
            Group::default(),
            Arc::clone(&index),
            Arc::clone(&sync),
            Arc::clone(&last_event),
        ));
        Self {
            server,
            index,
            sync,
            last_event,
        }
    }

    /// Answers the next request, whose query must say whether it is a watch.
    async fn answer(&mut self, is_watch: bool, status: u16, body: String) {
        let (request, respond) = self.server.next_request().await.unwrap();
        let uri = request.uri().to_string();
        assert!(
            uri.starts_with("/apis/kagents.dev/v1alpha1/agentteams?"),
            "{uri}"
        );
        assert_eq!(uri.contains("watch=true"), is_watch, "{uri}");
        respond.send_response(
            Response::builder()
                .status(status)
                .body(Body::from(body.into_bytes()))
                .unwrap(),
        );
    }

    async fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let start = Instant::now();
        while !holds(self) {
            assert!(
                start.elapsed() < Duration::from_secs(5),
                "{what}: not within 5 s"
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    fn knows(&self, name: &str) -> bool {
        self.index.get("ns", name).is_some()
    }
}

fn team(name: &str) -> Value {
    json!({"apiVersion": "kagents.dev/v1alpha1", "kind": "AgentTeam", "metadata": {"name": name, "namespace": "ns", "resourceVersion": "1"}, "spec": {"lead": {}}})
}

fn list(names: &[&str]) -> String {
    let items: Vec<_> = names.iter().map(|name| team(name)).collect();
    json!({"apiVersion": "kagents.dev/v1alpha1", "kind": "AgentTeamList", "metadata": {"resourceVersion": "1"}, "items": items}).to_string()
}

fn failure(code: u16, reason: &str, message: &str) -> String {
    json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": message}).to_string()
}

/// Events of a watch, a line each.
fn events(events: &[Value]) -> String {
    events
        .iter()
        .map(|event| format!("{event}\n"))
        .collect::<Vec<_>>()
        .concat()
}

#[tokio::test]
async fn after_a_410_the_teams_are_fresh_again_within_5_seconds() {
    let mut watch = Watch::start();
    watch.answer(false, 200, list(&["one", "gone"])).await;
    let gone: Value =
        serde_json::from_str(&failure(410, "Expired", "too old resource version")).unwrap();
    watch
        .answer(
            true,
            200,
            events(&[
                json!({"type": "ADDED", "object": team("two")}),
                json!({"type": "ERROR", "object": gone}),
            ]),
        )
        .await;
    watch
        .until("the first list", |watch| {
            watch.sync.check().is_ok() && watch.knows("two")
        })
        .await;
    assert!(watch.last_event.get() > 0);

    watch.answer(false, 200, list(&["one", "three"])).await;

    watch
        .until("the second list", |watch| watch.knows("three"))
        .await;
    assert!(
        watch.knows("one") && !watch.knows("gone") && !watch.knows("two"),
        "what is not listed is gone"
    );
}

#[tokio::test]
async fn a_definition_that_is_missing_is_said_and_picked_up_when_it_appears() {
    let mut watch = Watch::start();
    assert!(
        watch.sync.check().is_err(),
        "not ready before the first list"
    );
    watch
        .answer(
            false,
            404,
            failure(
                404,
                "NotFound",
                "the server could not find the requested resource",
            ),
        )
        .await;
    let installed = |watch: &Watch| {
        watch
            .sync
            .check()
            .unwrap_err()
            .contains("agentteams.kagents.dev is not installed in the cluster")
    };
    watch.until("the reason", installed).await;
    watch.answer(false, 200, list(&["one"])).await;
    watch
        .until("readiness", |watch| {
            watch.sync.check().is_ok() && watch.knows("one")
        })
        .await;
}

#[tokio::test]
async fn a_right_that_is_missing_is_named() {
    let mut watch = Watch::start();
    let message = "agentteams.kagents.dev is forbidden: User \"system:serviceaccount:a:b\" cannot list resource \"agentteams\" in API group \"kagents.dev\" at the cluster scope";
    watch
        .answer(false, 403, failure(403, "Forbidden", message))
        .await;
    watch
        .until("the reason", |watch| {
            watch.sync.check().unwrap_err().ends_with(message)
        })
        .await;
}

#[tokio::test]
async fn an_outage_keeps_what_is_known_and_readiness() {
    let mut watch = Watch::start();
    watch.answer(false, 200, list(&["one"])).await;
    watch
        .until("the first list", |watch| watch.sync.check().is_ok())
        .await;
    watch
        .answer(true, 500, failure(500, "InternalError", "etcd is away"))
        .await;
    watch
        .answer(
            true,
            200,
            events(&[
                json!({"type": "DELETED", "object": team("one")}),
                json!({"type": "ADDED", "object": team("two")}),
            ]),
        )
        .await;
    watch
        .until("the event", |watch| {
            watch.knows("two") && !watch.knows("one")
        })
        .await;
    assert!(watch.sync.check().is_ok());
}
