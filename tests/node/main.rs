//! The product on a real node: API server, Service, two replicas, an injected Pod, kubelet, containerd, runc.
//!
//! `make e2e` runs it, on a machine of its own ([`machine.sh`](../machine.sh)). One node serves all tests of this binary
//! ([`node::Node`]), with the product installed as the README says ([`install`]). Most tests share it, each in a
//! namespace of its own ([`place::Place`]), and read what arrived from inside the agent's container; those of [`solo`]
//! have it alone while they break it.
#![allow(
    dead_code,
    clippy::doc_markdown,
    clippy::needless_pass_by_value,
    clippy::too_many_lines,
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
#[path = "../common/pages.rs"]
mod pages;
#[path = "../common/process.rs"]
mod process;
#[path = "../cluster/rig.rs"]
mod rig;
#[path = "../common/signer.rs"]
mod signer;
#[path = "../common/tools.rs"]
mod tools;

mod daemons;
mod delivery;
mod documentation;
mod failures;
mod images;
mod install;
mod kinds;
mod modes;
mod node;
mod place;
mod pushes;
mod signed;
mod skills;
mod solo;
