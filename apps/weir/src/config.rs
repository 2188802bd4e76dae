//! What the operator decides: from the environment, then a TOML file, then defaults. All mistakes are reported at once,
//! by name; secrets are never shown.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use api::Environment;
use api::peers::SECRET_CHARS_MIN;
use common::redis_node::RedisNode;
use figment::Figment;
use figment::providers::{Env, Format, Toml};
use figment::value::Value;
use http::HeaderValue;
use tracing_subscriber::EnvFilter;

use crate::modules::{self, Module};
use crate::{policies, serve};

/// One setting: its name in the environment. In the file it is the same without `WEIR_`, in lower case.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// `WEIR_LISTEN`
    pub name: &'static str,
    /// What it is for, with its unit.
    pub what: &'static str,
    /// What it is when nobody says.
    pub default: Option<&'static str>,
    /// Whether its value may be shown.
    pub secret: bool,
}

const fn setting(name: &'static str, default: Option<&'static str>, what: &'static str) -> Setting {
    Setting { name, what, default, secret: false }
}

const fn secret(name: &'static str, what: &'static str) -> Setting {
    Setting { name, what, default: None, secret: true }
}

/// Every setting that the program reads.
pub const SETTINGS: &[Setting] = &[
    secret("DATABASE_URL", "the writer: postgres://user:password@host:port/database"),
    secret("DATABASE_READER_URLS", "the standbys, separated by commas; none: the writer answers all reads"),
    setting(
        "WEIR_DATABASE_CONNECTIONS",
        Some("48"),
        "connections of this process, all targets and modules together",
    ),
    secret("REDIS_URL", "redis://user:password@host:port; none: caches live in the process alone"),
    setting("WEIR_EPOCH", Some("1"), "names the data set in Redis; a restored database gets a new one"),
    setting("WEIR_LISTEN", Some("127.0.0.1:8080"), "address of the public API"),
    setting("WEIR_ADMIN_LISTEN", Some("127.0.0.1:9090"), "address of /metrics; not for the public"),
    setting(
        "WEIR_INTERNAL_LISTEN",
        Some(""),
        "address on which this process takes work from its peers; none: each process works for itself",
    ),
    setting(
        "WEIR_INTERNAL_ADDRESS",
        Some(""),
        "host:port by which its peers reach it; none: WEIR_INTERNAL_LISTEN, as it was bound",
    ),
    secret(
        "WEIR_INTERNAL_SECRET",
        "what all processes of the fleet know, and nobody else: 16 characters or more",
    ),
    setting("WEIR_ENV", Some("production"), "production | development (adds POST /dev/token)"),
    setting("WEIR_MODULES", Some("all"), "the modules that this process carries, separated by commas"),
    setting("WEIR_ROLES", Some("api,worker"), "api (serves requests), worker (projections and jobs)"),
    setting("WEIR_PUBLIC_BASE", Some(""), "https://api.example.org, for links that leave the service"),
    setting("WEIR_CORS_ORIGINS", Some(""), "origins of web pages that may call, separated by commas"),
    setting("WEIR_JWT_ISSUER", Some(""), "`iss` of the access tokens"),
    setting("WEIR_JWT_AUDIENCE", Some("weir"), "`aud` (or Cognito's `client_id`) of the access tokens"),
    setting("WEIR_JWKS_URL", Some(""), "where the issuer publishes its keys"),
    setting(
        "WEIR_DEV_KEY_FILE",
        Some(""),
        "the development issuer's key, made if it is missing; none: a new one each start",
    ),
    setting(
        "WEIR_POLICIES",
        Some(""),
        "the rate limits' policy file, read again on SIGHUP; none: the shipped one",
    ),
    setting("WEIR_LOG", Some("json"), "json | pretty"),
    setting("WEIR_LOG_FILTER", Some("info"), "what is logged, as tracing's directives say it"),
    setting("WEIR_DRAIN_S", Some("0"), "seconds between not being ready and closing the listener"),
    setting("WEIR_STOP_TIMEOUT_S", Some("25"), "seconds that a shutdown may take after that"),
];

/// Names the TOML file.
const CONFIG_FILE: &str = "WEIR_CONFIG";

/// How the log reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// A JSON object per line, for machines.
    Json,
    /// Colours and line breaks, for people.
    Pretty,
}

/// What this process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Roles {
    /// Serves requests.
    pub api: bool,
    /// Runs projections and jobs.
    pub worker: bool,
}

