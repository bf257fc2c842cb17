//! The three ways to deliver, side by side on a real node: `make bench-delivery`.
//!
//! Prints a table, and writes it into `docs/reference/performance.md`. It measures other programs, so it need not be
//! optimised itself.

#![allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    clippy::doc_markdown,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a benchmark ends where something is not as it should be"
)]

mod daemons;
#[path = "../common/identity.rs"]
mod identity;
mod images;
mod install;
mod node;
mod place;
#[path = "../common/process.rs"]
mod process;
mod pushes;
#[path = "../cluster/rig.rs"]
mod rig;
#[path = "../common/signer.rs"]
mod signer;
mod skills;
#[path = "../common/tools.rs"]
mod tools;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Read;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, PostParams};
use serde_json::{Value, json};
use tempfile::TempDir;

use node::{Node, repository};
use place::{Place, oci, pod};
use pushes::push_image;

const MODES: [&str; 3] = ["oras", "puller", "image"];
const COUNTS: [usize; 4] = [1, 4, 8, 16];
const ROUNDS: usize = 5;

/// How often the kubelet looks what became of an init container.
const LOOKS_EVERY: Duration = Duration::from_secs(1);

/// A skill of the many.
const SMALL: usize = 20 << 10;
/// The large one: as much as the puller takes by default, but for its instructions.
const LARGE: usize = 49_900_000;

/// Where the table goes, in a page that has other sections.
const PAGE: &str = "docs/reference/performance.md";
const BEGIN: &str = "<!-- written by `make bench-delivery`: do not edit from here -->\n";
const END: &str = "<!-- to here -->\n";

fn main() {
    let node = Node::shared();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let place = Place::new(&node, "bench");
    let bench = Bench {
        client: runtime.block_on(node.control.client()),
        runtime,
        place: &place,
    };
    let mut table = "| from Pod creation to the agent's container running | oras | puller | image | oras ÷ puller |\n|---|---|---|---|---|\n".to_owned();
    for (count, took) in bench.deliveries() {
        let factor = took["oras"].median() / took["puller"].median();
        let cells = MODES.map(|mode| took[mode].to_string()).join(" | ");
        let skills = if count == 1 { "skill" } else { "skills" };
        writeln!(
            table,
            "| {count} {skills} of 20 KiB | {cells} | {factor:.1} |"
        )
        .unwrap();
    }
    let (many, large) = (bench.resident(16), bench.resident_large());
    let (own, oras) = throughput(&node);
    table += "\n| figure | measured | aim |\n|---|---|---|\n";
    writeln!(
        table,
        "| resident memory of the puller, 16 skills of 20 KiB | {many:.1} MiB | ≤ 32 MiB |"
    )
    .unwrap();
    writeln!(
        table,
        "| the same, one skill of 50 MB | {large:.1} MiB | ≤ 32 MiB |"
    )
    .unwrap();
    let ratio = oras.median() / own.median();
    writeln!(
        table,
        "| a skill of 50 MB by `agentteam-webhook pull` | {own} | |"
    )
    .unwrap();
    writeln!(table, "| the same by `oras pull` | {oras} | |").unwrap();
    writeln!(
        table,
        "| throughput against `oras pull` | {ratio:.2} | ≥ 0.8 |"
    )
    .unwrap();
    writeln!(
        table,
        "| image that a node must fetch, compressed | {:.1} MiB | ≤ 15 MiB |",
        image_size()
    )
    .unwrap();
    print!("{table}");
    write_into_page(&table);
}

/// Seconds that something took, in each round.
#[derive(Default)]
struct Took(Vec<f64>);

impl Took {
    fn median(&self) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        sorted[sorted.len() / 2]
    }
}

impl std::fmt::Display for Took {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let least = self.0.iter().copied().fold(f64::INFINITY, f64::min);
        let most = self.0.iter().copied().fold(0.0, f64::max);
        write!(formatter, "{:.2} s ({least:.2}–{most:.2})", self.median())
    }
}

struct Bench<'a> {
    runtime: tokio::runtime::Runtime,
    client: kube::Client,
    place: &'a Place<'a>,
}

