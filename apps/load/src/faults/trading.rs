//! Orders over sockets: a client that repeats under the same id until it has an answer, and one that follows the private
//! channel over every broken connection.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::try_join_all;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_postgres::NoTls;
use tokio_util::sync::CancellationToken;

use super::insist::{ANSWER_WITHIN, Insistent};
use super::model;
use super::tally::Tally;
use crate::client::{Error, Socket};
use crate::trading::{SOCKET, fresh_asset};
use crate::world::{Gate, World};

const TRADERS: usize = 4;
/// Commands of a trader that are under way at once.
const SLOTS: usize = 3;
/// Between two commands of a slot.
const PACE: Duration = Duration::from_millis(40);
const PAUSE: Duration = Duration::from_millis(40);

/// Traders at work.
pub struct Flow {
    traders: Vec<Arc<Trader>>,
    slots: Vec<JoinHandle<anyhow::Result<()>>>,
    followers: Vec<JoinHandle<anyhow::Result<Followed>>>,
    done_following: CancellationToken,
}

struct Trader {
    client: Insistent,
    account: String,
    instrument: String,
    socket: tokio::sync::Mutex<Option<Socket>>,
    /// What was answered, by the client's id.
    answered: Mutex<BTreeMap<String, Value>>,
    /// Whose cancel was acknowledged.
    cancelled: Mutex<BTreeSet<String>>,
    tally: Arc<Tally>,
}

/// What the private channel told.
#[derive(Default)]
struct Followed {
    last: i64,
    /// Trade's number and order.
    fills: Vec<(i64, String)>,
}

impl Flow {
    /// Opens a market and starts to trade.
    pub async fn start(
        gates: Arc<[Gate]>,
        tally: Arc<Tally>,
        stop: CancellationToken,
    ) -> anyhow::Result<Self> {
        let scopes = ["operator", "trading:read", "trading:write"];
        let operator = Insistent::sign_in(gates.clone(), tally.clone(), "operator", &scopes).await?;
        let base = fresh_asset("FLT");
        let listed = json!({"symbol": format!("{base}-USD"), "base": {"code": base, "scale": 0},
            "quote": {"code": "USD", "scale": 2}, "price_scale": 2, "tick": "0.01", "lot": "1",
            "maker_fee_ppm": 100, "taker_fee_ppm": 500});
        let instrument = operator.post("/v1/trading/instruments", "listed", &listed).await?.ok()?;
        let instrument = instrument.text_at("/symbol")?;
        let done_following = CancellationToken::new();
        let (mut traders, mut slots, mut followers) = (Vec::new(), Vec::new(), Vec::new());
        for n in 0..TRADERS {
            let client =
                Insistent::sign_in(gates.clone(), tally.clone(), &format!("trader-{n}"), &[]).await?;
            let opened = client.post("/v1/trading/accounts", "account", &json!({"name": "Faults"})).await?;
            let account = opened.ok()?.text_at("/id")?;
            for asset in ["USD", &base] {
                let deposit = json!({"asset": asset, "amount": "1000000000"});
                let path = format!("/v1/trading/accounts/{account}/deposits");
                client.post(&path, asset, &deposit).await?.ok()?;
            }
            let (instrument, tally) = (instrument.clone(), tally.clone());
            let trader = Arc::new(Trader {
                client,
                account,
                instrument,
                socket: tokio::sync::Mutex::default(),
                answered: Mutex::default(),
                cancelled: Mutex::default(),
                tally,
            });
            for slot in 0..SLOTS {
                slots.push(tokio::spawn(trade(trader.clone(), slot, stop.clone())));
            }
            followers.push(tokio::spawn(follow(trader.clone(), done_following.clone())));
            traders.push(trader);
        }
        Ok(Self { traders, slots, followers, done_following })
    }

