//! The user that servers run as. PostgreSQL refuses to run as root, so root drops to the `postgres` user that the
//! package makes, or to a `weir` user made here; everyone else runs the servers as themselves.

use std::fs::{self, DirBuilder};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use nix::unistd::{Gid, Uid, User, geteuid};

use crate::error::{Doing, Error};

/// The users that root may drop to, in order; the last one is made when none exists.
const UNPRIVILEGED: [&str; 2] = ["postgres", "weir"];

/// Who runs the servers and owns their files.
#[derive(Debug, Clone)]
pub struct Account {
    /// `None`: whoever runs this program.
    dropped: Option<(Uid, Gid, String)>,
}

impl Account {
    /// The account for servers started by this process.
    pub fn choose() -> Result<Account, Error> {
        if !geteuid().is_root() {
            return Ok(Account::own());
        }
        for name in UNPRIVILEGED {
            if let Some(account) = Account::named(name)? {
                return Ok(account);
            }
        }
        let name = UNPRIVILEGED[UNPRIVILEGED.len() - 1];
        let made = Command::new("useradd")
            .args(["--system", "--no-create-home", "--shell", "/usr/sbin/nologin", name])
            .status()
            .is_ok_and(|status| status.success());
        match Account::named(name)? {
            Some(account) if made => Ok(account),
            _ => Err(Error::NoAccount(format!(
                "PostgreSQL refuses to run as root, and no unprivileged user was found. Make one: useradd --system {name}"
            ))),
        }
    }

    /// Whoever runs this program, root too: for programs other than servers.
    pub fn own() -> Account {
        Account { dropped: None }
    }

    /// The account that owns a folder of data already, if that is another one: its user may have been all there was
    /// when the data was made.
    pub(crate) fn or_owner_of(self, folder: &Path) -> Account {
        let Some((uid, ..)) = self.dropped else { return self };
        match fs::metadata(folder) {
            Ok(found) if found.uid() != uid.as_raw() && found.uid() != 0 => {
                let (uid, gid) = (Uid::from_raw(found.uid()), Gid::from_raw(found.gid()));
                let name =
                    User::from_uid(uid).ok().flatten().map_or_else(|| uid.to_string(), |user| user.name);
                Account { dropped: Some((uid, gid, name)) }
            }
            _ => self,
        }
    }

    fn named(name: &str) -> Result<Option<Account>, Error> {
        let user = User::from_name(name).doing(|| format!("look up the user {name}"))?;
        Ok(user.map(|user| Account { dropped: Some((user.uid, user.gid, user.name)) }))
    }

    /// The user's name when root drops to it.
    pub fn name(&self) -> Option<&str> {
        self.dropped.as_ref().map(|(_, _, name)| name.as_str())
    }

    /// Makes `command` run as this account (its groups are dropped too).
    pub(crate) fn applies_to(&self, command: &mut Command) {
        if let Some((uid, gid, _)) = self.dropped {
            command.uid(uid.as_raw()).gid(gid.as_raw());
        }
    }

    /// Makes a folder that only this account enters, or hands over one that is there.
    pub(crate) fn own_folder(&self, path: &Path) -> Result<(), Error> {
        if !path.is_dir() {
            DirBuilder::new().mode(0o700).create(path).doing(|| format!("make {}", path.display()))?;
        }
        self.take(path)
    }

    /// Writes a file that only this account (and root) reads.
    pub(crate) fn own_file(&self, path: &Path, content: &str) -> Result<(), Error> {
        let doing = || format!("write {}", path.display());
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(path)
            .doing(doing)?;
        file.write_all(content.as_bytes()).doing(doing)?;
        self.take(path)
    }

    fn take(&self, path: &Path) -> Result<(), Error> {
        match self.dropped {
            Some((uid, gid, _)) => chown(path, Some(uid.as_raw()), Some(gid.as_raw()))
                .doing(|| format!("hand over {}", path.display())),
            None => Ok(()),
        }
    }

    /// Can this account get to `path`, whose last part may not exist yet? A checkout under `/root` (0700) is out of
    /// an unprivileged user's reach.
    pub(crate) fn reaches(&self, path: &Path) -> bool {
        let Some((uid, gid, _)) = &self.dropped else { return true };
        path.ancestors().filter_map(|folder| fs::metadata(folder).ok()).all(|folder| {
            let mode = folder.permissions().mode();
            if folder.uid() == uid.as_raw() {
                mode & 0o100 != 0
            } else if folder.gid() == gid.as_raw() {
                mode & 0o010 != 0
            } else {
                mode & 0o001 != 0
            }
        })
    }
}
