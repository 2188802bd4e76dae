//! The folder that holds private servers: who may use it (one program at a time), where it really is, and which ports
//! its servers have.

use std::collections::BTreeMap;
use std::env;
use std::fs::{self, File, TryLockError};
use std::io::{Read, Seek, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::account::Account;
use crate::error::{Doing, Error};
use crate::leftover;

/// Where data goes when the servers' user can't reach the checkout (root's home is closed to others).
const ELSEWHERE: &str = "/var/lib/weir";

/// Names the folder in which [`Place::temporary`] makes its folders.
const TEMPORARY_VARIABLE: &str = "WEIR_TEST_DIR";

/// Below the ports that Linux and macOS give to outgoing connections, and far from every standard port.
const PORTS: std::ops::Range<u16> = 21_000..31_000;

/// How many ports are tried before giving up.
const PORT_TRIES: usize = 500;

/// How long a connection to one's own machine may take.
const CONNECT_PATIENCE: Duration = Duration::from_millis(500);

/// A folder of private servers, held by one program at a time. Clones share the hold; the last one frees it.
#[derive(Debug, Clone)]
pub struct Place(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    folder: PathBuf,
    account: Account,
    elsewhere: bool,
    temporary: bool,
    leftovers: usize,
    ports: Mutex<BTreeMap<String, u16>>,
    /// Held for its lock, which ends with it, also when this program is killed.
    lock: File,
}

impl Place {
    /// The place `name` in `parent` (made when missing). Fails when another program holds it; what a killed program
    /// left running here is stopped.
    pub fn open(parent: &Path, name: &str) -> Result<Place, Error> {
        let account = Account::choose()?;
        open_folder(parent)?;
        let parent = parent.canonicalize().doing(|| format!("find {}", parent.display()))?;
        let wanted = parent.join(name);
        let (folder, orphaned) = real_folder(&wanted, &account)?;
        open_folder(&folder)?;
        let account = account.or_owner_of(&folder.join("postgres"));
        let mut inner = Self::hold(folder, account)?;
        inner.elsewhere = inner.folder != wanted;
        inner.leftovers = leftover::stop_all_below(&inner.folder)?;
        let place = Place(Arc::new(inner));
        if orphaned {
            place.clear()?;
        }
        Ok(place)
    }

    /// A place of its own that is removed at the end, for a test that kills, promotes or reconfigures servers.
    pub fn temporary(label: &str) -> Result<Place, Error> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let parent = env::var_os(TEMPORARY_VARIABLE).map_or_else(env::temp_dir, PathBuf::from);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let folder = parent.join(format!("weir-{label}-{}-{number}", std::process::id()));
        open_folder(&folder)?;
        let folder = folder.canonicalize().doing(|| format!("find {}", folder.display()))?;
        let mut inner = Self::hold(folder, Account::choose()?)?;
        inner.temporary = true;
        Ok(Place(Arc::new(inner)))
    }

    fn hold(folder: PathBuf, account: Account) -> Result<Inner, Error> {
        let path = folder.join("lock");
        let doing = || format!("lock {}", path.display());
        let mut lock =
            File::options().read(true).write(true).create(true).truncate(false).open(&path).doing(doing)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                let _ = lock.read_to_string(&mut holder);
                return Err(Error::Locked { folder, holder: holder.trim().to_owned() });
            }
            Err(TryLockError::Error(error)) => return Err(error).doing(doing),
        }
        let program: Vec<String> = env::args().skip(1).collect();
        lock.set_len(0).doing(doing)?;
        lock.rewind().doing(doing)?;
        writeln!(lock, "process {} ({})", std::process::id(), program.join(" ")).doing(doing)?;
        let ports = Mutex::new(remembered_ports(&folder));
        Ok(Inner { folder, account, elsewhere: false, temporary: false, leftovers: 0, ports, lock })
    }

    /// Where the data really is.
    pub fn folder(&self) -> &Path {
        &self.0.folder
    }

    /// The user that servers here run as.
    pub fn account(&self) -> &Account {
        &self.0.account
    }

    /// Is the data outside of the folder that was asked for (because the servers' user can't reach that)?
    pub fn is_elsewhere(&self) -> bool {
        self.0.elsewhere
    }

    /// The port of the server `name`: the one it had before when that is still free, else a free one, remembered.
    pub fn port(&self, name: &str) -> Result<u16, Error> {
        let mut ports = self.0.ports.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(port) = ports.get(name).copied().filter(|port| is_port_free(*port)) {
            return Ok(port);
        }
        let mut candidates = random_ports()?;
        let port = candidates
            .find(|port| !ports.values().any(|taken| taken == port) && is_port_free(*port))
            .ok_or_else(|| {
                Error::Missing(format!("no free port between {} and {}", PORTS.start, PORTS.end))
            })?;
        ports.insert(name.to_owned(), port);
        self.remember(&ports)?;
        Ok(port)
    }

    fn remember(&self, ports: &BTreeMap<String, u16>) -> Result<(), Error> {
        let text: String = ports.iter().map(|(name, port)| format!("{name} {port}\n")).collect();
        let path = self.0.folder.join("ports");
        fs::write(&path, text).doing(|| format!("write {}", path.display()))
    }

    /// Will it be removed at the end?
    pub(crate) fn is_temporary(&self) -> bool {
        self.0.temporary
    }

    /// How many processes a killed program had left running here; [`Place::open`] stopped them.
    pub fn leftovers(&self) -> usize {
        self.0.leftovers
    }

    /// Removes all data, for a run that begins afresh. Call it before anything is started here.
    pub fn clear(&self) -> Result<(), Error> {
        let doing = || format!("clear {}", self.0.folder.display());
        for entry in fs::read_dir(&self.0.folder).doing(doing)? {
            let entry = entry.doing(doing)?;
            if entry.file_name() == "lock" || entry.file_name() == "ports" {
                continue;
            }
            if entry.file_type().doing(doing)?.is_dir() {
                fs::remove_dir_all(entry.path()).doing(doing)?;
            } else {
                fs::remove_file(entry.path()).doing(doing)?;
            }
        }
        Ok(())
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if self.temporary {
            let _ = fs::remove_dir_all(&self.folder);
        }
        // Closing alone is not enough: a process that another thread is starting may have the file open until it execs.
        let _ = self.lock.unlock();
    }
}

