//! Who gets which credential, and what is said where there is none.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;

use crate::artifact::Artifact;
use crate::run::{Run, SECRET, basic, password};
use crate::server::{Reply, Request, Server};

/// A registry that wants a user's password.
fn private(user: &'static str) -> Server {
    let artifact = Artifact::skill();
    Server::start(move |request| {
        if request.header("authorization") == Some(&basic(user)) {
            artifact.answer(request)
        } else {
            Reply::new(401).header("www-authenticate", "Basic realm=\"registry\"")
        }
    })
}

/// A registry with a token service of its own, which gives `token` where `knows` says so.
fn with_tokens(knows: impl Fn(&Request) -> bool + Send + Sync + 'static) -> Server {
    let artifact = Artifact::skill();
    Server::start(move |request| {
        let host = request.origin.trim_start_matches("http://");
        if request.target.starts_with("/token") {
            return if knows(request) {
                Reply::new(200).body(json!({"token": SECRET, "expires_in": 60}).to_string())
            } else {
                Reply::new(401)
            };
        }
        if request.header("authorization") == Some(&format!("Bearer {SECRET}")) {
            return artifact.answer(request);
        }
        let challenge = format!(
            r#"Bearer realm="http://{host}/token",service="the registry",scope="repository:org/other:push,pull""#
        );
        Reply::new(401).header("www-authenticate", challenge)
    })
}

#[test]
fn a_password_is_shown_to_a_registry_that_asks_for_one() {
    let registry = private("reader");
    let host = registry.host();
    Run::web(&host)
        .config(&password(&host, "reader"))
        .done()
        .is_web();
    assert!(registry.seen()[0].header("authorization").is_none());
}

#[test]
fn an_anonymous_token_is_asked_for_where_there_are_no_credentials() {
    let registry = with_tokens(|request| request.header("authorization").is_none());
    Run::web(&registry.host()).done().is_web();
    let asked = registry
        .seen()
        .into_iter()
        .find(|request| request.target.starts_with("/token"));
    // For pulling this repository, whatever the registry would have us ask for.
    let target = asked.unwrap().target;
    assert_eq!(
        target,
        "/token?service=the+registry&scope=repository%3Aorg%2Fweb%3Apull"
    );
}

#[test]
fn a_password_is_changed_for_a_token() {
    let registry = with_tokens(|request| request.header("authorization") == Some(&basic("reader")));
    let host = registry.host();
    Run::web(&host)
        .config(&password(&host, "reader"))
        .done()
        .is_web();
    let shown = |request: &Request| request.header("authorization") == Some(&basic("reader"));
    let to: Vec<_> = registry.seen().into_iter().filter(shown).collect();
    assert!(
        to.iter()
            .all(|request| request.target.starts_with("/token")),
        "{to:?}"
    );
}

#[test]
fn an_identity_token_is_changed_for_a_token() {
    let registry = with_tokens(|request| {
        request.method == "POST" && request.body.contains(&format!("refresh_token={SECRET}"))
    });
    let host = registry.host();
    let config = json!({"auths": {&host: {"identitytoken": SECRET}}});
    Run::web(&host).config(&config).done().is_web();
    let asked = registry
        .seen()
        .into_iter()
        .find(|request| request.method == "POST")
        .unwrap();
    assert!(!asked.target.contains(SECRET), "{asked:?}");
    assert!(
        asked
            .body
            .starts_with("grant_type=refresh_token&service=the+registry&client_id="),
        "{asked:?}"
    );
    assert!(
        asked.body.contains("scope=repository%3Aorg%2Fweb%3Apull"),
        "{asked:?}"
    );
}

#[test]
fn all_configurations_count_and_the_most_specific_key_first() {
    let registry = private("reader");
    let host = registry.host();
    let done = Run::web(&host)
        .config(&password(&host, "somebody"))
        .config(&password("other.example", "other"))
        .config(&password(&format!("{host}/org"), "reader"))
        .done();
    done.is_web();
    let shown: Vec<_> = registry
        .seen()
        .iter()
        .filter_map(|request| request.header("authorization").map(ToOwned::to_owned))
        .collect();
    assert!(
        shown.iter().all(|header| *header == basic("reader")),
        "{shown:?}"
    );
}

#[test]
fn where_one_credential_is_not_taken_the_next_is_tried() {
    for registry in [
        private("second"),
        with_tokens(|request| request.header("authorization") == Some(&basic("second"))),
    ] {
        let host = registry.host();
        let done = Run::web(&host)
            .config(&password(&host, "first"))
            .config(&password(&host, "second"))
            .done();
        done.is_web();
    }
}

#[test]
fn a_credential_that_may_not_gives_way_to_one_that_may() {
    let artifact = Artifact::skill();
    let registry = Server::start(move |request| match request.header("authorization") {
        None => Reply::new(401).header("www-authenticate", "Basic realm=\"registry\""),
        Some(header) if header == basic("second") => artifact.answer(request),
        Some(_) => Reply::new(403),
    });
    let host = registry.host();
    let run = || Run::web(&host).config(&password(&host, "first"));
    run().config(&password(&host, "second")).done().is_web();
    run().done().failed(4, "(403)");
}

