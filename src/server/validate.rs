//! `POST /validate`: refuses teams whose Pods would be denied.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::Request as HttpRequest;
use axum::response::Response;

use super::App;
use super::review::{self, Object};
use crate::admission::{Decision, Denial, Request};
use crate::validation::{Judgement, Refusal};

pub(super) fn validate(
    State(app): State<Arc<App>>,
    request: HttpRequest<Body>,
) -> impl Future<Output = Response> {
    review::answer(app, request, async |app: &App, request: &Request<'_>| {
        decide(app, request)
    })
}

/// What becomes of a request.
fn decide(app: &App, request: &Request<'_>) -> Decision {
    let team = match request.team(&app.settings.group) {
        Ok(Some(team)) => team,
        Ok(None) => return Decision::Skipped,
        Err(refusal) => return review::denied(app, request, Object::Team(None), refusal.into()),
    };
    let server = app.server_version.load().as_deref().copied();
    let Judgement { problems, warnings } = Judgement::of(&team, &app.settings, server);
    if problems.is_empty() {
        return Decision::Valid(warnings);
    }
    let denial = Denial {
        warnings,
        ..Refusal::InvalidTeam(problems).into()
    };
    review::denied(app, request, Object::Team(Some(&team.name)), denial)
}