/// The checked settings. `Debug` hides the secrets.
#[derive(Clone)]
#[expect(missing_docs, reason = "SETTINGS says what each is for")]
pub struct Config {
    pub database: tokio_postgres::Config,
    pub readers: Vec<tokio_postgres::Config>,
    pub database_connections: usize,
    pub redis_url: Option<String>,
    pub epoch: String,
    pub listen: SocketAddr,
    pub admin_listen: SocketAddr,
    pub internal_listen: Option<SocketAddr>,
    pub internal_address: Option<String>,
    pub internal_secret: String,
    pub environment: Environment,
    pub modules: Vec<Module>,
    pub roles: Roles,
    pub public_base: String,
    pub cors_origins: Vec<HeaderValue>,
    pub jwt_issuer: String,
    pub jwt_audience: String,
    pub jwks_url: Option<String>,
    pub dev_key_file: Option<PathBuf>,
    pub policies: Option<PathBuf>,
    pub log: LogFormat,
    pub log_filter: String,
    pub drain: Duration,
    pub stop_timeout: Duration,
    shown: BTreeMap<&'static str, String>,
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(&self.shown).finish()
    }
}

/// Everything that is wrong with the settings.
#[derive(Debug, thiserror::Error)]
#[error("{} of the settings can't be used:\n{}", .0.len(), .0.join("\n"))]
pub struct ConfigErrors(Vec<String>);

impl Config {
    /// Reads the environment and the file that `WEIR_CONFIG` names.
    pub fn load() -> Result<Self, ConfigErrors> {
        Self::from_figment(sources())
    }

    /// The one setting that the schema needs. The owner's login migrates, with nothing else set.
    pub fn database_url() -> Result<String, ConfigErrors> {
        let mut reader = Reader::new(&sources());
        let _: tokio_postgres::Config = reader.required("DATABASE_URL");
        if reader.mistakes.is_empty() {
            Ok(reader.text("DATABASE_URL"))
        } else {
            Err(ConfigErrors(reader.mistakes))
        }
    }

    fn from_figment(figment: Figment) -> Result<Self, ConfigErrors> {
        let mut reader = Reader::new(&figment);
        let config = Self {
            database: reader.required("DATABASE_URL"),
            readers: reader.list("DATABASE_READER_URLS"),
            database_connections: reader.required("WEIR_DATABASE_CONNECTIONS"),
            redis_url: reader.optional("REDIS_URL"),
            epoch: reader.required("WEIR_EPOCH"),
            listen: reader.required("WEIR_LISTEN"),
            admin_listen: reader.required("WEIR_ADMIN_LISTEN"),
            internal_listen: reader.optional("WEIR_INTERNAL_LISTEN"),
            internal_address: reader.optional("WEIR_INTERNAL_ADDRESS"),
            internal_secret: reader.text("WEIR_INTERNAL_SECRET"),
            environment: reader.one_of(
                "WEIR_ENV",
                &[("production", Environment::Production), ("development", Environment::Development)],
            ),
            modules: match reader.text("WEIR_MODULES").as_str() {
                "all" => modules::ALL.to_vec(),
                _ => reader.list("WEIR_MODULES"),
            },
            roles: reader.required("WEIR_ROLES"),
            public_base: reader.text("WEIR_PUBLIC_BASE").trim_end_matches('/').to_owned(),
            cors_origins: reader.list("WEIR_CORS_ORIGINS"),
            jwt_issuer: reader.text("WEIR_JWT_ISSUER"),
            jwt_audience: reader.text("WEIR_JWT_AUDIENCE"),
            jwks_url: reader.optional("WEIR_JWKS_URL"),
            dev_key_file: reader.optional("WEIR_DEV_KEY_FILE"),
            policies: reader.optional("WEIR_POLICIES"),
            log: reader.one_of("WEIR_LOG", &[("json", LogFormat::Json), ("pretty", LogFormat::Pretty)]),
            log_filter: reader.text("WEIR_LOG_FILTER"),
            drain: Duration::from_secs(reader.required("WEIR_DRAIN_S")),
            stop_timeout: Duration::from_secs(reader.required("WEIR_STOP_TIMEOUT_S")),
            shown: reader.shown(),
        };
        reader.check(&config);
        if reader.mistakes.is_empty() { Ok(config) } else { Err(ConfigErrors(reader.mistakes)) }
    }
}

/// The environment, before the file that `WEIR_CONFIG` names.
fn sources() -> Figment {
    let mut figment = Figment::new();
    if let Some(file) = std::env::var_os(CONFIG_FILE) {
        figment = figment.merge(Toml::file_exact(file));
    }
    let names: Vec<&str> = SETTINGS.iter().map(|s| s.name).collect();
    figment.merge(Env::raw().only(&names).map(|name| key_of(name.as_str()).into()))
}

