//! What is counted. Everything in the second half of the table must be 0.

use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};
use tokio_postgres::NoTls;

/// Findings that are kept in words.
const FINDINGS_MAX: usize = 20;
/// The schemas that hold streams.
const SCHEMAS: [&str; 3] = ["trading", "household", "health"];

/// A count that many tasks add to.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// Adds.
    pub fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    /// The sum so far.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// All counts of a run.
#[derive(Debug, Default)]
#[expect(missing_docs, reason = "`counts` says what each is")]
pub struct Tally {
    pub orders: Count,
    pub edits: Count,
    pub samples: Count,
    pub imports: Count,
    pub repeated: Count,
    pub resumed: Count,
    pub commits_cut: Count,
    pub events: Count,
    pub lost: Count,
    pub doubled: Count,
    pub gaps: Count,
    pub stale: Count,
    pub broken: Count,
    findings: Mutex<Vec<String>>,
}

impl Tally {
    /// What each flow has had acknowledged.
    pub fn flows(&self) -> [(&'static str, &Count); 3] {
        [("trading", &self.orders), ("household", &self.edits), ("health", &self.samples)]
    }

    /// The same in words.
    pub fn acknowledged(&self) -> String {
        format!("{} orders, {} edits, {} samples", self.orders.get(), self.edits.get(), self.samples.get())
    }

    /// Something that must not be.
    pub fn find(&self, count: &Count, what: impl FnOnce() -> String) {
        count.add(1);
        let mut findings = self.findings.lock().expect("nothing panics while it holds the lock");
        if findings.len() < FINDINGS_MAX {
            findings.push(what());
        }
    }

    /// How much there is that must not be.
    pub fn wrong(&self) -> u64 {
        self.must_be_none().iter().map(|(_, count)| count.get()).sum()
    }

    /// Whether there is nothing that must not be.
    pub fn is_clean(&self) -> bool {
        self.wrong() == 0
    }

    /// Each count by its name.
    pub fn counts(&self) -> Value {
        let all = self.done().into_iter().chain(self.must_be_none());
        Value::Object(all.map(|(name, count)| (name.to_owned(), json!(count.get()))).collect())
    }

    fn done(&self) -> [(&'static str, &Count); 8] {
        [
            ("orders and cancels acknowledged", &self.orders),
            ("edits acknowledged", &self.edits),
            ("samples acknowledged", &self.samples),
            ("imports committed", &self.imports),
            ("requests repeated", &self.repeated),
            ("channels resumed", &self.resumed),
            ("commits whose answer was cut", &self.commits_cut),
            ("events in the streams", &self.events),
        ]
    }

    fn must_be_none(&self) -> [(&'static str, &Count); 5] {
        [
            ("acknowledged and lost", &self.lost),
            ("done twice", &self.doubled),
            ("gaps and repeats on streams and channels", &self.gaps),
            ("changes that a process never heard of", &self.stale),
            ("invariants broken, differences from the model", &self.broken),
        ]
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, count) in self.done() {
            writeln!(f, "  {:>9}  {name}", count.get())?;
        }
        writeln!(f, "must be 0:")?;
        for (name, count) in self.must_be_none() {
            writeln!(f, "  {:>9}  {name}", count.get())?;
        }
        for finding in self.findings.lock().expect("nothing panics while it holds the lock").iter() {
            writeln!(f, "  - {finding}")?;
        }
        Ok(())
    }
}

/// Every stream's events are its numbers from 1 to its head, each once.
pub async fn check_streams(database_url: &str, tally: &Tally) -> anyhow::Result<()> {
    let (client, connection) = tokio_postgres::connect(database_url, NoTls).await?;
    let connection = tokio::spawn(connection);
    for schema in SCHEMAS {
        let streams = format!(
            "SELECT s.id, s.head, count(e.seq), count(DISTINCT e.seq), coalesce(min(e.seq), 1), coalesce(max(e.seq), 0)
             FROM {schema}.stream s LEFT JOIN {schema}.event e ON e.kind = s.kind AND e.stream = s.id GROUP BY s.id, s.head"
        );
        for row in client.query(&streams, &[]).await? {
            let [head, events, numbers, first, last] = [1, 2, 3, 4, 5].map(|at| row.get::<_, i64>(at));
            tally.events.add(events as u64);
            if (events, numbers, last) != (head, head, head) || first != 1 {
                let id: uuid::Uuid = row.get(0);
                tally.find(&tally.gaps, || {
                    format!("{schema} stream {id}: head {head}, {events} events from {first} to {last}")
                });
            }
        }
    }
    drop(client);
    connection.await??;
    Ok(())
}
