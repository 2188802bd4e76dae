//! Long work: taken over from a worker that was killed, stopped before it began, and nobody else's to enqueue.

use reqwest::Method;
use tokio_postgres::error::SqlState;

use crate::harness::{Answer, Database, Program};
use crate::household::Home;

const API: &[(&str, &str)] = &[("WEIR_ROLES", "api")];
const WORKER: &[(&str, &str)] = &[("WEIR_ROLES", "worker")];

const STATEMENT: &[u8] = b"OFXHEADER:100\nDATA:OFXSGML\nVERSION:102\nCHARSET:1252\n\n<OFX><SIGNONMSGSRSV1><SONRS>\
    <DTSERVER>20260301000000<LANGUAGE>ENG</SONRS></SIGNONMSGSRSV1><BANKMSGSRSV1><STMTTRNRS><STMTRS><CURDEF>CAD\
    <BANKACCTFROM><BANKID>1<ACCTID>12-345</BANKACCTFROM><BANKTRANLIST><DTSTART>20260101\n\
    <STMTTRN><TRNTYPE>POS<DTPOSTED>20260110<TRNAMT>-4.50<FITID>a1<NAME>Coffee</STMTTRN>\n\
    </BANKTRANLIST><LEDGERBAL><BALAMT>100.00<DTASOF>20260228</LEDGERBAL></STMTRS></STMTTRNRS></BANKMSGSRSV1></OFX>";

/// Sends a statement; gives where its operation is.
async fn send_statement(home: &Home) -> String {
    let path = home.at(&format!("imports?account_id={}", home.account));
    let accepted = home.alice.post_file(&path, "application/x-ofx", STATEMENT).await.expect(202);
    accepted.header("location").to_owned()
}

async fn until_state(home: &Home, operation: &str, state: &str) -> Answer {
    loop {
        let answer = home.alice.call(Method::GET, operation, &[("Prefer", "wait=1")], None).await.expect(200);
        if answer.text("/state") == state {
            return answer;
        }
    }
}

#[tokio::test]
async fn another_worker_goes_on_with_what_a_killed_one_had_begun() {
    let database = Database::create().await;
    let (api, worker) = (Program::start(&database, API).await, Program::start(&database, WORKER).await);
    let home = Home::create(&api).await;
    let mut owner = database.owner().await;
    // The work can begin, and can't write down what it has read.
    let held = owner.transaction().await.unwrap();
    held.batch_execute("LOCK TABLE household.import_row IN SHARE MODE").await.unwrap();
    let operation = send_statement(&home).await;
    until_state(&home, &operation, "running").await;
    worker.kill().await;
    let _other = Program::start(&database, WORKER).await;
    held.rollback().await.unwrap();

    let done = until_state(&home, &operation, "succeeded").await;
    let rows = done.body["result"]["rows"].as_array().unwrap();
    assert_eq!((rows.len(), &rows[0]["status"]), (1, &"new".into()), "{}", done.body);
    let jobs = owner.query_one("SELECT count(*) FROM graphile_worker._private_jobs", &[]).await.unwrap();
    assert_eq!(jobs.get::<_, i64>(0), 0, "a finished job is gone");
}

#[tokio::test]
async fn a_module_alone_leaves_the_jobs_of_the_others_to_them() {
    let database = Database::create().await;
    let (api, _health) = (
        Program::start(&database, API).await,
        Program::start(&database, &[("WEIR_MODULES", "health")]).await,
    );
    let home = Home::create(&api).await;
    let owner = database.owner().await;
    let keep_attempts = "CREATE TABLE attempt (number int);
        CREATE FUNCTION keep_attempt() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS
            'BEGIN INSERT INTO public.attempt VALUES (new.attempts); RETURN new; END';
        CREATE TRIGGER keep_attempt AFTER UPDATE ON graphile_worker._private_jobs
            FOR EACH ROW EXECUTE FUNCTION keep_attempt()";
    owner.batch_execute(keep_attempts).await.unwrap();
    let operation = send_statement(&home).await;
    let _worker = Program::start(&database, WORKER).await;
    let done = until_state(&home, &operation, "succeeded").await;
    assert_eq!(done.body["result"]["rows"].as_array().unwrap().len(), 1);
    // Who takes it without knowing what to do uses an attempt up.
    let attempts = owner.query_one("SELECT max(number) FROM attempt", &[]).await.unwrap();
    assert_eq!(attempts.get::<_, i32>(0), 1);
}

#[tokio::test]
async fn an_operation_that_nobody_has_begun_is_stopped_at_once() {
    let database = Database::create().await;
    let api = Program::start(&database, API).await;
    let home = Home::create(&api).await;
    let operation = send_statement(&home).await;
    assert_eq!(home.alice.get(&operation).await.expect(200).text("/state"), "queued");
    let cancel = format!("{operation}:cancel");
    assert_eq!(api.user("mallory").await.post(&cancel, &serde_json::json!({})).await.status, 404);
    home.alice.post(&cancel, &serde_json::json!({})).await;
    assert_eq!(home.alice.get(&operation).await.expect(200).text("/state"), "cancelled");

    // The worker that finds its job does nothing with it.
    let _worker = Program::start(&database, WORKER).await;
    let owner = database.owner().await;
    let waiting = "SELECT count(*) FROM graphile_worker._private_jobs";
    while owner.query_one(waiting, &[]).await.unwrap().get::<_, i64>(0) > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(home.alice.get(&operation).await.expect(200).text("/state"), "cancelled");
}

#[tokio::test]
async fn a_modules_role_can_enqueue_its_own_kinds_and_nothing_else() {
    let database = Database::create().await;
    let mut owner = database.owner().await;
    for (statement, refused) in [
        ("SELECT weir_jobs.enqueue('household.x', '{}', 1)", false),
        ("SELECT weir_jobs.enqueue('health.x', '{}', 1)", true),
        ("SELECT count(*) FROM graphile_worker._private_jobs", true),
        ("SELECT graphile_worker.add_job('weir')", true),
    ] {
        let session = owner.transaction().await.unwrap();
        session.batch_execute("SET LOCAL ROLE weir_household").await.unwrap();
        let answer = session.batch_execute(statement).await;
        let code = answer.as_ref().err().and_then(|error| error.code());
        assert_eq!(code, refused.then_some(&SqlState::INSUFFICIENT_PRIVILEGE), "{statement}: {answer:?}");
    }
}
