//! The peer of T1: the same rows written by one transaction per order over as many connections, in tables of the same
//! shape in the same cluster. It is given the match for nothing, and needs two round trips: locks, then writes with
//! their COMMIT.

use std::time::{Duration, Instant};

use anyhow::Context;
use futures_util::future::{try_join_all, try_join3};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, NoTls, Statement};
use uuid::Uuid;

use super::market::{CLIENTS, RESTING_ORDERS};

/// Tables of the same shape, indexes and checks included. An index of the events is made by hand, for it stands on their
/// partitions.
const TABLES: &str = "
    CREATE TABLE stream (LIKE trading.stream INCLUDING ALL) WITH (fillfactor = 50);
    CREATE TABLE event (LIKE trading.event INCLUDING ALL);
    CREATE INDEX ON event (stream, seq);
    CREATE INDEX ON event (xid, stream);
    CREATE TABLE balance (LIKE trading.balance INCLUDING ALL) WITH (fillfactor = 50);
    CREATE TABLE ledger (LIKE trading.ledger INCLUDING ALL);
    CREATE TABLE orders (LIKE trading.orders INCLUDING ALL) WITH (fillfactor = 80);
    CREATE TABLE trade (LIKE trading.trade INCLUDING ALL);
    CREATE TABLE command (LIKE trading.command INCLUDING ALL);";

const INSERT_ORDER: &str = "INSERT INTO orders (account, id, instrument, client_id, side, type, time_in_force, self_trade,
        price, quantity, filled, notional, fee, fee_slack, status, placed_seq, placed_line, seq, instrument_seq,
        created_at, updated_at)
    SELECT $1, $2, $3, $4, $5, 'limit', $6, 'cancel_taker', 10000, 1, filled, filled * 10000, 0, 0,
        CASE filled WHEN 1 THEN 'filled' ELSE 'open' END, head, 1, head, head, now(), now()
    FROM stream, (VALUES ($7::bigint)) AS it (filled) WHERE id = $3";
const FILL_ORDER: &str = "UPDATE orders SET filled = 1, notional = 10000, status = 'filled', seq = seq + 1,
    instrument_seq = instrument_seq + 1, updated_at = now() WHERE account = $1 AND id = $2";
const INSERT_COMMAND: &str =
    "INSERT INTO command (account, client_id, instrument, outcome, order_id, request, result, at)
    VALUES ($1, $2, $3, 'accepted', $4, $5::text::json, $6::text::json, now())";
const CHANGE_BALANCE: &str =
    "UPDATE balance SET available = available + $3, held = held + $4 WHERE account = $1 AND asset = $2";
const INSERT_LINE: &str =
    "INSERT INTO ledger (stream, seq, line, asset, from_account, from_kind, to_account, to_kind, amount,
        reason, at)
    SELECT id, head + 1, $2, $3, $4, $5, $6, $7, $8, $9, now() FROM stream WHERE id = $1";
const INSERT_TRADE: &str =
    "INSERT INTO trade (instrument, number, seq, taker_side, price, quantity, notional, buyer,
        buyer_order, buyer_seq, buyer_fee, seller, seller_order, seller_seq, seller_fee, at)
    SELECT id, head + 1, head + 1, 'buy', 10000, 1, 10000, $2, $3, head + 1, 0, $4, $5, head + 1, 0, now()
    FROM stream WHERE id = $1";
const INSERT_EVENT: &str = "INSERT INTO event (kind, stream, seq, at, actor, subject, type, schema, body)
    SELECT kind, id, head + 1, now(), 'matcher', 'orders', 'matched', 1, $2::text::jsonb FROM stream WHERE id = $1";
const BUMP_STREAM: &str = "UPDATE stream SET head = head + 1 WHERE id = $1";
const LOCK_STREAMS: &str = "SELECT id, head FROM stream WHERE id = ANY($1) ORDER BY id FOR NO KEY UPDATE";

/// Bodies as long as the service's own.
const REQUEST: &str = r#"{"side":"buy","type":"limit","time_in_force":"ioc","self_trade":"cancel_taker","price":10000,"quantity":1}"#;
const RESULT: &str = r#"{"order_id":"00000000-0000-7000-8000-000000000000","status":"filled","filled":1,"notional":10000,"fee":0,"seq":1,"instrument_seq":1}"#;
const INSTRUMENT_EVENT: &str = r#"{"accounts":["00000000-0000-7000-8000-000000000000"],"added":[],"changed":[["00000000-0000-7000-8000-000000000000",0]],"trades":[[1,10000,1,false]],"bids":[],"asks":[[10000,0]],"checksum":1234567890}"#;
const ACCOUNT_EVENT: &str = r#"{"instrument":["BENCH00000000-USD",1,2,0,2],"orders":[["00000000-0000-7000-8000-000000000000","b1",false,"ioc",10000,1,1,10000,0,"filled",null,1700000000000000]],"fills":[[1,"00000000-0000-7000-8000-000000000000",false,true,10000,1,10000,0]],"balances":[["BENCH00000000",0,1,0],["USD",2,100000000000,0]]}"#;

