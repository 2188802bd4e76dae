use super::*;
use crate::model::{CategoryKind, Ledger, Posting, SplitContent, moves, postings};
use std::collections::HashMap;

const CHEQUING: Uuid = Uuid::from_u128(1);
const SAVINGS: Uuid = Uuid::from_u128(2);
const EURO: Uuid = Uuid::from_u128(3);
const CLOSED: Uuid = Uuid::from_u128(4);
const FOOD: Uuid = Uuid::from_u128(10);
const SALARY: Uuid = Uuid::from_u128(11);

fn known() -> Known {
    let currency = |code| Currency::parse(code).unwrap();
    Known {
        accounts: [
            (CHEQUING, (currency("CAD"), false)),
            (SAVINGS, (currency("CAD"), false)),
            (EURO, (currency("EUR"), false)),
            (CLOSED, (currency("CAD"), true)),
        ]
        .into(),
        categories: [(FOOD, CategoryKind::Expense), (SALARY, CategoryKind::Income)].into(),
    }
}

fn content(kind: TransactionKind, amount: &str) -> TransactionContent {
    TransactionContent {
        kind,
        date: "2026-02-28".parse().unwrap(),
        account_id: CHEQUING,
        amount: amount.parse().unwrap(),
        to_account_id: None,
        to_amount: None,
        payee: String::new(),
        notes: String::new(),
        cleared: false,
        splits: Vec::new(),
    }
}

fn split(category: Option<Uuid>, amount: &str) -> SplitContent {
    SplitContent { id: None, category_id: category, amount: amount.parse().unwrap(), note: String::new() }
}

fn resolve(content: TransactionContent) -> Result<Transaction, Vec<Violation>> {
    content.resolve(Uuid::from_u128(100), &known(), None)
}

fn codes(content: TransactionContent) -> Vec<(String, &'static str)> {
    resolve(content).unwrap_err().into_iter().map(|v| (v.pointer, v.code)).collect()
}

fn sums_to_zero(lines: &[Posting]) -> bool {
    let mut sums: HashMap<Currency, i64> = HashMap::new();
    lines.iter().for_each(|line| *sums.entry(line.currency).or_default() += line.amount);
    sums.values().all(|sum| *sum == 0)
}

fn line(lines: &[Posting], ledger: Ledger, owner: Uuid) -> i64 {
    lines.iter().find(|line| line.ledger == ledger && line.owner == owner).map_or(0, |line| line.amount)
}

#[test]
fn an_expense_posts_its_splits_against_its_account() {
    let mut expense = content(TransactionKind::Expense, "42.10");
    expense.splits = vec![split(Some(FOOD), "40.00"), split(None, "2.00"), split(Some(FOOD), "0.10")];
    let lines = postings(&resolve(expense).unwrap());
    assert!(sums_to_zero(&lines));
    assert_eq!(line(&lines, Ledger::Account, CHEQUING), -4_210);
    assert_eq!(line(&lines, Ledger::Expense, FOOD), 4_010);
    assert_eq!(line(&lines, Ledger::Expense, Uuid::nil()), 200);
}

#[test]
fn money_back_lessens_what_was_spent() {
    let mut refund = content(TransactionKind::Income, "5.00");
    refund.splits = vec![split(Some(FOOD), "5.00")];
    let lines = postings(&resolve(refund).unwrap());
    assert!(sums_to_zero(&lines));
    assert_eq!(line(&lines, Ledger::Account, CHEQUING), 500);
    assert_eq!(line(&lines, Ledger::Expense, FOOD), -500);
}

#[test]
fn splits_that_do_not_sum_to_the_amount_are_refused() {
    let mut expense = content(TransactionKind::Expense, "42.10");
    expense.splits = vec![split(Some(FOOD), "40.00"), split(None, "2.00")];
    assert_eq!(codes(expense), [("/splits".to_owned(), "unbalanced")]);
}

#[test]
fn no_split_given_is_one_of_all() {
    let expense = resolve(content(TransactionKind::Expense, "3.00")).unwrap();
    assert_eq!((expense.splits.len(), expense.splits[0].amount, expense.splits[0].category), (1, 300, None));
}

#[test]
fn a_lone_split_follows_the_amount_and_several_do_not() {
    let before = resolve(content(TransactionKind::Expense, "3.00")).unwrap();
    let mut changed = before.content();
    changed.amount = "4.00".parse().unwrap();
    let after = changed.resolve(before.id, &known(), Some(&before)).unwrap();
    assert_eq!(after.splits[0].amount, 400);
    let mut two = content(TransactionKind::Expense, "3.00");
    two.splits = vec![split(None, "1.00"), split(None, "2.00")];
    let before = resolve(two).unwrap();
    let mut changed = before.content();
    changed.amount = "4.00".parse().unwrap();
    assert!(changed.resolve(before.id, &known(), Some(&before)).is_err());
}

