//! Whether a row is here already. The bank's id first, unique per account; then date, amount and how-many-th of these
//! in its file, so that two equal purchases on a day stay two; what is only alike is suggested, never decided.

use chrono::NaiveDate;
use std::collections::{HashMap, HashSet};
use uuid::Uuid;

/// A transaction that was entered by hand this close to a row of the same amount may be the same.
pub const ALIKE_DAYS_MAX: i64 = 3;

/// A row that is to be judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incoming {
    /// Date and amount; `None` when they couldn't be read.
    pub moved: Option<(NaiveDate, i64)>,
    /// The bank's id.
    pub bank_id: Option<String>,
    /// Hash of the raw fields.
    pub raw_hash: [u8; 32],
}

/// A transaction of the account that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Existing {
    /// Its id.
    pub transaction: Uuid,
    /// Imported: what the file said. By hand: date and what the account was moved by.
    pub date: NaiveDate,
    /// Minor units; below zero goes out.
    pub amount: i64,
    /// How-many-th in its file; `None` when it was entered by hand.
    pub nth: Option<i32>,
    /// The bank's id that it was imported with.
    pub bank_id: Option<String>,
}

/// What a row is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Not here yet.
    New,
    /// Here, as that transaction.
    DuplicateOf(Uuid),
    /// Perhaps here, as that transaction or as an earlier row of the same file.
    ProbableDuplicate(Option<Uuid>),
    /// Can't be read.
    Error,
}

/// The verdict on a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// What it is.
    pub status: Status,
    /// Why, where it isn't plain.
    pub reason: Option<String>,
    /// How-many-th row of this date and amount it is in its file, from 1.
    pub nth: i32,
    /// Whether its bank id identifies it.
    pub bank_id_counts: bool,
}

/// Judges the rows of one file, in their order. `existing` holds every live transaction of the account that has one of the
/// bank ids or lies within `ALIKE_DAYS_MAX` of a row's date.
pub fn judge(rows: &[Incoming], existing: &[Existing]) -> Vec<Verdict> {
    let mut verdicts = first_look(rows);
    let by_bank_id: HashMap<&str, &Existing> =
        existing.iter().filter_map(|known| Some((known.bank_id.as_deref()?, known))).collect();
    let mut taken: HashSet<Uuid> = HashSet::new();
    for (row, verdict) in rows.iter().zip(&mut verdicts).filter(|(_, verdict)| verdict.bank_id_counts) {
        let Some(known) = row.bank_id.as_deref().and_then(|id| by_bank_id.get(id)) else { continue };
        taken.insert(known.transaction);
        verdict.status = Status::DuplicateOf(known.transaction);
        verdict.reason = Some(if row.moved == Some((known.date, known.amount)) {
            "the bank's id is here already".to_owned()
        } else {
            "the bank's id is here already, with another date or amount".to_owned()
        });
    }
    let by_place: HashMap<(NaiveDate, i64, i32), &Existing> = existing
        .iter()
        .filter(|known| !taken.contains(&known.transaction))
        .filter_map(|known| Some(((known.date, known.amount, known.nth?), known)))
        .collect();
    for (row, verdict) in rows.iter().zip(&mut verdicts).filter(|(_, verdict)| verdict.status == Status::New)
    {
        let Some((date, amount)) = row.moved else { continue };
        let Some(known) = by_place.get(&(date, amount, verdict.nth)) else { continue };
        taken.insert(known.transaction);
        (verdict.status, verdict.reason) = if !verdict.bank_id_counts && known.bank_id.is_none() {
            let reason = "the same date and amount are here already, as many times as in this file";
            (Status::DuplicateOf(known.transaction), Some(reason.to_owned()))
        } else {
            let reason = "the same date and amount are here already, under another bank id";
            (Status::ProbableDuplicate(Some(known.transaction)), Some(reason.to_owned()))
        };
    }
    suggest(rows, existing, &mut taken, &mut verdicts);
    verdicts
}

