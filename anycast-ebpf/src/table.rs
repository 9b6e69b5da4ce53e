//! The perfect hashes of the service table.

use crate::layout::{LOCAL_SLOTS, ServiceKey, Slot, TABLE_SLOTS, Table};

/// Multipliers that [`fill`] tries before it gives up. With n keys in m slots a random one is free of collisions with
/// probability about e^(−n²/2m): 3 · 10⁻⁴ for 256 services in 8192 slots, 1.2 · 10⁻⁴ for 384, and as much for 512
/// addresses in 16384 slots.
pub const MULTIPLIERS_TRIED: u32 = 1 << 18;

/// The slot of a service under `multiplier`: Fibonacci hashing, the top bits of a product, of the folded key.
///
/// Always below [`TABLE_SLOTS`].
#[inline(always)]
#[must_use]
pub const fn slot_of(multiplier: u64, key: &ServiceKey) -> usize {
    // Multiplied too: left as it is it would cancel differences of the address, under every multiplier.
    top_bits(
        multiplier,
        key.address,
        key.endpoint.wrapping_mul(multiplier),
        TABLE_SLOTS,
    )
}

/// The slot of an address that is no client's, likewise. Always below [`LOCAL_SLOTS`].
#[inline(always)]
#[must_use]
pub const fn local_slot_of(multiplier: u64, address: [u64; 2]) -> usize {
    top_bits(multiplier, address, 0, LOCAL_SLOTS)
}

#[inline(always)]
const fn top_bits(multiplier: u64, address: [u64; 2], other: u64, slots: usize) -> usize {
    let [high, low] = address;
    let folded = high.wrapping_mul(multiplier) ^ low ^ other;
    (folded.wrapping_mul(multiplier) >> (u64::BITS - slots.trailing_zeros())) as usize
}

/// Looks a service up: one slot, compared whole.
#[inline(always)]
#[must_use]
pub fn find<'table>(table: &'table Table, key: &ServiceKey) -> Option<&'table Slot> {
    // The mask is what tells the kernel's verifier that the index is in bounds.
    let slot = table.slots.get(slot_of(table.multiplier, key) & (TABLE_SLOTS - 1))?;
    // An empty slot has the endpoint 0, which no key has: its protocol is not 0.
    (slot.key == *key).then_some(slot)
}

/// Whether an address is this host's or a service's, so that a packet from it is no client's.
#[inline(always)]
#[must_use]
pub fn is_local(table: &Table, address: [u64; 2]) -> bool {
    let index = local_slot_of(table.local_multiplier, address) & (LOCAL_SLOTS - 1);
    let taken = table
        .locals_taken
        .get(index / 64)
        .is_some_and(|bits| bits >> (index % 64) & 1 != 0);
    taken && table.locals.get(index).is_some_and(|local| *local == address)
}

/// No multiplier was found under which the keys don't collide: there are too many, or one occurs twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoPerfectHash;

/// Empties `table` and gives each of `services`, and of the addresses `locals`, a slot of its own.
///
/// The candidates for a multiplier are those of splitmix64 from a fixed seed, so the same services give the same table.
/// On failure, after [`MULTIPLIERS_TRIED`], the table is empty.
pub fn fill(table: &mut Table, services: &[Slot], locals: &[[u64; 2]]) -> Result<(), NoPerfectHash> {
    table.slots.fill(Slot::EMPTY);
    table.locals_taken.fill(0);
    table.locals.fill([0; 2]);
    let multiplier =
        perfect_multiplier::<{ TABLE_SLOTS / 64 }, _>(services, |candidate, service| slot_of(candidate, &service.key))?;
    let local_multiplier =
        perfect_multiplier::<{ LOCAL_SLOTS / 64 }, _>(locals, |candidate, &address| local_slot_of(candidate, address))?;
    table.multiplier = multiplier;
    table.local_multiplier = local_multiplier;
    for service in services {
        if let Some(slot) = table.slots.get_mut(slot_of(multiplier, &service.key)) {
            *slot = *service;
        }
    }
    for &address in locals {
        let index = local_slot_of(local_multiplier, address);
        if let (Some(local), Some(bits)) = (table.locals.get_mut(index), table.locals_taken.get_mut(index / 64)) {
            *local = address;
            *bits |= 1 << (index % 64);
        }
    }
    Ok(())
}

/// A multiplier under which no two of `keys` share a slot, of 64 times `WORDS`.
fn perfect_multiplier<const WORDS: usize, K>(
    keys: &[K],
    slot_of: impl Fn(u64, &K) -> usize,
) -> Result<u64, NoPerfectHash> {
    let mut state = 0_u64;
    let is_perfect = |candidate: u64| {
        let mut taken = [0_u64; WORDS];
        keys.iter().all(|key| {
            let slot = slot_of(candidate, key);
            let bit = 1_u64 << (slot % 64);
            taken.get_mut(slot / 64).is_some_and(|word| {
                let free = *word & bit == 0;
                *word |= bit;
                free
            })
        })
    };
    (0..MULTIPLIERS_TRIED)
        .map(|_| splitmix64(&mut state) | 1)
        .find(|&candidate| is_perfect(candidate))
        .ok_or(NoPerfectHash)
}

