//! Samples by number: what is new, what came before, what is missing, and what could not be accepted.

use serde_json::{Value, json};

use super::{get_after, heart_rate, make_device, make_person, send, statuses};
use crate::harness::{Program, start};

#[tokio::test]
async fn an_acknowledgement_names_what_is_missing_and_what_may_be_deleted() {
    let (_database, program) = start().await;
    let user = program.user("alice").await;
    let device = make_device(&user, &make_person(&user, "Europe/Berlin").await).await;

    let samples: Vec<Value> =
        (401..=469).chain(472..=479).chain(483..=504).map(|seq| heart_rate(seq, seq, "72")).collect();
    let sent = json!({"epoch": 3, "first_seq": 401, "gone": [[470, 471]], "samples": samples});
    let answer = send(&user, &device, &sent).await.expect(200);
    assert_eq!(statuses(&answer), vec!["stored"; samples.len()]);
    assert_eq!(answer.body["results"][0]["seq"], 401);
    assert_eq!(answer.body["highest_durable_seq"], 504);
    assert_eq!(answer.body["missing"], json!([[480, 482]]));
    assert_eq!(answer.body["safe_to_delete_through"], 479);

    let rest: Vec<Value> = (480..=482).map(|seq| heart_rate(seq, seq, "72")).collect();
    let answer = send(&user, &device, &json!({"epoch": 3, "samples": rest})).await.expect(200);
    assert_eq!(answer.body["missing"], json!([]));
    assert_eq!(answer.body["safe_to_delete_through"], 504);

    let state = get_after(&user, &answer, &device).await.expect(200);
    assert_eq!(state.body["epoch"], 3, "the device told of a factory reset");
    assert_eq!(state.body["receipts"][0]["highest_durable_seq"], 504);

    // What was on its way before the reset still comes in, under its own numbers.
    let old = json!({"epoch": 2, "samples": [heart_rate(9, 9, "70")]});
    let answer = send(&user, &device, &old).await.expect(200);
    assert_eq!((statuses(&answer), &answer.body["epoch"]), (vec!["stored"], &json!(2)));
    assert_eq!(answer.body["missing"], json!([[1, 8]]));
    assert_eq!(get_after(&user, &answer, &device).await.body["epoch"], 3);
}

#[tokio::test]
async fn a_sample_sent_again_has_one_effect_and_a_changed_one_overwrites_nothing() {
    let (_database, program) = start().await;
    let user = program.user("alice").await;
    let person = make_person(&user, "Europe/Berlin").await;
    let device = make_device(&user, &person).await;

    let first = json!({"samples": [heart_rate(1, 480, "60"), heart_rate(2, 481, "62"), heart_rate(2, 481, "62.0"),
        {"source_id": "x", "metric": "body_weight", "value": 70.5, "unit": "kg", "start": "2026-11-20T08:00:00Z"}]});
    let answer = send(&user, &device, &first).await.expect(200);
    assert_eq!(statuses(&answer), ["stored", "stored", "duplicate", "stored"]);

    let again = send(&user, &device, &first).await.expect(200);
    assert_eq!(statuses(&again), ["duplicate"; 4]);
    assert_eq!(again.body["results"][0]["original"], "stored");
    assert_eq!(again.body["highest_durable_seq"], answer.body["highest_durable_seq"]);

    let changed = json!({"samples": [heart_rate(1, 480, "99"),
        {"source_id": "x", "metric": "body_weight", "value": 71, "unit": "kg", "start": "2026-11-20T08:00:00Z"}]});
    for _ in 0..2 {
        let conflict = send(&user, &device, &changed).await.expect(200);
        assert_eq!(statuses(&conflict), ["conflict", "conflict"]);
        let quarantine = get_after(&user, &conflict, &format!("{person}/quarantine")).await.expect(200);
        let kept = quarantine.body["items"].as_array().unwrap();
        assert_eq!(
            kept.iter().map(|item| item["code"].as_str().unwrap()).collect::<Vec<_>>(),
            ["conflict"; 2]
        );
        assert_eq!(kept[0]["raw"]["value"], "99");
    }

    let samples = get_after(&user, &again, &format!("{person}/samples?metric=heart_rate")).await.expect(200);
    let values: Vec<_> =
        samples.body["items"].as_array().unwrap().iter().map(|s| s["value"].clone()).collect();
    assert_eq!(values, ["60", "62"]);
    let series = get_after(&user, &again, &format!("{person}/series?metric=heart_rate&resolution=1d"))
        .await
        .expect(200);
    assert_eq!(series.body["items"][0]["count"], 2);
}

