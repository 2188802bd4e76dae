-- Tickets for event streams: a table of one shape per module, as those of the data path. Only a hash of the secret is kept.
CREATE FUNCTION weir.create_ticket(module text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    EXECUTE format($ddl$
        CREATE TABLE %1$I.ticket (
            secret_hash   bytea PRIMARY KEY,
            -- What it opens.
            about         uuid NOT NULL,
            subject       text NOT NULL,
            -- The end of the token that it was made with.
            token_ends_at timestamptz,
            opens_until   timestamptz NOT NULL
        ) WITH (fillfactor = 70);
        CREATE INDEX ON %1$I.ticket (subject, opens_until);
        CREATE INDEX ON %1$I.ticket (opens_until);
    $ddl$, module);
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I.ticket TO %I', module, 'weir_' || module);
END $$;
REVOKE EXECUTE ON FUNCTION weir.create_ticket(text) FROM PUBLIC;

SELECT weir.create_ticket('trading');
SELECT weir.create_ticket('household');
SELECT weir.create_ticket('health');

-- An import whose operation was cancelled says so. A file is kept until it was read: what follows needs its rows alone.
ALTER TABLE household.import DROP CONSTRAINT import_state_check;
ALTER TABLE household.import ADD CONSTRAINT import_state_check
    CHECK (state IN ('reading', 'ready', 'committed', 'reverted', 'failed', 'cancelled'));
ALTER TABLE household.import ALTER COLUMN file DROP NOT NULL;
UPDATE household.import SET file = NULL WHERE state <> 'reading';
