//! The broker's settings: whom to ask for addresses. Parsed once; every problem is reported.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

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
        let problems = settings.into_problems();
        if !problems.is_empty() {
            return Err(problems);
        }
        let (nameservers, hosts) = (nameservers.unwrap_or_default(), hosts.unwrap_or_default());
        Ok(Self { nameservers, hosts, log_sink })
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
    fn every_problem_is_named_at_once() {
        let text = "BROKER_NAMESERVERS=dns.example.com\nBROKER_HOSTS=a.test\nLOG_SINK=A\nOTHER=1\n";
        let problems = BrokerSettings::parse(text).unwrap_err();
        let names: Vec<&str> = problems.iter().map(|problem| problem.setting.as_str()).collect();
        assert_eq!(names, ["BROKER_NAMESERVERS", "BROKER_HOSTS", "LOG_SINK", "OTHER"]);
        let five = "BROKER_NAMESERVERS=1.1.1.1 1.1.1.2 1.1.1.3 1.1.1.4 1.1.1.5\n";
        assert_eq!(BrokerSettings::parse(five).unwrap_err().len(), 1);
    }
}
