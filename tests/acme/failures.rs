//! What an authority can answer instead of a certificate: each is named, waited for as it should be, and got over.

use std::time::Duration;

use ward_policy::audit::Role;
use ward_tests::authority::{Authority, Scripted};
use ward_tests::servers::{Running, listen_once};

use crate::{alone, habits, is_trusted, nowhere, started, until};

fn refusal(path: &'static str, status: u16, problem: &'static str, headers: &str) -> Scripted {
    Scripted { path, status, problem, headers: headers.to_owned() }
}

/// A media server whose authority answers `script` first.
fn started_with(script: Vec<Scripted>) -> (Running, Authority) {
    let listeners = listen_once();
    let authority = Authority::start(habits(&listeners));
    authority.script(script);
    let server = Running::certified(Role::Media, listeners, authority.vendors(""), nowhere());
    (server, authority)
}

#[test]
fn a_nonce_that_is_not_taken_is_another_try_and_nothing_more() {
    let _alone = alone();
    // Twice for one request, and a fifth of all the others.
    let bad = || refusal("/order-plz", 400, "badNonce", "");
    let listeners = listen_once();
    let mut habits = habits(&listeners);
    habits.bad_nonces = 20;
    let authority = Authority::start(habits);
    authority.script([bad(), bad()]);
    let server = Running::certified(Role::Media, listeners, authority.vendors(""), nowhere());
    drop(server.logs.first("certificate_issued"));
    assert_eq!(authority.unasked(), 0);
    assert!(is_trusted(&server, &authority));
}

#[test]
fn nonces_that_are_never_taken_are_told_and_tried_again_soon() {
    let _alone = alone();
    let bad = || refusal("/order-plz", 400, "badNonce", "");
    let (server, authority) = started_with(vec![bad(), bad(), bad()]);
    let failed = server.logs.first("certificate_failed");
    assert_eq!((&failed["reason"], &failed["retry_in_s"]), (&"acme_bad_nonce".into(), &5.into()));
    drop(server.logs.first("certificate_issued"));
    assert!(is_trusted(&server, &authority));
}

#[test]
fn a_rate_limit_is_kept_to() {
    let _alone = alone();
    // More than our own pause, so that it is this one that is kept to.
    let limited = refusal("/order-plz", 429, "rateLimited", "Retry-After: 63\r\n");
    let (server, authority) = started_with(vec![limited]);
    let failed = server.logs.first("certificate_failed");
    assert_eq!(failed["reason"], "acme_rate_limited");
    let retry_in_s = failed["retry_in_s"].as_u64().unwrap();
    assert!((63..=78).contains(&retry_in_s), "or a little later: {failed}");
    std::thread::sleep(Duration::from_secs(retry_in_s));
    drop(server.logs.first("certificate_issued"));
    let seen = authority.seen();
    let orders: Vec<_> = seen.iter().filter(|seen| seen.line.contains("/order-plz")).collect();
    assert_eq!(orders.len(), 2);
    let waited = orders[1].at - orders[0].at;
    assert!((63..90).contains(&waited.as_secs()), "{waited:?}");
}

#[test]
fn an_account_that_was_revoked_is_told_and_another_is_made() {
    let _alone = alone();
    // As an authority says it of a deactivated account, RFC 8555 §7.3.6.
    let revoked = refusal("/order-plz", 403, "unauthorized", "");
    let (server, authority) = started_with(vec![revoked]);
    let failed = server.logs.first("certificate_failed");
    assert_eq!((&failed["reason"], &failed["retry_in_s"]), (&"acme_account".into(), &5.into()));
    drop(server.logs.nth("acme_account_made", 2));
    drop(server.logs.first("certificate_issued"));
    let seen = authority.seen();
    let made = seen.iter().filter(|seen| seen.line.contains("/sign-me-up")).count();
    assert_eq!(made, 2, "and no third");
}

#[test]
fn an_order_that_is_not_allowed_costs_no_account() {
    let _alone = alone();
    let refused = refusal("/finalize-order/", 403, "unauthorized", "");
    let (server, authority) = started_with(vec![refused]);
    let failed = server.logs.first("certificate_failed");
    assert_eq!(failed["reason"], "acme_rejected", "{failed}");
    assert_eq!(authority.unasked(), 0);
    assert_eq!(server.logs.count("acme_account_made"), 1);
}