    /// Waits for the last answers and holds what is there to them.
    pub async fn end(self, world: &World) -> anyhow::Result<()> {
        for slot in self.slots {
            slot.await??;
        }
        let (client, connection) = tokio_postgres::connect(&world.direct_url(), NoTls).await?;
        let connection = tokio::spawn(connection);
        let mut heads: Vec<i64> = Vec::new();
        for trader in &self.traders {
            let head = "SELECT head FROM trading.stream WHERE id = $1::text::uuid";
            heads.push(client.query_one(head, &[&trader.account]).await?.get(0));
        }
        drop(client);
        connection.await??;
        self.done_following.cancel();
        let followed = try_join_all(self.followers).await?;
        for ((trader, followed), head) in self.traders.iter().zip(followed).zip(heads) {
            trader.check(followed?, head).await?;
        }
        let tally = &self.traders[0].tally;
        let operator = Insistent::sign_in(world.gates(), tally.clone(), "operator", &["operator"]).await?;
        let invariants = operator.get("/v1/trading/invariants", "").await?.body;
        if invariants["ok"] != true {
            tally.find(&tally.broken, || format!("invariants: {invariants}"));
        }
        model::check(&world.direct_url(), tally).await
    }
}

/// One command after another until it is to stop, each until it is answered.
async fn trade(trader: Arc<Trader>, slot: usize, stop: CancellationToken) -> anyhow::Result<()> {
    let mut resting: Vec<String> = Vec::new();
    let mut pace = tokio::time::interval(PACE);
    for n in 0.. {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            _ = pace.tick() => {}
        }
        let random = uuid::Uuid::new_v4().as_u128();
        if random % 100 < 15 && !resting.is_empty() {
            let id = resting.swap_remove((random >> 8) as usize % resting.len());
            let args =
                json!({"account": trader.account, "client_order_id": id, "instrument": trader.instrument});
            // It may have been filled meanwhile; either way somebody said so.
            let answer = trader.command("order.cancel", &args).await?;
            if answer["status"] == "canceled" {
                trader.cancelled.lock().insert(id);
            }
            trader.tally.orders.add(1);
            continue;
        }
        let id = format!("{slot}-{n}");
        let cents = 10_000 + ((random >> 16) % 100) as i64 - 50;
        let order = json!({
            "account": trader.account, "client_order_id": id, "instrument": trader.instrument,
            "side": if random & 1 == 0 { "buy" } else { "sell" },
            "time_in_force": if (random >> 1).is_multiple_of(4) { "ioc" } else { "gtc" },
            "price": format!("{}.{:02}", cents / 100, cents % 100),
            "quantity": (1 + (random >> 32) % 20).to_string(),
        });
        let answer = trader.command("order.place", &order).await?;
        trader.tally.orders.add(1);
        if answer["status"] == "open" {
            resting.push(id.clone());
        }
        trader.answered.lock().insert(id, answer);
    }
    Ok(())
}

impl Trader {
    fn path(&self, rest: &str) -> String {
        format!("/v1/trading/accounts/{}{rest}", self.account)
    }

    async fn socket(&self) -> Result<Socket, Error> {
        let mut socket = self.socket.lock().await;
        if let Some(socket) = &*socket {
            return Ok(socket.clone());
        }
        let opened = Socket::open(&self.client.gate().sockets, SOCKET, Some(self.client.token())).await?;
        *socket = Some(opened.clone());
        Ok(opened)
    }

