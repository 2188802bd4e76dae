//! Bank statements: preview, decisions, commit, revert.

use super::{Home, create_account, read_own_write};
use crate::harness::{Answer, Database, Program, sample, start};
use reqwest::Method;
use serde_json::{Value, json};

/// Our own, in the shape of a bank's: two equal purchases on a day, an unescaped `&`, a row without a date.
fn statement(rows: &[(&str, &str, &str, &str)]) -> String {
    let rows: String = rows
        .iter()
        .map(|(date, amount, id, name)| {
            format!(
                "<STMTTRN><TRNTYPE>POS<DTPOSTED>{date}<TRNAMT>{amount}<FITID>{id}<NAME>{name}</STMTTRN>\n"
            )
        })
        .collect();
    format!(
        "OFXHEADER:100\nDATA:OFXSGML\nVERSION:102\nCHARSET:1252\n\n<OFX><SIGNONMSGSRSV1><SONRS><DTSERVER>00000000000000\
         <LANGUAGE>ENG</SONRS></SIGNONMSGSRSV1><BANKMSGSRSV1><STMTTRNRS><STMTRS><CURDEF>CAD<BANKACCTFROM><BANKID>1\
         <ACCTID>12-345</BANKACCTFROM><BANKTRANLIST><DTSTART>20260101\n{rows}</BANKTRANLIST><LEDGERBAL><BALAMT>100.00\
         <DTASOF>20260228</LEDGERBAL></STMTRS></STMTTRNRS></BANKMSGSRSV1></OFX>"
    )
}

/// Sends a file.
async fn start_import(home: &Home, query: &str, file: &[u8]) -> Answer {
    let path = home.at(&format!("imports?{query}"));
    home.alice.post_file(&path, "application/x-ofx", file).await.expect(202)
}

/// The operation at its end.
async fn finished(home: &Home, location: &str) -> Answer {
    loop {
        let operation =
            home.alice.call(Method::GET, location, &[("Prefer", "wait=10")], None).await.expect(200);
        if !matches!(operation.text("/state"), "queued" | "running") {
            return operation;
        }
    }
}

/// Sends a file and waits for its operation.
async fn read(home: &Home, query: &str, file: &[u8]) -> Answer {
    let started = start_import(home, query, file).await;
    finished(home, started.header("location")).await
}

async fn preview(home: &Home, file: &[u8]) -> Value {
    let operation = read(home, &format!("account_id={}", home.account), file).await;
    assert_eq!(operation.text("/state"), "succeeded", "{:#}", operation.body);
    let progress = &operation.body["progress"];
    assert_eq!((&progress["done"], &progress["unit"]), (&progress["total"], &json!("rows")), "{progress}");
    operation.body["result"].clone()
}

fn statuses(preview: &Value) -> Vec<&str> {
    preview["rows"].as_array().unwrap().iter().map(|row| row["status"].as_str().unwrap()).collect()
}

async fn commit(home: &Home, preview: &Value, decisions: Value) -> Answer {
    let path = preview["links"]["commit"].as_str().unwrap();
    home.alice.post(path, &json!({"decisions": decisions})).await
}

async fn transactions(home: &Home) -> Vec<Value> {
    let page = home.alice.get(&home.at("transactions?limit=500")).await.expect(200);
    page.body["items"].as_array().unwrap().clone()
}

/// firefly-iii#12246, actual#5354
#[tokio::test]
async fn two_equal_purchases_on_a_day_stay_two_and_importing_again_adds_nothing() {
    let (_database, program) = start().await;
    for ids in [["a1", "a2", "a3"], ["", "", ""]] {
        let home = Home::create(&program).await;
        let file = statement(&[
            ("20260110120000[-5:EST]", "-4.50", ids[0], "Coffee & Cake"),
            ("20260110120000[-5:EST]", "-4.50", ids[1], "Coffee & Cake"),
            ("20260131", "1200.00", ids[2], "Pay"),
            ("", "-1.00", "", "Nowhen"),
        ]);
        let first = preview(&home, file.as_bytes()).await;
        assert_eq!(statuses(&first), ["new", "new", "new", "error"]);
        assert!(first["rows"][3]["reason"].as_str().unwrap().contains("DTPOSTED is missing"));
        let done = commit(&home, &first, json!([])).await.expect(200);
        assert_eq!((done.text("/state"), &done.body["counts"]["imported"]), ("committed", &json!(3)));
        assert_eq!(home.balance(&home.account, &done).await, "1191.00");
        let again = preview(&home, file.as_bytes()).await;
        assert_eq!(statuses(&again), ["duplicate_of", "duplicate_of", "duplicate_of", "error"], "{again:#}");
        let done = commit(&home, &again, json!([])).await.expect(200);
        assert_eq!(done.body["counts"]["imported"], 0);
        assert_eq!(transactions(&home).await.len(), 3);
    }
}

