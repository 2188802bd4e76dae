//! Which address a request without a token is counted under: the nearest one that isn't a known proxy.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

/// A client holds a whole /64 of IPv6, so single addresses of it are no keys.
const IPV6_PREFIX_BITS: u8 = 64;

/// A range of addresses, written `10.0.0.0/8`; a single address stands for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressRange {
    network: u128,
    prefix_bits: u8,
}

/// The text is no address range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an address range such as 10.0.0.0/8 or 2001:db8::/32")]
pub struct NotARange(String);

impl FromStr for AddressRange {
    type Err = NotARange;

    fn from_str(text: &str) -> Result<Self, NotARange> {
        let parse = || {
            let (address, bits) = match text.split_once('/') {
                Some((address, bits)) => (address, Some(bits.parse::<u8>().ok()?)),
                None => (text, None),
            };
            let address: IpAddr = address.parse().ok()?;
            let width = if address.is_ipv4() { 32 } else { 128 };
            let bits = bits.unwrap_or(width);
            (bits <= width).then(|| Self::new(address, 128 - width + bits))
        };
        parse().ok_or_else(|| NotARange(text.to_owned()))
    }
}

impl AddressRange {
    fn new(address: IpAddr, prefix_bits: u8) -> Self {
        Self { network: number(address) & mask(prefix_bits), prefix_bits }
    }

    /// Whether the address lies within.
    pub fn contains(&self, address: IpAddr) -> bool {
        number(address) & mask(self.prefix_bits) == self.network
    }
}

/// The client's address: from `peer` leftwards through `X-Forwarded-For`, past every address that is a known
/// proxy. What stands further left was written by whoever sent it, and is not looked at. An entry that can't
/// be read ends the walk at the proxy that passed it on.
pub fn client_address<'a>(
    peer: IpAddr,
    forwarded_for: impl DoubleEndedIterator<Item = &'a str>,
    proxies: &[AddressRange],
) -> IpAddr {
    let mut client = peer;
    for entry in forwarded_for.flat_map(|header| header.split(',')).rev() {
        if !proxies.iter().any(|range| range.contains(client)) {
            break;
        }
        match read_entry(entry.trim()) {
            Some(address) => client = address,
            None => break,
        }
    }
    client.to_canonical()
}

/// What an address counts under: itself, or the /64 network of an IPv6 one.
pub fn address_key(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => {
            let network = u128::from(address) & mask(IPV6_PREFIX_BITS);
            format!("{}/{IPV6_PREFIX_BITS}", Ipv6Addr::from(network))
        }
    }
}

/// An entry is an address, or one with a port: some load balancers add it.
fn read_entry(entry: &str) -> Option<IpAddr> {
    let bare = entry.trim_start_matches('[').trim_end_matches(']');
    bare.parse().ok().or_else(|| entry.parse::<SocketAddr>().ok().map(|socket| socket.ip()))
}

/// IPv4 in its mapped form, so that both kinds compare in one way.
fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().into(),
        IpAddr::V6(address) => address.into(),
    }
}

fn mask(prefix_bits: u8) -> u128 {
    u128::MAX.checked_shl(128 - u32::from(prefix_bits)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(peer: &str, headers: &[&str], proxies: &[&str]) -> String {
        let proxies: Vec<AddressRange> = proxies.iter().map(|range| range.parse().unwrap()).collect();
        client_address(peer.parse().unwrap(), headers.iter().copied(), &proxies).to_string()
    }

    #[test]
    fn without_a_known_proxy_the_header_is_not_believed() {
        assert_eq!(address("203.0.113.9", &["198.51.100.1"], &[]), "203.0.113.9");
        assert_eq!(address("203.0.113.9", &["198.51.100.1"], &["10.0.0.0/8"]), "203.0.113.9");
    }

    #[test]
    fn it_is_the_rightmost_that_is_no_known_proxy() {
        let proxies = ["10.0.0.0/8", "192.0.2.7"];
        assert_eq!(address("10.1.2.3", &["6.6.6.6, 198.51.100.1"], &proxies), "198.51.100.1");
        assert_eq!(address("10.1.2.3", &["6.6.6.6, 198.51.100.1, 192.0.2.7"], &proxies), "198.51.100.1");
        assert_eq!(address("10.1.2.3", &["6.6.6.6", "198.51.100.1", "10.9.9.9"], &proxies), "198.51.100.1");
        assert_eq!(address("10.1.2.3", &[], &proxies), "10.1.2.3");
    }

    #[test]
    fn an_entry_that_cannot_be_read_ends_the_walk() {
        assert_eq!(address("10.1.2.3", &["198.51.100.1, unknown"], &["10.0.0.0/8"]), "10.1.2.3");
        assert_eq!(address("10.1.2.3", &["198.51.100.1, "], &["10.0.0.0/8"]), "10.1.2.3");
    }

    #[test]
    fn ports_brackets_and_mapped_addresses_are_read() {
        let proxies = ["10.0.0.0/8", "2001:db8::/32"];
        assert_eq!(address("10.1.2.3", &["198.51.100.1:4711"], &proxies), "198.51.100.1");
        assert_eq!(address("2001:db8::1", &["[2001:470::2]:443"], &proxies), "2001:470::2");
        assert_eq!(address("::ffff:10.1.2.3", &["[2001:470::2]"], &proxies), "2001:470::2");
    }

    #[test]
    fn one_ipv6_network_is_one_key() {
        let key = |text: &str| address_key(text.parse().unwrap());
        assert_eq!(key("2001:470:1:2:aaaa::1"), key("2001:470:1:2:bbbb::2"));
        assert_ne!(key("2001:470:1:2::1"), key("2001:470:1:3::1"));
        assert_eq!(key("::ffff:198.51.100.1"), "198.51.100.1");
    }

    #[test]
    fn a_range_that_is_none_is_refused() {
        for text in ["", "10.0.0.0/33", "10.0.0", "::/129", "10.0.0.0/x"] {
            assert!(text.parse::<AddressRange>().is_err(), "{text}");
        }
        assert!("0.0.0.0/0".parse::<AddressRange>().unwrap().contains("8.8.8.8".parse().unwrap()));
        assert!(!"0.0.0.0/0".parse::<AddressRange>().unwrap().contains("2001::1".parse().unwrap()));
    }
}
