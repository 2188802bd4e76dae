//! `cargo xtask`: the newcomer's and developer's commands. It compiles in seconds, so it depends on next to nothing.

mod arguments;
mod install;
mod lint;
mod load;
mod program;
mod servers;
mod signals;
mod terminal;
mod test;
mod up;

use std::env;
use std::error::Error;
use std::process::exit;

use arguments::{Command, USAGE, parse};
use signals::{INTERRUPTED_CODE, Interrupted, Signals};
use terminal::{print, say};

/// What was typed makes no sense.
const USAGE_CODE: i32 = 2;

fn main() {
    let words: Vec<String> = env::args().skip(1).collect();
    exit(match parse(&words) {
        Ok(command) => match run(command) {
            Ok(code) => code,
            Err(error) if error.is::<Interrupted>() => INTERRUPTED_CODE,
            Err(error) => {
                say(&format!("error: {error}"));
                1
            }
        },
        Err(mistake) => {
            say(&format!("error: {mistake}"));
            USAGE_CODE
        }
    });
}

fn run(command: Command) -> Result<i32, Box<dyn Error>> {
    let signals = Signals::listen()?;
    match command {
        Command::Up { port, release } => up::up(port, release, &signals),
        Command::Test(arguments) => test::test(&arguments, &signals),
        Command::Keep => test::keep(&signals),
        Command::Lint => lint::lint(&signals),
        Command::Load(arguments) => load::load(&arguments, &signals),
        Command::Faults(arguments) => load::faults(&arguments, &signals),
        Command::Help => {
            print(USAGE.trim_end());
            Ok(0)
        }
    }
}
