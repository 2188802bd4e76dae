//! Overload is refused early, cheaply and with a reason, and others are served meanwhile.

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::json;

use crate::harness::{Database, Program};

const POLICIES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/harness/tight.toml");

#[tokio::test]
async fn a_flood_is_refused_with_the_reason_while_others_are_served() {
    let database = Database::create().await;
    let program = Program::start(&database, &[("WEIR_POLICIES", POLICIES)]).await;
    let (flood, other) = (program.user("flood").await, program.user("other").await);
    let (answers, others) = tokio::join!(
        join_all((0..200).map(|_| flood.get("/v1/households"))),
        join_all((0..10).map(|_| other.get("/v1/households"))),
    );
    let (served, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status == 200);
    // 20 at once and 20 a minute, however long the flood took.
    assert!((20..=30).contains(&served.len()), "{} were served", served.len());
    for answer in &refused {
        assert_eq!(
            (answer.status.as_u16(), &answer.body["code"]),
            (429, &json!("rate-limited")),
            "{}",
            answer.body
        );
        assert_eq!(answer.header("ratelimit-policy"), r#""caller";q=20;w=60"#);
        assert!(
            answer.header("ratelimit").starts_with(r#""caller";r=0;t="#),
            "{}",
            answer.header("ratelimit")
        );
        assert!(answer.header("retry-after").parse::<u64>().unwrap() > 0);
    }
    for answer in others {
        assert_eq!(answer.status, 200, "another was refused for the flood: {}", answer.body);
    }
    let answer = other.get("/v1/households").await.expect(200);
    assert!(answer.header("ratelimit").starts_with(r#""caller";r=9;t="#), "{}", answer.header("ratelimit"));
}

#[tokio::test]
async fn a_refusal_has_no_effect() {
    let database = Database::create().await;
    let program = Program::start(&database, &[("WEIR_POLICIES", POLICIES)]).await;
    let alice = program.user("alice").await;
    let body = json!({"name": "Home", "currency": "CAD", "zone": "America/Toronto"});
    let posts =
        (0..60).map(|n| {
            let (alice, body, key) = (alice.clone(), body.clone(), format!("key-{n}"));
            async move {
                alice.call(Method::POST, "/v1/households", &[("Idempotency-Key", &key)], Some(&body)).await
            }
        });
    let answers = join_all(posts).await;
    let made = answers.iter().filter(|answer| answer.status == 201).count();
    assert!((1..60).contains(&made) && answers.iter().all(|a| a.status == 201 || a.status == 429));
    let owner = database.owner().await;
    let rows: i64 = owner.query_one("SELECT count(*) FROM household.household", &[]).await.unwrap().get(0);
    assert_eq!(rows, made as i64);
}

#[tokio::test]
async fn a_changed_policy_file_is_in_force_after_a_hangup() {
    let database = Database::create().await;
    let file = std::env::temp_dir().join(format!("{}.toml", database.name));
    let policies = std::fs::read_to_string(POLICIES).unwrap();
    std::fs::write(&file, &policies).unwrap();
    let program = Program::start(&database, &[("WEIR_POLICIES", file.to_str().unwrap())]).await;
    let alice = program.user("alice").await;
    while alice.get("/v1/households").await.status != 429 {}

    // A file with a mistake changes nothing.
    std::fs::write(&file, policies.replacen("quantity = 20", "quantity = 0", 1)).unwrap();
    program.hang_up().await;
    assert_eq!(alice.get("/v1/households").await.status, 429);

    std::fs::write(&file, policies.replacen("burst = 20", "burst = 50", 1)).unwrap();
    program.hang_up().await;
    let answer = loop {
        let answer = alice.get("/v1/households").await;
        if answer.status != 429 {
            break answer.expect(200);
        }
    };
    // What was used stays used.
    let left = answer.header("ratelimit").trim_start_matches(r#""caller";r="#).split(';').next().unwrap();
    assert!((25..=31).contains(&left.parse::<u32>().unwrap()), "{left}");
    std::fs::remove_file(&file).unwrap();
}
