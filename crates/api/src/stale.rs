//! Two people changed one resource: what each field was, is and was meant to be ([`conflicts`]), the 412 that says so
//! ([`Stale`]), and the merge of changes that don't touch one another ([`merge_disjoint`]).
//!
//! All work on the part of a representation that a client edits, without versions and times of the server's own.
//! Lists of parts (objects with an `id`) are compared part by part, and a pointer names a part by its id
//! (`/splits/s1/amount`); other lists are compared as a whole.

use std::collections::HashSet;

use http::header::ETAG;
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::etag::etag;
use crate::extract::body::push_token;
use crate::merge_patch::{is_keyed, part_id};
use crate::problem::{Problem, kinds};

/// At most this many conflicts are listed.
const CONFLICTS_MAX: usize = 200;

/// A field that both changed, and not to the same value. What doesn't exist is left out.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Conflict {
    /// Where it is.
    pub pointer: String,
    /// What it was when the client read it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base: Option<Value>,
    /// What the client wants it to be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub yours: Option<Value>,
    /// What it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current: Option<Value>,
}

/// A change was made from a version that is no longer the current one.
#[derive(Debug, Clone, PartialEq)]
pub struct Stale {
    /// The current version.
    pub current_version: i64,
    /// What the client had read, as long as that is still known.
    pub base: Option<Value>,
    /// What the client wants.
    pub yours: Value,
    /// What there is.
    pub current: Value,
}

impl From<Stale> for Problem {
    fn from(stale: Stale) -> Self {
        let conflicts = conflicts(stale.base.as_ref(), &stale.yours, &stale.current);
        let detail = match conflicts.len() {
            0 => "the changes don't touch one another: send yours again with the current ETag".to_owned(),
            1 => "one field was changed by both".to_owned(),
            n => format!("{n} fields were changed by both"),
        };
        Problem::of(&kinds::STALE)
            .detail(detail)
            .header(ETAG, etag(stale.current_version))
            .with("conflicts", serde_json::json!(conflicts))
    }
}

/// Field by field: what both changed, and not to the same value. Without a base every difference counts.
pub fn conflicts(base: Option<&Value>, yours: &Value, current: &Value) -> Vec<Conflict> {
    let mut merge = Merge::default();
    merge.values(&mut String::new(), Base::of_option(base), Some(yours), Some(current));
    merge.conflicts
}

/// The current value with the changes from `base` to `yours` made to it, or what stands in the way. The result may
/// break rules that neither of the two broke (sums): check it as a whole.
pub fn merge_disjoint(base: &Value, yours: &Value, current: &Value) -> Result<Value, Vec<Conflict>> {
    let mut merge = Merge::default();
    let merged = merge.values(&mut String::new(), Base::Known(Some(base)), Some(yours), Some(current));
    if merge.conflicts.is_empty() { Ok(merged.unwrap_or_default()) } else { Err(merge.conflicts) }
}

/// What a field was before both changes.
#[derive(Clone, Copy)]
enum Base<'a> {
    /// Nobody remembers.
    Unknown,
    /// This, or nothing.
    Known(Option<&'a Value>),
}

impl<'a> Base<'a> {
    fn of_option(base: Option<&'a Value>) -> Self {
        base.map_or(Self::Unknown, |base| Self::Known(Some(base)))
    }

    fn is(self, value: Option<&Value>) -> bool {
        matches!(self, Self::Known(base) if base == value)
    }

    fn within(self, find: impl FnOnce(&'a Value) -> Option<&'a Value>) -> Self {
        match self {
            Self::Unknown => Self::Unknown,
            Self::Known(base) => Self::Known(base.and_then(find)),
        }
    }
}

#[derive(Default)]
struct Merge {
    conflicts: Vec<Conflict>,
}

impl Merge {
    /// The merged value; `None` when it is removed. Of a conflict the current value stays.
    fn values(
        &mut self,
        pointer: &mut String,
        base: Base<'_>,
        yours: Option<&Value>,
        current: Option<&Value>,
    ) -> Option<Value> {
        if yours == current || base.is(yours) {
            return current.cloned();
        }
        if base.is(current) {
            return yours.cloned();
        }
        match (yours, current) {
            (Some(Value::Object(yours)), Some(Value::Object(current))) => {
                Some(Value::Object(self.objects(pointer, base, yours, current)))
            }
            (Some(Value::Array(yours)), Some(Value::Array(current)))
                if is_keyed(yours) && is_keyed(current) =>
            {
                Some(Value::Array(self.parts(pointer, base, yours, current)))
            }
            _ => {
                self.conflict(pointer, base, yours, current);
                current.cloned()
            }
        }
    }

    fn objects(
        &mut self,
        pointer: &mut String,
        base: Base<'_>,
        yours: &Map<String, Value>,
        current: &Map<String, Value>,
    ) -> Map<String, Value> {
        let added = yours.keys().filter(|name| !current.contains_key(*name));
        let mut merged = Map::new();
        for name in current.keys().chain(added) {
            let base = base.within(|base| base.get(name));
            let value = self.below(pointer, name, base, yours.get(name), current.get(name));
            if let Some(value) = value {
                merged.insert(name.clone(), value);
            }
        }
        merged
    }

