-- What every module has: a role that sees its own schema alone, and the tables that the data path hangs on.
-- Run by the owner. Roles belong to the whole cluster, so another database may have made them already.

CREATE SCHEMA IF NOT EXISTS weir;

-- A month's partition of a stream kind's events. Made with LIKE and ATTACH: PARTITION OF would wait for every reader.
CREATE FUNCTION weir.make_event_month(module text, stream_kind text, month date) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE
    parent text := format('event_%s', stream_kind);
    child text := format('event_%s_%s', stream_kind, to_char(month, 'YYYYMM'));
    first date := date_trunc('month', month)::date;
BEGIN
    IF to_regclass(format('%I.%I', module, child)) IS NOT NULL THEN
        RETURN;
    END IF;
    -- Two processes may want the same month at the same moment.
    PERFORM pg_advisory_xact_lock(hashtextextended(format('weir.partition.%s.%s', module, child), 0));
    -- Not to_regclass: it still remembers that there was none, for an advisory lock takes in no invalidations.
    IF EXISTS (SELECT FROM pg_class WHERE relname = child AND relnamespace = module::regnamespace) THEN
        RETURN;
    END IF;
    EXECUTE format('CREATE TABLE %I.%I (LIKE %I.%I INCLUDING DEFAULTS INCLUDING CONSTRAINTS)',
        module, child, module, parent);
    EXECUTE format('CREATE INDEX ON %I.%I (stream, seq)', module, child);
    EXECUTE format('CREATE INDEX ON %I.%I (xid, stream)', module, child);
    EXECUTE format('ALTER TABLE %I.%I ATTACH PARTITION %I.%I FOR VALUES FROM (%L) TO (%L)',
        module, parent, module, child,
        format('%s 00:00:00+00', first), format('%s 00:00:00+00', (first + interval '1 month')::date));
    EXECUTE format('GRANT SELECT, INSERT ON %I.%I TO %I', module, child, 'weir_' || module);
END $$;

-- This month and the next `ahead` ones, for every stream kind of a module. The caller's role names the module, so a
-- module can make partitions of its own schema and of no other.
CREATE FUNCTION weir.make_event_partitions(now timestamptz, ahead int) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE
    -- The session's role, not the definer's: `current_setting('role')` is what the session set.
    own text := substr(current_setting('role'), length('weir_') + 1);
    stream_kind text;
    month int;
BEGIN
    FOR stream_kind IN SELECT m.stream_kind FROM weir.module_stream m WHERE m.module = own LOOP
        FOR month IN 0..ahead LOOP
            PERFORM weir.make_event_month(own, stream_kind,
                (date_trunc('month', now AT TIME ZONE 'UTC') + make_interval(months => month))::date);
        END LOOP;
    END LOOP;
END $$;

CREATE TABLE weir.module_stream (
    module text NOT NULL,
    stream_kind text NOT NULL,
    PRIMARY KEY (module, stream_kind)
);

