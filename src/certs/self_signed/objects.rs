//! The three objects in the cluster: the Secret, and the two webhook configurations of one name.

use std::future::Future;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::{BoxStream, SelectAll};
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration,
};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, DynamicObject, ObjectMeta, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, PartialObjectMeta};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, watcher};
use kube::{Client, Resource, ResourceExt};
use thiserror::Error;
use tokio::time::timeout;

use super::super::InvalidCertificate;
use super::super::bundle::Look;
use super::super::secret::{Content, TRUSTED_UNTIL};
use crate::teams::cluster::{said, watch_problem};

/// Who writes, as the objects' managed fields say.
const FIELD_MANAGER: &str = "agentteam-webhook";

/// How long an answer is waited for.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// The annotation of a Secret that cert-manager writes.
const CERT_MANAGERS: &str = "cert-manager.io/certificate-name";

/// Why something could not be read or written.
#[derive(Debug, Error)]
pub enum Problem {
    /// The rights are missing.
    #[error("this webhook may not {verb} {object}: {message}")]
    Forbidden {
        /// What was tried.
        verb: &'static str,
        /// On what.
        object: String,
        /// What the API server said.
        message: String,
    },
    /// The API server refused, or was not reached.
    #[error("{object}: {verb}: {said}")]
    Failed {
        /// What was tried.
        verb: &'static str,
        /// On what.
        object: String,
        /// What came of it.
        said: String,
    },
    /// The Secret is another program's.
    #[error(
        "{0} is cert-manager's (annotation {CERT_MANAGERS}); delete it if cert-manager keeps it no more, or name another with --tls-secret, or serve its certificate with --tls-mode files"
    )]
    CertManagers(String),
    /// A certificate cannot be made.
    #[error(transparent)]
    Making(#[from] InvalidCertificate),
}

/// The Secret as it was read or written.
pub struct Stored {
    /// Itself, where there is one.
    pub secret: Option<Secret>,
    /// What it holds.
    pub content: Content,
}

impl Stored {
    fn of(secret: Option<Secret>) -> Self {
        let data = secret.as_ref().and_then(|secret| secret.data.as_ref());
        let until = secret
            .as_ref()
            .and_then(|secret| secret.annotations().get(TRUSTED_UNTIL));
        let content = data.map_or_else(Content::default, |data| {
            Content::read(data, until.map(String::as_str))
        });
        Self { secret, content }
    }

    /// Whether there is something in it, which may be of no use.
    pub fn holds_something(&self) -> bool {
        let data = self.secret.as_ref().and_then(|secret| secret.data.as_ref());
        data.is_some_and(|data| data.values().any(|value| !value.0.is_empty()))
    }
}

/// The objects.
pub struct Objects {
    client: Client,
    namespace: String,
    secret: String,
    configuration: String,
    configurations: [(ApiResource, Api<DynamicObject>); 2],
}

impl Objects {
    /// The Secret `secret` of `namespace`, and the two configurations named `configuration`.
    pub fn new(client: Client, namespace: String, secret: String, configuration: String) -> Self {
        let resources = [
            ApiResource::erase::<MutatingWebhookConfiguration>(&()),
            ApiResource::erase::<ValidatingWebhookConfiguration>(&()),
        ];
        Self {
            configurations: resources
                .map(|resource| (resource.clone(), Api::all_with(client.clone(), &resource))),
            client,
            namespace,
            secret,
            configuration,
        }
    }

    /// The Secret, in words.
    pub fn secret_name(&self) -> String {
        format!("Secret {} in namespace {}", self.secret, self.namespace)
    }

    /// The names of the two configurations, in words.
    pub fn configuration_names(&self) -> [String; 2] {
        self.configurations
            .each_ref()
            .map(|(resource, _)| format!("{} {}", resource.kind, self.configuration))
    }

