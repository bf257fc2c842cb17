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

pub(super) fn mutate(
    State(app): State<Arc<App>>,
    request: HttpRequest<Body>,
) -> impl Future<Output = Response> {
    review::answer(app, request, decide)
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
    let namespace = request.namespace();
    let judged = match judge(app, namespace, pod, &target) {
        // In a box: few reviews come here, and the state of a request to the cluster would be moved for all of them.
        Err(reason) if reason.depends_on_team() => {
            Box::pin(judge_live(app, namespace, pod, &target, reason)).await
        }
        judged => judged,
    };
    match judged {
        Ok(injection) => {
            if !injection.is_empty()
                && let Some(held_back) = may_log(app)
            {
                tracing::info!(
                    decision = "injected",
                    uid = request.uid,
                    namespace = %Named(namespace),
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

/// Makes the patch by what the cache says of the team.
fn judge(
    app: &App,
    namespace: &str,
    pod: &Pod<'_>,
    target: &Target<'_>,
) -> Result<Arc<Prepared>, Reason> {
    match app.teams.index.get(namespace, target.team) {
        Some(team) => prepare(app, pod, target, &team),
        None => Err(target.team_not_found(namespace, &app.settings.keys)),
    }
}

/// The same by what the cluster says, which is asked before a Pod is denied: the team may be a moment younger than the
/// watch, and a Pod made right after its team is not refused. `reason` is why the Pod would be denied otherwise.
async fn judge_live(
    app: &App,
    namespace: &str,
    pod: &Pod<'_>,
    target: &Target<'_>,
    reason: Reason,
) -> Result<Arc<Prepared>, Reason> {
    let found = app.teams.look_up(namespace, target.team).await;
    app.metrics.looked_up(match &found {
        Ok(Some(_)) => "found",
        Ok(None) => "missing",
        Err(_) => "failed",
    });
    match (found, reason) {
        (Ok(Some(team)), _) => prepare(app, pod, target, &team),
        (Err(LookupFailed(problem)), Reason::TeamNotFound { .. }) => {
            Err(Reason::TeamLookupFailed {
                team: target.team.to_owned(),
                namespace: namespace.to_owned(),
                problem,
            })
        }
        (_, reason) => Err(reason),
    }
}

/// Makes the patch, or finds it among the answers that were given.
fn prepare(
    app: &App,
    pod: &Pod<'_>,
    target: &Target<'_>,
    team: &Arc<Team>,
) -> Result<Arc<Prepared>, Reason> {
    let server = app.server_version.load().as_deref().copied();
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
}

fn denied(app: &App, request: &Request<'_>, pod: Option<&Pod<'_>>, reason: Reason) -> Decision {
    review::denied(
        app,
        request,
        Object::Pod(pod.map(Pod::display_name)),
        reason.into(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `handler` keeps of a request while it waits, in bytes.
    fn kept<F: Future>(_handler: impl Fn(State<Arc<App>>, HttpRequest<Body>) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn little_is_moved_for_each_request() {
        assert!(kept(mutate) <= 768, "{}", kept(mutate));
    }
}
