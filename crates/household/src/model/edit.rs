//! What an edit makes of a resource that somebody else may have changed meanwhile. Works on a resource's content as
//! JSON in which lists of parts (`splits`) are objects keyed by id, so that a part is merged and not its place.

use serde_json::{Map, Value};
use uuid::Uuid;

/// What a caller asks for.
#[derive(Debug, Clone, PartialEq)]
pub enum Edit {
    /// `PUT`: the whole content.
    Replace(Value),
    /// `PATCH`: an RFC 7396 merge patch; of a list of parts either a patch keyed by id or the whole list.
    Patch(Value),
}

/// What an edit comes to before the rules are asked. Contents are keyed.
#[derive(Debug, Clone, PartialEq)]
pub enum Decision {
    /// The version was the current one: this is wanted.
    Fresh(Value),
    /// Somebody else changed other fields: this is wanted, with theirs.
    Merged(Value),
    /// Somebody else was first.
    Stale {
        /// What the caller would have made of the version that it knew.
        yours: Value,
    },
}

/// Stale, merge or go on. `base` is the content at the version that the caller knew, `None` when it isn't known any
/// more; `lenient` allows a merge.
pub fn decide(edit: &Edit, fresh: bool, base: Option<&Value>, current: &Value, lenient: bool) -> Decision {
    if fresh {
        return Decision::Fresh(edit.apply(current));
    }
    let Some(base) = base else { return Decision::Stale { yours: edit.apply(current) } };
    let yours = edit.apply(base);
    match lenient.then(|| merge(base, &yours, current)).flatten() {
        Some(merged) => Decision::Merged(merged),
        None => Decision::Stale { yours },
    }
}

impl Edit {
    /// What comes of it when it starts from this content.
    fn apply(&self, content: &Value) -> Value {
        match self {
            Edit::Replace(whole) => keyed(whole.clone(), Some(content)),
            Edit::Patch(patch) => {
                let mut target = content.clone();
                merge_patch(&mut target, patch);
                keyed(target, Some(content))
            }
        }
    }

    /// Takes out what a caller can't change and sent along unchanged, as one does who edits what `GET` gave. Names
    /// the first one that was to be changed.
    pub fn take_read_only(&mut self, shown: &Value, read_only: &[&str]) -> Result<(), String> {
        let (Edit::Replace(Value::Object(body)) | Edit::Patch(Value::Object(body))) = self else {
            return Ok(());
        };
        for field in read_only {
            if let Some(sent) = body.shift_remove(*field)
                && shown.get(*field) != Some(&sent)
            {
                return Err((*field).to_owned());
            }
        }
        Ok(())
    }
}

/// Lists of objects become objects keyed by the `id` in each, and what is null goes. A part without an id is given
/// the one in its place in `like`, so that sending the same again changes nothing, or else a new one.
pub fn keyed(content: Value, like: Option<&Value>) -> Value {
    let Value::Object(fields) = content else { return content };
    let fields = fields.into_iter().filter(|(_, value)| !value.is_null()).map(|(field, value)| {
        let value = match value {
            Value::Array(parts) if parts.iter().all(Value::is_object) => {
                parts_by_id(parts, like.and_then(|like| like.get(&field)).and_then(Value::as_object))
            }
            Value::Object(parts) => {
                Value::Object(parts.into_iter().map(|(id, part)| (id, without_nulls(part))).collect())
            }
            other => other,
        };
        (field, value)
    });
    Value::Object(fields.collect())
}

fn parts_by_id(parts: Vec<Value>, like: Option<&Map<String, Value>>) -> Value {
    let given: Vec<Option<String>> =
        parts.iter().map(|part| part.get("id").and_then(Value::as_str).map(str::to_owned)).collect();
    let mut by_id = Map::new();
    for (place, mut part) in parts.into_iter().enumerate() {
        let known = || {
            like.and_then(|like| like.keys().nth(place)).filter(|id| !given.contains(&Some((*id).clone())))
        };
        let id = match &given[place] {
            // The same id twice: both stay, and the rules refuse them.
            Some(id) if by_id.contains_key(id) => Uuid::now_v7().to_string(),
            Some(id) => {
                part.as_object_mut().map(|part| part.shift_remove("id"));
                id.clone()
            }
            None => known().cloned().unwrap_or_else(|| Uuid::now_v7().to_string()),
        };
        by_id.insert(id, without_nulls(part));
    }
    Value::Object(by_id)
}

fn without_nulls(part: Value) -> Value {
    match part {
        Value::Object(fields) => {
            Value::Object(fields.into_iter().filter(|(_, value)| !value.is_null()).collect())
        }
        other => other,
    }
}

/// The way back: what stands keyed under `lists` becomes a list again.
pub fn listed(mut content: Value, lists: &[&str]) -> Value {
    let Value::Object(fields) = &mut content else { return content };
    for list in lists {
        let Some(Value::Object(by_id)) = fields.get_mut(*list) else { continue };
        let parts = std::mem::take(by_id).into_iter().map(|(id, part)| match part {
            Value::Object(mut part) => {
                part.entry("id").or_insert(Value::String(id));
                Value::Object(part)
            }
            other => other,
        });
        fields[*list] = Value::Array(parts.collect());
    }
    content
}

/// RFC 7396.
fn merge_patch(target: &mut Value, patch: &Value) {
    let Value::Object(changes) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(fields) = target else { return };
    for (field, change) in changes {
        if change.is_null() {
            fields.shift_remove(field);
        } else {
            merge_patch(fields.entry(field.as_str()).or_insert(Value::Null), change);
        }
    }
}

