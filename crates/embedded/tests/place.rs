//! Who may use a folder of servers, and what becomes of servers whose program was killed.

use std::env;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};

use embedded::{Cluster, ClusterOptions, Error, Place};

type Outcome = Result<(), Box<dyn std::error::Error>>;

/// Tells a copy of this test program to start a cluster in that folder and to wait there.
const PLAY_STARTER: &str = "WEIR_TEST_PLAY_STARTER";

fn alone() -> ClusterOptions {
    ClusterOptions { standbys: 0, ..ClusterOptions::default() }
}

#[test]
fn a_second_program_in_the_same_place_is_refused_by_name() -> Outcome {
    let parent = Place::temporary("held")?;
    let place = Place::open(parent.folder(), "data")?;
    match Place::open(parent.folder(), "data") {
        Err(Error::Locked { holder, .. }) => assert!(holder.contains(&std::process::id().to_string())),
        other => panic!("expected the place to be locked, got {other:?}"),
    }
    drop(place);
    Place::open(parent.folder(), "data")?;
    Ok(())
}

#[test]
fn a_temporary_place_is_gone_afterwards() -> Outcome {
    let place = Place::temporary("gone")?;
    let folder = place.folder().to_path_buf();
    let cluster = Cluster::start(&place, &alone())?;
    drop(place);
    assert!(folder.is_dir(), "the cluster still holds it");
    drop(cluster);
    assert!(!folder.exists());
    Ok(())
}

#[test]
fn servers_end_with_a_program_that_is_killed_and_their_data_goes_on() -> Outcome {
    let parent = Place::temporary("orphan")?;
    let mut starter = Command::new(env::current_exe()?)
        .args(["--exact", "plays_the_starter", "--ignored", "--nocapture"])
        .env(PLAY_STARTER, parent.folder())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut lines = BufReader::new(starter.stdout.take().expect("it is piped")).lines();
    let port: u16 = loop {
        let line = lines.next().ok_or("the starter said nothing")??;
        if let Some(port) = line.strip_prefix("port ") {
            break port.parse()?;
        }
    };
    assert!(TcpStream::connect(("127.0.0.1", port)).is_ok());
    starter.kill()?;
    starter.wait()?;
    while TcpStream::connect(("127.0.0.1", port)).is_ok() {}

    let place = Place::open(parent.folder(), "data")?;
    let cluster = Cluster::start(&place, &alone())?;
    assert_eq!(cluster.primary().port(), port);
    assert_eq!(cluster.primary().psql("weir", "SELECT text FROM note")?, "kept");
    Ok(())
}

#[test]
#[ignore = "a part of servers_end_with_a_program_that_is_killed_and_their_data_goes_on"]
fn plays_the_starter() -> Outcome {
    let Some(folder) = env::var_os(PLAY_STARTER) else { return Ok(()) };
    let place = Place::open(Path::new(&folder), "data")?;
    let cluster = Cluster::start(&place, &alone())?;
    cluster.primary().psql("weir", "CREATE TABLE note(text text)")?;
    cluster.primary().psql("weir", "INSERT INTO note VALUES ('kept')")?;
    println!("\nport {}", cluster.primary().port());
    loop {
        std::thread::park();
    }
}

#[test]
fn clearing_a_place_keeps_nothing_but_its_lock_and_ports() -> Outcome {
    let parent = Place::temporary("clear")?;
    let place = Place::open(parent.folder(), "data")?;
    let cluster = Cluster::start(&place, &alone())?;
    cluster.stop()?;
    place.clear()?;
    let mut left: Vec<_> = fs::read_dir(place.folder())?
        .map(|entry| Ok(entry?.file_name().into_string().unwrap_or_default()))
        .collect::<std::io::Result<_>>()?;
    left.sort();
    assert_eq!(left, ["lock", "ports"]);
    Cluster::start(&place, &alone())?;
    Ok(())
}
