//! Arrows point down: apps, modules, api, common. Derived from cargo's own view of the workspace; no crate is listed.

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::Value;

/// A member's folder, and the members that it depends on.
fn members() -> BTreeMap<String, (String, Vec<String>)> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version=1", "--no-deps", "--offline"])
        .output()
        .unwrap();
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let root = metadata["workspace_root"].as_str().unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let member = |package: &Value| {
        let manifest = text(&package["manifest_path"]);
        let folder = manifest.strip_prefix(root).unwrap().trim_start_matches('/').replace("/Cargo.toml", "");
        let depends = package["dependencies"].as_array().unwrap().iter();
        let on = depends
            .filter(|d| d["path"].is_string() && d["kind"].is_null())
            .map(|d| text(&d["name"]))
            .collect();
        (text(&package["name"]), (folder, on))
    };
    metadata["packages"].as_array().unwrap().iter().map(member).collect()
}

#[test]
fn arrows_point_down_and_modules_know_nothing_of_one_another() {
    let members = members();
    // A module has a schema: its migration says so.
    let files = std::fs::read_dir("../migrations").unwrap().map(|file| file.unwrap().path());
    let migrations: String = files.map(|file| std::fs::read_to_string(file).unwrap()).collect();
    let is_module = |name: &str| migrations.contains(&format!("weir.create_module('{name}'"));
    assert!(members.keys().any(|name| is_module(name)));
    for (name, (folder, depends_on)) in &members {
        for other in depends_on {
            let (other_folder, _) = &members[other];
            let down = match folder.as_str() {
                "crates/common" | "crates/embedded" => false,
                "crates/api" => other == "common",
                _ if is_module(name) => other == "common" || other == "api",
                apps if apps.starts_with("apps/") => true,
                _ => false,
            };
            assert!(down, "{name} must not depend on {other}");
            assert!(other_folder.starts_with("crates/"), "{name} depends on the program {other}");
        }
    }
}

#[test]
fn common_knows_no_domain_noun() {
    let nouns = ["instrument", "household", "heart_rate", "order_book", "expense", "patient"];
    for file in rust_files(std::path::Path::new("../crates/common/src")) {
        let text = std::fs::read_to_string(&file).unwrap().to_lowercase();
        let code: String = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
        for noun in nouns {
            assert!(!code.contains(noun), "{} speaks of {noun}", file.display());
        }
    }
}

fn rust_files(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|e| e == "rs") {
            files.push(path);
        }
    }
    files
}
