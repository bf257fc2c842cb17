//! A real API server takes all that is shipped, to the last field.

use std::sync::Once;

use serde_json::{Value, json};

use crate::render::{
    assert_same, find, kustomize, objects, own_kustomization, path, pod, relative,
};
use crate::rig::{Output, Rig};
use crate::tools::{foreign_definitions, helm_template};

/// The control plane of these tests, in which nothing is installed but the webhook's namespace and what others define.
pub fn rig() -> &'static Rig {
    static ONCE: Once = Once::new();
    let rig = Rig::get();
    ONCE.call_once(|| {
        let namespace = path("manifests/base/namespace.yaml").display().to_string();
        rig.kubectl(&["apply", "-f", &namespace], "").success();
        for definition in foreign_definitions() {
            rig.kubectl(&["create", "-f", "-"], &definition.to_string())
                .success();
        }
        rig.kubectl(&["wait", "--for=condition=Established", "crd", "--all"], "")
            .success();
        let account = "create serviceaccount agentteam-webhook -n agentteam-system --save-config";
        let account: Vec<_> = account.split(' ').collect();
        rig.kubectl(&account, "").success();
    });
    rig
}

/// What the server would do with these objects; an unknown field is an error, a warning is printed.
fn dry_run(objects: &[Value]) -> Output {
    let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
    let args = ["apply", "--dry-run=server", "--validate=strict", "-f", "-"];
    rig().kubectl(&args, &list.to_string())
}

#[track_caller]
pub fn is_accepted(objects: &[Value]) {
    let output = dry_run(objects);
    assert_eq!(output.stderr, "", "{}", output.stdout);
    assert_eq!(output.success().lines().count(), objects.len());
}

/// One of our kustomizations with components.
pub fn rendered(resource: &str, components: &[&str]) -> Vec<Value> {
    let dir = own_kustomization(resource, components);
    kustomize(rig(), dir.path())
}

#[test]
fn the_definitions() {
    for group in ["kagents.dev", "claude.amcheste.io"] {
        is_accepted(&file(&format!("manifests/crd/agentteams.{group}.yaml")));
    }
}

#[test]
fn the_policy() {
    is_accepted(&file("manifests/policy/skill-source.yaml"));
}

#[test]
fn the_base_and_the_overlays() {
    is_accepted(&kustomize(rig(), &path("manifests/base")));
    is_accepted(&kustomize(rig(), &path("manifests/overlays/self-signed")));
    is_accepted(&kustomize(rig(), &path("manifests/overlays/cert-manager")));
}

#[test]
fn the_components() {
    is_accepted(&rendered("manifests/base", &["tls-files"]));
    for overlay in ["self-signed", "cert-manager"] {
        let overlay = format!("manifests/overlays/{overlay}");
        is_accepted(&rendered(&overlay, &["service-monitor"]));
        is_accepted(&rendered(
            &overlay,
            &["service-monitor", "claude-amcheste-io"],
        ));
    }
}

#[test]
fn the_chart() {
    for mode in ["selfSigned", "certManager"] {
        let flag = format!("certificates.mode={mode}");
        is_accepted(&helm_template(&["--set", &flag]).unwrap());
    }
}

#[test]
fn an_unknown_field_is_not_accepted() {
    let mut objects = kustomize(rig(), &path("manifests/overlays/self-signed"));
    for object in &mut objects {
        if object["kind"] == "Deployment" {
            object["spec"]["template"]["spec"]["topologySpreadConstraint"] = json!([]);
        }
    }

    let output = dry_run(&objects);

    assert!(!output.status.success());
    assert!(output.stderr.contains("unknown field"), "{}", output.stderr);
}

