//! Edits over HTTP: transactions that are created, changed and deleted, statements that are imported, a household that is
//! renamed while both processes have it in their caches.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use reqwest::Method;
use rust_decimal::Decimal;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::insist::Insistent;
use super::tally::Tally;
use crate::client::{Answer, Error};
use crate::world::{Gate, World};

const HOUSEHOLDS: usize = 3;
/// Between two edits of a household.
const PACE: Duration = Duration::from_millis(50);
/// Of so many edits one is an import.
const IMPORT_EVERY: u64 = 120;
/// Rows of a statement.
const IMPORT_ROWS: u64 = 3;
/// The promise of a cache: stale at most this long.
const STALE_MAX: Duration = Duration::from_secs(1);
const LOOK_AGAIN: Duration = Duration::from_millis(50);
const MERGE: &str = "application/merge-patch+json";

/// People at their books.
pub struct Flow {
    editors: Vec<JoinHandle<anyhow::Result<Books>>>,
}

/// What one household must come to.
struct Books {
    client: Insistent,
    path: String,
    account: String,
    name: String,
    version: String,
    /// Amount and version of each transaction.
    expected: BTreeMap<String, (Decimal, String)>,
    imported: Decimal,
    imported_rows: u64,
    /// The token of the last write.
    token: String,
    edits: u64,
}

impl Flow {
    /// Makes households and starts to edit.
    pub async fn start(
        gates: Arc<[Gate]>,
        tally: Arc<Tally>,
        stop: CancellationToken,
    ) -> anyhow::Result<Self> {
        let mut editors = Vec::new();
        for n in 0..HOUSEHOLDS {
            let client =
                Insistent::sign_in(gates.clone(), tally.clone(), &format!("editor-{n}"), &[]).await?;
            let home = json!({"name": "Home", "currency": "CAD", "zone": "America/Toronto"});
            let made = client.post("/v1/households", "home", &home).await?.ok()?;
            let path = format!("/v1/households/{}", made.text_at("/id")?);
            let account = json!({"name": "Chequing", "kind": "checking", "currency": "CAD"});
            let account = client.post(&format!("{path}/accounts"), "account", &account).await?.ok()?;
            let mut books = Books {
                client,
                path,
                account: account.text_at("/id")?,
                name: "Home".into(),
                version: made.header("etag").to_owned(),
                expected: BTreeMap::new(),
                imported: Decimal::ZERO,
                imported_rows: 0,
                token: String::new(),
                edits: 0,
            };
            books.note(&account);
            let (tally, stop) = (tally.clone(), stop.clone());
            editors.push(tokio::spawn(async move {
                let mut pace = tokio::time::interval(PACE);
                while !stop.is_cancelled() {
                    pace.tick().await;
                    books.edit(&tally).await?;
                }
                Ok(books)
            }));
        }
        Ok(Self { editors })
    }

    /// Holds what is there to what was acknowledged.
    pub async fn end(self, world: &World) -> anyhow::Result<()> {
        for editor in self.editors {
            editor.await??.check(&world.gates()).await?;
        }
        Ok(())
    }
}

impl Books {
    fn note(&mut self, answer: &Answer) {
        let token = answer.header("consistency-token");
        if !token.is_empty() {
            self.token = token.to_owned();
        }
    }

    async fn edit(&mut self, tally: &Tally) -> anyhow::Result<()> {
        self.edits += 1;
        let random = Uuid::new_v4().as_u128();
        let known = self.expected.keys().nth((random >> 16) as usize % self.expected.len().max(1)).cloned();
        if self.edits.is_multiple_of(IMPORT_EVERY) {
            self.import().await?;
            tally.imports.add(1);
            return Ok(());
        }
        match (random % 100, known) {
            (0..5, _) => self.rename().await?,
            (5..15, _) => self.look().await?,
            (15..45, Some(id)) => self.change(&id).await?,
            (45..55, Some(id)) => self.delete(&id).await?,
            _ => self.create().await?,
        }
        tally.edits.add(1);
        Ok(())
    }

    /// An amount that no other edit has.
    fn amount(&self) -> Decimal {
        Decimal::new(100 + self.edits as i64, 2)
    }

    async fn create(&mut self) -> anyhow::Result<()> {
        let (id, amount) = (Uuid::now_v7().to_string(), self.amount());
        let body = json!({"id": id, "kind": "expense", "account_id": self.account, "amount": amount,
            "date": "2026-02-10", "payee": "Grocer"});
        let made = self.client.post(&format!("{}/transactions", self.path), &id, &body).await?.ok()?;
        self.note(&made);
        self.expected.insert(id, (amount, made.header("etag").to_owned()));
        Ok(())
    }

