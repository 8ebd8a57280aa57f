//! From a name to a connection: resolve, refuse what no vendor can have, connect.
//!
//! What was judged is what is connected to: the name is not asked for again. It never falls back to a private
//! address, and never says which addresses it saw.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolveHosts, ResolverConfig,
};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use tokio::net::TcpStream;
use tokio::time::timeout;
use ward_policy::address::{is_metadata, is_private, is_public};
use ward_policy::fault::DialFault;
use ward_policy::limit;
use ward_policy::vendor::{Host, Network, Protocol};

use crate::settings::BrokerSettings;

/// Resolves and connects.
pub(crate) struct Dialler {
    resolver: Option<TokioResolver>,
    hosts: BTreeMap<String, Vec<IpAddr>>,
}

impl Dialler {
    /// `None` when the resolver cannot be made.
    pub(crate) fn new(settings: BrokerSettings) -> Option<Self> {
        let resolver = if settings.nameservers.is_empty() {
            None
        } else {
            Some(resolver(&settings.nameservers)?)
        };
        Some(Self { resolver, hosts: settings.hosts })
    }

    /// A connection to `host`.
    pub(crate) async fn dial(&self, host: &Host) -> Result<TcpStream, DialFault> {
        self.connect(self.addresses(host), host.port).await
    }

    /// A connection to a metadata service, whose entry says its address: the one way to any.
    pub(crate) async fn dial_metadata(&self, host: &Host) -> Result<TcpStream, DialFault> {
        let address = host.name.parse::<IpAddr>().ok().filter(|address| is_metadata(*address));
        let address = address.filter(|_address| host.protocol == Protocol::Http);
        let address = address.map(|address| vec![address]).ok_or(DialFault::AddressRefused);
        self.connect(std::future::ready(address), host.port).await
    }

    async fn connect(
        &self,
        addresses: impl Future<Output = Result<Vec<IpAddr>, DialFault>>,
        port: u16,
    ) -> Result<TcpStream, DialFault> {
        let dialling = async {
            let addresses = addresses.await?;
            let mut reason = DialFault::ConnectFailed;
            for address in addresses.into_iter().take(limit::ADDRESSES_TRIED_MAX) {
                let connecting = TcpStream::connect(SocketAddr::new(address, port));
                match timeout(limit::CONNECT_DEADLINE, connecting).await {
                    Ok(Ok(stream)) => return Ok(stream),
                    Ok(Err(_refused)) => reason = DialFault::ConnectFailed,
                    Err(_late) => reason = DialFault::DialLate,
                }
            }
            Err(reason)
        };
        timeout(limit::DIAL_DEADLINE, dialling).await.unwrap_or(Err(DialFault::DialLate))
    }

    async fn addresses(&self, host: &Host) -> Result<Vec<IpAddr>, DialFault> {
        if let Some(addresses) = self.hosts.get(&host.name) {
            // The operator said so, and is told that it is known. A metadata service is behind no name, whoever says so.
            let is_any = addresses.iter().any(|one| is_metadata(*one));
            return if is_any { Err(DialFault::AddressRefused) } else { Ok(addresses.clone()) };
        }
        let resolver = self.resolver.as_ref().ok_or(DialFault::NoAddress)?;
        // The dot: no search list, whatever a name server would like.
        let found = resolver.lookup_ip(format!("{}.", host.name)).await;
        let found: Vec<IpAddr> = found.map_err(|_none| DialFault::NoAddress)?.iter().collect();
        if found.is_empty() {
            return Err(DialFault::NoAddress);
        }
        // One of another network is reason enough: whoever answers for the name is wrong or lies.
        let is_right = match host.network {
            Network::Public => is_public,
            Network::Private => is_private,
        };
        if found.iter().all(|one| is_right(*one)) {
            Ok(found)
        } else {
            Err(DialFault::AddressRefused)
        }
    }
}

fn resolver(nameservers: &[SocketAddr]) -> Option<TokioResolver> {
    let one = |address: &SocketAddr| {
        let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut way| {
            way.port = address.port();
            way
        });
        NameServerConfig::new(address.ip(), true, connections.into())
    };
    let config = ResolverConfig::from_name_servers(nameservers.iter().map(one).collect());
    let provider = TokioRuntimeProvider::default();
    let mut builder = TokioResolver::builder_with_config(config, provider);
    let options = builder.options_mut();
    options.timeout = limit::NAME_SERVER_DEADLINE;
    options.attempts = 2;
    options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
    options.use_hosts_file = ResolveHosts::Never;
    builder.build().ok()
}
