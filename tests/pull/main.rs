//! `agentteam-webhook pull` against registries that fail, lie and lead astray, and against a real one.
//!
//! The registries are played by `server`, which says whatever a test wants. It is a proxy as well, so that a test can
//! have hosts of any name: all of them are that server.
//!
//! In every test, whatever comes out is searched for the secrets that went in.

#![allow(
    missing_docs,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    dead_code,
    unreachable_pub,
    reason = "tests say what they expect by failing, and so do their helpers"
)]

#[path = "../common/identity.rs"]
mod identity;
#[path = "../common/process.rs"]
mod process;
#[path = "../common/signer.rs"]
mod signer;
#[path = "../common/tools.rs"]
mod tools;

mod artifact;
mod machine;
mod run;
mod server;
mod signed;

mod answers;
mod check;
mod command;
mod cosign;
mod credentials;
mod disk;
mod faults;
mod names;
mod real;
mod realms;
mod redirects;
mod signature_answers;
mod signatures;
