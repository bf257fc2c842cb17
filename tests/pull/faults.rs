//! What passes is waited out, and what is interrupted is taken up again.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::artifact::Artifact;
use crate::run::{Run, files};
use crate::server::{End, Reply, Request, Server};

/// A registry that fails so on the first `times` requests for each path.
fn failing(
    times: usize,
    failure: impl Fn(&Request, Reply) -> Reply + Send + Sync + 'static,
) -> Server {
    let artifact = Artifact::skill();
    let counts = Mutex::new(BTreeMap::<String, usize>::new());
    Server::start(move |request| {
        let reply = artifact.answer(request);
        let mut counts = counts.lock().unwrap();
        let count = counts.entry(request.target.clone()).or_default();
        *count += 1;
        if *count <= times {
            failure(request, reply)
        } else {
            reply
        }
    })
}

#[test]
fn what_a_registry_gets_over_is_tried_again() {
    for status in [408, 429, 500, 502, 503, 504] {
        let server = failing(2, move |_, _| Reply::new(status));
        Run::web(&server.host()).done().is_web();
        assert_eq!(server.count("/manifests/"), 3, "{status}");
    }
}

#[test]
fn retry_after_is_waited_for() {
    let server = failing(1, |_, _| Reply::new(429).header("retry-after", "2"));
    let done = Run::web(&server.host()).done();
    done.is_web();
    // Once for the manifest, and once for the layers, which wait side by side.
    assert!(done.took >= Duration::from_secs(4), "{:?}", done.took);
    assert!(
        done.stderr
            .contains("allows no more requests for now (429)")
            && done.stderr.contains("again in 2.0 s"),
        "{}",
        done.stderr
    );
}

#[test]
fn a_wait_that_there_is_no_time_for_is_not_begun() {
    let server = failing(9, |_, _| Reply::new(429).header("retry-after", "3600"));
    let done = Run::web(&server.host()).done();
    done.failed(7, "(429)");
    assert!(done.took < Duration::from_secs(10), "{:?}", done.took);
    assert_eq!(server.seen().len(), 1);
}

#[test]
fn a_layer_that_is_cut_is_resumed_where_it_was_cut() {
    let server = failing(1, |request, reply| {
        if request.target.contains("/blobs/") {
            reply.end(End::Cut(10))
        } else {
            reply
        }
    });
    Run::web(&server.host()).done().is_web();
    let ranges: Vec<_> = server
        .seen()
        .iter()
        .filter_map(|request| request.header("range").map(ToOwned::to_owned))
        .collect();
    assert_eq!(ranges, ["bytes=10-", "bytes=10-"]);
}

#[test]
fn a_layer_that_brings_a_little_every_time_arrives() {
    let artifact = Artifact::skill();
    // More often than something that brings nothing would be tried.
    let server = Server::start(move |request| {
        let reply = artifact.answer(request);
        let piece = if request.target.contains("/blobs/") {
            25_000
        } else {
            usize::MAX
        };
        reply.end(End::Cut(piece))
    });
    let done = Run::web(&server.host()).done();
    done.is_web();
    assert!(server.count("/blobs/") > 12);
}

#[test]
fn a_registry_that_knows_no_ranges_begins_anew() {
    let server = failing(1, |request, reply| {
        if request.target.contains("/blobs/") {
            reply.end(End::Cut(10))
        } else {
            reply
        }
    });
    let host = server.host();
    let forgetful = {
        let artifact = Artifact::skill();
        let first = AtomicUsize::new(0);
        Server::start(move |request| {
            let mut plain = request.clone();
            plain.headers.retain(|(name, _)| name != "range");
            let reply = artifact.answer(&plain);
            let is_first =
                request.target.contains("/blobs/") && first.fetch_add(1, Ordering::SeqCst) < 2;
            if is_first {
                reply.end(End::Cut(10))
            } else {
                reply
            }
        })
    };
    Run::web(&host).done().is_web();
    Run::web(&forgetful.host()).done().is_web();
    let unsatisfied = failing(1, |request, reply| match request.header("range") {
        None if request.target.contains("/blobs/") => reply.end(End::Cut(10)),
        _ => reply,
    });
    Run::web(&unsatisfied.host()).done().is_web();
}

#[test]
fn a_resumed_layer_is_verified_as_a_whole() {
    // What is resumed is something else the first time, and so is thrown away; then it is as it should be.
    for (lies, code) in [(1, 0), (usize::MAX, 11)] {
        let artifact = Artifact::skill();
        let (cuts, resumed) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let large = artifact.manifest["layers"][1]["digest"]
            .as_str()
            .unwrap()
            .to_owned();
        let server = Server::start(move |request| {
            let mut reply = artifact.answer(request);
            if !request.target.ends_with(&large) {
                return reply;
            }
            if request.offset() == 0 {
                let is_cut = cuts.fetch_add(1, Ordering::SeqCst) < lies;
                return if is_cut {
                    reply.end(End::Cut(1000))
                } else {
                    reply
                };
            }
            if resumed.fetch_add(1, Ordering::SeqCst) < lies {
                reply.body[0] ^= 1;
            }
            reply
        });
        let done = Run::web(&server.host()).done();
        if code == 0 {
            done.is_web();
        } else {
            done.failed(code, "its digest is another");
        }
    }
}

#[test]
fn another_range_than_was_asked_for_is_not_taken() {
    let artifact = Artifact::skill();
    let server = Server::start(move |request| {
        let reply = artifact.answer(request);
        if !request.target.contains("/blobs/") {
            return reply;
        }
        match request.offset() {
            0 => reply.end(End::Cut(1000)),
            _ => Reply::new(206)
                .header("content-range", "bytes 0-9/300000")
                .body("0123456789"),
        }
    });
    let done = Run::web(&server.host()).arg("--timeout").arg("3").done();
    done.gave_up("tried");
}

