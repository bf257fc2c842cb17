//! What the endpoints share: a review in, a review out.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use axum::body::{Body, HttpBody, to_bytes};
use axum::http::{HeaderValue, Request as HttpRequest, StatusCode, Version, header};
use axum::response::{IntoResponse, Response};
use bumpalo::Bump;
use bytes::Bytes;
use http_body_util::LengthLimitError;
use tokio::time::timeout;

use super::App;
use crate::admission::{Decision, Denial, Request};
use crate::clock::unix_seconds;
use crate::names::{Named, Shown};

/// The largest review: objects reach 3 MiB, a review can carry two of them, and its own fields.
pub const BODY_MAX: usize = 7 << 20;

/// How long a body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// How many decisions a second are logged.
const LOGGED_PER_SECOND: u64 = 50;

/// A request that is no review, and what its sender is told.
struct Rejected(StatusCode, &'static str, String);

/// Reads the review, has it decided and answers it.
///
/// What the head says is looked at before anything is waited for, so that only the body is kept until then.
pub(super) fn answer(
    app: Arc<App>,
    request: HttpRequest<Body>,
    decide: impl AsyncFnOnce(&App, &Request<'_>) -> Decision,
) -> impl Future<Output = Response> {
    let is_closable = request.version() < Version::HTTP_2;
    let body = accepted(request);
    async move {
        let app = &*app;
        let body = match body {
            Ok(body) => read(body).await,
            Err(rejected) => Err(rejected),
        };
        let mut response = match body {
            Ok(body) => reviewed(app, &body, decide).await,
            Err(rejected) => reject(app, rejected, Instant::now()),
        };
        if is_closable && app.draining.load(Ordering::Relaxed) {
            // The client goes on using a connection for as long as it is open, and this process is about to end.
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(header::CONNECTION, close);
        }
        response
    }
}

async fn reviewed(
    app: &App,
    body: &[u8],
    decide: impl AsyncFnOnce(&App, &Request<'_>) -> Decision,
) -> Response {
    let started = Instant::now();
    let arena = Bump::new();
    let request = match Request::read(body, &arena, &app.seen) {
        Ok(request) => request,
        Err(error) => {
            let rejected = Rejected(
                StatusCode::BAD_REQUEST,
                "MalformedReview",
                error.to_string(),
            );
            return reject(app, rejected, started);
        }
    };
    let decision = decide(app, &request).await;
    app.metrics
        .answered(decision.word(), decision.reason(), started.elapsed());
    let mut response = Response::new(Body::from(decision.to_review(request.uid)));
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}

fn reject(app: &App, Rejected(status, reason, problem): Rejected, started: Instant) -> Response {
    app.metrics.answered("rejected", reason, started.elapsed());
    if let Some(held_back) = may_log(app) {
        tracing::warn!(
            decision = "rejected",
            reason,
            status = status.as_u16(),
            problem,
            held_back,
            "admission"
        );
    }
    (status, problem + "\n").into_response()
}

/// The body of a request whose head says that it is JSON, and not too much of it.
fn accepted(request: HttpRequest<Body>) -> Result<Body, Rejected> {
    let unsupported =
        |reason, problem| Rejected(StatusCode::UNSUPPORTED_MEDIA_TYPE, reason, problem);
    let content_type = request.headers().get(header::CONTENT_TYPE);
    let is_json = content_type.is_some_and(|value| {
        let media_type = value.as_bytes().split(|&byte| byte == b';').next();
        media_type.is_some_and(|name| name.trim_ascii().eq_ignore_ascii_case(b"application/json"))
    });
    if !is_json {
        let problem = format!(
            "the content type is {}; send application/json",
            Shown(text(content_type))
        );
        return Err(unsupported("ContentType", problem));
    }
    let encoding = request.headers().get(header::CONTENT_ENCODING);
    if encoding.is_some_and(|value| !value.as_bytes().eq_ignore_ascii_case(b"identity")) {
        let problem = format!(
            "the content encoding is {}; send the body as it is",
            Shown(text(encoding))
        );
        return Err(unsupported("ContentEncoding", problem));
    }
    let body = request.into_body();
    if body.size_hint().lower() > BODY_MAX as u64 {
        return Err(too_large());
    }
    Ok(body)
}

async fn read(body: Body) -> Result<Bytes, Rejected> {
    match timeout(BODY_TIMEOUT, to_bytes(body, BODY_MAX)).await {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(error))
            if error
                .source()
                .is_some_and(<dyn Error>::is::<LengthLimitError>) =>
        {
            Err(too_large())
        }
        Ok(Err(error)) => Err(Rejected(
            StatusCode::BAD_REQUEST,
            "BodyUnreadable",
            format!("the body cannot be read: {error}"),
        )),
        Err(_) => {
            let problem = format!("the body took longer than {BODY_TIMEOUT:?}");
            Err(Rejected(
                StatusCode::REQUEST_TIMEOUT,
                "BodyTimeout",
                problem,
            ))
        }
    }
}

fn text(value: Option<&HeaderValue>) -> &str {
    let text = value.and_then(|value| value.to_str().ok());
    text.unwrap_or_default()
}

fn too_large() -> Rejected {
    let problem = format!("the body is larger than {BODY_MAX} bytes");
    Rejected(StatusCode::PAYLOAD_TOO_LARGE, "BodyTooLarge", problem)
}

/// The object of a decision, by its name where it has one that could be read.
#[derive(Clone, Copy)]
pub(super) enum Object<'a> {
    Pod(Option<&'a str>),
    Team(Option<&'a str>),
}

/// Logs a denial.
pub(super) fn denied(
    app: &App,
    request: &Request<'_>,
    object: Object<'_>,
    denial: Denial,
) -> Decision {
    if let Some(held_back) = may_log(app) {
        let (pod, team) = match object {
            Object::Pod(name) => (name, None),
            Object::Team(name) => (None, name),
        };
        tracing::warn!(
            decision = "denied",
            reason = denial.word,
            uid = request.uid,
            namespace = %Named(request.namespace()),
            pod = pod.map(|name| display(Named(name))),
            team = team.map(|name| display(Named(name))),
            message = denial.message,
            held_back,
        );
    }
    Decision::Denied(denial)
}

/// Whether a decision is logged, and how many were not since the last one that was.
pub(super) fn may_log(app: &App) -> Option<u64> {
    app.log_throttle.pass(unix_seconds(), LOGGED_PER_SECOND)
}
