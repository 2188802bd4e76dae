//! Samples over the socket: the same as over HTTP, in the same numbers.

use std::collections::HashMap;

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::{
    SOCKET, beside_device, check, get_after, heart_rate, id_of, make_device, make_person, send, send_over,
    statuses, statuses_in,
};
use crate::harness::{Database, Program, Socket, User, start};

/// What is told here is no rate limit's.
const UNLIMITED: &[(&str, &str)] =
    &[("WEIR_POLICIES", concat!(env!("CARGO_MANIFEST_DIR"), "/src/harness/unlimited.toml"))];

#[tokio::test]
async fn both_doors_share_one_sequence_space_and_give_the_same_answers() {
    let (_database, program) = start().await;
    let user = program.user("alice").await;
    let person = make_person(&user, "Europe/Berlin").await;
    let device = make_device(&user, &person).await;
    let mut socket = Socket::open(&program, SOCKET, &user).await;

    let first = json!({"epoch": 2, "first_seq": 5, "gone": [[6, 6]], "battery": 80, "samples": [
        heart_rate(5, 480, "60"), heart_rate(8, 481, "62"), {"seq": 9, "metric": "karma", "value": "1"},
        {"source_id": "x", "metric": "body_weight", "value": 70.5, "unit": "kg", "start": "2026-11-20T08:00:00Z"}]});
    let over = send_over(&mut socket, &device, &first).await;
    assert_eq!(over["type"], "reply", "{over:#}");
    assert!(over["token"].is_string(), "it was a write: {over:#}");
    assert_eq!(statuses_in(&over["data"]), ["stored", "stored", "quarantined", "stored"]);
    assert_eq!(
        (&over["data"]["missing"], &over["data"]["safe_to_delete_through"]),
        (&json!([[7, 7]]), &json!(6))
    );
    assert_eq!(over["data"]["unknown_fields"], json!(["/battery"]));

    let again = send(&user, &device, &first).await.expect(200);
    assert_eq!(statuses(&again), ["duplicate"; 4]);
    let over = send_over(&mut socket, &device, &first).await;
    assert_eq!(over["data"], again.body, "the same question has the same answer at both doors");

    let next = json!({"epoch": 2, "samples": [heart_rate(7, 482, "64")]});
    assert_eq!(statuses(&send(&user, &device, &next).await.expect(200)), ["stored"]);
    assert_eq!(statuses_in(&send_over(&mut socket, &device, &next).await["data"]), ["duplicate"]);
    let changed = json!({"epoch": 2, "samples": [heart_rate(7, 482, "99")]});
    assert_eq!(statuses_in(&send_over(&mut socket, &device, &changed).await["data"]), ["conflict"]);

    let counted = user.get(&format!("{person}/series?metric=heart_rate&resolution=1d")).await.expect(200);
    assert_eq!(counted.body["items"][0]["count"], 3);
    check(&program).await;
}

#[tokio::test]
async fn what_is_refused_over_http_is_refused_on_the_socket_which_stays_open() {
    let (_database, program) = start().await;
    let (alice, bob) = (program.user("alice").await, program.user("bob").await);
    let device = make_device(&alice, &make_person(&alice, "Europe/Berlin").await).await;
    let samples = json!({"samples": [heart_rate(1, 480, "60")]});

    let mut strange = Socket::open(&program, SOCKET, &bob).await;
    let refused = send_over(&mut strange, &device, &samples).await;
    assert_eq!(
        (&refused["data"]["code"], &refused["data"]["class"]),
        (&json!("not-found"), &json!("rejected"))
    );
    let reader = program.user_with("alice", &["health:read"]).await;
    let refused = send_over(&mut Socket::open(&program, SOCKET, &reader).await, &device, &samples).await;
    assert_eq!(refused["data"]["code"], "insufficient-scope");

    let mut socket = Socket::open(&program, SOCKET, &alice).await;
    for (args, pointer) in [
        (samples.clone(), "/device"),
        (json!({"device": "x", "samples": []}), "/device"),
        (beside_device(&device, &json!({"samples": [], "epoch": 0})), "/epoch"),
        (beside_device(&device, &json!({"samples": [], "gone": [[5, 2]]})), "/gone/0"),
    ] {
        let id = socket.send("samples.send", args).await;
        let answer = socket.answer(id).await;
        assert_eq!(
            (&answer["data"]["code"], &answer["data"]["retry"]),
            (&json!("validation-failed"), &json!("never"))
        );
        assert_eq!(answer["data"]["errors"][0]["pointer"], pointer, "{answer:#}");
    }
    let gaps: Vec<Value> = (0..101).map(|i| heart_rate(2 + 2 * i, i, "60")).collect();
    let answer = send_over(&mut socket, &device, &json!({"samples": gaps})).await;
    assert_eq!(
        (&answer["data"]["code"], &answer["data"]["class"]),
        (&json!("too-many-gaps"), &json!("throttled"))
    );
    assert_eq!(statuses_in(&send_over(&mut socket, &device, &samples).await["data"]), ["stored"]);
}

