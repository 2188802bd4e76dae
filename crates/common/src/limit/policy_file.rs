//! Reads the policy file (TOML) and reports all of its mistakes at once, each with its place.

use std::collections::{HashMap, HashSet};
use std::fmt;

use toml::{Table, Value};

use super::policy::{Class, Counters, Key, Policy, PolicySet};
use super::token_bucket::TokenBucket;

/// Each request looks at every policy of its key, so there are few.
const POLICIES_MAX: usize = 32;
/// Overrides stand in memory, and a file of more is better kept as plans.
const OVERRIDES_MAX: usize = 10_000;
/// A name goes into a header with every answer.
const NAME_LENGTH_MAX: usize = 64;

/// What is wrong with a policy file: all of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct PolicyErrors(Vec<Mistake>);

/// One mistake and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Such as `policy "caller".plans.free.quantity`.
    pub place: String,
    /// What is wrong there.
    pub problem: String,
}

impl PolicyErrors {
    /// Every mistake, in the order of the file.
    pub fn mistakes(&self) -> &[Mistake] {
        &self.0
    }
}

impl fmt::Display for PolicyErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the policy file has {} mistake(s)", self.0.len())?;
        for mistake in &self.0 {
            write!(f, "\n  {}: {}", mistake.place, mistake.problem)?;
        }
        Ok(())
    }
}

impl PolicySet {
    /// Reads a whole file.
    pub fn parse(text: &str) -> Result<Self, PolicyErrors> {
        let mut mistakes = Mistakes::default();
        let set = match text.parse::<Table>() {
            Ok(table) => read_file(table, &mut mistakes),
            Err(error) => {
                mistakes.add("file", error.to_string().trim());
                None
            }
        };
        match set {
            Some(set) if mistakes.0.is_empty() => Ok(set),
            _ => Err(PolicyErrors(mistakes.0)),
        }
    }
}

fn read_file(table: Table, mistakes: &mut Mistakes) -> Option<PolicySet> {
    let mut file = Section { place: String::new(), table };
    let mut known_proxies = Vec::new();
    for text in file.take_list("known_proxies", mistakes) {
        match text.as_str().unwrap_or_default().parse() {
            Ok(range) => known_proxies.push(range),
            Err(_) => mistakes.add("known_proxies", format!("{text} is not a range such as \"10.0.0.0/8\"")),
        }
    }
    let sections = file.take_list("policy", mistakes);
    file.nothing_else(mistakes);
    if sections.len() > POLICIES_MAX {
        mistakes.add("policy", format!("there are more than {POLICIES_MAX} policies"));
    }
    let mut policies = Vec::new();
    let mut names = HashSet::new();
    for (index, section) in sections.into_iter().enumerate() {
        let Value::Table(table) = section else {
            mistakes.add("policy", "each policy is a table: [[policy]]");
            continue;
        };
        let name = table.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
        let place =
            if name.is_empty() { format!("policy {}", index + 1) } else { format!("policy {name:?}") };
        if !names.insert(name) {
            mistakes.add(&place, "an earlier policy has this name");
        }
        policies.extend(read_policy(Section { place, table }, mistakes));
    }
    // A file that limits nobody is a mistake, not a choice: it is how a limit is lost unseen.
    let readable = mistakes.0.is_empty();
    for (key, who) in [(Key::Subject, "callers with a token"), (Key::Address, "callers without a token")] {
        if readable && !policies.iter().any(|policy: &Policy| policy.key == key) {
            mistakes.add("policy", format!("none counts by {}, so {who} would have no limit", key_name(key)));
        }
    }
    Some(PolicySet { policies, known_proxies })
}

fn read_policy(mut section: Section, mistakes: &mut Mistakes) -> Option<Policy> {
    let name = section.take_text("name", mistakes).unwrap_or_default();
    if !is_name(&name) {
        let problem = format!("is 1 to {NAME_LENGTH_MAX} of the characters a-z, 0-9 and -");
        mistakes.add(&section.at("name"), problem);
    }
    let layer = section.take_text("layer", mistakes);
    let by = section.take_text("by", mistakes);
    let key = match (layer.as_deref(), by.as_deref()) {
        (Some("user"), Some("subject")) => Some(Key::Subject),
        (Some("user"), Some("address")) => Some(Key::Address),
        (Some("resource"), None) => Some(Key::Resource),
        (Some("resource"), Some(_)) => {
            mistakes.add(&section.at("by"), "is for the user layer; a resource counts by its own name");
            None
        }
        (Some("user"), _) => {
            mistakes.add(&section.at("by"), "is \"subject\" or \"address\"");
            None
        }
        _ => {
            mistakes.add(&section.at("layer"), "is \"user\" or \"resource\"");
            None
        }
    };

    let concurrent = section.take_number("concurrent", mistakes);
    if concurrent.is_some() && key.is_some_and(|key| key != Key::Resource) {
        mistakes.add(&section.at("concurrent"), "is for the resource layer");
    }
    let rate = Rate::take(&mut section, mistakes);
    let bucket = rate.bucket(&section.place, concurrent.is_some(), mistakes);
    let plans = read_variants(&mut section, "plans", rate, mistakes);
    if !plans.is_empty() && key == Some(Key::Resource) {
        mistakes.add(&section.at("plans"), "is for the user layer");
    }
    let overrides = read_variants(&mut section, "overrides", rate, mistakes);

    let burst_min = plans.values().chain(overrides.values()).chain(&bucket).map(TokenBucket::burst).min();
    let costs = read_costs(&mut section, burst_min, mistakes);
    section.nothing_else(mistakes);
    let counters = Counters::of(&name);
    Some(Policy { name: name.into(), key: key?, bucket, plans, overrides, costs, concurrent, counters })
}

