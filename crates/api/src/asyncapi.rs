//! The AsyncAPI 3 document of the sockets and event streams, written from what the modules declare
//! ([`crate::socket::Operation`], [`crate::socket::ChannelKind`], [`crate::sse::StreamDocument`]) and from the types that
//! they read and write. Nothing in it is kept by hand but the session's own frames.

use serde_json::{Map, Value, json};
use utoipa::ToSchema;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::Schema;

use crate::socket::{ChannelKind, ErrorData, MessageKind, Operation, Protocol, Schemas};
use crate::sse::StreamDocument;

mod streams;

/// A module's socket.
#[derive(Clone, Copy, Debug)]
pub struct SocketDocument {
    /// The module's name.
    pub name: &'static str,
    /// The path, such as `/v1/trading/ws`.
    pub address: &'static str,
    /// One sentence.
    pub summary: &'static str,
    /// What can be asked.
    pub operations: &'static [Operation],
    /// What can be followed.
    pub channels: &'static [ChannelKind],
}

impl SocketDocument {
    /// What `protocol` speaks at `address`.
    pub fn of(protocol: &dyn Protocol, address: &'static str, summary: &'static str) -> Self {
        let (operations, channels) = (protocol.operations(), protocol.channels());
        Self { name: protocol.name(), address, summary, operations, channels }
    }
}

/// Why there is no document. A mistake in the program, found at its start.
#[derive(Debug, thiserror::Error)]
pub enum AsyncApiError {
    /// Two types that are written differently have one name.
    #[error("two schemas have the name {0}")]
    Schema(String),
    /// A schema can't be written.
    #[error("a schema can't be written as JSON")]
    Json(#[from] serde_json::Error),
}

/// The document, as `/asyncapi.json` serves it.
pub fn document(sockets: &[SocketDocument], streams: &[StreamDocument]) -> Result<Value, AsyncApiError> {
    let mut parts = Parts::default();
    for socket in sockets {
        parts.add(socket)?;
    }
    for stream in streams {
        parts.add_stream(stream)?;
    }
    Ok(json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "Weir",
            "version": env!("CARGO_PKG_VERSION"),
            "description": format!("{ABOUT}\n\n{}", streams::ABOUT),
        },
        "defaultContentType": "application/json",
        "servers": {
            "weir": {
                "host": "{host}",
                "protocol": "wss",
                "description": "`ws` on a development machine",
                "variables": {"host": {"default": "127.0.0.1:8080"}},
            },
            streams::SERVER: streams::server(),
        },
        "channels": parts.channels,
        "operations": parts.operations,
        "components": {"messages": parts.messages, "schemas": parts.schemas},
    }))
}

const ABOUT: &str = "Sockets: every message is one JSON text frame. In: `{id, op, channel, args}`. Out: `{id?, ch?, seq?, prev?, \
    type, data, token?, credit?}`. Answers carry the `id` of what they answer and may come out of order. `args.token` is the \
    consistency token of an earlier write: the read sees at least that. A socket without an `Authorization` header \
    sends `auth` first, within five seconds; `auth` again prolongs it. On a channel `seq` is the number of the \
    stream and `prev` the number sent before on this channel; `resume_from` at the subscription goes on after a \
    number. Where a module lends credit, the last `credit` of a frame says how much may be under way, sent and not yet \
    answered; what is more than that is refused with `no-credit` and nothing of it is done. Close codes: 1001 the server stops, 1009 a message is too large, 4401 no valid token, 4408 too slow \
    (connect and resume), 4429 too many sockets.";

#[derive(Default)]
struct Parts {
    channels: Map<String, Value>,
    operations: Map<String, Value>,
    messages: Map<String, Value>,
    schemas: Map<String, Value>,
}

/// A message's place within its socket.
struct Message<'a> {
    socket: &'a str,
    name: String,
}

impl Message<'_> {
    fn reference(&self) -> Value {
        json!({"$ref": format!("#/channels/{}/messages/{}", self.socket, self.name)})
    }
}

