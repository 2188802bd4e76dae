//! Open mHealth data points, of our own making and, where they are, the published ones.

use std::path::Path;

use reqwest::Method;
use serde_json::{Value, json};

use super::{get_after, make_person, statuses};
use crate::harness::{Answer, User, sample, start};

async fn send(user: &User, person: &str, points: &Value) -> Answer {
    user.call(Method::POST, &format!("{person}/openmhealth"), &[], Some(points)).await
}

fn point(id: &str, name: &str, version: &str, body: &Value) -> Value {
    json!({
        "header": {
            "id": id,
            "creation_date_time": "2026-11-24T07:25:00Z",
            "schema_id": {"namespace": "omh", "name": name, "version": version},
        },
        "body": body,
    })
}

fn rate(value: f64) -> Value {
    json!({"value": value, "unit": "beats/min"})
}

fn glucose(value: f64) -> Value {
    json!({"value": value, "unit": "mg/dL"})
}

#[tokio::test]
async fn points_come_back_with_the_given_unit_beside_the_canonical_one() {
    let (_database, program) = start().await;
    let user = program.user("alice").await;
    let person = make_person(&user, "Europe/Berlin").await;
    let at = json!({"date_time": "2026-02-05T07:25:00-08:00"});
    let months = json!({"time_interval": {"start_date_time": "2026-02-05T07:25:00Z", "end_date_time": "2026-06-05T07:25:00Z"}});
    let points = json!([
        point(
            "a",
            "heart-rate",
            "2.0",
            &json!({"heart_rate": rate(61.5), "effective_time_frame": at,
            "temporal_relationship_to_sleep": "on waking"})
        ),
        point(
            "b",
            "blood-glucose",
            "4.0",
            &json!({"blood_glucose": glucose(110.0), "effective_time_frame": months,
            "descriptive_statistic": "average"})
        ),
        point("c", "heart-rate", "1.0", &json!({"heart_rate": rate(70.0)})),
        point("d", "blood-glucose", "3.0", &json!({"blood_glucose": glucose(90.0)})),
        point(
            "e",
            "blood-glucose",
            "2.0",
            &json!({"blood_glucose": glucose(90.0), "effective_time_frame": at,
            "specimen_source": "nectar"})
        ),
        point("f", "body-mood", "1.0", &json!({})),
    ]);
    let answer = send(&user, &person, &points).await.expect(200);
    assert_eq!(
        statuses(&answer),
        ["stored", "stored", "quarantined", "quarantined", "quarantined", "quarantined"]
    );
    let codes: Vec<_> =
        answer.body["results"].as_array().unwrap().iter().map(|r| r["code"].clone()).collect();
    assert_eq!(codes[2..], ["missing-time", "missing-property", "not-in-enum", "unknown-schema"]);
    assert_eq!(answer.body["results"][0]["id"], "a");

    let rates = get_after(&user, &answer, &format!("{person}/samples?metric=heart_rate")).await.expect(200);
    let sample = &rates.body["items"][0];
    assert_eq!((&sample["value"], &sample["unit"]), (&json!("61.5"), &json!("/min")));
    assert_eq!(sample["given"], json!({"value": "61.5", "unit": "beats/min"}));
    assert_eq!(sample["start"], "2026-02-05T15:25:00Z");
    assert_eq!((&sample["source"], &sample["source_id"]), (&json!("openmhealth"), &json!("a")));
    assert_eq!(sample["extra"]["body"], json!({"temporal_relationship_to_sleep": "on waking"}));

    let levels =
        get_after(&user, &answer, &format!("{person}/samples?metric=blood_glucose")).await.expect(200);
    let sample = &levels.body["items"][0];
    // 110 mg/dL at 180.156 g/mol.
    assert_eq!((&sample["value"], &sample["unit"]), (&json!("6.105819401"), &json!("mmol/L")));
    assert_eq!(sample["given"], json!({"value": "110.0", "unit": "mg/dL"}));
    assert_eq!(sample["statistic"], "average");
    for resolution in ["15m", "1d"] {
        let series = format!("{person}/series?metric=blood_glucose&resolution={resolution}");
        assert_eq!(get_after(&user, &answer, &series).await.expect(200).body["items"], json!([]));
    }

    let again = send(&user, &person, &points[0]).await.expect(200);
    assert_eq!(
        (statuses(&again), &again.body["results"][0]["original"]),
        (vec!["duplicate"], &json!("stored"))
    );
    let mut other = points[0].clone();
    other["body"]["heart_rate"]["value"] = json!(99);
    assert_eq!(statuses(&send(&user, &person, &other).await.expect(200)), ["conflict"]);
}

