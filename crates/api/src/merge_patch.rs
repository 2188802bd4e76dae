//! JSON Merge Patch (RFC 7396) with one extension: where the target is a list of parts (objects with an `id`) and the
//! patch an object, its members are the parts' ids. `{"splits": {"s1": {"amount": "3.00"}, "s2": null}}` changes one
//! part and removes another; an unknown id adds a part. A list in the patch replaces the list, as the RFC says.

use axum::extract::{FromRequest, Request};
use garde::Validate;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::extract::body;
use crate::problem::{Problem, kinds};

/// The media type of a patch.
pub const MERGE_PATCH_JSON: &str = "application/merge-patch+json";

/// The member that names a part of a list.
pub(crate) const ID: &str = "id";

/// The body of a `PATCH`: `application/merge-patch+json` (415), a JSON object (400, 422).
#[derive(Debug, Clone, PartialEq)]
pub struct MergePatch(pub Value);

impl MergePatch {
    /// The representation with the patch applied: without unknown fields, and valid by `T`'s rules (422).
    pub fn apply<T>(&self, representation: &T) -> Result<T, Problem>
    where
        T: Serialize + DeserializeOwned + Validate<Context = ()>,
    {
        let mut target = serde_json::to_value(representation).map_err(Problem::internal)?;
        apply(&mut target, &self.0);
        body::parse_value(target)
    }
}

impl<S: Send + Sync> FromRequest<S> for MergePatch {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        body::require_media_type(request.headers(), &[MERGE_PATCH_JSON])?;
        let bytes = body::read(request).await?;
        match serde_json::from_slice(&bytes) {
            Ok(patch @ Value::Object(_)) => Ok(Self(patch)),
            // Anything else would replace the whole resource by something that isn't one.
            Ok(_) => {
                Err(Problem::of(&kinds::VALIDATION_FAILED).field("", "must be an object", "invalid-type"))
            }
            Err(error) => Err(Problem::of(&kinds::MALFORMED_JSON).detail(error.to_string())),
        }
    }
}

/// Applies the patch.
pub fn apply(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if let Value::Array(parts) = target
        && is_keyed(parts)
    {
        apply_to_parts(parts, patch);
        return;
    }
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(members) = target else { return };
    for (name, value) in patch {
        if value.is_null() {
            members.shift_remove(name);
        } else {
            apply(members.entry(name.as_str()).or_insert(Value::Null), value);
        }
    }
}

fn apply_to_parts(parts: &mut Vec<Value>, patch: &Map<String, Value>) {
    for (id, value) in patch {
        let at = parts.iter().position(|part| part_id(part) == Some(id));
        match (at, value) {
            (Some(at), Value::Null) => drop(parts.remove(at)),
            (Some(at), value) => apply(&mut parts[at], value),
            (None, Value::Null) => {}
            (None, value) => {
                let mut part = serde_json::json!({ID: id});
                apply(&mut part, value);
                parts.push(part);
            }
        }
    }
}

/// Whether every item is a part with an id; an empty list may be one.
pub(crate) fn is_keyed(list: &[Value]) -> bool {
    list.iter().all(|part| part_id(part).is_some())
}

pub(crate) fn part_id(part: &Value) -> Option<&str> {
    part.get(ID)?.as_str()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn patched(mut target: Value, patch: Value) -> Value {
        apply(&mut target, &patch);
        target
    }

    /// RFC 7396, appendix A.
    #[test]
    fn the_examples_of_the_rfc() {
        for (target, patch, result) in [
            (json!({"a":"b"}), json!({"a":"c"}), json!({"a":"c"})),
            (json!({"a":"b"}), json!({"b":"c"}), json!({"a":"b","b":"c"})),
            (json!({"a":"b"}), json!({"a":null}), json!({})),
            (json!({"a":"b","b":"c"}), json!({"a":null}), json!({"b":"c"})),
            (json!({"a":["b"]}), json!({"a":"c"}), json!({"a":"c"})),
            (json!({"a":"c"}), json!({"a":["b"]}), json!({"a":["b"]})),
            (json!({"a":{"b":"c"}}), json!({"a":{"b":"d","c":null}}), json!({"a":{"b":"d"}})),
            (json!({"a":[{"b":"c"}]}), json!({"a":[1]}), json!({"a":[1]})),
            (json!(["a", "b"]), json!(["c", "d"]), json!(["c", "d"])),
            (json!({"a":"b"}), json!(["c"]), json!(["c"])),
            (json!({"a":"foo"}), json!(null), json!(null)),
            (json!({"a":"foo"}), json!("bar"), json!("bar")),
            (json!({"e":null}), json!({"a":1}), json!({"e":null,"a":1})),
            (json!([1, 2]), json!({"a":"b","c":null}), json!({"a":"b"})),
            (json!({}), json!({"a":{"bb":{"ccc":null}}}), json!({"a":{"bb":{}}})),
        ] {
            assert_eq!(patched(target.clone(), patch.clone()), result, "{target} + {patch}");
        }
    }

    #[test]
    fn parts_are_changed_added_and_removed_by_id() {
        let target = json!({"splits": [{"id": "s1", "amount": "1"}, {"id": "s2", "amount": "2"}]});
        let patch = json!({"splits": {"s1": {"amount": "3"}, "s2": null, "s3": {"amount": "4"}, "s4": null}});
        let result = json!({"splits": [{"id": "s1", "amount": "3"}, {"id": "s3", "amount": "4"}]});
        assert_eq!(patched(target, patch), result);
    }

    #[test]
    fn a_list_replaces_a_list_of_parts() {
        let target = json!({"splits": [{"id": "s1"}]});
        assert_eq!(patched(target, json!({"splits": [{"id": "s2"}]})), json!({"splits": [{"id": "s2"}]}));
    }

    #[test]
    fn an_object_adds_to_an_empty_list_of_parts() {
        let patch = json!({"splits": {"s1": {"amount": "1"}}});
        assert_eq!(patched(json!({"splits": []}), patch), json!({"splits": [{"id": "s1", "amount": "1"}]}));
    }
}
