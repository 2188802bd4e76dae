//! `cargo xtask bench` and `replay`: the load program against a release build in `.weir/load`, or against `$WEIR`; and
//! `faults`, for which it starts servers of its own.

use std::env;
use std::error::Error;
use std::fs;
use std::path::Path;
use std::process::Command;

use embedded::{Place, is_port_free};

use crate::install;
use crate::program::{Profile, Served, build};
use crate::servers::{Servers, open_place, weir};
use crate::signals::Signals;
use crate::terminal::say;

/// Processes of one database that a benchmark runs against.
const FLEET: usize = 3;
/// Connections of each of them.
const FLEET_CONNECTIONS: &str = "24";

/// Runs the load program with these arguments, and gives its exit code. Only what it prints goes to stdout.
pub fn load(arguments: &[String], signals: &Signals) -> Result<i32, Box<dyn Error>> {
    let needs_servers = env::var_os("WEIR").is_none();
    if needs_servers {
        install::make_sure(signals)?;
    }
    let place = open_place("load")?;
    place.clear()?;
    if !needs_servers {
        let programs = build(&place, signals, Profile::Release, &["load"])?;
        let mut command = Command::new(programs.join("load"));
        command.args(arguments);
        return signals.run(command, &place, "load");
    }
    let programs = build(&place, signals, Profile::Release, &["weir", "load"])?;
    let servers = Servers::start(&place, signals)?;
    let code = against(&place, &servers, &programs, arguments, signals);
    servers.stop()?;
    code
}

/// Runs the load program's faults, which start servers of their own, and gives its exit code. What breaks is broken the
/// same in a build that is quick to make.
pub fn faults(arguments: &[String], signals: &Signals) -> Result<i32, Box<dyn Error>> {
    install::make_sure(signals)?;
    let place = open_place("faults")?;
    place.clear()?;
    let programs = build(&place, signals, Profile::Dev, &["weir", "load"])?;
    let scratch = place.folder().join("scratch");
    fs::create_dir_all(&scratch)?;
    let mut command = Command::new(programs.join("load"));
    command
        .arg("faults")
        .args(arguments)
        .env("WEIR_BIN", programs.join("weir"))
        .env("WEIR_TEST_DIR", scratch);
    signals.run(command, &place, "faults")
}

fn against(
    place: &Place,
    servers: &Servers,
    programs: &Path,
    arguments: &[String],
    signals: &Signals,
) -> Result<i32, Box<dyn Error>> {
    // Benchmarks compare one process with several.
    let processes = if arguments.first().is_some_and(|it| it == "bench") { FLEET } else { 1 };
    let mut ports = Vec::new();
    for number in 1..=processes {
        ports.push((
            free_port(place, &format!("weir-{number}"))?,
            free_port(place, &format!("admin-{number}"))?,
        ));
    }
    let command = |subcommand: &str, (port, admin_port): (u16, u16)| {
        let mut command = weir(programs, subcommand, servers, port, admin_port);
        // A line for each of a million requests would drown the progress.
        command.env("WEIR_LOG_FILTER", "warn").stdin(std::process::Stdio::null()).stdout(std::io::stderr());
        if processes > 1 {
            command
                .env("WEIR_DATABASE_CONNECTIONS", FLEET_CONNECTIONS)
                .env("WEIR_INTERNAL_LISTEN", "127.0.0.1:0")
                .env("WEIR_INTERNAL_SECRET", format!("the fleet of process {}", std::process::id()));
        }
        command
    };
    say("... migrating the database");
    let code = signals.run(command("migrate", ports[0]), place, "migrate")?;
    if code != 0 {
        return Err(format!("weir migrate failed ({code})").into());
    }
    let mut served = Vec::new();
    for (number, at) in ports.iter().enumerate() {
        let name = format!("weir-{}", number + 1);
        served.push(Served::start(command("serve", *at), place, &name, at.0)?);
    }
    let ready = served.iter_mut().try_for_each(|it| it.wait_until_ready(signals));
    let code = ready.and_then(|()| {
        let (port, admin_port) = ports[0];
        let others: Vec<String> =
            ports[1..].iter().map(|(port, _)| format!("http://127.0.0.1:{port}")).collect();
        let mut load = Command::new(programs.join("load"));
        load.args(arguments)
            .envs(servers.addresses())
            .env("WEIR", format!("http://127.0.0.1:{port}"))
            .env("WEIR_WS", format!("ws://127.0.0.1:{port}"))
            .env("WEIR_ADMIN", format!("http://127.0.0.1:{admin_port}"))
            .env("WEIR_BIN", programs.join("weir"));
        if !others.is_empty() {
            load.env("WEIR_OTHERS", others.join(","));
        }
        signals.run(load, place, "load")
    });
    served.into_iter().try_for_each(Served::stop)?;
    code
}

fn free_port(place: &Place, name: &str) -> Result<u16, Box<dyn Error>> {
    let port = place.port(name)?;
    if is_port_free(port) {
        Ok(port)
    } else {
        Err(format!("port {port} was taken just now; try again").into())
    }
}
