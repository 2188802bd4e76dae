-- Commands that are about no single order: an id that is sealed, and cancels over several instruments.

-- A void id: it was never used when its owner asked, and never will be. It is about no instrument.
ALTER TABLE trading.command ALTER COLUMN instrument DROP NOT NULL;
ALTER TABLE trading.command DROP CONSTRAINT command_outcome_check;
ALTER TABLE trading.command ADD CONSTRAINT command_outcome CHECK (outcome IN ('accepted', 'rejected', 'void'));
ALTER TABLE trading.command ADD CONSTRAINT command_instrument CHECK ((outcome = 'void') = (instrument IS NULL));

-- Takes all of an account's orders off: a parent, which says where there were any, and a child for each instrument, which
-- says what came of it there. Written once each: the parent under the account's lock, a child under the instrument's as
-- well. An id that comes again finds them and gets the same answer. Kept for ever.
CREATE TABLE trading.sweep (
    account     uuid NOT NULL,
    id          text NOT NULL,
    asked       text,
    reason      text NOT NULL,
    instruments text[] NOT NULL,
    at          timestamptz NOT NULL,
    -- Nobody waits for its answer, so the program itself sees to it that its children are carried out.
    is_open     boolean NOT NULL,
    PRIMARY KEY (account, id)
);
CREATE INDEX sweep_open ON trading.sweep (at) WHERE is_open;
CREATE TABLE trading.swept (
    account        uuid NOT NULL,
    id             text NOT NULL,
    instrument     uuid NOT NULL,
    orders         uuid[] NOT NULL,
    seq            bigint NOT NULL,
    instrument_seq bigint NOT NULL,
    at             timestamptz NOT NULL,
    PRIMARY KEY (account, id, instrument)
);

-- When an account's orders are taken off unless its owner is heard of before. `arm` names one setting of the timer: a new
-- one has a new name, so that what the old one set off is not taken for its doing. A timer that has run out turns into an
-- open sweep in one transaction.
CREATE TABLE trading.dead_man (
    account  uuid NOT NULL,
    kind     text NOT NULL CHECK (kind IN ('timer', 'socket')),
    arm      uuid NOT NULL,
    fires_at timestamptz NOT NULL,
    PRIMARY KEY (account, kind)
) WITH (fillfactor = 50);
CREATE INDEX dead_man_by_time ON trading.dead_man (fires_at);

SELECT weir.grant_module('trading');
