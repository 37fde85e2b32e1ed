//! Which addresses may be connected to: public ones, and those in networks that the operator has listed.
//!
//! In: an address as the resolver gave it. Out: whether a connection to it may be made. Invariant: what is not known to be
//! public is not (the IANA registries of special-purpose addresses, RFC 6890 and its successors).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// What is not public of IPv4.
const SPECIAL_V4: [Ipv4Net; 16] = [
    v4(0, 0, 0, 0, 8),       // "this network", the unspecified address
    v4(10, 0, 0, 0, 8),      // private
    v4(100, 64, 0, 0, 10),   // shared by the customers of a carrier
    v4(127, 0, 0, 0, 8),     // loopback
    v4(169, 254, 0, 0, 16),  // link-local, with the metadata services of clouds
    v4(172, 16, 0, 0, 12),   // private
    v4(192, 0, 0, 0, 24),    // protocol assignments
    v4(192, 0, 2, 0, 24),    // documentation
    v4(192, 88, 99, 0, 24),  // 6to4 relays
    v4(192, 168, 0, 0, 16),  // private
    v4(198, 18, 0, 0, 15),   // benchmarking
    v4(198, 51, 100, 0, 24), // documentation
    v4(203, 0, 113, 0, 24),  // documentation
    v4(224, 0, 0, 0, 4),     // multicast
    v4(240, 0, 0, 0, 5),     // reserved
    v4(248, 0, 0, 0, 5),     // reserved, broadcast
];

/// All that is public of IPv6 lies in here …
const GLOBAL_V6: Ipv6Net = v6([0x2000, 0, 0], 3);
/// … except for these.
const SPECIAL_V6: [Ipv6Net; 3] = [
    v6([0x2001, 0, 0], 23),     // protocol assignments, with Teredo and benchmarking
    v6([0x2001, 0xdb8, 0], 32), // documentation
    v6([0x3fff, 0, 0], 20),     // documentation
];
/// An IPv4 address follows these 16 bits: 6to4.
const SIX_TO_FOUR: Ipv6Net = v6([0x2002, 0, 0], 16);
/// An IPv4 address is the end of these: NAT64.
const NAT64: Ipv6Net = v6([0x64, 0xff9b, 0], 96);

const fn v4(a: u8, b: u8, c: u8, d: u8, bits: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), bits)
}

const fn v6([a, b, c]: [u16; 3], bits: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0), bits)
}

/// Whether a connection to `address` may be made where the `private` networks are listed.
pub(super) fn may_connect(address: IpAddr, private: &[IpNet]) -> bool {
    let is_listed = |address: IpAddr| private.iter().any(|network| network.contains(&address));
    let reached = match address {
        IpAddr::V6(outer) => embedded(outer).map_or(address, IpAddr::V4),
        IpAddr::V4(_) => address,
    };
    is_listed(address) || is_listed(reached) || is_public(reached)
}

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => !SPECIAL_V4.iter().any(|network| network.contains(&address)),
        IpAddr::V6(address) => GLOBAL_V6.contains(&address) && !SPECIAL_V6.iter().any(|network| network.contains(&address)),
    }
}

/// The IPv4 address that is reached under an IPv6 one: mapped, compatible, 6to4 or NAT64.
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let [.., a, b, c, d] = address.octets();
    if SIX_TO_FOUR.contains(&address) {
        let [_, _, a, b, c, d, ..] = address.octets();
        return Some(Ipv4Addr::new(a, b, c, d));
    }
    let is_compatible = address.segments()[..6] == [0; 6];
    let ends_in_v4 = address.to_ipv4_mapped().is_some() || is_compatible || NAT64.contains(&address);
    ends_in_v4.then(|| Ipv4Addr::new(a, b, c, d))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn may(address: &str, private: &[&str]) -> bool {
        let private: Vec<IpNet> = private.iter().map(|network| network.parse().unwrap()).collect();
        may_connect(address.parse().unwrap(), &private)
    }

    #[test]
    fn public_addresses_may_be_connected_to() {
        for address in [
            "1.1.1.1",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.167.255.255",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "2606:4700::1111",
            "2a00:1450:4001::1",
            "::ffff:1.1.1.1",
            "64:ff9b::101:101",
            "2002:101:101::1",
        ] {
            assert!(may(address, &[]), "{address}");
        }
    }

    #[test]
    fn addresses_that_are_not_public_may_not_in_whatever_notation() {
        for address in [
            "0.0.0.0",
            "0.1.2.3",
            "10.1.2.3",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.255.255",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.7",
            "203.0.113.7",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::7f00:1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::7f00:1",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::1",
            "2002:7f00:1::1",
            "2002:a9fe:a9fe::",
            "2001:0:4136:e378::1",
            "2001:db8::1",
            "3fff::1",
            "fc00::1",
            "fd12:3456::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "5f00::1",
            "100::1",
        ] {
            assert!(!may(address, &[]), "{address}");
        }
    }

    #[test]
    fn listed_networks_may_be_connected_to_and_their_neighbours_not() {
        assert!(may("10.20.3.4", &["10.20.0.0/16"]));
        assert!(may("::ffff:10.20.3.4", &["10.20.0.0/16"]));
        assert!(!may("10.21.3.4", &["10.20.0.0/16"]));
        assert!(may("::1", &["127.0.0.0/8", "::1/128"]));
        assert!(!may("::1", &["127.0.0.0/8"]));
        assert!(may("fd00::5", &["fd00::/8"]));
        assert!(!may("169.254.169.254", &["10.0.0.0/8", "127.0.0.0/8"]));
    }
}
