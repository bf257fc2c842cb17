//! `--verify-key`: what is signed is pulled, and nothing else, whatever a registry has of signatures.

use std::fs;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use agentteam_webhook::pull::digest::Digest;
use agentteam_webhook::pull::manifest::{OCI_INDEX, OCI_MANIFEST};

use crate::artifact::{Artifact, manifest};
use crate::run::{Done, Run, SECRET};
use crate::server::Server;
use crate::signed::Signed;
use crate::signer::{BUNDLE, Signer, claim, statement};

/// An honest registry.
pub fn serve(signed: &Signed) -> Server {
    let signed = signed.clone();
    Server::start(move |request| signed.answer(request))
}

impl Run {
    /// Asks for a signature by one of the keys in a file of this content.
    pub fn verified(self, keys: &str) -> Self {
        let count = fs::read_dir(self.dir.path()).unwrap().count();
        let file = self.path(&format!("key-{count}.pub"));
        fs::write(&file, keys).unwrap();
        self.arg("--verify-key").arg(&file.display().to_string())
    }
}

/// Pulls the skill from an honest registry, with the author's key.
fn pull(signed: &Signed, author: &Signer) -> Done {
    let server = serve(signed);
    Run::web(&server.host())
        .verified(&author.public_key())
        .done()
}

/// An artifact whose only signature is a claim that says something else.
fn with_claim(author: &Signer, change: impl Fn(&mut Value)) -> Done {
    let mut signed = Signed::new();
    let mut claim = claim(&signed.digest());
    change(&mut claim);
    let claim = claim.to_string();
    signed.add_claim(&claim, &author.sign(claim.as_bytes()));
    pull(&signed, author)
}

/// An artifact whose only signature is a statement that says something else.
fn with_statement(author: &Signer, change: impl Fn(&mut Value)) -> Done {
    let mut signed = Signed::new();
    let mut statement = statement(&signed.digest());
    change(&mut statement);
    signed.add_bundle(&author.statement(&statement));
    pull(&signed, author)
}

/// An artifact whose only signature is a bundle that was changed after it was made.
fn with_bundle(author: &Signer, change: impl Fn(&mut Value)) -> Done {
    let mut signed = Signed::new();
    let mut bundle = author.statement(&statement(&signed.digest()));
    change(&mut bundle);
    signed.add_bundle(&bundle);
    pull(&signed, author)
}

#[test]
fn what_is_signed_is_pulled_however_the_signature_is_kept() {
    let author = Signer::new();
    pull(&Signed::new().by_claim(&author), &author).is_web();
    let mut bundled = Signed::new().by_bundle(&author);
    pull(&bundled, &author).is_web();
    bundled.has_list = true;
    pull(&bundled, &author).is_web();
    // A registry with a list of referrers, signed by an old cosign.
    let mut claimed = Signed::new().by_claim(&author);
    claimed.has_list = true;
    pull(&claimed, &author).is_web();
}

#[test]
fn any_of_several_keys_may_have_signed() {
    let authors = [Signer::new(), Signer::new(), Signer::new()];
    let keys = authors.each_ref().map(Signer::public_key);
    let server = serve(&Signed::new().by_bundle(&authors[1]));
    let run = || Run::web(&server.host());
    run().verified(&keys.concat()).done().is_web();
    run().verified(&keys[0]).verified(&keys[1]).done().is_web();
    let others = format!("{}# a comment\n{}", keys[0], keys[2]);
    run()
        .verified(&others)
        .done()
        .failed(15, "not by a key of --verify-key");

    let both = run();
    let files = ["a", "b"].map(|name| both.path(name));
    fs::write(&files[0], &keys[0]).unwrap();
    fs::write(&files[1], &keys[1]).unwrap();
    let files = files.map(|file| file.display().to_string()).join(",");
    both.env("AGENTTEAM_WEBHOOK_VERIFY_KEY", &files)
        .done()
        .is_web();
}

#[test]
fn what_is_not_signed_is_refused_before_anything_of_it_is_fetched() {
    let author = Signer::new();
    let signed = Signed::new();
    let server = serve(&signed);
    let run = Run::web(&server.host()).verified(&author.public_key());
    let done = run.arg("--json").done();
    let words = format!(
        "error: skill web: {} is refused: it has no signature; sign it with cosign sign --key\n",
        signed.digest()
    );
    assert_eq!((done.code, &*done.stderr), (15, &*words));
    assert!(done.files.is_empty());
    assert_eq!(server.count("/blobs/"), 0);
    let said: Value = serde_json::from_str(&done.stdout).unwrap();
    let error = &said["skills"][0]["error"];
    assert_eq!(
        (&error["kind"], &error["exitCode"]),
        (&json!("Unsigned"), &json!(15))
    );
}