#[tokio::test]
async fn a_decision_on_a_row_is_kept_and_a_revert_takes_all_of_it_back() {
    let (_database, program) = start().await;
    let home = Home::create(&program).await;
    home.create_transaction(&home.expense("7.00", "2026-01-12")).await;
    let file = statement(&[
        ("20260110", "-4.50", "a1", "Coffee"),
        ("20260111", "-7.00", "a2", "Grocer"),
        ("20260112", "-9.00", "a3", "Baker"),
    ]);
    let preview = preview(&home, file.as_bytes()).await;
    assert_eq!(statuses(&preview), ["new", "probable_duplicate", "new"]);
    let unknown = json!([{"row": 9, "import": true}]);
    commit(&home, &preview, unknown).await.expect(422);
    let decisions = json!([{"row": 1, "import": false}, {"row": 2, "import": true},
        {"row": 3, "category_id": home.groceries}]);
    let done = commit(&home, &preview, decisions.clone()).await.expect(200);
    assert_eq!(done.body["counts"]["imported"], 2);
    assert_eq!(commit(&home, &preview, decisions).await.expect(409).text("/code"), "import-state");
    let made = transactions(&home).await;
    let baker = made.iter().find(|it| it["payee"] == "Baker").unwrap();
    assert_eq!(baker["splits"][0]["category_id"], json!(home.groceries));
    assert_eq!((&baker["source"]["bank_id"], &baker["cleared"]), (&json!("a3"), &json!(true)));
    assert_eq!(home.balance(&home.account, &done).await, "-23.00");

    let head = home.head().await;
    let reverted =
        home.alice.post(preview["links"]["revert"].as_str().unwrap(), &json!({})).await.expect(200);
    assert_eq!(reverted.text("/state"), "reverted");
    assert_eq!(home.balance(&home.account, &reverted).await, "-7.00");
    let changes = home.alice.get(&home.at(&format!("changes?since={head}"))).await.expect(200);
    let deleted = changes.body["items"].as_array().unwrap().iter().filter(|it| it["deleted"] == true).count();
    assert_eq!(deleted, 2);
    // What was taken back is new again.
    assert_eq!(statuses(&self::preview(&home, file.as_bytes()).await), ["new", "probable_duplicate", "new"]);
}

#[tokio::test]
async fn two_imports_of_one_file_at_once_take_it_in_once() {
    let (_database, program) = start().await;
    let home = Home::create(&program).await;
    let file = statement(&[("20260110", "-4.50", "a1", "Coffee"), ("20260110", "-4.50", "a2", "Coffee")]);
    let (one, other) = (preview(&home, file.as_bytes()).await, preview(&home, file.as_bytes()).await);
    assert_eq!(statuses(&other), ["new", "new"]);
    let (one, other) = tokio::join!(commit(&home, &one, json!([])), commit(&home, &other, json!([])));
    let imported = |answer: &Answer| answer.body["counts"]["imported"].as_i64().unwrap();
    assert_eq!(imported(&one.expect(200)) + imported(&other.expect(200)), 2);
    assert_eq!(transactions(&home).await.len(), 2);
}

#[tokio::test]
async fn a_file_that_is_no_statement_of_the_account_says_why() {
    let (_database, program) = start().await;
    let home = Home::create(&program).await;
    let euros = create_account(&home.alice, &home.path, "Euros", "EUR").await;
    let file = statement(&[("20260110", "-4.50", "a1", "Coffee")]);
    for (query, file, detail) in [
        (format!("account_id={}", home.account), "Date;Amount", "not an OFX file"),
        (format!("account_id={euros}"), &*file, "the statement is in CAD, the account in EUR"),
        (format!("account_id={}&statement=99", home.account), &*file, "no statement of 99, but of 12-345"),
    ] {
        let operation = read(&home, &query, file.as_bytes()).await;
        assert_eq!(operation.text("/state"), "failed");
        assert_eq!(operation.text("/problem/code"), "not-a-statement");
        assert!(operation.text("/problem/detail").contains(detail), "{:#}", operation.body);
    }
    let wrong = home.at(&format!("imports?account_id={}", home.groceries));
    home.alice.post(&wrong, &json!({})).await.expect(415);
}

