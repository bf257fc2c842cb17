//! What people and programs do to the Secret and to the configurations.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use agentteam_webhook::certs::authority::Authority;
use agentteam_webhook::clock::unix_seconds;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};

use super::stage::{Client, SECRET, Stage, rest, within};
use crate::registration::{MUTATING, VALIDATING, shipped};
use crate::scene::{Scene, pod};
use crate::webhook::Webhook;

/// What the catalogue of faults allows.
const MENDED_WITHIN: Duration = Duration::from_secs(10);
const ONE_AUTHORITY_WITHIN: Duration = Duration::from_secs(15);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edited_bundle_is_mended_in_each_entry_and_nothing_else_is_touched() {
    let stage = Stage::new("tls-edited").await;
    let mut other = shipped(MUTATING);
    let name = stage.rig.unique("certificates-other");
    other["metadata"]["name"] = json!(name);
    for entry in other["webhooks"].as_array_mut().unwrap() {
        entry["objectSelector"] = json!({"matchLabels": {"rig.test/never": "true"}});
    }
    let other = stage.create(MUTATING, other).await;
    let _one = stage.replica().await;
    let _other = stage.replica().await;

    let foreign = Authority::make(unix_seconds(), 1_000).unwrap();
    let foreign = STANDARD.encode(foreign.to_pem());
    let entry = stage.read(MUTATING).await["webhooks"][0].clone();
    let mut added = entry.clone();
    added["name"] = json!("added.webhook.kagents.dev");
    added["clientConfig"]
        .as_object_mut()
        .unwrap()
        .remove("caBundle");
    let path = |index: u32| format!("/webhooks/{index}/clientConfig/caBundle");
    let edits = [
        (
            "emptied",
            MUTATING,
            json!([{"op": "remove", "path": path(0)}]),
        ),
        (
            "emptied",
            VALIDATING,
            json!([{"op": "remove", "path": path(0)}]),
        ),
        (
            "another authority",
            MUTATING,
            json!([{"op": "replace", "path": path(1), "value": foreign}]),
        ),
        (
            "all emptied",
            MUTATING,
            json!([{"op": "remove", "path": path(0)}, {"op": "remove", "path": path(1)}]),
        ),
        (
            "an entry added",
            MUTATING,
            json!([{"op": "add", "path": "/webhooks/-", "value": added}]),
        ),
        (
            "another field",
            MUTATING,
            json!([{"op": "replace", "path": "/webhooks/0/timeoutSeconds", "value": 7}, {"op": "remove", "path": path(0)}]),
        ),
    ];
    for (what, kind, edit) in edits {
        let mut expected = stage.read(kind).await;
        let wanted: json_patch::Patch = serde_json::from_value(edit.clone()).unwrap();
        json_patch::patch(&mut expected, &wanted).unwrap();
        stage.patch(kind, &edit);
        within(MENDED_WITHIN, what, || stage.is_known()).await;
        assert_eq!(rest(stage.read(kind).await), rest(expected), "{what}");
    }
    let untouched = stage.api(MUTATING).get(&name).await.unwrap();
    assert_eq!(
        untouched.metadata.resource_version.as_deref(),
        other["metadata"]["resourceVersion"].as_str()
    );
    stage
        .api(MUTATING)
        .delete(&name, &DeleteParams::default())
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_configuration_with_an_annotation_of_cert_manager_is_never_touched() {
    let stage = Stage::without_configurations("tls-injected").await;
    let mut annotated = shipped(VALIDATING);
    annotated["metadata"]["name"] = json!(stage.configuration);
    annotated["metadata"]["annotations"] = json!({"cert-manager.io/inject-ca-from": "a/b"});
    annotated["webhooks"][0]["objectSelector"] = json!({"matchLabels": {"rig.test/never": "true"}});
    let annotated = stage.create(VALIDATING, annotated).await;
    stage.configure(MUTATING).await;

    let replica = stage.replica().await;
    let message = format!(
        "the caBundle of ValidatingWebhookConfiguration {} is left alone: another program keeps it (annotation cert-manager.io/inject-ca-from)",
        stage.configuration
    );
    replica.logged(&message).await;
    let mended = || async {
        let content = stage.content().await.unwrap();
        stage
            .bundles(MUTATING)
            .await
            .iter()
            .all(|bundle| *bundle == content.bundle())
    };
    within(MENDED_WITHIN, "the one that is ours", mended).await;
    assert_eq!(stage.read(VALIDATING).await, annotated);

    // The annotation comes later: from then on it is left alone, whatever happens to it.
    let edit = json!([
        {"op": "add", "path": "/metadata/annotations", "value": {"cert-manager.io/inject-ca-from-secret": "a/b"}},
        {"op": "remove", "path": "/webhooks/0/clientConfig/caBundle"},
    ]);
    stage.patch(MUTATING, &edit);
    let left = stage.read(MUTATING).await;
    stage
        .secrets
        .delete(SECRET, &DeleteParams::default())
        .await
        .unwrap();
    within(ONE_AUTHORITY_WITHIN, "a new authority", || async {
        stage.content().await.is_some()
    })
    .await;
    // Longer than any look takes to come.
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!(stage.read(MUTATING).await, left);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edit_that_no_watch_tells_of_is_mended_all_the_same() {
    let stage = Stage::new("tls-unwatched").await;
    let watches = json!([{"op": "replace", "path": "/rules/0/verbs", "value": ["get", "patch"]}]);
    stage
        .rig
        .patch("clusterrole", &stage.configuration, &watches);
    let replica = stage.replica().await;
    let message = "the watch of mutatingwebhookconfigurations.admissionregistration.k8s.io is interrupted; they are looked at all the same";
    replica.logged(message).await;
    stage.patch(
        MUTATING,
        &json!([{"op": "remove", "path": "/webhooks/0/clientConfig/caBundle"}]),
    );
    within(MENDED_WITHIN, "the caBundle", || stage.is_known()).await;
}

/// The API server itself calls two replicas, one for each entry, while the Secret is damaged again and again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_that_is_deleted_or_corrupt_is_made_anew_and_the_api_server_never_notices() {
    let stage = Arc::new(Stage::without_configurations("tls-deleted").await);
    let scene = Arc::new(Scene::of(&stage.namespace).await);
    let skills = json!({"lead": {"skills": [{"name": "s", "source": {"configMap": "c"}}]}});
    scene.team("t", "kagents.dev", skills).await;
    let flags = [stage.flags(), vec!["--tls-names", "127.0.0.1"]].concat();
    let (one, other) = tokio::join!(
        Webhook::start_as(stage.rig, &stage.kubeconfig, &flags),
        Webhook::start_as(stage.rig, &stage.kubeconfig, &flags)
    );
    let mut configuration = shipped(MUTATING);
    configuration["metadata"]["name"] = json!(stage.configuration);
    for (entry, replica) in configuration["webhooks"]
        .as_array_mut()
        .unwrap()
        .iter_mut()
        .zip([&one, &other])
    {
        entry["clientConfig"] = json!({"url": format!("https://{}/mutate", replica.address)});
        entry["namespaceSelector"] =
            json!({"matchLabels": {"kubernetes.io/metadata.name": stage.namespace}});
    }
    stage.create(MUTATING, configuration).await;
    stage.configure(VALIDATING).await;
    within(MENDED_WITHIN, "the first caBundle", || stage.is_known()).await;

    let pods = ["agent-team", "team"].map(|label| {
        let mut pod = pod("t", "lead");
        pod["metadata"]["labels"] =
            json!({(format!("kagents.dev/{label}")): "t", "kagents.dev/agent": "lead"});
        pod
    });
    for pod in &pods {
        // The API server learns of the configuration by a watch.
        within(Duration::from_secs(30), "the first Pod", || async {
            scene.dry_run(pod).await.is_ok_and(|pod| is_injected(&pod))
        })
        .await;
    }
    let (over, admitted) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicUsize::new(0)),
    );
    let load = tokio::spawn({
        let (scene, over, admitted) =
            (Arc::clone(&scene), Arc::clone(&over), Arc::clone(&admitted));
        async move {
            for pod in pods.iter().cycle() {
                if over.load(Ordering::Relaxed) {
                    return;
                }
                let admission = scene.dry_run(pod).await;
                let admission =
                    admission.unwrap_or_else(|error| panic!("after {admitted:?} Pods: {error}"));
                assert!(is_injected(&admission), "{admission}");
                admitted.fetch_add(1, Ordering::Relaxed);
            }
        }
    });

    let junk = STANDARD.encode("-----BEGIN CERTIFICATE-----\njunk\n");
    let all = json!({"ca.crt": junk, "ca.key": junk, "tls.crt": "", "tls.key": junk});
    let client = Client::new("127.0.0.1", unix_seconds);
    for damage in [
        Value::Null,
        json!({"ca.key": junk}),
        all,
        json!({"ca.crt": ""}),
        Value::Null,
    ] {
        let before = stage.content().await.unwrap();
        if damage.is_null() {
            stage
                .secrets
                .delete(SECRET, &DeleteParams::default())
                .await
                .unwrap();
        } else {
            let damage = Patch::Merge(json!({"data": damage}));
            stage
                .secrets
                .patch(SECRET, &PatchParams::default(), &damage)
                .await
                .unwrap();
        }
        let took = within(
            ONE_AUTHORITY_WITHIN,
            &format!("one authority after {damage}"),
            || async {
                let content = stage.content().await.unwrap_or_default();
                let Some(newest) = content.newest(unix_seconds()) else {
                    return false;
                };
                *newest != before.authorities[0] && content.pair.is_some() && stage.is_known().await
            },
        )
        .await;
        println!("one authority after {took:?}");
        within(
            Duration::from_mins(1),
            "the new authority in service",
            || async {
                let content = stage.content().await.unwrap();
                let newest = content.authorities[0].to_pem();
                content.authorities[0].certified(content.pair.as_ref().unwrap())
                    && client.ask(one.address, &newest).await.is_ok()
                    && client.ask(other.address, &newest).await.is_ok()
            },
        )
        .await;
    }
    over.store(true, Ordering::Relaxed);
    load.await.unwrap();
    let admitted = admitted.load(Ordering::Relaxed);
    println!("{admitted} Pods admitted");
    assert!(admitted > 50, "{admitted} Pods are no load");
    for replica in [one, other] {
        let metrics = replica.get("/metrics").unwrap().1;
        assert!(
            metrics.contains("agentteam_webhook_certificate_errors_total 0"),
            "{metrics}"
        );
    }
}

fn is_injected(pod: &Value) -> bool {
    pod["spec"]["volumes"]
        .as_array()
        .is_some_and(|volumes| volumes.iter().any(|volume| volume["name"] == "skill-s"))
}