impl Bench<'_> {
    /// What every mode took for every count, the modes in turns.
    fn deliveries(&self) -> BTreeMap<usize, BTreeMap<&'static str, Took>> {
        // What is done for the first time only, by the node or by the webhook, is not measured.
        for mode in MODES {
            self.deliver(mode, 1, "warm");
        }
        let mut took: BTreeMap<usize, BTreeMap<&str, Took>> = BTreeMap::new();
        for round in 0..ROUNDS {
            for count in COUNTS {
                for mode in MODES {
                    let seconds = self.deliver(mode, count, &round.to_string());
                    eprintln!("round {round}, {count} skills by {mode}: {seconds:.2} s");
                    took.entry(count)
                        .or_default()
                        .entry(mode)
                        .or_default()
                        .0
                        .push(seconds);
                }
            }
        }
        took
    }

    /// Makes a Pod with so many skills that no node has seen, and gives the seconds until its agent runs.
    fn deliver(&self, mode: &str, count: usize, round: &str) -> f64 {
        let name = self.prepare(mode, count, round, SMALL);
        // Without it, the rhythm of this loop has the Pods of a mode come at the same moment between two looks every time.
        std::thread::sleep(LOOKS_EVERY.mul_f64(fastrand::f64()));
        let created = self.create(mode, &name);
        self.wait_until_running(&name);
        let ran = self.place.kubectl(&["logs", &name]).success();
        self.remove(&name);
        let ran: f64 = ran.split(' ').next().unwrap().parse().unwrap();
        ran - created
    }

    /// Pushes skills as the mode wants them packaged, and makes the team that has them; gives its name.
    fn prepare(&self, mode: &str, count: usize, round: &str, size: usize) -> String {
        let name = format!("{mode}-{count}-{round}");
        let registry = &self.place.node.public;
        let names: Vec<_> = (0..count).map(|index| format!("skill-{index}")).collect();
        let sources: Vec<_> = names
            .iter()
            .map(|skill| {
                let directory = skill_of(skill, size);
                let repository = format!("bench/{name}/{skill}:v1");
                match mode {
                    "image" => push_image(registry, &repository, directory.path()),
                    _ => registry.push(&repository, directory.path()),
                };
                oci(&format!("{}/{repository}", registry.address))
            })
            .collect();
        let skills: Vec<_> = names.iter().map(String::as_str).zip(sources).collect();
        self.place.team(&name, &[], &skills);
        name
    }

    /// Creates the Pod; gives the uptime of the machine just before.
    fn create(&self, mode: &str, team: &str) -> f64 {
        let mut agent = pod(team, team);
        agent["metadata"]["annotations"] = json!({"kagents.dev/skill-delivery": mode});
        // Its own clock is the machine's.
        agent["spec"]["containers"][0]["command"] =
            json!(["sh", "-c", "cat /proc/uptime; exec sleep infinity"]);
        let agent: Pod = serde_json::from_value(agent).unwrap();
        let created = uptime();
        let params = PostParams::default();
        let pod = self.runtime.block_on(self.pods().create(&params, &agent));
        let annotations = pod.unwrap().metadata.annotations.unwrap();
        assert!(annotations.contains_key("kagents.dev/skills"));
        created
    }

    fn wait_until_running(&self, name: &str) {
        let deadline = Instant::now() + Duration::from_mins(3);
        loop {
            let pod = self.runtime.block_on(self.pods().get(name)).unwrap();
            let status: Value = serde_json::to_value(pod.status).unwrap();
            if status["containerStatuses"][0]["state"]["running"].is_object() {
                return;
            }
            assert!(Instant::now() < deadline, "{name} does not run: {status:#}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn remove(&self, name: &str) {
        self.place
            .kubectl(&["delete", "pod", name, "--wait", "--timeout=120s"])
            .success();
    }

    /// The most memory that a puller of so many skills had at once, in MiB.
    fn resident(&self, count: usize) -> f64 {
        self.resident_of(count, SMALL)
    }

    fn resident_large(&self) -> f64 {
        self.resident_of(1, LARGE)
    }

    fn resident_of(&self, count: usize, size: usize) -> f64 {
        let name = self.prepare("puller", count, &format!("memory-{size}"), size);
        let watch = std::thread::spawn(most_resident);
        self.create("puller", &name);
        self.wait_until_running(&name);
        self.remove(&name);
        watch.join().unwrap()
    }

    fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.client.clone(), &self.place.namespace)
    }
}

