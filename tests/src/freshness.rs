//! Freshness under a standby that stands still, caches under invalidation from two processes, and life without Redis.

use std::time::{Duration, Instant};

use common::db::STALE_MAX;
use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::sync::{Mutex, MutexGuard};
use tokio_postgres::Client;

use crate::harness::{Database, Program, User, load_demo, setting, start};
use crate::service::readme::paste_the_readme;
use crate::trading::client::Socket;
use crate::trading::market::{SYMBOL, Trader, list_shares};

/// Rounds of a load against an invalidation.
const ROUNDS: usize = 1_000;
/// Rounds at a time.
const LANES: usize = 10;
/// The promise of an eventual cache: stale at most this long after a committed write.
const CACHED_STALE_MAX: Duration = Duration::from_secs(1);

/// There is one standby for all tests: one at a time makes it stand still.
static STANDS_STILL: Mutex<()> = Mutex::const_new(());

/// A standby whose replay stands still until this is dropped, also by a test that fails.
struct Paused {
    _turn: MutexGuard<'static, ()>,
}

impl Paused {
    async fn start(standby: &Client) -> Self {
        let turn = STANDS_STILL.lock().await;
        standby.execute("SELECT pg_wal_replay_pause()", &[]).await.unwrap();
        let state = "SELECT pg_get_wal_replay_pause_state()";
        while standby.query_one(state, &[]).await.unwrap().get::<_, String>(0) != "paused" {
            tokio::task::yield_now().await;
        }
        Self { _turn: turn }
    }
}

impl Drop for Paused {
    fn drop(&mut self) {
        let psql = std::path::Path::new(&setting("WEIR_TEST_PG_BIN")).join("psql");
        let resumed = std::process::Command::new(psql)
            .args([&setting("WEIR_TEST_READER_URL"), "--quiet", "--command", "SELECT pg_wal_replay_resume()"])
            .stdout(std::process::Stdio::null())
            .status();
        assert!(resumed.unwrap().success(), "the standby's replay can't be resumed");
    }
}

async fn new_household(user: &User, name: &str) -> String {
    let body = json!({"name": name, "currency": "CAD", "zone": "America/Toronto"});
    let answer = user.post("/v1/households", &body).await.expect(201);
    format!("/v1/households/{}", answer.text("/id"))
}

