//! The AsyncAPI document, and the frames that its sockets send held to it: every one that any test sees.

use std::collections::HashMap;
use std::sync::{Mutex, OnceLock};

use jsonschema::Validator;
use serde_json::{Map, Value, json};

use super::setting;

/// What the program says that its sockets speak.
pub struct AsyncApi {
    /// All of it.
    pub document: Value,
    validators: Mutex<HashMap<String, Validator>>,
}

impl AsyncApi {
    /// As the program prints it.
    pub fn of_program() -> &'static Self {
        static DOCUMENT: OnceLock<AsyncApi> = OnceLock::new();
        DOCUMENT.get_or_init(|| {
            let printed = std::process::Command::new(setting("WEIR_BIN")).arg("asyncapi").output().unwrap();
            let document = serde_json::from_slice(&printed.stdout).expect("the document is JSON");
            Self { document, validators: Mutex::default() }
        })
    }

    /// The frame is one that the document announces for this socket. `op` is what it answers, where it is a reply.
    #[track_caller]
    pub fn hold(&self, socket: &str, op: Option<&str>, frame: &Value) {
        let name = message_of(op, frame);
        let message = &self.document["components"]["messages"][format!("{socket}.{name}")];
        assert!(message.is_object(), "no message {socket}.{name} is announced: {frame:#}");
        let mut validators = self.validators.lock().unwrap();
        let validator = validators.entry(format!("{socket}.{name}")).or_insert_with(|| {
            let mut schema = message["payload"].clone();
            schema["components"] = self.document["components"].clone();
            jsonschema::draft202012::new(&schema).unwrap()
        });
        let wrong: Vec<_> =
            validator.iter_errors(frame).map(|e| format!("{}: {e}", e.instance_path())).collect();
        assert!(wrong.is_empty(), "{socket}.{name}: {wrong:?} in {frame:#}");
    }

    /// The properties of a schema with those of all its parts, and which of them are required.
    pub fn properties(&self, schema: &Value) -> (Map<String, Value>, Vec<String>) {
        let schema = self.resolve(schema);
        let mut all = schema["properties"].as_object().cloned().unwrap_or_default();
        let names = schema["required"].as_array().into_iter().flatten();
        let mut required: Vec<String> = names.map(|name| name.as_str().unwrap().to_owned()).collect();
        for part in schema["allOf"].as_array().into_iter().flatten() {
            let (properties, names) = self.properties(part);
            all.extend(properties);
            required.extend(names);
        }
        (all, required)
    }

    /// A schema of the document, its references followed.
    pub fn resolve<'a>(&'a self, schema: &'a Value) -> &'a Value {
        match schema["$ref"].as_str() {
            Some(reference) => self.resolve(self.document.pointer(&reference[1..]).expect("it is there")),
            None => schema,
        }
    }
}

/// The announced message that a frame says it is.
fn message_of(op: Option<&str>, frame: &Value) -> String {
    let kind = || frame["ch"].as_str().unwrap_or_default().split(':').next().unwrap_or_default().to_owned();
    match frame["type"].as_str().unwrap_or_default() {
        "authenticated" => "auth.answer".to_owned(),
        "pong" => "ping.answer".to_owned(),
        "reply" => format!("{}.reply", op.unwrap_or("what nobody asked for")),
        "unsubscribed" if frame["id"].is_null() => "ended".to_owned(),
        "unsubscribed" => "unsubscribe.answer".to_owned(),
        one @ ("error" | "heartbeat" | "closing") => one.to_owned(),
        other if frame["ch"] == json!(null) => other.to_owned(),
        other => format!("{}.{other}", kind()),
    }
}