/// What looks like a setting in the environment and is none. No mistake: a platform may put names of its own there.
pub fn unknown() -> Vec<String> {
    let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    let is_known = |name: &str| name == CONFIG_FILE || SETTINGS.iter().any(|s| s.name == name);
    names.filter(|name| name.starts_with("WEIR_") && !is_known(name)).collect()
}

impl FromStr for Roles {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut roles = Self { api: false, worker: false };
        for role in text.split(',').map(str::trim) {
            match role {
                "api" => roles.api = true,
                "worker" => roles.worker = true,
                other => return Err(format!("{other:?} is neither api nor worker")),
            }
        }
        Ok(roles)
    }
}

/// The setting's key in the file.
fn key_of(name: &str) -> String {
    name.strip_prefix("WEIR_").unwrap_or(name).to_lowercase()
}

struct Reader {
    values: BTreeMap<&'static str, String>,
    mistakes: Vec<String>,
}

impl Reader {
    fn new(figment: &Figment) -> Self {
        let mut mistakes = Vec::new();
        let mut found: BTreeMap<String, Value> = figment.extract().unwrap_or_else(|e| {
            mistakes.extend(e.into_iter().map(|e| format!("WEIR_CONFIG: {e}")));
            BTreeMap::new()
        });
        let mut values = BTreeMap::new();
        for setting in SETTINGS {
            match found.remove(&key_of(setting.name)).as_ref().map(text_of) {
                Some(Some(text)) => {
                    values.insert(setting.name, text.trim().to_owned());
                }
                Some(None) => {
                    mistakes.push(format!("{}: a text, a number or a list of texts is needed", setting.name))
                }
                None => {
                    values.insert(setting.name, setting.default.unwrap_or_default().to_owned());
                }
            }
        }
        mistakes.extend(found.keys().map(|key| format!("{key}: there is no such setting")));
        Self { values, mistakes }
    }

    fn text(&self, name: &'static str) -> String {
        self.values.get(name).cloned().unwrap_or_default()
    }

    fn parse<T: FromStr<Err: fmt::Display>>(&mut self, name: &'static str, text: &str) -> Option<T> {
        text.parse().map_err(|e| self.mistakes.push(format!("{name}: {e}"))).ok()
    }

    /// A mistake is noted and the type's empty value goes on, so that the other mistakes are found as well.
    fn required<T: FromStr<Err: fmt::Display> + Placeholder>(&mut self, name: &'static str) -> T {
        let text = self.text(name);
        if text.is_empty() {
            let what = SETTINGS.iter().find(|s| s.name == name).map_or("", |s| s.what);
            self.mistakes.push(format!("{name} is missing ({what})"));
            return T::placeholder();
        }
        self.parse(name, &text).unwrap_or_else(T::placeholder)
    }

    fn optional<T: FromStr<Err: fmt::Display>>(&mut self, name: &'static str) -> Option<T> {
        let text = self.text(name);
        if text.is_empty() { None } else { self.parse(name, &text) }
    }

    fn list<T: FromStr<Err: fmt::Display>>(&mut self, name: &'static str) -> Vec<T> {
        let text = self.text(name);
        let items: Vec<&str> = text.split(',').map(str::trim).filter(|item| !item.is_empty()).collect();
        items.into_iter().filter_map(|item| self.parse(name, item)).collect()
    }

    fn one_of<T: Copy>(&mut self, name: &'static str, choices: &[(&str, T)]) -> T {
        let text = self.text(name);
        let chosen = choices.iter().find(|(choice, _)| *choice == text);
        if chosen.is_none() {
            let names: Vec<&str> = choices.iter().map(|(choice, _)| *choice).collect();
            self.mistakes.push(format!("{name}: {text:?} is none of {}", names.join(", ")));
        }
        chosen.unwrap_or(&choices[0]).1
    }

