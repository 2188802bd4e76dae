-- The queue's role. It owns the queue's tables, whose row-level security lets nobody else in, so that neither a module
-- nor the login reads or changes another module's jobs. Roles belong to the whole cluster: another database may have
-- made it, or be making it at this moment.
DO $$
BEGIN
    CREATE ROLE weir_jobs NOLOGIN;
EXCEPTION WHEN duplicate_object OR unique_violation THEN
    NULL;
END $$;

-- An owner who is no superuser must be a member to act as the role below.
DO $$
BEGIN
    IF NOT pg_has_role(current_user, 'weir_jobs', 'MEMBER') THEN
        EXECUTE format('GRANT weir_jobs TO %I', current_user);
    END IF;
EXCEPTION WHEN unique_violation OR SQLSTATE 'XX000' THEN
    NULL;
END $$;

CREATE SCHEMA IF NOT EXISTS graphile_worker AUTHORIZATION weir_jobs;
CREATE SCHEMA IF NOT EXISTS weir_jobs AUTHORIZATION weir_jobs;

-- As graphile_worker makes it. It is there beforehand, because making a schema (which it would try as well) is a right
-- on the whole database that the role doesn't get.
SET ROLE weir_jobs;
CREATE TABLE IF NOT EXISTS graphile_worker.migrations (
    id int PRIMARY KEY,
    ts timestamptz NOT NULL DEFAULT now(),
    breaking boolean NOT NULL DEFAULT false
);
RESET ROLE;
