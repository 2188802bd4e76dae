//! Decisions over all layers, on a clock that the test holds.

use std::time::Duration;

use super::*;

const SECOND: u64 = 1_000_000_000;

const POLICIES: &str = r#"
    known_proxies = ["10.0.0.0/8"]

    [[policy]]
    name = "caller"
    layer = "user"
    by = "subject"
    quantity = 60
    window_s = 60
    burst = 10
    costs = { write = 2, bulk = 5, sign_in = 0 }
    plans.gold = { quantity = 600, burst = 20 }
    overrides.anna = { quantity = 6000, burst = 100 }

    [[policy]]
    name = "address"
    layer = "user"
    by = "address"
    quantity = 6
    window_s = 60
    burst = 3

    [[policy]]
    name = "database"
    layer = "resource"
    quantity = 100
    window_s = 1
    burst = 15
    concurrent = 8
    overrides.reports = { quantity = 1, window_s = 1, burst = 5 }
"#;

fn limits() -> Limits {
    Limits::with_capacity(POLICIES, 1_024).unwrap()
}

fn by<'a>(subject: &'a str, plan: &'a str, class: Class) -> Request<'a> {
    Request { who: Who::Subject { subject, plan }, class, units: 1, resource: None }
}

fn remaining(decision: &Decision) -> u32 {
    decision.quotas[0].remaining()
}

#[test]
fn a_caller_is_refused_when_its_quota_is_used_and_others_are_not() {
    let limits = limits();
    for left in (0..10).rev() {
        let decision = limits.check_at(&by("bert", "standard", Class::Read), 0);
        assert!(decision.outcome.is_ok());
        assert_eq!(remaining(&decision), left);
    }
    let decision = limits.check_at(&by("bert", "standard", Class::Read), 0);
    let refusal = decision.outcome.unwrap_err();
    assert_eq!((&*refusal.policy, refusal.layer), ("caller", Layer::User));
    assert!(refusal.retry_after >= Duration::from_secs(1));
    assert!(refusal.retry_after <= Duration::from_millis(1_250));
    let quota = &decision.quotas[0];
    assert_eq!((quota.policy(), quota.quantity(), quota.window_s()), ("caller", 60, 60));
    assert_eq!((quota.remaining(), quota.reset_s()), (0, 10));
    assert!(limits.check_at(&by("carl", "standard", Class::Read), 0).outcome.is_ok());
    assert!(limits.check_at(&by("bert", "standard", Class::Read), SECOND).outcome.is_ok());
}

#[test]
fn classes_plans_and_overrides_have_their_price_and_quota() {
    let limits = limits();
    assert_eq!(remaining(&limits.check_at(&by("bert", "standard", Class::Write), 0)), 8);
    assert_eq!(remaining(&limits.check_at(&by("bert", "standard", Class::Bulk), 0)), 3);
    assert!(limits.check_at(&by("bert", "standard", Class::SignIn), 0).quotas.is_empty());
    assert_eq!(remaining(&limits.check_at(&by("dora", "gold", Class::Read), 0)), 19);
    assert_eq!(remaining(&limits.check_at(&by("anna", "gold", Class::Read), 0)), 99);
    let batch = Request { units: 30, ..by("anna", "gold", Class::Write) };
    assert_eq!(remaining(&limits.check_at(&batch, 0)), 39);
}

#[test]
fn clients_without_a_token_count_by_address() {
    let limits = limits();
    let peer = "10.0.0.9".parse().unwrap();
    let address = |header: &'static str| limits.client_address(peer, [header].into_iter());
    let ask = |address: IpAddr| {
        let request = Request { who: Who::Address(address), class: Class::SignIn, units: 1, resource: None };
        limits.check_at(&request, 0).outcome.is_ok()
    };
    // What the client writes on the left gives it no new quota.
    assert!(ask(address("1.1.1.1, 198.51.100.1")));
    assert!(ask(address("2.2.2.2, 198.51.100.1")));
    assert!(ask(address("3.3.3.3, 198.51.100.1")));
    assert!(!ask(address("4.4.4.4, 198.51.100.1")));
    assert!(ask(address("198.51.100.2")));
}

#[test]
fn a_refusal_by_the_resource_gives_the_callers_quota_back() {
    let limits = limits();
    let request = Request { resource: Some("reports"), ..by("anna", "gold", Class::Read) };
    for left in (95..100).rev() {
        let decision = limits.check_at(&request, 0);
        assert!(decision.outcome.is_ok());
        assert_eq!(remaining(&decision), left);
    }
    for _ in 0..50 {
        let decision = limits.check_at(&request, 0);
        assert_eq!(decision.quotas.len(), 1, "a resource's bucket is no quota of the caller's");
        assert_eq!(remaining(&decision), 95);
        let refusal = decision.outcome.unwrap_err();
        assert_eq!((&*refusal.policy, refusal.layer), ("database", Layer::Resource));
    }
}

#[test]
fn concurrent_permits_are_held_until_they_are_dropped() {
    let limits = limits();
    let request = Request { resource: Some("trades"), ..by("anna", "gold", Class::Read) };
    let held: Vec<Permit> = (0..8).map(|_| limits.check_at(&request, 0).outcome.unwrap()).collect();
    let decision = limits.check_at(&request, 0);
    assert_eq!(remaining(&decision), 92, "refunded");
    let refusal = decision.outcome.unwrap_err();
    assert_eq!(refusal.layer, Layer::Resource);
    assert!(refusal.retry_after >= Duration::from_secs(1));
    drop(held);
    assert!(limits.check_at(&request, 0).outcome.is_ok());
    // The refused one has cost the resource's own bucket nothing either: 9 of 15 are used.
    for _ in 0..6 {
        assert!(limits.check_at(&request, 0).outcome.is_ok());
    }
    assert!(limits.check_at(&request, 0).outcome.is_err());
}

#[test]
fn a_reload_takes_effect_at_once_and_keeps_what_was_used() {
    let limits = limits();
    for _ in 0..10 {
        assert!(limits.check_at(&by("bert", "standard", Class::Read), 0).outcome.is_ok());
    }
    let doubled = POLICIES.replace("burst = 10\n", "burst = 12\n");
    limits.reload(&doubled).unwrap();
    assert_eq!(remaining(&limits.check_at(&by("bert", "standard", Class::Read), 0)), 1);

    let errors = limits.reload(&doubled.replace("quantity = 60\n", "quantity = 0\n")).unwrap_err();
    assert_eq!(errors.mistakes().len(), 1);
    assert_eq!(
        remaining(&limits.check_at(&by("bert", "standard", Class::Read), 0)),
        0,
        "still the last good"
    );

    let renamed = POLICIES.replace("name = \"caller\"", "name = \"customer\"");
    limits.reload(&renamed).unwrap();
    assert_eq!(remaining(&limits.check_at(&by("bert", "standard", Class::Read), 0)), 9, "a new policy");
}

#[test]
fn reloads_while_callers_are_busy_never_admit_more_than_one_burst() {
    let limits = limits();
    let admitted: usize = std::thread::scope(|scope| {
        let callers: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    (0..2_000)
                        .filter(|_| limits.check_at(&by("bert", "standard", Class::Read), 0).outcome.is_ok())
                        .count()
                })
            })
            .collect();
        for _ in 0..50 {
            limits.reload(POLICIES).unwrap();
        }
        callers.into_iter().map(|caller| caller.join().unwrap()).sum()
    });
    assert_eq!(admitted, 10);
}
