//! Every operation and channel of every socket given what no client should send. Each frame that comes back is one that
//! the document announces, and the socket lives on.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::contract::of_wrong_type;
use super::conventions::operator;
use super::doors::alices;
use crate::harness::{AsyncApi, Database, Program, Socket, User};
use crate::health::heart_rate;

/// Names that are no operation and no channel, or not quite.
const ODD_NAMES: &[&str] = &["", "x", "book", "book:", ":", "order.place ", "\0", "\u{1F34E}", "account:\0"];

struct Spoken {
    socket: String,
    address: String,
    /// Operations with the schema of their `args`.
    operations: Vec<(String, Value)>,
    /// Kinds of channels, each with what its key names.
    channels: Vec<(String, String)>,
}

fn sockets(api: &AsyncApi) -> Vec<Spoken> {
    let channels = api.document["channels"].as_object().unwrap();
    let is_socket = |channel: &Value| channel["address"].as_str().unwrap().ends_with("/ws");
    let spoken = channels.iter().filter(|(_, channel)| is_socket(channel)).map(|(socket, channel)| {
        let requests = channel["messages"].as_object().unwrap().values().map(|message| api.resolve(message));
        let (mut operations, mut kinds) = (Vec::new(), Vec::new());
        for message in requests {
            let properties = &message["payload"]["properties"];
            let Some(op) = properties["op"]["const"].as_str() else { continue };
            match op {
                "subscribe" => {
                    let example = properties["channel"]["examples"][0].as_str().unwrap();
                    let (kind, key) = example.split_once(':').unwrap();
                    kinds.push((kind.to_owned(), key.trim_matches(['{', '}']).to_owned()));
                }
                "auth" | "ping" | "unsubscribe" => {}
                _ => operations.push((op.to_owned(), api.resolve(&properties["args"]).clone())),
            }
        }
        let address = channel["address"].as_str().unwrap().to_owned();
        Spoken { socket: socket.clone(), address, operations, channels: kinds }
    });
    spoken.collect()
}

/// Sends a frame and gives the code of the error that answers it; empty when it was done.
async fn tell(socket: &mut Socket, mut frame: Value) -> String {
    let id = socket.send_frame(&mut frame).await;
    let answer = socket.answer(id).await;
    answer["data"]["code"].as_str().unwrap_or_default().to_owned()
}

/// The odd and the wrong in the place of `args`.
fn odd_args(schema: &Value) -> Vec<Value> {
    let mut odd = vec![
        json!(null),
        json!([]),
        json!("x"),
        json!(7),
        json!({}),
        json!({"there_is_no_such_field": 1}),
        json!({"resume_from": -1}),
        json!({"token": "rubbish"}),
    ];
    for (name, schema) in AsyncApi::of_program().properties(schema).0 {
        let values = [
            of_wrong_type(&schema),
            json!(null),
            json!(""),
            json!(-1),
            json!("\0"),
            json!("x".repeat(20_000)),
        ];
        odd.extend(values.into_iter().map(|value| json!({ name.as_str(): value })));
    }
    odd
}

#[tokio::test]
async fn whatever_a_socket_is_sent_it_answers_as_the_document_announces_and_lives_on() {
    let database = Database::create().await;
    let quota = concat!(env!("CARGO_MANIFEST_DIR"), "/src/harness/unlimited.toml");
    let program = Program::start(&database, &[("WEIR_POLICIES", quota)]).await;
    let user = operator(&program).await;
    let api = AsyncApi::of_program();
    let mut told = 0;
    for spoken in sockets(api) {
        let mut socket = Socket::open(&program, &spoken.address, &user).await;
        for (op, schema) in &spoken.operations {
            for args in odd_args(schema) {
                tell(&mut socket, json!({"op": op, "args": args})).await;
                told += 1;
            }
            assert!(!tell(&mut socket, json!({"op": op})).await.is_empty(), "{op} without args");
        }
        let kinds = spoken.channels.iter();
        let names = kinds.flat_map(|(kind, _)| ["", "x", "\0"].map(|key| format!("{kind}:{key}")));
        let names: Vec<String> = names.chain(ODD_NAMES.iter().map(|name| (*name).to_owned())).collect();
        for name in names {
            for args in odd_args(&Value::Null) {
                for op in ["subscribe", "unsubscribe"] {
                    tell(&mut socket, json!({"op": op, "channel": name, "args": args})).await;
                    told += 1;
                }
            }
        }
        for name in ODD_NAMES {
            let code = tell(&mut socket, json!({"op": name, "args": {}})).await;
            assert_eq!(code, "unknown-operation", "{name:?}");
            told += 1;
        }
        for text in ["", "{", "null", "[]", "{\"op\":1}", "{\"op\":\"ping\",\"colour\":1}", "\u{feff}{}"] {
            let answer = socket.say(text).await;
            assert_eq!(answer["type"], "error", "{text:?}: {answer:#}");
            told += 1;
        }
        assert_eq!(tell(&mut socket, json!({"op": "ping"})).await, "");
    }
    println!("{told} messages to sockets were answered as the document announces");
    assert!(told > 400, "{told}");
}