impl Parts {
    fn add(&mut self, socket: &SocketDocument) -> Result<(), AsyncApiError> {
        let mut schemas = Schemas::new();
        <ErrorData as ToSchema>::schemas(&mut schemas);
        schemas.push((ErrorData::name().into_owned(), <ErrorData as utoipa::PartialSchema>::schema()));
        let mut members = Map::new();

        for (name, summary, request, answer) in session() {
            let request = self.message(socket, &mut members, &format!("{name}.request"), summary, request);
            let answer = self.message(socket, &mut members, &format!("{name}.answer"), summary, answer);
            self.receive(socket, name, summary, &request, &answer);
        }
        for operation in socket.operations {
            let args = json(&operation.args.collect(&mut schemas))?;
            let reply = json(&operation.reply.collect(&mut schemas))?;
            let (name, summary) = (operation.name, operation.summary);
            let request = request(name, None, &args);
            let request = self.message(socket, &mut members, &format!("{name}.request"), summary, request);
            let more = [("token", json!({"type": "string"})), ("credit", credit())];
            let answer = answer("reply", &reply, &more);
            let answer = self.message(socket, &mut members, &format!("{name}.reply"), summary, answer);
            self.receive(socket, name, summary, &request, &answer);
        }
        let errors = json!({"$ref": format!("#/components/schemas/{}", ErrorData::name())});
        for (name, summary, frame) in session_frames(&errors) {
            let message = self.message(socket, &mut members, name, summary, frame);
            self.send(socket, name, summary, &[message]);
        }
        for channel in socket.channels {
            let mut sent = Vec::new();
            for MessageKind { name, summary, data } in channel.messages {
                let data = json(&data.collect(&mut schemas))?;
                let name = format!("{}.{name}", channel.name);
                let frame = channel_frame(channel, name.rsplit('.').next().unwrap_or_default(), &data);
                sent.push(self.message(socket, &mut members, &name, summary, frame));
            }
            let args = json(&channel.args.collect(&mut schemas))?;
            let (name, summary) =
                (format!("{}.subscribe", channel.name), format!("Follow: {}", channel.summary));
            let subscribe = request("subscribe", Some(channel), &args);
            let subscribe = self.message(socket, &mut members, &name, &summary, subscribe);
            let subscribed = channel_frame(channel, "subscribed", &json!({"type": "object"}));
            let subscribed = self.message(
                socket,
                &mut members,
                &format!("{}.subscribed", channel.name),
                &summary,
                subscribed,
            );
            self.receive(socket, &name, &summary, &subscribe, &subscribed);
            self.send(socket, channel.name, channel.summary, &sent);
        }

        let address = json!({
            "address": socket.address,
            "title": socket.name,
            "summary": socket.summary,
            "servers": [{"$ref": "#/servers/weir"}],
            "messages": members,
            "bindings": {"ws": {"method": "GET"}},
        });
        self.channels.insert(socket.name.to_owned(), address);
        self.keep(schemas)
    }

    fn keep(&mut self, schemas: Schemas) -> Result<(), AsyncApiError> {
        for (name, schema) in schemas {
            let schema = json(&schema)?;
            match self.schemas.get(&name) {
                Some(known) if *known != schema => return Err(AsyncApiError::Schema(name)),
                _ => self.schemas.insert(name, schema),
            };
        }
        Ok(())
    }

    fn message<'a>(
        &mut self,
        socket: &SocketDocument,
        members: &mut Map<String, Value>,
        name: &str,
        summary: &str,
        payload: Value,
    ) -> Message<'a> {
        let id = format!("{}.{name}", socket.name);
        self.messages.insert(id.clone(), json!({"name": name, "summary": summary, "payload": payload}));
        members.insert(name.to_owned(), json!({"$ref": format!("#/components/messages/{id}")}));
        Message { socket: socket.name, name: name.to_owned() }
    }

    fn receive(
        &mut self,
        socket: &SocketDocument,
        name: &str,
        summary: &str,
        request: &Message<'_>,
        answer: &Message<'_>,
    ) {
        let channel = json!({"$ref": format!("#/channels/{}", socket.name)});
        let error = Message { socket: socket.name, name: "error".to_owned() };
        let operation = json!({
            "action": "receive",
            "summary": summary,
            "channel": channel,
            "messages": [request.reference()],
            "reply": {"channel": channel, "messages": [answer.reference(), error.reference()]},
        });
        self.operations.insert(format!("{}.{name}", socket.name), operation);
    }

    fn send(&mut self, socket: &SocketDocument, name: &str, summary: &str, messages: &[Message<'_>]) {
        let operation = json!({
            "action": "send",
            "summary": summary,
            "channel": {"$ref": format!("#/channels/{}", socket.name)},
            "messages": messages.iter().map(Message::reference).collect::<Vec<_>>(),
        });
        self.operations.insert(format!("{}.{name}", socket.name), operation);
    }
}