    /// Sends a command under its id until its answer is definite; a refusal's is its code.
    async fn command(&self, op: &str, args: &Value) -> anyhow::Result<Value> {
        loop {
            let asked = async { self.socket().await?.call(op, args).await };
            match tokio::time::timeout(ANSWER_WITHIN, asked).await {
                Ok(Ok(frame)) => return Ok(frame.parse()?),
                Ok(Err(Error::Refused(error))) if error.retry == "never" => {
                    return Ok(json!({"refused": error.code, "reason": error.more.get("reason")}));
                }
                // The socket is well; the service asks for a pause.
                Ok(Err(Error::Refused(_))) => {}
                Ok(Err(_)) | Err(_) => {
                    *self.socket.lock().await = None;
                    self.client.turn_away();
                }
            }
            self.tally.repeated.add(1);
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn check(&self, followed: Followed, head: i64) -> anyhow::Result<()> {
        let tally = &self.tally;
        let answered = std::mem::take(&mut *self.answered.lock());
        let mut listed = BTreeMap::<String, u32>::new();
        let cancelled = std::mem::take(&mut *self.cancelled.lock());
        for order in self.client.list(&self.path("/orders"), "").await? {
            let id = order["client_order_id"].as_str().unwrap_or_default().to_owned();
            if cancelled.contains(&id) && order["status"] != "canceled" {
                tally.find(&tally.lost, || format!("order {id} was cancelled and is {}", order["status"]));
            }
            *listed.entry(id).or_default() += 1;
        }
        for (id, answer) in &answered {
            let command = self.client.get(&self.path(&format!("/commands/{id}")), "").await;
            let is_kept = match &command {
                Ok(command) if answer["refused"].is_string() => command.body["outcome"] == "rejected",
                Ok(command) => {
                    let same = |field: &str| command.body["result"][field] == answer[field];
                    ["order_id", "status", "filled_quantity", "fee", "seq", "instrument_seq"]
                        .into_iter()
                        .all(same)
                }
                Err(_) => false,
            };
            let is_listed = listed.get(id).copied().unwrap_or_default();
            let wanted = u32::from(!answer["refused"].is_string());
            if !is_kept || is_listed < wanted {
                tally.find(&tally.lost, || format!("order {id} was answered {answer}; there is {command:?}"));
            }
            if is_listed > wanted {
                tally.find(&tally.doubled, || format!("order {id} is there {is_listed} times"));
            }
        }
        for id in listed.keys().filter(|id| !answered.contains_key(*id)) {
            tally.find(&tally.doubled, || format!("order {id} is there and was never answered"));
        }
        let mut real = BTreeSet::new();
        for fill in self.client.list(&self.path("/fills"), "").await? {
            let order = fill["order_id"].as_str().unwrap_or_default().to_owned();
            real.insert((fill["number"].as_i64().unwrap_or_default(), order));
        }
        let told: BTreeSet<_> = followed.fills.iter().cloned().collect();
        if followed.last != head || told.len() != followed.fills.len() || told != real {
            tally.find(&tally.gaps, || {
                format!(
                    "the private channel of {} ended at {} of {head}, with {} fills ({} of them different) of {}",
                    self.account,
                    followed.last,
                    followed.fills.len(),
                    told.len(),
                    real.len()
                )
            });
        }
        Ok(())
    }
}

/// Follows the private channel from its first event on, over every connection that breaks, until it has all.
async fn follow(trader: Arc<Trader>, done: CancellationToken) -> anyhow::Result<Followed> {
    let mut followed = Followed::default();
    let own = trader.client.clone();
    let mut gate = own.gate().clone();
    loop {
        match follow_once(&trader, &gate, &mut followed, &done).await {
            Ok(()) => return Ok(followed),
            Err(_) => {
                trader.tally.resumed.add(1);
                own.turn_away();
                gate = own.gate().clone();
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

async fn follow_once(
    trader: &Trader,
    gate: &Gate,
    followed: &mut Followed,
    done: &CancellationToken,
) -> Result<(), Error> {
    let opening = Socket::open(&gate.sockets, SOCKET, Some(trader.client.token()));
    let late = || Error::Ended("nothing was heard for too long".to_owned());
    let socket = tokio::time::timeout(ANSWER_WITHIN, opening).await.map_err(|_| late())??;
    let channel = format!("account:{}", trader.account);
    let subscribing = socket.subscribe(&channel, Some(followed.last));
    let mut channel = tokio::time::timeout(ANSWER_WITHIN, subscribing).await.map_err(|_| late())??;
    loop {
        // When it is over, what there is comes at once; silence then is the end of it.
        let heard = tokio::time::timeout(ANSWER_WITHIN, channel.next()).await;
        let frame = match heard {
            Err(_) if done.is_cancelled() => return Ok(()),
            Err(_) => return Err(late()),
            Ok(frame) => frame?,
        };
        let seq = frame.seq.unwrap_or_default();
        if frame.kind != "update" || frame.prev != Some(followed.last) || seq != followed.last + 1 {
            let (have, kind, prev) = (followed.last, frame.kind.clone(), frame.prev);
            trader.tally.find(&trader.tally.gaps, || {
                format!("the private channel went from {have} to {kind} {seq} after {prev:?}")
            });
        }
        let data: Value = frame.parse()?;
        for fill in data["fills"].as_array().into_iter().flatten() {
            let order = fill["order_id"].as_str().unwrap_or_default().to_owned();
            followed.fills.push((fill["number"].as_i64().unwrap_or_default(), order));
        }
        followed.last = seq;
    }
}