/// The published test data of two schemas: what is valid and has a time is stored, all else is kept with its reason.
#[tokio::test]
async fn the_published_points_are_stored_or_kept_with_their_reasons() {
    let Some((valid, invalid)) = published() else { return };
    assert_eq!((valid.len(), invalid.len()), (15, 19));
    let (_database, program) = start().await;
    let user = program.user("alice").await;
    let person = make_person(&user, "Europe/Berlin").await;

    let points: Value = valid.iter().map(|(_, point)| point.clone()).collect::<Vec<_>>().into();
    let answer = send(&user, &person, &points).await.expect(200);
    let results = answer.body["results"].as_array().unwrap();
    let kept: Vec<_> = results.iter().filter(|result| result["status"] != "stored").collect();
    assert_eq!(results.len() - kept.len(), 12);
    assert!(kept.iter().all(|result| result["status"] == "quarantined" && result["code"] == "missing-time"));

    let mut instants_and_intervals = [0, 0];
    for (metric, unit, given) in [("heart_rate", "/min", "beats/min"), ("blood_glucose", "mmol/L", "mg/dL")] {
        let samples =
            get_after(&user, &answer, &format!("{person}/samples?metric={metric}")).await.expect(200);
        for sample in samples.body["items"].as_array().unwrap() {
            assert_eq!((&sample["unit"], &sample["given"]["unit"]), (&json!(unit), &json!(given)));
            instants_and_intervals[usize::from(!sample["end"].is_null())] += 1;
        }
        let series = format!("{person}/series?metric={metric}&resolution=15m&limit=500");
        let buckets = get_after(&user, &answer, &series).await.expect(200);
        let rolled: i64 = buckets.body["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|bucket| bucket["count"].as_i64().unwrap())
            .sum();
        let instants =
            samples.body["items"].as_array().unwrap().iter().filter(|sample| sample["end"].is_null()).count();
        assert_eq!(rolled, instants as i64, "intervals of months enter no rollup");
    }
    assert_eq!(instants_and_intervals, [7, 5]);

    let points: Value = invalid.iter().map(|(_, point)| point.clone()).collect::<Vec<_>>().into();
    let answer = send(&user, &person, &points).await.expect(200);
    assert_eq!(statuses(&answer), ["quarantined"; 19]);
    for ((name, _), result) in invalid.iter().zip(answer.body["results"].as_array().unwrap()) {
        let expected = match name.as_str() {
            name if name.contains("empty-document") => ("missing-property", "/body/"),
            name if name.contains("descriptive-statistic") => ("not-in-enum", "/body/descriptive_statistic"),
            name if name.contains("relationship-to-sleep") => {
                ("not-in-enum", "/body/temporal_relationship_to_sleep")
            }
            name if name.contains("specimen-source") => ("not-in-enum", "/body/specimen_source"),
            name if name.contains("time-interval") => {
                ("invalid-time-interval", "/body/effective_time_frame/time_interval")
            }
            name if name.contains("time-frame") => ("missing-property", "/body/effective_time_frame"),
            name => panic!("what is wrong with {name}?"),
        };
        assert_eq!(result["code"], expected.0, "{name}: {result}");
        assert!(
            result["reasons"][0]["pointer"].as_str().unwrap().starts_with(expected.1),
            "{name}: {result}"
        );
    }
    let quarantine = get_after(&user, &answer, &format!("{person}/quarantine?limit=100")).await.expect(200);
    assert_eq!(quarantine.body["items"].as_array().unwrap().len(), 3 + 19);
}

type Named = Vec<(String, Value)>;

/// The valid and the invalid ones, each in a header with an id of its own.
fn published() -> Option<(Named, Named)> {
    let root = sample("health/openmhealth")?;
    let (mut valid, mut invalid) = (Vec::new(), Vec::new());
    for schema in ["heart-rate", "blood-glucose"] {
        for version in entries(&root.join(schema)) {
            for (folder, list) in [("shouldPass", &mut valid), ("shouldFail", &mut invalid)] {
                for file in entries(&version.join(folder)) {
                    let name = file.strip_prefix(&root).unwrap().display().to_string();
                    let body: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
                    let version = version.file_name().unwrap().to_str().unwrap();
                    list.push((name.clone(), point(&name, schema, version, &body)));
                }
            }
        }
    }
    Some((valid, invalid))
}

fn entries(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut entries: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    entries
}
