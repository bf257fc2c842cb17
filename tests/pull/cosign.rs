//! What cosign itself stored in a registry, replayed: recordings of cosign 3.0.6 in `tests/pull/cosign/`.
//!
//! `UPDATE_COSIGN=/path/to/cosign cargo test --test pull cosign::` makes them anew, with keys that are thrown away and the
//! registry of `tests/tools`, and has cosign verify them, too.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, OnceLock};

use agentteam_webhook::pull::manifest::{OCI_INDEX, OCI_MANIFEST};
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P384_SHA384_ASN1_SIGNING, ECDSA_P521_SHA512_ASN1_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, RsaKeyPair,
};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::artifact::SKILL_MD;
use crate::run::{Done, Run};
use crate::server::{Reply, Request, Server};
use crate::tools::Registry;

/// The recordings of artifacts that are signed.
const SIGNED: [&str; 6] = [
    "bundle",
    "bundle-index",
    "bundle-p384",
    "bundle-p521",
    "bundle-rsa",
    "claim",
];

/// One that is attested, by `cosign attest`, and not signed.
const ATTESTED: &str = "attestation";

/// A key, and what a registry answered when the skill was pulled.
#[derive(Clone, Deserialize, Serialize)]
struct Recording {
    public_key: String,
    /// By path; of what is not here there was nothing.
    answers: BTreeMap<String, Answer>,
}

#[derive(Clone, Deserialize, Serialize)]
struct Answer {
    content_type: String,
    body: String,
}

fn file(name: &str) -> PathBuf {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pull/cosign");
    directory.join(format!("{name}.json"))
}

fn recording(name: &str) -> Recording {
    static MADE: OnceLock<()> = OnceLock::new();
    MADE.get_or_init(|| {
        if let Some(cosign) = std::env::var_os("UPDATE_COSIGN") {
            record_all(Path::new(&cosign));
        }
    });
    serde_json::from_slice(&fs::read(file(name)).unwrap()).unwrap()
}

/// Pulls the skill `web` from `host`, with a key.
fn pull(host: &str, public_key: &str) -> Done {
    let run = Run::web(host);
    let key = run.path("cosign.pub");
    fs::write(&key, public_key).unwrap();
    run.arg("--verify-key")
        .arg(&key.display().to_string())
        .done()
}

fn replay(recording: Recording) -> Server {
    Server::start(
        move |request| match recording.answers.get(&request.target) {
            Some(answer) => Reply::new(200)
                .header("content-type", &answer.content_type)
                .body(&*answer.body),
            None => Reply::new(404),
        },
    )
}

#[test]
fn what_cosign_signed_is_pulled_with_its_key() {
    for name in SIGNED {
        let recording = recording(name);
        let key = recording.public_key.clone();
        let done = pull(&replay(recording).host(), &key);
        assert_eq!(done.code, 0, "{name}: {}", done.stderr);
        assert_eq!(
            done.files,
            [("web/SKILL.md".to_owned(), SKILL_MD.as_bytes().to_vec())]
        );
    }
}

#[test]
fn what_cosign_signed_is_refused_with_any_other_key() {
    for name in SIGNED {
        let host = replay(recording(name)).host();
        for other in SIGNED.into_iter().filter(|other| *other != name) {
            pull(&host, &recording(other).public_key)
                .failed(15, "it has a signature, but not by a key");
        }
    }
}

/// A key that attests something of an artifact does not say with it that anybody may use the artifact.
#[test]
fn what_cosign_only_attested_is_refused() {
    let recording = recording(ATTESTED);
    let key = recording.public_key.clone();
    let done = pull(&replay(recording).host(), &key);
    done.failed(
        15,
        "what is signed is \"https://cosign.sigstore.dev/attestation/v1\"",
    );
}

/// What is copied with its signatures is signed as before.
#[test]
fn what_cosign_signed_is_signed_in_a_mirror() {
    for name in ["bundle", "claim"] {
        let recording = recording(name);
        let key = recording.public_key.clone();
        let server = Server::start(move |request| {
            let original = request.target.replace("/v2/mirror/of/web/", "/v2/org/web/");
            match recording.answers.get(&original) {
                Some(answer) => Reply::new(200).body(&*answer.body),
                None => Reply::new(404),
            }
        });
        let host = server.host();
        let run = Run::pull().skill("web", &format!("{host}/mirror/of/web:v1"));
        let file = run.path("cosign.pub");
        fs::write(&file, key).unwrap();
        let run = run.arg("--verify-key").arg(&file.display().to_string());
        let done = run.arg("--plain-http-registry").arg(&host).done();
        assert_eq!(done.code, 0, "{name}: {}", done.stderr);
    }
}

/// A directory with keys, and the cosign that makes and uses them.
struct Cosign<'a> {
    program: &'a Path,
    directory: &'a Path,
}

impl Cosign<'_> {
    fn run(&self, args: &[&str]) -> Result<(), String> {
        let done = Command::new(self.program)
            .args(args)
            .current_dir(self.directory)
            .env("COSIGN_PASSWORD", "")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        done.status.success().then_some(()).ok_or(said)
    }

    /// `key.key` and `key.pub`, made by cosign itself, or of another kind.
    fn keys(&self, kind: &str) -> String {
        let ecdsa = |algorithm: &'static EcdsaSigningAlgorithm| {
            EcdsaKeyPair::generate(algorithm)
                .unwrap()
                .to_pkcs8v1()
                .unwrap()
                .as_ref()
                .to_vec()
        };
        let der = match kind {
            "p384" => ecdsa(&ECDSA_P384_SHA384_ASN1_SIGNING),
            "p521" => ecdsa(&ECDSA_P521_SHA512_ASN1_SIGNING),
            "rsa" => {
                let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
                AsDer::<Pkcs8V1Der<'_>>::as_der(&pair)
                    .unwrap()
                    .as_ref()
                    .to_vec()
            }
            _ => Vec::new(),
        };
        if der.is_empty() {
            self.run(&["generate-key-pair", "--output-key-prefix", "key"])
                .unwrap();
        } else {
            let pem = pem::encode(&pem::Pem::new("PRIVATE KEY", der));
            fs::write(self.directory.join("made.pem"), pem).unwrap();
            self.run(&[
                "import-key-pair",
                "--key",
                "made.pem",
                "--output-key-prefix",
                "key",
            ])
            .unwrap();
        }
        fs::read_to_string(self.directory.join("key.pub")).unwrap()
    }
}

