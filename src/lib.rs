//! The crate's map.
pub mod admission;
pub mod api;
pub mod certs;
pub mod cli;
pub mod inject;
pub mod metrics;
pub mod names;
pub mod offline;
pub mod server;
pub mod skill;
pub mod team;
pub mod teams;
pub mod telemetry;
pub mod validation;
pub mod yaml;
