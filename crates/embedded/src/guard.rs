//! Makes a server end with the program that started it, however that program ends: a shell waits on a pipe whose other
//! end only the program holds. `PR_SET_PDEATHSIG` would do it on Linux alone, and fires when the starting *thread* ends.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, Stdio};

use crate::account::Account;
use crate::error::{Doing, Error};
use crate::process::Stop;

/// A line means "all is well, go"; the end of the pipe without one means that the program died.
const SCRIPT: &str = r#"trap '' INT TERM HUP; read -r line || kill -s "$0" -- "$1""#;

pub(crate) struct Guard {
    shell: Child,
    pipe: Option<ChildStdin>,
}

impl Guard {
    /// Stops process `pid` when this program ends without [`Guard::release`]. It runs as the server's account, so that
    /// it can hit nobody else's process.
    pub(crate) fn over(pid: u32, stop: Stop, account: &Account) -> Result<Guard, Error> {
        let (signal, target) = match stop {
            Stop::Terminate => ("TERM", pid.to_string()),
            Stop::Fast => ("INT", pid.to_string()),
            Stop::Group => ("TERM", format!("-{pid}")),
        };
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", SCRIPT, signal, &target])
            .current_dir("/")
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        account.applies_to(&mut command);
        let mut shell = command.spawn().doing(|| "start /bin/sh".into())?;
        let pipe = shell.stdin.take();
        Ok(Guard { shell, pipe })
    }

    /// The server has ended, its number may soon be another process's: the guard goes without a signal.
    pub(crate) fn release(&mut self) {
        if let Some(mut pipe) = self.pipe.take() {
            // A guard that is gone already can't be told, and need not be.
            let _ = pipe.write_all(b"go\n");
        }
        let _ = self.shell.wait();
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.pipe = None;
        let _ = self.shell.wait();
    }
}