/// The peer, ready to run.
pub struct OneTransaction {
    owner: Client,
    schema: String,
    connections: Vec<Connection>,
}

struct Connection {
    client: Client,
    statements: Statements,
    instrument: Uuid,
    seller: Uuid,
    buyer: Uuid,
    sent: u64,
}

struct Statements {
    lock: Statement,
    order: Statement,
    fill: Statement,
    command: Statement,
    balance: Statement,
    line: Statement,
    trade: Statement,
    event: Statement,
    bump: Statement,
}

type Call<'a> = (&'a Statement, Vec<&'a (dyn ToSql + Sync)>);

impl OneTransaction {
    /// Makes the tables and what stands in them before the first order.
    pub async fn open(url: &str) -> anyhow::Result<Self> {
        let schema = format!("bench_{}", Uuid::new_v4().simple());
        let owner = connect(url, "public").await?;
        owner.batch_execute(&format!("CREATE SCHEMA {schema}; SET search_path = {schema}; {TABLES}")).await?;
        let instrument = Uuid::now_v7();
        owner
            .execute("INSERT INTO stream (id, kind, head) VALUES ($1, 'instrument', 1)", &[&instrument])
            .await?;
        let resting = i64::from(RESTING_ORDERS);
        let fill = "INSERT INTO orders (account, id, instrument, client_id, side, type, time_in_force, self_trade, price,
                quantity, filled, notional, fee, fee_slack, status, placed_seq, placed_line, seq, instrument_seq,
                created_at, updated_at)
            SELECT $1, gen_random_uuid(), $1, 'r' || n, 'sell', 'limit', 'gtc', 'cancel_taker', 20000 + n % 1000, 1, 0, 0, 0,
                0, 'open', n, 1, n, n, now(), now() FROM generate_series(1, $2::bigint) AS n";
        owner.execute(fill, &[&instrument, &resting]).await?;
        owner.batch_execute("ANALYZE orders").await?;
        let connections = (0..CLIENTS).map(|_| Connection::open(url, &schema, instrument));
        Ok(Self { connections: try_join_all(connections).await?, owner, schema })
    }

    /// Orders per second.
    pub async fn run(&mut self, round: Duration) -> anyhow::Result<f64> {
        let begin = Instant::now();
        let counts = try_join_all(self.connections.iter_mut().map(|it| it.run(begin + round))).await?;
        Ok(counts.iter().sum::<u64>() as f64 / begin.elapsed().as_secs_f64())
    }

    /// Drops the tables.
    pub async fn close(self) -> anyhow::Result<()> {
        drop(self.connections);
        Ok(self.owner.batch_execute(&format!("DROP SCHEMA {} CASCADE", self.schema)).await?)
    }
}

async fn connect(url: &str, schema: &str) -> anyhow::Result<Client> {
    let (client, connection) =
        tokio_postgres::connect(url, NoTls).await.context("DATABASE_URL can't be reached")?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            eprintln!("a connection of the peer broke: {error}");
        }
    });
    client.batch_execute(&format!("SET search_path = {schema}")).await?;
    Ok(client)
}

impl Connection {
    async fn open(url: &str, schema: &str, instrument: Uuid) -> anyhow::Result<Self> {
        let client = connect(url, schema).await?;
        let (seller, buyer) = (Uuid::now_v7(), Uuid::now_v7());
        for account in [seller, buyer] {
            client
                .execute("INSERT INTO stream (id, kind, head) VALUES ($1, 'account', 1)", &[&account])
                .await?;
            for asset in ["BENCH", "USD"] {
                let insert = "INSERT INTO balance (account, asset, available) VALUES ($1, $2, 1000000000000)";
                client.execute(insert, &[&account, &asset]).await?;
            }
        }
        let statements = Statements {
            lock: client.prepare(LOCK_STREAMS).await?,
            order: client.prepare(INSERT_ORDER).await?,
            fill: client.prepare(FILL_ORDER).await?,
            command: client.prepare(INSERT_COMMAND).await?,
            balance: client.prepare(CHANGE_BALANCE).await?,
            line: client.prepare(INSERT_LINE).await?,
            trade: client.prepare(INSERT_TRADE).await?,
            event: client.prepare(INSERT_EVENT).await?,
            bump: client.prepare(BUMP_STREAM).await?,
        };
        Ok(Self { client, statements, instrument, seller, buyer, sent: 0 })
    }

