//! What an edit makes of a resource that somebody else may have changed meanwhile.

use api::{Problem, merge_disjoint, merge_patch};
use garde::Validate;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// The part of a resource that its members edit.
pub trait Content:
    Serialize + DeserializeOwned + Validate<Context = ()> + Clone + PartialEq + Send + Sync
{
    /// What else the resource shows.
    const READ_ONLY: &'static [&'static str];

    /// Says what it means in the words that `like` uses, so that the same is equal.
    fn tidy(&mut self, _like: &Self) {}

    /// The content of a resource as it was shown; `None` when it was shown in another shape then.
    fn of_shown(mut shown: Value) -> Option<Self> {
        let fields = shown.as_object_mut()?;
        for field in Self::READ_ONLY {
            fields.shift_remove(*field);
        }
        serde_json::from_value(shown).ok()
    }

    /// As JSON.
    fn to_json(&self) -> Value {
        serde_json::to_value(self).expect("plain data")
    }
}

/// What a caller asks for.
#[derive(Debug, Clone, PartialEq)]
pub enum Edit {
    /// `PUT`: the whole content.
    Replace(Value),
    /// `PATCH`: a merge patch; of a list of parts either a patch keyed by id or the whole list.
    Patch(Value),
}

/// What an edit comes to before the rules are asked.
#[derive(Debug, Clone, PartialEq)]
pub enum Decision<C> {
    /// The version was the current one: this is wanted.
    Fresh(C),
    /// Somebody else changed other fields: this is wanted, with theirs.
    Merged {
        /// Both changes.
        content: C,
        /// What the caller would have made of the version that it knew.
        yours: C,
    },
    /// Somebody else was first.
    Stale {
        /// What the caller would have made of the version that it knew.
        yours: C,
    },
}

/// Stale, merge or go on. `base` is the content at the version that the caller knew, `None` when it isn't known any
/// more; `lenient` allows a merge. An edit that makes no content is refused.
pub fn decide<C: Content>(
    edit: &Edit,
    fresh: bool,
    base: Option<&C>,
    current: &C,
    lenient: bool,
) -> Result<Decision<C>, Problem> {
    if fresh {
        return Ok(Decision::Fresh(edit.apply(current)?));
    }
    let Some(base) = base else { return Ok(Decision::Stale { yours: edit.apply(current)? }) };
    let yours = edit.apply(base)?;
    if lenient
        && let Ok(merged) = merge_disjoint(&base.to_json(), &yours.to_json(), &current.to_json())
        && let Ok(content) = serde_json::from_value(merged)
    {
        return Ok(Decision::Merged { content, yours });
    }
    Ok(Decision::Stale { yours })
}

impl Edit {
    fn apply<C: Content>(&self, content: &C) -> Result<C, Problem> {
        let target = match self {
            Edit::Replace(whole) => whole.clone(),
            Edit::Patch(patch) => {
                let mut target = content.to_json();
                merge_patch::apply(&mut target, patch);
                target
            }
        };
        let mut wanted: C = api::extract::body::parse_value(target)?;
        wanted.tidy(content);
        Ok(wanted)
    }

