//! Manifests and layers that are not what they are called, or never end.

use serde_json::{Value, json};

use agentteam_webhook::pull::digest::Digest;
use agentteam_webhook::pull::manifest::{DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST};

use crate::artifact::{Artifact, SKILL_MD, manifest};
use crate::run::{Done, Run};
use crate::server::{End, Reply, Server};

/// Pulls an artifact whose manifest is answered so.
fn with_manifest(reply: impl Fn() -> Reply + Send + Sync + 'static) -> Done {
    let artifact = Artifact::skill();
    let server = Server::start(move |request| {
        if request.target.contains("/manifests/") {
            reply()
        } else {
            artifact.answer(request)
        }
    });
    Run::web(&server.host()).done()
}

/// Pulls an artifact whose manifest was changed.
fn with(change: impl Fn(&mut Value)) -> Done {
    let mut artifact = Artifact::skill();
    change(&mut artifact.manifest);
    with_manifest(move || manifest(&artifact.manifest))
}

/// Pulls an artifact whose blobs are answered so.
fn with_blobs(change: impl Fn(Reply) -> Reply + Send + Sync + 'static) -> Done {
    let artifact = Artifact::skill();
    let server = Server::start(move |request| {
        let reply = artifact.answer(request);
        if request.target.contains("/blobs/") {
            change(reply)
        } else {
            reply
        }
    });
    Run::web(&server.host()).arg("--timeout").arg("8").done()
}

#[test]
fn a_manifest_of_more_than_4_mib_is_not_read() {
    let padded = || Reply::new(200).body(vec![b' '; (4 << 20) + 1]);
    with_manifest(padded).failed(10, "manifest of more than 4194304 bytes");
    with_manifest(move || padded().end(End::Endless))
        .failed(10, "manifest of more than 4194304 bytes");
}

#[test]
fn a_manifest_that_means_two_things_is_refused() {
    with(|manifest| manifest["manifests"] = json!([])).failed(10, "both layers and manifests");
    with(|manifest| manifest["layers"] = json!(null)).failed(10, "neither layers nor manifests");
    with(|manifest| manifest["mediaType"] = json!(OCI_INDEX)).failed(10, "is called");
    with(|manifest| manifest["schemaVersion"] = json!(1)).failed(10, "schema version 1");
    let artifact = Artifact::skill();
    let bytes = artifact.manifest.to_string();
    let called = move |media_type: &str| {
        Reply::new(200)
            .header("content-type", media_type)
            .body(bytes.clone())
    };
    let docker = called.clone();
    with_manifest(move || docker(DOCKER_MANIFEST)).failed(10, "is called both");
    with_manifest(move || called("text/html")).failed(10, "is called");
}

#[test]
fn a_manifest_with_more_than_128_layers_is_refused() {
    with(|manifest| {
        let layer = manifest["layers"][0].clone();
        manifest["layers"] = vec![layer; 129].into();
    })
    .failed(10, "129 layers");
}

#[test]
fn what_is_no_manifest_is_refused() {
    for body in [
        "",
        "[]",
        "null",
        "<html>",
        "{}",
        "{\"schemaVersion\":2,\"layers\":[7]}",
    ] {
        with_manifest(move || Reply::new(200).body(body)).failed(10, "manifest");
    }
    let nested = "[".repeat(100_000);
    with_manifest(move || Reply::new(200).body(format!("{{\"layers\":{nested}")))
        .failed(10, "manifest");
    with(|manifest| manifest["layers"][0]["digest"] = json!("sha256:../../../etc/passwd"))
        .failed(10, "expected sha256: and 64");
    with(|manifest| manifest["layers"][0]["size"] = json!(-1))
        .failed(10, "manifest cannot be read");
}

#[test]
fn a_manifest_has_the_digest_that_it_was_asked_for_by() {
    let artifact = Artifact::skill();
    let digest = artifact.digest();
    let server = Server::start(move |request| artifact.answer(request));
    let host = server.host();
    let pull = |digest: &str| {
        let reference = format!("{host}/org/web:ignored@{digest}");
        Run::pull()
            .skill("web", &reference)
            .arg("--plain-http-registry")
            .arg(&host)
            .done()
    };
    pull(&digest).is_web();
    let other = Digest::of(b"other").to_string();
    pull(&other).failed(11, "its digest is another");
    assert!(server.seen()[0].target.ends_with(&digest));
    let announced = Digest::of(b"another").to_string();
    let lie =
        move || manifest(&Artifact::skill().manifest).header("docker-content-digest", &announced);
    with_manifest(lie).failed(11, "its digest is another");
}

