//! The broker's settings: whom to ask for addresses, and for certificates. Parsed once; every problem is reported.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use ward_edge::order::is_name;
use ward_edge::settings::{Problem, Settings};
use ward_policy::limit;
use ward_policy::vendor_id::VendorId;

/// Everything the broker needs to know beside the registry.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BrokerSettings {
    /// `BROKER_NAMESERVERS`: name servers, in the order in which they are asked.
    pub nameservers: Vec<SocketAddr>,
    /// `BROKER_HOSTS`: addresses of names that no name server is asked for, wherever they are.
    pub hosts: BTreeMap<String, Vec<IpAddr>>,
    /// `LOG_SINK`: the entry that the log is sent to, and the only one that the log is given.
    pub log_sink: Option<VendorId>,
    /// How certificates are asked for, if they are.
    pub acme: Option<AcmeSettings>,
}

/// How certificates are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcmeSettings {
    /// `ACME_CA`: the authority, by its id in the registry.
    pub ca: VendorId,
    /// `ACME_NAMES`: the names in the certificate.
    pub names: Vec<String>,
    /// `ACME_CONTACT`: whom the authority writes to.
    pub contact: Option<String>,
    /// `ACME_KEPT`, which the launcher sets: whether account and chain outlive this run.
    pub is_kept: bool,
}

impl BrokerSettings {
    /// Judges a settings document.
    ///
    /// # Errors
    /// Every [`Problem`] in it.
    pub fn parse(document: &str) -> Result<Self, Vec<Problem>> {
        let mut settings = Settings::parse(document);
        let nameservers = settings.optional("BROKER_NAMESERVERS", nameservers);
        let hosts = settings.optional("BROKER_HOSTS", hosts);
        let log_sink = settings.optional("LOG_SINK", VendorId::parse);
        let acme = acme(&mut settings);
        let problems = settings.into_problems();
        if !problems.is_empty() {
            return Err(problems);
        }
        let (nameservers, hosts) = (nameservers.unwrap_or_default(), hosts.unwrap_or_default());
        Ok(Self { nameservers, hosts, log_sink, acme })
    }
}

/// The port of the Domain Name System (RFC 1035 §4.2).
const PORT: u16 = 53;

fn nameservers(text: &str) -> Result<Vec<SocketAddr>, String> {
    let one = |word: &str| {
        let plain = word.parse::<IpAddr>().map(|address| SocketAddr::new(address, PORT));
        plain.or_else(|_not_plain| word.parse())
    };
    let all: Result<Vec<_>, _> = text.split_ascii_whitespace().map(one).collect();
    let all = all.map_err(|_word| "must be addresses, or addresses with a port".to_owned())?;
    if all.len() > limit::NAME_SERVERS_MAX {
        return Err(format!("may have {} at most", limit::NAME_SERVERS_MAX));
    }
    Ok(all)
}

/// All of it or nothing: who names an authority wants a certificate.
fn acme(settings: &mut Settings) -> Option<AcmeSettings> {
    let kept = settings.optional("ACME_KEPT", |text| match text {
        "on" => Ok(true),
        _ => Err("is the launcher's to set"),
    });
    let all = ["ACME_CA", "ACME_NAMES", "ACME_TERMS", "ACME_CONTACT"];
    if !all.into_iter().any(|name| settings.has(name)) {
        return None;
    }
    let ca = settings.required("ACME_CA", VendorId::parse);
    let names = settings.required("ACME_NAMES", names);
    let contact = settings.optional("ACME_CONTACT", contact);
    let terms = settings.required("ACME_TERMS", |text| match text {
        "agreed" => Ok(()),
        _ => Err("must be agreed, once you have read the authority's terms and do"),
    });
    terms?;
    Some(AcmeSettings { ca: ca?, names: names?, contact, is_kept: kept.unwrap_or(false) })
}

