//! What `manifests/` and `certs/` ship, on a real API server: every rendering is accepted to the last field, the rights are
//! those of a list, what is installed can be taken away again, and the chart says what the overlay says.
//!
//! No node: nothing runs here but what a test starts on this machine.
#![allow(
    dead_code,
    clippy::doc_markdown,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::needless_pass_by_value,
    clippy::panic,
    clippy::unwrap_used,
    missing_docs,
    unreachable_pub,
    reason = "tests say what they expect by failing, and so do their helpers"
)]

#[path = "../common/identity.rs"]
mod identity;
#[path = "../common/process.rs"]
mod process;
#[path = "../cluster/registration.rs"]
mod registration;
#[path = "../cluster/rig.rs"]
mod rig;
#[path = "../cluster/webhook.rs"]
mod webhook;

mod accepted;
mod cainjector;
mod chart;
mod elsewhere;
mod image;
mod install;
mod render;
mod rights;
mod settings;
mod tools;

/// How long to wait for what others do: moments, but for a machine that compiles meanwhile.
const PATIENCE: std::time::Duration = std::time::Duration::from_mins(3);