    async fn run(&mut self, until: Instant) -> anyhow::Result<u64> {
        let before = self.sent;
        while Instant::now() < until {
            let resting = Uuid::now_v7();
            self.sell(resting).await?;
            self.buy(resting).await?;
        }
        Ok(self.sent - before)
    }

    /// An order that comes to rest.
    async fn sell(&mut self, id: Uuid) -> anyhow::Result<()> {
        self.sent += 1;
        let client_id = format!("b{}", self.sent);
        let Self { statements: it, instrument, seller, .. } = &*self;
        let writes: [Call<'_>; 9] = [
            (&it.order, vec![seller, &id, instrument, &client_id, &"sell", &"gtc", &0_i64]),
            (&it.command, vec![seller, &client_id, instrument, &id, &REQUEST, &RESULT]),
            (&it.balance, vec![seller, &"BENCH", &-1_i64, &1_i64]),
            (&it.balance, vec![seller, &"USD", &0_i64, &0_i64]),
            (
                &it.line,
                vec![instrument, &1_i32, &"BENCH", seller, &"available", seller, &"held", &1_i64, &"hold"],
            ),
            (&it.event, vec![instrument, &INSTRUMENT_EVENT]),
            (&it.event, vec![seller, &ACCOUNT_EVENT]),
            (&it.bump, vec![instrument]),
            (&it.bump, vec![seller]),
        ];
        self.transaction(&[*seller], &writes).await
    }

    /// An order that takes it.
    async fn buy(&mut self, resting: Uuid) -> anyhow::Result<()> {
        self.sent += 1;
        let (id, client_id) = (Uuid::now_v7(), format!("b{}", self.sent));
        let Self { statements: it, instrument, seller, buyer, .. } = &*self;
        let writes: [Call<'_>; 16] = [
            (&it.order, vec![buyer, &id, instrument, &client_id, &"buy", &"ioc", &1_i64]),
            (&it.fill, vec![seller, &resting]),
            (&it.command, vec![buyer, &client_id, instrument, &id, &REQUEST, &RESULT]),
            (&it.balance, vec![seller, &"BENCH", &0_i64, &-1_i64]),
            (&it.balance, vec![seller, &"USD", &10_000_i64, &0_i64]),
            (&it.balance, vec![buyer, &"BENCH", &1_i64, &0_i64]),
            (&it.balance, vec![buyer, &"USD", &-10_000_i64, &0_i64]),
            (
                &it.line,
                vec![
                    instrument,
                    &1_i32,
                    &"USD",
                    buyer,
                    &"available",
                    seller,
                    &"available",
                    &10_000_i64,
                    &"trade",
                ],
            ),
            (
                &it.line,
                vec![instrument, &2_i32, &"BENCH", seller, &"held", buyer, &"available", &1_i64, &"trade"],
            ),
            (&it.trade, vec![instrument, buyer, &id, seller, &resting]),
            (&it.event, vec![instrument, &INSTRUMENT_EVENT]),
            (&it.event, vec![seller, &ACCOUNT_EVENT]),
            (&it.event, vec![buyer, &ACCOUNT_EVENT]),
            (&it.bump, vec![instrument]),
            (&it.bump, vec![seller]),
            (&it.bump, vec![buyer]),
        ];
        self.transaction(&[*seller, *buyer], &writes).await
    }

    async fn transaction(&self, accounts: &[Uuid], writes: &[Call<'_>]) -> anyhow::Result<()> {
        let instrument = [self.instrument];
        let (instrument, lock) = (&instrument[..], &self.statements.lock);
        let (of_instrument, of_accounts): ([&(dyn ToSql + Sync); 1], [&(dyn ToSql + Sync); 1]) =
            ([&instrument], [&accounts]);
        try_join3(
            self.client.batch_execute("BEGIN"),
            self.client.query(lock, &of_instrument),
            self.client.query(lock, &of_accounts),
        )
        .await?;
        // Sent one after the other without waiting; a failed one shows, though its COMMIT then says ROLLBACK.
        let written =
            try_join_all(writes.iter().map(|(statement, params)| self.client.execute(*statement, params)));
        let (written, ()) =
            futures_util::future::try_join(written, self.client.batch_execute("COMMIT")).await?;
        anyhow::ensure!(written.iter().all(|rows| *rows == 1), "a write of the peer found no row");
        Ok(())
    }
}
