//! People and devices: made once, changed from the version that was seen.

use serde_json::json;

use super::{check, get_after, heart_rate, make_device, make_person, send};
use crate::harness::start;
use crate::household::patch_lenient;
use reqwest::Method;

#[tokio::test]
async fn a_repeated_post_makes_one_person_and_one_device() {
    let (_database, program) = start().await;
    let user = program.user("alice").await;
    let key = [("Idempotency-Key", "k-1")];
    let person = json!({"name": "Ada", "zone": "Europe/Berlin"});
    let first = user.call(Method::POST, "/v1/health/people", &key, Some(&person)).await.expect(201);
    let again = user.call(Method::POST, "/v1/health/people", &key, Some(&person)).await.expect(201);
    assert_eq!((&first.body, again.header("idempotency-replayed")), (&again.body, "true"));
    let path = first.header("location");

    let device = json!({"model": "H10"});
    let devices = format!("{path}/devices");
    let first = user.call(Method::POST, &devices, &key, Some(&device)).await.expect(201);
    let again = user.call(Method::POST, &devices, &key, Some(&device)).await.expect(201);
    assert_eq!(first.body, again.body);
    let list = get_after(&user, &first, &devices).await.expect(200);
    assert_eq!(list.body["items"], json!([first.body]));
    user.call(Method::POST, &devices, &[], Some(&device)).await.expect(400);

    // An id of one's own is taken when it carries the person's bucket.
    let mut own = first.body["id"].as_str().unwrap().to_owned();
    own.replace_range(0..8, "00000000");
    let made = user.post(&devices, &json!({"id": own, "model": "H10"})).await.expect(201);
    assert_eq!(made.body["id"], own.as_str());
    user.post(&devices, &json!({"id": own, "model": "H9"})).await.expect(409);
    let elsewhere = if own[19..].starts_with("80") { "81" } else { "80" };
    own.replace_range(19..21, elsewhere);
    let wrong = user.post(&devices, &json!({"id": own, "model": "H10"})).await.expect(422);
    assert_eq!(wrong.body["errors"][0]["code"], "wrong-bucket");
}

#[tokio::test]
async fn a_stale_change_of_a_person_names_the_field() {
    let (_database, program) = start().await;
    let user = program.user("alice").await;
    let path = make_person(&user, "Europe/Berlin").await;
    // Events of samples in between do not make the person another version.
    let device = make_device(&user, &path).await;
    send(&user, &device, &json!({"samples": [heart_rate(1, 1, "60")]})).await.expect(200);

    let changed = user.patch(&path, 1, &json!({"name": "Ada L."})).await.expect(200);
    let stale = user.patch(&path, 1, &json!({"name": "Countess"})).await.expect(412);
    assert_eq!(stale.version(), changed.version());
    assert_eq!(
        stale.body["conflicts"],
        json!([{"pointer": "/name", "base": "Ada", "yours": "Countess", "current": "Ada L."}])
    );
    user.patch(&path, changed.version(), &json!({"zone": "Mars/Olympus"})).await.expect(422);
    let seen = [("If-None-Match", changed.header("etag"))];
    let token = ("Consistency-Token", changed.header("consistency-token"));
    user.call(Method::GET, &path, &[seen[0], token], None).await.expect(304);
}

#[tokio::test]
async fn a_lenient_change_of_a_person_or_a_device_merges_what_does_not_touch() {
    let (_database, program) = start().await;
    let user = program.user("alice").await;
    let person = make_person(&user, "Europe/Berlin").await;
    let device = make_device(&user, &person).await;
    user.patch(&person, 1, &json!({"name": "Ada L."})).await.expect(200);
    user.patch(&person, 1, &json!({"zone": "Asia/Tokyo"})).await.expect(412);
    let merged = patch_lenient(&user, &person, 1, &json!({"zone": "Asia/Tokyo"})).await.expect(200);
    assert_eq!(merged.header("preference-applied"), "handling=lenient");
    assert_eq!((merged.text("/name"), merged.text("/zone")), ("Ada L.", "Asia/Tokyo"));
    patch_lenient(&user, &person, 1, &json!({"name": "Countess"})).await.expect(412);
    let fresh = patch_lenient(&user, &person, merged.version(), &json!({"name": "Ada"})).await.expect(200);
    assert_eq!(fresh.header("preference-applied"), "", "nothing was merged");

    let changed = user.patch(&device, 2, &json!({"model": "H9"})).await.expect(200);
    let stale = user.patch(&device, 2, &json!({"model": "H7", "serial": "FF"})).await.expect(412);
    let conflict = json!([{"pointer": "/model", "base": "H10", "yours": "H7", "current": "H9"}]);
    assert_eq!(stale.body["conflicts"], conflict);
    let merged = patch_lenient(&user, &device, 2, &json!({"serial": "FF"})).await.expect(200);
    assert_eq!(merged.header("preference-applied"), "handling=lenient");
    assert_eq!((merged.text("/model"), merged.text("/serial")), ("H9", "FF"));
    assert!(merged.version() > changed.version());
    let same = user.patch(&device, merged.version(), &json!({"serial": "FF"})).await.expect(200);
    assert_eq!(same.version(), merged.version(), "a change that changes nothing");
    user.patch(&device, merged.version(), &json!({"model": null})).await.expect(422);
    let shown = user.get(&device).await.expect(200);
    assert_eq!((shown.text("/model"), shown.text("/serial")), ("H9", "FF"));
    check(&program).await;
}

#[tokio::test]
async fn who_moves_has_its_days_made_anew() {
    let (_database, program) = start().await;
    let user = program.user("alice").await;
    let path = make_person(&user, "Europe/Berlin").await;
    let device = make_device(&user, &path).await;
    let samples: Vec<_> =
        (0..24).map(|hour| heart_rate(hour + 1, hour * 60, &(60 + hour).to_string())).collect();
    let sent = send(&user, &device, &json!({"samples": samples})).await.expect(200);
    let days = format!("{path}/series?metric=heart_rate&resolution=1d");
    let counts = |answer: crate::harness::Answer| {
        let days = answer.expect(200).body["items"].as_array().unwrap().clone();
        days.iter()
            .map(|day| (day["count"].as_i64().unwrap(), day["last"].as_str().unwrap().to_owned()))
            .collect::<Vec<_>>()
    };
    assert_eq!(counts(get_after(&user, &sent, &days).await), [(23, "82".into()), (1, "83".into())]);

    let moved = user.patch(&path, 1, &json!({"zone": "America/New_York"})).await.expect(200);
    assert_eq!(counts(get_after(&user, &moved, &days).await), [(5, "64".into()), (19, "83".into())]);
    let late = send(&user, &device, &json!({"samples": [heart_rate(25, 1, "99")]})).await.expect(200);
    assert_eq!(counts(get_after(&user, &late, &days).await), [(6, "64".into()), (19, "83".into())]);
}

#[tokio::test]
async fn the_catalogue_is_public_and_may_be_kept() {
    let (_database, program) = start().await;
    let answer = reqwest::get(format!("{}/v1/health/metrics", program.base)).await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["cache-control"], "public, max-age=3600");
    let body: serde_json::Value = answer.json().await.unwrap();
    let rate = body["items"].as_array().unwrap().iter().find(|m| m["metric"] == "heart_rate").unwrap();
    assert_eq!((&rate["loinc"], &rate["unit"]), (&json!("8867-4"), &json!("/min")));
    assert!(body["items"].as_array().unwrap().len() >= 20);
}
