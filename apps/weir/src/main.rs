//! `weir serve | migrate | demo | openapi | asyncapi`

use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use common::context::{Caller, Clock, Context};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use weir::config::{Config, SETTINGS};
use weir::internal::Internal;
use weir::serve::{self, Server};
use weir::{config, documents, migrate, modules, telemetry};

/// A reference backend: trading, household and health on one data path.
///
/// Settings come from the environment or from the TOML file that WEIR_CONFIG names; `weir settings` lists them.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serves the API until SIGTERM or Ctrl-C.
    Serve,
    /// Brings the database's schema up to date. Run it as the owner.
    Migrate,
    /// Loads demonstration data of Alice's, once however often it is called.
    Demo,
    /// Prints the OpenAPI document.
    Openapi,
    /// Prints the AsyncAPI document.
    Asyncapi,
    /// Lists every setting.
    Settings,
}

fn main() -> ExitCode {
    match run_command(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("weir: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run_command(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Openapi => print(&documents::openapi(&modules::ALL)?),
        Command::Asyncapi => print(&documents::asyncapi(&modules::ALL)?),
        Command::Settings => {
            for s in SETTINGS {
                println!("{}={}\n    {}", s.name, s.default.unwrap_or_default(), s.what);
            }
            Ok(())
        }
        Command::Serve => run(serve()),
        Command::Migrate => run(async { migrate::run(&Config::database_url()?).await }),
        Command::Demo => run(demo()),
    }
}

fn run(work: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(work)
}

async fn serve() -> anyhow::Result<()> {
    let config = Config::load()?;
    telemetry::start_log(&config)?;
    let metrics = telemetry::start_metrics()?;
    tracing::info!(?config, "settings");
    for name in config::unknown() {
        tracing::warn!(name, "there is no such setting; it is ignored");
    }
    // Before the modules start, so that a taken port is told at once.
    let listen = async |address| {
        TcpListener::bind(address).await.with_context(|| format!("can't listen on {address}"))
    };
    let listener = listen(config.listen).await?;
    let admin = listen(config.admin_listen).await?;
    let internal = match config.internal_listen {
        Some(address) => Some(Internal::new(&config, listen(address).await?)?),
        None => None,
    };
    let stop = stop_signal()?;
    Server::start(config, Clock::default(), internal).await?.run(listener, (admin, metrics), stop).await
}

async fn demo() -> anyhow::Result<()> {
    let config = Config::load()?;
    telemetry::start_log(&config)?;
    let (clock, shutdown) = (Clock::default(), CancellationToken::new());
    let alice = Caller { subject: "alice".into(), ..Caller::system() };
    let ctx = Context::background(clock.clone()).with_caller(alice);
    let paths = serve::open_data_paths(&config, &clock, &shutdown).await?.paths;
    for (module, path) in &paths {
        module.demo(path, &ctx).await.with_context(|| format!("{module}'s demo"))?;
    }
    shutdown.cancel();
    for (_, path) in &paths {
        path.tasks.close();
        path.tasks.wait().await;
    }
    Ok(())
}

/// Done when the process is asked to stop.
fn stop_signal() -> anyhow::Result<impl Future<Output = ()> + Send + 'static> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

fn print(document: &serde_json::Value) -> anyhow::Result<()> {
    println!("{}", serde_json::to_string_pretty(document)?);
    Ok(())
}
