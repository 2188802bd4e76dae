//! A person's channels: samples and series as they come, gapless, from any number, at any process.

use reqwest::Method;
use serde_json::{Value, json};

use super::{SOCKET, get_after, heart_rate, id_of, make_device, make_person, send, send_over};
use crate::harness::{Program, Socket, User, start};

/// A socket that follows a channel, and what it was answered.
async fn follow(program: &Program, user: &User, channel: &str, args: Value) -> (Socket, Value) {
    let mut socket = Socket::open(program, SOCKET, user).await;
    let answer = socket.subscribe(channel, args).await;
    (socket, answer)
}

/// Reads messages until the number, each following on the one before, with what they bring.
async fn read_until(socket: &mut Socket, channel: &str, mut seq: i64, until: i64) -> Vec<(i64, Value)> {
    let mut read = Vec::new();
    while seq < until {
        let frame = socket.next(channel).await;
        assert_eq!((&frame["type"], &frame["prev"]), (&json!("update"), &json!(seq)), "{frame:#}");
        let next = frame["seq"].as_i64().unwrap();
        assert!(next > seq || frame["data"]["more"] == true, "{frame:#}");
        seq = next;
        read.push((seq, frame["data"].clone()));
    }
    read
}

/// The number of a person's last change.
async fn head(user: &User, person: &str) -> i64 {
    let items = user.get(&format!("{person}/samples?metric=heart_rate&limit=500")).await.expect(200);
    items.body["items"].as_array().unwrap().iter().map(|it| it["change"].as_i64().unwrap()).max().unwrap()
}

#[tokio::test]
async fn samples_come_in_the_order_of_their_changes_and_are_resumed_at_another_process() {
    let (database, program) = start().await;
    let user = program.user("alice").await;
    let person = make_person(&user, "Europe/Berlin").await;
    let device = make_device(&user, &person).await;
    let channel = format!("samples:{}", id_of(&person));
    let (mut here, subscribed) = follow(&program, &user, &channel, json!({})).await;
    assert_eq!(
        (&subscribed["type"], &subscribed["seq"]),
        (&json!("subscribed"), &json!(2)),
        "{subscribed:#}"
    );
    let mut sender = Socket::open(&program, SOCKET, &user).await;
    for n in 0..12 {
        let mut samples: Vec<Value> = (1..=5).map(|i| heart_rate(n * 5 + i, n * 5 + i, "60")).collect();
        if n % 3 == 0 {
            samples.push(json!({"source_id": n.to_string(), "metric": "body_weight", "value": "70", "start": "2026-11-20T08:00:00Z"}));
        }
        let body = json!({"samples": samples});
        // By either door.
        match n % 2 {
            0 => assert_eq!(send_over(&mut sender, &device, &body).await["type"], "reply"),
            _ => drop(send(&user, &device, &body).await.expect(200)),
        }
    }
    // Nothing new in it: an event that is not told of is stepped over.
    send(&user, &device, &json!({"samples": [{"seq": 61, "metric": "karma"}]})).await.expect(200);
    send(&user, &device, &json!({"samples": [heart_rate(62, 62, "60")]})).await.expect(200);

    let last = head(&user, &person).await;
    assert_eq!(last, 2 + 14);
    let all = read_until(&mut here, &channel, 2, last).await;
    assert_eq!(all.len(), 13);
    let samples: Vec<&Value> = all.iter().flat_map(|(_, data)| data["samples"].as_array().unwrap()).collect();
    let seqs: Vec<i64> = samples.iter().filter_map(|sample| sample["seq"].as_i64()).collect();
    assert_eq!(seqs, (1..=60).chain([62]).collect::<Vec<_>>());
    assert!(all.iter().all(|(seq, data)| data["samples"][0]["change"] == *seq));
    let listed = user.get(&format!("{person}/samples?metric=heart_rate&limit=1")).await.expect(200);
    assert_eq!(*samples[0], listed.body["items"][0], "a sample looks the same wherever it is read");
    program.kill().await;

    let other = Program::start(&database, &[]).await;
    let user = user.at(&other.base);
    for (from, known) in [(0, 0), (2, 0), (9, 7)] {
        let (mut there, _) = follow(&other, &user, &channel, json!({"resume_from": from})).await;
        assert_eq!(read_until(&mut there, &channel, from, last).await, all[known..], "from {from}");
    }
    let args = json!({"resume_from": 2, "metric": "body_weight"});
    let (mut filtered, _) = follow(&other, &user, &channel, args).await;
    for (n, prev) in [(0, 2), (3, 3), (6, 6), (9, 9)] {
        let frame = filtered.next(&channel).await;
        assert_eq!((&frame["prev"], &frame["seq"]), (&json!(prev), &json!(3 + n)));
        assert_eq!(frame["data"]["samples"][0]["source_id"], n.to_string());
    }
    // And on: what happens from now on follows.
    send(&user, &device, &json!({"samples": [heart_rate(63, 63, "60")]})).await.expect(200);
    let (mut there, _) = follow(&other, &user, &channel, json!({"resume_from": last})).await;
    assert_eq!(read_until(&mut there, &channel, last, last + 1).await[0].1["samples"][0]["seq"], 63);
}

