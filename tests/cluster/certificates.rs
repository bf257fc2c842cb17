//! `--tls-mode self-signed`: one authority for all replicas, made known in the `caBundle`, with the shipped rights.

mod clock;
mod damage;
mod replica;
mod rotation;
mod stage;
mod start;
