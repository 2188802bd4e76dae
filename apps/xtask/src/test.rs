//! `cargo xtask test`: servers of their own in `.weir/test`, made afresh, so that it runs beside an `up`.

use std::error::Error;
use std::fs;
use std::path::Path;
use std::time::Duration;

use embedded::Place;

use crate::install;
use crate::program::{Profile, build, cargo, root};
use crate::servers::{Servers, exports, open_place};
use crate::signals::Signals;
use crate::terminal::{print, say};

/// The only package whose tests run the program itself.
const NEEDS_PROGRAM: &str = "tests";

const LOOK_AGAIN: Duration = Duration::from_secs(3600);

/// Runs `cargo test` with these arguments, and gives its exit code.
pub fn test(arguments: &[String], signals: &Signals) -> Result<i32, Box<dyn Error>> {
    let named = packages(arguments);
    let needs_program = named.is_empty() || named.iter().any(|name| name == NEEDS_PROGRAM);
    with_servers(needs_program, signals, |place, environment| {
        say("... running the tests");
        let mut command = cargo();
        command.arg("test").current_dir(root()?).envs(environment.to_vec());
        if named.is_empty() {
            command.arg("--workspace");
        }
        command.args(arguments);
        signals.run(command, place, "tests")
    })
}

/// Starts what the tests need, prints how to reach it, and waits until somebody asks to stop.
pub fn keep(signals: &Signals) -> Result<i32, Box<dyn Error>> {
    with_servers(true, signals, |_, environment| {
        print(&exports(environment).join("\n"));
        say("\nPaste these lines into another terminal, and use cargo test there. Ctrl-C stops the servers.");
        while signals.pause(LOOK_AGAIN).is_ok() {}
        Ok(0)
    })
}

fn with_servers(
    needs_program: bool,
    signals: &Signals,
    f: impl FnOnce(&Place, &[(&str, String)]) -> Result<i32, Box<dyn Error>>,
) -> Result<i32, Box<dyn Error>> {
    install::make_sure(signals)?;
    let place = open_place("test")?;
    place.clear()?;
    let program = if needs_program {
        Some(build(&place, signals, Profile::Dev, &["weir"])?.join("weir"))
    } else {
        None
    };
    let servers = Servers::start(&place, signals)?;
    let code =
        environment(&place, &servers, program.as_deref()).and_then(|environment| f(&place, &environment));
    servers.stop()?;
    code
}

/// What the tests find in their environment.
fn environment(
    place: &Place,
    servers: &Servers,
    program: Option<&Path>,
) -> Result<Vec<(&'static str, String)>, Box<dyn Error>> {
    let scratch = place.folder().join("scratch");
    fs::create_dir_all(&scratch)?;
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let cluster = servers.cluster();
    let standby = cluster.standbys().first().ok_or("the tests need a standby")?;
    let redis = servers
        .addresses()
        .into_iter()
        .find(|(name, _)| *name == "REDIS_URL")
        .ok_or("the tests need Redis")?;
    let mut variables = vec![
        ("WEIR_TEST_DATABASE_URL", cluster.primary().superuser_url("postgres")),
        ("WEIR_TEST_READER_URL", standby.superuser_url("postgres")),
        ("WEIR_TEST_REDIS_URL", redis.1),
        ("WEIR_TEST_PG_BIN", text(cluster.programs())),
        ("WEIR_TEST_PSQL", text(&cluster.programs().join("psql"))),
        ("WEIR_TEST_DIR", text(&scratch)),
    ];
    variables.extend(program.map(|program| ("WEIR_BIN", text(program))));
    Ok(variables)
}

/// The packages that cargo test's arguments name.
fn packages(arguments: &[String]) -> Vec<String> {
    let mut names = Vec::new();
    let mut arguments = arguments.iter().take_while(|argument| *argument != "--");
    while let Some(argument) = arguments.next() {
        let name = match argument.as_str() {
            "-p" | "--package" => arguments.next().cloned(),
            _ => ["--package=", "-p"]
                .iter()
                .find_map(|prefix| argument.strip_prefix(prefix))
                .map(str::to_owned),
        };
        names.extend(name);
    }
    names
}

#[cfg(test)]
mod tests {
    use super::packages;

    #[test]
    fn named_packages_are_found_in_every_spelling_before_the_two_dashes() {
        let of = |line: &str| packages(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
        assert_eq!(of("-p embedded --package tests"), ["embedded", "tests"]);
        assert_eq!(of("--package=load -papi name"), ["load", "api"]);
        assert!(of("name -- -p nothing").is_empty());
    }
}