#[test]
fn a_skill_that_is_refused_does_not_keep_others_out() {
    let author = Signer::new();
    let (signed, unsigned) = (
        serve(&Signed::new().by_bundle(&author)),
        serve(&Signed::new()),
    );
    let other = format!("{}/org/other:v1", unsigned.host());
    let run = Run::web(&signed.host()).verified(&author.public_key());
    let run = run
        .skill("other", &other)
        .arg("--plain-http-registry")
        .arg(&unsigned.host());
    let done = run.done();
    assert_eq!(done.code, 15, "{}", done.stderr);
    assert!(
        done.files.iter().all(|(path, _)| path.starts_with("web/")),
        "{:?}",
        done.files
    );
    assert!(
        done.last_words.starts_with("skill other: "),
        "{}",
        done.last_words
    );
}

#[test]
fn a_signature_by_another_key_does_not_count() {
    let (author, other) = (Signer::new(), Signer::new());
    for signed in [
        Signed::new().by_claim(&other),
        Signed::new().by_bundle(&other),
    ] {
        pull(&signed, &author).failed(15, "it has a signature, but not by a key of --verify-key");
    }
    let both = Signed::new().by_claim(&other).by_bundle(&other);
    pull(&both, &author).failed(
        15,
        "it has 2 signatures, and none holds: not by a key of --verify-key",
    );
}

#[test]
fn a_signature_of_another_artifact_does_not_count() {
    let author = Signer::new();
    let other = Digest::of(b"other").to_string();
    let names_other = format!("it has a signature, but it is for another digest, \"{other}\"");
    with_claim(&author, |claim| {
        claim["critical"]["image"]["docker-manifest-digest"] = json!(other);
    })
    .failed(15, &names_other);
    with_statement(&author, |said| *said = statement(&other)).failed(15, &names_other);
    with_statement(&author, |said| said["subject"] = json!([])).failed(15, "another digest, \"\"");
    // Only the right kind of digest is one.
    with_statement(&author, |said| {
        let digest = said["subject"][0]["digest"]["sha256"].take();
        said["subject"][0]["digest"] = json!({"sha512": digest});
    })
    .failed(15, "another digest");
    // One subject among several is enough.
    with_statement(&author, |said| {
        let subject = said["subject"][0].clone();
        said["subject"] = json!([{"digest": {"sha256": other.trim_start_matches("sha256:")}}, {"name": "x", "digest": {"sha1": "0"}}, subject]);
    })
    .is_web();
}

/// cosign compares the digest alone as well: what was copied to another registry is signed as before.
#[test]
fn a_claim_may_name_another_repository() {
    let author = Signer::new();
    with_claim(&author, |claim| {
        claim["critical"]["identity"]["docker-reference"] = json!("ghcr.io/somebody/else");
    })
    .is_web();
    with_claim(&author, |claim| claim["optional"] = json!({"creator": "x"})).is_web();
}

#[test]
fn what_else_a_key_signed_does_not_count() {
    let author = Signer::new();
    with_claim(&author, |claim| {
        claim["critical"]["type"] = json!("atomic container signature");
    })
    .failed(
        15,
        "what is signed is \"atomic container signature\", and no signature of the artifact",
    );
    let materials = "https://spdx.dev/Document";
    with_statement(&author, |said| said["predicateType"] = json!(materials))
        .failed(15, "what is signed is \"https://spdx.dev/Document\"");
    with_statement(&author, |said| {
        said["_type"] = json!("https://example.com/v9");
    })
    .failed(15, "what is signed is \"https://example.com/v9\"");
    with_statement(&author, |said| {
        said["_type"] = json!("https://in-toto.io/Statement/v0.1");
    })
    .is_web();

    let mut signed = Signed::new();
    let said = statement(&signed.digest()).to_string();
    signed.add_bundle(&author.bundle("text/plain", &said));
    pull(&signed, &author).failed(15, "what is signed is \"text/plain\"");
}

