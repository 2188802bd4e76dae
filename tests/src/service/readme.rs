//! The README's calls, pasted as they stand.

use std::process::Stdio;

use tokio::process::Command;

use crate::harness::{Program, load_demo, start};

/// What stands between ```` ```sh ```` fences.
fn blocks(text: &str) -> String {
    text.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

#[tokio::test]
async fn the_readmes_calls_do_what_it_says() {
    let (database, program) = start().await;
    load_demo(&database).await;
    // Once more, as the next `up` does.
    load_demo(&database).await;
    paste_the_readme(&program).await;
}

/// Pastes every call, and holds what comes back to what the README says.
pub async fn paste_the_readme(program: &Program) {
    let readme = std::fs::read_to_string("../README.md").unwrap();
    let pasted = Command::new("bash")
        .args(["-eu", "-o", "pipefail", "-c", &blocks(&readme)])
        .env("WEIR", &program.base)
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap();
    let (said, errors) = (String::from_utf8_lossy(&pasted.stdout), String::from_utf8_lossy(&pasted.stderr));
    assert!(pasted.status.success() && errors.is_empty(), "{said}\n{errors}");
    for outcome in [
        r#""status":"filled""#,              // the order
        r#""duplicate":true"#,               // the same again
        r#""asset":"AAPL","available":"5""#, // once
        r#""payee":"Greengrocer""#,          // the first edit
        r#"{"pointer":"/payee","base":"Grocer","yours":"Butcher","current":"Greengrocer"}"#, // the second
        r#""missing":[[2,2]]"#,              // the device is told
        r#""min":"61","max":"64","avg":"62.5""#, // its data come back
    ] {
        assert!(said.contains(outcome), "{outcome} is not in\n{said}");
    }
    assert!(!said.contains("/problems/internal"), "{said}");
}