/// What the file alone says: errors, how-many-th, and whether a bank id is one.
fn first_look(rows: &[Incoming]) -> Vec<Verdict> {
    let mut seen: HashMap<(NaiveDate, i64), i32> = HashMap::new();
    let mut ids: HashMap<&str, (usize, [u8; 32], bool)> = HashMap::new();
    for (place, row) in rows.iter().enumerate() {
        let Some(id) = row.bank_id.as_deref() else { continue };
        let (_, hash, one) = ids.entry(id).or_insert((place, row.raw_hash, true));
        *one &= *hash == row.raw_hash;
    }
    let look = |(place, row): (usize, &Incoming)| {
        let nth = row.moved.map_or(0, |moved| {
            let nth = seen.entry(moved).or_default();
            *nth += 1;
            *nth
        });
        let mut verdict = Verdict { status: Status::New, reason: None, nth, bank_id_counts: false };
        if row.moved.is_none() {
            verdict.status = Status::Error;
            return verdict;
        }
        // An id that the bank gives to different rows identifies none of them.
        if let Some((first, _, true)) = row.bank_id.as_deref().and_then(|id| ids.get(id)) {
            verdict.bank_id_counts = true;
            if *first != place {
                verdict.status = Status::ProbableDuplicate(None);
                verdict.reason = Some(format!("row {} of this file is the same, its bank id too", first + 1));
            }
        }
        verdict
    };
    rows.iter().enumerate().map(look).collect()
}

