//! Names that stand for addresses which only we can reach: a registry that leads there is not followed.
//!
//! The machine has these addresses, and one server listens at all of them: whatever is sent there is seen.

use std::fs;
use std::sync::{Arc, Mutex};

use serde_json::json;

use crate::artifact::Artifact;
use crate::identity::Identity;
use crate::machine::{alone, must};
use crate::run::{Done, Run, SECRET, basic, password};
use crate::server::{Reply, Request, Server};

/// What names stand for.
const HOSTS: &str = "\
203.0.113.10 registry.example
203.0.113.20 auth.example
127.0.0.1 loopback.example
127.8.8.8 loopback-too.example
0.0.0.0 unspecified.example
10.1.2.3 private.example
172.16.0.1 private-too.example
192.168.1.1 home.example
100.64.0.1 shared.example
169.254.1.1 link-local.example
169.254.169.254 metadata.example
::1 loopback-6.example
fe80::1 link-local-6.example
fd00::1 private-6.example
fd00:ec2::254 metadata-6.example
::ffff:127.0.0.1 mapped.example
203.0.113.20 both.example
127.0.0.1 both.example
10.1.2.3 registry.internal
10.1.2.4 auth.internal
127.0.0.1 registry.local
";

/// Those of the names that nobody outside reaches: loopback and the like, and private networks.
const SPECIAL: [&str; 9] = [
    "loopback.example",
    "loopback-too.example",
    "unspecified.example",
    "link-local.example",
    "metadata.example",
    "loopback-6.example",
    "link-local-6.example",
    "metadata-6.example",
    "mapped.example",
];
const PRIVATE: [&str; 5] = [
    "private.example",
    "private-too.example",
    "home.example",
    "shared.example",
    "private-6.example",
];

/// Gives this machine the addresses, and the names their meaning.
fn set_up() -> Identity {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), HOSTS).unwrap();
    let file = file.path().to_str().unwrap();
    must("mount", &["--bind", file, "/etc/hosts"]);
    must("ip", &["link", "set", "lo", "up"]);
    let lines = || HOSTS.lines().map(|line| line.split_once(' ').unwrap());
    for (address, _) in lines().filter(|(address, _)| !address.contains(':')) {
        // Some stand there twice, and some are there already.
        let add = ["address", "replace", &format!("{address}/32"), "dev", "lo"];
        if !matches!(address, "0.0.0.0" | "127.0.0.1") {
            must("ip", &add);
        }
    }
    let names: Vec<_> = lines().map(|(_, name)| name).chain(["127.0.0.1"]).collect();
    Identity::make(&names).unwrap()
}

/// All hosts at once, each over TLS: a registry that wants a token of the service that it names, the services, which give one
/// to everybody, and whoever has the layers.
struct World {
    identity: Identity,
    server: Server,
    /// Where the registry says that tokens are.
    realm: Arc<Mutex<String>>,
    /// Where it says that layers are, if it has them not itself.
    layers: Arc<Mutex<Option<String>>>,
}

impl World {
    fn start() -> Self {
        let identity = set_up();
        let artifact = Artifact::skill();
        let realm = Arc::new(Mutex::new(String::new()));
        let layers = Arc::new(Mutex::new(None::<String>));
        let (named, elsewhere) = (Arc::clone(&realm), Arc::clone(&layers));
        let server = Server::start_tls_at("0.0.0.0:443", &identity, move |request| {
            if request.target.starts_with("/token") {
                return Reply::new(200).body(json!({"token": SECRET}).to_string());
            }
            let Some(rest) = request.target.strip_prefix("/v2/org/web/") else {
                return artifact.answer(request);
            };
            if request.header("authorization") != Some(&format!("Bearer {SECRET}")) {
                let challenge = format!("Bearer realm=\"{}\"", named.lock().unwrap());
                return Reply::new(401).header("www-authenticate", challenge);
            }
            match &*elsewhere.lock().unwrap() {
                Some(host) if rest.starts_with("blobs/") => {
                    Reply::new(307).header("location", format!("https://{host}/{rest}"))
                }
                _ => artifact.answer(request),
            }
        });
        Self {
            identity,
            server,
            realm,
            layers,
        }
    }

