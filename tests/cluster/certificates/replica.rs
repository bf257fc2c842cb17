//! A replica in this process, for tests that set its clock.

use std::net::SocketAddr;
use std::sync::Arc;

use agentteam_webhook::certs::Served;
use agentteam_webhook::certs::self_signed::{SelfSigned, Settings};
use agentteam_webhook::cli::settings::SettingsArgs;
use agentteam_webhook::server::listen::{Server, tls};
use agentteam_webhook::server::{App, routes};
use agentteam_webhook::teams::Teams;
use clap::Parser;
use tokio::task::JoinHandle;

use super::stage::{SECRET, Stage};

#[derive(Parser)]
struct Flags {
    #[command(flatten)]
    settings: SettingsArgs,
}

pub struct Replica {
    pub address: SocketAddr,
    pub served: Arc<Served>,
    tasks: [JoinHandle<()>; 2],
}

impl Replica {
    /// Starts one of the stage's account, as `change` makes it.
    pub async fn start(stage: &Stage, change: impl FnOnce(SelfSigned) -> SelfSigned) -> Self {
        let client = stage.rig.client_as(&stage.kubeconfig).await;
        let settings = Settings {
            namespace: stage.namespace.clone(),
            secret: SECRET.to_owned(),
            configuration: stage.configuration.clone(),
            names: vec![stage.service()],
        };
        let keeper = change(SelfSigned::new(client, settings));
        let served = keeper.served();
        let teams = Teams {
            index: Arc::default(),
            sync: Arc::default(),
            live: None,
        };
        teams.sync.done();
        let flags = Flags::parse_from(["test"]);
        let app = App::new(
            flags.settings.settings().unwrap(),
            teams,
            Arc::clone(&served),
        );
        let listener = Server::bind(
            "127.0.0.1:0".parse().unwrap(),
            Some(tls(served.clone()).unwrap()),
            routes(Arc::new(app)),
            64,
            <_>::default(),
        )
        .unwrap();
        let address = listener.address().unwrap();
        let tasks = [
            tokio::spawn(keeper.run()),
            tokio::spawn(listener.serve(std::future::pending())),
        ];
        Self {
            address,
            served,
            tasks,
        }
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}
