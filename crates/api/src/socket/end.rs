//! Why a session ends, and what the client is told.

use axum::extract::ws::CloseFrame;
use tokio_tungstenite::tungstenite;

use super::close_code;

/// Why a session ends.
#[derive(Debug)]
pub(super) enum End {
    /// The client left, or the connection broke.
    Gone,
    /// The client gave no sign of life.
    Silent,
    /// The process stops.
    GoingAway,
    /// A message was too large.
    TooLarge,
    /// There is no valid token, for this reason.
    Unauthenticated(&'static str),
    /// The client doesn't read fast enough.
    Slow,
    /// The subject has too many sockets.
    TooMany,
}

impl End {
    /// What a failed read means.
    pub fn of(error: &axum::Error) -> Self {
        let source = std::error::Error::source(error).and_then(|it| it.downcast_ref::<tungstenite::Error>());
        match source {
            Some(tungstenite::Error::Capacity(_)) => Self::TooLarge,
            _ => Self::Gone,
        }
    }

    /// The code that is counted and, where the client still listens, sent.
    pub fn code(&self) -> u16 {
        match self {
            Self::Gone => 1000,
            Self::Silent | Self::Slow => close_code::SLOW,
            Self::GoingAway => close_code::GOING_AWAY,
            Self::TooLarge => close_code::TOO_LARGE,
            Self::Unauthenticated(_) => close_code::UNAUTHENTICATED,
            Self::TooMany => close_code::TOO_MANY,
        }
    }

    /// The close frame; `None` when nobody listens any more.
    pub fn close_frame(&self) -> Option<CloseFrame> {
        let reason = match self {
            Self::Gone | Self::Silent => return None,
            Self::GoingAway => "the server stops; connect again and resume",
            Self::TooLarge => "the message is too large",
            Self::Unauthenticated(reason) => reason,
            Self::Slow => "slow: connect again and resume",
            Self::TooMany => "too many sockets are open",
        };
        Some(CloseFrame { code: self.code(), reason: reason.into() })
    }
}