/// Pulls through indexes: `depth` of them, one behind the other.
fn behind_indexes(depth: usize) -> Done {
    let artifact = Artifact::skill();
    let mut documents = vec![artifact.manifest.clone()];
    for _ in 0..depth {
        let last = documents.last().unwrap();
        let text = last.to_string();
        let entry = json!({"mediaType": last["mediaType"], "digest": Digest::of(text.as_bytes()).as_str(), "size": text.len()});
        documents.push(json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry]}));
    }
    let server = Server::start(move |request| {
        let Some((_, version)) = request.target.split_once("/manifests/") else {
            return artifact.answer(request);
        };
        let named =
            |document: &&Value| Digest::of(document.to_string().as_bytes()).as_str() == version;
        manifest(documents.iter().find(named).or(documents.last()).unwrap())
    });
    Run::web(&server.host()).done()
}

#[test]
fn indexes_are_followed_as_far_as_anybody_needs() {
    for depth in [0, 1, 3] {
        behind_indexes(depth).is_web();
    }
    behind_indexes(4).failed(10, "more than 3 indexes");
}

#[test]
fn an_index_that_leads_to_itself_ends() {
    // Its digest cannot be its own, so the registry lies.
    let entry = json!({"mediaType": OCI_INDEX, "digest": Digest::of(b"").as_str(), "size": 10});
    let index = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry]});
    with_manifest(move || manifest(&index)).failed(11, "its size is another");
    let empty = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []});
    with_manifest(move || manifest(&empty)).failed(10, "index with nothing in it");
    let entry = json!({"mediaType": OCI_MANIFEST, "digest": Digest::of(b"").as_str(), "size": 10, "platform": {"os": "plan9", "architecture": "mips"}});
    let two = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry, entry]});
    with_manifest(move || manifest(&two)).failed(10, "but for \"plan9\"/\"mips\"");
}

#[test]
fn a_layer_is_what_its_descriptor_says() {
    let changed = |mut reply: Reply| {
        if let Some(byte) = reply.body.last_mut() {
            *byte ^= 1;
        }
        reply
    };
    with_blobs(changed).failed(11, "its digest is another");
    let longer = |mut reply: Reply| {
        reply.body.push(0);
        reply
    };
    with_blobs(longer).failed(11, "it is longer");
    let shorter = |mut reply: Reply| {
        reply.body.pop();
        reply
    };
    with_blobs(shorter).failed(11, "it is shorter");
    with_blobs(|reply| reply.end(End::Endless)).failed(11, "it is longer");
    with_blobs(|_| Reply::new(204)).failed(10, "204");
}

#[test]
fn a_layer_that_is_cut_at_the_same_place_again_and_again_is_given_up() {
    let done = with_blobs(|reply| reply.end(End::Cut(0)));
    done.gave_up("cannot be spoken to");
    assert!(done.took.as_secs() < 9, "{:?}", done.took);
}

#[test]
fn urls_of_a_layer_are_not_read() {
    let evil = Server::start(|_| Reply::new(200).body(SKILL_MD));
    let url = format!("http://{}/SKILL.md", evil.host());
    let mut artifact = Artifact::skill();
    let layer = &mut artifact.manifest["layers"][0];
    layer["urls"] = json!([url]);
    layer["mediaType"] = json!("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip");
    let digest = layer["digest"].as_str().unwrap().to_owned();
    artifact.blobs.remove(&digest);
    let server = Server::start(move |request| artifact.answer(request));
    Run::web(&server.host()).done().failed(5, "(404)");
    assert!(evil.seen().is_empty());
}

#[test]
fn a_layer_larger_than_a_skill_may_be_is_not_even_asked_for() {
    let mut artifact = Artifact::skill();
    artifact.manifest["layers"][1]["size"] = json!(u64::MAX);
    let server = Server::start(move |request| artifact.answer(request));
    Run::web(&server.host()).done().failed(12, "more than");
    assert_eq!(server.count("/blobs/"), 0);
}

#[test]
fn what_holds_no_skill_is_said_to_hold_none() {
    with(|manifest| manifest["layers"] = json!([])).failed(12, "no layers");
    let untitled = with(|manifest| {
        for layer in manifest["layers"].as_array_mut().unwrap() {
            layer.as_object_mut().unwrap().remove("annotations");
        }
    });
    untitled.failed(12, "no layer of the artifact has a title");
    let title = |text: &str| {
        with(|manifest| {
            manifest["layers"][1]["annotations"]["org.opencontainers.image.title"] = json!(text);
        })
    };
    for bad in ["../x", "/etc/x", "a/../../x", "", "skill.md", "SKILL.md"] {
        let done = title(bad);
        assert_eq!(done.code, 12, "{bad}: {}", done.stderr);
        assert!(done.files.is_empty());
    }
}

#[test]
fn status_codes_have_exit_codes_of_their_own() {
    for (status, code) in [
        (401, 10),
        (403, 4),
        (404, 5),
        (400, 10),
        (405, 10),
        (410, 10),
        (304, 10),
    ] {
        let server = Server::start(move |_| Reply::new(status));
        let done = Run::web(&server.host()).done();
        assert_eq!(done.code, code, "{status}: {}", done.stderr);
        assert_eq!(server.seen().len(), 1, "{status}");
    }
}
