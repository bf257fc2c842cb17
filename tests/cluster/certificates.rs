//! Where the certificate comes from. `--tls-mode self-signed`: one authority for all replicas, made known in the
//! `caBundle`, with the shipped rights. `--tls-mode files`: what a mounted Secret holds.

mod clock;
mod damage;
mod files;
mod replica;
mod rotation;
mod stage;
mod start;
