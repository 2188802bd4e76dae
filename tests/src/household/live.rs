//! The live changes of a household: gapless over processes that are killed, with an end that says why.

use super::{Home, delete};
use crate::harness::{Database, Events, Program, User, start};
use serde_json::{Value, json};
use uuid::Uuid;

/// Tests of what stands behind the limits.
pub const UNLIMITED: (&str, &str) =
    ("WEIR_POLICIES", concat!(env!("CARGO_MANIFEST_DIR"), "/src/harness/unlimited.toml"));

const EDITS: i64 = 1_000;
/// Events that are too many for buffers on the way: about 150 MB.
const MANY_EVENTS: i64 = 30_000;
const EVENT_BYTES: usize = 5_000;
/// What a client that doesn't read may cost: buffers of a connection, and a page of events.
const UNREAD_BYTES_MAX: u64 = 16 << 20;
/// What the process may grow by meanwhile, the client that reads included.
const GROWTH_BYTES_MAX: u64 = 96 << 20;

/// Reads changes until the number, each following on the one before.
async fn read_until(events: &mut Events, until: i64) -> Vec<Value> {
    let mut read = Vec::new();
    while events.last_event_id < until {
        let next = events.last_event_id + 1;
        let sent = events.expect("change").await;
        assert_eq!((sent.id, &sent.data["seq"]), (Some(next), &json!(next)));
        read.push(sent.data);
    }
    read
}

/// Bob is a member from here on; his token's subject.
pub async fn bob(home: &Home, program: &Program) -> (User, i64) {
    let body = json!({"subject": "bob", "role": "viewer"});
    let version = home.alice.post(&home.at("members"), &body).await.expect(201).version();
    (program.user("bob").await, version)
}

#[tokio::test]
async fn what_one_process_writes_the_other_tells_in_the_form_of_the_feed() {
    let (database, program) = start().await;
    let other = Program::start(&database, &[]).await;
    let home = Home::create(&program).await;
    let mut events = Events::open(&home.alice.at(&other.base), &home.at("live"), None).await;
    assert_eq!(events.last_event_id, 4, "without a number it goes on from now");
    let made = home.create_transaction(&home.expense("1.00", "2026-02-10")).await;
    let path = home.transaction(&made);
    let changed = home.alice.patch(&path, made.version(), &json!({"notes": "a\nb"})).await.expect(200);
    delete(&home.alice, &path, changed.version()).await.expect(204);
    let told = read_until(&mut events, 7).await;
    let feed = home.alice.get(&home.at("changes?since=4")).await.expect(200);
    assert_eq!(json!(told), feed.body["items"]);
    assert_eq!((&told[1]["data"], &told[2]["deleted"]), (&changed.body, &json!(true)));

    // From any number, on either process, by the address or by the header.
    let mut all = Events::open(&home.alice, &home.at("live"), Some(0)).await;
    assert_eq!(read_until(&mut all, 7).await.len(), 7);
    let mut rest = Events::open(&home.alice, &home.at("live?last_event_id=5"), None).await;
    assert_eq!(read_until(&mut rest, 7).await, told[1..]);
}

