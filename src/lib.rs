//! The crate's map.

pub mod yaml;
