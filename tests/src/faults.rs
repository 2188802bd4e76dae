//! The short form of `cargo xtask faults`.

use load::faults::{Arguments, rounds};

use crate::harness::setting;

/// Each kind of fault twice.
const ROUNDS: usize = 10;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_breaks_nothing_acknowledged_is_lost_or_done_twice() {
    let arguments = Arguments { rounds: ROUNDS, json: false, program: setting("WEIR_BIN").into() };
    let tally = rounds(&arguments).await.unwrap();
    assert!(tally.is_clean(), "{tally}");
    assert!(tally.commits_cut.get() > 0 && tally.resumed.get() > 0 && tally.imports.get() > 0, "{tally}");
}