CREATE FUNCTION weir.create_module(module text, stream_kinds text[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE
    role text := 'weir_' || module;
    stream_kind text;
BEGIN
    BEGIN
        EXECUTE format('CREATE ROLE %I NOLOGIN', role);
    EXCEPTION WHEN duplicate_object OR unique_violation THEN
        NULL; -- another database of this cluster made it
    END;
    -- The owner, who is no superuser on a managed PostgreSQL, must be a member to act as the role.
    BEGIN
        EXECUTE format('GRANT %I TO CURRENT_USER', role);
    EXCEPTION WHEN unique_violation OR SQLSTATE 'XX000' THEN
        NULL; -- granted by another database of this cluster at this very moment
    END;
    EXECUTE format('CREATE SCHEMA %I', module);
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I', module, role);
    EXECUTE format('GRANT USAGE ON SCHEMA weir TO %I', role);
    -- A standby proves its position with pg_stat_wal_receiver, whose columns are empty without this.
    BEGIN
        EXECUTE format('GRANT pg_read_all_stats TO %I', role);
    EXCEPTION WHEN unique_violation OR SQLSTATE 'XX000' THEN
        NULL; -- granted by another database of this cluster at this very moment
    END;

    EXECUTE format($ddl$
        -- An aggregate's counter. Its row is the aggregate's lock: locked early, bumped late. Rows are never deleted,
        -- so that numbers never start again.
        CREATE TABLE %1$I.stream (
            id uuid PRIMARY KEY,
            kind text NOT NULL,
            head bigint NOT NULL DEFAULT 0 CHECK (head >= 0)
        ) WITH (fillfactor = 50);

        -- Every change, numbered without gaps in its stream. `xid` lets a tail find what it has not seen.
        CREATE TABLE %1$I.event (
            kind text NOT NULL,
            stream uuid NOT NULL,
            seq bigint NOT NULL,
            xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
            at timestamptz NOT NULL,
            actor text NOT NULL,
            subject text NOT NULL,
            type text NOT NULL,
            schema smallint NOT NULL,
            body jsonb NOT NULL
        ) PARTITION BY LIST (kind);

        -- The stored answer to a request with an Idempotency-Key, written in the transaction of its effect.
        CREATE TABLE %1$I.idempotency (
            caller text NOT NULL,
            route text NOT NULL,
            key text NOT NULL,
            request_hash bytea NOT NULL,
            status smallint NOT NULL,
            headers jsonb NOT NULL,
            body bytea NOT NULL,
            created_at timestamptz NOT NULL,
            PRIMARY KEY (caller, route, key)
        );
        CREATE INDEX ON %1$I.idempotency (created_at);

        -- How far a projector got in a stream, moved in the transaction of its effect.
        CREATE TABLE %1$I.checkpoint (
            projector text NOT NULL,
            stream uuid NOT NULL,
            seq bigint NOT NULL,
            PRIMARY KEY (projector, stream)
        ) WITH (fillfactor = 50);

        -- Long work that a caller can look at.
        CREATE TABLE %1$I.operation (
            id uuid PRIMARY KEY,
            caller text NOT NULL,
            kind text NOT NULL,
            state text NOT NULL CHECK (state IN ('queued', 'running', 'succeeded', 'failed', 'cancelled')),
            progress jsonb,
            input jsonb NOT NULL,
            result jsonb,
            problem jsonb,
            cancel_requested boolean NOT NULL DEFAULT false,
            token text NOT NULL,
            created_at timestamptz NOT NULL,
            updated_at timestamptz NOT NULL
        );
        CREATE INDEX ON %1$I.operation (state, created_at) WHERE state IN ('queued', 'running');
    $ddl$, module);

    FOREACH stream_kind IN ARRAY stream_kinds LOOP
        INSERT INTO weir.module_stream VALUES (module, stream_kind);
        EXECUTE format('CREATE TABLE %I.%I PARTITION OF %I.event FOR VALUES IN (%L) PARTITION BY RANGE (at)',
            module, 'event_' || stream_kind, module, stream_kind);
        EXECUTE format('GRANT SELECT, INSERT ON %I.%I TO %I', module, 'event_' || stream_kind, role);
        PERFORM weir.make_event_month(module, stream_kind, (now() AT TIME ZONE 'UTC')::date);
        PERFORM weir.make_event_month(module, stream_kind, (now() AT TIME ZONE 'UTC' + interval '1 month')::date);
    END LOOP;

    EXECUTE format('GRANT SELECT, INSERT ON %I.event TO %I', module, role);
    EXECUTE format('GRANT SELECT, INSERT, UPDATE ON %I.stream, %I.checkpoint, %I.operation TO %I',
        module, module, module, role);
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I.idempotency TO %I', module, role);
    EXECUTE format('GRANT EXECUTE ON FUNCTION weir.make_event_partitions(timestamptz, int) TO %I', role);
END $$;

-- Called at the end of each migration that makes tables: the module's role may use what is its own in its schema. The
-- tables of the data path have their grants from above: nobody updates or deletes the log or deletes a counter.
CREATE FUNCTION weir.grant_module(module text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE
    role text := 'weir_' || module;
    own text;
BEGIN
    FOR own IN
        SELECT c.relname FROM pg_class c
        WHERE c.relnamespace = module::regnamespace AND c.relkind IN ('r', 'p')
            AND c.relname NOT IN ('stream', 'event', 'idempotency', 'checkpoint', 'operation')
            AND NOT EXISTS (SELECT FROM pg_partition_tree(format('%I.event', module)::regclass) t WHERE t.relid = c.oid)
    LOOP
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I.%I TO %I', module, own, role);
    END LOOP;
    EXECUTE format('GRANT USAGE ON ALL SEQUENCES IN SCHEMA %I TO %I', module, role);
    EXECUTE format('GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA %I TO %I', module, role);
END $$;

REVOKE EXECUTE ON FUNCTION weir.make_event_month(text, text, date), weir.make_event_partitions(timestamptz, int),
    weir.create_module(text, text[]), weir.grant_module(text) FROM PUBLIC;

SELECT weir.create_module('trading', ARRAY['instrument', 'account']);
SELECT weir.create_module('household', ARRAY['household']);
SELECT weir.create_module('health', ARRAY['person']);