/// Both changes of `base`, unless they touch.
fn merge(base: &Value, yours: &Value, current: &Value) -> Option<Value> {
    if yours == base || yours == current {
        return Some(current.clone());
    }
    if current == base {
        return Some(yours.clone());
    }
    let (Value::Object(base), Value::Object(yours), Value::Object(current)) = (base, yours, current) else {
        return None;
    };
    let mut merged = Map::new();
    let added = yours.keys().filter(|field| !current.contains_key(*field));
    for field in current.keys().chain(added) {
        match (base.get(field), yours.get(field), current.get(field)) {
            (old, new, theirs) if new == old || new == theirs => {
                theirs.map(|theirs| merged.insert(field.clone(), theirs.clone()));
            }
            (old, new, theirs) if theirs == old => {
                new.map(|new| merged.insert(field.clone(), new.clone()));
            }
            (Some(old), Some(new), Some(theirs)) => {
                merged.insert(field.clone(), merge(old, new, theirs)?);
            }
            _ => return None,
        }
    }
    Some(Value::Object(merged))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn content() -> Value {
        keyed(
            json!({"payee": "Grocer", "amount": "42.10", "to_account_id": null, "splits": [
                {"id": "a", "amount": "40.00", "category_id": "food"},
                {"id": "b", "amount": "2.10", "category_id": null},
            ]}),
            None,
        )
    }

    fn patch(value: Value) -> Edit {
        Edit::Patch(value)
    }

    #[test]
    fn a_split_is_patched_by_its_id_taken_away_by_null_and_added_under_a_new_one() {
        let edit = patch(json!({"splits": {"a": {"amount": "30.00"}, "b": null, "c": {"amount": "12.10"}}}));
        let Decision::Fresh(wanted) = decide(&edit, true, None, &content(), false) else { panic!() };
        assert_eq!(
            listed(wanted, &["splits"])["splits"],
            json!([{"amount": "30.00", "category_id": "food", "id": "a"}, {"amount": "12.10", "id": "c"}])
        );
    }

    #[test]
    fn a_list_of_splits_replaces_all_of_them() {
        let edit = patch(json!({"splits": [{"id": "b", "amount": "42.10"}]}));
        let Decision::Fresh(wanted) = decide(&edit, true, None, &content(), false) else { panic!() };
        assert_eq!(wanted["splits"], json!({"b": {"amount": "42.10"}}));
    }

    #[test]
    fn the_same_content_sent_without_ids_is_the_same() {
        let whole = json!({"payee": "Grocer", "amount": "42.10", "splits": [
            {"amount": "40.00", "category_id": "food"}, {"amount": "2.10"}]});
        assert_eq!(decide(&Edit::Replace(whole), true, None, &content(), false), Decision::Fresh(content()));
    }

    #[test]
    fn a_stale_edit_is_refused_unless_it_may_be_merged() {
        let base = content();
        let Decision::Fresh(current) = decide(&patch(json!({"payee": "Baker"})), true, None, &base, false)
        else {
            panic!()
        };
        let edit = patch(json!({"splits": {"b": {"category_id": "fun"}}}));
        assert!(matches!(decide(&edit, false, Some(&base), &current, false), Decision::Stale { .. }));
        let Decision::Merged(merged) = decide(&edit, false, Some(&base), &current, true) else { panic!() };
        assert_eq!(merged["payee"], "Baker");
        assert_eq!(merged["splits"]["b"]["category_id"], "fun");
    }

    #[test]
    fn changes_of_one_field_are_not_merged() {
        let base = content();
        let Decision::Fresh(current) =
            decide(&patch(json!({"splits": {"a": null}, "payee": "Baker"})), true, None, &base, false)
        else {
            panic!()
        };
        for edit in [json!({"payee": "Butcher"}), json!({"splits": {"a": {"amount": "1.00"}}})] {
            assert!(matches!(
                decide(&patch(edit), false, Some(&base), &current, true),
                Decision::Stale { .. }
            ));
        }
        let same = patch(json!({"payee": "Baker"}));
        assert_eq!(decide(&same, false, Some(&base), &current, true), Decision::Merged(current.clone()));
    }

    #[test]
    fn without_the_base_nothing_is_merged() {
        let edit = patch(json!({"payee": "Baker"}));
        assert!(matches!(decide(&edit, false, None, &content(), true), Decision::Stale { .. }));
    }

    #[test]
    fn what_get_showed_may_be_sent_back_but_not_changed() {
        let shown = json!({"id": "t", "version": 7, "payee": "Grocer"});
        let mut edit = Edit::Replace(json!({"id": "t", "version": 7, "payee": "Baker"}));
        assert_eq!(edit.take_read_only(&shown, &["id", "version"]), Ok(()));
        assert_eq!(edit, Edit::Replace(json!({"payee": "Baker"})));
        let mut edit = patch(json!({"id": "u"}));
        assert_eq!(edit.take_read_only(&shown, &["id", "version"]), Err("id".to_owned()));
    }

    #[test]
    fn an_id_given_twice_stays_for_the_rules_to_refuse() {
        let whole =
            Edit::Replace(json!({"splits": [{"id": "a", "amount": "1"}, {"id": "a", "amount": "2"}]}));
        let Decision::Fresh(wanted) = decide(&whole, true, None, &content(), false) else { panic!() };
        let parts = listed(wanted, &["splits"]);
        assert_eq!(parts["splits"][0]["id"], "a");
        assert_eq!(parts["splits"][1]["id"], "a");
    }
}
