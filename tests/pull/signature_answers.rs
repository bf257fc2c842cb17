//! What a registry may do when it is asked for signatures: it has too many, fails, lies, or does not know the question.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;

use crate::artifact::{Artifact, manifest};
use crate::run::{Run, basic, password};
use crate::server::{End, Reply, Request, Server};
use crate::signatures::serve;
use crate::signed::Signed;
use crate::signer::{Signer, claim};

/// Whether a request is for a signature, or for the list of them.
fn is_for_signature(signed: &Signed, request: &Request) -> bool {
    let target = &request.target;
    let is_own = target.contains("/blobs/")
        && signed
            .artifact
            .blobs
            .keys()
            .any(|digest| target.ends_with(digest));
    !(is_own || target.ends_with("/manifests/v1"))
}

/// A registry that answers what is asked of signatures in a way of its own.
fn serve_otherwise(
    signed: Signed,
    answer: impl Fn(&Request) -> Option<Reply> + Send + Sync + 'static,
) -> Server {
    Server::start(move |request| {
        let other = is_for_signature(&signed, request).then(|| answer(request));
        other.flatten().unwrap_or_else(|| signed.answer(request))
    })
}

#[test]
fn signatures_that_cannot_be_had_are_not_signatures_that_are_not_there() {
    let author = Signer::new();
    let key = author.public_key();
    for (status, code) in [(401, 10), (403, 4), (500, 6), (503, 6), (429, 7)] {
        let signed = Signed::new().by_bundle(&author);
        let server = serve_otherwise(signed, move |_| Some(Reply::new(status)));
        let done = Run::web(&server.host())
            .verified(&key)
            .arg("--timeout")
            .arg("2")
            .done();
        assert_eq!(done.code, code, "{status}: {}", done.stderr);
        assert!(done.files.is_empty());
    }
    let silent = serve_otherwise(Signed::new().by_claim(&author), |request| {
        request
            .target
            .contains("/blobs/")
            .then(|| Reply::new(200).body(" ").end(End::Silent(0)))
    });
    let done = Run::web(&silent.host())
        .verified(&key)
        .arg("--timeout")
        .arg("3")
        .done();
    assert!(matches!(done.code, 6 | 8), "{}", done.stderr);
    assert!(
        done.files.is_empty() && done.took.as_secs() < 30,
        "{:?}",
        done.took
    );
}

#[test]
fn a_request_for_a_signature_is_made_again() {
    let author = Signer::new();
    for signed in [
        Signed::new().by_claim(&author),
        Signed::new().by_bundle(&author),
    ] {
        let count = AtomicUsize::new(0);
        // Every other request fails.
        let server = serve_otherwise(signed, move |_| {
            let number = count.fetch_add(1, Ordering::Relaxed);
            (number.is_multiple_of(2)).then(|| Reply::new(503))
        });
        Run::web(&server.host())
            .verified(&author.public_key())
            .done()
            .is_web();
    }
}

/// Not every registry without a list of referrers says so by 404.
#[test]
fn a_registry_that_knows_no_referrers_may_say_so_in_its_way() {
    let author = Signer::new();
    for status in [400, 404, 405, 406] {
        let server = serve_otherwise(Signed::new().by_bundle(&author), move |request| {
            request
                .target
                .contains("/referrers/")
                .then(|| Reply::new(status))
        });
        Run::web(&server.host())
            .verified(&author.public_key())
            .done()
            .is_web();
    }
    let page = serve_otherwise(Signed::new().by_bundle(&author), |request| {
        let page = Reply::new(200)
            .header("content-type", "text/html")
            .body("<html>");
        request.target.contains("/referrers/").then_some(page)
    });
    Run::web(&page.host())
        .verified(&author.public_key())
        .done()
        .is_web();
}

#[test]
fn a_registry_that_lies_about_signatures_is_found_out() {
    let author = Signer::new();
    let server = serve_otherwise(Signed::new().by_bundle(&author), |request| {
        // Something else than the bundle's manifest.
        let is_named = request.target.contains("/manifests/sha256:");
        is_named.then(|| manifest(&Artifact::skill().manifest))
    });
    let done = Run::web(&server.host())
        .verified(&author.public_key())
        .done();
    done.failed(11, "something else");
}

#[test]
fn signatures_are_fetched_with_the_credentials_of_their_registry() {
    let author = Signer::new();
    for signed in [
        Signed::new().by_claim(&author),
        Signed::new().by_bundle(&author),
    ] {
        let server = Server::start(move |request| {
            if request.header("authorization") == Some(&basic("reader")) {
                signed.answer(request)
            } else {
                Reply::new(401).header("www-authenticate", "Basic realm=\"x\"")
            }
        });
        let host = server.host();
        let run = || Run::web(&host).verified(&author.public_key());
        run().config(&password(&host, "reader")).done().is_web();
        run()
            .config(&password(&host, "nobody"))
            .done()
            .failed(3, "renew them");
    }
}

#[test]
fn no_more_than_32_signatures_are_looked_at() {
    let (author, other) = (Signer::new(), Signer::new());
    let mut claimed = Signed::new();
    let mut bundled = Signed::new();
    for number in 0..100 {
        let claim = format!("{{\"number\": {number}}}");
        claimed.add_claim(&claim, &other.sign(claim.as_bytes()));
        bundled.add_bundle(&other.statement(&json!({"number": number})));
    }
    for signed in [claimed.by_claim(&author), bundled.by_bundle(&author)] {
        let server = serve(&signed);
        let done = Run::web(&server.host())
            .verified(&author.public_key())
            .done();
        done.failed(15, "of its first 32 signatures, none holds: not by a key");
        assert_eq!(server.count("/blobs/"), 32);
    }
    // Nor are more of those that nobody can read.
    let mut unreadable = Signed::new().by_claim(&author);
    for number in 0..100 {
        unreadable.add_referrer(&json!({"schemaVersion": 1, "number": number}));
    }
    let server = serve(&unreadable);
    let done = Run::web(&server.host())
        .verified(&author.public_key())
        .done();
    done.failed(
        15,
        "of its first 32 signatures, none holds: it cannot be read",
    );
    assert!(server.count("/manifests/sha256:") <= 64);
}

#[test]
fn of_many_signatures_little_is_said() {
    let author = Signer::new();
    let mut signed = Signed::new();
    for number in 0..20 {
        let claim = claim(&"x".repeat(1000 + number)).to_string();
        signed.add_claim(&claim, &author.sign(claim.as_bytes()));
    }
    let server = serve(&signed);
    let done = Run::web(&server.host())
        .verified(&author.public_key())
        .done();
    done.failed(15, "and others");
    assert!(done.stderr.len() < 1000, "{}", done.stderr);
}

#[test]
fn a_signature_larger_than_any_is_not_fetched() {
    let author = Signer::new();
    let mut signed = Signed::new();
    let claim = " ".repeat((1 << 20) + 1);
    signed.add_claim(&claim, &author.sign(claim.as_bytes()));
    let server = serve(&signed);
    let done = Run::web(&server.host())
        .verified(&author.public_key())
        .done();
    done.failed(15, "it has more than 1048576 bytes");
    assert_eq!(server.count("/blobs/"), 0);
}

#[test]
fn without_keys_nobody_looks_for_signatures() {
    let server = serve(&Signed::new());
    Run::web(&server.host()).done().is_web();
    assert_eq!(server.count("/referrers/") + server.count("sha256-"), 0);
}
