//! The change feed.

use super::{Home, delete};
use crate::harness::start;
use futures_util::future::join_all;
use serde_json::{Value, json};
use std::collections::BTreeMap;

#[tokio::test]
async fn the_feed_has_every_change_in_order_and_deletions_as_tombstones() {
    let (_database, program) = start().await;
    let home = Home::create(&program).await;
    let bodies: Vec<Value> = (1..=20).map(|n| home.expense(&format!("{n}.00"), "2026-02-10")).collect();
    let made = join_all(bodies.iter().map(|body| home.create_transaction(body))).await;
    delete(&home.alice, &home.transaction(&made[0]), made[0].version()).await.expect(204);
    home.alice
        .patch(&home.transaction(&made[1]), made[1].version(), &json!({"notes": "x"}))
        .await
        .expect(200);

    let mut state: BTreeMap<String, Value> = BTreeMap::new();
    let (mut since, mut seqs) = (0, Vec::new());
    loop {
        let answer = home.alice.get(&home.at(&format!("changes?since={since}&limit=7"))).await.expect(200);
        for change in answer.body["items"].as_array().unwrap() {
            seqs.push(change["seq"].as_i64().unwrap());
            assert_eq!(change["actor"], "alice");
            let key = format!("{}/{}", change["kind"].as_str().unwrap(), change["id"].as_str().unwrap());
            match change["deleted"].as_bool().unwrap() {
                true => assert!(state.remove(&key).is_some() && change["data"].is_null()),
                false => {
                    assert_eq!(change["data"]["version"], change["seq"]);
                    drop(state.insert(key, change["data"].clone()));
                }
            }
        }
        since = answer.body["next_since"].as_i64().unwrap();
        if answer.body["more"] == false {
            break;
        }
    }
    // Household, owner, account and category; twenty expenses; one gone, one changed.
    assert_eq!(seqs, (1..=26).collect::<Vec<_>>());
    assert_eq!(state.len(), 4 + 19);
    for item in &made[1..] {
        let path = home.transaction(item);
        assert_eq!(
            state[&format!("transaction/{}", item.text("/id"))],
            home.alice.get(&path).await.expect(200).body
        );
    }
    let nothing = home.alice.get(&home.at("changes?since=26")).await.expect(200);
    assert_eq!(nothing.body, json!({"items": [], "next_since": 26, "more": false}));
}

#[tokio::test]
async fn a_number_from_which_not_everything_is_kept_starts_again() {
    let (database, program) = start().await;
    let home = Home::create(&program).await;
    let ahead = home.alice.get(&home.at("changes?since=99")).await.expect(410);
    assert_eq!((ahead.text("/code"), &ahead.body["head"]), ("changes-reset", &json!(4)));
    // As when a month leaves its retention.
    database.owner().await.execute("DELETE FROM household.event WHERE seq <= 2", &[]).await.unwrap();
    // The client's token is newer than that, so the reader has it too.
    home.create_transaction(&home.expense("1.00", "2026-02-10")).await;
    let old = home.alice.get(&home.at("changes?since=1")).await.expect(410);
    assert_eq!((&old.body["floor"], &old.body["head"]), (&json!(3), &json!(5)));
    home.alice.get(&home.at("changes?since=2")).await.expect(200);
}
