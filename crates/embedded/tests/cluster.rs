//! Clusters that are killed, promoted, damaged and left over, and what the next start makes of them.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use embedded::{Cluster, ClusterOptions, Place, Process, Stop};

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn alone() -> ClusterOptions {
    ClusterOptions { standbys: 0, ..ClusterOptions::default() }
}

fn write_a_note(cluster: &Cluster, text: &str) -> Outcome {
    cluster.primary().psql("weir", "CREATE TABLE IF NOT EXISTS note(text text)")?;
    cluster.primary().psql("weir", &format!("INSERT INTO note VALUES ('{text}')"))?;
    Ok(())
}

fn notes(server: &embedded::Server) -> Result<String, embedded::Error> {
    server.psql("weir", "SELECT string_agg(text, ' ' ORDER BY text) FROM note")
}

/// Asks until the answer is yes, for a minute at most.
fn eventually(mut condition: impl FnMut() -> Result<bool, embedded::Error>) -> Outcome {
    let until = Instant::now() + Duration::from_secs(60);
    while !condition()? {
        if Instant::now() > until {
            return Err("the condition didn't come true within a minute".into());
        }
    }
    Ok(())
}

/// Waits on the standby until it has replayed all that the primary has written.
fn catch_up(cluster: &Cluster) -> Outcome {
    let lsn = cluster.primary().psql("postgres", "SELECT pg_current_wal_flush_lsn()")?;
    for standby in cluster.standbys() {
        let asked = format!("SELECT pg_last_wal_replay_lsn() >= '{lsn}'::pg_lsn");
        eventually(|| Ok(standby.psql("postgres", &asked)? == "t"))?;
    }
    Ok(())
}

#[test]
fn a_standby_streams_and_both_keep_their_data_over_a_restart() -> Outcome {
    let place = Place::temporary("restart")?;
    let cluster = Cluster::start(&place, &ClusterOptions::default())?;
    write_a_note(&cluster, "one")?;
    catch_up(&cluster)?;
    assert_eq!(notes(&cluster.standbys()[0])?, "one");
    let (writer, readers) = (cluster.writer_url("weir"), cluster.reader_urls("weir"));
    cluster.stop()?;

    let cluster = Cluster::start(&place, &ClusterOptions::default())?;
    assert_eq!(
        (cluster.writer_url("weir"), cluster.reader_urls("weir")),
        (writer, readers),
        "the addresses stay"
    );
    write_a_note(&cluster, "two")?;
    catch_up(&cluster)?;
    assert_eq!(notes(&cluster.standbys()[0])?, "one two");
    Ok(())
}

#[test]
fn the_settings_that_durability_and_the_design_rest_on_are_set() -> Outcome {
    let place = Place::temporary("settings")?;
    let options = ClusterOptions { settings: vec![("work_mem".into(), "7MB".into())], ..alone() };
    let cluster = Cluster::start(&place, &options)?;
    let names = [
        "fsync",
        "synchronous_commit",
        "wal_level",
        "listen_addresses",
        "unix_socket_directories",
        "work_mem",
    ];
    let shown: Vec<String> = names
        .iter()
        .map(|name| cluster.primary().psql("weir", &format!("SHOW {name}")))
        .collect::<Result<_, _>>()?;
    assert_eq!(shown, ["on", "on", "replica", "127.0.0.1", "", "7MB"]);
    assert_eq!(cluster.primary().psql("weir", "SELECT count(*) > 0 FROM pg_stat_statements")?, "t");
    let owner = "SELECT rolsuper, rolcreaterole FROM pg_roles WHERE rolname = 'weir'";
    assert_eq!(cluster.primary().psql("weir", owner)?, "f|t");
    Ok(())
}

#[test]
fn a_commit_waits_for_a_synchronous_standby() -> Outcome {
    let place = Place::temporary("synchronous")?;
    let options = ClusterOptions { standbys: 2, synchronous: 1, ..ClusterOptions::default() };
    let cluster = Cluster::start(&place, &options)?;
    let states =
        "SELECT string_agg(application_name || ' ' || sync_state, ', ' ORDER BY 1) FROM pg_stat_replication";
    while cluster.primary().psql("weir", states)? != "standby1 sync, standby2 async" {}
    cluster.standbys()[0].pause_replay()?;
    write_a_note(&cluster, "one")?;
    cluster.standbys()[0].resume_replay()?;
    catch_up(&cluster)?;
    assert_eq!(notes(&cluster.standbys()[1])?, "one");
    Ok(())
}

