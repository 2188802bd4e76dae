//! A COMMIT whose answer is lost: the lane finds out what became of it before it answers.

use embedded::Fault;

use super::market::{Trader, check, list_shares};
use crate::harness::{Database, Program};

/// The next COMMIT reaches the server, its answer reaches nobody.
fn lose_answer() -> Fault {
    Fault::CutAnswer(b"COMMIT".to_vec())
}

/// The next COMMIT doesn't even reach the server.
fn lose_commit() -> Fault {
    Fault::CutBefore(b"COMMIT".to_vec())
}

#[tokio::test]
async fn an_order_whose_commit_got_no_answer_is_answered_as_it_happened_and_happens_once() {
    let database = Database::create().await;
    let (proxy, url) = database.behind_proxy();
    // Trading alone, and no fleet: nobody else commits meanwhile.
    let settings = [("DATABASE_URL", &*url), ("WEIR_MODULES", "trading"), ("WEIR_INTERNAL_LISTEN", "")];
    let program = Program::start(&database, &settings).await;
    let struck = |before: u64| assert_eq!(proxy.struck(), before + 1, "nothing was lost");
    list_shares(&program, 0, 0).await;
    let seller = Trader::with(&program, "seller", "0", "100").await;
    let buyer = Trader::with(&program, "buyer", "1000.00", "0").await;
    for round in 0..6 {
        let id = format!("n-{round}");
        let before = proxy.struck();
        proxy.set(if round % 2 == 0 { lose_answer() } else { lose_commit() });
        let asked = seller.place(&id, "sell", "10.00", "3").await;
        struck(before);
        assert_eq!(asked.body["duplicate"], false, "it is this command's own effect");
        let again = seller.try_place(&super::market::order(&id, "sell", "10.00", "3")).await.expect(200);
        assert_eq!(again.body["seq"], asked.body["seq"]);

        proxy.set(if round % 2 == 0 { lose_commit() } else { lose_answer() });
        let bought = buyer.place(&id, "buy", "10.00", "3").await;
        struck(before + 1);
        assert_eq!((bought.text("/status"), bought.text("/filled_quantity")), ("filled", "3"));
    }
    let resting = seller.place("last", "sell", "11.00", "5").await;
    for (fault, is_duplicate) in [(lose_answer(), false), (lose_commit(), true)] {
        proxy.set(fault);
        let canceled = seller.try_cancel(resting.text("/order_id")).await.expect(200);
        assert_eq!(canceled.text("/status"), "canceled");
        assert_eq!(canceled.body["duplicate"], is_duplicate);
    }
    let shares = |balance: (String, String)| balance.0;
    assert_eq!(shares(buyer.balance(&resting, "AAPL").await), "18");
    check(&program).await;
    assert!(
        program.counted("weir_trading_unknown_outcomes_total", "").await > 0,
        "no outcome was ever unknown"
    );
}
