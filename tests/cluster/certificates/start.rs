//! The first start, and starts in which something is missing.

use std::time::Duration;

use agentteam_webhook::clock::unix_seconds;
use k8s_openapi::api::core::v1::Secret;
use kube::api::PostParams;
use serde_json::{Value, json};

use super::stage::{Client, SECRET, Stage, rest, within};
use crate::registration::{MUTATING, VALIDATING};
use crate::webhook::Webhook;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_that_start_at_once_share_one_authority_and_make_it_known() {
    let stage = Stage::new("tls-cold").await;
    let (mutating, validating) = (stage.read(MUTATING).await, stage.read(VALIDATING).await);

    let (one, other, third) = tokio::join!(stage.replica(), stage.replica(), stage.replica());

    let content = stage.content().await.unwrap();
    assert_eq!(content.authorities.len(), 1);
    assert_eq!(stage.bundle().await, content.bundle());
    let client = Client::new(&stage.service(), unix_seconds);
    for replica in [&one, &other, &third] {
        let certificate = client
            .ask(replica.address, &content.bundle())
            .await
            .unwrap();
        let shared = content.pair.as_ref().unwrap();
        assert!(
            shared.to_pem().contains(&pem_body(&certificate)),
            "each serves what the Secret holds"
        );
        let metrics = replica.get("/metrics").unwrap().1;
        let ends = content.authorities[0].validity().not_after;
        for line in [
            format!("agentteam_webhook_authority_expiry_timestamp_seconds {ends}"),
            format!(
                "agentteam_webhook_certificate_expiry_timestamp_seconds {}",
                shared.validity().not_after
            ),
            "agentteam_webhook_certificate_errors_total 0".to_owned(),
        ] {
            assert!(metrics.contains(&line), "{line}: {metrics}");
        }
    }
    assert_eq!(
        rest(stage.read(MUTATING).await),
        rest(mutating),
        "nothing else is written"
    );
    assert_eq!(rest(stage.read(VALIDATING).await), rest(validating));
    let secret = stage.secrets.get(SECRET).await.unwrap();
    assert_eq!(secret.type_.as_deref(), Some("kubernetes.io/tls"));
    for replica in [one, other, third] {
        let log = Value::from(replica.log()).to_string();
        for (key, value) in secret.data.as_ref().unwrap() {
            let text = str::from_utf8(&value.0).unwrap();
            let inside = text.lines().nth(1).unwrap();
            assert!(!log.contains(inside), "{key} is in the log");
        }
        assert!(!log.contains("PRIVATE KEY"));
    }
}

