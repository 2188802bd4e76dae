//! Back-pressure: a database that stands still, many devices that would go on, and what they are told.

use std::collections::{BTreeSet, VecDeque};

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::{SOCKET, beside_device, check, heart_rate, make_device, make_person, send_over, statuses_in};
use crate::harness::{Database, Program, Socket, User};

/// What is told here is no rate limit's.
const UNLIMITED: &[(&str, &str)] =
    &[("WEIR_POLICIES", concat!(env!("CARGO_MANIFEST_DIR"), "/src/harness/unlimited.toml"))];
/// What a socket may have under way while little is.
const MOST: u64 = 5_000;
/// What a message takes: its KiB, which are more than its samples.
const MESSAGE_CREDIT: u64 = 500;

/// A device that sends all that it is granted.
struct Sender {
    path: String,
    socket: Socket,
    next: i64,
    under_way: VecDeque<(u64, i64)>,
    /// What is not known to be on disk: the first numbers of messages.
    unanswered: BTreeSet<i64>,
}

impl Sender {
    async fn new(program: &Program, user: &User, path: String) -> Self {
        let mut socket = Socket::open(program, SOCKET, user).await;
        socket.until_granted(|_| true).await;
        Self { path, socket, next: 1, under_way: VecDeque::new(), unanswered: BTreeSet::new() }
    }

    fn message(&self, from: i64) -> Value {
        let filler = "x".repeat(1_024 * (MESSAGE_CREDIT as usize - 2) / 10);
        let sample = |seq| {
            let mut sample = heart_rate(seq, seq % 1_440, "60");
            sample["note"] = json!(filler);
            sample
        };
        beside_device(&self.path, &json!({"samples": (from..from + 10).map(sample).collect::<Vec<_>>()}))
    }

    async fn send(&mut self) {
        let message = self.message(self.next);
        self.under_way.push_back((self.socket.send("samples.send", message).await, self.next));
        self.next += 10;
    }

    /// As a device does it: as long as what is under way stays within the credit.
    async fn send_all_that_is_granted(&mut self) {
        while (self.under_way.len() as u64 + 1) * MESSAGE_CREDIT <= self.socket.credit.unwrap() {
            self.send().await;
        }
    }

    /// Asks for a sign of life: what was sent before has been taken or refused when the answer is here.
    async fn is_heard(&mut self) {
        let id = self.socket.send("ping", json!({})).await;
        self.socket.answer(id).await;
    }
}

#[tokio::test]
async fn while_the_database_stands_still_grants_shrink_and_nothing_is_lost_or_doubled() {
    const SENDERS: usize = 9;
    let database = Database::create().await;
    let program = Program::start(&database, UNLIMITED).await;
    let mut senders = Vec::new();
    let user = program.user("wearer").await;
    for _ in 0..SENDERS {
        let device = make_device(&user, &make_person(&user, "Europe/Berlin").await).await;
        senders.push(Sender::new(&program, &user, device).await);
    }
    let late = make_device(&user, &make_person(&user, "Europe/Berlin").await).await;
    assert!(senders.iter().all(|sender| sender.socket.credit == Some(MOST)));
    // The partition of the month is there, and every device has a first sample on disk.
    for sender in &mut senders {
        let first = json!({"epoch": 9, "samples": [heart_rate(1, 1, "60")]});
        let stored = send_over(&mut sender.socket, &sender.path, &first).await;
        assert_eq!(statuses_in(&stored["data"]), ["stored"], "{stored:#}");
    }

    let mut owner = database.owner().await;
    let stop = owner.transaction().await.unwrap();
    // Readers go on, whoever wants to lock a device waits.
    stop.batch_execute("LOCK TABLE health.device IN EXCLUSIVE MODE").await.unwrap();
    for sender in &mut senders {
        sender.send_all_that_is_granted().await;
        sender.is_heard().await;
    }
    for sender in &mut senders {
        sender.socket.until_granted(|credit| credit < MOST).await;
    }
    let late = Sender::new(&program, &user, late).await;
    assert!((1..MOST).contains(&late.socket.credit.unwrap()), "who comes late is granted some, and less");
    senders.push(late);

    // What is more than was granted is refused at once, and nothing of it is kept.
    let greedy = &mut senders[0];
    let beyond = greedy.next;
    while greedy.under_way.len() as u64 * MESSAGE_CREDIT <= MOST {
        greedy.send().await;
    }
    let (id, refused_from) = greedy.under_way.pop_back().unwrap();
    let refused = greedy.socket.answer(id).await;
    let data = &refused["data"];
    assert_eq!((&data["code"], &data["class"]), (&json!("no-credit"), &json!("throttled")), "{refused:#}");
    assert!(data["after_ms"].as_u64() > Some(0) && refused["credit"].is_u64(), "{refused:#}");
    greedy.unanswered.insert(refused_from);
    assert!(refused_from >= beyond);

    stop.rollback().await.unwrap();
    join_all(senders.iter_mut().map(async |sender| {
        while let Some((id, from)) = sender.under_way.pop_front() {
            let answer = sender.socket.answer(id).await;
            if answer["type"] == "reply" {
                assert_eq!(statuses_in(&answer["data"]), ["stored"; 10]);
            } else {
                // Sent under a grant that had just shrunk, or not done in time: the device sends it again.
                assert_ne!(answer["data"]["retry"], "never", "{answer:#}");
                sender.unanswered.insert(from);
            }
        }
    }))
    .await;
    for sender in &mut senders {
        // The grant comes back to everybody, also to those who ask for nothing.
        sender.socket.until_granted(|credit| credit == MOST).await;
        // Everything again: what was stored is there, what was refused is new, and nothing is there twice.
        let mut from = 1;
        while from < sender.next {
            let message = sender.message(from);
            let id = sender.socket.send("samples.send", message).await;
            let answer = sender.socket.answer(id).await;
            let statuses = statuses_in(&answer["data"]);
            let is_new = statuses == ["stored"; 10];
            assert!(is_new || statuses == ["duplicate"; 10], "{answer:#}");
            assert!(
                !is_new || sender.unanswered.contains(&from),
                "{from} was acknowledged, and is new again"
            );
            from += 10;
        }
        let count = "SELECT count(*), count(DISTINCT seq) FROM health.sample WHERE device = $1::text::uuid AND epoch = 1";
        let row = database.owner().await.query_one(count, &[&super::id_of(&sender.path)]).await.unwrap();
        assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), (sender.next - 1, sender.next - 1));
    }
    check(&program).await;
}
