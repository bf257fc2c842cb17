//! The command blocks of the documentation, with those that need Pods. `tests/common/pages.rs` says how.
//!
//! What a page says of `ghcr.io/example` and `registry.example.com` happens in the node's two registries, below a name that
//! no other page has: two of them push different skills by the same name.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use crate::images::{AGENT, ORAS, WEBHOOK};
use crate::node::{Node, USERS};
use crate::pages;
use crate::place::Place;
use crate::tools::tool;

pub fn run(node: &Node, name: &str, page: &str) {
    let place = Place::new(node, name);
    let (public, private) = (&node.public.address, &node.private.address);
    let [example, ours] =
        [public, private].map(|registry| format!("{registry}/{}", place.namespace));
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let bin = path("bin");
    std::fs::create_dir(&bin).unwrap();
    for (name, program) in [
        (
            "agentteam-webhook",
            Path::new(env!("CARGO_BIN_EXE_agentteam-webhook")),
        ),
        ("kubectl", &node.control.assets().join("kubectl")),
    ] {
        symlink(program, bin.join(name)).unwrap();
    }
    // People's registries have TLS; this one is told from the other by its port.
    let oras = format!(
        "#!/bin/sh\ncase \"$*\" in *{public}*) set -- \"$@\" --plain-http ;; esac\nexec {} \"$@\"\n",
        tool("oras").display()
    );
    std::fs::write(bin.join("oras"), oras).unwrap();
    std::fs::set_permissions(bin.join("oras"), PermissionsExt::from_mode(0o755)).unwrap();
    let authorities = path("authorities");
    std::fs::create_dir(&authorities).unwrap();
    std::fs::write(authorities.join("ca.crt"), &node.identity.ca).unwrap();
    let kubeconfig = node.control.admin_kubeconfig(&place.namespace);
    {
        let daemons = node.daemons();
        for (image, name) in [
            (AGENT, format!("{example}/agent:1.0")),
            (AGENT, format!("{example}/clock:1.0")),
            (ORAS, "ghcr.io/oras-project/oras:v1.3.3".to_owned()),
            (WEBHOOK, format!("{ours}/agentteam-webhook:0.1.0")),
        ] {
            daemons.ctr(&["images", "tag", "--force", image, &name]);
        }
    }
    pages::Place {
        directory: directory.path(),
        has_node: true,
        instead: &[
            ("ghcr.io/example", example),
            ("registry.example.com/", format!("{ours}/")),
            ("registry.example.com", private.clone()),
            ("--username writer", "--username reader".to_owned()),
        ],
        environment: &[
            (
                "PATH",
                format!("{}:/usr/local/bin:/usr/bin:/bin", bin.display()),
            ),
            ("KUBECONFIG", kubeconfig.display().to_string()),
            ("AGENTTEAM_WEBHOOK_PLAIN_HTTP_REGISTRIES", public.clone()),
            ("SSL_CERT_DIR", authorities.display().to_string()),
            ("READER_PASSWORD", USERS[0].1.to_owned()),
            ("WRITER_PASSWORD", USERS[0].1.to_owned()),
        ],
    }
    .run(page);
}

#[test]
fn manifests() {
    run(&Node::shared(), "manifests", "manifests/README.md");
}

#[test]
fn certificates() {
    run(&Node::shared(), "certificates", "certs/README.md");
}

#[test]
fn examples() {
    run(&Node::shared(), "examples", "examples/README.md");
}

#[test]
fn how_to_author_skills() {
    run(&Node::shared(), "author", "docs/how-to/author-skills.md");
}

#[test]
fn how_to_label_a_workload() {
    run(
        &Node::shared(),
        "label",
        "docs/how-to/label-your-own-workload.md",
    );
}

#[test]
fn how_to_choose_a_delivery() {
    run(
        &Node::shared(),
        "choose",
        "docs/how-to/choose-a-delivery.md",
    );
}

#[test]
fn how_to_sign_skills() {
    run(&Node::shared(), "sign", "docs/how-to/sign-skills.md");
}