#[test]
fn its_pods_satisfy_pod_security_restricted() {
    for objects in [
        kustomize(rig(), &path("manifests/overlays/self-signed")),
        kustomize(rig(), &path("manifests/overlays/cert-manager")),
    ] {
        let labels = &find(&objects, "Namespace", "agentteam-system")["metadata"]["labels"];
        assert_eq!(labels["pod-security.kubernetes.io/enforce"], "restricted");
        let args = ["create", "--dry-run=server", "-f", "-"];
        let mut pod = pod(&objects);
        rig().kubectl(&args, &pod.to_string()).success();

        pod["spec"]["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = true.into();

        let refused = rig().kubectl(&args, &pod.to_string());
        assert!(
            refused.stderr.contains("violates PodSecurity"),
            "{}",
            refused.stderr
        );
    }
}

#[test]
fn the_component_of_the_older_group_changes_the_group_everywhere_and_nothing_else() {
    for overlay in [
        "manifests/overlays/self-signed",
        "manifests/overlays/cert-manager",
    ] {
        let ours = kustomize(rig(), &path(overlay));
        let mut older = rendered(overlay, &["claude-amcheste-io"]);
        is_accepted(&older);
        for object in &mut older {
            if object["kind"] == "Deployment" {
                let env = object["spec"]["template"]["spec"]["containers"][0]["env"]
                    .as_array_mut()
                    .unwrap();
                let group =
                    json!({"name": "AGENTTEAM_WEBHOOK_API_GROUP", "value": "claude.amcheste.io"});
                let place = env
                    .iter()
                    .position(|variable| *variable == group)
                    .expect("the group is set");
                env.remove(place);
            }
        }
        let expected = Value::from(ours)
            .to_string()
            .replace("kagents.dev", "claude.amcheste.io");
        let expected: Vec<Value> = serde_json::from_str(&expected).unwrap();
        assert_same(&older, &expected);
    }
}

/// One place says which image, and Pods with delivery `puller` get the same.
#[test]
fn the_image_is_set_in_one_place() {
    let image = format!("localhost/agentteam-webhook:{}", env!("CARGO_PKG_VERSION"));
    for overlay in ["self-signed", "cert-manager"] {
        let objects = kustomize(rig(), &path("manifests/overlays").join(overlay));
        assert_eq!(images(&objects), [image.as_str(), image.as_str()]);
    }
}

/// The kustomization that the README shows, with the ways to our own directories as they are from elsewhere.
#[test]
fn a_kustomization_of_ones_own() {
    let readme = std::fs::read_to_string(path("manifests/README.md")).unwrap();
    let start = readme.find("apiVersion: kustomize").unwrap();
    let (shown, _) = readme[start..].split_once("```").unwrap();
    let dir = tempfile::tempdir().unwrap();
    let mut text = shown.to_owned();
    for place in [
        "manifests/overlays/self-signed",
        "manifests/components/service-monitor",
    ] {
        assert!(text.contains(place));
        text = text.replace(place, &relative(&dir, place));
    }
    std::fs::write(dir.path().join("kustomization.yaml"), text).unwrap();

    let objects = kustomize(rig(), dir.path());

    is_accepted(&objects);
    let image = "registry.example/agentteam-webhook:0.1.0";
    assert_eq!(images(&objects), [image, image]);
    find(&objects, "ServiceMonitor", "agentteam-webhook");
    assert_eq!(objects[0]["kind"], "MutatingWebhookConfiguration");
}

/// The image of the Deployment, and that which it gives to Pods.
fn images(objects: &[Value]) -> [&str; 2] {
    let container = &find(objects, "Deployment", "agentteam-webhook")["spec"]["template"]["spec"]["containers"]
        [0];
    let mut env = container["env"].as_array().unwrap().iter();
    let given = env.find(|variable| variable["name"] == "AGENTTEAM_WEBHOOK_WEBHOOK_IMAGE");
    [&container["image"], &given.unwrap()["value"]].map(|image| image.as_str().unwrap())
}

/// The objects in a file of this repository.
fn file(name: &str) -> Vec<Value> {
    objects(&std::fs::read_to_string(path(name)).unwrap())
}