#[tokio::test]
async fn what_can_not_be_accepted_is_kept_as_it_was_sent_and_counts_as_received() {
    let (_database, program) = start().await;
    let user = program.user("alice").await;
    let person = make_person(&user, "Europe/Berlin").await;
    let device = make_device(&user, &person).await;

    let start = "2026-11-20T08:00:00Z";
    let wrong = json!([
        {"seq": 1, "metric": "karma", "value": "1", "start": start},
        {"seq": 2, "metric": "heart_rate", "value": "72", "unit": "furlong", "start": start},
        {"seq": 3, "metric": "heart_rate", "value": "4000", "start": start},
        {"seq": 4, "metric": "heart_rate", "value": "72", "start": "2999-01-01T00:00:00Z"},
        {"seq": 5, "metric": "heart_rate", "value": "72", "start": "1931-01-01T00:00:00Z"},
        {"seq": 6, "metric": "heart_rate", "value": "72", "start": start, "note": "a\u{0}b"},
        {"seq": 7, "metric": "heart_rate", "value": "72"},
        {"seq": 8, "metric": "heart_rate", "value": "72", "start": start, "firmware": {"build": 9}},
        {"metric": "heart_rate", "value": "72", "start": start},
        "noise",
    ]);
    let codes = [
        "unknown-metric",
        "unknown-unit",
        "implausible-value",
        "future-time",
        "expired",
        "nul-in-text",
        "missing-time",
        "no-key",
        "malformed",
    ];
    let sent = json!({"samples": wrong, "battery": 80});
    let answer = send(&user, &device, &sent).await.expect(200);
    let mut expected = vec!["quarantined"; 10];
    (expected[4], expected[7]) = ("expired", "stored");
    assert_eq!(statuses(&answer), expected);
    assert_eq!(answer.body["results"][7]["unknown_fields"], json!(["/firmware"]));
    assert_eq!(answer.body["unknown_fields"], json!(["/battery"]));
    assert_eq!((&answer.body["missing"], &answer.body["safe_to_delete_through"]), (&json!([]), &json!(8)));

    let kept = get_after(&user, &answer, &format!("{person}/quarantine")).await.expect(200);
    let items = kept.body["items"].as_array().unwrap();
    assert_eq!(items.iter().map(|item| item["code"].as_str().unwrap()).collect::<Vec<_>>(), codes);
    let sent_of = |i: usize| if i < 7 { &wrong[i] } else { &wrong[i + 1] };
    for (i, item) in items.iter().enumerate() {
        assert_eq!(&item["raw"], sent_of(i));
    }
    let stored = get_after(&user, &answer, &format!("{person}/samples?metric=heart_rate")).await.expect(200);
    assert_eq!(stored.body["items"].as_array().unwrap().len(), 1);
    assert_eq!(stored.body["items"][0]["extra"], json!({"firmware": {"build": 9}}));

    let again = send(&user, &device, &sent).await.expect(200);
    assert_eq!(statuses(&again), ["duplicate"; 10]);
    assert_eq!(again.body["results"][0]["original"], "quarantined");
    let kept = get_after(&user, &again, &format!("{person}/quarantine")).await.expect(200);
    assert_eq!(kept.body["items"].as_array().unwrap().len(), codes.len());
}

#[tokio::test]
async fn a_numbering_has_a_hundred_gaps_at_most() {
    let (_database, program) = start().await;
    let user = program.user("alice").await;
    let device = make_device(&user, &make_person(&user, "Europe/Berlin").await).await;

    let every_other = |from: i64, count: i64| -> Value {
        (0..count).map(|i| heart_rate(from + i * 2, i, "72")).collect::<Vec<_>>().into()
    };
    let answer = send(&user, &device, &json!({"samples": every_other(2, 100)})).await.expect(200);
    assert_eq!(answer.body["missing"].as_array().unwrap().len(), 100);
    let refused = send(&user, &device, &json!({"samples": every_other(202, 1)})).await.expect(429);
    assert_eq!(refused.body["code"], "too-many-gaps");
    assert!(!refused.header("retry-after").is_empty());

    let closing = json!({"gone": [[1, 1]], "samples": every_other(202, 1)});
    let answer = send(&user, &device, &closing).await.expect(200);
    assert_eq!(statuses(&answer), ["stored"]);
    assert_eq!(answer.body["missing"].as_array().unwrap().len(), 100);
    assert_eq!(answer.body["safe_to_delete_through"], 2);
}

#[tokio::test]
async fn two_devices_of_a_person_that_send_at_once_lose_and_double_nothing() {
    let (_database, program) = start().await;
    let user = program.user("alice").await;
    let person = make_person(&user, "Europe/Berlin").await;
    let devices = [make_device(&user, &person).await, make_device(&user, &person).await];

    let mut sending = tokio::task::JoinSet::new();
    for round in 0..8 {
        for device in &devices {
            // Each batch is sent twice, at the same time.
            for _ in 0..2 {
                let (user, device) = (user.clone(), device.clone());
                sending.spawn(async move {
                    let samples: Vec<Value> =
                        (1..=25).map(|i| heart_rate(round * 25 + i, round * 25 + i, "60")).collect();
                    send(&user, &device, &json!({"samples": samples})).await.expect(200)
                });
            }
        }
    }
    let answers = sending.join_all().await;
    let stored = answers.iter().flat_map(statuses).filter(|status| *status == "stored").count();
    let duplicate = answers.iter().flat_map(statuses).filter(|status| *status == "duplicate").count();
    assert_eq!((stored, duplicate), (400, 400));

    // Its token is behind all of theirs.
    let last = send(&user, &devices[0], &json!({"samples": [heart_rate(201, 201, "60")]})).await.expect(200);
    assert_eq!(last.body["safe_to_delete_through"], 201);
    let series = get_after(&user, &last, &format!("{person}/series?metric=heart_rate&resolution=1d"))
        .await
        .expect(200);
    assert_eq!(series.body["items"][0]["count"], 401);
}

