//! The command blocks of the documentation, as far as they need no node.
//!
//! What a page says of `ghcr.io/example` and `registry.example.com` happens in two registries of the test, of which the second
//! asks for a password, and one account both pushes and pulls. The group of AgentTeam is named in full, because this cluster has two.

use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use crate::pages::Place;
use crate::process::programs;
use crate::scene::Scene;
use crate::tools::{Registry, tool};

const PASSWORD: &str = "correct-horse";

/// kubectl in slow hands: when something was applied, the webhook knows of it before the next command is typed. It learns of
/// teams by a watch, and says in what it injects which generation of the team that was.
const KUBECTL: &str = r#"#!/bin/bash
real-kubectl "$@" || exit
[[ $1 == apply ]] || exit 0
teams='{range .items[*]}{.metadata.name} {.metadata.generation} {.spec.teammates[0].name}{"\n"}{end}'
real-kubectl get agentteams.kagents.dev -o jsonpath="$teams" 2> /dev/null | while read -r team generation agent; do
  for _ in {1..30}; do
    labels=kagents.dev/agent-team=$team,kagents.dev/agent=${agent:-lead}
    record=$(real-kubectl run known --image=example.com/none --dry-run=server --labels="$labels" \
      -o jsonpath='{.metadata.annotations.kagents\.dev/skills}' 2> /dev/null)
    [[ $record != *'"generation":'"$generation"[,}]* ]] || break
    sleep 0.1
  done
done
"#;

async fn run(page: &str) {
    let public = Registry::start();
    let private = Registry::start_at("127.0.0.1:0", None, Some(("reader", PASSWORD)));
    // ORAS speaks plain HTTP to this name unasked.
    let [public, private] =
        [&public, &private].map(|registry| registry.address.replace("127.0.0.1", "localhost"));
    let plain = format!("{public},{private}");
    let allowed = format!("{public}/*,{private}/*");
    let flags = [
        "--allowed-registries",
        &allowed,
        "--webhook-image",
        "example.com/webhook",
        "--skill-puller-image",
        "ghcr.io/oras-project/oras:v1.3.3",
    ];
    let mut scene = Scene::new("pages", &flags).await;
    let namespaces = [&*scene.namespace];
    scene
        .webhook
        .register_door("kagents.dev", &namespaces)
        .await;

    let directory = tempfile::tempdir().unwrap();
    let bin = directory.path().join("bin");
    std::fs::create_dir(&bin).unwrap();
    let assets = programs("tests/cluster/assets/build.sh").unwrap();
    for (name, program) in [
        (
            "agentteam-webhook",
            Path::new(env!("CARGO_BIN_EXE_agentteam-webhook")),
        ),
        ("real-kubectl", &assets.join("kubectl")),
        ("oras", &tool("oras")),
    ] {
        symlink(program, bin.join(name)).unwrap();
    }
    let kubectl = bin.join("kubectl");
    std::fs::write(&kubectl, KUBECTL).unwrap();
    std::fs::set_permissions(kubectl, Permissions::from_mode(0o755)).unwrap();
    let kubeconfig = scene.rig.admin_kubeconfig(&scene.namespace);
    let place = Place {
        directory: directory.path(),
        has_node: false,
        instead: &[
            ("ghcr.io/example", format!("{public}/example")),
            ("registry.example.com", private),
            ("--username writer", "--username reader".to_owned()),
            (
                "agentteam research",
                "agentteam.kagents.dev research".to_owned(),
            ),
        ],
        environment: &[
            (
                "PATH",
                format!("{}:/usr/local/bin:/usr/bin:/bin", bin.display()),
            ),
            ("KUBECONFIG", kubeconfig.display().to_string()),
            ("AGENTTEAM_WEBHOOK_ALLOWED_REGISTRIES", allowed),
            ("AGENTTEAM_WEBHOOK_PLAIN_HTTP_REGISTRIES", plain),
            ("READER_PASSWORD", PASSWORD.to_owned()),
            ("WRITER_PASSWORD", PASSWORD.to_owned()),
        ],
    };
    place.run(page);
}

#[tokio::test]
async fn the_readme() {
    run("README.md").await;
}

#[tokio::test]
async fn examples() {
    run("examples/README.md").await;
}

#[tokio::test]
async fn manifests() {
    run("manifests/README.md").await;
}

#[tokio::test]
async fn certificates() {
    run("certs/README.md").await;
}

#[tokio::test]
async fn how_to_install() {
    run("docs/how-to/install.md").await;
}

#[tokio::test]
async fn how_to_label_a_workload() {
    run("docs/how-to/label-your-own-workload.md").await;
}

#[tokio::test]
async fn how_to_author_skills() {
    run("docs/how-to/author-skills.md").await;
}

#[tokio::test]
async fn how_to_choose_a_delivery() {
    run("docs/how-to/choose-a-delivery.md").await;
}

#[tokio::test]
async fn how_to_sign_skills() {
    run("docs/how-to/sign-skills.md").await;
}