#[tokio::test]
async fn a_large_change_comes_in_parts_that_are_resumed_as_a_whole() {
    let (_database, program) = start().await;
    let user = program.user("alice").await;
    let person = make_person(&user, "Europe/Berlin").await;
    let device = make_device(&user, &person).await;
    let samples: Vec<Value> = (1..=1_200).map(|seq| heart_rate(seq, seq % 1_440, "60")).collect();
    send(&user, &device, &json!({"samples": samples})).await.expect(200);
    send(&user, &device, &json!({"samples": [heart_rate(1_201, 1, "60")]})).await.expect(200);
    let channel = format!("samples:{}", id_of(&person));
    let (mut socket, _) = follow(&program, &user, &channel, json!({"resume_from": 2})).await;
    let read = read_until(&mut socket, &channel, 2, 4).await;
    let parts: Vec<_> =
        read.iter().map(|(seq, data)| (*seq, data["samples"].as_array().unwrap().len())).collect();
    assert_eq!(parts, [(2, 500), (2, 500), (3, 200), (4, 1)]);
    let seqs =
        read.iter().flat_map(|(_, data)| data["samples"].as_array().unwrap()).map(|it| it["seq"].as_i64());
    assert_eq!(seqs.collect::<Option<Vec<_>>>().unwrap(), (1..=1_201).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_series_is_told_bucket_by_bucket_as_it_is() {
    let (_database, program) = start().await;
    let user = program.user("alice").await;
    let person = make_person(&user, "Europe/Berlin").await;
    let device = make_device(&user, &person).await;
    let channel = format!("series:{}", id_of(&person));
    let (mut quarters, subscribed) = follow(&program, &user, &channel, json!({"metric": "heart_rate"})).await;
    assert_eq!(subscribed["seq"], 2);
    let (mut days, _) = follow(&program, &user, &channel, json!({"resolution": "1d"})).await;
    let first = json!({"samples": [heart_rate(1, 480, "60"), heart_rate(2, 481, "70"), heart_rate(3, 500, "80"),
        {"source_id": "x", "metric": "body_weight", "value": "70", "start": "2026-11-20T08:00:00Z"}]});
    send(&user, &device, &first).await.expect(200);

    let update = quarters.next(&channel).await;
    assert_eq!((&update["prev"], &update["seq"]), (&json!(2), &json!(3)));
    let shown = user.get(&format!("{person}/series?metric=heart_rate&resolution=15m")).await.expect(200);
    let strip = |bucket: &Value| {
        let mut bucket = bucket.clone();
        bucket.as_object_mut().unwrap().retain(|name, _| name != "metric" && name != "unit");
        bucket
    };
    let told: Vec<Value> = update["data"]["buckets"].as_array().unwrap().iter().map(strip).collect();
    assert_eq!(Value::from(told), shown.body["items"]);
    let update = days.next(&channel).await;
    assert_eq!(update["data"]["buckets"].as_array().unwrap().len(), 2, "of both metrics: {update:#}");

    // A late sample tells its bucket again, and no other.
    let late = send(&user, &device, &json!({"samples": [heart_rate(4, 482, "20")]})).await.expect(200);
    let update = quarters.next(&channel).await;
    let buckets = update["data"]["buckets"].as_array().unwrap();
    assert_eq!((buckets.len(), &buckets[0]["count"], &buckets[0]["min"]), (1, &json!(3), &json!("20")));
    let update = days.next(&channel).await;
    assert_eq!((&update["data"]["buckets"][0]["count"], &update["seq"]), (&json!(4), &json!(4)));
    let shown = get_after(&user, &late, &format!("{person}/series?metric=heart_rate&resolution=1d")).await;
    assert_eq!(strip(&update["data"]["buckets"][0]), shown.expect(200).body["items"][0]);

    // Who moves has other days.
    user.patch(&person, 1, &json!({"zone": "Asia/Tokyo"})).await.expect(200);
    let reset = days.next(&channel).await;
    assert_eq!((&reset["type"], &reset["data"]), (&json!("reset"), &json!({"zone": "Asia/Tokyo"})));
    send(&user, &device, &json!({"samples": [heart_rate(5, 1_400, "60")]})).await.expect(200);
    let update = days.next(&channel).await;
    assert_eq!((&update["prev"], &update["data"]["zone"]), (&reset["seq"], &json!("Asia/Tokyo")));
    assert_eq!(update["data"]["buckets"][0]["date"], "2026-11-21", "23:20 UTC is the next day there");
    let update = quarters.next(&channel).await;
    assert_eq!((&update["prev"], &update["seq"]), (&json!(4), &json!(6)), "quarters know no zone");
}

#[tokio::test]
async fn what_is_no_longer_kept_or_not_ones_own_is_refused_with_a_reason() {
    let (database, program) = start().await;
    let user = program.user("alice").await;
    let person = make_person(&user, "Europe/Berlin").await;
    let device = make_device(&user, &person).await;
    for seq in 1..=8 {
        send(&user, &device, &json!({"samples": [heart_rate(seq, seq, "60")]})).await.expect(200);
    }
    let channels = [format!("samples:{}", id_of(&person)), format!("series:{}", id_of(&person))];
    let mallory = program.user("mallory").await;
    for channel in &channels {
        let refusal = |answer: &Value| (answer["type"].clone(), answer["data"]["code"].clone());
        let (_, answer) = follow(&program, &mallory, channel, json!({})).await;
        assert_eq!(refusal(&answer), (json!("error"), json!("not-found")));
        let (_, answer) = follow(&program, &user, channel, json!({"resume_from": 1_000})).await;
        assert_eq!(refusal(&answer), (json!("error"), json!("invalid-parameter")));
        let (_, answer) = follow(&program, &user, channel, json!({"metric": "karma"})).await;
        assert_eq!(answer["data"]["errors"][0]["code"], "unknown-metric", "{answer:#}");
        let (_, answer) = follow(&program, &user, channel, json!({"nonsense": 1})).await;
        assert_eq!(answer["type"], "error", "{answer:#}");
    }
    let (_, answer) = follow(&program, &user, "samples:x", json!({})).await;
    assert_eq!(answer["data"]["code"], "not-found");

    // As retention does it, by the month.
    database.owner().await.execute("DELETE FROM health.event WHERE seq <= 5", &[]).await.unwrap();
    for channel in &channels {
        let (_, answer) = follow(&program, &user, channel, json!({"resume_from": 3})).await;
        assert_eq!(
            (&answer["data"]["code"], &answer["data"]["floor"]),
            (&json!("resume-too-old"), &json!(5))
        );
        let (mut socket, _) = follow(&program, &user, channel, json!({"resume_from": 5})).await;
        assert_eq!(socket.next(channel).await["prev"], 5);
    }
    let device = user.call(Method::GET, &device, &[], None).await.expect(200);
    assert_eq!(device.body["receipts"][0]["safe_to_delete_through"], 8);
}