fn record_all(program: &Path) {
    for name in SIGNED.into_iter().chain([ATTESTED]) {
        let registry = Registry::start();
        let directory = tempfile::tempdir().unwrap();
        let cosign = Cosign {
            program,
            directory: directory.path(),
        };
        let kind = name.strip_prefix("bundle-").unwrap_or_default();
        let public_key = cosign.keys(kind);
        fs::write(directory.path().join("SKILL.md"), SKILL_MD).unwrap();
        let mut digest = registry.push_with("org/web:v1", directory.path(), &["SKILL.md"]);
        if kind == "index" {
            digest = push_index(&registry.address, &digest);
        }
        let reference = format!("{}/org/web@{digest}", registry.address);
        let offline = [
            "--key",
            "key.key",
            "--tlog-upload=false",
            "--use-signing-config=false",
            "--allow-http-registry",
            "--yes",
        ];
        let signed = match name {
            ATTESTED => {
                fs::write(directory.path().join("predicate"), "{}").unwrap();
                cosign.run(
                    &[
                        &["attest", "--predicate", "predicate"],
                        &offline[..],
                        &[&reference],
                    ]
                    .concat(),
                )
            }
            "claim" => cosign.run(
                &[
                    &["sign", "--new-bundle-format=false"],
                    &offline[..],
                    &[&reference],
                ]
                .concat(),
            ),
            _ => cosign.run(&[&["sign"], &offline[..], &[&reference]].concat()),
        };
        signed.unwrap();
        // Of other keys, 3.0.6 does not verify what it signed: it takes another hash for it.
        if matches!(kind, "" | "index" | "rsa") {
            let verify = [
                "verify",
                "--key",
                "key.pub",
                "--insecure-ignore-tlog",
                "--allow-http-registry",
            ];
            cosign.run(&[&verify[..], &[&reference]].concat()).unwrap();
        }
        let recording = Recording {
            answers: record(&registry.address, &public_key),
            public_key,
        };
        let text = serde_json::to_string_pretty(&recording).unwrap();
        fs::write(file(name), format!("{text}\n")).unwrap();
    }
}

/// Pulls through a server that asks the registry and keeps what it answers.
fn record(registry: &str, public_key: &str) -> BTreeMap<String, Answer> {
    let answers = Arc::new(Mutex::new(BTreeMap::new()));
    let (kept, registry) = (Arc::clone(&answers), registry.to_owned());
    let server = Server::start(move |request| {
        let (status, content_type, body) = ask(&registry, request);
        if status == 200 {
            let answer = Answer {
                content_type: content_type.clone(),
                body: String::from_utf8(body.clone()).unwrap(),
            };
            kept.lock().unwrap().insert(request.target.clone(), answer);
        }
        Reply::new(status)
            .header("content-type", content_type)
            .body(body)
    });
    pull(&server.host(), public_key);
    let answers = answers.lock().unwrap();
    answers.clone()
}

/// An index with the artifact alone in it, for no platform in particular.
fn push_index(registry: &str, digest: &str) -> String {
    let request = |method: &str, target: String, media_type: &str, body: String| Request {
        method: method.to_owned(),
        target,
        headers: vec![
            ("accept".to_owned(), media_type.to_owned()),
            ("content-type".to_owned(), media_type.to_owned()),
        ],
        body,
        ..Request::default()
    };
    let get = request(
        "GET",
        format!("/v2/org/web/manifests/{digest}"),
        OCI_MANIFEST,
        String::new(),
    );
    let size = ask(registry, &get).2.len();
    let entry = json!({"mediaType": OCI_MANIFEST, "digest": digest, "size": size});
    let index =
        json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry]}).to_string();
    let put = request(
        "PUT",
        "/v2/org/web/manifests/v1".to_owned(),
        OCI_INDEX,
        index.clone(),
    );
    assert_eq!(ask(registry, &put).0, 201);
    agentteam_webhook::pull::digest::Digest::of(index.as_bytes()).to_string()
}

/// The status, the content type and the body that a server without TLS answers.
fn ask(address: &str, request: &Request) -> (u16, String, Vec<u8>) {
    let Request {
        method,
        target,
        headers,
        body,
        ..
    } = request;
    let mut head = format!(
        "{method} {target} HTTP/1.0\r\nhost: {address}\r\ncontent-length: {}\r\n",
        body.len()
    );
    for (name, value) in headers {
        if matches!(&*name.to_lowercase(), "accept" | "content-type") {
            head.extend([name, ": ", value, "\r\n"]);
        }
    }
    let mut stream = TcpStream::connect(address).unwrap();
    stream
        .write_all(format!("{head}\r\n{body}").as_bytes())
        .unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let end = answer
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .unwrap();
    let head = String::from_utf8(answer[..end].to_vec()).unwrap();
    let content_type = head
        .lines()
        .find_map(|line| line.strip_prefix("Content-Type: "));
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (
        status,
        content_type.unwrap_or_default().to_owned(),
        answer[end + 4..].to_vec(),
    )
}
