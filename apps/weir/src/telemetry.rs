//! What the program tells about itself: the log, and `/metrics` on the admin port.

use std::future::Future;

use anyhow::Context as _;
use axum::Router;
use axum::routing::get;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio::net::TcpListener;
use tracing_subscriber::EnvFilter;

use crate::config::{Config, LogFormat};

/// Seconds: from a pipelined statement to a request that ran into its deadline.
const LATENCY_BUCKETS_S: &[f64] =
    &[0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Starts the log on standard error.
pub fn start_log(config: &Config) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&config.log_filter).context("WEIR_LOG_FILTER")?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = match config.log {
        LogFormat::Json => log.json().flatten_event(true).try_init(),
        LogFormat::Pretty => log.compact().try_init(),
    };
    started.map_err(|e| anyhow::anyhow!("the log can't be started: {e}"))
}

/// Installs the recorder of metrics. Before anything that counts is made.
pub fn start_metrics() -> anyhow::Result<PrometheusHandle> {
    PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), LATENCY_BUCKETS_S)?
        .install_recorder()
        .context("the metrics' recorder can't be installed")
}

/// Serves `/metrics` until `until` is done.
pub async fn serve_metrics(
    listener: TcpListener,
    metrics: PrometheusHandle,
    until: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let render = move || {
        metrics.run_upkeep();
        std::future::ready(metrics.render())
    };
    let router = Router::new().route("/metrics", get(render));
    axum::serve(listener, router).with_graceful_shutdown(until).await
}
