//! The distribution registry itself: plain, with TLS and passwords, and what `oras push` puts there.

use std::fs;
use std::path::Path;

use crate::artifact::{SKILL_MD, large};
use crate::identity::Identity;
use crate::run::{Run, SECRET, password};
use crate::tools::Registry;

/// The skill `web` as its author has it.
fn write_skill(directory: &Path) {
    fs::write(directory.join("SKILL.md"), SKILL_MD).unwrap();
    fs::write(directory.join("data.bin"), large()).unwrap();
}

#[test]
fn a_skill_is_pulled_from_a_registry_with_tls_and_passwords() {
    let identity = Identity::make(&["127.0.0.1"]).unwrap();
    let registry = Registry::start_at("127.0.0.1:0", Some(&identity), Some(("reader", SECRET)));
    let directory = tempfile::tempdir().unwrap();
    write_skill(directory.path());
    let digest = registry.push("org/web:v1", directory.path());
    let host = &registry.address;
    for reference in [
        format!("{host}/org/web:v1"),
        format!("{host}/org/web@{digest}"),
    ] {
        let run = || Run::pull().skill("web", &reference).trusting(&identity.ca);
        let done = run().config(&password(host, "reader")).done();
        done.is_web();
        assert!(done.stdout.contains(&digest), "{}", done.stdout);
        run()
            .config(&password(host, "somebody"))
            .done()
            .failed(3, "renew them");
        run().done().failed(3, "no credentials");
    }
    let missing = Run::pull()
        .skill("web", &format!("{host}/org/web:v2"))
        .trusting(&identity.ca);
    missing
        .config(&password(&format!("{host}/org"), "reader"))
        .done()
        .failed(5, "(404)");
}

#[test]
fn sixteen_skills_are_pulled_side_by_side() {
    let registry = Registry::start();
    let directory = tempfile::tempdir().unwrap();
    let names: Vec<_> = (0..16).map(|index| format!("skill-{index}")).collect();
    let mut run = Run::pull()
        .arg("--plain-http-registry")
        .arg(&registry.address);
    for name in &names {
        fs::write(
            directory.path().join("SKILL.md"),
            format!("---\nname: {name}\ndescription: x\n---\n"),
        )
        .unwrap();
        registry.push(&format!("skills/{name}:v1"), directory.path());
        run = run.skill(name, &format!("{}/skills/{name}:v1", registry.address));
    }
    let done = run.done();
    assert_eq!((done.code, done.stderr.as_str()), (0, ""));
    assert_eq!(done.files.len(), 16);
    assert_eq!(done.stdout.lines().count(), 16);
}
