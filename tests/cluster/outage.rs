//! The API server goes away and comes back.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::rig::Rig;
use crate::scene::pod;
use crate::webhook::Webhook;

/// A control plane of its own, since it is stopped.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn admission_goes_on_from_the_cache_and_the_watch_recovers() {
    let rig = Rig::start().unwrap();
    let definition = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/manifests/crd/agentteams.kagents.dev.yaml"
    );
    rig.kubectl(&["apply", "--server-side", "-f", definition], "")
        .success();
    rig.kubectl(
        &[
            "wait",
            "--for=condition=Established",
            "crd/agentteams.kagents.dev",
        ],
        "",
    )
    .success();
    let team = |name: &str| {
        json!({"apiVersion": "kagents.dev/v1alpha1", "kind": "AgentTeam", "metadata": {"name": name},
            "spec": {"lead": {"skills": [{"name": "s", "source": {"configMap": "c"}}]}}}).to_string()
    };
    rig.kubectl(&["create", "-f", "-"], &team("known"))
        .success();
    let webhook = Webhook::start(&rig, &["--controller=false"]).await;

    rig.stop_apiserver();

    let known = webhook.review(&pod("known", "lead"));
    assert_eq!(known["allowed"], true, "{known}");
    assert!(known["patch"].is_string());
    let start = Instant::now();
    let unknown = webhook.review(&pod("unknown", "lead"));
    assert!(
        start.elapsed() < Duration::from_secs(2),
        "{:?}",
        start.elapsed()
    );
    assert_eq!(
        (&unknown["status"]["code"], &unknown["status"]["reason"]),
        (&json!(503), &json!("TeamLookupFailed")),
        "{unknown}"
    );
    assert_eq!(webhook.get("/livez").unwrap().0, 200);

    rig.start_apiserver().unwrap();

    rig.kubectl(&["create", "-f", "-"], &team("unknown"))
        .success();
    let start = Instant::now();
    while !webhook
        .get("/metrics")
        .unwrap()
        .1
        .contains("agentteam_webhook_teams 2\n")
    {
        assert!(
            start.elapsed() < Duration::from_mins(1),
            "the watch does not recover"
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(webhook.review(&pod("unknown", "lead"))["allowed"], true);
}