#[test]
fn the_default_configuration_is_docker_s() {
    let registry = private("reader");
    let host = registry.host();
    for directory in [".docker", "elsewhere"] {
        let mut run = Run::web(&host);
        if directory == "elsewhere" {
            let path = run.path(directory).display().to_string();
            run = run.env("DOCKER_CONFIG", &path);
        }
        fs::create_dir(run.path(directory)).unwrap();
        fs::write(
            run.path(directory).join("config.json"),
            password(&host, "reader").to_string(),
        )
        .unwrap();
        run.done().is_web();
    }
    Run::web(&host)
        .done()
        .failed(3, "there are no credentials for it");
}

#[test]
fn a_credential_is_shown_to_its_own_registry_only() {
    let registry = private("reader");
    let host = registry.host();
    let config = json!({"auths": {
        "other.example": {"username": "reader", "password": SECRET},
        format!("{host}/other"): {"username": "reader", "password": SECRET},
        "127.0.0.1": {"username": "reader", "password": SECRET},
    }});
    Run::web(&host).config(&config).done().failed(3, "(401)");
    assert!(
        registry
            .seen()
            .iter()
            .all(|request| request.header("authorization").is_none())
    );
}

#[test]
fn a_token_service_that_is_busy_is_asked_again() {
    for (status, wait) in [(503, ""), (429, "1")] {
        let failed = AtomicBool::new(false);
        let artifact = Artifact::skill();
        let registry = Server::start(move |request| {
            if request.header("authorization") == Some(&format!("Bearer {SECRET}")) {
                return artifact.answer(request);
            }
            if !request.target.starts_with("/token") {
                let challenge = format!("Bearer realm=\"{}/token\"", request.origin);
                return Reply::new(401).header("www-authenticate", challenge);
            }
            if failed.swap(true, Ordering::SeqCst) {
                Reply::new(200).body(json!({"token": SECRET}).to_string())
            } else {
                Reply::new(status).header("retry-after", wait)
            }
        });
        let done = Run::web(&registry.host()).done();
        done.is_web();
        assert_eq!(registry.count("/token"), 2, "{status}");
        assert!(wait.is_empty() || done.took >= Duration::from_secs(1));
    }
}

#[test]
fn wrong_credentials_fail_at_once() {
    for registry in [private("reader"), with_tokens(|_| false)] {
        let host = registry.host();
        let done = Run::web(&host).config(&password(&host, "nobody")).done();
        done.failed(3, "renew them");
        assert_eq!(done.last_words.lines().count(), 1);
        assert!(registry.seen().len() <= 3, "{:?}", registry.seen());
    }
}

#[test]
fn a_token_that_ended_is_renewed_once() {
    let artifact = Artifact::skill();
    let registry = Server::start(move |request| {
        let host = request.origin.trim_start_matches("http://");
        let (is_blob, shown) = (
            request.target.contains("/blobs/"),
            request.header("authorization"),
        );
        if request.target.starts_with("/token") {
            return Reply::new(200).body(
                json!({"access_token": format!("{SECRET}-{}", request.header("cookie").is_some())})
                    .to_string(),
            );
        }
        let ended =
            is_blob && shown.is_some() && request.header("range").is_none() && first_time(request);
        if shown.is_some() && !ended {
            return artifact.answer(request);
        }
        let challenge = format!("Bearer realm=\"http://{host}/token\"");
        Reply::new(401).header("www-authenticate", challenge)
    });
    Run::web(&registry.host()).done().is_web();
    assert!(registry.count("/token") >= 2);
}

/// Whether a path is asked for the first time.
fn first_time(request: &Request) -> bool {
    use std::collections::BTreeSet;
    use std::sync::Mutex;
    static SEEN: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    SEEN.lock()
        .unwrap()
        .insert(format!("{}{}", request.origin, request.target))
}

#[test]
fn a_helper_is_never_run_and_named_where_it_would_have_been_needed() {
    let registry = private("reader");
    let host = registry.host();
    let run = Run::web(&host);
    let trace = run.path("was-run");
    let helper = run.path("docker-credential-trap");
    fs::write(&helper, format!("#!/bin/sh\ntouch {}\n", trace.display())).unwrap();
    let mut permissions = fs::metadata(&helper).unwrap().permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o755);
    fs::set_permissions(&helper, permissions).unwrap();
    let path = format!("{}:/usr/bin:/bin", run.dir.path().display());
    let config = json!({"credHelpers": {&host: "trap"}, "credsStore": "trap"});
    let mut run = run.env("PATH", &path).config(&config);
    let done = run.go();
    done.failed(3, "names the credential helper \"trap\"");
    assert!(!trace.exists());

    let open = Artifact::skill();
    let open = Server::start(move |request| open.answer(request));
    Run::web(&open.host())
        .config(&json!({"credsStore": "trap"}))
        .done()
        .is_web();
}

#[test]
fn a_malformed_configuration_is_a_clear_error() {
    let artifact = Artifact::skill();
    let registry = Server::start(move |request| artifact.answer(request));
    let host = registry.host();
    for bad in [
        json!("hunter2-is-secret"),
        json!({"auths": {&host: {"auth": SECRET}}}),
        json!({"auths": {&host: SECRET}}),
        json!({"auths": {&host: {"password": SECRET}}}),
    ] {
        Run::web(&host)
            .config(&bad)
            .done()
            .failed(2, "is not a docker configuration");
    }
    let missing = Run::web(&host)
        .arg("--registry-config")
        .arg("/does/not/exist")
        .done();
    missing.failed(2, "/does/not/exist");
    assert!(registry.seen().is_empty());
}