/// What PEM says of a certificate: enough of it to tell it from others.
fn pem_body(certificate: &[u8]) -> String {
    use base64::Engine;
    let text = base64::engine::general_purpose::STANDARD.encode(certificate);
    text[128..192].to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_secret_that_is_there_is_filled_and_keeps_what_others_put_there() {
    let stage = Stage::new("tls-filled").await;
    let empty: Secret = serde_json::from_value(json!({
        "metadata": {"name": SECRET, "labels": {"mine": "yes"}, "annotations": {"a.test/b": "c"}},
        "data": {"other": "eA=="},
    }))
    .unwrap();
    stage
        .secrets
        .create(&PostParams::default(), &empty)
        .await
        .unwrap();
    let _replica = stage.replica().await;
    let secret = stage.secrets.get(SECRET).await.unwrap();
    assert_eq!(secret.metadata.labels.unwrap()["mine"], "yes");
    assert_eq!(secret.metadata.annotations.unwrap()["a.test/b"], "c");
    assert_eq!(secret.data.unwrap()["other"].0, b"x");
    assert!(stage.is_known().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_configuration_that_does_not_exist_is_not_waited_for_and_gets_its_bundle_when_it_appears()
{
    let stage = Stage::without_configurations("tls-absent").await;
    let replica = stage.replica().await;
    let message = format!(
        "there is no MutatingWebhookConfiguration {}, so nobody calls for what it is for",
        stage.configuration
    );
    replica.logged(&message).await;
    stage.configure(MUTATING).await;
    stage.configure(VALIDATING).await;
    within(Duration::from_secs(10), "the caBundles", || {
        stage.is_known()
    })
    .await;
    let said = replica
        .log()
        .iter()
        .filter(|line| line["fields"]["message"] == message.as_str())
        .count();
    assert_eq!(said, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_right_that_is_missing_keeps_it_from_being_ready_and_is_named() {
    let stage = Stage::new("tls-rights").await;
    let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": stage.configuration},
        "rules": [{"apiGroups": ["admissionregistration.k8s.io"], "resources": ["mutatingwebhookconfigurations", "validatingwebhookconfigurations"],
            "resourceNames": [stage.configuration], "verbs": ["get", "list", "watch"]}]});
    stage
        .rig
        .kubectl(&["apply", "-f", "-"], &role.to_string())
        .success();
    let replica = Webhook::launch(stage.rig, &stage.kubeconfig, &stage.flags()).await;
    let expected = format!(
        "the caBundle of MutatingWebhookConfiguration {0} and ValidatingWebhookConfiguration {0} does not hold the authority of this webhook yet: this webhook may not patch",
        stage.configuration
    );
    within(Duration::from_secs(30), &expected, || async {
        let (status, why) = replica.get("/readyz").unwrap();
        assert_eq!(status, 503);
        why.contains(&expected)
    })
    .await;
    let metrics = replica.get("/metrics").unwrap().1;
    assert!(
        !metrics.contains("agentteam_webhook_certificate_errors_total 0"),
        "{metrics}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_of_cert_manager_is_left_alone_and_said() {
    let stage = Stage::new("tls-foreign").await;
    let foreign: Secret = serde_json::from_value(json!({
        "metadata": {"name": SECRET, "annotations": {"cert-manager.io/certificate-name": "agentteam-webhook"}},
    }))
    .unwrap();
    let before = stage
        .secrets
        .create(&PostParams::default(), &foreign)
        .await
        .unwrap();
    let replica = Webhook::launch(stage.rig, &stage.kubeconfig, &stage.flags()).await;
    within(Duration::from_secs(30), "the reason", || async {
        let (status, why) = replica.get("/readyz").unwrap();
        assert_eq!(status, 503);
        why.contains("is cert-manager's (annotation cert-manager.io/certificate-name)")
    })
    .await;
    assert_eq!(stage.secrets.get(SECRET).await.unwrap(), before);
}

#[tokio::test]
async fn the_rights_are_to_one_secret_and_two_configurations() {
    let stage = Stage::without_configurations("tls-least").await;
    let account = "system:serviceaccount:agentteam-system:agentteam-webhook";
    let can = |verb: &str, what: &str, namespace: &str| {
        let args = [
            "auth", "can-i", verb, what, "--as", account, "-n", namespace,
        ];
        stage.rig.kubectl(&args, "").stdout.trim() == "yes"
    };
    let secret = format!("secrets/{SECRET}");
    let configurations = [MUTATING, VALIDATING].map(|kind| {
        let group = format!("{kind}s.admissionregistration.k8s.io");
        (format!("{group}/{}", stage.configuration), group)
    });
    for verb in ["get", "list", "watch", "update"] {
        assert!(can(verb, &secret, &stage.namespace), "{verb}");
        assert!(!can(verb, "secrets/other", &stage.namespace), "{verb}");
        assert!(!can(verb, &secret, "kube-system"), "{verb}");
    }
    for verb in ["delete", "patch", "deletecollection"] {
        assert!(!can(verb, &secret, &stage.namespace), "{verb}");
    }
    for (ours, all) in &configurations {
        for verb in ["get", "list", "watch", "patch"] {
            assert!(can(verb, ours, "default"), "{verb} {ours}");
            assert!(!can(verb, &format!("{all}/other"), "default"), "{verb}");
        }
        for verb in ["update", "delete", "create"] {
            assert!(!can(verb, ours, "default"), "{verb} {ours}");
        }
    }
}
