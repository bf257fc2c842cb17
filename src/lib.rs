//! The crate's map.
//!
//! Data flows one way: bytes → review → target → team → plan → patch → bytes.
//!
//! | pure: no I/O, no clock, no client | |
//! |---|---|
//! | [`api`] | the AgentTeam, and every label and annotation |
//! | [`skill`], [`team`] | what a team says, parsed once |
//! | [`validation`] | a team → what is wrong with it, and what is unwise |
//! | [`inject`] | a Pod and its team → a patch, or the reason why not |
//! | [`admission`] | bytes → review, decision → bytes |
//! | [`condition`] | conditions on a team, beside those of others |
//! | [`yaml`], [`offline`] | documents in, documents and a report out |
//! | [`json`] | JSON objects read as objects only |
//! | [`names`] | names as Kubernetes knows them, and how a foreign text is shown |
//!
//! | with I/O | |
//! |---|---|
//! | [`teams`] | where teams come from |
//! | [`certs`] | where the certificate comes from |
//! | [`controller`] | judges teams, and shows on them what became of their skills |
//! | [`server`] | the webhook over HTTPS, probes and metrics |
//! | [`pull`] | skills from registries into directories |
//! | [`metrics`], [`telemetry`] | what is counted and logged |
//! | [`clock`] | the time of day |
//! | [`cli`] | the subcommands |

#![allow(
    clippy::doc_markdown,
    reason = "the table above names kinds as people write them"
)]

pub mod admission;
pub mod api;
pub mod certs;
pub mod cli;
pub mod clock;
pub mod condition;
pub mod controller;
pub mod inject;
pub mod json;
pub mod metrics;
pub mod names;
pub mod offline;
pub mod pull;
pub mod server;
pub mod skill;
pub mod team;
pub mod teams;
pub mod telemetry;
pub mod validation;
pub mod yaml;
