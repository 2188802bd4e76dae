//! A market that does one thing after another, slow and obvious: what the real one did must be what this one does with the
//! same orders in the order in which they were accepted.

use tokio_postgres::NoTls;
use uuid::Uuid;

use super::tally::Tally;

/// An order as its row says, with what became of it.
struct Placed {
    id: Uuid,
    account: Uuid,
    is_sell: bool,
    is_ioc: bool,
    price: i64,
    quantity: i64,
    filled: i64,
    status: String,
    reason: Option<String>,
    placed_seq: i64,
    /// Of its last change.
    changed_seq: i64,
}

impl Placed {
    /// Its owner took it off, in the batch of its last change.
    fn was_cancelled(&self) -> bool {
        self.status == "canceled" && self.reason.as_deref() == Some("requested")
    }
}

/// One that rests, in the order of time within its price.
struct Resting {
    at: usize,
    left: i64,
}

/// A trade: price, quantity, the buyer's order, the seller's.
type Trade = (i64, i64, Uuid, Uuid);

/// Replays every instrument and compares the trades.
pub async fn check(database_url: &str, tally: &Tally) -> anyhow::Result<()> {
    let (client, connection) = tokio_postgres::connect(database_url, NoTls).await?;
    let connection = tokio::spawn(connection);
    for row in client.query("SELECT id FROM trading.instrument", &[]).await? {
        let instrument: Uuid = row.get(0);
        let orders = "SELECT id, account, side = 'sell', time_in_force = 'ioc', price, quantity, filled, status, reason,
                placed_seq, instrument_seq
            FROM trading.orders WHERE instrument = $1 ORDER BY placed_seq, placed_line";
        let orders: Vec<Placed> = client
            .query(orders, &[&instrument])
            .await?
            .iter()
            .map(|row| Placed {
                id: row.get(0),
                account: row.get(1),
                is_sell: row.get(2),
                is_ioc: row.get(3),
                price: row.get(4),
                quantity: row.get(5),
                filled: row.get(6),
                status: row.get(7),
                reason: row.get(8),
                placed_seq: row.get(9),
                changed_seq: row.get(10),
            })
            .collect();
        let trades =
            "SELECT price, quantity, buyer_order, seller_order FROM trading.trade WHERE instrument = $1
            ORDER BY number";
        let real: Vec<Trade> = client
            .query(trades, &[&instrument])
            .await?
            .iter()
            .map(|row| (row.get(0), row.get(1), row.get(2), row.get(3)))
            .collect();
        let modelled = replay(&orders);
        if modelled != real {
            let at = modelled.iter().zip(&real).take_while(|(a, b)| a == b).count();
            tally.find(&tally.broken, || {
                format!(
                    "{} trades of {} orders, the model has {}; number {} is {:?}, not {:?}",
                    real.len(),
                    orders.len(),
                    modelled.len(),
                    at + 1,
                    real.get(at),
                    modelled.get(at),
                )
            });
        }
    }
    drop(client);
    connection.await??;
    Ok(())
}

/// The trades that these orders must have come to.
///
/// At which place of its batch an order was cancelled is not in the rows, but how much of it was traded is: once it has
/// that, it is gone for everybody whom it would still meet. Only a taker of its own account tells by its own end, for
/// that stops at it.
fn replay(orders: &[Placed]) -> Vec<Trade> {
    let (mut bids, mut asks): (Vec<Resting>, Vec<Resting>) = (Vec::new(), Vec::new());
    let mut trades = Vec::new();
    for (at, taker) in orders.iter().enumerate() {
        for side in [&mut bids, &mut asks] {
            side.retain(|resting| {
                let order = &orders[resting.at];
                !(order.was_cancelled() && order.changed_seq < taker.placed_seq)
            });
        }
        let mut left = taker.quantity;
        let mut is_stopped = false;
        let opposite = if taker.is_sell { &mut bids } else { &mut asks };
        while left > 0 {
            let best = opposite.iter().enumerate().filter(|(_, resting)| {
                let price = orders[resting.at].price;
                if taker.is_sell { price >= taker.price } else { price <= taker.price }
            });
            let best = best.min_by_key(|(_, resting)| {
                let price = orders[resting.at].price;
                (if taker.is_sell { -price } else { price }, resting.at)
            });
            let Some((place, _)) = best else { break };
            let resting = &mut opposite[place];
            let maker = &orders[resting.at];
            let goes_now = maker.was_cancelled() && maker.changed_seq == taker.placed_seq;
            let is_gone = goes_now && maker.quantity - resting.left == maker.filled;
            if maker.account == taker.account {
                let ends_here =
                    taker.reason.as_deref() == Some("self_trade") && taker.quantity - left == taker.filled;
                if is_gone && !ends_here {
                    opposite.remove(place);
                    continue;
                }
                is_stopped = true;
                break;
            }
            if is_gone {
                opposite.remove(place);
                continue;
            }
            let will_trade =
                if goes_now { maker.filled - (maker.quantity - resting.left) } else { resting.left };
            let quantity = left.min(will_trade);
            let (buyer, seller) = if taker.is_sell { (maker.id, taker.id) } else { (taker.id, maker.id) };
            trades.push((maker.price, quantity, buyer, seller));
            left -= quantity;
            resting.left -= quantity;
            if resting.left == 0 {
                opposite.remove(place);
            }
        }
        if left > 0 && !is_stopped && !taker.is_ioc {
            let own = if taker.is_sell { &mut asks } else { &mut bids };
            own.push(Resting { at, left });
        }
    }
    trades
}
