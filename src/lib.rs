//! The crate's map.
