//! `weir serve`: the modules on their data paths behind one router, until it is told to stop.

use std::time::Duration;

use anyhow::Context as _;
use api::auth::{AuthConfig, DevIssuer, Verifier};
use api::readiness::Readiness;
use api::socket::{SocketOptions, Sockets};
use api::sse::{EventStreams, StreamOptions};
use api::{App, AppConfig, Environment};
use common::context::{Clock, Context};
use common::db::{Budget, DbOptions};
use common::jobs::{self, Jobs, WorkerOptions};
use common::redis_node::RedisNode;
use common::{DataPath, DataPathOptions};
use futures_util::future::join_all;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::Config;
use crate::documents;
use crate::internal::Internal;
use crate::modules::{Module, Running};
use crate::{modules, policies, telemetry};

/// Jobs that a process runs at once.
const JOBS_CONCURRENCY: usize = 2;
/// How often idempotency keys and tickets that have expired are deleted.
const EXPIRE_EVERY: Duration = Duration::from_secs(600);
/// How often it is looked whether the databases answer, for `/readyz` to report.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How long such a look may take.
const LOOK_TIMEOUT: Duration = Duration::from_secs(2);
/// Of the time that a shutdown may take, requests get this share; the rest is for batches, jobs and pools.
const REQUESTS_SHARE: f64 = 0.6;

/// A program that is set up and about to serve.
pub struct Server {
    config: Config,
    router: axum::Router,
    running: Vec<Running>,
    internal: Option<(Internal, axum::Router)>,
    jobs: TaskTracker,
    readiness: Readiness,
    sockets: TaskTracker,
    /// Told first: sockets close, requests finish.
    closing: CancellationToken,
    /// Told last: batches, projections and jobs end.
    shutdown: CancellationToken,
}

impl Server {
    /// Connects to everything and starts the modules.
    pub async fn start(config: Config, clock: Clock, internal: Option<Internal>) -> anyhow::Result<Self> {
        let (closing, shutdown) = (CancellationToken::new(), CancellationToken::new());
        let (readiness, sockets) = (Readiness::default(), TaskTracker::new());
        let limits = policies::load(config.policies.as_deref())?;
        if let Some(file) = config.policies.clone() {
            policies::follow(limits.clone(), file, shutdown.clone())?;
        }
        let opened = open_data_paths(&config, &clock, &shutdown).await?;
        let mut started = Vec::new();
        for (module, data_path) in opened.paths {
            let peers = internal.as_ref().map(|internal| internal.peers().clone());
            let running = module.start(data_path, peers).await;
            started.push(running.with_context(|| format!("{module} can't start"))?);
        }
        let internal_routes = started
            .iter_mut()
            .map(|r| std::mem::take(&mut r.internal))
            .fold(axum::Router::new(), axum::Router::merge);
        let internal = internal.map(|internal| (internal, internal_routes));
        let jobs = TaskTracker::new();
        if config.roles.worker {
            // Every handler is there now.
            let options = WorkerOptions { writer: config.database.clone(), concurrency: JOBS_CONCURRENCY };
            jobs::start(&opened.jobs, options, &opened.budget, &shutdown, &jobs)?;
        }
        let verifier = verifier(&config, &clock)?;
        let app = App {
            config: AppConfig {
                public_base: config.public_base.clone(),
                environment: config.environment,
                cors_origins: config.cors_origins.clone(),
                ..AppConfig::default()
            },
            clock,
            verifier: verifier.clone(),
            readiness: readiness.clone(),
            limits: limits.clone(),
            sockets: Sockets::new(
                verifier,
                limits,
                SocketOptions::default(),
                closing.clone(),
                sockets.clone(),
            ),
            event_streams: EventStreams::new(StreamOptions::default(), closing.clone()),
            problems: documents::problems(&config.modules),
            asyncapi: documents::asyncapi(&config.modules)?,
        };
        let routers = if config.roles.api {
            started.iter_mut().map(|r| std::mem::take(&mut r.router)).collect()
        } else {
            Vec::new()
        };
        let databases = started.iter().map(|r| r.data_path.db.clone()).collect();
        let router = app.router(routers, databases, opened.jobs)?;
        Ok(Self { config, router, running: started, internal, jobs, readiness, sockets, closing, shutdown })
    }

