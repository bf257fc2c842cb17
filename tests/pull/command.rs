//! What the command prints, and what it takes.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::artifact::{Artifact, SKILL_MD};
use crate::run::Run;
use crate::server::{Reply, Server};

fn registry() -> Server {
    let artifact = Artifact::skill();
    Server::start(move |request| {
        if request.target.contains("/missing/") {
            return Reply::new(404);
        }
        artifact.answer(request)
    })
}

#[test]
fn one_line_a_skill_with_the_digest_that_its_reference_stands_for() {
    let (server, digest) = (registry(), Artifact::skill().digest());
    let host = server.host();
    let done = Run::web(&host).done();
    done.is_web();
    let line = format!(
        "web: {host}/org/web:v1@{digest} (2 files, {} bytes)\n",
        300_000 + SKILL_MD.len()
    );
    assert_eq!(
        (done.stdout.as_str(), done.stderr.as_str()),
        (line.as_str(), "")
    );
    assert_eq!(done.last_words, line);
}

#[test]
fn json_says_all_of_it() {
    let server = registry();
    let host = server.host();
    let run = Run::web(&host)
        .skill("other", &format!("{host}/org/missing/x:v1"))
        .arg("--json");
    let out = run.path("out/web").display().to_string();
    let done = run.done();
    assert_eq!(done.code, 5);
    let said: Value = serde_json::from_str(&done.stdout).unwrap();
    let expected = json!({
        "name": "web", "reference": format!("{host}/org/web:v1"), "digest": Artifact::skill().digest(),
        "path": out, "files": 2, "bytes": 300_000 + SKILL_MD.len(), "warnings": [],
    });
    assert_eq!(said["skills"][0], expected);
    let error = &said["skills"][1]["error"];
    assert_eq!(
        (error["kind"].as_str(), error["exitCode"].as_u64()),
        (Some("NotFound"), Some(5))
    );
    assert!(error["message"].as_str().unwrap().contains("(404)"));

    let done = Run::web(&host)
        .arg("--registry-config")
        .arg("/does/not/exist")
        .arg("--json")
        .done();
    let said: Value = serde_json::from_str(&done.stdout).unwrap();
    assert_eq!(
        (done.code, said["error"]["kind"].as_str()),
        (2, Some("Configuration"))
    );
}

#[test]
fn of_several_skills_each_succeeds_or_fails_by_itself() {
    let server = registry();
    let host = server.host();
    let done = Run::web(&host)
        .skill("first", &format!("{host}/org/missing/first:v1"))
        .skill("second", &format!("{host}/org/missing/second:v1"))
        .done();
    assert_eq!(done.code, 5, "{}", done.stderr);
    assert_eq!(done.files.len(), 2);
    let words: Vec<_> = done.last_words.lines().collect();
    assert_eq!(words.len(), 2);
    assert!(
        words[0].starts_with("skill first: ") && words[1].starts_with("skill second: "),
        "{words:?}"
    );
}

#[test]
fn nobody_need_listen() {
    let (artifact, failed) = (Artifact::skill(), AtomicBool::new(false));
    // There is something to wait for, and an error.
    let server = Server::start(move |request| {
        if failed.swap(true, Ordering::SeqCst) {
            artifact.answer(request)
        } else {
            Reply::new(503)
        }
    });
    let host = server.host();
    let mut run = Run::web(&host).skill("other", &format!("{host}/org/web:v2"));
    run = run.skill("missing", "127.0.0.1:1/org/web:v1");
    run = run.arg("--timeout").arg("4");
    let code = run.spawn_unheard().wait().unwrap().code();
    assert!(matches!(code, Some(6 | 8)), "{code:?}");
    assert!(run.path("out/web/SKILL.md").exists() && run.path("out/other/SKILL.md").exists());
    let words = fs::read_to_string(run.path("last-words")).unwrap();
    assert!(words.starts_with("skill missing: "), "{words}");
}

