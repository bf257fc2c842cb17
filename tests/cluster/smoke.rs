//! Whether the rig itself holds what the other tests build on.

use k8s_openapi::api::core::v1::{Namespace, Pod, ServiceAccount};
use kube::api::{Api, ObjectMeta, PostParams};
use serde_json::json;

use crate::registration::{MUTATING, Registration, shipped};
use crate::rig::Rig;
use crate::webhook::Webhook;

fn pod(name: &str) -> Pod {
    let pod = json!({
        "metadata": {"name": name},
        "spec": {"containers": [{"name": "agent", "image": "example.com/agent:v1"}]},
    });
    serde_json::from_value(pod).unwrap()
}

#[tokio::test]
async fn the_server_is_1_36_or_newer() {
    let version = Rig::get().client().await.apiserver_version().await.unwrap();
    let minor: u32 = version.minor.parse().unwrap();
    assert!(
        version.major == "1" && minor >= 36,
        "{}",
        version.git_version
    );
}

#[tokio::test]
async fn namespaces_are_unique_and_carry_the_labels_asked_for() {
    let rig = Rig::get();
    let labels = [("pod-security.kubernetes.io/enforce", "restricted")];
    let (one, other) = (
        rig.namespace("smoke", &labels).await,
        rig.namespace("smoke", &[]).await,
    );
    assert_ne!(one, other);

    let pods: Api<Pod> = Api::namespaced(rig.client().await, &one);
    let refusal = pods
        .create(&PostParams::default(), &pod("plain"))
        .await
        .unwrap_err();
    assert!(
        refusal
            .to_string()
            .contains(r#"violates PodSecurity "restricted:latest""#),
        "{refusal}"
    );
}

#[tokio::test]
async fn a_pod_gets_its_service_accounts_token() {
    let rig = Rig::get();
    let namespace = rig.namespace("smoke", &[]).await;
    let pods: Api<Pod> = Api::namespaced(rig.client().await, &namespace);

    let spec = pods
        .create(&PostParams::default(), &pod("plain"))
        .await
        .unwrap()
        .spec
        .unwrap();

    assert_eq!(spec.service_account_name.as_deref(), Some("default"));
    let mounts = spec.containers[0].volume_mounts.as_deref().unwrap();
    assert!(
        mounts
            .iter()
            .any(|mount| mount.mount_path == "/var/run/secrets/kubernetes.io/serviceaccount")
    );
    assert!(
        spec.volumes
            .unwrap()
            .iter()
            .any(|volume| volume.name.starts_with("kube-api-access-"))
    );
}

#[tokio::test]
async fn kubectl_reads_and_writes_what_clients_see() {
    let rig = Rig::get();
    let namespace = rig.namespace("smoke", &[]).await;
    let manifest = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "note"}, "data": {"a": "b"}});
    rig.kubectl(
        &["apply", "-n", &namespace, "-f", "-"],
        &manifest.to_string(),
    )
    .success();

    let value = rig.kubectl(
        &[
            "get",
            "configmap",
            "note",
            "-n",
            &namespace,
            "-o",
            "jsonpath={.data.a}",
        ],
        "",
    );
    assert_eq!(value.success(), "b");
    let missing = rig.kubectl(&["get", "configmap", "none", "-n", &namespace], "");
    assert!(
        !missing.status.success() && missing.stderr.contains("NotFound"),
        "{missing:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tests_share_one_server() {
    let uid = async |client: kube::Client| {
        let namespace: Namespace = Api::all(client).get("kube-system").await.unwrap();
        namespace.metadata.uid.unwrap()
    };
    let here = uid(Rig::get().client().await).await;
    // As another test would: on another thread, in a runtime of its own.
    let there = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async { uid(Rig::get().client().await).await })
    });
    assert_eq!(here, there.join().unwrap());
}

#[tokio::test]
async fn a_service_accounts_kubeconfig_has_just_its_rights() {
    let rig = Rig::get();
    let namespace = rig.namespace("smoke", &[]).await;
    let kubeconfig = rig.service_account_kubeconfig(&namespace, "default").await;
    let accounts: Api<ServiceAccount> =
        Api::namespaced(rig.client_as(&kubeconfig).await, &namespace);

    let refusal = accounts.get("default").await.unwrap_err().to_string();

    assert!(
        refusal.contains(&format!("system:serviceaccount:{namespace}:default")),
        "{refusal}"
    );
}

#[tokio::test]
async fn a_registration_is_for_its_namespaces_only_and_ends_when_dropped() {
    let rig = Rig::get();
    let (inside, outside) = (
        rig.namespace("smoke", &[]).await,
        rig.namespace("smoke", &[]).await,
    );
    let client = rig.client().await;
    let create = async |namespace: &str, name: &str| {
        let mut pod = pod(name);
        let labels = [("kagents.dev/agent-team".to_owned(), "some".to_owned())];
        pod.metadata = ObjectMeta {
            labels: Some(labels.into()),
            ..pod.metadata
        };
        Api::<Pod>::namespaced(client.clone(), namespace)
            .create(&PostParams::default(), &pod)
            .await
    };

    // Nobody listens there, and the shipped configuration fails closed: what is matched is refused.
    let registration = Registration::create(
        rig,
        shipped(MUTATING),
        "https://127.0.0.1:1",
        "",
        &[&inside],
    )
    .await;

    let refusal = create(&inside, "refused").await.unwrap_err().to_string();
    assert!(
        refusal.contains(r#"failed calling webhook "agent-team.webhook.kagents.dev""#),
        "{refusal}"
    );
    create(&outside, "admitted").await.unwrap();
    drop(registration);
    let start = std::time::Instant::now();
    while let Err(refusal) = create(&inside, "admitted").await {
        assert!(start.elapsed().as_secs() < 10, "{refusal}");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn the_product_is_called_and_what_it_logs_is_kept() {
    let rig = Rig::get();
    let namespace = rig.namespace("smoke", &[]).await;
    let crd = std::process::Command::new(env!("CARGO_BIN_EXE_agentteam-webhook"))
        .arg("crd")
        .output()
        .unwrap();
    rig.kubectl(
        &["apply", "--server-side", "-f", "-"],
        std::str::from_utf8(&crd.stdout).unwrap(),
    )
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
    let mut webhook = Webhook::start(rig, &["--log", "info"]).await;
    assert_eq!(webhook.get("/livez").unwrap().0, 200);

    webhook.register(&[&namespace]).await;

    let mut pod = pod("named");
    let labels = [
        ("kagents.dev/agent-team", "none"),
        ("kagents.dev/agent", "lead"),
    ];
    pod.metadata.labels = Some(
        labels
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into(),
    );
    let pods: Api<Pod> = Api::namespaced(rig.client().await, &namespace);
    let refusal = pods
        .create(&PostParams::default(), &pod)
        .await
        .unwrap_err()
        .to_string();
    assert!(
        refusal
            .contains(r#"admission webhook "agent-team.webhook.kagents.dev" denied the request"#),
        "{refusal}"
    );
    assert!(!webhook.log().is_empty());
    webhook.unregister();
    webhook.signal("TERM");
    assert_eq!(webhook.ends().code(), Some(0));
    webhook.logged("stopped").await;
}
