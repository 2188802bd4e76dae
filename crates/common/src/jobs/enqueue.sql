SET ROLE weir_jobs;

-- All that a module's role can do with the queue: add a job of its own, in the transaction that it is in. A kind is
-- named `module.name`, and the role that the session has set names the module.
CREATE OR REPLACE FUNCTION weir_jobs.enqueue(kind text, payload json, attempts_max int) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
    -- Not current_user, which is the definer here.
    IF current_setting('role') <> 'weir_' || split_part(kind, '.', 1) THEN
        RAISE EXCEPTION 'the role % may not enqueue %', current_setting('role'), kind
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    -- The kind is a flag too: a process takes only jobs of kinds that it has handlers for.
    PERFORM graphile_worker.add_job(
        identifier => 'weir', payload => json_build_object('kind', kind, 'payload', payload),
        max_attempts => attempts_max, flags => ARRAY[kind]);
END $$;

REVOKE EXECUTE ON FUNCTION weir_jobs.enqueue(text, json, int) FROM PUBLIC;
RESET ROLE;

-- Every module that there is. (Only the owner reads this table, so the roles are granted to by name.)
DO $$
DECLARE
    module text;
BEGIN
    FOR module IN SELECT DISTINCT m.module FROM weir.module_stream m LOOP
        EXECUTE format('GRANT USAGE ON SCHEMA weir_jobs TO %I', 'weir_' || module);
        EXECUTE format('GRANT EXECUTE ON FUNCTION weir_jobs.enqueue(text, json, int) TO %I', 'weir_' || module);
    END LOOP;
END $$;