#[test]
fn a_skill_md_that_is_not_as_specified_is_a_warning_or_an_error() {
    let mut artifact = Artifact::skill();
    artifact.manifest["layers"] = json!([]);
    artifact.file("SKILL.md", b"---\nname: another\ndescription: x\n---\n");
    let server = Server::start(move |request| artifact.answer(request));
    let done = Run::web(&server.host()).done();
    assert_eq!(done.code, 0);
    assert!(
        done.stderr.starts_with("warning: skill web: "),
        "{}",
        done.stderr
    );
    Run::web(&server.host())
        .arg("--strict")
        .done()
        .failed(13, "\"another\"");
}

#[test]
fn the_limits_can_be_set() {
    let server = registry();
    Run::web(&server.host())
        .arg("--max-bytes")
        .arg("1000")
        .done()
        .failed(12, "more than 1000 bytes");
    Run::web(&server.host())
        .arg("--max-entries")
        .arg("1")
        .done()
        .failed(12, "more than 1 ");
}

#[test]
fn flags_that_cannot_be_used_are_refused() {
    let server = registry();
    let host = server.host();
    for (name, reference) in [
        ("../web", "ghcr.io/x/y:1"),
        ("web", "ghcr.io/x/y"),
        ("web", "user:hunter2-is-secret@ghcr.io/x:1"),
        ("web", "--help"),
    ] {
        let done = Run::pull().skill(name, reference).done();
        assert_eq!(done.code, 2, "{}", done.stderr);
        assert!(
            done.files.is_empty() && done.stderr.starts_with("error: --skill"),
            "{}",
            done.stderr
        );
    }
    for flags in [
        ["--timeout", "0"],
        ["--skill", "web"],
        ["--plain-http-registry", "http://x/"],
    ] {
        let done = Run::web(&host).arg(flags[0]).arg(flags[1]).done();
        assert_eq!(done.code, 2, "{flags:?}: {}", done.stderr);
    }
    let twice = Run::web(&host)
        .skill("web", &format!("{host}/org/web:v2"))
        .done();
    assert_eq!(twice.code, 2);
    assert!(
        twice.stderr.contains("--skill web is there twice"),
        "{}",
        twice.stderr
    );
    assert!(server.seen().is_empty());
}

#[test]
fn what_was_pulled_is_replaced_by_what_its_reference_stands_for_now() {
    let current = Arc::new(Mutex::new(Artifact::skill()));
    let artifact = Arc::clone(&current);
    let server = Server::start(move |request| artifact.lock().unwrap().answer(request));
    let mut run = Run::web(&server.host());
    assert!(run.spawn().wait().unwrap().success());
    let mut next = Artifact::skill();
    next.manifest["layers"].as_array_mut().unwrap().truncate(1);
    next.file("new.txt", b"new");
    *current.lock().unwrap() = next;
    let done = run.done();
    let names: Vec<_> = done.files.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["web/SKILL.md", "web/new.txt"]);
}

#[test]
fn nothing_is_left_where_layers_are_kept_on_their_way() {
    let server = registry();
    let run = Run::web(&server.host());
    let temporary = run.path("temporary");
    fs::create_dir(&temporary).unwrap();
    let text = temporary.display().to_string();
    let mut run = run.env("TMPDIR", &text);
    run.go().is_web();
    assert_eq!(fs::read_dir(&temporary).unwrap().count(), 0);
}

#[test]
fn on_a_terminal_there_is_a_bar_for_each_skill() {
    let server = registry();
    let host = server.host();
    let second = format!("{host}/org/web:v2");
    let seen = Run::web(&host)
        .skill("second", &second)
        .seen_on_a_terminal();
    for expected in [
        "web    ",
        "second ",
        "/293.04 KiB",
        "(2 files, 300071 bytes)",
    ] {
        assert!(seen.contains(expected), "{expected}: {seen:?}");
    }
}
