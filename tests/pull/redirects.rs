//! Redirects: how far they are followed, and who is shown what on the way.

use crate::artifact::Artifact;
use crate::identity::Identity;
use crate::run::{Run, basic, password};
use crate::server::{Reply, Request, Server};

/// `registry.example`, which wants a password and then redirects blobs to `to`, which wants none. All hosts are this
/// server, those with TLS and those without.
fn redirecting(to: &'static str) -> (Server, Identity) {
    let identity = Identity::make(&["registry.example", "cdn.example"]).unwrap();
    let artifact = Artifact::skill();
    let server = Server::start_tls(&identity, move |request: &Request| {
        let is_registry = request.target.starts_with("/v2/");
        if is_registry && request.header("authorization") != Some(&basic("reader")) {
            return Reply::new(401).header("www-authenticate", "Basic realm=\"registry\"");
        }
        if is_registry && request.target.contains("/blobs/") {
            let (_, digest) = request.target.rsplit_once('/').unwrap();
            return Reply::new(307).header("location", format!("{to}/{digest}"));
        }
        artifact.answer(request)
    });
    (server, identity)
}

fn pull(server: &Server, identity: &Identity) -> crate::run::Done {
    let run = Run::secure_web_behind(server, "registry.example", &identity.ca);
    run.config(&password("registry.example", "reader")).done()
}

#[test]
fn a_credential_does_not_go_along_to_another_host_or_port() {
    for (to, origin) in [
        ("https://cdn.example/blobs", "https://cdn.example:443"),
        (
            "https://registry.example:8443/blobs",
            "https://registry.example:8443",
        ),
    ] {
        let (server, identity) = redirecting(to);
        pull(&server, &identity).is_web();
        let seen = server.seen();
        let led: Vec<_> = seen
            .iter()
            .filter(|request| request.origin == origin)
            .collect();
        assert_eq!(led.len(), 2, "{seen:?}");
        assert!(
            led.iter()
                .all(|request| request.header("authorization").is_none()),
            "{led:?}"
        );
    }
}

#[test]
fn a_credential_does_not_go_along_to_another_scheme() {
    // From http to https, which is the better one.
    let (server, identity) = redirecting("https://registry.example/blobs");
    let run = Run::web_behind(&server, "registry.example").trusting(&identity.ca);
    let proxy = format!("http://{}", server.host());
    let done = run
        .env("HTTPS_PROXY", &proxy)
        .config(&password("registry.example", "reader"))
        .done();
    done.is_web();
    let led: Vec<_> = server
        .seen()
        .into_iter()
        .filter(|request| request.origin.starts_with("https"))
        .collect();
    assert_eq!(led.len(), 2);
    assert!(
        led.iter()
            .all(|request| request.header("authorization").is_none()),
        "{led:?}"
    );
}

#[test]
fn a_credential_goes_along_within_the_registry() {
    let artifact = Artifact::skill();
    let server = Server::start(move |request| {
        if request.header("authorization") != Some(&basic("reader")) {
            return Reply::new(401).header("www-authenticate", "Basic realm=\"registry\"");
        }
        match request.target.strip_prefix("/v2/org/web/blobs/") {
            Some(digest) => Reply::new(307).header("location", format!("/elsewhere/{digest}")),
            None => artifact.answer(request),
        }
    });
    let host = server.host();
    Run::web(&host)
        .config(&password(&host, "reader"))
        .done()
        .is_web();
}

#[test]
fn whoever_leads_us_back_is_shown_nothing() {
    let identity = Identity::make(&["registry.example", "evil.example"]).unwrap();
    let server = Server::start_tls(&identity, move |request| {
        let shown = request.header("authorization").is_some();
        match request.target.as_str() {
            "/v2/org/web/manifests/v1" if shown => {
                Reply::new(302).header("location", "https://evil.example/away")
            }
            "/away" => Reply::new(302).header(
                "location",
                "https://registry.example/v2/org/web/delete-everything",
            ),
            "/v2/org/web/delete-everything" => Reply::new(404),
            _ => Reply::new(401).header("www-authenticate", "Basic realm=\"registry\""),
        }
    });
    pull(&server, &identity).failed(5, "(404)");
    let last = server.seen().pop().unwrap();
    assert_eq!(
        (last.target.as_str(), last.header("authorization")),
        ("/v2/org/web/delete-everything", None)
    );
}

#[test]
fn who_was_led_to_is_told_no_password_even_if_it_asks() {
    let identity = Identity::make(&["registry.example", "evil.example"]).unwrap();
    let server = Server::start_tls(&identity, move |request| {
        if request.origin.contains("evil") || request.header("authorization").is_none() {
            return Reply::new(401).header("www-authenticate", "Basic realm=\"registry\"");
        }
        Reply::new(302).header("location", "https://evil.example/")
    });
    pull(&server, &identity).failed(3, "(401)");
    let evil: Vec<_> = server
        .seen()
        .into_iter()
        .filter(|request| request.origin.contains("evil"))
        .collect();
    assert_eq!(evil.len(), 1);
    assert_eq!(evil[0].header("authorization"), None);
}

#[test]
fn a_redirect_that_leads_astray_is_not_followed() {
    for (to, why) in [
        ("http://cdn.example/blobs", "without TLS"),
        ("http://registry.example/blobs", "without TLS"),
        ("ftp://cdn.example/blobs", "not on the web"),
        (
            "https://user:password@cdn.example/blobs",
            "credentials that are not ours",
        ),
        ("https://127.0.0.1/blobs", "only this machine can reach"),
        (
            "https://169.254.169.254/latest/meta-data",
            "only this machine can reach",
        ),
        ("https://localhost:1/blobs", "only this machine can reach"),
    ] {
        let (server, identity) = redirecting(to);
        pull(&server, &identity).failed(10, why);
        assert!(
            server
                .seen()
                .iter()
                .all(|request| request.target.starts_with("/v2/")),
            "{to}"
        );
    }
}

#[test]
fn five_redirects_are_followed_and_no_more() {
    for (hops, followed) in [(5, true), (6, false)] {
        let artifact = Artifact::skill();
        let server = Server::start(move |request| {
            let Some((_, rest)) = request.target.split_once("/blobs/") else {
                return artifact.answer(request);
            };
            let (digest, hop) = rest
                .split_once('/')
                .map_or((rest, 0), |(hop, digest)| (digest, hop.parse().unwrap()));
            if hop == hops {
                return artifact.answer(request);
            }
            Reply::new(302).header("location", format!("/blobs/{}/{digest}", hop + 1))
        });
        let done = Run::web(&server.host()).done();
        if followed {
            done.is_web();
        } else {
            done.failed(10, "redirects more than 5 times");
        }
    }
}

#[test]
fn a_redirect_without_an_address_is_not_followed() {
    for location in ["", "http://", "https://[", "//"] {
        let server = Server::start(move |_| match location {
            "" => Reply::new(302),
            location => Reply::new(302).header("location", location),
        });
        Run::web(&server.host())
            .done()
            .failed(10, "redirects to no address");
    }
}