#[test]
fn a_paused_standby_shows_the_past_until_it_goes_on() -> Outcome {
    let place = Place::temporary("paused")?;
    let cluster = Cluster::start(&place, &ClusterOptions::default())?;
    write_a_note(&cluster, "one")?;
    catch_up(&cluster)?;
    let standby = &cluster.standbys()[0];
    standby.pause_replay()?;
    write_a_note(&cluster, "two")?;
    assert_eq!(notes(standby)?, "one");
    standby.resume_replay()?;
    catch_up(&cluster)?;
    assert_eq!(notes(standby)?, "one two");
    Ok(())
}

#[test]
fn a_killed_server_recovers_what_was_committed() -> Outcome {
    let place = Place::temporary("killed")?;
    let cluster = Cluster::start(&place, &ClusterOptions::default())?;
    write_a_note(&cluster, "one")?;
    cluster.primary().kill()?;
    assert!(!cluster.primary().is_running()?);
    cluster.primary().start()?;
    write_a_note(&cluster, "two")?;
    cluster.standbys()[0].kill()?;
    write_a_note(&cluster, "three")?;
    cluster.standbys()[0].start()?;
    catch_up(&cluster)?;
    assert_eq!(notes(&cluster.standbys()[0])?, "one three two");
    Ok(())
}

#[test]
fn a_standby_that_was_promoted_or_damaged_is_made_again() -> Outcome {
    let place = Place::temporary("again")?;
    let cluster = Cluster::start(&place, &ClusterOptions::default())?;
    cluster.standbys()[0].promote()?;
    cluster.standbys()[0].psql("weir", "CREATE TABLE astray()")?;
    write_a_note(&cluster, "one")?;
    cluster.stop()?;

    let cluster = Cluster::start(&place, &ClusterOptions::default())?;
    catch_up(&cluster)?;
    assert_eq!(notes(&cluster.standbys()[0])?, "one");
    let control = cluster.standbys()[0].data().join("global/pg_control");
    cluster.stop()?;
    fs::write(control, "nonsense")?;

    let cluster = Cluster::start(&place, &ClusterOptions::default())?;
    catch_up(&cluster)?;
    assert_eq!(notes(&cluster.standbys()[0])?, "one");
    Ok(())
}

#[test]
fn a_promoted_standby_has_what_was_acknowledged_and_the_others_follow_it() -> Outcome {
    let place = Place::temporary("promoted")?;
    let options = ClusterOptions { standbys: 2, synchronous: 1, ..ClusterOptions::default() };
    let mut cluster = Cluster::start(&place, &options)?;
    write_a_note(&cluster, "one")?;
    for (n, note) in ["two", "three"].into_iter().enumerate() {
        let before = cluster.primary().name().to_owned();
        cluster.fail_over()?;
        assert_ne!(cluster.primary().name(), before);
        cluster.heal()?;
        write_a_note(&cluster, note)?;
        catch_up(&cluster)?;
        let wanted = ["one two", "one three two"][n];
        assert_eq!(notes(cluster.primary())?, wanted);
        assert_eq!(cluster.standbys().len(), 2);
        for standby in cluster.standbys() {
            assert_eq!(notes(standby)?, wanted, "{}", standby.name());
        }
        let waited = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'";
        assert_eq!(cluster.primary().psql("postgres", waited)?, "1");
    }
    Ok(())
}

#[test]
fn what_an_interrupted_start_left_half_made_is_made_again() -> Outcome {
    let place = Place::temporary("halfway")?;
    let folder = place.folder().join("postgres");
    fs::create_dir_all(folder.join("primary.unfinished/base"))?;
    fs::create_dir_all(folder.join("standby1.unfinished"))?;
    let cluster = Cluster::start(&place, &ClusterOptions::default())?;
    write_a_note(&cluster, "one")?;
    catch_up(&cluster)?;
    assert_eq!(notes(&cluster.standbys()[0])?, "one");
    Ok(())
}

