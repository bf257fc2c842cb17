//! The limit of the stack: the webhook's own accept loop, TLS and router, with a handler that reads the body and answers a
//! constant. What `make bench` measures the webhook against.
//!
//! Takes the address, the directory with tls.crt and tls.key, and how many bytes the constant has.

#![allow(
    missing_docs,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a benchmark ends where its input is wrong"
)]

use std::sync::Arc;

use agentteam_webhook::certs::Served;
use agentteam_webhook::certs::files::Files;
use agentteam_webhook::server::listen::{Server, tls};
use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::post;

/// The largest body, as the webhook has it.
const BODY_MAX: usize = 7 << 20;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, address, certificates, length] = arguments.as_slice() else {
        panic!("give the address, the directory of the certificate and the length of the answer")
    };
    let answer = Bytes::from(constant(length.parse().unwrap()));
    let files = Files {
        certificate: format!("{certificates}/tls.crt").into(),
        key: format!("{certificates}/tls.key").into(),
    };
    let leaf = files.leaf(&files.read().unwrap()).unwrap();
    let routes = Router::new().route(
        "/mutate",
        post(async move |body: Body| {
            to_bytes(body, BODY_MAX).await.unwrap();
            ([(CONTENT_TYPE, "application/json")], answer).into_response()
        }),
    );
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let tls = tls(Arc::new(Served::new(leaf))).unwrap();
        let open = <_>::default();
        let server = Server::bind(address.parse().unwrap(), Some(tls), routes, 2048, open).unwrap();
        server.serve(std::future::pending()).await;
    });
}

/// An answer that allows, grown to `length` bytes by white space, which JSON may end with.
fn constant(length: usize) -> Vec<u8> {
    let mut answer = br#"{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","response":{"uid":"","allowed":true}}"#.to_vec();
    answer.resize(length.max(answer.len()), b' ');
    answer
}