/// Steele, Lea, Flood: Fast splittable pseudorandom number generators (OOPSLA 2014).
const fn splitmix64(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::{boxed::Box, vec::Vec};

    use proptest::prelude::*;

    use super::*;
    use crate::layout::{LOCAL_ADDRESSES_MAX, PROTOCOL_TCP, PROTOCOL_UDP, SERVICES_MAX};

    fn services(keys: impl IntoIterator<Item = ServiceKey>) -> Vec<Slot> {
        (0..)
            .zip(keys)
            .map(|(service, key)| Slot {
                key,
                classifier: 1,
                service,
                bank: service.into(),
            })
            .collect()
    }

    fn key(number: usize) -> ServiceKey {
        let [high, low] = (number as u16).to_be_bytes();
        if number.is_multiple_of(2) {
            ServiceKey::ipv4([192, 0, high, low], PROTOCOL_UDP, 53)
        } else {
            let mut address = [0x20; 16];
            address[14..].copy_from_slice(&[high, low]);
            ServiceKey::ipv6(address, PROTOCOL_UDP, 53)
        }
    }

    fn filled(services: &[Slot], locals: &[[u64; 2]]) -> Box<Table> {
        let mut table = Box::new(Table::EMPTY);
        fill(&mut table, services, locals).expect("a perfect hash");
        table
    }

    #[test]
    fn as_many_services_and_addresses_as_are_allowed_are_found() {
        let services = services((0..SERVICES_MAX).map(key));
        let locals: Vec<_> = (0..LOCAL_ADDRESSES_MAX).map(|number| key(number).address).collect();
        let table = filled(&services, &locals);
        for service in &services {
            assert_eq!(find(&table, &service.key), Some(service));
        }
        assert!(locals.iter().all(|&local| is_local(&table, local)));
        assert!(!is_local(&table, key(LOCAL_ADDRESSES_MAX).address));
    }

    #[test]
    fn differences_of_port_and_protocol_do_not_cancel_those_of_the_address() {
        let keys: Vec<ServiceKey> = (0..=255)
            .flat_map(|octet| {
                let mut v6 = [0x20; 16];
                v6[14] = octet;
                [
                    ServiceKey::ipv4([192, 0, octet, 1], PROTOCOL_UDP, 53),
                    ServiceKey::ipv4([192, 0, octet ^ 0x17, 1], PROTOCOL_TCP, 53),
                    ServiceKey::ipv6(v6, PROTOCOL_UDP, 53),
                    ServiceKey::ipv6(v6, PROTOCOL_TCP, 853),
                ]
            })
            .collect();
        for keys in keys.chunks(SERVICES_MAX) {
            filled(&services(keys.iter().copied()), &[]);
        }
    }

    #[test]
    fn what_occurs_twice_has_no_perfect_hash() {
        let mut table = Box::new(Table::EMPTY);
        assert_eq!(
            fill(&mut table, &services([key(1), key(1)]), &[]),
            Err(NoPerfectHash),
            "a service"
        );
        assert_eq!(
            fill(&mut table, &[], &[key(1).address; 2]),
            Err(NoPerfectHash),
            "an address"
        );
    }

    #[test]
    fn an_empty_table_finds_nothing() {
        let table = filled(&[], &[]);
        assert_eq!(find(&table, &ServiceKey::ipv6([0; 16], PROTOCOL_UDP, 0)), None);
        assert!(!is_local(&table, [0; 2]));
    }

    proptest! {
        #[test]
        fn a_key_is_found_only_when_every_field_is_equal(address: [u8; 16], protocol in 1_u8.., port: u16) {
            let service = ServiceKey::ipv4([192, 0, 2, 53], PROTOCOL_UDP, 53);
            let table = filled(&services([service]), &[service.address]);
            let key = ServiceKey::ipv6(address, protocol, port);
            prop_assert_eq!(find(&table, &key).is_some(), key == service);
            prop_assert_eq!(is_local(&table, key.address), key.address == service.address);
        }

        #[test]
        fn a_slot_is_always_in_the_table(address: [u8; 16], protocol: u8, port: u16, multiplier: u64) {
            let key = ServiceKey::ipv6(address, protocol, port);
            prop_assert!(slot_of(multiplier, &key) < TABLE_SLOTS);
            prop_assert!(local_slot_of(multiplier, key.address) < LOCAL_SLOTS);
        }
    }
}
