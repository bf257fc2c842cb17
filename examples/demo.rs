//! The main job on a laptop, with nothing installed: `make demo`.
//!
//! Starts the webhook on loopback with a certificate and a team made on the spot, sends it a review that was recorded
//! from a real API server (`examples/demo/review.json`) over HTTPS, and shows what became of the Pod in it.

#![allow(
    clippy::indexing_slicing,
    reason = "what is not in a JSON value is null"
)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use agentteam_webhook::yaml;
use anyhow::{Context, Result, bail, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::Value;
use similar::TextDiff;

const REVIEW: &str = include_str!("demo/review.json");
const TEAM: &str = include_str!("demo/team.yaml");

fn main() -> Result<()> {
    let program = std::env::args()
        .nth(1)
        .context("give the path of the agentteam-webhook program")?;
    let directory = tempfile::tempdir()?;
    // The review was recorded in the namespace cowork, so that is where its team is.
    let team = TEAM.replace(
        "  name: market-brief\n",
        "  name: market-brief\n  namespace: cowork\n",
    );
    std::fs::write(directory.path().join("team.yaml"), &team)?;

    println!(
        "1. The team, in a file (in a cluster it would be an object):\n\n{}",
        indented(&team)
    );
    let mut webhook = Webhook::start(Path::new(&program), directory.path())?;
    println!(
        "2. The webhook listens on https://{}, with a certificate made on the spot.\n",
        webhook.address
    );

    let review: Value = serde_json::from_str(REVIEW)?;
    let answer = webhook.post("/mutate?timeout=5s", REVIEW)?;
    let response = &answer["response"];
    ensure!(
        response["allowed"] == true,
        "the Pod was denied: {}",
        response["status"]["message"]
    );
    println!(
        "3. It was sent the AdmissionReview of a Pod, recorded from a Kubernetes 1.36 API server, and answered with a"
    );
    println!("   JSON patch. The Pod before and after:\n");

    let patch: json_patch::Patch =
        serde_json::from_slice(&STANDARD.decode(response["patch"].as_str().context("no patch")?)?)?;
    let mut before = review["request"]["object"].clone();
    // Who wrote which field is of no interest here, and long.
    before["metadata"]
        .as_object_mut()
        .context("no metadata")?
        .remove("managedFields");
    let mut after = before.clone();
    json_patch::patch(&mut after, &patch)?;
    println!(
        "{}",
        difference(&yaml::to_string(&before), &yaml::to_string(&after))
    );

    println!("4. What each addition is for:\n");
    for operation in patch.iter() {
        println!("   {}", explained(&serde_json::to_value(operation)?));
    }
    for warning in response["warnings"].as_array().into_iter().flatten() {
        println!(
            "\n   The person who made the Pod is warned: {}",
            warning.as_str().unwrap_or_default()
        );
    }

    webhook.stop()?;
    println!("\n5. The webhook has stopped.");
    Ok(())
}

/// The running program.
struct Webhook {
    child: Child,
    address: String,
    tls: Arc<ClientConfig>,
}

impl Webhook {
    fn start(program: &Path, directory: &Path) -> Result<Self> {
        let ca = directory.join("ca.pem");
        let mut child = Command::new(program)
            .args([
                "serve",
                "--listen",
                "127.0.0.1:0",
                "--admin-listen",
                "127.0.0.1:0",
            ])
            .args([
                "--skill-puller-image",
                "ghcr.io/oras-project/oras:v1.3.3",
                "--server-version",
                "1.36",
            ])
            .arg("--teams")
            .arg(directory)
            .arg("--tls-ca-out")
            .arg(&ca)
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("{} cannot be started", program.display()))?;
        let log = BufReader::new(child.stderr.take().context("no log")?);
        let (mut address, mut ready) = (None, false);
        let mut lines = log.lines();
        while address.is_none() || !ready {
            let Some(line) = lines.next() else {
                bail!("the webhook ended before it listened")
            };
            let line: Value = serde_json::from_str(&line?)?;
            ready |= line["fields"]["message"] == "teams are known";
            if line["fields"]["message"] == "listening" {
                address = line["fields"]["address"].as_str().map(ToOwned::to_owned);
            }
        }
        // Nobody reads on, but the webhook must be able to write on.
        std::thread::spawn(move || lines.for_each(drop));
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(&ca)?)?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls =
            ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        let tls = Arc::new(tls.with_root_certificates(roots).with_no_client_auth());
        Ok(Self {
            child,
            address: address.unwrap_or_default(),
            tls,
        })
    }

    fn post(&self, path: &str, body: &str) -> Result<Value> {
        let connection =
            ClientConnection::new(Arc::clone(&self.tls), ServerName::try_from("localhost")?)?;
        let mut stream = StreamOwned::new(connection, TcpStream::connect(&self.address)?);
        write!(
            stream,
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
             Connection: close\r\n\r\n{body}",
            body.len()
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (head, body) = answer.split_once("\r\n\r\n").context("no answer")?;
        ensure!(head.starts_with("HTTP/1.1 200 "), "{answer}");
        Ok(serde_json::from_str(body)?)
    }

    fn stop(&mut self) -> Result<()> {
        Command::new("kill")
            .args(["-s", "INT", &self.child.id().to_string()])
            .status()?;
        let status = self.child.wait()?;
        ensure!(status.success(), "the webhook ended with {status}");
        Ok(())
    }
}

impl Drop for Webhook {
    fn drop(&mut self) {
        // It has ended already, unless something failed before.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn indented(text: &str) -> String {
    text.split_inclusive('\n')
        .flat_map(|line| ["   ", line])
        .collect()
}

fn difference(before: &str, after: &str) -> String {
    let diff = TextDiff::from_lines(before, after);
    diff.iter_all_changes()
        .map(|change| format!("   {} {change}", change.tag()))
        .collect::<Vec<_>>()
        .concat()
}

/// One line about an operation of the patch.
fn explained(operation: &Value) -> String {
    let path = operation["path"].as_str().unwrap_or_default();
    let value = &operation["value"];
    let name = value["name"]
        .as_str()
        .or_else(|| value[0]["name"].as_str())
        .unwrap_or_default();
    let purpose = match (path, name) {
        ("/spec/volumes/-", "skill-auth") => {
            "the registry credentials of the team's pull secret, for the pullers alone"
        }
        ("/spec/volumes/-", "pull-skills-tmp") => {
            "a temporary directory: a puller's own file system is read-only"
        }
        ("/spec/volumes/-", "pull-skills-no-token") => {
            "nothing: mounted where a ServiceAccount token would be, it keeps the token out"
        }
        ("/spec/volumes/-", _) if value["configMap"].is_object() => {
            "a ConfigMap skill, mounted as it is"
        }
        ("/spec/volumes/-", _) => "an OCI skill: a puller writes it here, and the agent reads it",
        _ if path.starts_with("/spec/containers/") => "where the agent finds the skill, read-only",
        _ if path.starts_with("/spec/initContainers") => {
            "pull the OCI skills before the agent starts, as a restricted Pod may"
        }
        _ if path.starts_with("/spec/imagePullSecrets") => "the team's pull secret, for the node",
        _ => "a record of what was injected, for people; nothing decides by it",
    };
    let names = value.as_array().map(|items| {
        items
            .iter()
            .filter_map(|item| item["name"].as_str())
            .collect::<Vec<_>>()
    });
    let shown = names.map_or_else(|| name.to_owned(), |names| names.join(", "));
    format!("{path:<38} {shown:<50} {purpose}")
}