#[tokio::test]
async fn messages_of_a_socket_are_recorded_in_the_order_in_which_they_came() {
    const MESSAGES: i64 = 400;
    let (_database, program) = start().await;
    let user = program.user("alice").await;
    let person = make_person(&user, "Europe/Berlin").await;
    let device = make_device(&user, &person).await;
    let mut socket = Socket::open(&program, SOCKET, &user).await;
    let channel = format!("samples:{}", id_of(&person));
    socket.subscribe(&channel, json!({})).await;
    for seq in 1..=MESSAGES {
        let samples = json!({"samples": [heart_rate(seq, seq, "60")]});
        socket.send("samples.send", beside_device(&device, &samples)).await;
    }
    let mut recorded = Vec::new();
    while recorded.len() < MESSAGES as usize {
        let update = socket.next(&channel).await;
        recorded.extend(
            update["data"]["samples"].as_array().unwrap().iter().map(|it| it["seq"].as_i64().unwrap()),
        );
    }
    assert_eq!(recorded, (1..=MESSAGES).collect::<Vec<_>>());
    check(&program).await;
}

#[tokio::test]
async fn a_socket_that_is_cut_within_a_message_has_sent_what_came_before_it() {
    let (_database, program) = start().await;
    let user = program.user("alice").await;
    let person = make_person(&user, "Europe/Berlin").await;
    let device = make_device(&user, &person).await;
    let batch = |from: i64| json!({"samples": (from..from + 100).map(|seq| heart_rate(seq, seq, "60")).collect::<Vec<_>>()});
    let mut socket = Socket::open(&program, SOCKET, &user).await;
    let whole = send_over(&mut socket, &device, &batch(1)).await;
    assert_eq!(whole["data"]["safe_to_delete_through"], 100);
    socket.cut_within("samples.send", beside_device(&device, &batch(101))).await;

    let mut again = Socket::open(&program, SOCKET, &user).await;
    assert_eq!(statuses_in(&send_over(&mut again, &device, &batch(1)).await["data"]), ["duplicate"; 100]);
    let rest = send_over(&mut again, &device, &batch(101)).await;
    assert_eq!(statuses_in(&rest["data"]), ["stored"; 100]);
    assert_eq!(rest["data"]["safe_to_delete_through"], 200);
    check(&program).await;
}

#[tokio::test]
async fn a_browser_signs_in_by_message_and_is_granted_credit_then() {
    let (_database, program) = start().await;
    let user = program.user("alice").await;
    let device = make_device(&user, &make_person(&user, "Europe/Berlin").await).await;
    let samples = json!({"samples": [heart_rate(1, 480, "60")]});
    let mut socket = Socket::try_open(&program, SOCKET, "").await.unwrap();
    assert_eq!(send_over(&mut socket, &device, &samples).await["data"]["code"], "unauthenticated");
    assert_eq!(socket.credit, None);
    let id = socket.send("auth", json!({"token": user.token})).await;
    assert_eq!(socket.answer(id).await["type"], "authenticated");
    let answer = send_over(&mut socket, &device, &samples).await;
    assert_eq!(statuses_in(&answer["data"]), ["stored"]);
    assert_eq!(answer["credit"], 5_000);
}

/// Samples that a device sends, twenty to a message.
fn messages(device: &str, count: i64) -> Vec<Value> {
    let samples =
        |n: i64| (1..=20).map(|i| heart_rate(n * 20 + i, (n * 20 + i) % 1_440, "72")).collect::<Vec<_>>();
    (0..count).map(|n| beside_device(device, &json!({"samples": samples(n)}))).collect()
}