    fn shown(&self) -> BTreeMap<&'static str, String> {
        let shown = |s: &Setting| match self.text(s.name) {
            text if s.secret && !text.is_empty() => "(hidden)".to_owned(),
            text => text,
        };
        SETTINGS.iter().map(|s| (s.name, shown(s))).collect()
    }

    /// What no single setting can tell.
    fn check(&mut self, config: &Config) {
        let mut mistake = |name: &str, what: &dyn fmt::Display| self.mistakes.push(format!("{name}: {what}"));
        if config.modules.is_empty() {
            mistake("WEIR_MODULES", &"at least one module is needed");
        } else if config.database_connections > 0
            && let Err(what) = serve::pool_size(config)
        {
            mistake("WEIR_DATABASE_CONNECTIONS", &what);
        }
        if let Some(twice) =
            config.modules.iter().find(|m| config.modules.iter().filter(|n| n == m).count() > 1)
        {
            mistake("WEIR_MODULES", &format!("{twice} is named twice"));
        }
        if let Err(what) = EnvFilter::try_new(&config.log_filter) {
            mistake("WEIR_LOG_FILTER", &what);
        }
        if let Err(what) = policies::load(config.policies.as_deref()) {
            mistake("WEIR_POLICIES", &format!("{what:#}"));
        }
        if let Some(Err(what)) = config.redis_url.as_deref().map(RedisNode::check) {
            mistake("REDIS_URL", &what);
        }
        let is_web = |url: &String| {
            url.parse::<http::Uri>()
                .is_ok_and(|it| matches!(it.scheme_str(), Some("http" | "https")) && it.host().is_some())
        };
        if config.jwks_url.as_ref().is_some_and(|url| !is_web(url)) {
            mistake("WEIR_JWKS_URL", &"is no address of the form https://…");
        }
        if config.listen == config.admin_listen && config.listen.port() != 0 {
            mistake("WEIR_ADMIN_LISTEN", &"must differ from WEIR_LISTEN");
        }
        if let Some(listen) = config.internal_listen {
            if config.internal_secret.len() < SECRET_CHARS_MIN {
                mistake(
                    "WEIR_INTERNAL_SECRET",
                    &format!("at least {SECRET_CHARS_MIN} characters are needed"),
                );
            }
            if listen.ip().is_unspecified() && config.internal_address.is_none() {
                mistake("WEIR_INTERNAL_ADDRESS", &"is needed when WEIR_INTERNAL_LISTEN names no host");
            }
        }
        if config.environment == Environment::Production && config.jwks_url.is_none() {
            mistake("WEIR_JWKS_URL", &"in production somebody must issue the tokens");
        }
        if config.jwks_url.is_some() && config.jwt_issuer.is_empty() {
            mistake("WEIR_JWT_ISSUER", &"is needed with WEIR_JWKS_URL");
        }
    }
}

fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(_, text) => Some(text.clone()),
        Value::Char(_, c) => Some(c.to_string()),
        Value::Bool(_, b) => Some(b.to_string()),
        Value::Num(_, n) => n.to_i128().map(|n| n.to_string()).or_else(|| n.to_u128().map(|n| n.to_string())),
        Value::Array(_, items) => {
            items.iter().map(text_of).collect::<Option<Vec<_>>>().map(|items| items.join(","))
        }
        _ => None,
    }
}

/// Stands in for a value that could not be read, until all mistakes are reported.
trait Placeholder {
    fn placeholder() -> Self;
}

impl Placeholder for tokio_postgres::Config {
    fn placeholder() -> Self {
        Self::new()
    }
}

impl Placeholder for usize {
    fn placeholder() -> Self {
        0
    }
}

impl Placeholder for u64 {
    fn placeholder() -> Self {
        0
    }
}

impl Placeholder for String {
    fn placeholder() -> Self {
        Self::new()
    }
}

impl Placeholder for SocketAddr {
    fn placeholder() -> Self {
        ([127, 0, 0, 1], 0).into()
    }
}

impl Placeholder for Roles {
    fn placeholder() -> Self {
        Self { api: true, worker: true }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(toml: &str) -> Result<Config, ConfigErrors> {
        Config::from_figment(Figment::new().merge(Toml::string(toml)))
    }

    #[test]
    fn every_mistake_is_reported_at_once_by_name() {
        let error = load(
            "listen = 'nowhere'\nmodules = ['trading', 'poetry']\nlog = 'loud'\ncolour = 'red'\n\
            redis_url = 'nowhere'\nlog_filter = '=='\ninternal_listen = '0.0.0.0:0'\npolicies = '/not/there'\njwks_url = 'keys'",
        )
        .unwrap_err();
        let text = error.to_string();
        for name in [
            "DATABASE_URL",
            "WEIR_LISTEN",
            "WEIR_MODULES",
            "poetry",
            "WEIR_LOG:",
            "colour",
            "WEIR_JWKS_URL",
            "REDIS_URL",
            "WEIR_LOG_FILTER",
            "WEIR_POLICIES",
            "WEIR_JWT_ISSUER",
            "WEIR_INTERNAL_SECRET",
            "WEIR_INTERNAL_ADDRESS",
        ] {
            assert!(text.contains(name), "{name} is not in {text}");
        }
    }

    #[test]
    fn secrets_are_not_shown() {
        let config = load("database_url = 'postgres://weir:s3cret@db/weir'\nenv = 'development'").unwrap();
        let shown = format!("{config:?}");
        assert!(!shown.contains("s3cret") && shown.contains("(hidden)"), "{shown}");
    }
}