/// New rows that are like something entered by hand, the nearest first; each of those is suggested once.
fn suggest(rows: &[Incoming], existing: &[Existing], taken: &mut HashSet<Uuid>, verdicts: &mut [Verdict]) {
    let mut by_amount: HashMap<i64, Vec<&Existing>> = HashMap::new();
    for known in existing.iter().filter(|known| known.nth.is_none()) {
        by_amount.entry(known.amount).or_default().push(known);
    }
    for (row, verdict) in rows.iter().zip(verdicts).filter(|(_, verdict)| verdict.status == Status::New) {
        let Some((date, amount)) = row.moved else { continue };
        let days = |known: &Existing| (known.date - date).num_days().abs();
        let nearest = by_amount
            .get(&amount)
            .into_iter()
            .flatten()
            .filter(|known| days(known) <= ALIKE_DAYS_MAX && !taken.contains(&known.transaction))
            .min_by_key(|known| (days(known), known.transaction));
        if let Some(known) = nearest {
            taken.insert(known.transaction);
            verdict.status = Status::ProbableDuplicate(Some(known.transaction));
            verdict.reason = Some(format!("the same amount was entered by hand for {}", known.date));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn date(day: u32) -> NaiveDate {
        NaiveDate::from_ymd_opt(2026, 1, day).unwrap()
    }

    fn row(day: u32, amount: i64, bank_id: Option<&str>) -> Incoming {
        let bank_id = bank_id.map(str::to_owned);
        // Two rows that say the same hash the same.
        let mut raw_hash = [0; 32];
        raw_hash[..8].copy_from_slice(&amount.to_be_bytes());
        raw_hash[8] = day as u8;
        Incoming { moved: Some((date(day), amount)), bank_id, raw_hash }
    }

    fn there(id: u128, day: u32, amount: i64, nth: Option<i32>, bank_id: Option<&str>) -> Existing {
        let bank_id = bank_id.map(str::to_owned);
        Existing { transaction: Uuid::from_u128(id), date: date(day), amount, nth, bank_id }
    }

    fn statuses(rows: &[Incoming], existing: &[Existing]) -> Vec<Status> {
        judge(rows, existing).into_iter().map(|verdict| verdict.status).collect()
    }

    /// What there is after `rows` were imported.
    fn imported(rows: &[Incoming]) -> Vec<Existing> {
        let keep = |(place, (row, verdict)): (usize, (&Incoming, Verdict))| {
            let (date, amount) = row.moved?;
            (verdict.status == Status::New).then(|| Existing {
                transaction: Uuid::from_u128(place as u128 + 1),
                date,
                amount,
                nth: Some(verdict.nth),
                bank_id: row.bank_id.clone().filter(|_| verdict.bank_id_counts),
            })
        };
        rows.iter().zip(judge(rows, &[])).enumerate().filter_map(keep).collect()
    }

    #[test]
    fn two_equal_purchases_on_a_day_stay_two_and_a_second_import_adds_none() {
        for ids in [[None, None], [Some("a"), Some("b")]] {
            let rows = ids.map(|id| row(5, -450, id));
            assert_eq!(statuses(&rows, &[]), [Status::New, Status::New]);
            let again = statuses(&rows, &imported(&rows));
            assert_eq!(
                again,
                [Status::DuplicateOf(Uuid::from_u128(1)), Status::DuplicateOf(Uuid::from_u128(2))]
            );
        }
    }

    #[test]
    fn a_third_equal_purchase_in_a_later_file_is_new() {
        for ids in [[None; 3], [Some("a"), Some("b"), Some("c")], [Some("c"), Some("a"), Some("b")]] {
            let rows = ids.map(|id| row(5, -450, id));
            let earlier: Vec<_> = match ids[0] {
                None => rows[..2].to_vec(),
                Some(_) => rows.iter().filter(|row| row.bank_id.as_deref() != Some("c")).cloned().collect(),
            };
            let statuses = statuses(&rows, &imported(&earlier));
            assert_eq!(statuses.iter().filter(|status| **status == Status::New).count(), 1, "{ids:?}");
        }
    }

    #[test]
    fn a_bank_that_renames_its_rows_is_noticed_not_obeyed() {
        let first = imported(&[row(5, -450, Some("a"))]);
        let [status] = statuses(&[row(5, -450, Some("z"))], &first)[..] else { panic!() };
        assert_eq!(status, Status::ProbableDuplicate(Some(Uuid::from_u128(1))));
    }

    #[test]
    fn equal_purchases_on_neighbouring_days_are_both_new() {
        let first = imported(&[row(5, -450, Some("a"))]);
        assert_eq!(statuses(&[row(6, -450, Some("b"))], &first), [Status::New]);
        let first = imported(&[row(5, -450, None)]);
        assert_eq!(statuses(&[row(6, -450, None)], &first), [Status::New]);
    }

    #[test]
    fn what_was_entered_by_hand_is_suggested_once() {
        let by_hand = [there(9, 4, -450, None, None), there(8, 20, -450, None, None)];
        let rows = [row(5, -450, Some("a")), row(6, -450, Some("b")), row(12, -450, Some("c"))];
        assert_eq!(
            statuses(&rows, &by_hand),
            [Status::ProbableDuplicate(Some(Uuid::from_u128(9))), Status::New, Status::New]
        );
    }

    #[test]
    fn an_id_that_the_bank_gives_to_different_rows_identifies_none() {
        let rows = [row(5, -450, Some("0")), row(5, -450, Some("0")), row(6, -100, Some("0"))];
        let verdicts = judge(&rows, &[]);
        assert!(verdicts.iter().all(|verdict| verdict.status == Status::New && !verdict.bank_id_counts));
        let again = statuses(&rows, &imported(&rows));
        assert!(again.iter().all(|status| matches!(status, Status::DuplicateOf(_))), "{again:?}");
    }

    #[test]
    fn a_row_that_stands_twice_in_a_file_with_its_id_is_probably_one() {
        let rows = [row(5, -450, Some("a")), row(5, -450, Some("a"))];
        assert_eq!(statuses(&rows, &[]), [Status::New, Status::ProbableDuplicate(None)]);
    }

    #[test]
    fn a_row_that_cannot_be_read_is_an_error() {
        let mut wrong = row(5, -450, Some("a"));
        wrong.moved = None;
        assert_eq!(statuses(&[wrong], &[there(1, 5, -450, Some(1), Some("a"))]), [Status::Error]);
    }
}