#[test]
fn an_authority_that_forgot_us_is_told_who_we_are_at_the_next_renewal() {
    let _alone = alone();
    let (server, mut authority) = started(|habits| habits.life_s = 24);
    drop(server.logs.first("certificate_issued"));
    authority.forget();
    let failed = server.logs.first("certificate_failed");
    assert_eq!(failed["reason"], "acme_account", "{failed}");
    drop(server.logs.nth("certificate_issued", 2));
    drop(server.logs.nth("acme_account_made", 2));
    until(Duration::from_secs(5), "trust", &server, || is_trusted(&server, &authority));
}

#[test]
fn a_name_that_cannot_be_checked_is_told_and_not_tried_at_once() {
    let _alone = alone();
    // Nobody answers where the authority looks.
    let (server, authority) = started(|habits| habits.tls_port = 1);
    let failed = server.logs.first("certificate_failed");
    assert_eq!(failed["reason"], "acme_validation", "{failed}");
    let retry_in_s = failed["retry_in_s"].as_u64().unwrap();
    assert!((45..=75).contains(&retry_in_s), "a minute, more or less: {retry_in_s}");
    assert!(!is_trusted(&server, &authority));
    std::thread::sleep(Duration::from_secs(5));
    let seen = authority.seen();
    let orders = seen.iter().filter(|seen| seen.line.contains("/order-plz")).count();
    assert_eq!(orders, 1, "it waits");
}

#[test]
fn an_authority_that_sends_us_elsewhere_is_not_followed() {
    let _alone = alone();
    let listeners = listen_once();
    let authority = Authority::start(habits(&listeners));
    authority.send_to("elsewhere.test");
    let mut vendors = authority.vendors("");
    // It could be found, and is the same machine: what is missing is its name in the entry.
    vendors.settings =
        vendors.settings.replace("acme.test=", "elsewhere.test=127.0.0.1 acme.test=");
    let server = Running::certified(Role::Media, listeners, vendors, nowhere());
    let failed = server.logs.first("certificate_failed");
    assert_eq!(failed["reason"], "acme_host", "{failed}");
    let seen = authority.seen();
    assert!(seen.iter().all(|seen| seen.line == "GET /dir"), "{seen:?}");
}

/// Waits for a failure with `reason`, and sees that the broker that said so goes on.
fn fails_and_lives(server: &Running, reason: &str) -> u64 {
    let failed = server.logs.first("certificate_failed");
    assert_eq!(failed["reason"], reason, "{failed}");
    assert!(!server.logs.text().contains("role_ended"), "{}", server.logs.text());
    failed["retry_in_s"].as_u64().unwrap()
}

#[test]
fn a_pause_that_no_clock_can_bear_ends_nothing() {
    let _alone = alone();
    // In seconds: about as long as a clock can count, and longer than any.
    for pause in ["9223372036854775807", "18446744073709551615"] {
        let endless = refusal("/my-order/", 503, "serverInternal", "");
        let endless = Scripted { headers: format!("Retry-After: {pause}\r\n"), ..endless };
        let (server, authority) = started_with(vec![endless]);
        let retry_in_s = fails_and_lives(&server, "acme_broken");
        // A week and a day is the longest that is waited for anybody.
        assert!(retry_in_s >= 8 * 86_400, "{retry_in_s}");
        assert_eq!(authority.unasked(), 0);
    }
}

#[test]
fn a_directory_with_an_address_that_is_none_ends_nothing() {
    let _alone = alone();
    let listeners = listen_once();
    let authority = Authority::start(habits(&listeners));
    drop(listeners);
    for address in ["", "https://acme.test/a b", "/relative"] {
        authority.nonces_at(address);
        let server =
            Running::certified(Role::Media, listen_once(), authority.vendors(""), nowhere());
        let retry_in_s = fails_and_lives(&server, "acme_garbage");
        assert!((45..=75).contains(&retry_in_s), "{address}: {retry_in_s}");
    }
}
