//! One node for all tests of this binary, and the registries that it pulls from.

use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::{
    Mutex, MutexGuard, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
};

use crate::daemons::Daemons;
use crate::identity::Identity;
use crate::images;
use crate::install;
use crate::process::programs;
use crate::rig::{Output, Rig, Settings};
use crate::tools::Registry;

/// Where the node is, and its registries.
pub const ADDRESS: &str = "10.200.0.1";

/// Who may read the private registries.
pub const USERS: [(&str, &str); 2] = [("reader", "correct horse"), ("guest", "battery staple")];

pub struct Node {
    pub control: Rig,
    daemons: Mutex<Daemons>,
    /// Plain and open, at `10.200.0.1:5000`.
    pub public: Registry,
    /// Over TLS of [`identity`](Self::identity), for `USERS[0]`, at `10.200.0.1:5443`.
    pub private: Registry,
    /// The same for `USERS[1]`, at `10.200.0.1:5444`.
    pub other: Registry,
    /// Of the private registries.
    pub identity: Identity,
}

/// Whose turn it is. Tests start in the order of their names, and all that share the node come before those that do not
/// (`solo`); so each takes its turn first, and then waits for the node.
static TURNS: RwLock<()> = RwLock::new(());

/// A node and the right to use it, until it is dropped.
pub struct Turn<G> {
    node: &'static Node,
    _guard: G,
}

impl<G> Deref for Turn<G> {
    type Target = Node;

    fn deref(&self) -> &Node {
        self.node
    }
}

impl Node {
    /// The node beside other tests. For those that make Pods in namespaces of their own.
    pub fn shared() -> Turn<RwLockReadGuard<'static, ()>> {
        // A test that failed alone has put back what it could; the others shall say for themselves.
        let guard = TURNS.read().unwrap_or_else(PoisonError::into_inner);
        Turn {
            node: Self::get(),
            _guard: guard,
        }
    }

    /// The node with nobody beside. For tests that break it, or the installation; they put both in order again.
    pub fn alone() -> Turn<RwLockWriteGuard<'static, ()>> {
        let guard = TURNS.write().unwrap_or_else(PoisonError::into_inner);
        Turn {
            node: Self::get(),
            _guard: guard,
        }
    }

    /// Started by the first who asks; the others wait. It ends with the machine.
    #[track_caller]
    fn get() -> &'static Self {
        // A failure is kept as well: the tests after the first must not each wait for it again.
        static NODE: OnceLock<Result<Node, String>> = OnceLock::new();
        match NODE.get_or_init(Node::start) {
            Ok(node) => node,
            Err(error) => panic!("the test node does not start: {error}"),
        }
    }

    fn start() -> Result<Self, String> {
        let Ok(group) = std::env::var("AGENTTEAM_NODE_CGROUP") else {
            return Err(
                "it needs a machine of its own: run `make e2e`, or this binary by tests/node/machine.sh"
                    .to_owned(),
            );
        };
        let settings = Settings {
            // What Pods are told of the API server is a Service's address and port, and nobody translates them here.
            port: 443,
            names: vec!["10.96.0.1", ADDRESS],
            flags: vec![
                ("bind-address", "0.0.0.0".to_owned()),
                ("advertise-address", ADDRESS.to_owned()),
                // It resolves the Services of webhooks by itself.
                ("enable-aggregator-routing", "true".to_owned()),
                ("kubelet-preferred-address-types", "InternalIP".to_owned()),
            ],
        };
        let text = |error: Box<dyn std::error::Error + Send + Sync>| error.to_string();
        let control = Rig::start_with(&settings).map_err(text)?;
        let programs = programs("tests/node/assets/build.sh").map_err(text)?;
        let identity = Identity::make(&[ADDRESS]).map_err(|error| error.to_string())?;
        let at = |port| format!("{ADDRESS}:{port}");
        let node = Self {
            public: Registry::start_at(&at(5000), None, None),
            private: Registry::start_at(&at(5443), Some(&identity), Some(USERS[0])),
            other: Registry::start_at(&at(5444), Some(&identity), Some(USERS[1])),
            daemons: Mutex::new(Daemons::start(&control, programs, group, &identity.ca)?),
            control,
            identity,
        };
        images::provide(&node.daemons());
        node.wait_until_ready();
        install::prepare(&node);
        install::apply(&node, "0.1.0");
        Ok(node)
    }

    /// The programs that make the node.
    pub fn daemons(&self) -> MutexGuard<'_, Daemons> {
        self.daemons.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs kubectl as the administrator.
    pub fn kubectl(&self, args: &[&str]) -> Output {
        self.control.kubectl(args, "")
    }

    #[track_caller]
    pub fn wait_until_ready(&self) {
        let exists = ["wait", "--for=create", "node/node1", "--timeout=60s"];
        self.kubectl(&exists).success();
        let ready = [
            "wait",
            "--for=condition=Ready",
            "node/node1",
            "--timeout=60s",
        ];
        let waited = self.kubectl(&ready);
        assert!(
            waited.status.success(),
            "{}\n{}",
            waited.stderr,
            self.daemons().log_tail("kubelet")
        );
    }
}

/// A path of the repository.
pub fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}
