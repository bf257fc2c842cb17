//! A real API server takes all that is shipped, to the last field.

use std::sync::Once;

use serde_json::{Value, json};

use crate::render::{assert_same, find, kustomize, objects, own_kustomization, path, pod};
use crate::rig::{Output, Rig};

/// The control plane of these tests, in which nothing is installed but the webhook's namespace.
fn rig() -> &'static Rig {
    static ONCE: Once = Once::new();
    let rig = Rig::get();
    ONCE.call_once(|| {
        let namespace = path("manifests/base/namespace.yaml").display().to_string();
        rig.kubectl(&["apply", "-f", &namespace], "").success();
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
fn is_accepted(objects: &[Value]) {
    let output = dry_run(objects);
    assert_eq!(output.stderr, "", "{}", output.stdout);
    assert_eq!(output.success().lines().count(), objects.len());
}

fn rendered(resource: &str, components: &[&str]) -> Vec<Value> {
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
fn the_base_and_the_default_overlay() {
    is_accepted(&kustomize(rig(), &path("manifests/base")));
    is_accepted(&kustomize(rig(), &path("manifests/overlays/self-signed")));
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
    for overlay in ["manifests/overlays/self-signed"] {
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

/// One place says which image, and an image of one's own comes from a kustomization of one's own, too.
#[test]
fn the_image_is_set_in_one_place() {
    let version = env!("CARGO_PKG_VERSION");
    for overlay in ["self-signed", "cert-manager"] {
        let directory = path("manifests/overlays").join(overlay);
        let objects = kustomize(rig(), &directory);
        assert_eq!(
            image(&objects),
            &json!(format!("localhost/agentteam-webhook:{version}"))
        );

        let dir = own_kustomization(&format!("manifests/overlays/{overlay}"), &[]);
        let file = dir.path().join("kustomization.yaml");
        let text = std::fs::read_to_string(&file).unwrap();
        let own = "images:\n  - {name: localhost/agentteam-webhook, newName: registry.example/webhook, newTag: v1}\n";
        std::fs::write(&file, text + own).unwrap();
        assert_eq!(
            image(&kustomize(rig(), dir.path())),
            &json!("registry.example/webhook:v1")
        );
    }
}

fn image(objects: &[Value]) -> &Value {
    &find(objects, "Deployment", "agentteam-webhook")["spec"]["template"]["spec"]["containers"][0]["image"]
}

/// The objects in a file of this repository.
fn file(name: &str) -> Vec<Value> {
    objects(&std::fs::read_to_string(path(name)).unwrap())
}