    fn parts(
        &mut self,
        pointer: &mut String,
        base: Base<'_>,
        yours: &[Value],
        current: &[Value],
    ) -> Vec<Value> {
        fn find<'a>(parts: &'a [Value], id: &str) -> Option<&'a Value> {
            parts.iter().find(|part| part_id(part) == Some(id))
        }
        let known: HashSet<&str> = current.iter().filter_map(part_id).collect();
        let added = yours.iter().filter_map(part_id).filter(|id| !known.contains(id));
        let ids = current.iter().filter_map(part_id).chain(added);
        let merged = ids.filter_map(|id| {
            let base = base.within(|base| find(base.as_array()?, id));
            self.below(pointer, id, base, find(yours, id), find(current, id))
        });
        merged.collect()
    }

    fn below(
        &mut self,
        pointer: &mut String,
        token: &str,
        base: Base<'_>,
        yours: Option<&Value>,
        current: Option<&Value>,
    ) -> Option<Value> {
        let length = pointer.len();
        push_token(pointer, token);
        let merged = self.values(pointer, base, yours, current);
        pointer.truncate(length);
        merged
    }

    fn conflict(&mut self, pointer: &str, base: Base<'_>, yours: Option<&Value>, current: Option<&Value>) {
        if self.conflicts.len() == CONFLICTS_MAX {
            return;
        }
        self.conflicts.push(Conflict {
            pointer: pointer.to_owned(),
            base: match base {
                Base::Unknown => None,
                Base::Known(base) => base.cloned(),
            },
            yours: yours.cloned(),
            current: current.cloned(),
        });
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn expense(note: &str, splits: Value) -> Value {
        json!({"amount": "10.00", "note": note, "splits": splits})
    }

    fn pointers(conflicts: &[Conflict]) -> Vec<&str> {
        conflicts.iter().map(|conflict| conflict.pointer.as_str()).collect()
    }

    #[test]
    fn changes_of_different_fields_are_merged() {
        let base = expense("a", json!([{"id": "s1", "amount": "4"}, {"id": "s2", "amount": "6"}]));
        let yours = expense("mine", json!([{"id": "s1", "amount": "4"}, {"id": "s2", "amount": "6"}]));
        let current = expense("a", json!([{"id": "s1", "amount": "5"}, {"id": "s2", "amount": "5"}]));
        let merged = expense("mine", json!([{"id": "s1", "amount": "5"}, {"id": "s2", "amount": "5"}]));
        assert_eq!(merge_disjoint(&base, &yours, &current), Ok(merged));
        assert_eq!(conflicts(Some(&base), &yours, &current), []);
    }

    #[test]
    fn a_field_that_both_changed_is_named_with_its_three_values() {
        let base = expense("a", json!([{"id": "s1", "amount": "4"}]));
        let yours = expense("a", json!([{"id": "s1", "amount": "5"}]));
        let current = expense("b", json!([{"id": "s1", "amount": "6"}]));
        let found = conflicts(Some(&base), &yours, &current);
        let expected = Conflict {
            pointer: "/splits/s1/amount".into(),
            base: Some("4".into()),
            yours: Some("5".into()),
            current: Some("6".into()),
        };
        assert_eq!(found, [expected]);
        assert_eq!(merge_disjoint(&base, &yours, &current), Err(found));
    }

    #[test]
    fn the_same_change_by_both_is_no_conflict() {
        let (base, both) = (json!({"a": 1}), json!({"a": 2}));
        assert_eq!(merge_disjoint(&base, &both, &both), Ok(both.clone()));
    }

    #[test]
    fn a_part_that_one_removed_and_the_other_changed_is_a_conflict() {
        let base = expense("a", json!([{"id": "s1", "amount": "4"}, {"id": "s2", "amount": "6"}]));
        let yours = expense("a", json!([{"id": "s2", "amount": "6"}]));
        let current = expense("a", json!([{"id": "s1", "amount": "5"}, {"id": "s2", "amount": "6"}]));
        let found = conflicts(Some(&base), &yours, &current);
        assert_eq!(pointers(&found), ["/splits/s1"]);
        assert_eq!(found[0].yours, None);
        // Removed by one and left alone by the other: it goes.
        assert_eq!(merge_disjoint(&base, &yours, &base), Ok(yours.clone()));
        assert_eq!(merge_disjoint(&base, &base, &yours), Ok(yours));
    }

    #[test]
    fn parts_that_both_added_stand_side_by_side() {
        let base = json!({"splits": []});
        let yours = json!({"splits": [{"id": "y"}]});
        let current = json!({"splits": [{"id": "c"}]});
        let merged = json!({"splits": [{"id": "c"}, {"id": "y"}]});
        assert_eq!(merge_disjoint(&base, &yours, &current), Ok(merged));
    }

    #[test]
    fn other_lists_are_one_value() {
        let (base, yours, current) =
            (json!({"tags": ["a"]}), json!({"tags": ["a", "b"]}), json!({"tags": ["c"]}));
        assert_eq!(pointers(&conflicts(Some(&base), &yours, &current)), ["/tags"]);
    }

    #[test]
    fn without_a_base_every_difference_counts() {
        let (yours, current) = (json!({"a": 1, "b": 2, "c": 3}), json!({"a": 1, "b": 3}));
        let found = conflicts(None, &yours, &current);
        assert_eq!(pointers(&found), ["/b", "/c"]);
        assert!(found.iter().all(|conflict| conflict.base.is_none()));
    }

    #[test]
    fn a_stale_change_is_answered_with_the_current_tag() {
        let stale =
            Stale { current_version: 9, base: None, yours: json!({"a": 1}), current: json!({"a": 2}) };
        let problem = Problem::from(stale);
        assert_eq!(problem.status(), 412);
        assert_eq!(problem.headers()[ETAG], "\"v9\"");
        let body = problem.to_json("", None, None);
        assert_eq!(body["conflicts"], json!([{"pointer": "/a", "yours": 1, "current": 2}]));
    }
}
