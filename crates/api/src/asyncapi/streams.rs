//! Event streams in the AsyncAPI document: a channel for the address that takes an access token, and one for the address
//! that takes a ticket, with the same messages.

use serde_json::{Map, Value, json};

use super::{AsyncApiError, Parts};
use crate::socket::{SchemaOf, Schemas};
use crate::sse::{END, EVENT_STREAM, EndData, POSITION, PositionData, RESET, ResetData, StreamDocument};

/// The server as the channels refer to it: the same one, spoken to over HTTP.
pub(super) const SERVER: &str = "weir-http";

pub(super) const ABOUT: &str = "Event streams (`text/event-stream`): `event:` names the message, `data:` is one JSON text, \
    `id:` is the number of the stream that the message brings the client to. `Last-Event-ID`, or the first time the \
    parameter `last_event_id`, goes on after a number, on any process, without a gap; without either the stream goes on \
    from now. A comment comes every 15 seconds. A browser's `EventSource`, which sends no `Authorization`, opens the \
    address of a ticket: its first use is within 30 seconds, and from then on it resumes until 10 minutes after its last.";

pub(super) fn server() -> Value {
    json!({
        "host": "{host}",
        "protocol": "https",
        "description": "`http` on a development machine",
        "variables": {"host": {"default": "127.0.0.1:8080"}},
    })
}

impl Parts {
    pub(super) fn add_stream(&mut self, stream: &StreamDocument) -> Result<(), AsyncApiError> {
        let mut schemas = Schemas::new();
        let own = |name, summary, data: SchemaOf, has_id| (name, summary, data, has_id);
        let first = own(
            POSITION,
            "The first message: where the stream goes on",
            SchemaOf::of::<PositionData>(),
            true,
        );
        let told = stream.messages.iter().map(|it| own(it.name, it.summary, it.data, true));
        let last = [
            own(RESET, "Not everything after the client's number is kept", SchemaOf::of::<ResetData>(), true),
            own(END, "The last message, and why", SchemaOf::of::<EndData>(), false),
        ];
        let mut members = Map::new();
        for (name, summary, data, has_id) in std::iter::once(first).chain(told).chain(last) {
            let id = format!("{}.{name}", stream.name);
            let message = json!({
                "name": name,
                "summary": summary,
                "contentType": "application/json",
                "headers": headers(name, has_id),
                "payload": serde_json::to_value(data.collect(&mut schemas))?,
            });
            self.messages.insert(id.clone(), message);
            members.insert(name.to_owned(), json!({"$ref": format!("#/components/messages/{id}")}));
        }
        let with_ticket = format!("{}.ticket", stream.name);
        let doors = [
            (stream.name, stream.address, "With an access token", &[][..]),
            (&with_ticket, stream.ticket_address, "With a ticket", &["ticket"][..]),
        ];
        for (channel, address, how, required) in doors {
            let parameters: Map<String, Value> = stream
                .parameters
                .iter()
                .map(|(name, about)| ((*name).to_owned(), json!({"description": about})))
                .collect();
            let about = json!({
                "address": address,
                "title": channel,
                "summary": stream.summary,
                "description": format!("{how}. `Accept: {EVENT_STREAM}`."),
                "servers": [{"$ref": format!("#/servers/{SERVER}")}],
                "parameters": parameters,
                "messages": members,
            });
            self.channels.insert(channel.to_owned(), about);
            let sent =
                members.keys().map(|name| json!({"$ref": format!("#/channels/{channel}/messages/{name}")}));
            let operation = json!({
                "action": "send",
                "summary": format!("Follow: {}", stream.summary),
                "channel": {"$ref": format!("#/channels/{channel}")},
                "messages": sent.collect::<Vec<_>>(),
                "bindings": {"http": {"method": "GET", "query": query(required)}},
            });
            self.operations.insert(channel.to_owned(), operation);
        }
        self.keep(schemas)
    }
}

fn headers(name: &str, has_id: bool) -> Value {
    let mut properties = json!({"event": {"const": name}});
    if has_id {
        properties["id"] = json!({"type": "integer", "format": "int64", "minimum": 0});
    }
    json!({"type": "object", "properties": properties})
}

fn query(required: &[&str]) -> Value {
    let mut properties = json!({"last_event_id": {"type": "integer", "format": "int64", "minimum": 0}});
    for name in required {
        properties[*name] = json!({"type": "string"});
    }
    json!({"type": "object", "required": required, "properties": properties})
}
