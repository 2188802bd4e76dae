//! Opening accounts, depositing into them, and what they have.

use api::idempotency;
use api::{IdempotencyKey, PageRequest, Reply};
use common::context::Context;
use common::db::{Freshness, Tx};
use common::events::{NewEvent, log};
use uuid::Uuid;

use super::{FOR_ONE, Trading};
use crate::error::Error;
use crate::events::{AccountChange, BalancePart, DEPOSITED, OPENED, SCHEMA, account_stream};
use crate::model::{AMOUNT_MAX, AccountId, BALANCE_MAX, Decimal, DecimalError, parse_decimal};
use crate::store::accounts::{self, AccountRow, AccountState};
use crate::wire;

impl Trading {
    /// Opens an account of the caller's.
    pub async fn open_account(
        &self,
        ctx: &Context,
        key: &IdempotencyKey,
        name: &str,
    ) -> Result<Reply, Error> {
        let reply = idempotency::once(ctx, &self.dp.db, key, move |tx| {
            Box::pin(async move {
                let owner = &*ctx.caller().subject;
                let row = AccountRow {
                    id: AccountId(Uuid::now_v7()),
                    name: name.to_owned(),
                    created_at: ctx.now(),
                };
                let state = open(tx, row, Some(owner)).await?;
                let location = format!("/v1/trading/accounts/{}", state.account.id);
                Ok::<_, Error>(Reply::created(location, &wire::Account::from(state)))
            })
        });
        Ok(reply.await?)
    }

    /// The caller's accounts, the newest first.
    pub async fn list_accounts(&self, ctx: &Context, page: &PageRequest) -> Result<Vec<AccountRow>, Error> {
        let before = page.after::<Uuid>()?.unwrap_or(Uuid::max());
        let owner = &*ctx.caller().subject;
        let db = &self.dp.db;
        Ok(accounts::list_accounts(db, ctx, Freshness::ReadYourWrites, owner, before, page.rows()).await?)
    }

    /// An account of the caller's with its balances.
    pub async fn get_account(&self, ctx: &Context, id: AccountId) -> Result<AccountState, Error> {
        self.owners.check(ctx, id).await?;
        for freshness in FOR_ONE {
            if let Some(state) = accounts::find_account(&self.dp.db, ctx, freshness, id).await? {
                return Ok(state);
            }
        }
        Err(Error::NotFound)
    }

    /// Enters a deposit into an account of the caller's.
    pub async fn deposit(
        &self,
        ctx: &Context,
        key: &IdempotencyKey,
        account: AccountId,
        asset: &str,
        amount: &str,
    ) -> Result<Reply, Error> {
        self.owners.check(ctx, account).await?;
        let reply = idempotency::once(ctx, &self.dp.db, key, move |tx| {
            Box::pin(async move {
                let deposit = enter_deposit(tx, ctx, account, asset, amount).await?;
                let location = format!("/v1/trading/accounts/{account}");
                Ok::<_, Error>(Reply::created(location, &deposit))
            })
        });
        Ok(reply.await?)
    }
}

/// Opens an account in `tx`.
pub(super) async fn open(
    tx: &mut Tx<'_>,
    row: AccountRow,
    owner: Option<&str>,
) -> Result<AccountState, Error> {
    let stream = account_stream(row.id);
    log::create(tx, stream).await?;
    accounts::insert_account(tx, &row, owner).await?;
    let opened = NewEvent {
        stream,
        seq: 1,
        actor: owner.unwrap_or("system"),
        subject: "account",
        kind: OPENED,
        schema: SCHEMA,
        body: serde_json::json!({"name": row.name}),
    };
    log::append(tx, row.created_at, vec![opened]).await?;
    Ok(AccountState { account: row, version: 1, balances: Vec::new() })
}

/// Enters a deposit in `tx`.
pub(super) async fn enter_deposit(
    tx: &mut Tx<'_>,
    ctx: &Context,
    account: AccountId,
    asset: &str,
    amount: &str,
) -> Result<wire::Deposit, Error> {
    let head = log::lock(tx, &[account.0]).await?.remove(&account.0).ok_or(Error::NotFound)?;
    let scale = accounts::find_asset_scale(tx, asset).await?;
    let scale = scale.ok_or_else(|| Error::invalid("/asset", "is not known"))?;
    let wrong = |error: DecimalError| Error::invalid("/amount", error.to_string());
    let units = parse_decimal(amount, scale).map_err(wrong)?;
    if units == 0 {
        return Err(Error::invalid("/amount", "must be above zero"));
    }
    let (available, deposited) = accounts::find_deposited(tx, account, asset).await?;
    let room = BALANCE_MAX - available.max(deposited);
    if units > AMOUNT_MAX.min(room) {
        return Err(wrong(DecimalError::TooLarge));
    }
    let (seq, at) = (head + 1, ctx.now());
    let balance = accounts::insert_deposit(tx, account, seq, (asset, scale), units, at).await?;
    let change = AccountChange {
        balances: vec![BalancePart(asset.to_owned(), scale, balance.available, balance.held)],
        ..AccountChange::default()
    };
    let body = serde_json::to_value(&change)
        .map_err(|e| Error::Broken(format!("an event can't be written: {e}")))?;
    let entered = NewEvent {
        stream: account_stream(account),
        seq,
        actor: &ctx.caller().subject,
        subject: "balances",
        kind: DEPOSITED,
        schema: SCHEMA,
        body,
    };
    log::append(tx, at, vec![entered]).await?;
    let text = |units| Decimal { units, scale }.to_string();
    Ok(wire::Deposit {
        account: account.0,
        asset: asset.to_owned(),
        amount: text(units),
        available: text(balance.available),
        seq,
        at,
    })
}