    async fn change(&mut self, id: &str) -> anyhow::Result<()> {
        let amount = self.amount();
        let path = format!("{}/transactions/{id}", self.path);
        let version = self.expected[id].1.clone();
        let changed = self.patch(&path, &version, &json!({"amount": amount}), "/amount").await;
        let changed = match changed {
            Err(error) if error.downcast_ref::<Error>().and_then(Error::code) == Some("not-found") => {
                let tally = self.client.tally();
                tally.find(&tally.lost, || format!("transaction {id} was acknowledged and is gone"));
                self.expected.remove(id);
                return Ok(());
            }
            changed => changed?,
        };
        self.note(&changed);
        self.expected.insert(id.to_owned(), (amount, changed.header("etag").to_owned()));
        Ok(())
    }

    async fn rename(&mut self) -> anyhow::Result<()> {
        let name = format!("Home after {} edits", self.edits);
        let path = self.path.clone();
        let renamed = self.patch(&path, &self.version.clone(), &json!({"name": name}), "/name").await?;
        self.note(&renamed);
        self.name = name;
        self.version = renamed.header("etag").to_owned();
        Ok(())
    }

    /// Both processes have the household in their caches, and must hear of its next name.
    async fn look(&mut self) -> anyhow::Result<()> {
        for client in self.client.at_each_gate() {
            client.get(&self.path, "").await?;
        }
        Ok(())
    }

    /// A change that nobody else makes. Refused as stale, an earlier try of it has been carried out.
    async fn patch(
        &mut self,
        path: &str,
        version: &str,
        body: &Value,
        field: &str,
    ) -> anyhow::Result<Answer> {
        let headers = [("if-match", version), ("content-type", MERGE)];
        let answer = self.client.send(&Method::PATCH, path, &headers, Some(body)).await?;
        if answer.status != 412 {
            return Ok(answer.ok()?);
        }
        // A read without a token may be of a moment ago.
        let is_stale = |current: &Answer| current.header("etag") != answer.header("etag");
        let mut current = self.client.get(path, "").await?;
        while is_stale(&current) {
            tokio::time::sleep(LOOK_AGAIN).await;
            current = self.client.get(path, "").await?;
        }
        let (is, wanted) = (current.body.pointer(field), body.pointer(field));
        let same = is.zip(wanted).is_some_and(|(is, wanted)| is == wanted);
        anyhow::ensure!(same, "nobody else edits {path}, and yet {} after {body}", answer.body);
        Ok(current)
    }

    async fn delete(&mut self, id: &str) -> anyhow::Result<()> {
        let path = format!("{}/transactions/{id}", self.path);
        let headers = [("if-match", self.expected[id].1.as_str())];
        let (gone, tries) = self.client.send_counted(&Method::DELETE, &path, &headers, None).await?;
        if gone.status != 404 {
            self.note(&gone.ok()?);
        } else if tries == 1 {
            let tally = self.client.tally();
            tally.find(&tally.lost, || format!("transaction {id} was acknowledged and is gone"));
        }
        self.expected.remove(id);
        Ok(())
    }

    /// A statement with rows of its own: read as a job, then committed.
    async fn import(&mut self) -> anyhow::Result<()> {
        let n = self.edits;
        let amount = self.amount();
        let rows: String = (0..IMPORT_ROWS)
            .map(|row| {
                format!(
                    "<STMTTRN><TRNTYPE>POS<DTPOSTED>20260112<TRNAMT>-{amount}<FITID>{n}-{row}<NAME>Shop {n} {row}</STMTTRN>\n"
                )
            })
            .collect();
        let file = format!(
            "OFXHEADER:100\nDATA:OFXSGML\nVERSION:102\nCHARSET:1252\n\n<OFX><SIGNONMSGSRSV1><SONRS>\
             <DTSERVER>20260301000000<LANGUAGE>ENG</SONRS></SIGNONMSGSRSV1><BANKMSGSRSV1><STMTTRNRS><STMTRS><CURDEF>CAD\
             <BANKACCTFROM><BANKID>1<ACCTID>12-345</BANKACCTFROM><BANKTRANLIST><DTSTART>20260101\n{rows}</BANKTRANLIST>\
             <LEDGERBAL><BALAMT>100.00<DTASOF>20260228</LEDGERBAL></STMTRS></STMTTRNRS></BANKMSGSRSV1></OFX>"
        );
        let path = format!("{}/imports?account_id={}", self.path, self.account);
        let sent =
            self.client.post_file(&path, &format!("import-{n}"), "application/x-ofx", file).await?.ok()?;
        let operation = sent.header("location").to_owned();
        let done = loop {
            let answer = self.client.get(&operation, sent.header("consistency-token")).await?;
            match answer.body["state"].as_str().unwrap_or_default() {
                "queued" | "running" => tokio::time::sleep(Duration::from_millis(50)).await,
                "succeeded" => break answer.body,
                other => anyhow::bail!("the import ended as {other}: {}", answer.body),
            }
        };
        let commit = done["result"]["links"]["commit"].as_str().context("no link to commit")?;
        let committed = self.client.post(commit, &format!("commit-{n}"), &json!({})).await?.ok()?;
        self.note(&committed);
        anyhow::ensure!(committed.body["counts"]["imported"] == IMPORT_ROWS, "{}", committed.body);
        self.imported += amount * Decimal::from(IMPORT_ROWS);
        self.imported_rows += IMPORT_ROWS;
        Ok(())
    }

