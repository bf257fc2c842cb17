//! `--tls-mode self-signed`: one authority for all replicas, made known in the `caBundle`, with the shipped rights.

mod stage;
mod start;
