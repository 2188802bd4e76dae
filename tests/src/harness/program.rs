//! The program as a process of its own: started, asked, stopped, killed.

use std::process::Stdio;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use super::{Database, User, setting};

/// The program with a command, on a database.
fn on(database: &Database, command: &str) -> Command {
    let mut program = Command::new(setting("WEIR_BIN"));
    program
        .arg(command)
        .env("DATABASE_URL", database.url())
        .env("DATABASE_READER_URLS", database.reader_url())
        .env("REDIS_URL", setting("WEIR_TEST_REDIS_URL"))
        // Each database is a data set of its own in Redis.
        .env("WEIR_EPOCH", &database.name)
        .env("WEIR_DATABASE_CONNECTIONS", "30")
        .env("WEIR_ENV", "development")
        .env("WEIR_DEV_KEY_FILE", std::env::temp_dir().join(format!("{}.key", database.name)))
        .stdin(Stdio::null())
        .kill_on_drop(true);
    program
}

/// Loads the demonstration data, as `cargo xtask up` does.
pub async fn load_demo(database: &Database) {
    let loaded = on(database, "demo").env("WEIR_LOG_FILTER", "warn").output().await.unwrap();
    assert!(loaded.status.success(), "{}", String::from_utf8_lossy(&loaded.stderr));
}

/// A process that serves. Killed when dropped.
pub struct Program {
    process: Child,
    /// `http://127.0.0.1:port`
    pub base: String,
    /// `http://127.0.0.1:port` of `/metrics`.
    pub admin: String,
    log: Arc<Mutex<Vec<String>>>,
}

impl Program {
    /// Starts the program on a database, with settings beside or instead of the tests' own, and waits until it serves.
    pub async fn start(database: &Database, settings: &[(&str, &str)]) -> Self {
        let mut command = on(database, "serve");
        command
            .env("WEIR_LISTEN", "127.0.0.1:0")
            .env("WEIR_ADMIN_LISTEN", "127.0.0.1:0")
            // The processes of one database are a fleet.
            .env("WEIR_INTERNAL_LISTEN", "127.0.0.1:0")
            .env("WEIR_INTERNAL_SECRET", "what the tests' fleet knows")
            .env("WEIR_LOG", "json")
            .envs(settings.iter().copied())
            .stderr(Stdio::piped());
        let mut process = command.spawn().expect("WEIR_BIN can be started");
        let mut log = BufReader::new(process.stderr.take().expect("stderr is piped")).lines();
        let mut said = Vec::new();
        let ready = loop {
            let Some(line) = log.next_line().await.unwrap() else {
                panic!("the program ended before it was ready:\n{}", said.join("\n"));
            };
            match serde_json::from_str::<Value>(&line) {
                Ok(line) if line["message"] == "ready" => break line,
                _ => said.push(line),
            }
        };
        let lines = Arc::new(Mutex::new(said));
        let kept = lines.clone();
        tokio::spawn(async move {
            while let Ok(Some(line)) = log.next_line().await {
                kept.lock().unwrap().push(line);
            }
        });
        let address =
            |name: &str| format!("http://{}", ready[name].as_str().expect("the log says the address"));
        Self { process, base: address("listen"), admin: address("admin"), log: lines }
    }

    /// What it has logged so far, line by line.
    pub fn logged(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }

    /// The memory that it holds.
    pub fn resident_bytes(&self) -> u64 {
        let pid = self.process.id().expect("it runs");
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        resident.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }

    /// A person with every module's scopes.
    pub async fn user(&self, name: &str) -> User {
        User::sign_in(&self.base, json!({"sub": name})).await
    }

    /// A person with these scopes alone.
    pub async fn user_with(&self, name: &str, scopes: &[&str]) -> User {
        User::sign_in(&self.base, json!({"sub": name, "scopes": scopes})).await
    }

    /// The sum of a counter over all of its labels that have this text; 0 when it was never counted.
    pub async fn counted(&self, name: &str, label: &str) -> u64 {
        let metrics = reqwest::get(format!("{}/metrics", self.admin)).await.unwrap().text().await.unwrap();
        let lines = metrics.lines().filter(|line| line.starts_with(name) && line.contains(label));
        lines.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
    }

    /// `kill -9`.
    pub async fn kill(mut self) {
        self.process.kill().await.unwrap();
    }

    /// SIGTERM, and the exit code.
    pub async fn stop(mut self) -> Option<i32> {
        self.signal("-TERM").await;
        self.process.wait().await.unwrap().code()
    }

    /// SIGHUP: read the policy file again.
    pub async fn hang_up(&self) {
        self.signal("-HUP").await;
    }

    /// SIGSTOP: as a process does that the machine gives no time to.
    pub async fn stand_still(&self) {
        self.signal("-STOP").await;
    }

    /// SIGCONT: it goes on as if nothing had been.
    pub async fn go_on(&self) {
        self.signal("-CONT").await;
    }

    async fn signal(&self, signal: &str) {
        let pid = self.process.id().expect("it runs").to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().await.unwrap().success());
    }
}