#[test]
fn a_signed_text_that_means_two_things_is_refused() {
    let author = Signer::new();
    let signed = Signed::new();
    let sound = claim(&signed.digest()).to_string();
    let other = Digest::of(b"other");
    let image = format!("\"image\":{{\"docker-manifest-digest\":\"{other}\"}},");
    let twice = sound.replacen("\"image\":", &format!("{image}\"image\":"), 1);
    assert_ne!(twice, sound);
    for bad in [
        &*twice,
        "",
        "[]",
        "null",
        "{}",
        "\u{0}",
        &sound[..sound.len() - 1],
        "{\"critical\":[{}, \"\"]}",
    ] {
        let mut signed = signed.clone();
        signed.add_claim(bad, &author.sign(bad.as_bytes()));
        pull(&signed, &author).failed(15, "it cannot be read");
    }
    let nested = "[".repeat(200_000);
    let mut deep = signed.clone();
    deep.add_claim(&nested, &author.sign(nested.as_bytes()));
    pull(&deep, &author).failed(15, "it cannot be read");
}

#[test]
fn a_signature_that_is_none_does_not_count() {
    let author = Signer::new();
    let signed = Signed::new();
    let claim = claim(&signed.digest()).to_string();
    let whole = author.sign(claim.as_bytes());
    let bytes = STANDARD.decode(&whole).unwrap();
    let cut = STANDARD.encode(&bytes[..bytes.len() - 1]);
    let longer = STANDARD.encode([&*bytes, &[0]].concat());
    let zeros = STANDARD.encode(vec![0; bytes.len()]);
    // The two numbers 0, which a careless reader takes for a signature of everything.
    let nothing = STANDARD.encode([0x30, 6, 2, 1, 0, 2, 1, 0]);
    let huge = STANDARD.encode(vec![7; 100_000]);
    for (bad, why) in [
        (&*cut, "not by a key"),
        (&longer, "not by a key"),
        (&zeros, "not by a key"),
        (&nothing, "not by a key"),
        (&huge, "not by a key"),
        ("", "not by a key"),
        ("!", "it is not base64"),
        (&whole[1..], "it is not base64"),
    ] {
        let mut signed = signed.clone();
        signed.add_claim(&claim, bad);
        pull(&signed, &author).failed(15, why);
        with_bundle(&author, |bundle| {
            bundle["dsseEnvelope"]["signatures"][0]["sig"] = json!(bad);
        })
        .failed(15, why);
    }
    // A signature is of the very bytes.
    let mut signed = signed.clone();
    signed.add_claim(&format!("{claim} "), &whole);
    pull(&signed, &author).failed(15, "not by a key");
}

#[test]
fn a_bundle_that_is_none_does_not_count() {
    let author = Signer::new();
    let envelope = |change: &dyn Fn(&mut Value)| {
        with_bundle(&author, |bundle| change(&mut bundle["dsseEnvelope"]))
    };
    envelope(&|envelope| envelope["payload"] = json!(STANDARD.encode("{}")))
        .failed(15, "not by a key");
    envelope(&|envelope| envelope["payloadType"] = json!("application/json"))
        .failed(15, "not by a key");
    envelope(&|envelope| envelope["payload"] = json!("!")).failed(15, "it is not base64");
    envelope(&|envelope| envelope["signatures"] = json!([]))
        .failed(15, "its envelope has 0 signatures, not one");
    envelope(&|envelope| {
        let one = envelope["signatures"][0].clone();
        envelope["signatures"] = json!([one, one]);
    })
    .failed(15, "its envelope has 2 signatures, not one");
    envelope(&|envelope| *envelope = json!(null)).failed(15, "it cannot be read");
    with_bundle(&author, |bundle| *bundle = json!("text")).failed(15, "it cannot be read");
    // As `cosign sign-blob` makes it: over the bytes, with no word of what they are.
    with_bundle(&author, |bundle| {
        *bundle = json!({"mediaType": BUNDLE, "messageSignature": {"messageDigest": {"algorithm": "SHA2_256", "digest": ""}, "signature": ""}});
    })
    .failed(15, "missing field `dsseEnvelope`");
}

