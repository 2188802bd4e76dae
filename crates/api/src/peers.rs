//! Calls between the processes of one fleet, on a port of their own. Both sides know one secret; who knows it is believed
//! about whose request is passed on, so the port is for the fleet alone.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::AUTHORIZATION;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// How long a connection to a peer may take: it is in the same network.
const CONNECT_WITHIN: Duration = Duration::from_millis(500);
/// The largest request of a peer.
const BODY_BYTES_MAX: usize = 4 * 1024 * 1024;
/// The shortest secret that is taken.
pub const SECRET_CHARS_MIN: usize = 16;

/// The other processes of the fleet, as this one sees them. Clones share the connections.
#[derive(Clone)]
pub struct Peers {
    address: Arc<str>,
    secret: Arc<str>,
    http: reqwest::Client,
}

/// Why a call has no answer.
#[derive(Debug, thiserror::Error)]
pub enum PeerError {
    /// The peer can't be reached: it knows nothing of the call.
    #[error("the peer can't be reached")]
    Unreached(#[source] reqwest::Error),
    /// The peer said no: nothing was done there.
    #[error("the peer answered {0}")]
    Refused(StatusCode),
    /// The answer did not come or can't be read: the call may have been carried out.
    #[error("the peer's answer is lost")]
    Lost(#[source] reqwest::Error),
}

impl Peers {
    /// `address` is `host:port` of this process, as its peers reach it.
    pub fn new(address: &str, secret: &str) -> reqwest::Result<Self> {
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT_WITHIN)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()?;
        Ok(Self { address: address.into(), secret: secret.into(), http })
    }

    /// `host:port` of this process.
    pub fn address(&self) -> &Arc<str> {
        &self.address
    }

    /// Posts `body` to a peer and reads its answer, all `within` this time.
    pub async fn call<B: Serialize + ?Sized, A: DeserializeOwned>(
        &self,
        peer: &str,
        path: &str,
        body: &B,
        within: Duration,
    ) -> Result<A, PeerError> {
        let request = self.http.post(format!("http://{peer}{path}")).bearer_auth(&self.secret);
        let answer = request.timeout(within).json(body).send().await.map_err(|error| {
            if error.is_connect() { PeerError::Unreached(error) } else { PeerError::Lost(error) }
        })?;
        match answer.status() {
            status if status.is_success() => answer.json().await.map_err(PeerError::Lost),
            // Whoever fails inside may have done a part of it.
            status if status.is_server_error() && status != StatusCode::SERVICE_UNAVAILABLE => {
                Err(PeerError::Lost(answer.error_for_status().expect_err("it is a server's error")))
            }
            status => Err(PeerError::Refused(status)),
        }
    }

    /// The routes, for those alone who know the secret.
    pub fn guard(&self, routes: Router) -> Router {
        routes
            .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
            .layer(from_fn_with_state(self.clone(), only_peers))
    }
}

impl fmt::Debug for Peers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peers").field("address", &self.address).finish_non_exhaustive()
    }
}

async fn only_peers(State(peers): State<Peers>, request: Request, next: Next) -> Response {
    let sent = request.headers().get(AUTHORIZATION).and_then(|it| it.as_bytes().strip_prefix(b"Bearer "));
    match sent.map(|sent| verify_slices_are_equal(sent, peers.secret.as_bytes())) {
        Some(Ok(())) => next.run(request).await,
        _ => StatusCode::UNAUTHORIZED.into_response(),
    }
}

#[cfg(test)]
mod tests {
    use axum::Json;
    use axum::routing::post;
    use tokio::net::TcpListener;

    use super::*;

    async fn call(from: &Peers, to: &str, path: &str) -> Result<u64, PeerError> {
        from.call(to, path, &20, Duration::from_secs(5)).await
    }

    #[tokio::test]
    async fn a_peer_is_answered_and_a_stranger_is_not() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let peers = Peers::new(&address, "a secret of the fleet").unwrap();
        let double = post(async |Json(n): Json<u64>| Json(n * 2));
        let routes = Router::new()
            .route("/double", double)
            .route("/broken", post(async || StatusCode::INTERNAL_SERVER_ERROR))
            .route("/not-here", post(async || StatusCode::MISDIRECTED_REQUEST));
        let serving = tokio::spawn(axum::serve(listener, peers.guard(routes)).into_future());

        assert_eq!(call(&peers, &address, "/double").await.unwrap(), 40);
        let stranger = Peers::new("nowhere", "a secret of the fleeT").unwrap();
        let refused = call(&stranger, &address, "/double").await;
        assert!(matches!(refused, Err(PeerError::Refused(StatusCode::UNAUTHORIZED))), "{refused:?}");
        let refused = call(&peers, &address, "/not-here").await;
        assert!(matches!(refused, Err(PeerError::Refused(StatusCode::MISDIRECTED_REQUEST))), "{refused:?}");
        assert!(matches!(call(&peers, &address, "/broken").await, Err(PeerError::Lost(_))));
        assert!(!format!("{peers:?}").contains("secret of"));

        serving.abort();
        assert!(serving.await.is_err());
        let fresh = Peers::new("nowhere", "a secret of the fleet").unwrap();
        assert!(matches!(call(&fresh, &address, "/double").await, Err(PeerError::Unreached(_))));
    }
}
