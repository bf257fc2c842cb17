//! Token services that a registry names: which are asked, and which are shown a credential.

use serde_json::json;

use crate::artifact::Artifact;
use crate::identity::Identity;
use crate::run::{Done, Run, SECRET, password};
use crate::server::{End, Reply, Request, Server};

/// A registry that names this token service, which gives a token to everybody, wherever it is.
fn naming(identity: Option<&Identity>, realm: &str) -> Server {
    let (artifact, challenge) = (
        Artifact::skill(),
        format!("Bearer realm=\"{realm}\",service=\"s\""),
    );
    let handler = move |request: &Request| {
        if request.target.starts_with("/token") {
            return Reply::new(200).body(json!({"token": SECRET}).to_string());
        }
        if request.header("authorization") == Some(&format!("Bearer {SECRET}")) {
            return artifact.answer(request);
        }
        Reply::new(401).header("www-authenticate", challenge.clone())
    };
    match identity {
        Some(identity) => Server::start_tls(identity, handler),
        None => Server::start(handler),
    }
}

/// Pulls from `registry.example`, over TLS, where `realm` is its token service.
fn pull(realm: &str) -> (Server, Done) {
    let identity =
        Identity::make(&["registry.example", "auth.example", "10.0.0.1", "127.0.0.1"]).unwrap();
    let server = naming(Some(&identity), realm);
    let run = Run::secure_web_behind(&server, "registry.example", &identity.ca);
    let done = run.config(&password("registry.example", "reader")).done();
    (server, done)
}

#[test]
fn a_token_service_elsewhere_is_asked_over_tls() {
    let (server, done) = pull("https://auth.example/token");
    done.is_web();
    let asked = server
        .seen()
        .into_iter()
        .find(|request| request.target.starts_with("/token"))
        .unwrap();
    assert_eq!(asked.origin, "https://auth.example:443");
    assert!(asked.header("authorization").is_some());
}

#[test]
fn the_registry_s_own_host_is_excepted() {
    // At a loopback address, without TLS, as a registry on one's own machine is.
    let server = naming(None, "http://127.0.0.1:1/token");
    let own = server.host();
    let done = Run::web(&own).arg("--timeout").arg("2").done();
    // It is asked: nobody is there.
    done.gave_up("127.0.0.1:1 cannot be spoken to");
    let (_, done) = pull("https://registry.example/token");
    done.is_web();
}

#[test]
fn a_token_service_without_tls_is_not_asked() {
    for realm in ["http://auth.example/token", "http://registry.example/token"] {
        let (server, done) = pull(realm);
        done.failed(10, "spoken to without TLS; no credential was sent there");
        assert_eq!(server.count("/token"), 0, "{realm}");
    }
    // Not even where the registry is spoken to without.
    let server = naming(None, "http://auth.example/token");
    let run = Run::web_behind(&server, "registry.example")
        .config(&password("registry.example", "reader"));
    run.done().failed(10, "spoken to without TLS");
    assert_eq!(server.count("/token"), 0);
}

#[test]
fn a_token_service_that_only_we_can_reach_is_not_asked() {
    for realm in [
        "https://10.0.0.1/token",
        "https://192.168.1.1:8443/token",
        "https://127.0.0.1/token",
        "https://2130706433/token",
        "https://0x7f.1/token",
        "https://[::1]/token",
        "https://[::ffff:127.0.0.1]/token",
        "https://[fd00::1]/token",
        "https://localhost/token",
        "https://169.254.169.254/token",
        "https://[fd00:ec2::254]/token",
        "https://metadata.google.internal/token",
    ] {
        let (server, done) = pull(realm);
        done.failed(10, "which only this machine or its network can reach");
        assert_eq!(server.count("/token"), 0, "{realm}");
    }
}

#[test]
fn what_is_no_address_is_not_asked() {
    for realm in [
        "",
        "/token",
        "ftp://auth.example/token",
        "file:///etc/passwd",
        "https://u:p@auth.example/token",
    ] {
        let (server, done) = pull(realm);
        done.failed(10, "no credential was sent there");
        assert_eq!(server.count("/token"), 0, "{realm}");
    }
}

#[test]
fn a_token_service_that_answers_nonsense_is_not_believed() {
    let replies: [fn() -> Reply; 7] = [
        || Reply::new(200).body("{}"),
        || Reply::new(200).body("[]"),
        || Reply::new(200).body("hunter2"),
        || Reply::new(200).body(json!({"token": ""}).to_string()),
        || Reply::new(200).body(json!({"token": "a\r\nx-injected: 1"}).to_string()),
        || Reply::new(302).header("location", "https://auth.example/other"),
        || Reply::new(204),
    ];
    for reply in replies {
        let server = Server::start(move |request| {
            if request.target.starts_with("/token") {
                return reply();
            }
            Reply::new(401).header(
                "www-authenticate",
                format!("Bearer realm=\"{}/token\"", request.origin),
            )
        });
        let done = Run::web(&server.host()).done();
        done.failed(10, "");
        assert_eq!(server.count("/token"), 1);
    }
}

#[test]
fn a_token_of_more_than_64_kib_is_not_read() {
    for end in [End::Whole, End::Endless] {
        let server = Server::start(move |request| {
            if request.target.starts_with("/token") {
                let token = "x".repeat(64 << 10);
                return Reply::new(200)
                    .body(json!({ "token": token }).to_string())
                    .end(end);
            }
            Reply::new(401).header(
                "www-authenticate",
                format!("Bearer realm=\"{}/token\"", request.origin),
            )
        });
        Run::web(&server.host())
            .done()
            .failed(10, "token of more than 65536 bytes");
    }
}
