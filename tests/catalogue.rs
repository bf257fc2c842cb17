//! Hostile inputs and faults, each against the running server, over TLS.
//!
//! What comes in, and what must come out: H is an HTTP error without a review; D is a review that denies, with the same
//! uid, a status code and one sentence; A allows without a patch; P is patched. The number in a test's name is the row
//! of the catalogue that it stands for. Any panic, hang or answer later than a second fails.
//!
//! Rows that only a real API server can show are in `tests/cluster`: 37 (quota, `LimitRange`), 38 (what the
//! `ServiceAccount` brings), 40 (namespaces that are never sent here), 41 (the live look-up) and 43 (a team that is
//! being deleted).

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test says what it expects by failing"
)]

mod catalogue {
    pub mod client;
    pub mod frames;
    pub mod review;
    pub mod server;
    pub mod teams;

    mod envelope;
    mod limits;
    mod load;
    mod pods;
    mod requests;
    mod secrets;
    mod shutdown;
    mod skills;
    mod transport;
    mod volumes;
}
