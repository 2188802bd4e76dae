//! Demonstration data: a household that Alice and Bob keep together, with a month of what one spends.

use crate::error::Error;
use crate::model::{AccountKind, CategoryKind, Currency, Month, Role, SplitContent, TransactionKind, today};
use crate::service::{Household, NewAccount, NewCategory, NewHousehold, NewMember, NewTransaction};
use crate::store::people;
use chrono::{Days, NaiveDate};
use common::DataPath;
use common::context::{Caller, Context, ContextParts};
use common::db::{Tx, TxOptions};
use rust_decimal::Decimal;
use uuid::Uuid;

/// The household of the demonstration. What stands below it counts on from there.
pub const DEMO_HOUSEHOLD: Uuid = Uuid::from_u128(0x0193_5d00_0000_7000_8000_0000_0000_0001);
const OWNER: &str = "alice";
const EDITOR: &str = "bob";
const ZONE: &str = "Europe/Vienna";

/// Loads it, once: all of it in one transaction, and nothing when the household is there.
pub async fn demo(path: &DataPath, ctx: &Context) -> Result<(), Error> {
    let ctx = &as_owner(ctx);
    path.db.write(ctx, TxOptions::default(), |tx| Box::pin(load(ctx, tx))).await
}

async fn load(ctx: &Context, tx: &mut Tx<'_>) -> Result<(), Error> {
    let household = DEMO_HOUSEHOLD;
    if people::read_household(tx, household).await?.is_some() {
        return Ok(());
    }
    let euro = Currency::parse("EUR").expect("a currency");
    let home = NewHousehold { name: "Home".to_owned(), currency: euro, zone: ZONE.to_owned() };
    Household::create_household(ctx, tx, household, &home).await?;
    let member = NewMember { subject: EDITOR.to_owned(), role: Role::Editor };
    Household::add_member(ctx, tx, household, &member).await?;
    for (n, name, kind) in [
        (CHECKING, "Joint account", AccountKind::Checking),
        (SAVINGS, "Savings", AccountKind::Savings),
        (CASH, "Purse", AccountKind::Cash),
    ] {
        let account = NewAccount { id: Some(id(n)), name: name.to_owned(), kind, currency: euro };
        Household::create_account(ctx, tx, household, &account).await?;
    }
    for (n, name, kind) in [
        (SALARY, "Salary", CategoryKind::Income),
        (GROCERIES, "Groceries", CategoryKind::Expense),
        (RENT, "Rent", CategoryKind::Expense),
        (LEISURE, "Leisure", CategoryKind::Expense),
    ] {
        let category = NewCategory { id: Some(id(n)), name: name.to_owned(), kind };
        Household::create_category(ctx, tx, household, &category).await?;
    }
    let today = today(ctx.now(), ZONE.parse().expect("a zone"));
    for (n, transaction) in (100..).zip(transactions(today)) {
        let transaction = NewTransaction { id: Some(id(n)), ..transaction };
        Household::create_transaction(ctx, tx, household, &transaction).await?;
    }
    Ok(())
}

const CHECKING: u128 = 11;
const SAVINGS: u128 = 12;
const CASH: u128 = 13;
const SALARY: u128 = 21;
const GROCERIES: u128 = 22;
const RENT: u128 = 23;
const LEISURE: u128 = 24;

fn id(n: u128) -> Uuid {
    Uuid::from_u128(DEMO_HOUSEHOLD.as_u128() + n)
}

/// From the first of last month up to today.
fn transactions(today: NaiveDate) -> Vec<NewTransaction> {
    use TransactionKind::{Expense, Income, Opening, Transfer};
    let this = Month::of(today).first();
    let last = Month::of(this - Days::new(1)).first();
    let plain = |kind, date, account, minor: i64, payee: &str, category: Option<u128>| NewTransaction {
        id: None,
        kind,
        date: Some(date),
        account_id: id(account),
        amount: Decimal::new(minor, 2),
        to_account_id: None,
        to_amount: None,
        payee: payee.to_owned(),
        notes: String::new(),
        cleared: date < this,
        category_id: category.map(id),
        splits: Vec::new(),
    };
    let part = |category: u128, minor: i64, note: &str| SplitContent {
        id: None,
        category_id: Some(id(category)),
        amount: Decimal::new(minor, 2),
        note: note.to_owned(),
    };
    vec![
        plain(Opening, last, CHECKING, 184_250, "", None),
        plain(Opening, last, CASH, 6_000, "", None),
        plain(Income, last, CHECKING, 312_000, "Employer", Some(SALARY)),
        plain(Expense, last + Days::new(2), CHECKING, 118_000, "Landlord", Some(RENT)),
        plain(Expense, last + Days::new(5), CHECKING, 6_417, "Market hall", Some(GROCERIES)),
        NewTransaction {
            splits: vec![part(GROCERIES, 2_180, ""), part(LEISURE, 1_450, "a book")],
            ..plain(Expense, last + Days::new(11), CHECKING, 3_630, "Department store", None)
        },
        NewTransaction {
            to_account_id: Some(id(SAVINGS)),
            ..plain(Transfer, last + Days::new(20), CHECKING, 50_000, "", None)
        },
        plain(Income, this, CHECKING, 312_000, "Employer", Some(SALARY)),
        plain(Expense, today, CASH, 1_240, "Bakery", Some(GROCERIES)),
    ]
}

/// Everything is done in the name of the owner.
fn as_owner(ctx: &Context) -> Context {
    ContextParts {
        caller: Caller { subject: OWNER.into(), ..Caller::system() },
        deadline: ctx.deadline(),
        priority: ctx.priority(),
        token: ctx.token(),
        wait: ctx.wait(),
        clock: ctx.clock().clone(),
        trace_id: ctx.trace_id().into(),
    }
    .into()
}
