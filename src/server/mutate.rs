//! `POST /mutate`: a review in, a review out.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Request as HttpRequest, StatusCode, Version, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use bytes::Bytes;
use http_body_util::LengthLimitError;
use tokio::time::timeout;

use super::App;
use crate::admission::{Decision, Request};
use crate::inject::pod::Pod;
use crate::inject::{Injection, Reason, Target, inject};
use crate::names::{Named, Shown};
use crate::team::Team;
use crate::teams::LookupFailed;

/// The largest review: objects reach 3 MiB, a review can carry two of them, and its own fields.
pub const BODY_MAX: usize = 7 << 20;

/// How long a body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// How many decisions a second are logged.
const LOGGED_PER_SECOND: u64 = 50;

/// The routes of the webhook's port.
pub fn routes(app: Arc<App>) -> Router {
    Router::new().route("/mutate", post(mutate)).with_state(app)
}

/// A request that is no review, and what its sender is told.
struct Rejected(StatusCode, &'static str, String);

async fn mutate(State(app): State<Arc<App>>, request: HttpRequest<Body>) -> Response {
    let (head, body) = request.into_parts();
    let body = match read(&head.headers, body).await {
        Ok(body) => body,
        Err(rejected) => return reject(&app, rejected, Instant::now()),
    };
    let started = Instant::now();
    let request = match Request::read(&body) {
        Ok(request) => request,
        Err(error) => {
            let rejected = Rejected(
                StatusCode::BAD_REQUEST,
                "MalformedReview",
                error.to_string(),
            );
            return reject(&app, rejected, started);
        }
    };
    let decision = decide(&app, &request).await;
    let reason = if let Decision::Denied(reason) = &decision {
        reason.word()
    } else {
        ""
    };
    app.metrics
        .answered(decision.word(), reason, started.elapsed());

    let mut response = decision.to_review(&request.uid).into_response();
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    if head.version < Version::HTTP_2 && app.draining.load(Ordering::Relaxed) {
        // The client goes on using a connection for as long as it is open, and this process is about to end.
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
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

/// Reads the body of a request that says it is JSON.
async fn read(headers: &HeaderMap, body: Body) -> Result<Bytes, Rejected> {
    let text = |name: header::HeaderName| {
        headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    };
    let content_type = text(header::CONTENT_TYPE);
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    if !media_type.eq_ignore_ascii_case("application/json") {
        let problem = format!(
            "the content type is {}; send application/json",
            Shown(content_type)
        );
        return Err(Rejected(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "ContentType",
            problem,
        ));
    }
    let encoding = text(header::CONTENT_ENCODING);
    if headers.contains_key(header::CONTENT_ENCODING) && !encoding.eq_ignore_ascii_case("identity")
    {
        let problem = format!(
            "the content encoding is {}; send the body as it is",
            Shown(encoding)
        );
        return Err(Rejected(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "ContentEncoding",
            problem,
        ));
    }
    let too_large = || {
        let problem = format!("the body is larger than {BODY_MAX} bytes");
        Rejected(StatusCode::PAYLOAD_TOO_LARGE, "BodyTooLarge", problem)
    };
    if text(header::CONTENT_LENGTH)
        .parse::<usize>()
        .is_ok_and(|length| length > BODY_MAX)
    {
        return Err(too_large());
    }
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

/// What becomes of a request.
async fn decide(app: &App, request: &Request<'_>) -> Decision {
    let pod = match request.pod() {
        Ok(Some(pod)) => pod,
        Ok(None) => return Decision::Skipped,
        Err(reason) => return denied(app, request, None, reason),
    };
    let target = match Target::of(&pod, &app.settings.keys) {
        Ok(Some(target)) => target,
        Ok(None) => return Decision::Skipped,
        Err(reason) => return denied(app, request, Some(&pod), reason),
    };
    match judge(app, request.namespace(), &pod, &target).await {
        Ok(injection) => {
            if !injection.patch.is_empty() && may_log(app).is_some() {
                tracing::info!(
                    decision = "injected",
                    uid = request.uid,
                    namespace = %Named(request.namespace()),
                    pod = %Named(pod.display_name()),
                    team = target.team,
                    agent = injection.agent,
                    skills = injection.skills.len(),
                    "admission"
                );
            }
            Decision::Allowed(injection)
        }
        Err(reason) => denied(app, request, Some(&pod), reason),
    }
}

/// Finds the team and makes the patch.
///
/// What the cache says is enough to inject. To deny, the cluster itself is asked: the team may be a moment younger than
/// the watch, and a Pod made right after its team is not refused.
async fn judge(
    app: &App,
    namespace: &str,
    pod: &Pod<'_>,
    target: &Target<'_>,
) -> Result<Injection, Reason> {
    let server = app.server_version.load().as_deref().copied();
    let with = |team: &Team| inject(pod, target, team, &app.settings, server);
    let Some(cached) = app.teams.index.get(namespace, target.team) else {
        return match look_up(app, namespace, target.team).await {
            Ok(Some(team)) => with(&team),
            Ok(None) => Err(target.team_not_found(namespace, &app.settings.keys)),
            Err(LookupFailed(problem)) => Err(Reason::TeamLookupFailed {
                team: target.team.to_owned(),
                namespace: namespace.to_owned(),
                problem,
            }),
        };
    };
    match with(&cached) {
        Err(reason) if reason.depends_on_team() => match look_up(app, namespace, target.team).await
        {
            Ok(Some(team)) if team != cached => with(&team),
            _ => Err(reason),
        },
        result => result,
    }
}

async fn look_up(
    app: &App,
    namespace: &str,
    name: &str,
) -> Result<Option<Arc<Team>>, LookupFailed> {
    let found = app.teams.look_up(namespace, name).await;
    app.metrics.looked_up(match &found {
        Ok(Some(_)) => "found",
        Ok(None) => "missing",
        Err(_) => "failed",
    });
    found
}

fn denied(app: &App, request: &Request<'_>, pod: Option<&Pod<'_>>, reason: Reason) -> Decision {
    if let Some(held_back) = may_log(app) {
        tracing::warn!(
            decision = "denied",
            reason = reason.word(),
            uid = request.uid,
            namespace = %Named(request.namespace()),
            pod = pod.map(|pod| tracing::field::display(Named(pod.display_name()))),
            message = %reason,
            held_back,
        );
    }
    Decision::Denied(reason)
}

/// Whether a decision is logged, and how many were not since the last one that was.
fn may_log(app: &App) -> Option<u64> {
    let second = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |elapsed| elapsed.as_secs());
    app.log_throttle.pass(second, LOGGED_PER_SECOND)
}