#[tokio::test]
async fn a_stream_whose_process_is_killed_goes_on_at_another_without_gap_or_repeat() {
    let (database, program) = start().await;
    let other = Program::start(&database, &[]).await;
    let home = Home::create(&program).await;
    let mut events = Events::open(&home.alice, &home.at("live"), Some(0)).await;
    let writer = home.alice.at(&other.base);
    let (path, body) = (home.at("transactions"), home.expense("1.00", "2026-02-10"));
    let writing = tokio::spawn(async move {
        for _ in 0..60 {
            writer.post(&path, &body).await.expect(201);
        }
    });
    let mut told = read_until(&mut events, 20).await;
    program.kill().await;
    // What was on its way still comes.
    while let Some(sent) = events.next().await {
        told.push(sent.data);
    }
    writing.await.unwrap();
    let after = Some(events.last_event_id);
    let mut events = Events::open(&home.alice.at(&other.base), &home.at("live"), after).await;
    told.extend(read_until(&mut events, 64).await);
    let numbers: Vec<_> = told.iter().map(|change| change["seq"].as_i64().unwrap()).collect();
    assert_eq!(numbers, (1..=64).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_thousand_edits_reach_a_client_that_comes_and_goes_each_exactly_once() {
    let database = Database::create().await;
    let program = Program::start(&database, &[UNLIMITED]).await;
    let other = Program::start(&database, &[UNLIMITED]).await;
    let home = Home::create(&program).await;
    let (alice, path) = (home.alice.clone(), home.at("transactions"));
    let made = home.create_transaction(&home.expense("1.00", "2026-02-10")).await;
    let edited = format!("{path}/{}", made.text("/id"));
    let mut version = made.version();
    let writing = tokio::spawn(async move {
        for n in 0..EDITS {
            let note = json!({"notes": n.to_string()});
            version = alice.patch(&edited, version, &note).await.expect(200).version();
        }
    });
    let (mut seen, mut connections) = (made.version(), 0);
    let first = seen;
    while seen < first + EDITS {
        let at = if connections % 2 == 0 { &program } else { &other };
        let mut events = Events::open(&home.alice.at(&at.base), &home.at("live"), Some(seen)).await;
        connections += 1;
        let stay = i64::from(Uuid::new_v4().as_bytes()[0] % 40);
        for change in read_until(&mut events, (seen + stay).min(first + EDITS)).await {
            assert_eq!(change["data"]["notes"], (change["seq"].as_i64().unwrap() - first - 1).to_string());
        }
        seen = events.last_event_id.max(seen);
    }
    writing.await.unwrap();
    assert_eq!(home.head().await, first + EDITS);
}

#[tokio::test]
async fn a_removed_member_is_told_nothing_more_but_why() {
    let (database, program) = start().await;
    let other = Program::start(&database, &[]).await;
    let home = Home::create(&program).await;
    let (bob, version) = bob(&home, &program).await;
    let ticket = bob.post(&home.at("live/tickets"), &json!({})).await.expect(201);
    let mut with_token = Events::open(&bob.at(&other.base), &home.at("live"), Some(version)).await;
    let mut with_ticket = Events::open(&bob.with_token(""), ticket.text("/url"), Some(version)).await;
    home.create_transaction(&home.expense("1.00", "2026-02-10")).await;
    delete(&home.alice, &home.at("members/bob"), version).await.expect(204);
    home.create_transaction(&home.expense("2.00", "2026-02-10")).await;
    for events in [&mut with_token, &mut with_ticket] {
        let mut sent = events.next().await.unwrap();
        if sent.event == "change" {
            assert_eq!(sent.data["data"]["amount"], "1.00");
            sent = events.next().await.unwrap();
        }
        assert_eq!((&*sent.event, sent.id, &sent.data["reason"]), ("end", None, &json!("access-ended")));
        assert_eq!(sent.data["resume_from"], events.last_event_id.max(version));
        assert_eq!(events.next().await, None);
    }
    bob.refused(&home.at("live"), 404).await;
    bob.with_token("").refused(ticket.text("/url"), 404).await;
}

#[tokio::test]
async fn a_stream_ends_with_the_token_that_opened_it() {
    let (_database, program) = start().await;
    let home = Home::create(&program).await;
    let short = User::sign_in(&program.base, json!({"sub": "alice", "ttl_s": 10})).await;
    let ticket = short.post(&home.at("live/tickets"), &json!({})).await.expect(201);
    let mut with_token = Events::open(&short, &home.at("live"), None).await;
    let nobody = short.with_token("");
    let mut with_ticket = Events::open(&nobody, ticket.text("/url"), None).await;
    for events in [&mut with_token, &mut with_ticket] {
        let end = events.expect("end").await;
        assert_eq!(end.data, json!({"reason": "token-ended", "resume_from": 4}));
        assert_eq!(events.next().await, None);
    }
    let over = nobody.refused(ticket.text("/url"), 401).await;
    assert_eq!(over.text("/code"), "unauthenticated");
}

#[tokio::test]
async fn a_process_that_stops_says_where_to_resume() {
    let (database, program) = start().await;
    let home = Home::create(&program).await;
    let mut events = Events::open(&home.alice, &home.at("live"), Some(1)).await;
    read_until(&mut events, 4).await;
    let stopping = tokio::spawn(program.stop());
    let end = events.expect("end").await;
    assert_eq!(end.data, json!({"reason": "going-away", "resume_from": 4}));
    assert_eq!(events.next().await, None);
    assert_eq!(stopping.await.unwrap(), Some(0));
    let other = Program::start(&database, &[]).await;
    Events::open(&home.alice.at(&other.base), &home.at("live"), Some(4)).await;
}

#[tokio::test]
async fn a_number_that_is_not_kept_or_never_was_is_answered_with_where_to_begin_anew() {
    let (database, program) = start().await;
    let home = Home::create(&program).await;
    // As when a month leaves its retention, and as after a restore.
    database.owner().await.execute("DELETE FROM household.event WHERE seq <= 2", &[]).await.unwrap();
    for number in [1, 99] {
        let mut events = Events::open(&home.alice, &home.at("live"), Some(number)).await;
        let reset = events.expect("reset").await;
        let head = home.head_after(2).await;
        assert_eq!((reset.id, reset.data), (Some(head), json!({"head": head})));
        home.create_transaction(&home.expense("1.00", "2026-02-10")).await;
        assert_eq!(read_until(&mut events, head + 1).await.len(), 1);
    }
    let mut kept = Events::open(&home.alice, &home.at("live"), Some(2)).await;
    read_until(&mut kept, 6).await;
    for (path, header) in [("live?last_event_id=-1", ""), ("live", "x"), ("live?last_event_id=x", "")] {
        let headers = [("Last-Event-ID", header)];
        let headers = if header.is_empty() { &[][..] } else { &headers };
        home.alice.call(reqwest::Method::GET, &home.at(path), headers, None).await.expect(400);
    }
}

#[tokio::test]
async fn open_streams_keep_nobody_from_being_served() {
    let database = Database::create().await;
    let narrow = concat!(env!("CARGO_MANIFEST_DIR"), "/src/harness/narrow.toml");
    let program = Program::start(&database, &[("WEIR_POLICIES", narrow)]).await;
    let home = Home::create(&program).await;
    let mut open = Vec::new();
    for _ in 0..5 {
        open.push(Events::open(&home.alice, &home.at("live"), None).await);
    }
    let made = home.create_transaction(&home.expense("1.00", "2026-02-10")).await;
    for events in &mut open {
        assert_eq!(events.expect("change").await.data["data"], made.body);
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_costs_a_bounded_amount_of_memory_and_misses_nothing() {
    let (database, program) = start().await;
    let home = Home::create(&program).await;
    let many = "WITH added AS (INSERT INTO household.event (kind, stream, seq, at, actor, subject, type, schema, body)
            SELECT 'household', id, 4 + n, now(), 'alice', 'category/' || n, 'category.changed', 1,
                jsonb_build_object('resource', jsonb_build_object('name', repeat(md5(n::text), $2::int / 32)))
            FROM household.stream, generate_series(1, $1::bigint) n RETURNING seq)
        UPDATE household.stream SET head = (SELECT max(seq) FROM added)";
    let bytes = EVENT_BYTES as i32;
    database.owner().await.execute(many, &[&MANY_EVENTS, &bytes]).await.unwrap();
    let until = 4 + MANY_EVENTS;
    let mut unread = Events::open(&home.alice, &home.at("live"), Some(0)).await;
    let before = program.resident_bytes();
    // A second client takes as long as it takes to pull everything.
    let mut read = Events::open(&home.alice, &home.at("live"), Some(0)).await;
    while read.last_event_id < until {
        read.expect("change").await;
    }
    let pulled = program.counted("weir_event_stream_messages_total", "household").await - until as u64;
    let bytes = pulled * EVENT_BYTES as u64;
    assert!(bytes < UNREAD_BYTES_MAX, "{bytes} bytes were pulled for one who doesn't read");
    let grown = program.resident_bytes().saturating_sub(before);
    assert!(grown < GROWTH_BYTES_MAX, "the process has grown by {grown} bytes");
    read_until(&mut unread, until).await;
}
