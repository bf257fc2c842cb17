//! `serve`: the webhook.

use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use kube::Client;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::settings::SettingsArgs;
use super::tls::TlsArgs;
use crate::controller::Controller;
use crate::controller::lease::{self, Candidate};
use crate::server::listen::{Server, tls};
use crate::server::{self, App, admin};
use crate::teams::cluster::{self, Live};
use crate::teams::{Teams, directory};
use crate::telemetry::{self, LogFormat};

/// How often the API server is asked for its version: it may be upgraded under us.
const VERSION_INTERVAL: Duration = Duration::from_mins(5);

/// How long the version is waited for at the start. A server that does not say it must not keep teams from being known.
const VERSION_PATIENCE: Duration = Duration::from_secs(2);

/// How many connections the admin port has at once.
const ADMIN_CONNECTIONS_MAX: usize = 64;

/// Answer the API server's admission reviews
///
/// Teams come from a watch of the cluster that the kubeconfig or the Pod's own ServiceAccount leads to, or with
/// --teams from files. With no certificate given, one is made in memory.
#[derive(Debug, Args)]
pub struct Serve {
    /// The address of the webhook (HTTPS)
    #[arg(
        long,
        env = "AGENTTEAM_WEBHOOK_LISTEN",
        value_name = "ADDRESS",
        default_value = "0.0.0.0:8443"
    )]
    listen: SocketAddr,

    /// The address of /livez, /readyz and /metrics (HTTP)
    #[arg(
        long,
        env = "AGENTTEAM_WEBHOOK_ADMIN_LISTEN",
        value_name = "ADDRESS",
        default_value = "0.0.0.0:8080"
    )]
    admin_listen: SocketAddr,

    /// Read teams from this file, or this directory's .yaml, .yml and .json files, instead of a cluster
    #[arg(long, env = "AGENTTEAM_WEBHOOK_TEAMS", value_name = "PATH")]
    teams: Option<PathBuf>,

    /// The most connections to the webhook at once; more wait until one is closed
    #[arg(long, env = "AGENTTEAM_WEBHOOK_MAX_CONNECTIONS", value_name = "NUMBER", default_value_t = 2048, value_parser = connections)]
    max_connections: usize,

    /// How long to go on answering after SIGTERM, in seconds, while clients learn that this server ends
    #[arg(
        long,
        env = "AGENTTEAM_WEBHOOK_DRAIN_SECONDS",
        value_name = "SECONDS",
        default_value_t = 5
    )]
    drain_seconds: u64,

    /// Judge teams and write conditions and events, when this process is the leader
    #[arg(long, env = "AGENTTEAM_WEBHOOK_CONTROLLER", value_name = "BOOL", default_value_t = true,
          action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    controller: bool,

    #[command(flatten)]
    tls: TlsArgs,

    #[command(flatten)]
    settings: SettingsArgs,

    #[command(flatten)]
    log: LogArgs,
}

/// Logs.
#[derive(Args, Debug)]
#[command(next_help_heading = "Logs")]
struct LogArgs {
    /// A level (error, warn, info, debug, trace), or directives such as info,agentteam_webhook=debug
    #[arg(
        long,
        env = "AGENTTEAM_WEBHOOK_LOG",
        value_name = "FILTER",
        default_value = "info"
    )]
    log: String,

    /// How a line of the log on stderr looks
    #[arg(
        long,
        env = "AGENTTEAM_WEBHOOK_LOG_FORMAT",
        value_name = "FORMAT",
        default_value = "json"
    )]
    log_format: LogFormat,
}

impl Serve {
    /// Serves until SIGTERM or SIGINT.
    ///
    /// # Errors
    /// When it cannot start.
    pub fn run(self) -> Result<ExitCode> {
        telemetry::start(&self.log.log, self.log.log_format)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()?;
        runtime.block_on(self.serve())?;
        runtime.shutdown_background();
        Ok(ExitCode::SUCCESS)
    }

