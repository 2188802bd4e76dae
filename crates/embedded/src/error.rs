//! What can go wrong with a private server, said so that a newcomer knows what to do next.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

/// Why a private server could not be made, started or stopped.
#[derive(Debug)]
pub enum Error {
    /// A program is not installed; the text names it and where it was looked for.
    Missing(String),
    /// The installed PostgreSQL does not fit: too old, or of another major version than the data.
    Version(String),
    /// Another process holds the folder.
    Locked {
        /// The folder.
        folder: PathBuf,
        /// The process that holds it, as it wrote itself down.
        holder: String,
    },
    /// A file or process operation failed.
    Io {
        /// What was being done.
        doing: String,
        /// The operating system's answer.
        source: io::Error,
    },
    /// A program ended with an error.
    Failed {
        /// The program.
        program: String,
        /// How it ended.
        status: ExitStatus,
        /// The end of what it wrote.
        output: String,
    },
    /// A server did not get ready, or did not stop, in time.
    Late {
        /// What was waited for.
        what: String,
        /// How long.
        waited: Duration,
        /// The end of its log.
        log: String,
    },
    /// No unprivileged user could be found or made to run the servers as.
    NoAccount(String),
    /// The server was stopped or killed before and has not been started again.
    NotRunning(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(text) | Self::Version(text) | Self::NoAccount(text) => f.write_str(text),
            Self::Locked { folder, holder } => {
                write!(f, "{} is in use by {holder}; stop that first", folder.display())
            }
            Self::Io { doing, source } => write!(f, "{doing}: {source}"),
            Self::Failed { program, status, output } => write!(f, "{program} failed ({status}):\n{output}"),
            Self::Late { what, waited, log } => {
                write!(f, "{what}: not done after {} s; the end of the log:\n{log}", waited.as_secs())
            }
            Self::NotRunning(server) => write!(f, "{server} is not running"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}

/// Names what was being done when an [`io::Error`] came.
pub(crate) trait Doing<T> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, Error>;
}

impl<T> Doing<T> for io::Result<T> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, Error> {
        self.map_err(|source| Error::Io { doing: what(), source })
    }
}

impl<T> Doing<T> for nix::Result<T> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, Error> {
        self.map_err(|errno| Error::Io { doing: what(), source: errno.into() })
    }
}
