//! The settings of a private PostgreSQL server, written anew at each start so that a newer checkout's settings reach
//! older data. Durability is never traded for speed here: fsync and synchronous_commit stay on.

use std::fmt::Write;

/// Standbys may need to be this far behind before the primary lets go of what they miss (they are then made anew).
const SLOT_KEEPS_MB: u32 = 1024;

const CONNECTIONS_MAX: u32 = 300;

/// What differs from one server to the next.
pub(crate) struct Configuration<'a> {
    pub port: u16,
    /// Where a standby streams from.
    pub upstream: Option<Upstream<'a>>,
    /// `FIRST 1 (standby1)` or empty.
    pub synchronous_standbys: &'a str,
    pub statistics: bool,
    /// Settings of the caller, which win.
    pub extra: &'a [(String, String)],
}

pub(crate) struct Upstream<'a> {
    pub port: u16,
    pub user: &'a str,
    pub password: &'a str,
    /// Both the slot's name on the primary and the name that the standby shows there.
    pub name: &'a str,
}

impl Configuration<'_> {
    /// The text of the settings file.
    pub(crate) fn text(&self) -> String {
        let mut text =
            String::from("# Written at each start by Weir (crates/embedded). Changes here don't last.\n");
        let mut set = |name: &str, value: &str| {
            writeln!(text, "{name} = '{}'", value.replace('\'', "''"))
                .expect("writing to a string can't fail");
        };
        set("listen_addresses", "127.0.0.1");
        set("port", &self.port.to_string());
        set("unix_socket_directories", "");
        set("max_connections", &CONNECTIONS_MAX.to_string());
        set("password_encryption", "scram-sha-256");
        set("timezone", "UTC");
        set("log_timezone", "UTC");
        set("lc_messages", "C");
        set("log_line_prefix", "%m [%p] %q%u@%d ");
        set("shared_buffers", "256MB");
        set("fsync", "on");
        set("synchronous_commit", "on");
        if cfg!(target_os = "linux") {
            // After a crash every file is synced: one by one that took seven seconds, at once less than one.
            set("recovery_init_sync_method", "syncfs");
        }
        set("wal_level", "replica");
        set("max_wal_senders", "10");
        set("max_replication_slots", "10");
        set("max_slot_wal_keep_size", &format!("{SLOT_KEEPS_MB}MB"));
        set("hot_standby", "on");
        set("hot_standby_feedback", "on");
        set("wal_receiver_status_interval", "1s");
        set("wal_retrieve_retry_interval", "200ms");
        // A batch's event is some 30 kB: pglz took 2.2 ms for it, lz4 0.9.
        set("default_toast_compression", "lz4");
        set("track_io_timing", "on");
        set("synchronous_standby_names", self.synchronous_standbys);
        if self.statistics {
            set("shared_preload_libraries", "pg_stat_statements");
        }
        if let Some(up) = &self.upstream {
            set(
                "primary_conninfo",
                &format!(
                    "host=127.0.0.1 port={} user={} password={} application_name={}",
                    up.port, up.user, up.password, up.name
                ),
            );
            set("primary_slot_name", up.name);
        }
        for (name, value) in self.extra {
            set(name, value);
        }
        text
    }
}

/// Who may log in: anyone with a password, from this machine.
pub(crate) const ACCESS: &str = "\
# Written by Weir (crates/embedded).
host all         all 127.0.0.1/32 scram-sha-256
host replication all 127.0.0.1/32 scram-sha-256
";

#[cfg(test)]
mod tests {
    use super::{Configuration, Upstream};

    #[test]
    fn quotes_in_values_are_doubled_and_the_callers_settings_come_last() {
        let extra =
            [("application_name".to_owned(), "it's".to_owned()), ("fsync".to_owned(), "off".to_owned())];
        let configuration = Configuration {
            port: 21_000,
            upstream: Some(Upstream { port: 21_001, user: "postgres", password: "p", name: "standby1" }),
            synchronous_standbys: "FIRST 1 (standby1)",
            statistics: true,
            extra: &extra,
        };
        let text = configuration.text();
        assert!(text.contains("application_name = 'it''s'\n"));
        assert!(text.rfind("fsync = 'off'") > text.find("fsync = 'on'"));
        assert!(text.contains("primary_slot_name = 'standby1'"));
    }
}