/// Waits until the standby has all that the writer has.
async fn caught_up(database: &Database, standby: &Client) {
    let owner = database.owner().await;
    let lsn =
        owner.query_one("SELECT pg_current_wal_flush_lsn()::text", &[]).await.unwrap().get::<_, String>(0);
    let replayed = "SELECT pg_last_wal_replay_lsn() >= $1::text::pg_lsn";
    while !standby.query_one(replayed, &[&lsn]).await.unwrap().get::<_, bool>(0) {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_paused_standby_never_gives_a_stale_read_to_a_caller_with_a_token() {
    let database = Database::create().await;
    let standby = database.standby().await;
    let program = Program::start(&database, &[]).await;
    let alice = program.user("alice").await;
    let household = new_household(&alice, "Home").await;
    let accounts = format!("{household}/accounts");
    let first = json!({"name": "Before", "kind": "checking", "currency": "CAD"});
    alice.post(&accounts, &first).await.expect(201);
    caught_up(&database, &standby).await;

    let paused = Paused::start(&standby).await;
    let names = |answer: &Value| -> Vec<String> {
        answer["items"].as_array().unwrap().iter().map(|a| a["name"].as_str().unwrap().to_owned()).collect()
    };
    let list = format!("{accounts}?limit=100");
    let mut written_at = Vec::new();
    // What anyone may miss was written within the bound before the question.
    let anyones = async |written_at: &[Instant]| {
        let asked = Instant::now();
        let found = names(&alice.forgetful().get(&list).await.expect(200).body);
        let due = written_at.iter().filter(|written| asked.duration_since(**written) > STALE_MAX).count();
        assert!(found.len() > due, "{due} were written long before, and {found:?} is all");
        found.len() - 1
    };
    let mut by_standby = 0;
    for n in 0..20 {
        let name = format!("After {n}");
        let written = alice
            .post(&accounts, &json!({"name": name, "kind": "checking", "currency": "CAD"}))
            .await
            .expect(201);
        let token = written.header("consistency-token");
        written_at.push(Instant::now());
        assert!(!token.is_empty());
        let mine =
            alice.call(reqwest::Method::GET, &list, &[("Consistency-Token", token)], None).await.expect(200);
        assert!(
            names(&mine.body).contains(&name),
            "a read with the token of a write missed it: {}",
            mine.body
        );
        // Without a token the standby may answer, which has seen none of them.
        by_standby += usize::from(anyones(&written_at).await == 0);
    }
    assert!(by_standby > 0, "the standby has answered nothing");
    // It goes on standing still, and is asked no more once it is too old.
    while anyones(&written_at).await < written_at.len() {}
    drop(paused);
}

#[tokio::test]
async fn an_old_token_does_not_fill_a_cache_from_a_standby_that_is_behind() {
    let database = Database::create().await;
    let standby = database.standby().await;
    // Without Redis no second tier can refuse what the first one takes.
    let program = Program::start(&database, &[("REDIS_URL", "")]).await;
    let alice = program.user("alice").await.forgetful();
    let body = json!({"name": "Before", "currency": "CAD", "zone": "America/Toronto"});
    let created = alice.post("/v1/households", &body).await.expect(201);
    let household = format!("/v1/households/{}", created.text("/id"));
    caught_up(&database, &standby).await;

    let paused = Paused::start(&standby).await;
    alice.patch(&household, created.version(), &json!({"name": "After"})).await.expect(200);
    // Nothing is cached yet, and the standby has all that this token asks for.
    let old = [("Consistency-Token", created.header("consistency-token"))];
    alice.call(reqwest::Method::GET, &household, &old, None).await.expect(200);
    assert_eq!(alice.get(&household).await.expect(200).text("/name"), "After");
    drop(paused);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_rounds_of_load_against_invalidation_leave_nothing_stale_in_two_processes() {
    let database = Database::create().await;
    let quota = concat!(env!("CARGO_MANIFEST_DIR"), "/src/harness/unlimited.toml");
    let settings = [("WEIR_POLICIES", quota), ("WEIR_DATABASE_CONNECTIONS", "24")];
    let one = Program::start(&database, &settings).await;
    let two = Program::start(&database, &settings).await;
    let alice = one.user("alice").await.forgetful();
    let at_two = alice.at(&two.base);

    // A household for each round, so that what one round leaves behind stays to be found. Both processes load it while
    // it is renamed in one of them.
    let lanes = (0..LANES).map(|lane| {
        let (one, two) = (alice.clone(), at_two.clone());
        async move {
            let mut renamed = Vec::new();
            for round in 0..ROUNDS / LANES {
                let household = new_household(&one, "Before").await;
                let version = one.get(&household).await.expect(200).version();
                let name = format!("Lane {lane}, round {round}");
                let (rename, writer) = (json!({"name": name}), if round % 2 == 0 { &one } else { &two });
                let (answer, ..) = tokio::join!(
                    writer.patch(&household, version, &rename),
                    one.get(&household),
                    two.get(&household),
                    one.get(&household),
                    two.get(&household),
                );
                answer.expect(200);
                renamed.push((household, name));
            }
            renamed
        }
    });
    let renamed = join_all(lanes).await.concat();
    tokio::time::sleep(CACHED_STALE_MAX).await;

    let mut stale = 0;
    for (household, name) in &renamed {
        for user in [&alice, &at_two] {
            let found = user.get(household).await.expect(200);
            stale += usize::from(found.text("/name") != name);
        }
    }
    assert_eq!((stale, renamed.len()), (0, ROUNDS));
    for program in [&one, &two] {
        for tier in ["l1", "l2"] {
            let reads = program.counted("weir_cache_reads_total{", &format!("served_by=\"{tier}\"")).await;
            assert!(reads > 0, "{tier} has answered nothing");
        }
    }
}

#[tokio::test]
async fn with_redis_stopped_everything_still_works() {
    let database = Database::create().await;
    let place = embedded::Place::temporary("weir-without-redis").unwrap();
    let redis = embedded::Redis::start(&place).unwrap();
    let url = redis.url();
    let settings = [("REDIS_URL", &*url), ("WEIR_DATABASE_CONNECTIONS", "24")];
    let with = Program::start(&database, &settings).await;
    list_shares(&with, 0, 0).await;
    let trader = Trader::with(&with, "trader", "1000.00", "0").await;
    let household = new_household(&trader.user, "With").await;
    trader.user.get(&household).await.expect(200);
    redis.stop().unwrap();

    // What was cached is read, changed, and read again.
    let mut version = trader.user.get(&household).await.expect(200).version();
    for round in 0..20 {
        let name = format!("Without {round}");
        version = trader.user.patch(&household, version, &json!({"name": name})).await.expect(200).version();
        assert_eq!(trader.user.get(&household).await.expect(200).text("/name"), name);
    }

    // A process that starts meanwhile, and follows what the other one does without a hint.
    let without = Program::start(&database, &settings).await;
    let mut socket = Socket::open(&without, &trader.user).await;
    let book = format!("book:{SYMBOL}");
    socket.subscribe(&book, json!({})).await;
    assert_eq!(socket.next(&book).await["type"], "snapshot");
    trader.place("1", "buy", "9.50", "2").await;
    let delta = socket.next(&book).await;
    assert_eq!(delta["data"]["bids"], json!([["9.50", "2"]]), "{delta}");

    // All three flows, as a newcomer tries them.
    load_demo(&database).await;
    paste_the_readme(&without).await;
}

#[tokio::test]
async fn a_token_that_is_none_is_refused_and_one_from_elsewhere_does_no_harm() {
    let (_database, program) = start().await;
    let alice = program.user("alice").await;
    let household = new_household(&alice, "Home").await;
    let with = async |token: &str| {
        alice.call(reqwest::Method::GET, &household, &[("Consistency-Token", token)], None).await
    };
    with("not a token").await.expect(400);
    // A set that nobody here knows, and a stream that is far ahead of any.
    let mut foreign = common::db::Token::default();
    foreign.add_position(common::db::Position { set: 7, timeline: 9, lsn: u64::MAX });
    assert_eq!(with(&foreign.encode()).await.expect(200).text("/name"), "Home");
}
