//! The private Redis: its password, its policy, and an outage in the middle.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;

use embedded::{Place, Redis};

type Outcome = Result<(), Box<dyn std::error::Error>>;

/// The answer's first line to each of these inline commands.
fn ask(url: &str, commands: &[&str]) -> Result<Vec<String>, Box<dyn std::error::Error>> {
    let address = url.split(['@', '/']).nth(3).ok_or("an address")?;
    let mut stream = TcpStream::connect(address)?;
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let mut answers = Vec::new();
    for command in commands {
        stream.write_all(format!("{command}\r\n").as_bytes())?;
        let mut answer = lines.next().ok_or("an answer")??;
        if answer.starts_with('*') {
            // A pair of bulk strings: the last of its four lines is the value.
            answer = lines.by_ref().take(4).last().ok_or("a value")??;
        } else if answer.starts_with('$') && answer != "$-1" {
            answer = lines.next().ok_or("a value")??;
        }
        answers.push(answer);
    }
    Ok(answers)
}

fn login(url: &str) -> String {
    format!("AUTH {}", url.trim_start_matches("redis://:").split('@').next().unwrap_or_default())
}

#[test]
fn it_asks_for_its_password_and_never_evicts() -> Outcome {
    let place = Place::temporary("redis")?;
    let redis = Redis::start(&place)?;
    let url = redis.url();
    let answers = ask(&url, &["PING", &login(&url), "CONFIG GET maxmemory-policy", "CONFIG GET bind"])?;
    assert!(answers[0].starts_with("-NOAUTH"), "{answers:?}");
    assert_eq!(answers[1..], ["+OK", "noeviction", "127.0.0.1"]);
    Ok(())
}

#[test]
fn after_an_outage_it_is_back_empty_at_the_same_address() -> Outcome {
    let place = Place::temporary("outage")?;
    let redis = Redis::start(&place)?;
    let url = redis.url();
    ask(&url, &[&login(&url), "SET a 1"])?;
    redis.pause()?;
    assert!(ask(&url, &["PING"]).is_err());
    redis.start_again()?;
    redis.kill()?;
    redis.start_again()?;
    assert_eq!(redis.url(), url);
    assert_eq!(ask(&url, &[&login(&url), "GET a"])?[1], "$-1");
    Ok(())
}
