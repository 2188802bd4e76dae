//! A frame that a socket sends.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::error::{Error, SocketError};

/// A frame that a socket sends. `data` is parsed when it is asked for.
#[derive(Debug, Deserialize)]
pub struct Frame {
    /// Of the message that this answers.
    #[serde(default)]
    pub id: Option<u64>,
    /// The channel.
    #[serde(default, rename = "ch")]
    pub channel: Option<String>,
    /// The stream's number.
    #[serde(default)]
    pub seq: Option<i64>,
    /// The number sent before on this channel.
    #[serde(default)]
    pub prev: Option<i64>,
    /// What kind of frame it is.
    #[serde(rename = "type")]
    pub kind: String,
    /// JSON.
    pub data: Box<RawValue>,
    /// The consistency token of a write.
    #[serde(default)]
    pub token: Option<String>,
}

impl Frame {
    /// `data` as a type.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, Error> {
        Ok(serde_json::from_str(self.data.get())?)
    }

    /// The frame, or the error that it is.
    pub(super) fn ok(self) -> Result<Self, Error> {
        if self.kind == "error" {
            Err(Error::Refused(Box::new(self.parse::<SocketError>()?)))
        } else {
            Ok(self)
        }
    }
}
