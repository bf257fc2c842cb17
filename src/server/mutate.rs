//! `POST /mutate`: gives Pods their skills.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::Request as HttpRequest;
use axum::response::Response;

use super::App;
use super::review::{self, Object, may_log};
use crate::admission::{Decision, Prepared, Request};
use crate::inject::pod::Pod;
use crate::inject::{Fresh, Reason, Target, inject};
use crate::names::Named;
use crate::team::Team;
use crate::teams::LookupFailed;

pub(super) async fn mutate(
    State(app): State<Arc<App>>,
    mut request: HttpRequest<Body>,
) -> Response {
    review::answer(&app, &mut request, decide).await
}

/// What becomes of a request.
async fn decide(app: &App, request: &Request<'_>) -> Decision {
    let pod = match request.pod() {
        Ok(Some(pod)) => pod,
        Ok(None) => return Decision::Skipped,
        Err(reason) => return denied(app, request, None, reason),
    };
    let target = match Target::of(pod, &app.settings.keys) {
        Ok(Some(target)) => target,
        Ok(None) => return Decision::Skipped,
        Err(reason) => return denied(app, request, Some(pod), reason),
    };
    match judge(app, request.namespace(), pod, &target).await {
        Ok(injection) => {
            if !injection.is_empty()
                && let Some(held_back) = may_log(app)
            {
                tracing::info!(
                    decision = "injected",
                    uid = &*request.uid,
                    namespace = %Named(request.namespace()),
                    pod = %Named(pod.display_name()),
                    team = target.team,
                    agent = &*injection.agent,
                    skills = injection.skills,
                    held_back,
                    "admission"
                );
            }
            Decision::Allowed(injection)
        }
        Err(reason) => denied(app, request, Some(pod), reason),
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
) -> Result<Arc<Prepared>, Reason> {
    let server = app.server_version.load().as_deref().copied();
    let with = |team: &Arc<Team>| {
        let fresh = Fresh::of(pod, target, team, &app.settings, server);
        if let Some(given) = fresh.and_then(|fresh| app.answers.get(team, fresh)) {
            return Ok(given);
        }
        let injection = inject(pod, target, team, &app.settings, server)?;
        let prepared = Arc::new(Prepared::from(&injection));
        if let Some(fresh) = fresh {
            app.answers.keep(team, fresh, &prepared);
        }
        Ok(prepared)
    };
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
    // In a box of its own: the state of a request to the cluster would be most of what is moved for each review.
    let found = Box::pin(app.teams.look_up(namespace, name)).await;
    app.metrics.looked_up(match &found {
        Ok(Some(_)) => "found",
        Ok(None) => "missing",
        Err(_) => "failed",
    });
    found
}

fn denied(app: &App, request: &Request<'_>, pod: Option<&Pod<'_>>, reason: Reason) -> Decision {
    review::denied(
        app,
        request,
        Object::Pod(pod.map(Pod::display_name)),
        reason.into(),
    )
}
