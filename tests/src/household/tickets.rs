//! Tickets: how a browser, which sends no `Authorization`, opens the live changes.

use super::Home;
use super::live::UNLIMITED;
use crate::harness::{Database, Events, Program, start};
use serde_json::json;

const MAKE: &str = "live/tickets";

/// The secret in a ticket's address.
fn secret(url: &str) -> &str {
    url.split_once("ticket=").unwrap().1
}

#[tokio::test]
async fn a_ticket_opens_the_stream_and_resumes_it_on_any_process() {
    let (database, program) = start().await;
    let other = Program::start(&database, &[]).await;
    let home = Home::create(&program).await;
    let made = home.alice.post(&home.at(MAKE), &json!({})).await.expect(201);
    assert_eq!((made.header("cache-control"), &made.body["resumes_for_s"]), ("no-store", &json!(600)));
    let url = made.text("/url");
    let (here, there) = (home.alice.with_token(""), home.alice.at(&other.base).with_token(""));
    for (n, browser) in [&there, &here, &there].into_iter().enumerate() {
        let seen = 4 + n as i64;
        let mut events = Events::open(browser, url, Some(seen)).await;
        home.create_transaction(&home.expense("1.00", "2026-02-10")).await;
        assert_eq!(events.expect("change").await.id, Some(seen + 1));
    }
    // A page that knows a number the first time; later the browser's own counts more.
    let mut events = Events::open(&here, &format!("{url}&last_event_id=5"), None).await;
    assert_eq!(events.expect("change").await.id, Some(6));
    let mut events = Events::open(&here, &format!("{url}&last_event_id=5"), Some(6)).await;
    assert_eq!(events.expect("change").await.id, Some(7));
    let rows = database.owner().await.query("SELECT t::text FROM household.ticket t", &[]).await.unwrap();
    assert_eq!(rows.len(), 1);
    assert!(!rows[0].get::<_, String>(0).contains(secret(url)), "the secret itself is kept");
}

#[tokio::test]
async fn a_ticket_waits_half_a_minute_for_its_first_use_and_ten_for_each_later_one() {
    let (database, program) = start().await;
    let home = Home::create(&program).await;
    let owner = database.owner().await;
    let left_s = async || {
        let left = "SELECT extract(epoch FROM opens_until - now())::float8 FROM household.ticket";
        owner.query_one(left, &[]).await.unwrap().get::<_, f64>(0)
    };
    // As if so much time had passed.
    let pass = async |seconds: f64| {
        let pass = "UPDATE household.ticket SET opens_until = opens_until - make_interval(secs => $1)";
        owner.execute(pass, &[&seconds]).await.unwrap();
    };
    let browser = home.alice.with_token("");
    let made = home.alice.post(&home.at(MAKE), &json!({})).await.expect(201);
    let left = left_s().await;
    assert!(left <= 30.0 && left > 10.0, "{left} s to the first use");
    pass(30.0).await;
    let over = browser.refused(made.text("/url"), 404).await;
    assert_eq!((over.text("/code"), over.header("cache-control")), ("ticket-unknown", "no-store"));
    owner.execute("DELETE FROM household.ticket", &[]).await.unwrap();

    let made = home.alice.post(&home.at(MAKE), &json!({})).await.expect(201);
    let first = Events::open(&browser, made.text("/url"), None).await;
    let left = left_s().await;
    assert!(left <= 600.0 && left > 580.0, "{left} s to the next use");
    drop(first);
    pass(500.0).await;
    drop(Events::open(&browser, made.text("/url"), Some(4)).await);
    assert!(left_s().await > 580.0, "each use counts");
    pass(600.0).await;
    browser.refused(made.text("/url"), 404).await;
    // A process that starts clears up what is over.
    let _other = Program::start(&database, &[]).await;
    while owner.query_one("SELECT count(*) FROM household.ticket", &[]).await.unwrap().get::<_, i64>(0) > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_ticket_opens_one_household_and_a_subject_has_only_so_many() {
    let database = Database::create().await;
    let program = Program::start(&database, &[UNLIMITED]).await;
    let (home, other) = (Home::create(&program).await, Home::create(&program).await);
    let made = home.alice.post(&home.at(MAKE), &json!({})).await.expect(201);
    let elsewhere = made.text("/url").replace(&home.path, &other.path);
    let browser = home.alice.with_token("");
    assert_eq!(browser.refused(&elsewhere, 404).await.text("/code"), "ticket-unknown");
    browser.refused(&other.at("live/events?ticket=x"), 404).await;
    browser.refused(&other.at("live/events"), 400).await;
    program.user("mallory").await.post(&home.at(MAKE), &json!({})).await.expect(404);
    for _ in 1..100 {
        home.alice.post(&home.at(MAKE), &json!({})).await.expect(201);
    }
    let refused = home.alice.post(&home.at(MAKE), &json!({})).await.expect(429);
    assert_eq!((refused.text("/code"), refused.header("retry-after")), ("too-many-tickets", "30"));
    drop(Events::open(&browser, made.text("/url"), None).await);
}

#[tokio::test]
async fn the_secret_is_in_no_log_and_in_no_problem() {
    let database = Database::create().await;
    let program = Program::start(&database, &[("WEIR_LOG_FILTER", "trace,h2=off,hyper_util=trace")]).await;
    let home = Home::create(&program).await;
    let made = home.alice.post(&home.at(MAKE), &json!({})).await.expect(201);
    let url = made.text("/url");
    let browser = home.alice.with_token("");
    drop(Events::open(&browser, url, None).await);
    let refused = browser.refused(&format!("{url}&last_event_id=x"), 400).await;
    database.owner().await.execute("DELETE FROM household.ticket", &[]).await.unwrap();
    let over = browser.refused(url, 404).await;
    for problem in [&refused, &over] {
        assert_eq!(problem.text("/instance"), home.at("live/events"));
        assert!(!problem.body.to_string().contains(secret(url)));
        let headers = format!("{:?}", problem.headers);
        assert!(!headers.contains(secret(url)));
    }
    // The line of the last request is there.
    let route = "/v1/households/{household_id}/live/events";
    let of_route = |line: &String| line.contains(route) && line.contains("\"status\":404");
    let logged = loop {
        let logged = program.logged();
        if logged.iter().any(of_route) {
            break logged;
        }
        tokio::task::yield_now().await;
    };
    let telling: Vec<_> = logged.iter().filter(|line| line.contains(secret(url))).collect();
    assert!(telling.is_empty(), "{telling:#?}");
}
