//! A session, and how one is made: its connection is driven here, so that what the server warns of reaches whoever commits.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use deadpool::managed::{self, Metrics, RecycleError, RecycleResult};
use deadpool_postgres::ClientWrapper;
use tokio_postgres::error::{DbError as Said, Severity};
use tokio_postgres::{AsyncMessage, Config, NoTls};

/// Makes a pool's sessions.
pub(super) struct Sessions {
    /// Where to and as whom.
    pub config: Config,
}

/// One session with its prepared statements.
pub(super) struct Session {
    pub client: ClientWrapper,
    has_warned: Arc<AtomicBool>,
}

impl Session {
    /// Whether the server has warned since this was last asked. What it said before an answer counts when that is read.
    pub(super) fn take_warning(&self) -> bool {
        self.has_warned.swap(false, Ordering::AcqRel)
    }
}

impl managed::Manager for Sessions {
    type Type = Session;
    type Error = tokio_postgres::Error;

    async fn create(&self) -> Result<Session, tokio_postgres::Error> {
        let (client, mut connection) = self.config.connect(NoTls).await?;
        let has_warned = Arc::new(AtomicBool::new(false));
        let warned = has_warned.clone();
        let driver = tokio::spawn(async move {
            while let Some(message) = poll_fn(|cx| connection.poll_message(cx)).await {
                match message {
                    Ok(AsyncMessage::Notice(said)) if is_warning(&said) => {
                        warned.store(true, Ordering::Release);
                        tracing::warn!(
                            code = said.code().code(),
                            said = said.message(),
                            "the database warns"
                        );
                    }
                    Ok(_) => {}
                    Err(error) => {
                        tracing::debug!(%error, "a connection ended");
                        return;
                    }
                }
            }
        });
        Ok(Session { client: ClientWrapper::new(client, driver), has_warned })
    }

    async fn recycle(&self, session: &mut Session, _: &Metrics) -> RecycleResult<tokio_postgres::Error> {
        if session.client.is_closed() {
            return Err(RecycleError::message("the connection is closed"));
        }
        Ok(())
    }
}

/// A severity that nobody knows is taken for the worse.
fn is_warning(said: &Said) -> bool {
    let harmless = [Severity::Notice, Severity::Info, Severity::Log, Severity::Debug];
    !said.parsed_severity().is_some_and(|severity| harmless.contains(&severity))
}
