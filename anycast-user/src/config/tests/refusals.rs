//! What is refused, where the error points and what it advises.

use super::refusal;

/// A file, the beginning of its error after the file's name, and a part of the remedy.
type Case = (&'static str, &'static str, &'static str);

const LINK: &str = "[[link]]\nname = \"a\"\n";
const SERVICE: &str = "[[link.service]]\nname = \"dns\"\nprotocol = \"dns-udp\"\n";

#[rustfmt::skip] // one case a line reads as the table it is
const SHAPE: &[Case] = &[
    ("", "1:1: no [[link]]", "add [[link]]"),
    ("flor = \"1s\"", "1:1: unknown key `flor`", "did you mean `floor`?"),
    ("zzz = 1", "1:1: unknown key `zzz`", "keys here are `armed`"),
    ("\n  armed = 3", "2:11: invalid type: integer `3`", "docs/configuration.md"),
    ("armed = true\narmed = true", "2:1: duplicate key", "remove one"),
    ("armed = ", "1:9: ", "correct the TOML"),
    ("hook = \"xpd\"", "1:8: `xpd` is not a value", "did you mean `xdp`?"),
    ("hook = \"kprobe\"", "1:8: `kprobe` is not a value", "`xdp-generic`"),
    ("[link]\nname = \"a\"", "1:1: invalid type: map, expected a sequence", "[[link]]"),
    ("[[link]]", "1:1: the key `name` is missing", "add `name"),
];

#[rustfmt::skip]
const DURATIONS: &[Case] = &[
    ("floor = 30", "1:9: 30 has no unit", "\"30ms\""),
    ("floor = 1.5", "1:9: 1.5 has no unit", "\"1.5ms\""),
    ("floor = \"30\"", "1:9: \"30\" has no unit", "\"30ms\""),
    ("floor = \"-1s\"", "1:9: \"-1s\" is negative", "zero or more"),
    ("floor = \"3 parsecs\"", "1:9: \"3 parsecs\" is not a duration", "\"30ms\""),
    ("floor = \"2d\"", "1:9: \"2d\" is longer than a day", "check its unit"),
    ("floor = true", "1:9: invalid type", "docs/configuration.md"),
    ("[arming]\ntime = 60", "2:8: 60 has no unit", "\"60s\""),
];

#[rustfmt::skip]
const VALUES: &[Case] = &[
    ("floor = \"61s\"", "1:9: a floor of \"61s\"", "site"),
    ("floor = \"0ms\"", "1:9: without a floor", "accept_no_floor = true"),
    ("floor = \"fast\"", "1:9: without a floor", "accept_no_floor = true"),
    ("withdraw_also_on = [\"servfail\", \"rain\"]", "1:33: `rain` is no alert", "partial-loss"),
    ("floor = \"999us\"", "1:9: without a floor", "accept_no_floor = true"),
    ("uplinks = []", "1:11: `uplinks` is an empty list", "routing table"),
    ("uplinks = [\"b\", \"b\"]", "1:17: the uplink `b` is there twice", "remove one"),
    ("encapsulation = []", "1:17: `encapsulation` is an empty list", "none"),
    ("encapsulation = [\"ipip\", \"gre\"]", "1:26: \"gre\" is not an encapsulation", "\"ipip\""),
    ("encapsulation = [\"gue\"]", "1:18: `gue` has no port", "\"gue:6080\""),
    ("encapsulation = [\"gue:0\"]", "1:18: \"0\" is not a UDP port", "\"gue:6080\""),
    ("encapsulation = [\"gue:65536\"]", "1:18: \"65536\" is not a UDP port", "\"gue:6080\""),
    ("encapsulation = [\"gue:1\", \"gue:2\"]", "1:27: `gue` is there twice", "remove"),
    ("uplinks = [\"a\"]", "3:8: `a` is both a link and an uplink", "uplinks"),
    ("[metrics]\nlisten = \"localhost:1\"", "2:10: \"localhost:1\" is not", "\"off\""),
    ("pins = \"pins\"", "1:8: \"pins\" is not an absolute path", "\"off\""),
    ("[arming]\nanswers = 0", "2:11: a service can't be armed", "1000"),
    ("[arming]\nanswers = -1", "2:11: invalid value", "docs/"),
    ("[return]\nhold_down = \"0s\"", "2:13: a hold-down of 0ns", "10s"),
    ("[return]\nhold_down = \"31m\"", "2:13: a hold-down of 1860s", "10s"),
    ("[detection]\nnode_years_between_false_alarms = 0", "2:35: 0 years", "10"),
    ("[detection]\nnode_years_between_false_alarms = -1", "2:35: -1 years", "10"),
    ("[detection]\nnode_years_between_false_alarms = inf", "2:35: inf years", "10"),
    ("[detection]\nnode_years_between_false_alarms = nan", "2:35: NaN years", "10"),
    ("[detection]\nnode_years_between_false_alarms = 1e10", "2:35: 10000000000 years", "10"),
];

#[rustfmt::skip]
const LINKS: &[Case] = &[
    ("[[link]]\nname = \"\"", "2:8: the name of the interface is empty", "ip link"),
    ("[[link]]\nname = \"a/b\"", "2:8: \"a/b\" can't be", "ip link"),
    ("[[link]]\nname = \"a b\"", "2:8: \"a b\" can't be", "ip link"),
    ("[[link]]\nname = \"a\\u0000\"", "2:8: \"a\\0\" can't be", "ip link"),
    ("[[link]]\nname = \"..\"", "2:8: \"..\" can't be", "ip link"),
    ("[[link]]\nname = \"anycast012345678\"", "2:8: \"anycast012345678\" is longer", "ip link"),
    ("[[link]]\nname=\"é\"\n[[link]]\nname=\"é\"", "4:6: the link `é` is configured twice", "remove"),
];

/// Follows [`LINK`] and [`SERVICE`], so that its first line is line 6.
#[rustfmt::skip]
const SERVICES: &[Case] = &[
    ("", "3:1: the key `port` is missing", "add `port"),
    ("port = 0", "6:8: port 0", "53"),
    ("port = 65536", "6:8: invalid value", "docs/"),
    ("port = 53\nprotcol = 1", "7:1: unknown key `protcol`", "did you mean `protocol`?"),
    ("port = 53\nweight = 0", "7:10: a service that weighs nothing", "1 or more"),
    ("port = 53\naddresses = []", "7:13: `addresses` is an empty list", "on the link"),
    ("port = 53\naddresses = [\"x\"]", "7:14: \"x\" is not an IP address", "2001:db8::53"),
    ("port = 53\naddresses = [\"192.0.2.0/24\"]", "7:14: \"192.0.2.0/24\" is not", "prefix length"),
    ("port = 53\naddresses = [\"224.0.0.1\"]", "7:14: 224.0.0.1 is a multicast", "unicast"),
    ("port = 53\naddresses = [\"255.255.255.255\"]", "7:14: 255.255.255.255 is the broadcast", "unicast"),
    ("port = 53\naddresses = [\"::\"]", "7:14: :: is the unspecified", "unicast"),
    ("port = 53\naddresses = [\"127.0.0.2\"]", "7:14: 127.0.0.2 is a loopback", "unicast"),
    ("port = 53\naddresses = [\"::ffff:192.0.2.1\"]", "7:14: ::ffff:192.0.2.1 is an IPv4-mapped", "unicast"),
    ("port = 53\naddresses = [\"192.0.2.1\", \"192.0.2.1\"]", "7:27: 192.0.2.1, UDP port 53, is", "remove"),
    ("port = 53\n[[link.service]]\nname = \"b\"\nprotocol = \"dns-udp\"\nport = 53", "10:8: UDP port 53 is on link `a` twice", "`addresses`"),
    ("port = 53\n[[link.service]]\nname = \"b\"\nprotocol = \"quic\"\nport = 53\naddresses = [\"192.0.2.1\"]", "10:8: UDP port 53 is on link `a` twice", "`addresses`"),
    ("port = 53\naddresses = [\"192.0.2.1\"]\n[[link.service]]\nname = \"b\"\nprotocol = \"udp\"\nport = 53\naddresses = [\"192.0.2.1\"]", "12:14: 192.0.2.1, UDP port 53, is", "remove"),
    ("port = 53\n[[link.service]]\nname = \"dns\"\nprotocol = \"dns-udp\"\nport = 54", "8:8: the service `dns` is on", "remove"),
    ("port = 53\naddresses = [\"192.0.2.1\"]\n[[link]]\nname = \"b\"\n[[link.service]]\nname = \"dns\"\nprotocol = \"dns-udp\"\nport = 53\naddresses = [\"192.0.2.1\"]", "14:14: 192.0.2.1, UDP port 53, is", "remove"),
];

fn assert_refused(text: &str, place: &str, remedy: &str) {
    let error = refusal(text);
    assert!(error.starts_with(&format!("probe.toml:{place}")), "{error}");
    assert!(error.contains("; ") && error.contains(remedy), "{error}");
}

#[test]
fn shapes_durations_and_links_are_refused_in_their_place() {
    for (text, place, remedy) in SHAPE.iter().chain(DURATIONS).chain(LINKS) {
        assert_refused(text, place, remedy);
    }
}

#[test]
fn values_are_refused_in_their_place() {
    for (text, place, remedy) in VALUES {
        assert_refused(&format!("{text}\n{LINK}"), place, remedy);
    }
}

#[test]
fn services_are_refused_in_their_place() {
    for (text, place, remedy) in SERVICES {
        assert_refused(&format!("{LINK}{SERVICE}{text}"), place, remedy);
    }
    let tcp = SERVICE.replace("dns-udp", "dns-tcp");
    let place = "5:12: `dns-tcp` is not a value of this key; did you mean `dns-udp`?";
    assert_refused(&format!("{LINK}{tcp}port = 53"), place, "");
    let unknown = SERVICE.replace("dns-udp", "gopher");
    let place = "5:12: `gopher` is not a value of this key; use `dns-udp`, `ntp`, ";
    assert_refused(&format!("{LINK}{unknown}port = 53"), place, "`tcp-server-first`");
    let odd = SERVICE.replace("\"dns\"", "\"d\\n\"");
    assert_refused(&format!("{LINK}{odd}port = 53"), "4:8: \"d\\n\" can't be", "1 to 63");
}