#[tokio::test]
async fn no_operation_of_a_socket_is_done_for_who_may_not_have_it_done() {
    let database = Database::create().await;
    let quota = concat!(env!("CARGO_MANIFEST_DIR"), "/src/harness/unlimited.toml");
    let program = Program::start(&database, &[("WEIR_POLICIES", quota)]).await;
    let (_alice, ids) = alices(&program).await;
    let (mallory, nobody) = (program.user("mallory").await, program.user("nobody").await.with_token(""));
    let scopeless = program.user_with("alice", &["nothing:read"]).await;
    let owner = database.owner().await;
    let count = "SELECT (SELECT count(*) FROM trading.event) + (SELECT count(*) FROM household.event)
        + (SELECT count(*) FROM health.event)";
    let before: i64 = owner.query_one(count, &[]).await.unwrap().get(0);
    let mut tried = 0;
    for spoken in sockets(AsyncApi::of_program()) {
        let mut frames: Vec<Value> = Vec::new();
        for (op, schema) in &spoken.operations {
            frames.push(json!({"op": op, "args": good_args(AsyncApi::of_program(), schema, &ids)}));
        }
        for (kind, key) in &spoken.channels {
            // What has no owner is everybody's to follow.
            let Some(id) = id_of(key, &ids) else { continue };
            frames.push(json!({"op": "subscribe", "channel": format!("{kind}:{id}")}));
        }
        for (who, expected) in
            [(&nobody, "unauthenticated"), (&scopeless, "insufficient-scope"), (&mallory, "not-found")]
        {
            let user: &User = who;
            let mut socket = Socket::open(&program, &spoken.address, user).await;
            for frame in &frames {
                let code = tell(&mut socket, frame.clone()).await;
                assert_eq!(code, expected, "{} {frame}", spoken.socket);
                tried += 1;
            }
        }
    }
    println!("{tried} messages to sockets were refused");
    assert!(tried > 20, "{tried}");
    let after: i64 = owner.query_one(count, &[]).await.unwrap().get(0);
    assert_eq!(after, before, "somebody has changed something");
}

type Ids = BTreeMap<(&'static str, &'static str), String>;

/// Alice's id of this name. A household's account is another one than trading's.
fn id_of<'a>(name: &str, ids: &'a Ids) -> Option<&'a String> {
    let is_it = |module: &str, of: &str| {
        module != "households" && (of == name || of.strip_suffix("_id") == Some(name))
    };
    ids.iter().find(|((module, of), _)| is_it(module, of)).map(|(_, id)| id)
}

/// Args that only a stranger's token can be wrong with: Alice's ids, and of everything else the schema's example.
fn good_args(api: &AsyncApi, schema: &Value, ids: &Ids) -> Value {
    let (properties, required) = api.properties(schema);
    let mut args = json!({});
    for (name, schema) in &properties {
        if !required.contains(name) && name != "order_id" {
            continue;
        }
        if let Some(id) = id_of(name, ids) {
            args[name] = json!(id);
        } else if name == "samples" {
            args[name] = json!([heart_rate(1, 60, "61")]);
        } else {
            let schema = api.resolve(schema);
            let example = [&schema["example"], &schema["examples"][0], &schema["enum"][0]];
            args[name] = match example.into_iter().find(|it| !it.is_null()) {
                Some(example) => example.clone(),
                None if schema["type"] == "boolean" => json!(true),
                None if schema["type"] == "array" => json!([]),
                None => json!("x-1"),
            };
        }
    }
    args
}