/// A skill of about `size` bytes that cannot be compressed.
fn skill_of(name: &str, size: usize) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let text = format!("---\nname: {name}\ndescription: For a benchmark.\n---\n");
    fs::write(dir.path().join("SKILL.md"), text).unwrap();
    let mut bytes = vec![0; size];
    File::open("/dev/urandom")
        .unwrap()
        .read_exact(&mut bytes)
        .unwrap();
    fs::write(dir.path().join("data"), bytes).unwrap();
    dir
}

/// Seconds since the machine started.
fn uptime() -> f64 {
    let text = fs::read_to_string("/proc/uptime").unwrap();
    text.split(' ').next().unwrap().parse().unwrap()
}

/// The peak of the next puller's resident memory, in MiB, as the kernel counts it until the process ends.
fn most_resident() -> f64 {
    let deadline = Instant::now() + Duration::from_mins(2);
    let process = loop {
        if let Some(process) = puller() {
            break process;
        }
        assert!(Instant::now() < deadline, "no puller ran");
        std::thread::sleep(Duration::from_millis(1));
    };
    let mut most = 0.0;
    while let Ok(status) = fs::read_to_string(process.join("status")) {
        let Some(line) = status.lines().find(|line| line.starts_with("VmHWM")) else {
            break;
        };
        most = line
            .split_whitespace()
            .nth(1)
            .unwrap()
            .parse::<f64>()
            .unwrap();
        std::thread::sleep(Duration::from_millis(1));
    }
    most / 1024.0
}

/// The process of a puller that runs in a container: the machine sees into those.
fn puller() -> Option<PathBuf> {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    processes.map(|process| process.path()).find(|process| {
        let words = fs::read(process.join("cmdline")).unwrap_or_default();
        words.starts_with(b"/agentteam-webhook\0pull\0")
    })
}

/// What one skill of 50 MB takes on the machine itself, with the program of the image and with oras, in turns.
fn throughput(node: &Node) -> (Took, Took) {
    let directory = skill_of("large", LARGE);
    node.public.push("bench/large:v1", directory.path());
    let reference = format!("{}/bench/large:v1", node.public.address);
    let own = || {
        let mut command = Command::new(program());
        command
            .args(["pull", "--skill", &format!("large={reference}")])
            .args(["--plain-http-registry", &node.public.address]);
        command
    };
    let oras = || {
        let mut command = Command::new(tools::tool("oras"));
        command.args(["pull", "--no-tty", "--plain-http", &reference]);
        command
    };
    let (mut own_took, mut oras_took) = (Took::default(), Took::default());
    for _ in 0..7 {
        own_took.0.push(pull(own()));
        oras_took.0.push(pull(oras()));
    }
    (own_took, oras_took)
}

fn pull(mut command: Command) -> f64 {
    let output = tempfile::tempdir().unwrap();
    command.arg("--output").arg(output.path());
    let began = Instant::now();
    let done = command.output().unwrap();
    let took = began.elapsed().as_secs_f64();
    assert!(
        done.status.success(),
        "{}",
        String::from_utf8_lossy(&done.stderr)
    );
    took
}

/// The program that `make image` packed.
fn program() -> PathBuf {
    let targets = fs::read_dir(repository("target")).unwrap().flatten();
    let named = targets.filter(|target| target.file_name().to_string_lossy().contains("-linux-"));
    let mut built = named.map(|target| target.path().join("release/agentteam-webhook"));
    built
        .find(|program| program.exists())
        .expect("`make image` was run")
}

/// What the image weighs in a registry, in MiB: its blobs.
fn image_size() -> f64 {
    let listed = Command::new("tar")
        .args(["--list", "--verbose", "--file"])
        .arg(repository("target/image/agentteam-webhook.tar"))
        .output()
        .unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    let blobs = listed
        .lines()
        .filter(|line| line.starts_with('-') && line.contains("blobs/sha256/"));
    let bytes: f64 = blobs
        .map(|line| {
            line.split_whitespace()
                .nth(2)
                .unwrap()
                .parse::<f64>()
                .unwrap()
        })
        .sum();
    bytes / f64::from(1 << 20)
}

/// Puts the table where the last one is in the page.
fn write_into_page(table: &str) {
    let path = repository(PAGE);
    let page = fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once(BEGIN).expect("the page has a place for it");
    let (_, after) = rest.split_once(END).expect("and its end");
    fs::write(&path, format!("{before}{BEGIN}\n{table}\n{END}{after}")).unwrap();
}
