-- trading: instruments, accounts, orders, trades, and the ledger. Amounts are whole minor units (bigint), prices are in
-- units of 10^-price_scale of the quote asset. Orders, trades, ledger and command rows are written under the lock of the
-- instrument's `stream` row and of the accounts' `stream` rows. Hot tables have no foreign keys (each would lock the row
-- it points to) and no index on a column that changes while the row is hot.

CREATE TABLE trading.asset (
    code  text PRIMARY KEY CHECK (code ~ '^[A-Z][A-Z0-9]{0,11}$'),
    scale smallint NOT NULL CHECK (scale BETWEEN 0 AND 12),
    UNIQUE (code, scale)
);

-- `version` is the number of the instrument's event that last changed the row.
CREATE TABLE trading.instrument (
    id            uuid PRIMARY KEY,
    symbol        text NOT NULL CONSTRAINT instrument_symbol UNIQUE
                  CHECK (symbol ~ '^[A-Z][A-Z0-9]{0,11}-[A-Z][A-Z0-9]{0,11}$'),
    base          text NOT NULL,
    base_scale    smallint NOT NULL,
    quote         text NOT NULL,
    quote_scale   smallint NOT NULL,
    price_scale   smallint NOT NULL CHECK (price_scale BETWEEN 0 AND 12),
    tick          bigint NOT NULL CHECK (tick > 0),
    lot           bigint NOT NULL CHECK (lot > 0),
    status        text NOT NULL CHECK (status IN ('trading', 'halted', 'auction')),
    maker_fee_ppm integer NOT NULL CHECK (maker_fee_ppm BETWEEN 0 AND 100000),
    taker_fee_ppm integer NOT NULL CHECK (taker_fee_ppm BETWEEN 0 AND 100000),
    fee_account   uuid NOT NULL,
    version       bigint NOT NULL,
    created_at    timestamptz NOT NULL,
    CHECK (base <> quote),
    CONSTRAINT instrument_base FOREIGN KEY (base, base_scale) REFERENCES trading.asset (code, scale),
    CONSTRAINT instrument_quote FOREIGN KEY (quote, quote_scale) REFERENCES trading.asset (code, scale),
    -- The price of one lot at any tick is whole in minor units, so no trade is ever rounded.
    CONSTRAINT instrument_whole CHECK (
        price_scale + base_scale >= quote_scale
        AND (tick::numeric * lot::numeric) % power(10::numeric, price_scale + base_scale - quote_scale) = 0
    )
);

-- An instrument's fee account has no owner: no token reaches it.
CREATE TABLE trading.account (
    id         uuid PRIMARY KEY,
    owner      text CHECK (owner <> ''),
    name       text NOT NULL,
    created_at timestamptz NOT NULL
);
CREATE INDEX account_by_owner ON trading.account (owner, id) WHERE owner IS NOT NULL;

-- What the ledger adds up to, kind by kind. `external` is the other side of deposits, kept per account so that no row is
-- shared by all: over all rows of an asset the four kinds sum to zero.
CREATE TABLE trading.balance (
    account   uuid NOT NULL,
    asset     text NOT NULL,
    available bigint NOT NULL DEFAULT 0 CONSTRAINT balance_available CHECK (available >= 0),
    held      bigint NOT NULL DEFAULT 0 CONSTRAINT balance_held CHECK (held >= 0),
    fees      bigint NOT NULL DEFAULT 0 CONSTRAINT balance_fees CHECK (fees >= 0),
    external  bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (account, asset)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 500,
        autovacuum_vacuum_cost_delay = 0);

-- Double entry: each row takes `amount` from one place and adds it to another, so it sums to zero by its shape.
-- (stream, seq) is the event that it belongs to: the instrument's, or for a deposit the account's.
CREATE TABLE trading.ledger (
    stream       uuid NOT NULL,
    seq          bigint NOT NULL,
    line         integer NOT NULL,
    asset        text NOT NULL,
    from_account uuid NOT NULL,
    from_kind    text NOT NULL CHECK (from_kind IN ('available', 'held', 'fees', 'external')),
    to_account   uuid NOT NULL,
    to_kind      text NOT NULL CHECK (to_kind IN ('available', 'held', 'fees', 'external')),
    amount       bigint NOT NULL CHECK (amount > 0),
    reason       text NOT NULL CHECK (reason IN ('deposit', 'hold', 'release', 'trade', 'fee')),
    at           timestamptz NOT NULL,
    PRIMARY KEY (stream, seq, line)
);