    /// Something of these objects changed, perhaps.
    pub fn changes(&self) -> SelectAll<BoxStream<'static, ()>> {
        let client = || self.client.clone();
        futures::stream::select_all([
            changes::<Secret>(
                Api::namespaced(client(), &self.namespace),
                &self.secret,
                "secrets",
            ),
            changes::<MutatingWebhookConfiguration>(
                Api::all(client()),
                &self.configuration,
                "mutatingwebhookconfigurations.admissionregistration.k8s.io",
            ),
            changes::<ValidatingWebhookConfiguration>(
                Api::all(client()),
                &self.configuration,
                "validatingwebhookconfigurations.admissionregistration.k8s.io",
            ),
        ])
    }

    /// Reads the Secret.
    pub async fn read(&self) -> Result<Stored, Problem> {
        let secrets = self.secrets();
        let answer = secrets.get_opt(&self.secret).await_for();
        let secret = problem("get", self.secret_name(), answer.await)?;
        if secret
            .as_ref()
            .is_some_and(|secret| secret.annotations().contains_key(CERT_MANAGERS))
        {
            return Err(Problem::CertManagers(self.secret_name()));
        }
        Ok(Stored::of(secret))
    }

    /// Writes `content` into the Secret as it was read. Nothing when another was first.
    pub async fn write(
        &self,
        stored: Stored,
        content: &Content,
    ) -> Result<Option<Stored>, Problem> {
        let exists = stored.secret.is_some();
        let mut secret = stored.secret.unwrap_or_else(|| Secret {
            metadata: ObjectMeta {
                name: Some(self.secret.clone()),
                labels: Some([("app.kubernetes.io/name".into(), FIELD_MANAGER.into())].into()),
                ..ObjectMeta::default()
            },
            type_: Some("kubernetes.io/tls".to_owned()),
            ..Secret::default()
        });
        let data = secret.data.get_or_insert_default();
        data.extend(content.data().map(|(key, value)| (key.to_owned(), value)));
        match content.annotation() {
            Some(until) => {
                let annotations = secret.annotations_mut();
                annotations.insert(TRUSTED_UNTIL.to_owned(), until);
            }
            None => {
                secret.annotations_mut().remove(TRUSTED_UNTIL);
            }
        }
        let params = PostParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..PostParams::default()
        };
        let secrets = self.secrets();
        let (verb, answer) = if exists {
            let answer = secrets.replace(&self.secret, &params, &secret);
            ("update", answer.await_for().await)
        } else {
            ("create", secrets.create(&params, &secret).await_for().await)
        };
        match answer {
            Err(kube::Error::Api(status))
                if status.code == 409 || (status.code == 404 && exists) =>
            {
                Ok(None)
            }
            answer => {
                let secret = problem(verb, self.secret_name(), answer)?;
                Ok(Some(Stored::of(Some(secret))))
            }
        }
    }

    /// Looks at the two configurations. What could not be read is said beside.
    pub async fn look(&self) -> ([Look; 2], Option<Problem>) {
        let [(_, mutating), (_, validating)] = &self.configurations;
        let (mutating, validating) = tokio::join!(
            mutating.get_opt(&self.configuration).await_for(),
            validating.get_opt(&self.configuration).await_for(),
        );
        let mut unread = None;
        let names = self.configuration_names().into_iter();
        let mut looks = [mutating, validating]
            .into_iter()
            .zip(names)
            .map(|(answer, name)| match problem("get", name, answer) {
                Ok(None) => Look::Absent,
                Ok(Some(object)) => Look::at(&serde_json::to_value(object).unwrap_or_default()),
                Err(problem) => {
                    unread = Some(problem);
                    Look::Unknown
                }
            });
        let looks = [(); 2].map(|()| looks.next().unwrap_or(Look::Unknown));
        (looks, unread)
    }

    /// Has each configuration that is ours to keep hold `bundle`.
    pub async fn mend(&self, looks: &[Look; 2], bundle: &str) -> Mended {
        let mut mended = Mended::default();
        let names = self.configuration_names();
        for (((_, api), look), name) in self.configurations.iter().zip(looks).zip(names) {
            let Look::Kept(configuration) = look else {
                continue;
            };
            let Some(patch) = configuration.mend(bundle) else {
                continue;
            };
            let params = PatchParams {
                field_manager: Some(FIELD_MANAGER.to_owned()),
                ..PatchParams::default()
            };
            let patch = Patch::Json::<()>(patch);
            let answer = api.patch(&self.configuration, &params, &patch);
            let answer = answer.await_for().await;
            let changed = |error: &kube::Error| matches!(error, kube::Error::Api(status) if matches!(status.code, 404 | 409 | 422));
            let raced = answer.as_ref().is_err_and(changed);
            match problem("patch", name, answer) {
                Ok(_) => mended.written += 1,
                Err(problem) if raced => mended.raced = Some(problem),
                Err(problem) => mended.problem = Some(problem),
            }
        }
        mended
    }

    fn secrets(&self) -> Api<Secret> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }
}

/// What became of the configurations.
#[derive(Default)]
pub struct Mended {
    /// How many were written.
    pub written: u64,
    /// One was changed since it was looked at, it seems.
    pub raced: Option<Problem>,
    /// One could not be written.
    pub problem: Option<Problem>,
}

trait AwaitFor<T> {
    /// Waits for an answer, but not for ever.
    fn await_for(self) -> impl Future<Output = kube::Result<T>> + Send;
}

impl<T, F: Future<Output = kube::Result<T>> + Send> AwaitFor<T> for F {
    async fn await_for(self) -> kube::Result<T> {
        timeout(REQUEST_TIMEOUT, self).await.unwrap_or_else(|_| {
            let silence = format!("the API server did not answer within {REQUEST_TIMEOUT:?}");
            Err(kube::Error::Service(silence.into()))
        })
    }
}

fn problem<T>(verb: &'static str, object: String, answer: kube::Result<T>) -> Result<T, Problem> {
    answer.map_err(|error| match error {
        kube::Error::Api(status) if status.code == 403 => Problem::Forbidden {
            verb,
            object,
            message: status.message.clone(),
        },
        error => Problem::Failed {
            verb,
            object,
            said: said(&error),
        },
    })
}

/// Resolves to something each time the object may have changed.
fn changes<K>(
    api: Api<PartialObjectMeta<K>>,
    name: &str,
    resource: &'static str,
) -> BoxStream<'static, ()>
where
    K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + Send + Sync + 'static,
{
    let config = watcher::Config::default().fields(&format!("metadata.name={name}"));
    let mut reported = String::new();
    watcher(api, config)
        .default_backoff()
        .filter_map(move |event| {
            let changed = match event {
                Ok(_) => Some(()),
                Err(error) => {
                    let problem = watch_problem(&error, resource);
                    // Once, and not at each attempt.
                    if problem != reported {
                        tracing::warn!(
                            problem,
                            "the watch of {resource} is interrupted; they are looked at all the same"
                        );
                        reported = problem;
                    }
                    None
                }
            };
            futures::future::ready(changed)
        })
        .boxed()
}