#[test]
fn a_transfer_in_one_currency_says_its_amount_once() {
    let mut transfer = content(TransactionKind::Transfer, "100");
    transfer.to_account_id = Some(SAVINGS);
    let transfer = resolve(transfer).unwrap();
    let lines = postings(&transfer);
    assert!(sums_to_zero(&lines));
    assert_eq!(line(&lines, Ledger::Account, SAVINGS), 10_000);
    assert_eq!(transfer.content().to_amount, None);
}

#[test]
fn a_transfer_between_currencies_balances_in_each() {
    let mut transfer = content(TransactionKind::Transfer, "150.00");
    transfer.to_account_id = Some(EURO);
    assert_eq!(codes(transfer.clone()), [("/to_amount".to_owned(), "required")]);
    transfer.to_amount = Some("100.00".parse().unwrap());
    let lines = postings(&resolve(transfer).unwrap());
    assert_eq!(lines.len(), 4);
    assert!(sums_to_zero(&lines));
}

#[test]
fn a_transfer_needs_two_accounts_and_no_splits() {
    assert_eq!(codes(content(TransactionKind::Transfer, "1")), [("/to_account_id".to_owned(), "required")]);
    let mut same = content(TransactionKind::Transfer, "1");
    same.to_account_id = Some(CHEQUING);
    same.splits = vec![split(None, "1")];
    assert_eq!(
        codes(same),
        [("/to_account_id".to_owned(), "same-account"), ("/splits".to_owned(), "no-splits")]
    );
}

#[test]
fn an_opening_entry_stands_against_equity_and_may_be_below_zero() {
    let lines = postings(&resolve(content(TransactionKind::Opening, "-123.45")).unwrap());
    assert!(sums_to_zero(&lines));
    assert_eq!(line(&lines, Ledger::Account, CHEQUING), -12_345);
    assert_eq!(line(&lines, Ledger::Opening, Uuid::nil()), 12_345);
}

#[test]
fn everything_that_is_wrong_is_said_at_once() {
    let mut wrong = content(TransactionKind::Expense, "-1.005");
    wrong.account_id = Uuid::from_u128(99);
    wrong.date = "1066-10-14".parse().unwrap();
    wrong.to_account_id = Some(SAVINGS);
    let pointers: Vec<_> = codes(wrong).into_iter().map(|(pointer, _)| pointer).collect();
    assert_eq!(pointers, ["/date", "/account_id", "/to_account_id"]);
    assert_eq!(codes(content(TransactionKind::Expense, "-1")), [("/amount".to_owned(), "negative")]);
    assert_eq!(codes(content(TransactionKind::Expense, "1.005")), [("/amount".to_owned(), "invalid-amount")]);
    assert_eq!(codes(content(TransactionKind::Opening, "0")), [("/amount".to_owned(), "zero")]);
}

#[test]
fn a_closed_account_keeps_what_it_has_and_takes_nothing_new() {
    let mut late = content(TransactionKind::Expense, "1");
    late.account_id = CLOSED;
    assert_eq!(codes(late.clone()), [("/account_id".to_owned(), "account-closed")]);
    let mut before = resolve(content(TransactionKind::Expense, "1")).unwrap();
    before.account = CLOSED;
    assert!(late.resolve(before.id, &known(), Some(&before)).is_ok());
}

#[test]
fn a_change_moves_only_what_differs_and_a_deletion_takes_all_back() {
    let before = resolve(content(TransactionKind::Expense, "3.00")).unwrap();
    assert_eq!(moves(Some(&before), Some(&before)), []);
    let mut next_month = before.clone();
    next_month.date = "2026-03-01".parse().unwrap();
    let moved = moves(Some(&before), Some(&next_month));
    assert_eq!(moved.len(), 4);
    assert_eq!(moved.iter().map(|m| m.amount).sum::<i64>(), 0);
    assert_eq!(
        moved.iter().filter(|m| m.month.to_string() == "2026-02-01").map(|m| m.entries).sum::<i64>(),
        -2
    );
    let made = moves(None, Some(&before));
    let gone = moves(Some(&before), None);
    assert!(made.iter().zip(&gone).all(|(m, g)| m.amount == -g.amount && m.entries == -g.entries));
}