#[tokio::test]
async fn a_file_comes_as_a_form_too_and_has_a_largest_size() {
    let (_database, program) = start().await;
    let home = Home::create(&program).await;
    let path = home.at(&format!("imports?account_id={}", home.account));
    let file = statement(&[("20260110", "-4.50", "a1", "Coffee")]);
    let form = format!(
        "--b\r\nContent-Disposition: form-data; name=\"note\"\r\n\r\nx\r\n\
         --b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"january.ofx\"\r\n\r\n{file}\r\n--b--\r\n"
    );
    let media = "multipart/form-data; boundary=b";
    let started = home.alice.post_file(&path, media, form.as_bytes()).await.expect(202);
    let operation = finished(&home, started.header("location")).await;
    assert_eq!(operation.text("/result/import/filename"), "january.ofx");
    assert_eq!(statuses(&operation.body["result"]), ["new"]);
    home.alice.post_file(&path, media, b"--b--\r\n").await.expect(400);
    let large = vec![b' '; 4 * 1024 * 1024 + 1];
    let refused = home.alice.post_file(&path, "application/x-ofx", &large).await.expect(413);
    assert_eq!(refused.text("/code"), "body-too-large");
}

#[tokio::test]
async fn a_long_statement_is_read_with_progress_and_committed_whole() {
    let (_database, program) = start().await;
    let home = Home::create(&program).await;
    let rows: Vec<(String, String)> =
        (0..1_200).map(|n| (format!("-{}.25", n + 1), format!("id-{n}"))).collect();
    let rows: Vec<_> = rows.iter().map(|(amount, id)| ("20260110", &**amount, &**id, "Shop")).collect();
    let preview = preview(&home, statement(&rows).as_bytes()).await;
    assert_eq!(preview["rows"].as_array().unwrap().len(), 100);
    let page = home
        .alice
        .get(&format!("{}?limit=500", preview["links"]["rows"].as_str().unwrap()))
        .await
        .expect(200);
    assert_eq!(page.body["items"][499]["row"], 500);
    let done = commit(&home, &preview, json!([])).await.expect(200);
    assert_eq!(done.body["counts"]["imported"], 1_200);
    assert_eq!(home.balance(&home.account, &done).await, "-720900.00");
}

#[tokio::test]
async fn an_import_whose_process_is_killed_is_read_by_another() {
    let (database, program) = start().await;
    let home = Home::create(&program).await;
    let ids: Vec<String> = (0..3_000).map(|n| format!("id-{n}")).collect();
    let rows: Vec<_> = ids.iter().map(|id| ("20260110", "-1.00", &**id, "Shop")).collect();
    let started =
        start_import(&home, &format!("account_id={}", home.account), statement(&rows).as_bytes()).await;
    program.kill().await;
    let other = Program::start(&database, &[]).await;
    let home = Home { alice: home.alice.at(&other.base), ..home };
    let operation = finished(&home, started.header("location")).await;
    assert_eq!(operation.text("/state"), "succeeded", "{:#}", operation.body);
    let done = commit(&home, &operation.body["result"], json!([])).await.expect(200);
    assert_eq!(done.body["counts"]["imported"], 3_000);
    assert_eq!(home.balance(&home.account, &done).await, "-3000.00");
}

/// A real statement, where it is at hand.
#[tokio::test]
async fn a_real_statement_ends_at_the_balance_that_the_bank_says() {
    let Some(file) = sample("household/ofx/bank_medium.ofx") else { return };
    let (_database, program) = start().await;
    real_statement(&program, &std::fs::read(file).unwrap()).await;
}

async fn real_statement(program: &Program, file: &[u8]) {
    let home = Home::create(program).await;
    let opening =
        json!({"kind": "opening", "account_id": home.account, "amount": "727.61", "date": "2009-03-31"});
    home.create_transaction(&opening).await;
    let preview = preview(&home, file).await;
    assert_eq!(statuses(&preview), ["new", "new", "new"]);
    assert_eq!(preview["import"]["statement"]["balance"], "382.34");
    let done = commit(&home, &preview, json!([])).await.expect(200);
    assert_eq!(home.balance(&home.account, &done).await, "382.34");
    let dates: Vec<Value> = transactions(&home).await.iter().map(|it| it["date"].clone()).collect();
    assert_eq!(dates, ["2009-04-03", "2009-04-02", "2009-04-01", "2009-03-31"]);
    let again = self::preview(&home, file).await;
    assert_eq!(commit(&home, &again, json!([])).await.expect(200).body["counts"]["imported"], 0);
    assert_eq!(transactions(&home).await.len(), 4);
}