    async fn serve(self) -> Result<()> {
        let settings = self.settings.settings()?;
        if settings.puller.image.is_unsafe_oras() {
            tracing::warn!(
                image = %settings.puller.image,
                "this ORAS has known security holes; set --skill-puller-image to v1.3.3 or newer"
            );
        }
        let cluster = if self.teams.is_none() || self.tls.needs_cluster() {
            Some(client().await?)
        } else {
            None
        };
        let certificate = self.tls.certificate(cluster.as_ref())?;
        // With teams from files, all else is done without a cluster.
        let client = cluster.filter(|_| self.teams.is_none());
        let live = client
            .clone()
            .map(|client| Live::new(client, &self.settings.api_group));
        let teams = Teams {
            index: Arc::default(),
            sync: Arc::default(),
            live,
        };
        let app = Arc::new(App::new(settings, teams, certificate));
        app.server_version
            .store(self.settings.server_version.map(Arc::new));
        let (ended, end) = tokio::sync::watch::channel(());
        let controller = client.clone().filter(|_| self.controller);
        let campaign = controller.map(|client| self.control(client, &app, closed(end.clone())));
        self.feed(&app, client);

        let acceptor = tls(app.certificate.clone())?;
        let open = app.metrics.connections.clone();
        let routes = server::routes(Arc::clone(&app));
        let webhook = Server::bind(
            self.listen,
            Some(acceptor),
            routes,
            self.max_connections,
            open,
        )
        .with_context(|| format!("--listen {} cannot be opened", self.listen))?;
        let routes = admin::routes(Arc::clone(&app));
        let admin = Server::bind(
            self.admin_listen,
            None,
            routes,
            ADMIN_CONNECTIONS_MAX,
            <_>::default(),
        )
        .with_context(|| format!("--admin-listen {} cannot be opened", self.admin_listen))?;
        tracing::info!(address = %webhook.address()?, admin = %admin.address()?, "listening");

        let admin = tokio::spawn(admin.serve(closed(end)));
        webhook
            .serve(end_of_service(
                Arc::clone(&app),
                Duration::from_secs(self.drain_seconds),
            )?)
            .await;
        drop(ended);
        if let Some(campaign) = campaign {
            campaign.await?;
        }
        admin.await?;
        tracing::info!("stopped");
        Ok(())
    }

    /// Starts the tasks that keep teams and version as they are in the cluster or in the files.
    fn feed(&self, app: &Arc<App>, client: Option<Client>) {
        let (index, sync) = (Arc::clone(&app.teams.index), Arc::clone(&app.teams.sync));
        let group = self.settings.api_group.clone();
        match (&self.teams, client) {
            (Some(path), _) => {
                let bad_files = Arc::clone(&app.invalid_team_files);
                tokio::spawn(directory::watch(
                    path.clone(),
                    group,
                    index,
                    sync,
                    bad_files,
                ));
            }
            (None, Some(client)) => {
                let ask = self.settings.server_version.is_none();
                let app = Arc::clone(app);
                tokio::spawn(async move {
                    let last_event = Arc::clone(&app.last_event);
                    if ask {
                        // Before the first Pod is answered: some of what it gets depends on the version.
                        let _ = timeout(VERSION_PATIENCE, learn_version(&client, &app)).await;
                        tokio::spawn(follow_version(client.clone(), app));
                    }
                    cluster::watch(client, group, index, sync, last_event).await;
                });
            }
            (None, None) => {}
        }
    }
}

impl Serve {
    /// Starts the controller and its campaign for the lease; the task that ends when the lease is given up, which it is
    /// when `end` resolves.
    fn control(
        &self,
        client: Client,
        app: &Arc<App>,
        end: impl Future<Output = ()> + Send + 'static,
    ) -> JoinHandle<()> {
        let namespace = client.default_namespace().to_owned();
        let host = std::env::var("HOSTNAME").unwrap_or_else(|_| "localhost".to_owned());
        let candidate = Candidate::new(client.clone(), namespace, lease::NAME.to_owned(), &host);
        let (leadership, campaign) = candidate.campaign(end);
        let controller = Controller {
            client,
            group: self.settings.api_group.clone(),
            app: Arc::clone(app),
        };
        tokio::spawn(controller.run(leadership));
        tokio::spawn(campaign)
    }
}

async fn client() -> Result<Client> {
    let config = kube::Config::infer().await.context(
        "no cluster is configured; set KUBECONFIG, or serve teams from files with --teams",
    )?;
    Client::try_from(config).context("the cluster's configuration cannot be used")
}

/// Asks for the version again and again: servers are upgraded.
async fn follow_version(client: Client, app: Arc<App>) {
    loop {
        let known = app.server_version.load().is_some();
        tokio::time::sleep(if known {
            VERSION_INTERVAL
        } else {
            Duration::from_secs(5)
        })
        .await;
        learn_version(&client, &app).await;
    }
}

async fn learn_version(client: &Client, app: &App) {
    match client.apiserver_version().await {
        Ok(info) => match format!("{}.{}", info.major, info.minor).parse() {
            Ok(version) => app.server_version.store(Some(Arc::new(version))),
            Err(error) => tracing::warn!(%error, "the API server's version is not understood"),
        },
        Err(error) => tracing::warn!(%error, "the API server did not say its version"),
    }
}

/// Resolves when the sender is gone.
async fn closed(mut receiver: tokio::sync::watch::Receiver<()>) {
    while receiver.changed().await.is_ok() {}
}

/// Resolves when the webhook should close: at once for a person's Ctrl-C, and after SIGTERM when clients had time to
/// learn that this server is not ready any more.
fn end_of_service(app: Arc<App>, drain: Duration) -> Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        let patience = tokio::select! {
            _ = terminate.recv() => drain,
            _ = interrupt.recv() => Duration::ZERO,
        };
        tracing::info!(seconds = patience.as_secs(), "draining");
        app.draining.store(true, Ordering::Relaxed);
        tokio::time::sleep(patience).await;
    })
}

fn connections(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number @ 1..=65_536) => Ok(number),
        _ => Err("it must be a number from 1 to 65536".to_owned()),
    }
}
