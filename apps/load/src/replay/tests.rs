//! The player on a book in memory that is as simple as can be.

use rust_decimal::Decimal;

use super::lobster::{LEVELS, Levels, Recording};
use super::player::{Outcome, Player, Resting, Venue};
use crate::book::Side;

/// First come, first served, by price.
#[derive(Default)]
struct Memory(Vec<Resting>);

impl Memory {
    fn queue(&mut self, side: Side) -> Vec<&mut Resting> {
        let mut queue: Vec<_> =
            self.0.iter_mut().filter(|it| it.side == side && !it.quantity.is_zero()).collect();
        queue.sort_by_key(|it| if side == Side::Buy { -it.price } else { it.price });
        queue
    }
}

impl Venue for Memory {
    async fn place(&mut self, order: &Resting) -> anyhow::Result<()> {
        self.0.push(order.clone());
        Ok(())
    }

    async fn cancel(&mut self, order: &Resting) -> anyhow::Result<Decimal> {
        let found = self.0.iter_mut().find(|it| it.number == order.number);
        Ok(found.map_or(Decimal::ZERO, |it| std::mem::take(&mut it.quantity)))
    }

    async fn take(&mut self, side: Side, price: Decimal, quantity: Decimal) -> anyhow::Result<()> {
        let mut missing = quantity;
        for resting in self.queue(side) {
            let good = if side == Side::Buy { resting.price >= price } else { resting.price <= price };
            let taken = if good { missing.min(resting.quantity) } else { Decimal::ZERO };
            resting.quantity -= taken;
            missing -= taken;
        }
        Ok(())
    }

    async fn book(&mut self) -> anyhow::Result<Levels> {
        let mut side = |side| {
            let mut levels: Vec<(Decimal, Decimal)> = Vec::new();
            for resting in self.queue(side) {
                match levels.last_mut() {
                    Some((price, quantity)) if *price == resting.price => *quantity += resting.quantity,
                    _ => levels.push((resting.price, resting.quantity)),
                }
            }
            levels.truncate(LEVELS);
            levels
        };
        Ok(Levels { bids: side(Side::Buy), asks: side(Side::Sell) })
    }
}

async fn play(recording: &Recording) -> Outcome {
    let mut player = Player::start(Memory::default(), &recording.first).await.unwrap();
    for step in &recording.steps {
        player.play(step).await.unwrap();
    }
    player.into_outcome()
}

/// Price and quantity as the file writes them, best first.
type Side10 = Vec<(i64, i64)>;
/// What a message changes in the asks and the bids.
type Change<'a> = &'a dyn Fn(&mut Side10, &mut Side10);

/// Ten asks from 101 up and ten bids from 100 down, ten pieces each.
fn quiet_book() -> (Side10, Side10) {
    (
        (1..=10).map(|n| (1_000_000 + n * 10_000, 10)).collect(),
        (0..10).map(|n| (1_000_000 - n * 10_000, 10)).collect(),
    )
}

fn line((asks, bids): &(Side10, Side10)) -> String {
    let levels =
        asks.iter().zip(bids).map(|((ask, asked), (bid, bade))| format!("{ask},{asked},{bid},{bade}"));
    levels.collect::<Vec<_>>().join(",")
}

/// A recording: each message with what it changes in the book that it leads to.
fn recording(steps: &[(&str, Change<'_>)]) -> Recording {
    let mut book = quiet_book();
    let (mut messages, mut books) = (vec!["0.0,1,1,10,1000000,1".to_owned()], vec![line(&book)]);
    for (message, change) in steps {
        change(&mut book.0, &mut book.1);
        messages.push(format!("0.0,{message}"));
        books.push(line(&book));
    }
    Recording::parse(&messages.join("\n"), &books.join("\n")).unwrap()
}

#[tokio::test]
async fn orders_come_are_executed_and_leave() {
    let outcome = play(&recording(&[
        ("1,7,5,1000000,1", &|_, bids| bids[0].1 += 5),
        // First what stood there before, then a part of the order.
        ("4,1,10,1000000,1", &|_, bids| bids[0].1 -= 10),
        ("4,7,2,1000000,1", &|_, bids| bids[0].1 -= 2),
        ("2,7,1,1000000,1", &|_, bids| bids[0].1 -= 1),
        ("5,0,99,1010000,-1", &|_, _| {}),
        // From what stood there before: a part of it.
        ("3,3,4,1020000,-1", &|asks, _| asks[1].1 -= 4),
    ]))
    .await;
    assert_eq!((outcome.compared, outcome.differing, outcome.corrected), (120, 0, 0), "{outcome:?}");
}

#[tokio::test]
async fn a_level_that_comes_into_sight_is_placed_and_counted() {
    let outcome = play(&recording(&[
        ("3,3,10,1010000,-1", &|asks, _| {
            asks.remove(0);
            asks.push((1_150_000, 3));
        }),
        // It goes out of sight and comes back with more.
        ("1,8,1,1010000,-1", &|asks, _| {
            asks.insert(0, (1_010_000, 1));
            asks.pop();
        }),
        ("3,8,1,1010000,-1", &|asks, _| {
            asks.remove(0);
            asks.push((1_150_000, 9));
        }),
    ]))
    .await;
    assert_eq!((outcome.compared, outcome.differing, outcome.corrected), (60, 0, 2), "{outcome:?}");
}

#[tokio::test]
async fn a_level_that_should_have_come_into_sight_is_cancelled() {
    let outcome = play(&recording(&[
        ("1,8,1,1005000,-1", &|asks, _| {
            asks.insert(0, (1_005_000, 1));
            asks.pop();
        }),
        // The eleventh is gone meanwhile, and another one is there.
        ("3,8,1,1005000,-1", &|asks, _| {
            asks.remove(0);
            asks.push((1_200_000, 2));
        }),
    ]))
    .await;
    assert_eq!((outcome.differing, outcome.corrected), (0, 2), "{outcome:?}");
}

#[tokio::test]
async fn what_was_in_sight_is_never_corrected() {
    let outcome = play(&recording(&[("5,0,1,1000000,1", &|_, bids| bids[3].1 = 77)])).await;
    assert_eq!((outcome.compared, outcome.differing, outcome.corrected), (20, 1, 0));
    assert!(outcome.details[0].contains("buy level 4"), "{:?}", outcome.details);
}