fn json(schema: &RefOr<Schema>) -> Result<Value, AsyncApiError> {
    Ok(serde_json::to_value(schema)?)
}

fn id() -> Value {
    json!({"type": ["string", "number"], "description": "Chosen by the client and echoed"})
}

fn credit() -> Value {
    json!({"type": "integer", "minimum": 0, "description": "Where it is lent: how much may be under way from now on"})
}

fn object(required: &[&str], properties: Value) -> Value {
    json!({"type": "object", "required": required, "additionalProperties": false, "properties": properties})
}

fn request(op: &str, channel: Option<&ChannelKind>, args: &Value) -> Value {
    let mut properties = json!({"id": id(), "op": {"const": op}, "args": args});
    let mut required = vec!["op", "args"];
    if let Some(kind) = channel {
        let about = if kind.conflated {
            "Conflated: a slow client is told the sum of what it missed."
        } else {
            "Gapless: a client that falls too far behind is closed with 4408 and resumes."
        };
        required.push("channel");
        properties["channel"] = json!({"type": "string", "pattern": format!("^{}:", kind.name), "description": about,
            "examples": [format!("{}:{{{}}}", kind.name, kind.key)]});
        let resume = json!({"resume_from": {"type": "integer", "format": "int64", "minimum": 0}});
        properties["args"] = json!({"allOf": [args, {"type": "object", "properties": resume}]});
        required.retain(|name| *name != "args");
    }
    object(&required, properties)
}

fn answer(kind: &str, data: &Value, more: &[(&str, Value)]) -> Value {
    let mut properties = json!({"id": id(), "type": {"const": kind}, "data": data});
    for (name, schema) in more {
        properties[*name] = schema.clone();
    }
    object(&["type", "data"], properties)
}

fn channel_frame(channel: &ChannelKind, kind: &str, data: &Value) -> Value {
    let number = |about: &str| json!({"type": "integer", "format": "int64", "description": about});
    let mut properties = json!({
        "ch": {"type": "string", "pattern": format!("^{}:", channel.name)},
        "seq": number("The number of the stream that this brings the client to"),
        "prev": number("The number that was sent before on this channel"),
        "type": {"const": kind},
        "data": data,
    });
    if kind == "subscribed" {
        properties["id"] = id();
    }
    object(&["ch", "type", "data"], properties)
}

/// The operations of the session itself: name, summary, request, answer.
fn session() -> [(&'static str, &'static str, Value, Value); 3] {
    let text = json!({"type": "string"});
    let time = json!({"type": ["string", "null"], "format": "date-time"});
    let nothing = json!({"type": "object"});
    let auth = object(&["token"], json!({"token": text}));
    let authenticated = object(&["subject"], json!({"subject": text, "expires_at": time}));
    let unsubscribe =
        object(&["op", "channel"], json!({"id": id(), "op": {"const": "unsubscribe"}, "channel": text}));
    [
        (
            "auth",
            "Sign in, or prolong the socket",
            request("auth", None, &auth),
            answer("authenticated", &authenticated, &[]),
        ),
        (
            "ping",
            "Ask for a sign of life",
            object(&["op"], json!({"id": id(), "op": {"const": "ping"}})),
            answer("pong", &object(&["at"], json!({"at": time})), &[]),
        ),
        (
            "unsubscribe",
            "Follow a channel no more",
            unsubscribe,
            answer("unsubscribed", &nothing, &[("ch", text.clone())]),
        ),
    ]
}