/// What one class costs is 1 unless the file says otherwise. 0 is free.
fn read_costs(
    section: &mut Section,
    burst_min: Option<u32>,
    mistakes: &mut Mistakes,
) -> [u32; Class::ALL.len()] {
    let mut costs = [1; Class::ALL.len()];
    let Some(mut given) = section.take_section("costs", mistakes) else { return costs };
    for class in Class::ALL {
        let Some(cost) = given.take_number_from(0, class.name(), mistakes) else { continue };
        if burst_min.is_some_and(|burst| cost > burst) {
            mistakes.add(&given.at(class.name()), "is more than the smallest burst, so it could never pass");
        }
        costs[class as usize] = cost;
    }
    given.nothing_else(mistakes);
    costs
}

fn read_variants(
    section: &mut Section,
    name: &str,
    base: Rate,
    mistakes: &mut Mistakes,
) -> HashMap<String, TokenBucket> {
    let mut variants = HashMap::new();
    let Some(given) = section.take_section(name, mistakes) else { return variants };
    if given.table.len() > OVERRIDES_MAX {
        mistakes.add(&given.place, format!("has more than {OVERRIDES_MAX} entries"));
    }
    for (variant, value) in given.table {
        let place = format!("{}.{variant}", given.place);
        let Value::Table(table) = value else {
            mistakes.add(&place, "is a table such as { quantity = 10, burst = 5 }");
            continue;
        };
        let mut entry = Section { place, table };
        let rate = Rate::take(&mut entry, mistakes).or(base);
        entry.nothing_else(mistakes);
        if let Some(bucket) = rate.bucket(&entry.place, false, mistakes) {
            variants.insert(variant, bucket);
        }
    }
    variants
}

/// The three numbers of a rate as far as they are given.
#[derive(Clone, Copy)]
struct Rate {
    quantity: Option<u32>,
    window_s: Option<u32>,
    burst: Option<u32>,
}

impl Rate {
    fn take(section: &mut Section, mistakes: &mut Mistakes) -> Self {
        Self {
            quantity: section.take_number("quantity", mistakes),
            window_s: section.take_number("window_s", mistakes),
            burst: section.take_number("burst", mistakes),
        }
    }

    /// What isn't given here is as in `base`. A burst of the base's doesn't outlive another quantity.
    fn or(self, base: Rate) -> Self {
        Self {
            quantity: self.quantity.or(base.quantity),
            window_s: self.window_s.or(base.window_s),
            burst: self.burst.or(if self.quantity.is_some() { None } else { base.burst }),
        }
    }

    fn bucket(self, place: &str, may_be_absent: bool, mistakes: &mut Mistakes) -> Option<TokenBucket> {
        let (quantity, window_s) = match (self.quantity, self.window_s) {
            (Some(quantity), Some(window_s)) => (quantity, window_s),
            (None, None) if may_be_absent && self.burst.is_none() => return None,
            (None, _) => return mistakes.missing(&format!("{place}.quantity")),
            (_, None) => return mistakes.missing(&format!("{place}.window_s")),
        };
        TokenBucket::new(quantity, window_s, self.burst.unwrap_or(quantity))
            .map_err(|error| mistakes.add(place, error.to_string()))
            .ok()
    }
}

#[derive(Default)]
struct Mistakes(Vec<Mistake>);

impl Mistakes {
    fn add(&mut self, place: &str, problem: impl Into<String>) {
        self.0.push(Mistake { place: place.to_owned(), problem: problem.into() });
    }

    /// A field that is there but wrong has been reported already.
    fn missing<T>(&mut self, place: &str) -> Option<T> {
        if !self.0.iter().any(|mistake| mistake.place == place) {
            self.add(place, "is missing");
        }
        None
    }
}

/// A table of the file that is taken apart; what is left over at the end is a misspelling.
struct Section {
    place: String,
    table: Table,
}

impl Section {
    fn at(&self, field: &str) -> String {
        if self.place.is_empty() { field.to_owned() } else { format!("{}.{field}", self.place) }
    }

    fn take_text(&mut self, field: &str, mistakes: &mut Mistakes) -> Option<String> {
        match self.table.remove(field)? {
            Value::String(text) => Some(text),
            _ => {
                mistakes.add(&self.at(field), "is a text");
                None
            }
        }
    }

