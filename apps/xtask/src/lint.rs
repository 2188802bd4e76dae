//! `cargo xtask lint`: what a reviewer should never have to say.

use std::collections::BTreeMap;
use std::env;
use std::error::Error;
use std::fs;
use std::path::Path;
use std::process::Command;

use embedded::Place;

use crate::program::{cargo, root};
use crate::servers::open_place;
use crate::signals::Signals;
use crate::terminal::say;

/// Longer files are cut by noun.
const FILE_LINES_MAX: usize = 500;

/// Two versions of these don't understand one another.
const ONE_VERSION: [&str; 5] = ["axum", "utoipa", "tokio-postgres", "tungstenite", "tokio-tungstenite"];

/// Tools that come from crates.io, at the version that the checks were written for.
const TOOLS: [Tool; 2] = [
    Tool { package: "cargo-deny", version: "0.20.2", program: "cargo-deny" },
    Tool { package: "typos-cli", version: "1.52.0", program: "typos" },
];

struct Tool {
    package: &'static str,
    version: &'static str,
    program: &'static str,
}

/// Runs every check, and fails when one of them does.
pub fn lint(signals: &Signals) -> Result<i32, Box<dyn Error>> {
    let place = open_place("lint")?;
    let mut failed = Vec::new();
    let mut check = |name: &str, command: Command| -> Result<(), Box<dyn Error>> {
        say(&format!("... {name}"));
        if signals.run(command, &place, "lint")? != 0 {
            failed.push(name.to_owned());
        }
        Ok(())
    };
    check("format", with(cargo(), &["fmt", "--all", "--check"])?)?;
    check("clippy", with(cargo(), &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"])?)?;
    let [deny, typos] = TOOLS;
    if provide(&deny, &place, signals)? {
        // Advisories need a database from another host: the GitHub workflow asks for them.
        check(
            "licenses, bans and sources",
            with(Command::new(deny.program), &["--workspace", "check", "bans", "licenses", "sources"])?,
        )?;
    }
    if provide(&typos, &place, signals)? {
        check("spelling", with(Command::new(typos.program), &[])?)?;
    }
    for (name, complaints) in
        [("lengths of files", too_long()?), ("one version of each", duplicates(&tree()?))]
    {
        say(&format!("... {name}"));
        complaints.iter().for_each(|complaint| say(complaint));
        if !complaints.is_empty() {
            failed.push(name.to_owned());
        }
    }
    if failed.is_empty() {
        say(" ok lint");
        return Ok(0);
    }
    say(&format!("error: {}", failed.join("; ")));
    Ok(1)
}

fn with(mut command: Command, arguments: &[&str]) -> Result<Command, Box<dyn Error>> {
    command.args(arguments).current_dir(root()?);
    Ok(command)
}

/// True when the tool is there. CI installs a missing one; a developer is told how, since building it takes minutes.
fn provide(tool: &Tool, place: &Place, signals: &Signals) -> Result<bool, Box<dyn Error>> {
    if Command::new(tool.program).arg("--version").output().is_ok_and(|output| output.status.success()) {
        return Ok(true);
    }
    let wanted = format!("{}@{}", tool.package, tool.version);
    if env::var("CI").is_ok_and(|value| !value.is_empty()) {
        say(&format!("... installing {wanted}"));
        // Without optimizations: it takes half as long to build and still checks this tree in seconds.
        return match signals.run(
            with(cargo(), &["install", "--debug", "--locked", &wanted])?,
            place,
            "install",
        )? {
            0 => Ok(true),
            code => Err(format!("cargo install {wanted} failed ({code})").into()),
        };
    }
    say(&format!(
        "    {} is not installed, its check is left to CI: cargo install --locked {wanted}",
        tool.program
    ));
    Ok(false)
}

fn too_long() -> Result<Vec<String>, Box<dyn Error>> {
    let mut git = Command::new("git");
    git.args(["ls-files", "--cached", "--others", "--exclude-standard", "*.rs"]);
    let files = output(&mut git)?;
    let root = root()?;
    Ok(files.lines().filter_map(|file| complaint(&root, file)).collect())
}

fn complaint(root: &Path, file: &str) -> Option<String> {
    // A file that git still knows may be gone from the work tree.
    let lines = fs::read_to_string(root.join(file)).ok()?.lines().count();
    (lines > FILE_LINES_MAX).then(|| format!("{file}: {lines} lines, more than {FILE_LINES_MAX}"))
}

fn tree() -> Result<String, Box<dyn Error>> {
    let mut tree = cargo();
    tree.args(["tree", "--workspace", "--prefix", "none", "--format", "{p}", "--edges", "normal,build,dev"]);
    output(&mut tree)
}

/// Packages of [`ONE_VERSION`] that `cargo tree`'s lines (`name vVERSION …`) show in more than one version.
fn duplicates(tree: &str) -> Vec<String> {
    let mut versions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for line in tree.lines() {
        let mut words = line.split_whitespace();
        if let (Some(name), Some(version)) = (words.next(), words.next())
            && ONE_VERSION.contains(&name)
        {
            let seen = versions.entry(name).or_default();
            if !seen.contains(&version) {
                seen.push(version);
            }
        }
    }
    versions
        .into_iter()
        .filter(|(_, seen)| seen.len() > 1)
        .map(|(name, seen)| format!("{name} is here in several versions: {}", seen.join(", ")))
        .collect()
}

fn output(command: &mut Command) -> Result<String, Box<dyn Error>> {
    let output = command.current_dir(root()?).output()?;
    if output.status.success() {
        Ok(String::from_utf8(output.stdout)?)
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned().into())
    }
}

#[cfg(test)]
mod tests {
    use super::duplicates;

    #[test]
    fn a_second_version_is_a_complaint_and_a_second_mention_is_none() {
        let tree = "axum v0.8.9\nserde v1.0.0\naxum v0.8.9 (*)\nserde v2.0.0\ntungstenite v0.29.0\ntungstenite v0.30.0";
        assert_eq!(duplicates(tree), ["tungstenite is here in several versions: v0.29.0, v0.30.0"]);
    }
}
