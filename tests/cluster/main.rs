//! The webhook in front of a real API server.
//!
//! What only etcd and kube-apiserver can tell: whether a patch applies, whether the Pod that results is
//! valid, what the in-tree admission plugins add afterwards, what RBAC refuses. One control plane serves all
//! tests of this binary ([`rig::Rig::get`]); each test takes a namespace of its own from it. No controllers
//! and no node: nothing runs, and a namespace that is deleted stays.
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

mod certificates;
mod contract;
mod controller;
mod definition;
mod documentation;
mod examples;
mod foreign;
#[path = "../common/identity.rs"]
mod identity;
mod lease;
mod modes;
mod operator;
mod original;
mod outage;
#[path = "../common/pages.rs"]
mod pages;
#[path = "../common/process.rs"]
mod process;
mod registration;
mod reinvocation;
mod rig;
mod scene;
mod smoke;
mod supervised;
mod team_table;
#[path = "../common/tools.rs"]
mod tools;
mod validation;
mod webhook;
