-- household: shared money. Every id stands below its household, so that a household can move to another database whole.
-- Rows are written under the lock of the household's `stream` row; `version` is the number of the event that last changed
-- the row. Deleted rows stay as tombstones: their id is taken for ever.

CREATE TABLE household.household (
    id       uuid PRIMARY KEY,
    name     text NOT NULL,
    currency text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    zone     text NOT NULL,
    version  bigint NOT NULL
);

CREATE TABLE household.member (
    household uuid NOT NULL REFERENCES household.household,
    subject   text NOT NULL,
    role      text NOT NULL CHECK (role IN ('owner', 'editor', 'viewer')),
    version   bigint NOT NULL,
    deleted   boolean NOT NULL DEFAULT false,
    PRIMARY KEY (household, subject)
);
CREATE INDEX member_by_subject ON household.member (subject, household) WHERE NOT deleted;

CREATE TABLE household.account (
    household uuid NOT NULL REFERENCES household.household,
    id        uuid NOT NULL,
    name      text NOT NULL,
    kind      text NOT NULL,
    currency  text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    closed    boolean NOT NULL,
    version   bigint NOT NULL,
    deleted   boolean NOT NULL DEFAULT false,
    PRIMARY KEY (household, id)
);

CREATE TABLE household.category (
    household uuid NOT NULL REFERENCES household.household,
    id        uuid NOT NULL,
    name      text NOT NULL,
    kind      text NOT NULL CHECK (kind IN ('expense', 'income')),
    archived  boolean NOT NULL,
    version   bigint NOT NULL,
    deleted   boolean NOT NULL DEFAULT false,
    PRIMARY KEY (household, id)
);

-- A transaction with its splits is one resource, so they are one row. `source_*` is what the bank's file said, untouched by later edits: it is what a second import is compared with.
CREATE TABLE household.transaction (
    household      uuid NOT NULL,
    id             uuid NOT NULL,
    kind           text NOT NULL CHECK (kind IN ('expense', 'income', 'transfer', 'opening')),
    date           date NOT NULL,
    account        uuid NOT NULL,
    amount         bigint NOT NULL,
    currency       text NOT NULL,
    to_account     uuid,
    to_amount      bigint,
    to_currency    text,
    payee          text NOT NULL,
    notes          text NOT NULL,
    cleared        boolean NOT NULL,
    splits         jsonb NOT NULL,
    import         uuid,
    import_line    integer,
    source_account uuid,
    source_fitid   text,
    source_date    date,
    source_amount  bigint,
    source_nth     integer,
    version        bigint NOT NULL,
    deleted        boolean NOT NULL DEFAULT false,
    PRIMARY KEY (household, id),
    FOREIGN KEY (household, account) REFERENCES household.account,
    FOREIGN KEY (household, to_account) REFERENCES household.account,
    CONSTRAINT transaction_sides CHECK ((kind = 'transfer') = (to_account IS NOT NULL)
        AND (to_account IS NULL) = (to_amount IS NULL) AND (to_account IS NULL) = (to_currency IS NULL)),
    CONSTRAINT transaction_amount CHECK (amount > 0 OR kind = 'opening')
);
CREATE INDEX transaction_by_date ON household.transaction (household, date DESC, id DESC) WHERE NOT deleted;
CREATE UNIQUE INDEX transaction_one_opening ON household.transaction (household, account)
    WHERE kind = 'opening' AND NOT deleted;
CREATE UNIQUE INDEX transaction_bank_id ON household.transaction (household, source_account, source_fitid)
    WHERE source_fitid IS NOT NULL AND NOT deleted;
CREATE INDEX transaction_by_source ON household.transaction (household, source_account, source_date)
    WHERE source_account IS NOT NULL AND NOT deleted;
CREATE INDEX transaction_by_import ON household.transaction (household, import)
    WHERE import IS NOT NULL AND NOT deleted;