/// Nobody listens on this port of 127.0.0.1, nor on all addresses.
pub fn is_port_free(port: u16) -> bool {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    TcpStream::connect_timeout(&address, CONNECT_PATIENCE).is_err() && TcpListener::bind(address).is_ok()
}

fn random_ports() -> Result<impl Iterator<Item = u16>, Error> {
    let mut bytes = vec![0; PORT_TRIES * 2];
    File::open("/dev/urandom")
        .and_then(|mut file| file.read_exact(&mut bytes))
        .doing(|| "read /dev/urandom".into())?;
    Ok((0..PORT_TRIES).map(move |i| {
        let number = u16::from_le_bytes([bytes[2 * i], bytes[2 * i + 1]]);
        PORTS.start + number % (PORTS.end - PORTS.start)
    }))
}

fn remembered_ports(folder: &Path) -> BTreeMap<String, u16> {
    let text = fs::read_to_string(folder.join("ports")).unwrap_or_default();
    text.lines()
        .filter_map(|line| {
            let (name, port) = line.split_once(' ')?;
            Some((name.to_owned(), port.parse().ok()?))
        })
        .collect()
}

/// A folder that everyone may pass through, whatever the umask: the data below it has a stricter mode of its own.
fn open_folder(path: &Path) -> Result<(), Error> {
    if path.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(path).doing(|| format!("make {}", path.display()))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).doing(|| format!("open {}", path.display()))
}

/// `wanted`, or a folder of this checkout's own under `/var/lib/weir`, with a link to it at `wanted`. True when that
/// folder was left behind by a removed checkout of the same path.
fn real_folder(wanted: &Path, account: &Account) -> Result<(PathBuf, bool), Error> {
    let doing = || format!("make {}", wanted.display());
    let name = wanted.file_name().unwrap_or_default().to_string_lossy();
    let elsewhere =
        Path::new(ELSEWHERE).join(format!("{name}-{:016x}", fnv1a(wanted.as_os_str().as_encoded_bytes())));
    let is_link = wanted.is_symlink();
    if is_link && let Ok(target) = wanted.canonicalize() {
        // A copied or moved checkout brings its link along: that data is (or was) the original's.
        if !target.starts_with(ELSEWHERE) || target == elsewhere {
            return Ok((target, false));
        }
    }
    if is_link {
        fs::remove_file(wanted).doing(doing)?;
    }
    if wanted.is_dir() || wanted.parent().is_some_and(|parent| account.reaches(parent)) {
        return Ok((wanted.to_path_buf(), false));
    }
    let orphaned = elsewhere.exists();
    open_folder(Path::new(ELSEWHERE))?;
    open_folder(&elsewhere)?;
    symlink(&elsewhere, wanted).doing(doing)?;
    Ok((elsewhere, orphaned))
}

/// FNV-1a: the same path must give the same name for years, which the standard hasher doesn't promise.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::fnv1a;

    #[test]
    fn the_hash_is_fnv1a() {
        assert_eq!(fnv1a(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a(b"a"), 0xaf63_dc4c_8601_ec8c);
    }
}
