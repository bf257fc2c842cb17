//! The same injection without an API server: documents in, documents and a report out. No I/O.
//!
//! Every Pod and every Pod template is found by its shape, whatever the kind around it is: a Deployment, a Job, a
//! List of them, or a custom resource that holds a template at one of the usual places.

use std::fmt::{self, Display, Formatter};

use bumpalo::Bump;
use serde_json::Value;

use crate::inject::pod::Pod;
use crate::inject::{Injection, Reason, ServerVersion, Settings, Target, inject};
use crate::json::reader::Reader;
use crate::names::Listed;
use crate::teams::Index;
use crate::yaml;

/// Where objects other than Pods hold a Pod template.
const TEMPLATES: [&str; 3] = [
    "/spec/template",
    "/spec/jobTemplate/spec/template",
    "/template",
];

/// What injection depends on besides the documents.
pub struct Context<'a> {
    /// The teams.
    pub teams: &'a Index,
    /// The namespace of objects that name none.
    pub namespace: &'a str,
    /// What an administrator set.
    pub settings: &'a Settings,
    /// The version of the API server, where it is known.
    pub server: Option<ServerVersion>,
}

/// What became of a stream of documents.
#[derive(Debug, Default)]
pub struct Outcome {
    /// The documents: byte for byte as they came, but for those that were injected.
    pub output: String,
    /// One entry for each Pod and Pod template.
    pub report: Vec<Entry>,
}

/// What became of one Pod or Pod template.
#[derive(Debug)]
pub struct Entry {
    /// Kind and name of the object that holds it.
    pub object: String,
    /// The line that its document begins at.
    pub line: usize,
    /// What became of it; nothing where it names no team.
    pub result: Option<Result<Done, Reason>>,
}

/// An injection, and the team it was made from.
#[derive(Debug)]
pub struct Done {
    /// The team.
    pub team: String,
    /// What was injected.
    pub injection: Injection,
}

impl Outcome {
    /// Whether anything was denied.
    #[must_use]
    pub fn is_denied(&self) -> bool {
        self.report
            .iter()
            .any(|entry| matches!(entry.result, Some(Err(_))))
    }
}

impl Display for Entry {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} (line {}): ", self.object, self.line)?;
        let Done { team, injection } = match &self.result {
            None => return write!(formatter, "skipped: it names no AgentTeam, or opted out"),
            Some(Err(reason)) => return write!(formatter, "denied: {}: {reason}", reason.word()),
            Some(Ok(done)) => done,
        };
        let agent = &injection.agent;
        if injection.patch.is_empty() {
            write!(
                formatter,
                "unchanged: it has every skill of agent {agent} of AgentTeam {team}"
            )?;
        } else {
            let (container, skills) = (&injection.container, Listed(injection.skills.iter()));
            write!(
                formatter,
                "injected: agent {agent} of AgentTeam {team}, container {container}, skills: {skills}"
            )?;
        }
        injection
            .warnings
            .iter()
            .try_for_each(|warning| write!(formatter, "\n  warning: {warning}"))
    }
}

/// Injects into every Pod and Pod template of `input`.
///
/// # Errors
/// When a document is not YAML or JSON.
pub fn run(input: &str, context: &Context<'_>) -> Result<Outcome, yaml::Error> {
    let mut outcome = Outcome::default();
    for document in yaml::documents(input) {
        let mut object = document.parse()?;
        let before = outcome.report.len();
        visit(&mut object, context, document.line, &mut outcome.report);
        let added = outcome.report.get(before..).unwrap_or_default();
        if added.iter().any(Entry::is_changed) {
            outcome.output.push_str(&document.with(&object));
        } else {
            outcome.output.push_str(document.text);
        }
    }
    Ok(outcome)
}

impl Entry {
    fn is_changed(&self) -> bool {
        matches!(&self.result, Some(Ok(done)) if !done.injection.patch.is_empty())
    }
}

fn visit(object: &mut Value, context: &Context<'_>, line: usize, report: &mut Vec<Entry>) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let kind = text(&object["kind"]);
    if let (true, Some(items)) = (
        kind.ends_with("List"),
        object.get_mut("items").and_then(Value::as_array_mut),
    ) {
        for item in items {
            visit(item, context, line, report);
        }
        return;
    }
    let metadata = &object["metadata"];
    let name = [&metadata["name"], &metadata["generateName"]]
        .into_iter()
        .find_map(Value::as_str)
        .unwrap_or_default();
    let described = format!("{}/{name}", kind.to_lowercase());
    let namespace = metadata["namespace"]
        .as_str()
        .filter(|name| !name.is_empty())
        .unwrap_or(context.namespace)
        .to_owned();
    let pods: &[&str] = if kind == "Pod" { &[""] } else { &TEMPLATES };
    for pointer in pods {
        let Some(pod) = object
            .pointer_mut(pointer)
            .filter(|pod| pod.pointer("/spec/containers").is_some_and(Value::is_array))
        else {
            continue;
        };
        let result = inject_one(pod, &namespace, context);
        report.push(Entry {
            object: described.clone(),
            line,
            result,
        });
    }
}

fn inject_one(
    value: &mut Value,
    namespace: &str,
    context: &Context<'_>,
) -> Option<Result<Done, Reason>> {
    let done = {
        let (text, arena) = (value.to_string(), Bump::new());
        let pod = match Pod::read(&mut Reader::new(&text, &arena)) {
            Ok(pod) => pod,
            Err(error) => return Some(Err(Reason::MalformedPod(error.what()))),
        };
        let target = match Target::of(&pod, &context.settings.keys) {
            Ok(target) => target?,
            Err(reason) => return Some(Err(reason)),
        };
        let Some(team) = context.teams.get(namespace, target.team) else {
            return Some(Err(target.team_not_found(namespace, &context.settings.keys)));
        };
        match inject(&pod, &target, &team, context.settings, context.server) {
            Ok(injection) => Done {
                team: team.name.to_string(),
                injection,
            },
            Err(reason) => return Some(Err(reason)),
        }
    };
    Some(match done.injection.patch.apply(value) {
        Ok(()) => Ok(done),
        Err(error) => Err(Reason::MalformedPod(error.to_string())),
    })
}