    /// Serves until `stop` is done, then drains within the configured time.
    pub async fn run(
        mut self,
        listener: TcpListener,
        admin: (TcpListener, PrometheusHandle),
        stop: impl Future<Output = ()> + Send + 'static,
    ) -> anyhow::Result<()> {
        let (address, admin_address) = (listener.local_addr()?, admin.0.local_addr()?);
        let until = self.shutdown.clone().cancelled_owned();
        let admin = tokio::spawn(telemetry::serve_metrics(admin.0, admin.1, until));
        // As long as batches are carried out, for peers hand over theirs until then.
        let internal = self.internal.take();
        let internal =
            internal.map(|(internal, routes)| tokio::spawn(internal.serve(routes, self.shutdown.clone())));
        let looks = tokio::spawn(look(self.data_paths(), self.readiness.clone()));
        if self.config.roles.worker {
            self.jobs.spawn(expire(self.data_paths(), self.shutdown.clone()));
        }
        let closing = self.closing.clone();
        let service = self.router.clone().into_make_service_with_connect_info::<std::net::SocketAddr>();
        let serving = tokio::spawn(async move {
            let until = closing.cancelled_owned();
            axum::serve(listener, service).with_graceful_shutdown(until).await
        });
        self.readiness.started();
        tracing::info!(listen = %address, admin = %admin_address, modules = ?self.config.modules, "ready");

        stop.await;
        tracing::info!("stopping: not ready any more");
        self.readiness.drain();
        tokio::time::sleep(self.config.drain).await;
        self.closing.cancel();
        let for_requests = self.config.stop_timeout.mul_f64(REQUESTS_SHARE);
        let drained = tokio::time::timeout(for_requests, async {
            self.sockets.close();
            self.sockets.wait().await;
            serving.await
        });
        match drained.await {
            Ok(served) => served??,
            Err(_) => tracing::warn!("requests that took too long are cut off"),
        }
        self.shutdown.cancel();
        let for_the_rest = self.config.stop_timeout.saturating_sub(for_requests);
        let background = self.running.iter().map(|r| &r.data_path.tasks).chain([&self.jobs]);
        let ended = join_all(background.map(|tasks| {
            tasks.close();
            tasks.wait()
        }));
        let ended = async {
            ended.await;
            if let Some(internal) = internal {
                let _ = internal.await;
            }
        };
        if tokio::time::timeout(for_the_rest, ended).await.is_err() {
            tracing::warn!("background work that took too long is cut off");
        }
        for running in &self.running {
            running.data_path.db.close();
        }
        looks.abort();
        admin.await??;
        tracing::info!("stopped");
        Ok(())
    }

    fn data_paths(&self) -> Vec<DataPath> {
        self.running.iter().map(|r| r.data_path.clone()).collect()
    }
}

/// The modules' data paths and what they share.
pub struct Opened {
    /// One per module.
    pub paths: Vec<(Module, DataPath)>,
    /// The process's connections.
    pub budget: Budget,
    /// Where modules put their handlers.
    pub jobs: Jobs,
}

/// One data path per module, all within one budget of connections.
pub async fn open_data_paths(
    config: &Config,
    clock: &Clock,
    shutdown: &CancellationToken,
) -> anyhow::Result<Opened> {
    let budget = Budget::new(config.database_connections);
    let jobs = Jobs::new(clock.clone());
    let redis = config.redis_url.as_deref().map(RedisNode::open).transpose().context("REDIS_URL")?;
    let each = pool_size(config).map_err(anyhow::Error::msg).context("WEIR_DATABASE_CONNECTIONS")?;
    let mut paths = Vec::new();
    for module in &config.modules {
        let options = DataPathOptions {
            db: DbOptions {
                module: module.name(),
                writer: config.database.clone(),
                readers: config.readers.clone(),
                writer_connections: each,
                reader_connections: each,
            },
            redis: redis.clone(),
            epoch: config.epoch.clone(),
            clock: clock.clone(),
            jobs: jobs.clone(),
            work: config.roles.worker,
            shutdown: shutdown.clone(),
        };
        let path = DataPath::open(options, &budget).await.with_context(|| {
            format!("the database can't be used by {module} (`weir migrate` makes its schema and role)")
        })?;
        paths.push((*module, path));
    }
    Ok(Opened { paths, budget, jobs })
}

/// An equal share for each module's pool at each target, of what tails and jobs leave; or how many connections would do.
pub(crate) fn pool_size(config: &Config) -> Result<usize, String> {
    let (modules, targets) = (config.modules.len(), 1 + config.readers.len());
    let jobs = if config.roles.worker { WorkerOptions::connections(JOBS_CONCURRENCY) } else { 0 };
    let beside = DataPath::CONNECTIONS_BESIDE_POOLS * modules + jobs;
    let pools = modules * targets;
    let each = config.database_connections.saturating_sub(beside) / pools.max(1);
    if each == 0 {
        return Err(format!("{modules} modules on {targets} databases need at least {}", beside + pools));
    }
    Ok(each)
}

fn verifier(config: &Config, clock: &Clock) -> anyhow::Result<Verifier> {
    let dev = match config.environment {
        Environment::Production => None,
        Environment::Development => {
            let (key_file, scopes) = (config.dev_key_file.as_deref(), documents::scopes(&modules::ALL));
            let issuer = DevIssuer::new(config.environment, key_file, scopes, clock.clone());
            Some(issuer.context("WEIR_DEV_KEY_FILE")?)
        }
    };
    let trusted = AuthConfig {
        issuer: config.jwt_issuer.clone(),
        audience: config.jwt_audience.clone(),
        jwks_url: config.jwks_url.clone(),
    };
    Ok(Verifier::new(&trusted, dev, clock.clone()))
}

/// Forgets answers that no caller may ask for again, and tickets that open nothing any more.
async fn expire(paths: Vec<DataPath>, shutdown: CancellationToken) {
    loop {
        for DataPath { db, clock, .. } in &paths {
            let ctx = Context::background(clock.clone());
            if let Err(error) = api::idempotency::delete_expired(&ctx, db).await {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(module = db.module(), error, "old idempotency keys stay for now");
            }
            if let Err(error) = api::sse::ticket::delete_expired(&ctx, db).await {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(module = db.module(), error, "old tickets stay for now");
            }
        }
        if shutdown.run_until_cancelled(tokio::time::sleep(EXPIRE_EVERY)).await.is_none() {
            return;
        }
    }
}

/// Reports on the databases; they don't decide whether the process is ready.
async fn look(paths: Vec<DataPath>, readiness: Readiness) {
    loop {
        for DataPath { db, clock, .. } in &paths {
            let ctx = Context::background(clock.clone()).with_deadline(LOOK_TIMEOUT);
            readiness.dependency(db.module(), db.ping(&ctx).await.is_ok());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