    async fn check(self, gates: &[Gate]) -> anyhow::Result<()> {
        let tally = self.client.tally();
        let (mut sum, mut imported_rows) = (self.imported, 0);
        let mut there = BTreeMap::<String, u64>::new();
        for transaction in self.client.list(&format!("{}/transactions", self.path), &self.token).await? {
            if !transaction["source"].is_null() {
                imported_rows += 1;
                continue;
            }
            let id = transaction["id"].as_str().unwrap_or_default().to_owned();
            let amount: Decimal = transaction["amount"].as_str().unwrap_or_default().parse()?;
            if self.expected.get(&id).is_some_and(|(expected, _)| *expected != amount) {
                tally.find(&tally.lost, || {
                    format!("transaction {id} is {amount} and not {:?}", self.expected[&id])
                });
            }
            *there.entry(id).or_default() += 1;
        }
        for (id, (amount, _)) in &self.expected {
            sum += *amount;
            if !there.contains_key(id) {
                tally.find(&tally.lost, || format!("transaction {id} is gone"));
            }
        }
        for id in there.keys().filter(|id| !self.expected.contains_key(*id)) {
            tally.find(&tally.doubled, || {
                format!("transaction {id} is there and was deleted or never acknowledged")
            });
        }
        if imported_rows != self.imported_rows {
            let count = if imported_rows < self.imported_rows { &tally.lost } else { &tally.doubled };
            tally.find(count, || format!("{imported_rows} rows are imported, not {}", self.imported_rows));
        }
        let balance = format!("{}/accounts/{}/balance", self.path, self.account);
        let balance = self.client.get(&balance, &self.token).await?.text_at("/balance")?;
        if balance.parse::<Decimal>()? != -sum {
            tally.find(&tally.broken, || {
                format!("the projected balance is {balance}, the transactions say -{sum}")
            });
        }
        self.check_changes(&there).await?;
        tokio::time::sleep(STALE_MAX).await;
        for gate in gates {
            let found = self.client.only_at(gate).get(&self.path, "").await?.text_at("/name")?;
            if found != self.name {
                tally.find(&tally.stale, || {
                    format!("{} is still called {found:?}, not {:?}", self.path, self.name)
                });
            }
        }
        Ok(())
    }

    /// The feed has every number once, and comes to what is listed.
    async fn check_changes(&self, there: &BTreeMap<String, u64>) -> anyhow::Result<()> {
        let tally = self.client.tally();
        let (mut since, mut last, mut live) = (0, 0, BTreeMap::new());
        loop {
            let path = format!("{}/changes?since={since}&limit=200", self.path);
            let page = self.client.get(&path, &self.token).await?.body;
            for change in page["items"].as_array().into_iter().flatten() {
                let seq = change["seq"].as_i64().unwrap_or_default();
                if seq != last + 1 {
                    tally
                        .find(&tally.gaps, || format!("the feed of {} went from {last} to {seq}", self.path));
                }
                last = seq;
                let id = change["id"].as_str().unwrap_or_default().to_owned();
                if change["kind"] == "transaction" && change["data"]["source"].is_null() {
                    if change["deleted"] == true {
                        live.remove(&id)
                    } else {
                        live.insert(id, 1)
                    };
                }
            }
            since = page["next_since"].as_i64().unwrap_or(since);
            if page["more"] != true {
                break;
            }
        }
        if live != *there {
            tally.find(&tally.gaps, || {
                format!("the feed has {} transactions, the list {}", live.len(), there.len())
            });
        }
        Ok(())
    }
}
