//! The internal port: what the processes of a fleet ask of one another.

use anyhow::Context as _;
use api::Peers;
use axum::Router;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::config::Config;

/// The port, bound, and the fleet as this process knows it.
pub struct Internal {
    listener: TcpListener,
    peers: Peers,
}

impl Internal {
    /// On a port that was bound as the settings say.
    pub fn new(config: &Config, listener: TcpListener) -> anyhow::Result<Self> {
        let address = match &config.internal_address {
            Some(address) => address.clone(),
            None => listener.local_addr()?.to_string(),
        };
        let peers = Peers::new(&address, &config.internal_secret).context("a client for the peers")?;
        Ok(Self { listener, peers })
    }

    /// The fleet.
    pub fn peers(&self) -> &Peers {
        &self.peers
    }

    /// Serves the modules' internal routes until `until` is cancelled.
    pub async fn serve(self, routes: Router, until: CancellationToken) -> std::io::Result<()> {
        axum::serve(self.listener, self.peers.guard(routes))
            .with_graceful_shutdown(until.cancelled_owned())
            .await
    }
}