#[test]
fn silence_is_a_failure_that_passes() {
    let server = failing(1, |request, reply| {
        if request.target.contains("/blobs/") {
            reply.end(End::Silent(100))
        } else {
            reply
        }
    });
    let done = Run::web(&server.host()).arg("--timeout").arg("12").done();
    done.is_web();
    assert!(
        done.stderr.contains("was silent for 3.0 s"),
        "{}",
        done.stderr
    );
}

#[test]
fn silence_that_lasts_ends_with_the_time_limit() {
    for end in [End::Silent(0), End::Silent(1000)] {
        let server = failing(usize::MAX, move |_, reply| reply.end(end));
        let done = Run::web(&server.host()).arg("--timeout").arg("4").done();
        done.gave_up("was silent for 1.0 s");
        assert!(done.took < Duration::from_secs(10), "{:?}", done.took);
    }
}

#[test]
fn a_trickle_ends_with_the_time_limit() {
    let artifact = Artifact::skill();
    let server = Server::start(move |request| {
        let reply = artifact.answer(request);
        if request.target.contains("/blobs/") {
            std::thread::sleep(Duration::from_millis(300));
            return reply.end(End::Cut(1));
        }
        reply
    });
    let done = Run::web(&server.host()).arg("--timeout").arg("3").done();
    done.gave_up("");
    assert!(done.took < Duration::from_secs(10), "{:?}", done.took);
}

#[test]
fn a_registry_that_comes_later_is_waited_for() {
    // The port is taken and closed again, so that nobody listens there for now.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let host = listener.local_addr().unwrap().to_string();
    drop(listener);
    let done = Run::web(&host).arg("--timeout").arg("2").done();
    done.gave_up("Connection refused");
    assert!(done.stderr.contains("again in"), "{}", done.stderr);
}

#[test]
fn an_untrusted_certificate_is_a_failure_at_once() {
    let identity = crate::identity::Identity::make(&["127.0.0.1"]).unwrap();
    let artifact = Artifact::skill();
    let server = Server::start_tls(&identity, move |request| artifact.answer(request));
    let host = server.host();
    let run = || Run::pull().skill("web", &format!("{host}/org/web:v1"));
    run().done().failed(9, "SSL_CERT_DIR");
    run().trusting(&identity.ca).done().is_web();
    // One without TLS.
    let plain = Server::start(|_| Reply::new(404));
    let done = Run::pull()
        .skill("web", &format!("{}/org/web:v1", plain.host()))
        .arg("--timeout")
        .arg("1")
        .done();
    assert!(matches!(done.code, 6 | 10), "{}", done.stderr);
}

#[test]
fn killed_at_any_moment_the_next_run_gives_the_same_tree() {
    let artifact = Artifact::skill();
    // Slow enough that a run is met at its many stages.
    let server = Server::start(move |request| {
        std::thread::sleep(Duration::from_millis(5));
        artifact.answer(request)
    });
    let host = server.host();
    for mounted in [false, true] {
        let mut run = Run::web(&host);
        if mounted {
            fs::create_dir_all(run.path("out/web")).unwrap();
        }
        let began = Instant::now();
        let whole = run.spawn().wait().unwrap();
        let whole_took = began.elapsed();
        assert!(whole.success());
        let expected = files(&run.path("out"));
        assert_eq!(expected.len(), 2);
        for step in 0..24 {
            let mut child = run.spawn();
            std::thread::sleep(whole_took * step / 20);
            child.kill().unwrap();
            child.wait().unwrap();
            // Whatever is there is whole: a directory with SKILL.md is complete.
            if run.path("out/web/SKILL.md").exists() && !run.path("out/web/.partial").exists() {
                assert_eq!(files(&run.path("out/web")).len(), 2, "step {step}");
            }
        }
        assert!(run.spawn().wait().unwrap().success());
        assert!(files(&run.path("out")) == expected);
    }
}

#[test]
fn a_signal_ends_it() {
    let server = Server::start(|_| Reply::new(200).body("{").end(End::Silent(0)));
    let mut run = Run::web(&server.host());
    let mut child = run.spawn();
    while server.seen().is_empty() {
        std::thread::sleep(Duration::from_millis(10));
    }
    let pid = child.id().to_string();
    assert!(
        std::process::Command::new("kill")
            .args(["-TERM", &pid])
            .status()
            .unwrap()
            .success()
    );
    assert_eq!(child.wait().unwrap().code(), Some(143));
}

#[test]
fn where_nothing_can_be_written_is_said() {
    let artifact = Artifact::skill();
    let server = Server::start(move |request| artifact.answer(request));
    // A file is in the way, for root too.
    let run = Run::web(&server.host());
    fs::write(run.path("out"), "").unwrap();
    let done = run.done();
    assert_eq!(done.code, 14, "{}", done.stderr);
    let run = Run::web(&server.host());
    let elsewhere = run.path("not-there").display().to_string();
    run.env("TMPDIR", &elsewhere).done().failed(14, "TMPDIR");
    // Not ours to replace.
    let run = Run::web(&server.host());
    fs::create_dir_all(run.path("out/web")).unwrap();
    fs::write(run.path("out/web/diary.txt"), "mine").unwrap();
    let done = run.done();
    assert_eq!(done.code, 14, "{}", done.stderr);
    assert_eq!(done.files, [("web/diary.txt".to_owned(), b"mine".to_vec())]);
}
