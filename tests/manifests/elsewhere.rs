//! The overlay for a certificate that a person brings.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::accepted::{is_accepted, rig};
use crate::identity::Identity;
use crate::render::{find, kustomize, path, relative};

/// The overlay, elsewhere, with the three files beside it that it wants.
fn overlay_with(identity: &Identity) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let file = path("manifests/overlays/files/kustomization.yaml");
    let text = std::fs::read_to_string(file).unwrap();
    let manifests = format!("- {}", relative(&dir, "manifests"));
    for (name, content) in [
        ("kustomization.yaml", &text.replace("- ../..", &manifests)),
        ("ca.crt", &identity.ca),
        ("tls.crt", &identity.certificate),
        ("tls.key", &identity.key),
    ] {
        std::fs::write(dir.path().join(name), content).unwrap();
    }
    dir
}

/// What that overlay makes. kustomize breaks the lines of base64, which means nothing to who reads it.
pub fn rendered_with(identity: &Identity) -> Vec<Value> {
    let dir = overlay_with(identity);
    let mut objects = kustomize(rig(), dir.path());
    let joined = |field: &mut Value| *field = field.as_str().unwrap().replace('\n', "").into();
    for object in &mut objects {
        let entries = object.get_mut("webhooks").and_then(Value::as_array_mut);
        for entry in entries.into_iter().flatten() {
            joined(&mut entry["clientConfig"]["caBundle"]);
        }
        if object["kind"] == "Secret" {
            let data = object["data"].as_object_mut().unwrap();
            data.values_mut().for_each(joined);
        }
    }
    objects
}

fn openssl(dir: &Path, args: &str) {
    let output = Command::new("openssl")
        .args(args.split_whitespace())
        .current_dir(dir)
        .output()
        .expect("openssl is installed");
    assert!(output.status.success(), "openssl {args}: {output:?}");
}

/// What an authority makes of the request in `certs/`.
fn signed() -> Identity {
    let dir = tempfile::tempdir().unwrap();
    let request = path("certs/request.cnf").display().to_string();
    let openssl = |args: &str| openssl(dir.path(), args);
    openssl(&format!(
        "req -new -config {request} -newkey rsa:2048 -nodes -keyout tls.key -out request.pem"
    ));
    openssl("req -x509 -newkey rsa:2048 -nodes -subj /CN=authority -keyout ca.key -out ca.crt");
    openssl(
        "x509 -req -in request.pem -copy_extensions copy -CA ca.crt -CAkey ca.key -CAcreateserial -out tls.crt",
    );
    for name in [
        "agentteam-webhook.agentteam-system.svc",
        "agentteam-webhook.agentteam-system.svc.cluster.local",
    ] {
        openssl(&format!(
            "verify -CAfile ca.crt -purpose sslserver -verify_hostname {name} tls.crt"
        ));
    }
    let [ca, certificate, key] = ["ca.crt", "tls.crt", "tls.key"]
        .map(|name| std::fs::read_to_string(dir.path().join(name)).unwrap());
    Identity {
        ca,
        certificate,
        key,
    }
}

#[test]
fn the_request_becomes_a_certificate_that_the_overlay_takes() {
    let identity = signed();

    let objects = rendered_with(&identity);

    is_accepted(&objects);
    let base64 = |text: &str| json!(k8s_openapi::ByteString(text.as_bytes().to_vec()));
    let secret = find(&objects, "Secret", "agentteam-webhook-tls");
    assert_eq!(
        secret["data"],
        json!({"tls.crt": base64(&identity.certificate), "tls.key": base64(&identity.key)})
    );
    let secrets = objects.iter().filter(|object| object["kind"] == "Secret");
    assert_eq!(
        secrets.count(),
        1,
        "the authority is no object of the cluster"
    );
    let mut entries = 0;
    for object in &objects {
        for entry in object
            .get("webhooks")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            assert_eq!(entry["clientConfig"]["caBundle"], base64(&identity.ca));
            entries += 1;
        }
    }
    assert_eq!(entries, 3);
}
