//! What can be typed after `cargo xtask`.

/// Printed by `cargo xtask` and `cargo xtask help`.
pub const USAGE: &str = "\
Usage: cargo xtask COMMAND

  up [--port N] [--release]   Serve on this machine: PostgreSQL with a standby, Redis, demo data, the program.
                              Installs what is missing. Ctrl-C stops all of it; the data stays in .weir/data.
  test [ARGUMENTS]            Run the tests; the arguments are cargo test's (a name, -p CRATE, -- --nocapture).
  test --keep                 Only start the servers that the tests need, and print how to reach them.
  lint                        Format, clippy, licenses, spelling, lengths of files, duplicated dependencies.
  bench NAME [--json] [...]   Measure against a release build; the rows alone go to stdout.
  replay PATH [...]           Play recorded traffic through the public API and compare.
  faults [--rounds N] [--json] Kill, promote and cut servers of its own while all flows run; count what was lost.

bench and replay use the server at $WEIR when that is set, and start one of their own otherwise.
";

/// One command, understood.
#[derive(Debug, PartialEq, Eq)]
pub enum Command {
    /// Serve until Ctrl-C.
    Up {
        /// The port that was asked for.
        port: Option<u16>,
        /// Build with optimizations.
        release: bool,
    },
    /// Run the tests with these arguments of `cargo test`.
    Test(Vec<String>),
    /// Start the servers of the tests until Ctrl-C.
    Keep,
    /// Check the sources.
    Lint,
    /// Hand these arguments to the load program.
    Load(Vec<String>),
    /// Hand these arguments to the load program's faults.
    Faults(Vec<String>),
    /// Print the usage.
    Help,
}

/// Understands the words after `cargo xtask`, or says what is wrong with them.
pub fn parse(words: &[String]) -> Result<Command, String> {
    let Some((command, rest)) = words.split_first() else { return Ok(Command::Help) };
    match command.as_str() {
        "up" => parse_up(rest),
        "test" => match rest {
            [only] if only == "--keep" => Ok(Command::Keep),
            _ => Ok(Command::Test(rest.to_vec())),
        },
        "lint" if rest.is_empty() => Ok(Command::Lint),
        "lint" => Err(format!("lint takes no arguments, got {}", rest.join(" "))),
        "bench" | "replay" if rest.is_empty() => Err(format!("{command} needs a name; see cargo xtask help")),
        "bench" | "replay" => Ok(Command::Load(words.to_vec())),
        "faults" => Ok(Command::Faults(rest.to_vec())),
        "help" | "--help" | "-h" => Ok(Command::Help),
        other => Err(format!("there is no command {other}; see cargo xtask help")),
    }
}

fn parse_up(words: &[String]) -> Result<Command, String> {
    let (mut port, mut release) = (None, false);
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let value = match word.as_str() {
            "--release" => {
                release = true;
                continue;
            }
            "--port" => words.next().ok_or("--port needs a number")?,
            _ => word.strip_prefix("--port=").ok_or_else(|| format!("up doesn't know {word}"))?,
        };
        match value.parse() {
            Ok(number) if number > 0 => port = Some(number),
            _ => return Err(format!("--port needs a number from 1 to 65535, got {value}")),
        }
    }
    Ok(Command::Up { port, release })
}

#[cfg(test)]
mod tests {
    use super::{Command, parse};

    fn parsed(line: &str) -> Result<Command, String> {
        parse(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn up_takes_a_port_in_both_spellings() {
        let at = |port| Ok(Command::Up { port, release: false });
        assert_eq!(parsed("up"), at(None));
        assert_eq!(parsed("up --port 18080"), at(Some(18080)));
        assert_eq!(parsed("up --port=18080"), at(Some(18080)));
        assert!(parsed("up --port").is_err());
        assert!(parsed("up --port 0").is_err());
        assert!(parsed("up --port 65536").is_err());
        assert!(parsed("up 8080").is_err());
    }

    #[test]
    fn everything_after_test_is_for_cargo() {
        assert_eq!(parsed("test --keep"), Ok(Command::Keep));
        assert_eq!(
            parsed("test -p tests -- --nocapture"),
            Ok(Command::Test(vec!["-p".into(), "tests".into(), "--".into(), "--nocapture".into()]))
        );
    }

    #[test]
    fn the_load_program_gets_its_command_too() {
        assert_eq!(
            parsed("bench trading --json"),
            Ok(Command::Load(vec!["bench".into(), "trading".into(), "--json".into()]))
        );
        assert!(parsed("replay").is_err());
    }
}
