//! A lenient reader of OFX 1.x (SGML, end tags left out) and 2.x (XML): one walk over the tags for both. It finds the
//! statements and keeps the fields of each row as they stand; what they mean is read in `row`.

use super::ROWS_MAX;
use super::text::{decode, unescape};

/// Longest field that is kept; the rest of one is cut.
const FIELD_CHARS_MAX: usize = 2_000;
/// Most fields of one row that are kept.
const FIELDS_MAX: usize = 64;
/// Most statements of one file.
const STATEMENTS_MAX: usize = 100;

/// Elements that hold others. All other tags are fields of the innermost of these.
const AGGREGATES: &[&str] = &[
    "OFX",
    "STMTRS",
    "CCSTMTRS",
    "BANKACCTFROM",
    "CCACCTFROM",
    "BANKACCTTO",
    "CCACCTTO",
    "BANKTRANLIST",
    "STMTTRN",
    "PAYEE",
    "LEDGERBAL",
    "AVAILBAL",
    "CURRENCY",
    "ORIGCURRENCY",
    "STATUS",
    "BAL",
    "BALLIST",
];

/// Why a file is no statement.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    /// There is no `<OFX>` in it.
    #[error("this is not an OFX file: it has no <OFX> element")]
    NotOfx,
    /// More rows or statements than are taken.
    #[error("the file has more than {ROWS_MAX} rows or {STATEMENTS_MAX} statements")]
    TooMany,
}

/// One account's statement in a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Statement {
    /// `CURDEF`, as it stands.
    pub currency: Option<String>,
    /// `ACCTID`.
    pub bank_account: Option<String>,
    /// `LEDGERBAL`: amount and date, as they stand.
    pub balance: Option<(String, String)>,
    /// `STMTTRN`, in the file's order.
    pub rows: Vec<RawRow>,
}

/// A row as it stands in the file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RawRow {
    /// Names with the aggregates within the row before them (`PAYEE.NAME`), and trimmed texts that aren't empty.
    pub fields: Vec<(String, String)>,
    /// The file ended inside of it.
    pub cut_off: bool,
}

impl RawRow {
    /// The first field of this name.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(field, _)| field == name).map(|(_, text)| text.as_str())
    }
}

/// Reads all statements of a file.
pub fn read(bytes: &[u8]) -> Result<Vec<Statement>, FileError> {
    let text = decode(bytes);
    let start = find_start(&text).ok_or(FileError::NotOfx)?;
    let mut walk = Walk::default();
    let mut tags = Tags { rest: &text[start..] };
    while let Some(tag) = tags.next() {
        match tag {
            Tag::Open(name, value) => walk.open(name, value)?,
            Tag::Close(name) => walk.close(&name),
        }
    }
    walk.end();
    Ok(walk.statements)
}

fn find_start(text: &str) -> Option<usize> {
    text.as_bytes().windows(5).position(|bytes| bytes.eq_ignore_ascii_case(b"<OFX>"))
}

enum Tag {
    /// A name in capitals and the text that follows it.
    Open(String, String),
    Close(String),
}

/// Cuts the text into tags. A `<` that begins no tag is text.
struct Tags<'a> {
    rest: &'a str,
}

impl Tags<'_> {
    fn next(&mut self) -> Option<Tag> {
        loop {
            self.rest = &self.rest[self.rest.find('<')?..];
            if let Some(comment) = self.rest.strip_prefix("<!--") {
                self.rest = comment.split_once("-->").map_or("", |(_, after)| after);
                continue;
            }
            let Some((closing, name, after)) = tag_at(self.rest) else {
                self.rest = &self.rest[1..];
                continue;
            };
            self.rest = after;
            let name = name.to_ascii_uppercase();
            return Some(if closing { Tag::Close(name) } else { Tag::Open(name, self.text()) });
        }
    }

    /// The text up to the next tag.
    fn text(&mut self) -> String {
        let mut text = String::new();
        loop {
            let Some(at) = self.rest.find('<') else {
                text.push_str(&unescape(self.rest));
                self.rest = "";
                break;
            };
            text.push_str(&unescape(&self.rest[..at]));
            self.rest = &self.rest[at..];
            if let Some(raw) = self.rest.strip_prefix("<![CDATA[") {
                let (inside, after) = raw.split_once("]]>").unwrap_or((raw, ""));
                text.push_str(inside);
                self.rest = after;
            } else if self.rest.starts_with("<!--") || tag_at(self.rest).is_some() {
                break;
            } else {
                text.push('<');
                self.rest = &self.rest[1..];
            }
        }
        text.trim().chars().filter(|c| *c != '\0').take(FIELD_CHARS_MAX).collect()
    }
}