/// The frames of the session that answer nothing: name, summary, payload.
fn session_frames(error: &Value) -> [(&'static str, &'static str, Value); 5] {
    let text = json!({"type": "string"});
    let channel = [("ch", text.clone()), ("seq", json!({"type": "integer", "format": "int64"}))];
    let closing = object(&["code", "reason"], json!({"code": {"type": "integer"}, "reason": text}));
    [
        (
            "error",
            "A message was not done",
            answer("error", error, &[channel[0].clone(), ("credit", credit())]),
        ),
        (
            "credit",
            "Where a module lends credit: how much may be under way, after the sign-in and when it changed",
            answer("credit", &json!({"type": "object"}), &[("credit", credit())]),
        ),
        (
            "heartbeat",
            "A channel was silent; its last number again",
            answer("heartbeat", &json!({"type": "object"}), &channel),
        ),
        ("ended", "A channel ended, and why", answer("unsubscribed", error, &channel[..1])),
        ("closing", "The last frame before the close frame", answer("closing", &closing, &[])),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::socket::SchemaOf;
    use common::limit::Class;

    #[derive(ToSchema)]
    #[expect(dead_code, reason = "only its schema is used")]
    struct Place {
        /// How many.
        quantity: String,
    }

    const SOCKET: SocketDocument = SocketDocument {
        name: "toy",
        address: "/v1/toy/ws",
        summary: "A toy.",
        operations: &[Operation {
            name: "order.place",
            summary: "Place an order",
            scope: "",
            class: Class::Write,
            args: SchemaOf::of::<Place>(),
            reply: SchemaOf::NOTHING,
        }],
        channels: &[ChannelKind {
            name: "book",
            key: "instrument",
            summary: "The book",
            scope: "",
            conflated: true,
            args: SchemaOf::NOTHING,
            messages: &[MessageKind {
                name: "snapshot",
                summary: "All of it",
                data: SchemaOf::of::<Place>(),
            }],
        }],
    };

    const STREAM: StreamDocument = StreamDocument {
        name: "toys",
        address: "/v1/toys/{toy}/live",
        ticket_address: "/v1/toys/{toy}/live/events",
        summary: "A toy's changes",
        parameters: &[("toy", "Which one")],
        messages: &[MessageKind { name: "change", summary: "It changed", data: SchemaOf::of::<Place>() }],
    };

    #[test]
    fn a_stream_is_described_with_the_frames_that_every_stream_has() {
        let document = document(&[], &[STREAM]).unwrap();
        let channel = &document["channels"]["toys"];
        assert_eq!(channel["address"], "/v1/toys/{toy}/live");
        assert_eq!(channel["parameters"]["toy"]["description"], "Which one");
        let names: Vec<_> = channel["messages"].as_object().unwrap().keys().collect();
        assert_eq!(names, ["position", "change", "reset", "end"]);
        let messages = &document["components"]["messages"];
        assert_eq!(messages["toys.change"]["payload"]["$ref"], "#/components/schemas/Place");
        assert_eq!(messages["toys.change"]["headers"]["properties"]["event"]["const"], "change");
        // The last message leaves the client its number.
        assert!(messages["toys.end"]["headers"]["properties"]["id"].is_null());
        let with_ticket = &document["channels"]["toys.ticket"];
        assert_eq!(with_ticket["address"], "/v1/toys/{toy}/live/events");
        assert_eq!(document["operations"]["toys"]["action"], "send");
    }

    #[test]
    fn what_is_declared_is_in_the_document() {
        let document = document(&[SOCKET], &[]).unwrap();
        assert_eq!(document["channels"]["toy"]["address"], "/v1/toy/ws");
        assert_eq!(document["operations"]["toy.order.place"]["action"], "receive");
        let payload = &document["components"]["messages"]["toy.order.place.request"]["payload"];
        assert_eq!(payload["properties"]["args"]["$ref"], "#/components/schemas/Place");
        let quantity = &document["components"]["schemas"]["Place"]["properties"]["quantity"];
        assert_eq!(quantity["description"], "How many.");
        assert_eq!(document["operations"]["toy.book"]["action"], "send");
        let snapshot = &document["components"]["messages"]["toy.book.snapshot"]["payload"]["properties"];
        assert_eq!(snapshot["type"]["const"], "snapshot");
    }

    #[test]
    fn every_reference_leads_somewhere() {
        let document = document(&[SOCKET], &[STREAM]).unwrap();
        let mut found = 0;
        let mut rest = vec![&document];
        while let Some(value) = rest.pop() {
            match value {
                Value::Object(members) => {
                    if let Some(Value::String(reference)) = members.get("$ref") {
                        let pointer = reference.strip_prefix('#').unwrap();
                        assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
                        found += 1;
                    }
                    rest.extend(members.values());
                }
                Value::Array(items) => rest.extend(items),
                _ => {}
            }
        }
        assert!(found > 20);
    }
}
