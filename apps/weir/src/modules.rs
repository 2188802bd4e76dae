//! The modules that this program can carry: the one list of them. To add a module, add an arm to each `match` here.

use std::fmt;
use std::str::FromStr;

use api::{Peers, ProblemType};
use common::DataPath;
use common::context::Context;
use common::db::Statement;
use utoipa_axum::router::OpenApiRouter;

/// A module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Module {
    /// Orders and books.
    Trading,
    /// Shared money.
    Household,
    /// What devices measured.
    Health,
}

/// All of them, in the order of the documents.
pub const ALL: [Module; 3] = [Module::Trading, Module::Household, Module::Health];

/// A module that has been started.
pub struct Running {
    /// Its routes.
    pub router: OpenApiRouter,
    /// Its routes for the other processes of the fleet.
    pub internal: axum::Router,
    /// Its part of the data path.
    pub data_path: DataPath,
}

impl Module {
    /// The name in settings, schemas and paths.
    pub fn name(self) -> &'static str {
        match self {
            Self::Trading => "trading",
            Self::Household => "household",
            Self::Health => "health",
        }
    }

    /// Its part of the OpenAPI document.
    pub fn openapi(self) -> utoipa::openapi::OpenApi {
        match self {
            Self::Trading => trading::openapi(),
            Self::Household => household::openapi(),
            Self::Health => health::openapi(),
        }
    }

    /// Its problem types.
    pub fn problems(self) -> &'static [&'static ProblemType] {
        match self {
            Self::Trading => trading::PROBLEMS,
            Self::Household => household::PROBLEMS,
            Self::Health => health::PROBLEMS,
        }
    }

    /// Its SQL.
    pub fn statements(self) -> Vec<&'static Statement> {
        match self {
            Self::Trading => trading::STATEMENTS.iter().copied().flatten().collect(),
            Self::Household => household::STATEMENTS.iter().copied().flatten().collect(),
            Self::Health => health::STATEMENTS.iter().copied().flatten().collect(),
        }
    }

    /// What its socket speaks, as the AsyncAPI document tells it.
    pub fn sockets(self) -> Vec<api::asyncapi::SocketDocument> {
        match self {
            Self::Trading => vec![trading::socket_document()],
            Self::Household => Vec::new(),
            Self::Health => vec![health::socket_document()],
        }
    }

    /// Its event streams, for the same document.
    pub fn event_streams(self) -> Vec<api::sse::StreamDocument> {
        match self {
            Self::Household => vec![household::stream_document()],
            Self::Trading | Self::Health => Vec::new(),
        }
    }

    /// Starts it on its data path, as one of these peers if it has any.
    pub async fn start(self, data_path: DataPath, peers: Option<Peers>) -> anyhow::Result<Running> {
        let mut internal = axum::Router::new();
        let router = match self {
            Self::Trading => {
                let trading = trading::start(&data_path, peers).await?;
                internal = trading::internal_router(trading.clone());
                trading::router(trading)
            }
            Self::Household => household::router(household::start(&data_path)),
            Self::Health => health::router(health::start(&data_path, health::Config::default())),
        };
        Ok(Running { router, internal, data_path })
    }

    /// Loads its demonstration data, once however often it is called.
    pub async fn demo(self, data_path: &DataPath, ctx: &Context) -> anyhow::Result<()> {
        match self {
            Self::Trading => trading::demo(data_path, ctx).await?,
            Self::Household => household::demo(data_path, ctx).await?,
            Self::Health => health::demo(data_path, ctx).await?,
        }
        Ok(())
    }
}

impl fmt::Display for Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Module {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        ALL.into_iter().find(|m| m.name() == name).ok_or_else(|| format!("there is no module {name:?}"))
    }
}