    /// Takes out what a caller can't change and sent along unchanged, as one does who edits what `GET` gave. Names
    /// the first one that was to be changed.
    pub fn take_read_only(&mut self, shown: &Value, read_only: &[&'static str]) -> Result<(), &'static str> {
        let (Edit::Replace(Value::Object(body)) | Edit::Patch(Value::Object(body))) = self else {
            return Ok(());
        };
        for field in read_only {
            if let Some(sent) = body.shift_remove(*field)
                && shown.get(*field) != Some(&sent)
            {
                return Err(field);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::TransactionContent;
    use serde_json::json;
    use uuid::Uuid;

    const A: Uuid = Uuid::from_u128(1);
    const B: Uuid = Uuid::from_u128(2);
    const FOOD: Uuid = Uuid::from_u128(10);

    fn content() -> TransactionContent {
        serde_json::from_value(json!({
            "kind": "expense", "date": "2026-02-28", "account_id": Uuid::nil(), "amount": "42.10", "payee": "Grocer",
            "splits": [{"id": A, "amount": "40.00", "category_id": FOOD}, {"id": B, "amount": "2.10"}],
        }))
        .unwrap()
    }

    fn fresh(edit: &Edit) -> TransactionContent {
        match decide(edit, true, None, &content(), false) {
            Ok(Decision::Fresh(content)) => content,
            other => panic!("{other:?}"),
        }
    }

    fn stale(edit: Value, current: &TransactionContent, lenient: bool) -> Decision<TransactionContent> {
        decide(&Edit::Patch(edit), false, Some(&content()), current, lenient).unwrap()
    }

    #[test]
    fn a_split_is_patched_by_its_id_taken_away_by_null_and_added_under_a_new_one() {
        let c = Uuid::from_u128(3);
        let patch = json!({"splits": {A.to_string(): {"amount": "30.00"}, B.to_string(): null, c.to_string(): {"amount": "12.10"}}});
        let splits = fresh(&Edit::Patch(patch)).splits;
        assert_eq!(splits.iter().map(|split| split.id).collect::<Vec<_>>(), [Some(A), Some(c)]);
        assert_eq!(splits[0].category_id, Some(FOOD));
        assert_eq!(splits[0].amount.to_string(), "30.00");
    }

    #[test]
    fn the_same_said_in_other_words_is_the_same() {
        let whole = json!({"kind": "expense", "date": "2026-02-28", "account_id": Uuid::nil(), "amount": "42.1",
            "to_account_id": null, "payee": "Grocer",
            "splits": [{"amount": "40", "category_id": FOOD}, {"id": B, "amount": "2.100"}]});
        assert_eq!(fresh(&Edit::Replace(whole)), content());
        assert_eq!(fresh(&Edit::Patch(json!({"notes": null, "cleared": null}))), content());
    }

    #[test]
    fn a_stale_edit_is_refused_unless_it_may_be_merged() {
        let current = fresh(&Edit::Patch(json!({"payee": "Baker"})));
        let edit = json!({"splits": {B.to_string(): {"category_id": FOOD}}});
        assert!(matches!(stale(edit.clone(), &current, false), Decision::Stale { .. }));
        let Decision::Merged { content, .. } = stale(edit, &current, true) else { panic!() };
        assert_eq!((content.payee.as_str(), content.splits[1].category_id), ("Baker", Some(FOOD)));
    }

    #[test]
    fn changes_of_one_field_are_not_merged() {
        let current = fresh(&Edit::Patch(json!({"splits": {A.to_string(): null}, "payee": "Baker"})));
        for edit in [json!({"payee": "Butcher"}), json!({"splits": {A.to_string(): {"amount": "1.00"}}})] {
            assert!(matches!(stale(edit, &current, true), Decision::Stale { .. }));
        }
        let Decision::Merged { content, .. } = stale(json!({"payee": "Baker"}), &current, true) else {
            panic!()
        };
        assert_eq!(content, current);
    }

    #[test]
    fn without_the_base_nothing_is_merged() {
        let edit = Edit::Patch(json!({"payee": "Baker"}));
        assert!(matches!(decide(&edit, false, None, &content(), true), Ok(Decision::Stale { .. })));
    }

    #[test]
    fn an_edit_that_makes_no_content_is_refused() {
        for patch in
            [json!({"date": null}), json!({"colour": "red"}), json!({"amount": 5}), json!({"splits": 1})]
        {
            let refused = decide(&Edit::Patch(patch.clone()), true, None, &content(), false).unwrap_err();
            assert_eq!(refused.status(), 422, "{patch}");
        }
    }

    #[test]
    fn what_get_showed_may_be_sent_back_but_not_changed() {
        let shown = json!({"id": "t", "version": 7, "payee": "Grocer"});
        let mut edit = Edit::Replace(json!({"id": "t", "version": 7, "payee": "Baker"}));
        assert_eq!(edit.take_read_only(&shown, &["id", "version"]), Ok(()));
        assert_eq!(edit, Edit::Replace(json!({"payee": "Baker"})));
        let mut edit = Edit::Patch(json!({"id": "u"}));
        assert_eq!(edit.take_read_only(&shown, &["id", "version"]), Err("id"));
    }
}
