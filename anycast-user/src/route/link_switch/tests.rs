use super::*;
use crate::net::testing::{Namespace, in_namespace};
use crate::route::{Ownership, ownership};

fn read(namespace: &mut Namespace) -> Link {
    namespace.netlink().link("anycast0").unwrap()
}

#[test]
fn withdraw_and_announce_are_seen_by_everybody_and_may_be_repeated() {
    in_namespace(|namespace| {
        let mut link = namespace.service_link("anycast0");
        namespace.add_address(&link, "192.0.2.53/32");
        namespace.set_alias(link.index, "rack 7");
        link = read(namespace);
        let mut switch = LinkSwitch::open(&link).unwrap();
        for _ in 0..3 {
            let done = switch.withdraw().unwrap();
            assert!(done.sent_at <= done.acknowledged_at);
            let down = read(namespace);
            assert!(!down.up);
            assert_eq!(
                down.alias.as_deref(),
                Some("anycast-probe withdrew this link | was: rack 7")
            );
            assert_eq!(ownership(&down), Ownership::Ours);
            // A daemon that starts again finds the alias under the mark.
            let mut successor = LinkSwitch::open(&down).unwrap();
            successor.withdraw().unwrap();
            successor.announce().unwrap();
            switch.announce().unwrap();
            assert_eq!(read(namespace), link);
        }
    });
}

#[test]
fn an_alias_of_any_length_comes_back_and_none_stays_none() {
    in_namespace(|namespace| {
        let link = namespace.service_link("anycast0");
        assert_eq!(link.alias, None);
        for alias in [None, Some("ä".repeat(127))] {
            let link = Link { alias, ..link.clone() };
            let mut switch = LinkSwitch::open(&link).unwrap();
            switch.withdraw().unwrap();
            assert_eq!(ownership(&read(namespace)), Ownership::Ours);
            switch.announce().unwrap();
            assert_eq!(read(namespace), link);
        }
    });
}

#[test]
fn a_link_raised_by_an_operator_is_not_ours_any_more() {
    in_namespace(|namespace| {
        let link = namespace.service_link("anycast0");
        let mut switch = LinkSwitch::open(&link).unwrap();
        let done = switch.withdraw().unwrap();
        namespace.set_up(link.index, true);
        // Had somebody been that quick, the withdrawal would have been reported as failed.
        let error = switch.read_back(done.sent_at, false).unwrap_err();
        assert!(matches!(error, RouteError::ReadBack { up: true, .. }));
        let raised = read(namespace);
        assert_eq!(ownership(&raised), Ownership::NotOurs);
        assert!(is_marked(&raised));
    });
}

#[test]
fn a_mark_is_taken_off_and_nothing_else_is_changed() {
    in_namespace(|namespace| {
        let link = namespace.service_link("anycast0");
        namespace.set_alias(link.index, "rack 7");
        let mut switch = LinkSwitch::open(&read(namespace)).unwrap();
        switch.withdraw().unwrap();
        let withdrawn = read(namespace);
        switch.unmark().unwrap();
        assert_eq!(read(namespace), withdrawn, "down, the mark is right");
        namespace.set_up(link.index, true);
        // The second time there is nothing to take off.
        for _ in 0..2 {
            switch.unmark().unwrap();
            let unmarked = read(namespace);
            assert_eq!((unmarked.up, unmarked.alias.as_deref()), (true, Some("rack 7")));
        }
    });
}

#[test]
fn a_link_that_an_operator_lowered_is_not_marked_and_one_of_ours_may_be_withdrawn_again() {
    in_namespace(|namespace| {
        let link = namespace.service_link("anycast0");
        let mut switch = LinkSwitch::open(&link).unwrap();
        switch.withdraw().unwrap();
        switch.withdraw().unwrap();
        switch.announce().unwrap();
        namespace.set_up(link.index, false);
        let lowered = read(namespace);
        assert!(matches!(switch.withdraw(), Err(RouteError::NotOurs { .. })));
        assert_eq!(read(namespace), lowered);
    });
}

#[test]
fn a_link_that_an_operator_took_over_is_refused() {
    in_namespace(|namespace| {
        let link = namespace.service_link("anycast0");
        let mut switch = LinkSwitch::open(&link).unwrap();
        for alias in ["hands off", ""] {
            switch.withdraw().unwrap();
            namespace.set_alias(link.index, alias);
            let taken_over = read(namespace);
            let error = switch.announce().unwrap_err();
            assert!(
                matches!(&error, RouteError::NotOurs { link } if link == "anycast0"),
                "{error}"
            );
            assert!(!error.is_transient());
            assert_eq!(read(namespace), taken_over);
            namespace.set_up(link.index, true);
        }
    });
}

#[test]
fn the_alias_within_the_mark_is_the_one_that_comes_back_and_is_kept_next_time() {
    in_namespace(|namespace| {
        let link = namespace.service_link("anycast0");
        let mut switch = LinkSwitch::open(&link).unwrap();
        switch.withdraw().unwrap();
        namespace.set_alias(link.index, &alias::withdrawn("rack 8"));
        switch.announce().unwrap();
        assert_eq!(read(namespace).alias.as_deref(), Some("rack 8"));
        switch.withdraw().unwrap();
        assert_eq!(read(namespace).alias.unwrap(), alias::withdrawn("rack 8"));
    });
}

#[test]
fn an_address_deleted_while_withdrawn_stays_deleted() {
    in_namespace(|namespace| {
        let link = namespace.service_link("anycast0");
        namespace.add_address(&link, "2001:db8::53/128");
        let mut switch = LinkSwitch::open(&link).unwrap();
        // Nothing was prepared, so the kernel deletes it.
        switch.withdraw().unwrap();
        switch.announce().unwrap();
        assert_eq!(namespace.netlink().addresses(link.index).unwrap(), []);
    });
}

#[test]
fn a_link_that_is_gone_is_an_error_that_says_so() {
    in_namespace(|namespace| {
        let link = namespace.service_link("anycast0");
        let mut switch = LinkSwitch::open(&link).unwrap();
        namespace.delete_link(link.index);
        let error = switch.withdraw().unwrap_err();
        assert!(!error.is_transient());
        assert!(error.to_string().contains("gone"), "{error}");
    });
}