-- (placed_seq, placed_line) is the order's place in time among all of the instrument; `seq` and `instrument_seq` are the
-- numbers of the events that last changed it. `fee_slack` is what the fees charged so far exceed their exact sum by, in
-- millionths of a minor unit, so that many small fills cost no more than one large one.
CREATE TABLE trading.orders (
    account        uuid NOT NULL,
    id             uuid NOT NULL,
    instrument     uuid NOT NULL,
    client_id      text NOT NULL,
    side           text NOT NULL CHECK (side IN ('buy', 'sell')),
    type           text NOT NULL CHECK (type IN ('limit')),
    time_in_force  text NOT NULL CHECK (time_in_force IN ('gtc', 'ioc')),
    self_trade     text NOT NULL CHECK (self_trade IN ('cancel_taker')),
    price          bigint NOT NULL CHECK (price > 0),
    quantity       bigint NOT NULL CHECK (quantity > 0),
    filled         bigint NOT NULL CHECK (filled BETWEEN 0 AND quantity),
    notional       bigint NOT NULL CHECK (notional >= 0),
    fee            bigint NOT NULL CHECK (fee >= 0),
    fee_slack      integer NOT NULL CHECK (fee_slack BETWEEN 0 AND 999999),
    status         text NOT NULL CHECK (status IN ('open', 'filled', 'canceled')),
    reason         text,
    placed_seq     bigint NOT NULL,
    placed_line    integer NOT NULL,
    seq            bigint NOT NULL,
    instrument_seq bigint NOT NULL,
    created_at     timestamptz NOT NULL,
    updated_at     timestamptz NOT NULL,
    PRIMARY KEY (account, id),
    CHECK ((status = 'filled') = (filled = quantity))
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05);
CREATE INDEX orders_open_by_instrument ON trading.orders (instrument, placed_seq, placed_line) WHERE status = 'open';
CREATE INDEX orders_open_by_account ON trading.orders (account, id) WHERE status = 'open';

-- `number` counts an instrument's trades; `buyer_seq` and `seller_seq` are the accounts' numbers that tell of it.
CREATE TABLE trading.trade (
    instrument   uuid NOT NULL,
    number       bigint NOT NULL,
    seq          bigint NOT NULL,
    taker_side   text NOT NULL CHECK (taker_side IN ('buy', 'sell')),
    price        bigint NOT NULL,
    quantity     bigint NOT NULL CHECK (quantity > 0),
    notional     bigint NOT NULL CHECK (notional > 0),
    buyer        uuid NOT NULL,
    buyer_order  uuid NOT NULL,
    buyer_seq    bigint NOT NULL,
    buyer_fee    bigint NOT NULL CHECK (buyer_fee >= 0),
    seller       uuid NOT NULL,
    seller_order uuid NOT NULL,
    seller_seq   bigint NOT NULL,
    seller_fee   bigint NOT NULL CHECK (seller_fee >= 0),
    at           timestamptz NOT NULL,
    PRIMARY KEY (instrument, number),
    CONSTRAINT trade_no_self CHECK (buyer <> seller)
);
CREATE INDEX trade_by_buyer ON trading.trade (buyer, buyer_seq, number);
CREATE INDEX trade_by_seller ON trading.trade (seller, seller_seq, number);

-- Every client id that was ever decided, with what was asked and what was answered; kept for ever. Written once, under
-- the account's lock. `request` and `result` are compact JSON, kept as they were written.
CREATE TABLE trading.command (
    account    uuid NOT NULL,
    client_id  text NOT NULL,
    instrument uuid NOT NULL,
    outcome    text NOT NULL CHECK (outcome IN ('accepted', 'rejected')),
    order_id   uuid,
    request    json NOT NULL,
    result     json NOT NULL,
    at         timestamptz NOT NULL,
    PRIMARY KEY (account, client_id)
) PARTITION BY HASH (account);

DO $$
BEGIN
    FOR remainder IN 0..7 LOOP
        EXECUTE format('CREATE TABLE trading.command_%s PARTITION OF trading.command
                        FOR VALUES WITH (MODULUS 8, REMAINDER %s)', remainder, remainder);
    END LOOP;
END $$;

SELECT weir.grant_module('trading');
