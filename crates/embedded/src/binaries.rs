//! Where the programs are: PostgreSQL's and Redis', in the folders of Debian, Fedora, Homebrew and on the `PATH`.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::{Doing, Error};

/// PostgreSQL 15 is what the statements were written for and measured on.
pub const OLDEST_POSTGRES_MAJOR: u32 = 15;

/// Names a folder of PostgreSQL's programs that wins over every other one.
const FOLDER_VARIABLE: &str = "WEIR_PG_BIN";

/// What a folder must hold to be of use; `psql` and `pg_basebackup` come with the client package.
const NEEDED: [&str; 4] = ["postgres", "initdb", "pg_basebackup", "psql"];

/// Folders that hold one folder per version, with the programs' folder in it.
const VERSIONED: [(&str, &str, &str); 5] = [
    ("/usr/lib/postgresql", "", "bin"),
    ("/usr", "pgsql-", "bin"),
    ("/opt/homebrew/opt", "postgresql", "bin"),
    ("/usr/local/opt", "postgresql", "bin"),
    ("/home/linuxbrew/.linuxbrew/opt", "postgresql", "bin"),
];

/// One installed PostgreSQL.
#[derive(Debug, Clone)]
pub struct Postgres {
    folder: PathBuf,
    major: u32,
}

impl Postgres {
    /// The newest installed PostgreSQL that is not too old.
    pub fn find() -> Result<Postgres, Error> {
        Self::choose(None)
    }

    /// The PostgreSQL that wrote `data`, or the newest when there is no data yet.
    pub(crate) fn find_for(data: &Path) -> Result<Postgres, Error> {
        let major =
            fs::read_to_string(data.join("PG_VERSION")).ok().and_then(|text| text.trim().parse().ok());
        Self::choose(major).map_err(|error| match (error, major) {
            (Error::Version(_), Some(major)) => Error::Version(format!(
                "the data in {} was written by PostgreSQL {major}, which is not installed; install it, or move the data \
                 away to begin afresh",
                data.display()
            )),
            (error, _) => error,
        })
    }

    fn choose(major: Option<u32>) -> Result<Postgres, Error> {
        let mut installed: Vec<Postgres> = folders().into_iter().filter_map(Postgres::in_folder).collect();
        if env::var_os(FOLDER_VARIABLE).is_none() {
            installed.sort_by_key(|postgres| std::cmp::Reverse(postgres.major));
        }
        let newest = installed.first().map(|postgres| postgres.major);
        let fits = |postgres: &Postgres| match major {
            Some(major) => postgres.major == major,
            None => postgres.major >= OLDEST_POSTGRES_MAJOR,
        };
        match (installed.into_iter().find(fits), newest) {
            (Some(postgres), _) => Ok(postgres),
            (None, Some(newest)) => Err(Error::Version(format!(
                "PostgreSQL {OLDEST_POSTGRES_MAJOR} or newer is needed, {newest} is installed"
            ))),
            (None, None) => Err(Error::Missing(format!(
                "PostgreSQL ({}) is not installed in /usr/lib/postgresql/*/bin, Homebrew's folders or on the PATH",
                NEEDED.join(", ")
            ))),
        }
    }

    fn in_folder(folder: PathBuf) -> Option<Postgres> {
        if !NEEDED.iter().all(|program| folder.join(program).is_file()) {
            return None;
        }
        let output = Command::new(folder.join("postgres")).arg("--version").output().ok()?;
        let major = major_of(&String::from_utf8_lossy(&output.stdout))?;
        Some(Postgres { folder, major })
    }

    /// The folder of the programs.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The major version.
    pub fn major(&self) -> u32 {
        self.major
    }

    /// One of its programs, without any `PG…` setting of the caller's environment.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.folder.join(program));
        for (name, _) in env::vars_os() {
            if name.to_string_lossy().starts_with("PG") {
                command.env_remove(name);
            }
        }
        command.env("LC_ALL", "C");
        command
    }

    /// Does this installation have the loadable module `name`? (`pg_stat_statements` is in a package of its own in
    /// some distributions.)
    pub(crate) fn has_module(&self, name: &str) -> Result<bool, Error> {
        let pg_config = self.folder.join("pg_config");
        let told = if pg_config.is_file() {
            let output =
                Command::new(&pg_config).arg("--pkglibdir").output().doing(|| "run pg_config".into())?;
            Some(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()))
        } else {
            None
        };
        let usual = ["../lib", "../lib/postgresql", "../lib/pgsql", "../lib64/pgsql"]
            .map(|path| self.folder.join(path));
        Ok(told.into_iter().chain(usual).any(|folder| {
            ["so", "dylib"].iter().any(|ending| folder.join(format!("{name}.{ending}")).is_file())
        }))
    }
}

/// Redis' server, or Valkey's, which speaks the same protocol and is what Fedora ships.
pub fn find_redis() -> Result<PathBuf, Error> {
    let names = ["redis-server", "valkey-server"];
    let usual = ["/usr/bin", "/usr/local/bin", "/opt/homebrew/bin", "/home/linuxbrew/.linuxbrew/bin"]
        .map(PathBuf::from);
    on_path()
        .into_iter()
        .chain(usual)
        .flat_map(|folder| names.map(|name| folder.join(name)))
        .find(|program| program.is_file())
        .ok_or_else(|| Error::Missing("Redis (redis-server or valkey-server) is not on the PATH".into()))
}

fn folders() -> Vec<PathBuf> {
    if let Some(folder) = env::var_os(FOLDER_VARIABLE) {
        return vec![PathBuf::from(folder)];
    }
    let mut folders = Vec::new();
    for (parent, prefix, inside) in VERSIONED {
        let Ok(entries) = fs::read_dir(parent) else { continue };
        for entry in entries.flatten() {
            if entry.file_name().to_string_lossy().starts_with(prefix) {
                folders.push(entry.path().join(inside));
            }
        }
    }
    folders.push("/usr/local/pgsql/bin".into());
    folders.extend(on_path());
    folders
}

fn on_path() -> Vec<PathBuf> {
    env::var_os("PATH").map(|path| env::split_paths(&path).collect()).unwrap_or_default()
}

/// `postgres (PostgreSQL) 15.18 (Debian …)` is 15; a beta (`17beta1`) is 17.
fn major_of(version: &str) -> Option<u32> {
    let number = version.split_whitespace().find(|word| word.starts_with(|c: char| c.is_ascii_digit()))?;
    number.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::major_of;

    #[test]
    fn the_major_version_is_read_from_what_postgres_says() {
        assert_eq!(major_of("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n"), Some(15));
        assert_eq!(major_of("postgres (PostgreSQL) 17beta1"), Some(17));
        assert_eq!(major_of("postgres"), None);
    }
}
