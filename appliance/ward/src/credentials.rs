//! `ward run SERVER --credentials`: starts the server as it would be run, waits until each process has listed its live
//! credentials, shows the list, and ends it.
//!
//! A key that its source has not given is named, and the list is not whole. It shows names and times; no process tells it a value. Times are by this machine's clock.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use ward_policy::audit::Role;
use ward_policy::date::Date;
use ward_policy::vendor::Registry;

use crate::console::{Console, Failure};
use crate::launch::{Plan, launch};

/// Starts what `plan` says, and shows what it has.
///
/// # Errors
/// [`Failure`] when the server cannot be started, or ends before everybody has told.
pub fn run(plan: Plan, console: &Console) -> Result<bool, Failure> {
    // Those whose place the registry names: of the others nobody knows whether they are to be there.
    let stored = plan.vendors.as_ref().map(|vendors| stored(&vendors.registry)).unwrap_or_default();
    let mut awaited: BTreeSet<&str> = BTreeSet::from([plan.role.name()]);
    if plan.vendors.is_some() {
        awaited.insert(Role::Broker.name());
    }
    let (mut server, log) = launch(plan)?;
    let mut listed = Vec::new();
    for line in log {
        let Ok(event) = serde_json::from_str::<Value>(&line.text) else { continue };
        if line.is_event("credential_live") {
            listed.push(credential(line.role, &event, now_s()));
        } else if line.is_event("credentials_listed") {
            awaited.remove(line.role.name());
        } else if line.is_event("source_failed") {
            let word = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
            let (source, vendor, reason) = (word("source"), word("vendor"), word("reason"));
            console.progress(&format!("{source} gave nothing for {vendor}: {reason}"));
        }
        if awaited.is_empty() {
            break;
        }
    }
    let is_whole = awaited.is_empty();
    if !is_whole {
        server.wait()?;
    }
    server.stop(Duration::from_secs(2));
    let text: Vec<String> = listed.iter().map(row).collect();
    let is_there =
        |id: &str| listed.iter().any(|one| one["class"] == "vendor-key" && one["audience"] == id);
    let missing: Vec<&String> = stored.iter().filter(|id| !is_there(id)).collect();
    for id in &missing {
        console.progress(&format!("there is no key of {id}: its source has not given one"));
    }
    console.result(&json!({ "credentials": listed }), &text.join("\n"));
    Ok(is_whole && missing.is_empty())
}

/// Whose key is to come from a source.
fn stored(registry: &[(String, String)]) -> Vec<String> {
    let files = registry.iter().map(|(name, text)| (name.as_str(), text.as_str()));
    let registry = Registry::parse(files).ok();
    let entries = registry.iter().flat_map(Registry::entries);
    let stored = entries.filter(|entry| entry.credential.key.is_some());
    stored.map(|entry| entry.id.clone()).collect()
}

/// One credential: who has it, and from when to when.
fn credential(role: Role, event: &Value, now_s: u64) -> Value {
    let seconds = |name: &str| event[name].as_u64();
    let issued = seconds("issued_ago_s").map(|ago| time(now_s.saturating_sub(ago)));
    let expires = seconds("expires_in_s").map(|left| time(now_s.saturating_add(left)));
    json!({
        "held_by": role.name(),
        "id": event["credential"],
        "class": event["class"],
        "audience": event["audience"],
        "count": event["count"],
        "issued": issued,
        "expires": expires,
    })
}

fn row(one: &Value) -> String {
    let word = |name: &str| one[name].as_str().unwrap_or("-").to_owned();
    format!(
        "{:>6}  {:16}  {:16}  {:16}  {:>5}  {}  {}",
        word("held_by"),
        word("id"),
        word("class"),
        word("audience"),
        one["count"],
        word("issued"),
        word("expires"),
    )
}

#[expect(clippy::disallowed_methods, reason = "people read dates, and servers never ask for them")]
fn now_s() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

/// `2026-11-22T09:08:07Z`.
fn time(at_s: u64) -> String {
    let date = Date::from_days(i64::try_from(at_s / 86_400).unwrap_or(0));
    let (hour, minute, second) = (at_s / 3_600 % 24, at_s / 60 % 60, at_s % 60);
    format!("{date}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_a_calendar_and_what_has_no_end_says_so() {
        let event = json!({ "class": "vendor-key", "audience": "asr", "count": 1,
            "credential": "0011223344556677", "issued_ago_s": 60, "expires_in_s": 3_600 });
        let shown = credential(Role::Broker, &event, 1_440_938_160);
        assert_eq!(shown["issued"], "2015-08-30T12:35:00Z");
        assert_eq!(shown["expires"], "2015-08-30T13:36:00Z");
        assert!(
            row(&shown).contains("0011223344556677  vendor-key        asr "),
            "{}",
            row(&shown)
        );
        let lasting = json!({ "class": "tls-key", "count": 1, "issued_ago_s": 0 });
        let shown = credential(Role::Media, &lasting, 0);
        assert!(shown["expires"].is_null() && row(&shown).ends_with("1970-01-01T00:00:00Z  -"));
    }
}