#[tokio::test]
async fn what_the_database_refuses_alone_goes_to_quarantine() {
    let (database, program) = start().await;
    let user = program.user("alice").await;
    let person = make_person(&user, "Europe/Berlin").await;
    let device = make_device(&user, &person).await;
    // A mistake of our own: the database knows a rule that the program does not.
    let rule = "ALTER TABLE health.sample ADD CONSTRAINT no_66 CHECK (value <> 66)";
    database.owner().await.batch_execute(rule).await.unwrap();

    let samples: Vec<Value> =
        (1..=20).map(|seq| heart_rate(seq, seq, &(60 + seq % 10).to_string())).collect();
    let answer = send(&user, &device, &json!({"samples": samples})).await.expect(200);
    let refused: Vec<_> =
        answer.body["results"].as_array().unwrap().iter().filter(|r| r["status"] != "stored").collect();
    assert_eq!(
        refused.iter().map(|r| (&r["seq"], &r["code"])).collect::<Vec<_>>(),
        [(&json!(6), &json!("refused")), (&json!(16), &json!("refused"))]
    );
    assert_eq!(answer.body["safe_to_delete_through"], 20);
    let days = get_after(&user, &answer, &format!("{person}/series?metric=heart_rate&resolution=1d"))
        .await
        .expect(200);
    assert_eq!(days.body["items"][0]["count"], 18);
    let again = send(&user, &device, &json!({"samples": samples})).await.expect(200);
    assert_eq!(statuses(&again), ["duplicate"; 20]);
}

#[tokio::test]
async fn months_of_the_past_are_made_by_two_processes_at_once() {
    let (database, first) = start().await;
    let second = Program::start(&database, &[]).await;
    let user = first.user("alice").await;
    let person = make_person(&user, "Europe/Berlin").await;
    let devices = [make_device(&user, &person).await, make_device(&user, &person).await];

    let months = |device: usize| -> Value {
        let at = |i: i64| format!("{}-{:02}-{:02}T08:00:00Z", 2010 + i / 12, 1 + i % 12, 1 + device);
        let sample = |i: i64| json!({"seq": i + 1, "metric": "body_weight", "value": "70", "unit": "kg", "start": at(i)});
        json!({"samples": (0..48).map(sample).collect::<Vec<_>>()})
    };
    let (here, there) = (user.clone(), user.at(&second.base));
    let (one, two) = (months(0), months(1));
    let (one, two) = tokio::join!(send(&here, &devices[0], &one), send(&there, &devices[1], &two));
    assert_eq!(statuses(&one.expect(200)), ["stored"; 48]);
    let two = two.expect(200);
    assert_eq!(statuses(&two), ["stored"; 48]);
    let last = send(&user, &devices[0], &json!({"samples": [heart_rate(49, 1, "60")]})).await.expect(200);
    let days =
        get_after(&user, &last, &format!("{person}/series?metric=body_weight&resolution=1d&limit=500")).await;
    assert_eq!(days.expect(200).body["items"].as_array().unwrap().len(), 96);
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_hard_kill() {
    let (database, program) = start().await;
    let user = program.user("alice").await;
    let person = make_person(&user, "Europe/Berlin").await;
    let device = make_device(&user, &person).await;
    let batch = |from: i64| -> Value {
        json!({"samples": (from..from + 50).map(|seq| heart_rate(seq, seq % 1_440, "72")).collect::<Vec<_>>()})
    };
    let mut acknowledged = 0;
    for from in [1, 51, 101] {
        acknowledged = send(&user, &device, &batch(from)).await.expect(200).body["safe_to_delete_through"]
            .as_i64()
            .unwrap();
    }
    // One more is under way when the program dies.
    let (cut_off, sent) = (user.clone(), batch(151));
    let path = device.clone();
    let under_way = tokio::spawn(async move { send(&cut_off, &path, &sent).await.status });
    program.kill().await;
    let _ = under_way.await;

    let program = Program::start(&database, &[]).await;
    let user = program.user("alice").await;
    let mut results = Vec::new();
    for from in [1, 51, 101, 151] {
        let answer = send(&user, &device, &batch(from)).await.expect(200);
        results.extend(statuses(&answer).into_iter().map(str::to_owned));
    }
    assert_eq!(acknowledged, 150);
    assert!(results[..150].iter().all(|status| status == "duplicate"), "nothing acknowledged is new");
    let last = send(&user, &device, &json!({"samples": [heart_rate(201, 1, "60")]})).await.expect(200);
    assert_eq!(last.body["safe_to_delete_through"], 201);
    let days = get_after(&user, &last, &format!("{person}/series?metric=heart_rate&resolution=1d"))
        .await
        .expect(200);
    assert_eq!(days.body["items"][0]["count"], 201, "and nothing is counted twice");
}