    fn take_number(&mut self, field: &str, mistakes: &mut Mistakes) -> Option<u32> {
        self.take_number_from(1, field, mistakes)
    }

    fn take_number_from(&mut self, least: u32, field: &str, mistakes: &mut Mistakes) -> Option<u32> {
        let value = self.table.remove(field)?;
        let number = value.as_integer().and_then(|number| u32::try_from(number).ok());
        let number = number.filter(|&number| number >= least);
        if number.is_none() {
            let problem = format!("is a whole number from {least} to {}, not {value}", u32::MAX);
            mistakes.add(&self.at(field), problem);
        }
        number
    }

    fn take_list(&mut self, field: &str, mistakes: &mut Mistakes) -> Vec<Value> {
        match self.table.remove(field) {
            None => Vec::new(),
            Some(Value::Array(items)) => items,
            Some(_) => {
                mistakes.add(&self.at(field), "is a list");
                Vec::new()
            }
        }
    }

    fn take_section(&mut self, field: &str, mistakes: &mut Mistakes) -> Option<Section> {
        let place = self.at(field);
        match self.table.remove(field)? {
            Value::Table(table) => Some(Section { place, table }),
            _ => {
                mistakes.add(&place, "is a table");
                None
            }
        }
    }

    fn nothing_else(&self, mistakes: &mut Mistakes) {
        for field in self.table.keys() {
            mistakes.add(&self.at(field), "is not known here");
        }
    }
}

fn key_name(key: Key) -> &'static str {
    match key {
        Key::Subject => "subject",
        Key::Address => "address",
        Key::Resource => "resource",
    }
}

fn is_name(text: &str) -> bool {
    (1..=NAME_LENGTH_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: &str = r#"
        [[policy]]
        name = "caller"
        layer = "user"
        by = "subject"
        quantity = 600
        window_s = 60
        burst = 100

        [[policy]]
        name = "address"
        layer = "user"
        by = "address"
        quantity = 60
        window_s = 60
    "#;

    fn mistakes(text: &str) -> Vec<String> {
        let errors = PolicySet::parse(text).unwrap_err();
        errors.mistakes().iter().map(|mistake| format!("{}: {}", mistake.place, mistake.problem)).collect()
    }

    #[test]
    fn plans_and_overrides_take_what_they_leave_out_from_the_policy() {
        let set = PolicySet::parse(&format!(
            r#"{LEAST}
            plans.free = {{ quantity = 30 }}
            plans.bursty = {{ burst = 9 }}
            overrides."203.0.113.0" = {{ quantity = 1, window_s = 3600, burst = 2 }}
            "#
        ))
        .unwrap();
        let policy = &set.policies[1];
        let rate = |key: &str, plan: &str| {
            let bucket = policy.bucket_of(key, plan).unwrap();
            (bucket.quantity(), bucket.window_s(), bucket.burst())
        };
        assert_eq!(rate("x", "standard"), (60, 60, 60));
        assert_eq!(rate("x", "free"), (30, 60, 30));
        assert_eq!(rate("x", "bursty"), (60, 60, 9));
        assert_eq!(rate("203.0.113.0", "free"), (1, 3600, 2));
    }

    #[test]
    fn every_mistake_is_reported_at_once_with_its_place() {
        let found = mistakes(
            r#"
            known_proxies = ["10.0.0.0/8", "10.0.0.0/40"]
            shadow = true

            [[policy]]
            name = "Caller"
            layer = "user"
            by = "subject"
            quantity = 0
            window_s = 60

            [[policy]]
            name = "database"
            layer = "resource"
            by = "subject"
            concurrent = 5
            brust = 7

            [[policy]]
            name = "database"
            layer = "user"
            quantity = 10
            window_s = 1
            burst = 5
            costs = { read = 1, write = 6, wirte = 2 }
            plans.free = { quantity = -1 }
            "#,
        );
        let starts = [
            "known_proxies: ",
            "shadow: is not known here",
            r#"policy "Caller".name: is 1 to 64"#,
            r#"policy "Caller".quantity: is a whole number from 1 "#,
            r#"policy "database".by: is for the user layer"#,
            r#"policy "database".brust: is not known here"#,
            r#"policy "database": an earlier policy has this name"#,
            r#"policy "database".by: is "subject" or "address""#,
            r#"policy "database".plans.free.quantity: is a whole number"#,
            r#"policy "database".costs.write: is more than the smallest burst"#,
            r#"policy "database".costs.wirte: is not known here"#,
        ];
        assert_eq!(found.len(), starts.len(), "{found:#?}");
        for (mistake, start) in found.iter().zip(starts) {
            assert!(mistake.starts_with(start), "{mistake} / {start}");
        }
    }

    #[test]
    fn a_file_that_limits_nobody_is_a_mistake() {
        assert_eq!(mistakes("").len(), 2);
        assert!(mistakes("[[policy").len() == 1);
    }
}
