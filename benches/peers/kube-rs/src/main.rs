//! The same injection as kube-rs shows it in its example of an admission webhook: a typed Pod, a changed copy of it, and
//! the patch made by comparing the two. Takes the address, the directory with tls.crt and tls.key, and a file with the
//! teams in JSON.

mod inject;

use std::collections::HashMap;
use std::convert::Infallible;
use std::error::Error;
use std::sync::Arc;

use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use k8s_openapi::api::core::v1::Pod;
use kube::core::DynamicObject;
use kube::core::admission::{AdmissionRequest, AdmissionResponse, AdmissionReview};
use rustls::ServerConfig;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use inject::{Team, inject};

type Teams = HashMap<(String, String), Team>;

async fn mutate(
    State(teams): State<Arc<Teams>>,
    Json(review): Json<AdmissionReview<Pod>>,
) -> Json<AdmissionReview<DynamicObject>> {
    let request: AdmissionRequest<Pod> = match review.try_into() {
        Ok(request) => request,
        Err(error) => {
            return Json(AdmissionResponse::invalid(format!("{error}")).into_review());
        }
    };
    let response = AdmissionResponse::from(&request);
    let answer = match answer(&teams, &request, response.clone()) {
        Ok(answer) => answer,
        Err(error) => response.deny(error.to_string()),
    };
    Json(answer.into_review())
}

fn answer(
    teams: &Teams,
    request: &AdmissionRequest<Pod>,
    response: AdmissionResponse,
) -> Result<AdmissionResponse, Box<dyn Error>> {
    let pod = request.object.as_ref().ok_or("there is no Pod")?;
    let mut changed = pod.clone();
    inject(
        &mut changed,
        teams,
        request.namespace.as_deref().unwrap_or_default(),
    )?;
    let patch = json_patch::diff(&serde_json::to_value(pod)?, &serde_json::to_value(changed)?);
    Ok(response.with_patch(patch)?)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, address, certificates, teams] = arguments.as_slice() else {
        return Err(
            "give the address, the directory of the certificate and the file of teams".into(),
        );
    };
    #[derive(serde::Deserialize)]
    struct List {
        items: Vec<Team>,
    }
    let List { items } = serde_json::from_slice(&std::fs::read(teams)?)?;
    let teams: Teams = items.into_iter().map(|team| (team.key(), team)).collect();

    let chain = CertificateDer::pem_file_iter(format!("{certificates}/tls.crt"))?
        .collect::<Result<_, _>>()?;
    let key = PrivateKeyDer::from_pem_file(format!("{certificates}/tls.key"))?;
    let mut config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let tls = TlsAcceptor::from(Arc::new(config));

    let routes = Router::new()
        .route("/mutate", post(mutate))
        .with_state(Arc::new(teams));
    let listener = TcpListener::bind(address).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let (tls, routes) = (tls.clone(), routes.clone());
        tokio::spawn(async move {
            let Ok(stream) = tls.accept(stream).await else {
                return;
            };
            let service = TowerToHyperService::new(tower_ready(routes));
            let _ = Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

/// The router as hyper's kind of body needs it.
fn tower_ready(
    routes: Router,
) -> impl tower::Service<
    hyper::Request<hyper::body::Incoming>,
    Response = axum::response::Response,
    Error = Infallible,
    Future = impl Send,
> + Clone {
    use tower::ServiceExt;
    routes.map_request(|request: hyper::Request<hyper::body::Incoming>| {
        request.map(axum::body::Body::new)
    })
}
