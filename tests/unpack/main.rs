//! Skills are unpacked from packages of every kind, and nothing else happens, whatever a package holds.

#![allow(
    dead_code,
    clippy::expect_used,
    clippy::indexing_slicing,
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
#[path = "../common/tools.rs"]
mod tools;

mod differential;
mod formats;
mod headers;
mod hostile;
mod limits;
mod listers;
mod mutation;
mod pulled;
mod scene;
mod tarball;
