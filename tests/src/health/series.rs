//! Reading: raw samples page by page, quarters of an hour, days of the person's zone, and how complete they are.

use serde_json::{Value, json};

use super::{get_after, heart_rate, make_device, make_person, send};
use crate::harness::start;

#[tokio::test]
async fn a_series_equals_what_the_raw_samples_add_up_to() {
    let (_database, program) = start().await;
    let user = program.user("alice").await;
    let person = make_person(&user, "Europe/Berlin").await;
    let device = make_device(&user, &person).await;

    // Out of order, and late ones in a request of their own.
    let minutes: Vec<i64> = (0..120).map(|i| 1_320 + i * 37 % 120).collect();
    let sample =
        |(i, minute): (usize, &i64)| heart_rate(i as i64 + 1, *minute, &(60 + minute % 30).to_string());
    let samples: Vec<Value> = minutes.iter().enumerate().map(sample).collect();
    send(&user, &device, &json!({"samples": samples[..70]})).await.expect(200);
    let long = json!({"seq": 121, "metric": "heart_rate", "value": "90", "start": "2026-11-20T22:00:00Z",
        "end": "2026-11-20T22:30:00Z"});
    let derived = json!({"seq": 122, "metric": "heart_rate", "value": "91", "start": "2026-11-20T22:00:00Z",
        "statistic": "maximum"});
    let rest: Vec<Value> = samples[70..].iter().cloned().chain([long, derived]).collect();
    let written = send(&user, &device, &json!({"samples": rest})).await.expect(200);

    let path = format!("{person}/series?metric=heart_rate&resolution=15m&limit=3");
    let (mut buckets, mut next) = (Vec::new(), path.clone());
    loop {
        let page = get_after(&user, &written, &next).await.expect(200);
        buckets.extend(page.body["items"].as_array().unwrap().iter().cloned());
        let Some(cursor) = page.body["next_cursor"].as_str() else { break };
        assert!(page.header("link").contains("rel=\"next\""));
        next = format!("{path}&cursor={cursor}");
    }
    assert_eq!(buckets.len(), 8, "neither the long interval nor the maximum is in");
    for (i, bucket) in buckets.iter().enumerate() {
        let values: Vec<i64> = (0..15).map(|minute| 60 + (1_320 + i as i64 * 15 + minute) % 30).collect();
        let (min, max) = (values.iter().min().unwrap(), values.iter().max().unwrap());
        assert_eq!((&bucket["count"], &bucket["last"]), (&json!(15), &json!(values[14].to_string())));
        assert_eq!((&bucket["min"], &bucket["max"]), (&json!(min.to_string()), &json!(max.to_string())));
        assert_eq!(bucket["avg"], json!((values.iter().sum::<i64>() / 15).to_string()));
    }

    // 22:00 and 23:00 UTC are two days in Berlin.
    let days = get_after(&user, &written, &format!("{person}/series?metric=heart_rate&resolution=1d"))
        .await
        .expect(200);
    let counts: Vec<_> = days.body["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|day| (day["date"].clone(), day["count"].clone()))
        .collect();
    assert_eq!(counts, [(json!("2026-11-20"), json!(60)), (json!("2026-11-21"), json!(60))]);
    assert_eq!(days.body["items"][1]["start"], "2026-11-20T23:00:00Z");
    let part = format!("{person}/series?metric=heart_rate&resolution=1d&from=2026-11-20T23:00:00Z");
    let part = get_after(&user, &written, &part).await.expect(200);
    assert_eq!(part.body["items"].as_array().unwrap().len(), 1);

    let raw =
        get_after(&user, &written, &format!("{person}/series?metric=heart_rate&resolution=raw&limit=500"))
            .await;
    assert_eq!(raw.expect(200).body["items"].as_array().unwrap().len(), 122);
}

#[tokio::test]
async fn samples_come_in_order_page_by_page_within_their_bounds() {
    let (_database, program) = start().await;
    let user = program.user("alice").await;
    let person = make_person(&user, "Europe/Berlin").await;
    let device = make_device(&user, &person).await;
    // Three at each minute: a page may end between two of them.
    let samples: Vec<Value> =
        (0..30).map(|i| heart_rate(i + 1, 600 + i / 3, &(60 + i).to_string())).collect();
    let written = send(&user, &device, &json!({"samples": samples})).await.expect(200);

    let path = format!(
        "{person}/samples?metric=heart_rate&limit=4&from=2026-11-20T10:01:00Z&to=2026-11-20T10:09:00Z"
    );
    let (mut seqs, mut next) = (Vec::new(), path.clone());
    loop {
        let page = get_after(&user, &written, &next).await.expect(200);
        seqs.extend(page.body["items"].as_array().unwrap().iter().map(|s| s["seq"].as_i64().unwrap()));
        let Some(cursor) = page.body["next_cursor"].as_str() else { break };
        next = format!("{path}&cursor={cursor}");
    }
    assert_eq!(seqs, (4..=27).collect::<Vec<_>>());

    let wrong = user.get(&format!("{person}/samples?metric=karma")).await.expect(400);
    assert_eq!(wrong.body["errors"][0]["pointer"], "/query/metric");
    user.get(&format!("{person}/samples?metric=heart_rate&form=x")).await.expect(400);
    user.get(&format!("{person}/series?metric=heart_rate&resolution=7m")).await.expect(400);
}

#[tokio::test]
async fn a_reading_says_up_to_when_nothing_is_known_to_be_missing() {
    let (_database, program) = start().await;
    let user = program.user("alice").await;
    let person = make_person(&user, "Europe/Berlin").await;
    let path = format!("{person}/samples?metric=heart_rate");
    let empty = user.get(&path).await.expect(200);
    assert_eq!((&empty.body["items"], &empty.body["complete_through"]), (&json!([]), &Value::Null));

    let devices = [make_device(&user, &person).await, make_device(&user, &person).await];
    let through = async |device: usize, sent: Value| {
        let written = send(&user, &devices[device], &sent).await.expect(200);
        get_after(&user, &written, &path).await.expect(200).body["complete_through"].clone()
    };
    let rate = |seq| heart_rate(seq, 600 + seq, "72");
    assert_eq!(through(0, json!({"samples": [rate(1), rate(2)]})).await, "2026-11-20T10:02:00Z");
    assert_eq!(through(1, json!({"samples": [rate(1), rate(9)]})).await, "2026-11-20T10:01:00Z");
    assert_eq!(through(0, json!({"samples": [rate(3)]})).await, "2026-11-20T10:01:00Z");
    assert_eq!(through(1, json!({"gone": [[2, 8]], "samples": []})).await, "2026-11-20T10:09:00Z");
    assert_eq!(through(1, json!({"samples": [rate(12)]})).await, "2026-11-20T10:09:00Z");
    // A factory reset ends the numbering, and with it what can still be missed.
    assert_eq!(through(1, json!({"epoch": 2, "samples": [rate(1)]})).await, "2026-11-20T10:03:00Z");
}