/// Sends all over one socket and gives the statuses in the order of the samples.
async fn send_all(program: &Program, user: &User, messages: &[Value]) -> Vec<String> {
    let mut socket = Socket::open(program, SOCKET, user).await;
    let mut sent = Vec::new();
    for message in messages {
        sent.push(socket.send("samples.send", message.clone()).await);
    }
    let mut all = Vec::new();
    for id in sent {
        let answer = socket.answer(id).await;
        assert_eq!(answer["type"], "reply", "{answer:#}");
        all.extend(statuses_in(&answer["data"]).into_iter().map(str::to_owned));
    }
    all
}

#[tokio::test]
async fn what_was_acknowledged_on_a_socket_survives_a_hard_kill_and_is_resent_to_another_process() {
    const DEVICES: usize = 3;
    const MESSAGES: i64 = 30;
    let database = Database::create().await;
    let program = Program::start(&database, UNLIMITED).await;
    let user = program.user("alice").await;
    let person = make_person(&user, "Europe/Berlin").await;
    let mut devices = Vec::new();
    for _ in 0..DEVICES {
        devices.push(make_device(&user, &person).await);
    }
    let mut program = Some(program);
    let mut acknowledged: HashMap<String, usize> = HashMap::new();
    for round in 1..=3 {
        let running = program.take().expect("put back at the end of each round");
        let user = user.at(&running.base);
        let mut sockets = Vec::new();
        for device in &devices {
            let mut socket = Socket::open(&running, SOCKET, &user).await;
            for message in messages(device, MESSAGES * round) {
                socket.send("samples.send", message).await;
            }
            sockets.push((device.clone(), socket));
        }
        // Some are acknowledged, then the process is gone, between whatever it was doing.
        for (device, socket) in &mut sockets {
            let known = acknowledged.entry(device.clone()).or_default();
            let wanted = *known / 20 + 10 * round as usize;
            for _ in 0..wanted {
                let answer = socket.any_answer().await;
                let safe = answer["data"]["safe_to_delete_through"].as_u64();
                let safe = safe.unwrap_or_else(|| panic!("{answer:#}")) as usize;
                *known = (*known).max(safe);
            }
        }
        running.kill().await;

        let next = Program::start(&database, UNLIMITED).await;
        let user = user.at(&next.base);
        let again = join_all(devices.iter().map(|device| {
            let (next, user, messages) = (&next, &user, messages(device, MESSAGES * round));
            async move { send_all(next, user, &messages).await }
        }));
        for (device, statuses) in devices.iter().zip(again.await) {
            assert!(statuses.iter().all(|it| it == "stored" || it == "duplicate"), "{statuses:?}");
            let safe = acknowledged[device];
            assert!(
                statuses[..safe].iter().all(|it| it == "duplicate"),
                "{safe} were acknowledged: {statuses:?}"
            );
            acknowledged.insert(device.clone(), statuses.len());
        }
        check(&next).await;
        program = Some(next);
    }
    let program = program.expect("of the last round");
    let user = user.at(&program.base);
    let last = send(&user, &devices[0], &json!({"samples": [heart_rate(1, 1, "72")]})).await.expect(200);
    for resolution in ["1d", "15m"] {
        let path = format!("{person}/series?metric=heart_rate&resolution={resolution}&limit=500");
        let series = get_after(&user, &last, &path).await.expect(200);
        let counted: i64 =
            series.body["items"].as_array().unwrap().iter().map(|it| it["count"].as_i64().unwrap()).sum();
        assert_eq!(counted, DEVICES as i64 * MESSAGES * 3 * 20, "{resolution}");
    }
}

#[tokio::test]
async fn a_socket_ends_with_its_token_unless_a_new_one_prolongs_it() {
    let (_database, program) = start().await;
    let long = program.user("alice").await;
    let device = make_device(&long, &make_person(&long, "Europe/Berlin").await).await;
    let short = User::sign_in(&program.base, json!({"sub": "alice", "ttl_s": 10})).await;
    let mut prolonged = Socket::open(&program, SOCKET, &short).await;
    let id = prolonged.send("auth", json!({"token": long.token})).await;
    assert_eq!(prolonged.answer(id).await["type"], "authenticated");
    assert_eq!(Socket::open(&program, SOCKET, &short).await.closed().await, 4_401);
    let samples = json!({"samples": [heart_rate(1, 480, "60")]});
    assert_eq!(statuses_in(&send_over(&mut prolonged, &device, &samples).await["data"]), ["stored"]);
}
