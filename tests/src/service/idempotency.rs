//! A request with an `Idempotency-Key` has one effect and one answer.

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Answer, Database, User, start};

fn home() -> Value {
    json!({"name": "Home", "currency": "CAD", "zone": "America/Toronto"})
}

async fn post(user: &User, path: &str, key: &str, body: &Value) -> Answer {
    user.call(Method::POST, path, &[("Idempotency-Key", key)], Some(body)).await
}

async fn count(database: &Database, table: &str) -> i64 {
    let owner = database.owner().await;
    owner.query_one(&format!("SELECT count(*) FROM household.{table}"), &[]).await.unwrap().get(0)
}

#[tokio::test]
async fn a_repeated_post_has_one_effect_and_the_first_answer() {
    let (database, program) = start().await;
    let alice = program.user("alice").await;
    let first = post(&alice, "/v1/households", "k1", &home()).await.expect(201);
    assert_eq!(first.header("idempotency-replayed"), "");
    let household = first.text("/id").to_owned();
    // What happens to the household meanwhile doesn't change what was answered.
    let renamed = alice.patch(&format!("/v1/households/{household}"), 1, &json!({"name": "Other"})).await;
    renamed.expect(200);
    // The draft's quoted form is the same key.
    for key in ["k1", "\"k1\""] {
        let again = post(&alice, "/v1/households", key, &home()).await.expect(201);
        assert_eq!(again.header("idempotency-replayed"), "true");
        assert_eq!(again.body, first.body);
        for header in ["location", "etag", "content-type"] {
            assert_eq!(again.header(header), first.header(header), "{header}");
        }
        assert!(!again.header("consistency-token").is_empty());
    }
    assert_eq!(count(&database, "household").await, 1);
}

#[tokio::test]
async fn a_key_belongs_to_one_request_of_one_caller() {
    let (database, program) = start().await;
    let (alice, bob) = (program.user("alice").await, program.user("bob").await);
    let mine = post(&alice, "/v1/households", "k1", &home()).await.expect(201).text("/id").to_owned();
    let other = json!({"name": "Cottage", "currency": "CAD", "zone": "America/Toronto"});
    let refused = post(&alice, "/v1/households", "k1", &other).await.expect(422);
    assert_eq!(refused.body["code"], "idempotency-key-reused");
    let his = post(&bob, "/v1/households", "k1", &home()).await.expect(201).text("/id").to_owned();
    assert_ne!(his, mine);
    // The same key and body at another address is another request.
    let second = post(&alice, "/v1/households", "k2", &home()).await.expect(201).text("/id").to_owned();
    let account = json!({"name": "Cash", "kind": "cash", "currency": "CAD"});
    post(&alice, &format!("/v1/households/{mine}/accounts"), "k3", &account).await.expect(201);
    let refused =
        post(&alice, &format!("/v1/households/{second}/accounts"), "k3", &account).await.expect(422);
    assert_eq!(refused.body["code"], "idempotency-key-reused");
    assert_eq!((count(&database, "household").await, count(&database, "account").await), (3, 1));
}

#[tokio::test]
async fn of_many_at_once_one_is_done() {
    let (database, program) = start().await;
    let alice = program.user("alice").await;
    for round in 0..10 {
        let (key, body) = (format!("k{round}"), home());
        let answers = join_all((0..8).map(|_| post(&alice, "/v1/households", &key, &body))).await;
        let first =
            answers.iter().filter(|it| it.status == 201 && it.header("idempotency-replayed").is_empty());
        assert_eq!(first.count(), 1, "{answers:?}");
        for answer in &answers {
            if answer.status != 201 {
                assert_eq!((answer.status.as_u16(), answer.text("/code")), (409, "idempotency-in-flight"));
                assert!(answer.header("retry-after").parse::<u64>().unwrap() > 0);
            }
        }
        assert_eq!(count(&database, "household").await, round + 1);
    }
}

#[tokio::test]
async fn a_refusal_is_the_keys_answer_too() {
    let (_database, program) = start().await;
    let (alice, bob) = (program.user("alice").await, program.user("bob").await);
    let household = alice.post("/v1/households", &home()).await.expect(201).text("/id").to_owned();
    let members = format!("/v1/households/{household}/members");
    alice.post(&members, &json!({"subject": "bob", "role": "viewer"})).await.expect(201);
    let (accounts, account) = (
        format!("/v1/households/{household}/accounts"),
        json!({"name": "Cash", "kind": "cash", "currency": "CAD"}),
    );
    let refused = post(&bob, &accounts, "k1", &account).await.expect(403);
    assert_eq!(refused.text("/code"), "role-too-low");
    let bobs = alice.get(&format!("{members}/bob")).await.expect(200);
    alice.patch(&format!("{members}/bob"), bobs.version(), &json!({"role": "editor"})).await.expect(200);
    let again = post(&bob, &accounts, "k1", &account).await.expect(403);
    assert_eq!(again.header("idempotency-replayed"), "true");
    assert_eq!((again.text("/code"), again.text("/instance")), ("role-too-low", accounts.as_str()));
    assert_ne!(again.text("/trace_id"), refused.text("/trace_id"));
    post(&bob, &accounts, "k2", &account).await.expect(201);
}
