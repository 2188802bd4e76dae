-- health: what devices measured. Everything stands below a person, so that a person can move to another database whole:
-- the bucket is `get_byte(uuid_send(person), 15) % 64`, and a device's id carries it in byte 8.
-- Locks: device rows, source keys, persons' streams, rollups, each sorted.

CREATE TABLE health.person (
    id         uuid PRIMARY KEY,
    subject    text NOT NULL,
    name       text NOT NULL,
    zone       text NOT NULL,
    version    bigint NOT NULL,
    created_at timestamptz NOT NULL
);
CREATE INDEX person_by_subject ON health.person (subject, id);

CREATE TABLE health.device (
    id           uuid PRIMARY KEY,
    person       uuid NOT NULL REFERENCES health.person,
    manufacturer text NOT NULL,
    model        text NOT NULL,
    serial       text NOT NULL,
    epoch        int NOT NULL CHECK (epoch >= 1),
    version      bigint NOT NULL,
    created_at   timestamptz NOT NULL,
    CHECK (get_byte(uuid_send(id), 8) % 64 = get_byte(uuid_send(person), 15) % 64)
) WITH (fillfactor = 80);
CREATE INDEX device_by_person ON health.device (person, id);

-- What has arrived of a device's numbering in one epoch, in place of a unique index over time partitions. Written under
-- the lock of the device's row.
CREATE TABLE health.receipt (
    device      uuid NOT NULL REFERENCES health.device,
    epoch       int NOT NULL,
    person      uuid NOT NULL,
    received    int8multirange NOT NULL,
    -- The newest start within each range of `received`, in the same order.
    newest      timestamptz[] NOT NULL,
    -- What the device no longer has or never had.
    waived      int8multirange NOT NULL,
    has_gap     boolean NOT NULL,
    -- Up to here nothing is known to be missing.
    complete_at timestamptz,
    newest_at   timestamptz,
    -- How far the device's clock runs ahead of ours, as its last `sent_at` says.
    skew_ms     bigint,
    PRIMARY KEY (device, epoch)
) WITH (fillfactor = 50);
CREATE INDEX receipt_by_person ON health.receipt (person);

-- Raw, in the canonical unit with the given one beside it. (person, change, position) names a row: `change` is the number
-- of the person's event that brought it.
CREATE TABLE health.sample (
    person      uuid NOT NULL,
    metric      smallint NOT NULL,
    start_at    timestamptz NOT NULL,
    end_at      timestamptz,
    value       numeric NOT NULL,
    -- Without a value here the given ones are the canonical ones.
    given_value text,
    given_unit  text,
    statistic   text,
    device      uuid,
    epoch       int,
    seq         bigint,
    source      text,
    source_id   text,
    hash        uuid NOT NULL,
    change      bigint NOT NULL,
    position    int NOT NULL,
    skew_ms     bigint,
    extra       jsonb
) PARTITION BY RANGE (start_at);
CREATE INDEX ON health.sample (person, metric, start_at, change, position);
CREATE INDEX ON health.sample (person, change);
CREATE INDEX ON health.sample USING brin (start_at);

-- What could not be accepted, exactly as it was sent: `raw` is text, so that it holds what `jsonb` would refuse.
CREATE TABLE health.quarantine (
    person      uuid NOT NULL,
    change      bigint NOT NULL,
    position    int NOT NULL,
    id          uuid NOT NULL,
    device      uuid,
    epoch       int,
    seq         bigint,
    source      text,
    source_id   text,
    status      text NOT NULL CHECK (status IN ('quarantined', 'expired', 'conflict')),
    reasons     jsonb NOT NULL,
    raw         text NOT NULL,
    hash        uuid NOT NULL,
    skew_ms     bigint,
    received_at timestamptz NOT NULL,
    PRIMARY KEY (person, change, position)
);
CREATE INDEX quarantine_by_hash ON health.quarantine (person, hash);

-- Keys of what has no number: a data point's header id, a device's own id for an item, or the content itself.
CREATE TABLE health.source_key (
    person    uuid NOT NULL,
    source    text NOT NULL,
    source_id text NOT NULL,
    hash      uuid NOT NULL,
    status    text NOT NULL CHECK (status IN ('stored', 'quarantined', 'expired')),
    PRIMARY KEY (person, source, source_id)
) PARTITION BY HASH (person);
DO $$
BEGIN
    FOR part IN 0..7 LOOP
        EXECUTE format('CREATE TABLE health.source_key_%s PARTITION OF health.source_key FOR VALUES WITH (MODULUS 8, REMAINDER %s)',
            part, part);
    END LOOP;
END $$;

-- Sums that enter in any order with the same result: `last` is the greatest of (start, value).
CREATE TABLE health.rollup_15m (
    person  uuid NOT NULL,
    metric  smallint NOT NULL,
    bucket  timestamptz NOT NULL,
    count   bigint NOT NULL,
    sum     numeric NOT NULL,
    min     numeric NOT NULL,
    max     numeric NOT NULL,
    last    numeric NOT NULL,
    last_at timestamptz NOT NULL,
    PRIMARY KEY (person, metric, bucket)
) WITH (fillfactor = 70);

-- Days of the person's zone. A person who moves has them made anew from the quarters of an hour.
CREATE TABLE health.rollup_1d (
    person  uuid NOT NULL,
    metric  smallint NOT NULL,
    zone    text NOT NULL,
    day     date NOT NULL,
    count   bigint NOT NULL,
    sum     numeric NOT NULL,
    min     numeric NOT NULL,
    max     numeric NOT NULL,
    last    numeric NOT NULL,
    last_at timestamptz NOT NULL,
    PRIMARY KEY (person, metric, zone, day)
) WITH (fillfactor = 70);

-- The partition for samples of a month (UTC), made when the first one is about to come: with LIKE and ATTACH, for PARTITION
-- OF would wait for every reader. False when it was there. There is no default partition, which would block this.
CREATE FUNCTION health.ensure_sample_month(month date) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE
    first date := date_trunc('month', month::timestamp)::date;
    child text := 'sample_' || to_char(first, 'YYYYMM');
BEGIN
    IF month NOT BETWEEN '1800-01-01' AND '2999-12-31' THEN
        RAISE EXCEPTION 'no samples are kept for %', month USING ERRCODE = 'datetime_field_overflow';
    END IF;
    IF to_regclass('health.' || child) IS NOT NULL THEN
        RETURN false;
    END IF;
    -- Two processes may want the same month at the same moment, and ATTACH takes turns anyway.
    PERFORM pg_advisory_xact_lock(hashtextextended('weir.partition.health.sample', 0));
    -- Not to_regclass: it still remembers that there was none, for an advisory lock takes in no invalidations.
    IF EXISTS (SELECT FROM pg_class WHERE relname = child AND relnamespace = 'health'::regnamespace) THEN
        RETURN false;
    END IF;
    EXECUTE format('CREATE TABLE health.%I (LIKE health.sample INCLUDING ALL)', child);
    EXECUTE format('ALTER TABLE health.sample ATTACH PARTITION health.%I FOR VALUES FROM (%L) TO (%L)', child,
        format('%s 00:00:00+00', first), format('%s 00:00:00+00', (first + interval '1 month')::date));
    RETURN true;
END $$;
REVOKE EXECUTE ON FUNCTION health.ensure_sample_month(date) FROM PUBLIC;

SELECT weir.grant_module('health');