-- Double entry. `owner` is the account or category, or the nil uuid (no category, opening, exchange).
CREATE TABLE household.posting (
    household   uuid NOT NULL,
    transaction uuid NOT NULL,
    ledger      text NOT NULL CHECK (ledger IN ('account', 'expense', 'income', 'opening', 'exchange')),
    owner       uuid NOT NULL,
    currency    text NOT NULL,
    amount      bigint NOT NULL,
    date        date NOT NULL,
    PRIMARY KEY (household, transaction, ledger, owner, currency),
    FOREIGN KEY (household, transaction) REFERENCES household.transaction
);
CREATE INDEX posting_by_owner ON household.posting (household, owner, date DESC, transaction DESC);

-- Each statement puts in or takes out whole transactions, so the rows of one statement sum to zero; by induction so does the table.
CREATE FUNCTION household.check_postings() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    wrong uuid;
BEGIN
    SELECT transaction INTO wrong FROM touched
        GROUP BY household, transaction, currency HAVING sum(amount) <> 0 LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'postings of transaction % do not sum to zero', wrong
            USING ERRCODE = 'check_violation', CONSTRAINT = 'posting_sums_to_zero';
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER posting_added AFTER INSERT ON household.posting
    REFERENCING NEW TABLE AS touched FOR EACH STATEMENT EXECUTE FUNCTION household.check_postings();
CREATE TRIGGER posting_removed AFTER DELETE ON household.posting
    REFERENCING OLD TABLE AS touched FOR EACH STATEMENT EXECUTE FUNCTION household.check_postings();

-- The projection behind summaries and balances: what each ledger moved in a month. Nothing decides about a write from here.
CREATE TABLE household.month_total (
    household uuid NOT NULL,
    month     date NOT NULL CHECK (extract(day FROM month) = 1),
    ledger    text NOT NULL,
    owner     uuid NOT NULL,
    currency  text NOT NULL,
    amount    bigint NOT NULL,
    entries   bigint NOT NULL,
    PRIMARY KEY (household, month, ledger, owner, currency)
) WITH (fillfactor = 70);
CREATE INDEX month_total_by_owner ON household.month_total (household, owner);

CREATE TABLE household.import (
    household    uuid NOT NULL REFERENCES household.household,
    id           uuid NOT NULL,
    account      uuid NOT NULL,
    state        text NOT NULL CHECK (state IN ('reading', 'ready', 'committed', 'reverted', 'failed')),
    filename     text NOT NULL,
    wanted       text,
    file         bytea NOT NULL,
    operation    uuid,
    bank_account text,
    currency     text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    balance      bigint,
    balance_date date,
    rows_new       integer NOT NULL DEFAULT 0,
    rows_duplicate integer NOT NULL DEFAULT 0,
    rows_probable  integer NOT NULL DEFAULT 0,
    rows_error     integer NOT NULL DEFAULT 0,
    rows_imported  integer NOT NULL DEFAULT 0,
    version      bigint NOT NULL,
    PRIMARY KEY (household, id),
    FOREIGN KEY (household, account) REFERENCES household.account
);

CREATE TABLE household.import_row (
    household    uuid NOT NULL,
    import       uuid NOT NULL,
    line         integer NOT NULL,
    status       text NOT NULL CHECK (status IN ('new', 'duplicate_of', 'probable_duplicate', 'error')),
    reason       text,
    duplicate_of uuid,
    date         date,
    amount       bigint,
    payee        text NOT NULL,
    notes        text NOT NULL,
    fitid        text,
    nth          integer NOT NULL,
    raw_hash     bytea NOT NULL,
    transaction  uuid,
    PRIMARY KEY (household, import, line),
    FOREIGN KEY (household, import) REFERENCES household.import
);

SELECT weir.grant_module('household');
-- A posting is never changed in place: a transaction's postings are taken out and put in again, whole.
REVOKE UPDATE ON household.posting FROM weir_household;