#[tokio::test]
async fn an_import_that_is_cancelled_in_the_queue_says_so_though_its_member_has_left() {
    let database = Database::create().await;
    let program = Program::start(&database, &[("WEIR_ROLES", "api")]).await;
    let home = Home::create(&program).await;
    let body = json!({"subject": "bob", "role": "editor"});
    let member = home.alice.post(&home.at("members"), &body).await.expect(201);
    let bob = program.user("bob").await;
    let path = home.at(&format!("imports?account_id={}", home.account));
    let file = statement(&[("20260110", "-4.50", "a1", "Coffee")]);
    let started = bob.post_file(&path, "application/x-ofx", file.as_bytes()).await.expect(202);
    super::delete(&home.alice, &home.at("members/bob"), member.version()).await.expect(204);
    let import = home.at(&format!("imports/{}", started.text("/import_id")));
    let reading = home.alice.get(&import).await.expect(200);
    assert_eq!(reading.text("/state"), "reading");

    let cancelled = bob.post(&format!("{}:cancel", started.header("location")), &json!({})).await.expect(200);
    assert_eq!(cancelled.text("/state"), "cancelled");
    let seen = read_own_write(&home.alice, &import, &cancelled).await;
    assert_eq!((seen.text("/state"), seen.version() > reading.version()), ("cancelled", true));
    let changes =
        home.alice.get(&home.at(&format!("changes?since={}", seen.version() - 1))).await.expect(200);
    assert_eq!(changes.body["items"][0]["data"], seen.body);
    let refused = home.alice.post(&format!("{import}:commit"), &json!({})).await.expect(409);
    assert_eq!((refused.text("/code"), &refused.body["state"]), ("import-state", &json!("cancelled")));
    // It is cancelled once, and the worker that finds its job leaves it so.
    bob.post(&format!("{}:cancel", started.header("location")), &json!({})).await.expect(200);
    let _worker = Program::start(&database, &[("WEIR_ROLES", "worker")]).await;
    until_no_jobs(&database).await;
    assert_eq!(home.alice.get(&import).await.expect(200).body, seen.body);
}

#[tokio::test]
async fn an_import_that_is_cancelled_while_it_is_read_says_so_and_its_file_goes() {
    let (database, program) = start().await;
    let home = Home::create(&program).await;
    let mut owner = database.owner().await;
    let held = owner.transaction().await.unwrap();
    held.batch_execute("LOCK TABLE household.import_row IN SHARE MODE").await.unwrap();
    let file = statement(&[("20260110", "-4.50", "a1", "Coffee")]);
    let query = format!("account_id={}", home.account);
    let started = start_import(&home, &query, file.as_bytes()).await;
    let operation = started.header("location");
    while home.alice.get(operation).await.expect(200).text("/state") != "running" {}
    home.alice.post(&format!("{operation}:cancel"), &json!({})).await.expect(200);
    held.rollback().await.unwrap();
    let ended = finished(&home, operation).await;
    let import = home.at(&format!("imports/{}", started.text("/import_id")));
    assert_eq!(
        (ended.text("/state"), read_own_write(&home.alice, &import, &ended).await.text("/state")),
        ("cancelled", "cancelled")
    );
    // Neither a file that was read nor one that never will be is kept.
    preview(&home, file.as_bytes()).await;
    let kept = "SELECT count(*) FROM household.import WHERE file IS NOT NULL";
    assert_eq!(owner.query_one(kept, &[]).await.unwrap().get::<_, i64>(0), 0);
}

#[tokio::test]
async fn an_import_that_no_worker_could_read_says_that_it_failed() {
    let database = Database::create().await;
    let program = Program::start(&database, &[("WEIR_ROLES", "api")]).await;
    let home = Home::create(&program).await;
    let file = statement(&[("20260110", "-4.50", "a1", "Coffee")]);
    let started = start_import(&home, &format!("account_id={}", home.account), file.as_bytes()).await;
    let owner = database.owner().await;
    let broken = "ALTER TABLE household.import_row RENAME TO away;
        UPDATE graphile_worker._private_jobs SET max_attempts = 1";
    owner.batch_execute(broken).await.unwrap();
    let _worker = Program::start(&database, &[("WEIR_ROLES", "worker")]).await;
    let ended = finished(&home, started.header("location")).await;
    assert_eq!((ended.text("/state"), ended.text("/problem/code")), ("failed", "internal"));
    let import = home.at(&format!("imports/{}", started.text("/import_id")));
    assert_eq!(read_own_write(&home.alice, &import, &ended).await.text("/state"), "failed");
}

async fn until_no_jobs(database: &Database) {
    let owner = database.owner().await;
    let waiting = "SELECT count(*) FROM graphile_worker._private_jobs";
    while owner.query_one(waiting, &[]).await.unwrap().get::<_, i64>(0) > 0 {
        tokio::task::yield_now().await;
    }
}
