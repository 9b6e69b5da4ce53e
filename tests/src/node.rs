//! The two nodes, the two address families, and their addresses.

use anyhow::Result;
use std::fmt::{self, Display, Formatter};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The service address for IPv4, announced as a /32.
pub const SERVICE_V4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 53);
/// The service address for IPv6, announced as a /128.
pub const SERVICE_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x53, 0, 0, 0, 0, 0x53);

/// An address family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Both families.
    pub const ALL: [Self; 2] = [Self::V4, Self::V6];

    /// The service address of the family.
    #[must_use]
    pub fn service_address(self) -> IpAddr {
        match self {
            Self::V4 => SERVICE_V4.into(),
            Self::V6 => SERVICE_V6.into(),
        }
    }

    /// The length of the prefix that is announced: the address alone.
    #[must_use]
    pub fn prefix_length(self) -> u8 {
        match self {
            Self::V4 => 32,
            Self::V6 => 128,
        }
    }

    /// The family of an address.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { Self::V4 } else { Self::V6 }
    }
}

impl Display for Family {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        })
    }
}

/// One of the two nodes that announce the service addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Node {
    /// The node that the router prefers.
    A,
    /// The node that gets the traffic when `A` has withdrawn.
    B,
}

impl Node {
    /// Both nodes, the preferred one first.
    pub const ALL: [Self; 2] = [Self::A, Self::B];

    /// The node's name, which is also what its server answers with.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::A => "a",
            Self::B => "b",
        }
    }

    /// The node with this name.
    #[must_use]
    pub fn from_name(name: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|node| node.name().as_bytes() == name)
    }

    /// The node's own address towards the router.
    #[must_use]
    pub fn address(self, family: Family) -> IpAddr {
        self.end(family, 2)
    }

    /// The router's address towards the node.
    #[must_use]
    pub fn router_address(self, family: Family) -> IpAddr {
        self.end(family, 1)
    }

    /// The private AS number that the node announces from.
    #[must_use]
    pub fn as_number(self) -> u32 {
        match self {
            Self::A => 64501,
            Self::B => 64502,
        }
    }

    /// The node whose own address this is.
    #[must_use]
    pub fn with_address(address: IpAddr) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|node| node.address(Family::of(address)) == address)
    }

    /// The router's interface towards the node.
    #[must_use]
    pub fn router_interface(self) -> &'static str {
        match self {
            Self::A => "to-a",
            Self::B => "to-b",
        }
    }

    fn end(self, family: Family, host: u8) -> IpAddr {
        let (subnet, group) = match self {
            Self::A => (0, 0xa),
            Self::B => (4, 0xb),
        };
        match family {
            Family::V4 => Ipv4Addr::new(203, 0, 113, subnet + host).into(),
            Family::V6 => Ipv6Addr::new(0x2001, 0xdb8, group, 0, 0, 0, 0, host.into()).into(),
        }
    }
}

impl Display for Node {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        write!(formatter, "node {}", self.name())
    }
}

/// A value for each node.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PerNode<T> {
    /// What belongs to node a.
    pub a: T,
    /// What belongs to node b.
    pub b: T,
}

impl<T> PerNode<T> {
    /// Makes both values.
    pub fn try_new(mut make: impl FnMut(Node) -> Result<T>) -> Result<Self> {
        Ok(Self {
            a: make(Node::A)?,
            b: make(Node::B)?,
        })
    }

    /// The value of `node`.
    pub fn get(&self, node: Node) -> &T {
        match node {
            Node::A => &self.a,
            Node::B => &self.b,
        }
    }

    /// The value of `node`, to change it.
    pub fn get_mut(&mut self, node: Node) -> &mut T {
        match node {
            Node::A => &mut self.a,
            Node::B => &mut self.b,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_known_by_its_address_and_name() {
        for node in Node::ALL {
            assert_eq!(Node::from_name(node.name().as_bytes()), Some(node));
            for family in Family::ALL {
                assert_eq!(Node::with_address(node.address(family)), Some(node));
                assert_eq!(Node::with_address(node.router_address(family)), None);
            }
        }
        assert_eq!(Node::from_name(b"c"), None);
    }
}