#[test]
fn a_server_left_running_in_the_same_data_is_stopped_and_its_data_goes_on() -> Outcome {
    let place = Place::temporary("leftover")?;
    let cluster = Cluster::start(&place, &alone())?;
    write_a_note(&cluster, "one")?;
    let (data, postgres) = (cluster.primary().data(), cluster.programs().join("postgres"));
    cluster.stop()?;
    let mut command = Command::new(postgres);
    command.arg("-D").arg(&data).current_dir(&data).stderr(Stdio::null());
    // Noted in another folder, so that only PostgreSQL's own lock file leads to it.
    let elsewhere = Place::temporary("elsewhere")?;
    let mut leftover = Process::spawn(command, place.account(), elsewhere.folder(), "leftover", Stop::Fast)?;
    eventually(|| Ok(fs::read_to_string(data.join("postmaster.pid")).unwrap_or_default().contains("ready")))?;

    let cluster = Cluster::start(&place, &alone())?;
    assert!(leftover.exited()?.is_some(), "the leftover server was stopped");
    assert_eq!(notes(cluster.primary())?, "one");
    Ok(())
}

#[test]
fn a_lock_file_that_names_a_strangers_process_does_not_stop_the_start() -> Outcome {
    let place = Place::temporary("stranger")?;
    let cluster = Cluster::start(&place, &alone())?;
    let data = cluster.primary().data();
    let lock = data.join("postmaster.pid");
    let written = fs::read_to_string(&lock)?;
    cluster.stop()?;
    let mut stranger = as_account(&place, Command::new("sleep").arg("600"))?;
    let pid = cluster_pid(&written);
    fs::write(&lock, written.replacen(pid, &stranger.id().to_string(), 1))?;

    let started = Cluster::start(&place, &alone());
    assert!(stranger.try_wait()?.is_none(), "the stranger lives");
    stranger.kill()?;
    stranger.wait()?;
    started?;
    Ok(())
}

fn cluster_pid(lock: &str) -> &str {
    lock.lines().next().unwrap_or_default()
}

/// A process of the servers' user that is none of ours.
fn as_account(place: &Place, command: &mut Command) -> std::io::Result<Child> {
    use std::os::unix::fs::MetadataExt;
    use std::os::unix::process::CommandExt;
    let owner = fs::metadata(place.folder().join("postgres"))?;
    command.uid(owner.uid()).gid(owner.gid()).current_dir("/").spawn()
}

#[test]
fn two_clusters_run_beside_one_another_on_ports_of_their_own() -> Outcome {
    let (one, two) = (Place::temporary("one")?, Place::temporary("two")?);
    let (first, second) = (Cluster::start(&one, &alone())?, Cluster::start(&two, &alone())?);
    assert_ne!(first.primary().port(), second.primary().port());
    write_a_note(&first, "first")?;
    write_a_note(&second, "second")?;
    assert_eq!((notes(first.primary())?, notes(second.primary())?), ("first".into(), "second".into()));
    Ok(())
}

#[test]
fn a_remembered_port_that_was_taken_meanwhile_is_replaced() -> Outcome {
    let place = Place::temporary("port")?;
    let cluster = Cluster::start(&place, &alone())?;
    let port = cluster.primary().port();
    cluster.stop()?;
    let _stranger = std::net::TcpListener::bind(("127.0.0.1", port))?;
    let cluster = Cluster::start(&place, &alone())?;
    assert_ne!(cluster.primary().port(), port);
    Ok(())
}

#[test]
fn a_wrong_password_is_refused_and_the_data_is_closed_to_others() -> Outcome {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::temporary("closed")?;
    let cluster = Cluster::start(&place, &alone())?;
    let answer = Command::new(cluster.programs().join("psql"))
        .args(["-X", "-w", "-c", "SELECT 1", "-d", &cluster.writer_url("weir")])
        .env("PGPASSWORD", "guess")
        .output()?;
    assert!(answer.status.success(), "the URL's own password opens");
    let guessed = cluster.writer_url("weir").replacen("weir:", "weir:x", 1);
    let answer = Command::new(cluster.programs().join("psql"))
        .args(["-X", "-w", "-c", "SELECT 1", "-d", &guessed])
        .output()?;
    assert!(String::from_utf8_lossy(&answer.stderr).contains("password authentication failed"));
    let mode = |path: &Path| fs::metadata(path).map(|found| found.permissions().mode() & 0o777);
    assert_eq!(mode(&place.folder().join("postgres"))?, 0o700);
    assert_eq!(mode(&place.folder().join("postgres/owner.password"))?, 0o600);
    Ok(())
}