fn names(text: &str) -> Result<Vec<String>, String> {
    let names: Vec<String> = text.split_ascii_whitespace().map(str::to_owned).collect();
    let most = limit::CERTIFICATE_NAMES_MAX;
    if (1..=most).contains(&names.len()) && names.iter().all(|name| is_name(name)) {
        Ok(names)
    } else {
        Err(format!(
            "must be whole names in lower case without wildcards, up to {most} with spaces between"
        ))
    }
}

fn contact(text: &str) -> Result<String, &'static str> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_graphic());
    let is_address = text.strip_prefix("mailto:").is_some_and(|address| address.contains('@'));
    if is_plain && is_address { Ok(text.to_owned()) } else { Err("must be mailto: and an address") }
}

fn hosts(text: &str) -> Result<BTreeMap<String, Vec<IpAddr>>, String> {
    let mut hosts: BTreeMap<String, Vec<IpAddr>> = BTreeMap::new();
    for word in text.split_ascii_whitespace() {
        let pair = word.split_once('=');
        let pair = pair.and_then(|(name, address)| Some((name, address.parse().ok()?)));
        let (name, address) = pair.ok_or("must be NAME=ADDRESS, with spaces between")?;
        hosts.entry(name.to_owned()).or_default().push(address);
    }
    Ok(hosts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_servers_and_hosts_are_read() {
        let text = "BROKER_NAMESERVERS=9.9.9.9 [2620:fe::fe]:5353\n\
                    BROKER_HOSTS=a.test=127.0.0.1 a.test=::1 b.test=10.0.0.1\n";
        let settings = BrokerSettings::parse(text).unwrap();
        let expected = ["9.9.9.9:53", "[2620:fe::fe]:5353"];
        assert_eq!(settings.nameservers, expected.map(|text| text.parse().unwrap()));
        assert_eq!(settings.hosts["a.test"].len(), 2);
        assert_eq!(BrokerSettings::parse("").unwrap(), BrokerSettings::default());
    }

    #[test]
    fn certificates_are_asked_for_when_everything_is_said() {
        let text =
            "ACME_CA=lets-encrypt\nACME_NAMES=a.example.com b.example.com\nACME_TERMS=agreed\n";
        let acme = BrokerSettings::parse(text).unwrap().acme.unwrap();
        assert_eq!(acme.names, ["a.example.com", "b.example.com"]);
        assert_eq!((acme.ca.as_str(), acme.contact, acme.is_kept), ("lets-encrypt", None, false));
        let more = format!("{text}ACME_CONTACT=mailto:it@example.com\nACME_KEPT=on\n");
        let acme = BrokerSettings::parse(&more).unwrap().acme.unwrap();
        assert_eq!((acme.contact.as_deref(), acme.is_kept), (Some("mailto:it@example.com"), true));
        let problems = |text: &str| {
            let problems = BrokerSettings::parse(text).unwrap_err();
            problems.into_iter().map(|problem| problem.setting).collect::<Vec<_>>()
        };
        assert_eq!(problems("ACME_NAMES=a.example.com\n"), ["ACME_CA", "ACME_TERMS"]);
        assert_eq!(problems(&text.replace("agreed", "yes")), ["ACME_TERMS"]);
        assert_eq!(problems(&text.replace("a.example.com ", "*.example.com ")), ["ACME_NAMES"]);
        assert_eq!(problems(&format!("{text}ACME_CONTACT=it\n")), ["ACME_CONTACT"]);
    }

    #[test]
    fn every_problem_is_named_at_once() {
        let text = "BROKER_NAMESERVERS=dns.example.com\nBROKER_HOSTS=a.test\nLOG_SINK=A\nOTHER=1\n";
        let problems = BrokerSettings::parse(text).unwrap_err();
        let names: Vec<&str> = problems.iter().map(|problem| problem.setting.as_str()).collect();
        assert_eq!(names, ["BROKER_NAMESERVERS", "BROKER_HOSTS", "LOG_SINK", "OTHER"]);
        let five = "BROKER_NAMESERVERS=1.1.1.1 1.1.1.2 1.1.1.3 1.1.1.4 1.1.1.5\n";
        assert_eq!(BrokerSettings::parse(five).unwrap_err().len(), 1);
    }
}