    /// Pulls from `registry`, whose tokens are at this address; what came meanwhile.
    fn pull(&self, registry: &str, realm: &str) -> (Done, Vec<Request>) {
        self.server.forget();
        realm.clone_into(&mut self.realm.lock().unwrap());
        let run = Run::pull()
            .skill("web", &format!("{registry}/org/web:v1"))
            .config(&password(registry, "reader"))
            .trusting(&self.identity.ca);
        (run.done(), self.server.seen())
    }

    /// The skill comes, and the password goes to one address: that of the token service.
    fn is_served(&self, registry: &str, realm: &str, address: &str) {
        let (done, seen) = self.pull(registry, realm);
        done.is_web();
        let told = seen
            .iter()
            .filter(|request| request.header("authorization") == Some(&basic("reader")));
        let told: Vec<_> = told.map(|request| request.address.as_str()).collect();
        assert_eq!(told, [address], "{registry} {realm}");
    }

    /// Nothing is sent but the first request to the registry itself, which shows nothing.
    fn is_refused(&self, registry: &str, realm: &str, words: &str) {
        let (done, seen) = self.pull(registry, realm);
        done.failed(10, words);
        let [request] = seen.as_slice() else {
            panic!("{registry} {realm}: {seen:?}")
        };
        assert_eq!(request.origin, format!("https://{registry}"));
        assert_eq!(request.header("authorization"), None);
    }
}

const OUT_OF_REACH: &str = "is refused: it has no address that a registry may lead to";

#[test]
fn a_token_service_whose_name_stands_for_what_only_we_reach_is_not_asked() {
    alone(
        "names::a_token_service_whose_name_stands_for_what_only_we_reach_is_not_asked",
        || {
            let world = World::start();
            for name in SPECIAL.into_iter().chain(PRIVATE) {
                let realm = format!("https://{name}/token");
                world.is_refused("registry.example", &realm, OUT_OF_REACH);
            }
            let elsewhere = "https://auth.example/token";
            world.is_served("registry.example", elsewhere, "203.0.113.20");
            // Of several addresses only those are asked that may be.
            let both = "https://both.example/token";
            world.is_served("registry.example", both, "203.0.113.20");
        },
    );
}

#[test]
fn a_registry_in_a_private_network_has_its_token_service_beside_it() {
    alone(
        "names::a_registry_in_a_private_network_has_its_token_service_beside_it",
        || {
            let world = World::start();
            for (registry, address) in [
                ("registry.internal", "10.1.2.3"),
                ("registry.local", "127.0.0.1"),
                ("127.0.0.1", "127.0.0.1"),
            ] {
                // On its own host, or elsewhere in a private network, or outside.
                world.is_served(registry, &format!("https://{registry}/token"), address);
                world.is_served(registry, "https://auth.internal/token", "10.1.2.4");
                world.is_served(registry, "https://auth.example/token", "203.0.113.20");
                // But not on this machine, and at no bare address.
                for name in SPECIAL {
                    world.is_refused(registry, &format!("https://{name}/token"), OUT_OF_REACH);
                }
                let bare = "which only this machine or its network can reach";
                world.is_refused(registry, "https://10.1.2.4/token", bare);
                world.is_refused(registry, "https://127.8.8.8/token", bare);
            }
        },
    );
}

#[test]
fn a_redirect_to_a_name_that_stands_for_this_machine_is_not_followed() {
    alone(
        "names::a_redirect_to_a_name_that_stands_for_this_machine_is_not_followed",
        || {
            let world = World::start();
            let pull = |name: &str| {
                *world.layers.lock().unwrap() = Some(name.to_owned());
                world.pull("registry.example", "https://auth.example/token")
            };
            for name in SPECIAL {
                let (done, seen) = pull(name);
                done.failed(10, OUT_OF_REACH);
                let public = ["203.0.113.10", "203.0.113.20"];
                let is_public = |request: &Request| public.contains(&request.address.as_str());
                assert!(seen.iter().all(is_public), "{name}: {seen:?}");
            }
            // A registry may have its layers anywhere else, and whoever has them is told nothing.
            for (name, address) in [
                ("private.example", "10.1.2.3"),
                ("both.example", "203.0.113.20"),
            ] {
                let (done, seen) = pull(name);
                done.is_web();
                let led = seen
                    .iter()
                    .filter(|request| request.target.starts_with("/blobs/"));
                let led: Vec<_> = led
                    .map(|request| (request.address.as_str(), request.header("authorization")))
                    .collect();
                assert_eq!(led, [(address, None); 2], "{name}");
            }
        },
    );
}
