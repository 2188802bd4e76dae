//! Recorded market data played back as orders over the socket: every level of the book agrees after every event.

use load::client::Weir;
use load::replay::{self, lobster::Recording, player::Outcome};

use crate::harness::{sample, start};

/// Ten levels a side, ten pieces each: asks from 101 up, bids from 100 down.
struct Book {
    asks: Vec<(i64, i64)>,
    bids: Vec<(i64, i64)>,
}

impl Book {
    fn quiet() -> Self {
        let level = |n: i64| (1_000_000 + n * 10_000, 10);
        Self { asks: (1..=10).map(level).collect(), bids: (0..10).map(|n| level(-n)).collect() }
    }

    fn line(&self) -> String {
        let levels = self
            .asks
            .iter()
            .zip(&self.bids)
            .map(|(ask, bid)| format!("{},{},{},{}", ask.0, ask.1, bid.0, bid.1));
        levels.collect::<Vec<_>>().join(",")
    }
}

/// An order comes, is executed behind what stood there before, and leaves; then a level goes and another one comes into
/// sight.
fn recording() -> Recording {
    let mut book = Book::quiet();
    let mut files = (vec!["0.0,1,1,10,1000000,1".to_owned()], vec![book.line()]);
    let mut step = |message: &str, book: &Book| {
        files.0.push(format!("0.0,{message}"));
        files.1.push(book.line());
    };
    book.bids[0].1 = 15;
    step("1,7,5,1000000,1", &book);
    book.bids[0].1 = 3;
    step("4,7,12,1000000,1", &book);
    book.bids[0].1 = 2;
    step("2,7,1,1000000,1", &book);
    step("5,0,99,1010000,-1", &book);
    book.asks[1].1 = 6;
    step("3,3,4,1020000,-1", &book);
    book.asks.remove(0);
    book.asks.push((1_150_000, 4));
    step("3,1,10,1010000,-1", &book);
    Recording::parse(&files.0.join("\n"), &files.1.join("\n")).unwrap()
}

fn figures(outcome: &Outcome) -> (u64, u64, u64) {
    (outcome.compared, outcome.differing, outcome.corrected)
}

#[tokio::test]
async fn a_recording_leads_to_the_book_that_was_recorded() {
    let (_database, program) = start().await;
    let weir = Weir::connect(&program.base).unwrap();
    let outcome = replay::play(&weir, &recording()).await.unwrap();
    assert_eq!(figures(&outcome), (120, 0, 1), "{:?}", outcome.details);
    program.stop().await;
}

#[tokio::test]
async fn the_sample_of_a_real_exchange_agrees_on_every_level() {
    let Some(folder) = sample("trading/lobster") else { return };
    let (_database, program) = start().await;
    let weir = Weir::connect(&program.base).unwrap();
    let outcome = replay::run(&weir, &folder).await.unwrap();
    assert_eq!(figures(&outcome), (9_980, 0, 11), "{:?}", outcome.details);
    program.stop().await;
}
