//! `cargo xtask up`: from a fresh clone to a program that serves, and back in order.

use std::error::Error;
use std::net::Ipv4Addr;
use std::path::Path;

use embedded::Place;

use crate::install;
use crate::program::{Ended, Profile, Served, build, root};
use crate::servers::{Servers, check_named_port, choose_port, open_place, weir, write_exports};
use crate::signals::{Interrupted, Signals, exit_code};
use crate::terminal::{Step, print, say};

/// Serves until somebody asks to stop; gives the exit code.
pub fn up(named_port: Option<u16>, release: bool, signals: &Signals) -> Result<i32, Box<dyn Error>> {
    if !install::missing()?.is_empty() {
        check_named_port(named_port)?;
        install::make_sure(signals)?;
    }
    let place = open_place("data")?;
    // Only now: a program that a killed run left serving at this port is stopped by then.
    let port = choose_port(&place, named_port)?;
    let profile = if release { Profile::Release } else { Profile::Dev };
    let programs = build(&place, signals, profile, &["weir"])?;
    let servers = Servers::start(&place, signals)?;
    let ended = serve(&place, &servers, &programs, port, signals);
    servers.stop()?;
    match ended {
        Ok(code) => Ok(code),
        // Ctrl-C is how `up` ends, also while it is still on its way.
        Err(error) if error.is::<Interrupted>() => Ok(0),
        Err(error) => match error.downcast_ref::<Ended>() {
            Some(ended) => {
                say(&format!("error: {ended}"));
                Ok(failure(ended.0))
            }
            None => Err(error),
        },
    }
}

fn serve(
    place: &Place,
    servers: &Servers,
    programs: &Path,
    port: u16,
    signals: &Signals,
) -> Result<i32, Box<dyn Error>> {
    let admin_port = place.port("admin")?;
    let command = |subcommand: &str| {
        let mut command = weir(programs, subcommand, servers, port, admin_port);
        command.stdin(std::process::Stdio::null());
        command
    };
    for (subcommand, does) in [("migrate", "migrating the database"), ("demo", "loading demo data")] {
        say(&format!("... {does}"));
        let code = signals.run(command(subcommand), place, subcommand)?;
        if code != 0 {
            return Err(format!("weir {subcommand} failed ({code})").into());
        }
    }
    let mut served = Served::start(command("serve"), place, "weir", port)?;
    let ready = served.wait_until_ready(signals);
    if let Err(error) = ready {
        served.stop()?;
        return Err(error);
    }
    announce(place, servers, port, admin_port)?;
    let ended = served.wait(signals)?;
    match ended {
        Some(status) => Err(Box::new(Ended(exit_code(status)))),
        None => {
            let step = Step::begin("stopping weir (it finishes what is under way)");
            served.stop()?;
            step.done();
            Ok(0)
        }
    }
}

/// A program that ended by itself did not do what was asked, whatever it says.
fn failure(code: i32) -> i32 {
    if code == 0 { 1 } else { code }
}

fn announce(place: &Place, servers: &Servers, port: u16, admin_port: u16) -> Result<(), Box<dyn Error>> {
    let address = format!("http://{}:{port}", Ipv4Addr::LOCALHOST);
    let environment = place.folder().join("environment");
    let mut variables = vec![("WEIR", address.clone())];
    variables.extend(servers.addresses());
    write_exports(&environment, &variables)?;
    let shown = root()?.join(".weir/data/environment");
    print(&format!(
        "
Documentation   {address}/docs
Administration  http://127.0.0.1:{admin_port}/metrics
PostgreSQL      127.0.0.1:{} (standby {}), Redis and passwords: {}

Paste this into another terminal:
{}

Ctrl-C stops all of it. The data stays in .weir/data for the next time.

Weir is ready: {address}",
        servers.cluster().primary().port(),
        servers.cluster().standbys().iter().map(|s| s.port().to_string()).collect::<Vec<_>>().join(", "),
        shown.display(),
        calls(&address),
    ));
    Ok(())
}

/// A token, and who one is by it, in calls that need nothing but curl and sed.
fn calls(address: &str) -> String {
    format!(
        r#"export WEIR={address}
export TOKEN=$(curl -s $WEIR/dev/token -H 'content-type: application/json' -d '{{"sub":"alice"}}' | sed 's/.*"access_token": *"\([^"]*\)".*/\1/')
curl -s $WEIR/v1/me -H "authorization: Bearer $TOKEN""#
    )
}