/// Whether the tag that `text` begins with is an end tag, its name, and what follows it.
fn tag_at(text: &str) -> Option<(bool, &str, &str)> {
    const TAG_BYTES_MAX: usize = 64;
    let inner = text.strip_prefix('<')?;
    let end = inner.bytes().take(TAG_BYTES_MAX).position(|b| b == b'>')?;
    let (name, after) = (&inner[..end], &inner[end + 1..]);
    let (closing, name) = name.strip_prefix('/').map_or((false, name), |name| (true, name));
    let name = name.split(['/', ' ', '\t']).next()?;
    let named = name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
    named.then_some((closing, name, after))
}

/// Where the walk stands.
#[derive(Default)]
struct Walk {
    statements: Vec<Statement>,
    path: Vec<String>,
    row: Option<RawRow>,
    balance: (Option<String>, Option<String>),
    rows: usize,
}

impl Walk {
    fn open(&mut self, name: String, value: String) -> Result<(), FileError> {
        // Some banks write a payee or a currency as a plain field.
        let plain = !value.is_empty() && matches!(name.as_str(), "PAYEE" | "CURRENCY" | "ORIGCURRENCY");
        if plain || !AGGREGATES.contains(&name.as_str()) {
            self.field(name, value);
            return Ok(());
        }
        match name.as_str() {
            "STMTRS" | "CCSTMTRS" => {
                self.close_row(false);
                if self.statements.len() == STATEMENTS_MAX {
                    return Err(FileError::TooMany);
                }
                self.statements.push(Statement::default());
            }
            "STMTTRN" => {
                self.close_row(false);
                self.close("STMTTRN");
                self.rows += 1;
                if self.rows > ROWS_MAX {
                    return Err(FileError::TooMany);
                }
                self.row = Some(RawRow::default());
            }
            _ => {}
        }
        self.path.push(name);
        Ok(())
    }

    fn close(&mut self, name: &str) {
        let Some(at) = self.path.iter().rposition(|open| open == name) else { return };
        self.path.truncate(at);
        if !self.path.iter().any(|open| open == "STMTTRN") {
            self.close_row(false);
        }
        if name == "LEDGERBAL"
            && let (Some(amount), Some(date)) = std::mem::take(&mut self.balance)
            && let Some(statement) = self.statements.last_mut()
        {
            statement.balance.get_or_insert((amount, date));
        }
    }

    fn field(&mut self, name: String, value: String) {
        if value.is_empty() {
            return;
        }
        let inside = self.path.iter().rposition(|open| open == "STMTTRN");
        if let (Some(row), Some(at)) = (&mut self.row, inside) {
            let within = &self.path[at + 1..];
            let name = within.iter().map(String::as_str).chain([name.as_str()]).collect::<Vec<_>>().join(".");
            if row.fields.len() < FIELDS_MAX {
                row.fields.push((name, value));
            }
            return;
        }
        let Some(statement) = self.statements.last_mut() else { return };
        match (self.path.last().map_or("", String::as_str), name.as_str()) {
            (_, "CURDEF") => drop(statement.currency.get_or_insert(value)),
            ("BANKACCTFROM" | "CCACCTFROM", "ACCTID") => drop(statement.bank_account.get_or_insert(value)),
            ("LEDGERBAL", "BALAMT") => self.balance.0 = Some(value),
            ("LEDGERBAL", "DTASOF") => self.balance.1 = Some(value),
            _ => {}
        }
    }

    fn close_row(&mut self, cut_off: bool) {
        if let Some(mut row) = self.row.take()
            && let Some(statement) = self.statements.last_mut()
        {
            row.cut_off = cut_off;
            statement.rows.push(row);
        }
    }

    fn end(&mut self) {
        self.close_row(true);
    }
}

#[cfg(test)]
#[path = "ofx_tests.rs"]
mod tests;