#[test]
fn one_signature_that_holds_is_enough_whatever_else_is_there() {
    let (author, other) = (Signer::new(), Signer::new());
    let mut signed = Signed::new().by_claim(&other).by_bundle(&other);
    let digest = signed.digest();
    signed.add_claim("{", "!");
    signed.add_bundle(&json!("text"));
    signed.add_bundle(&author.statement(&statement(Digest::of(b"other").as_str())));
    // Referrers that are no bundles, or nothing at all.
    let layer = signed.blob("application/spdx+json", b"{}");
    signed.add_referrer(
        &json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": layer, "layers": [layer]}),
    );
    signed.add_referrer(
        &json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": layer, "layers": []}),
    );
    signed.add_referrer(&json!({"schemaVersion": 1}));
    let gone = json!({"mediaType": BUNDLE, "digest": Digest::of(b"gone").as_str(), "size": 4});
    signed.add_referrer(
        &json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": layer, "layers": [gone]}),
    );
    pull(&signed, &author).failed(15, "signatures, and none holds");

    let claim = claim(&digest).to_string();
    let mut claimed = signed.clone();
    claimed.add_claim(&claim, &author.sign(claim.as_bytes()));
    pull(&claimed, &author).is_web();
    pull(&signed.by_bundle(&author), &author).is_web();
}

/// cosign signs what a reference stands for. That a part of an index is signed says nothing of the index, which names the
/// part.
#[test]
fn of_an_index_the_index_is_signed() {
    let author = Signer::new();
    let artifact = Artifact::skill();
    let size = artifact.manifest.to_string().len();
    let entry = json!({"mediaType": OCI_MANIFEST, "digest": artifact.digest(), "size": size});
    let index = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry]});
    let mut indexed = Signed::new();
    indexed.named = index;

    pull(&indexed.clone().by_bundle(&author), &author).is_web();
    pull(&indexed.clone().by_claim(&author), &author).is_web();

    let part = statement(&artifact.digest());
    let mut partly = indexed.clone();
    partly.add_bundle(&author.statement(&part));
    pull(&partly, &author).failed(15, "it is for another digest");
    // Named by itself, the part is signed.
    pull(&Signed::new().by_bundle(&author), &author).is_web();
}

#[test]
fn what_is_named_by_sha512_cannot_be_signed() {
    let author = Signer::new();
    let signed = Signed::new().by_bundle(&author);
    let text = signed.named.to_string();
    let zeros = Digest::parse(&format!("sha512:{}", "0".repeat(128))).unwrap();
    let mut hasher = zeros.hasher();
    hasher.update(text.as_bytes());
    let digest = hasher.finish();
    let server = Server::start(move |request| {
        if request.target.contains("sha512:") {
            return manifest(&signed.named);
        }
        signed.answer(request)
    });
    let host = server.host();
    let run = Run::pull().skill("web", &format!("{host}/org/web@{digest}"));
    let run = run.arg("--plain-http-registry").arg(&host);
    run.verified(&author.public_key())
        .done()
        .failed(15, "cosign signs by sha256 alone");
}

#[test]
fn a_file_that_has_no_key_is_refused_before_anybody_is_asked() {
    let author = Signer::new();
    let server = serve(&Signed::new().by_bundle(&author));
    let key = author.public_key();
    let block = |label: &str, content: &str| {
        format!("-----BEGIN {label}-----\n{content}\n-----END {label}-----\n")
    };
    let secret = STANDARD.encode(SECRET);
    // Of OpenSSL: a key of Ed25519.
    let ed25519 = "MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=";
    for (content, why) in [
        (String::new(), "it has no PUBLIC KEY in it"),
        ("hunter2".to_owned(), "it has no PUBLIC KEY in it"),
        (block("PUBLIC KEY", "!"), "it is not PEM"),
        (block("PUBLIC KEY", ""), "neither ECDSA"),
        (block("PUBLIC KEY", &secret), "neither ECDSA"),
        (block("PUBLIC KEY", ed25519), "neither ECDSA"),
        (
            block("PRIVATE KEY", &secret),
            "it has a block \"PRIVATE KEY\"",
        ),
        (
            block("ENCRYPTED SIGSTORE PRIVATE KEY", &secret),
            "give the public key, cosign.pub",
        ),
        (block("CERTIFICATE", &secret), "only PUBLIC KEY may be"),
        (
            format!("{key}{}", block("PRIVATE KEY", &secret)),
            "only PUBLIC KEY may be",
        ),
    ] {
        let done = Run::web(&server.host()).verified(&content).done();
        done.failed(2, why);
        assert!(done.stderr.contains("--verify-key "), "{}", done.stderr);
    }
    // One that cannot be used among those that can.
    let run = Run::web(&server.host()).verified(&key).verified("");
    run.done().failed(2, "it has no PUBLIC KEY in it");
    let missing = Run::web(&server.host())
        .arg("--verify-key")
        .arg("/none/cosign.pub");
    missing.done().failed(
        2,
        "--verify-key /none/cosign.pub cannot be used: No such file",
    );
    assert!(server.seen().is_empty());
}
