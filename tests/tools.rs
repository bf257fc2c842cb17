//! The tools that other tests rely on: an `oras` that packs and unpacks as the ORAS command line does, and registries.
#![allow(
    dead_code,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    missing_docs,
    unreachable_pub,
    reason = "tests say what they expect by failing, and so do their helpers"
)]

#[path = "common/identity.rs"]
mod identity;
#[path = "common/process.rs"]
mod process;
#[path = "common/tools.rs"]
mod tools;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use identity::Identity;
use serde_json::json;
use tools::{Registry, oras};

/// A skill with a script, below `parent`.
fn skill(parent: &Path) {
    let script = parent.join("greeting/scripts/greet.sh");
    fs::create_dir_all(script.parent().unwrap()).unwrap();
    fs::write(
        parent.join("greeting/SKILL.md"),
        "---\nname: greeting\n---\n",
    )
    .unwrap();
    fs::write(&script, "#!/bin/sh\necho hello\n").unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
}

fn pull(directory: &Path, reference: &str, args: &[&str]) -> (String, String, Option<i32>) {
    let all = [&["pull", "--no-tty", "--output", "out", reference], args].concat();
    let done = oras(directory, &all);
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (text(done.stdout), text(done.stderr), done.status.code())
}

#[test]
fn a_directory_that_is_pushed_from_inside_comes_out_flat_and_one_that_is_pushed_by_name_nested() {
    let registry = Registry::start();
    let dir = tempfile::tempdir().unwrap();
    skill(dir.path());

    let digest = registry.push("skills/flat:v1", &dir.path().join("greeting"));
    let reference = format!("{}/skills/flat:v1", registry.address);
    let (stdout, stderr, code) = pull(dir.path(), &reference, &["--plain-http"]);
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    let end = format!("Pulled [registry] {reference}\nDigest: {digest}\n");
    assert!(stdout.ends_with(&end), "{stdout}");
    let script = fs::metadata(dir.path().join("out/scripts/greet.sh")).unwrap();
    assert_eq!(script.permissions().mode() & 0o777, 0o755);

    registry.push_with("skills/nested:v1", dir.path(), &["greeting/"]);
    let reference = format!("{}/skills/nested:v1", registry.address);
    pull(dir.path(), &reference, &["--plain-http"]);
    assert!(dir.path().join("out/greeting/SKILL.md").exists());

    // Single files lose their exec bit, as is the case with the original.
    registry.push_with(
        "skills/files:v1",
        dir.path(),
        &["greeting/scripts/greet.sh"],
    );
    fs::remove_dir_all(dir.path().join("out")).unwrap();
    let reference = format!("{}/skills/files:v1", registry.address);
    pull(dir.path(), &reference, &["--plain-http"]);
    let script = fs::metadata(dir.path().join("out/greeting/scripts/greet.sh")).unwrap();
    assert_eq!(script.permissions().mode() & 0o111, 0);
}

#[test]
fn a_private_registry_asks_for_its_authority_and_a_password() {
    let identity = Identity::make(&["127.0.0.1"]).unwrap();
    let user = ("reader", "correct horse");
    let mut registry = Registry::start_at("127.0.0.1:0", Some(&identity), Some(user));
    let dir = tempfile::tempdir().unwrap();
    skill(dir.path());
    registry.push("skills/greeting:v1", &dir.path().join("greeting"));
    fs::write(dir.path().join("ca.crt"), &identity.ca).unwrap();
    for (name, password) in [("right.json", "correct horse"), ("wrong.json", "guess")] {
        let auth = STANDARD.encode(format!("reader:{password}"));
        let config = json!({"auths": {(registry.address.clone()): {"auth": auth}}});
        fs::write(dir.path().join(name), config.to_string()).unwrap();
    }
    fs::write(dir.path().join("none.json"), "{}").unwrap();
    let reference = format!("{}/skills/greeting:v1", registry.address);
    let missing = format!("{}/skills/greeting:v2", registry.address);

    let authority: &[&str] = &["--ca-file", "ca.crt"];
    let right: &[&str] = &[
        "--registry-config",
        "none.json",
        "--registry-config",
        "right.json",
    ];
    let wrong: &[&str] = &["--registry-config", "wrong.json"];
    for (reference, args, code, says) in [
        (&reference, [authority, right].concat(), 0, ""),
        (&reference, [authority, wrong].concat(), 1, "unauthorized"),
        (
            &reference,
            authority.to_vec(),
            1,
            "basic credential not found",
        ),
        (
            &reference,
            right.to_vec(),
            1,
            "certificate signed by unknown authority",
        ),
        (
            &missing,
            [authority, right].concat(),
            1,
            "skills/greeting:v2: not found",
        ),
    ] {
        let (_, stderr, got) = pull(dir.path(), reference, &args);
        assert_eq!(got, Some(code), "{args:?}: {stderr}");
        assert!(stderr.contains(says), "{args:?}: {stderr}");
        assert!(!stderr.contains("guess"), "{stderr}");
    }

    // What was pushed is there after a restart, at the same address.
    registry.stop();
    assert_eq!(
        pull(dir.path(), &reference, &[authority, right].concat()).2,
        Some(1)
    );
    registry.resume();
    assert_eq!(
        pull(dir.path(), &reference, &[authority, right].concat()).2,
        Some(0)
    );
}

#[test]
fn layers_without_a_title_are_skipped_with_exit_code_0() {
    let registry = Registry::start();
    let dir = tempfile::tempdir().unwrap();
    skill(dir.path());
    // The configuration is the one part that a push leaves without a title.
    fs::write(dir.path().join("config.json"), "{}\n").unwrap();
    let args = [
        "--config",
        "config.json:application/vnd.example",
        "greeting/SKILL.md",
    ];
    registry.push_with("skills/config:v1", dir.path(), &args);
    let reference = format!("{}/skills/config:v1", registry.address);

    let (stdout, _, code) = pull(dir.path(), &reference, &["--plain-http"]);

    assert_eq!(code, Some(0));
    assert!(
        stdout.contains("Skipped pulling layers without file name"),
        "{stdout}"
    );
}
