//! The perfect hash of the service table.

use crate::layout::{ServiceKey, Slot, TABLE_SLOTS, Table};

const SLOT_BITS: u32 = TABLE_SLOTS.trailing_zeros();

/// Multipliers that [`fill`] tries before it gives up. With n services in m slots a random one is free of
/// collisions with probability about e^(−n²/2m): 0.37 for 90 services, 3 · 10⁻⁴ for 256, 10⁻⁹ for 400.
pub const MULTIPLIERS_TRIED: u32 = 1 << 18;

/// The slot of a service under `multiplier`: Fibonacci hashing, the top bits of a product, of the folded key.
///
/// Always below [`TABLE_SLOTS`].
#[inline(always)]
#[must_use]
pub const fn slot_of(multiplier: u64, key: &ServiceKey) -> usize {
    let [high, low] = key.address;
    let service = (key.protocol as u64) << 16 | key.port as u64;
    let folded = high.wrapping_mul(multiplier) ^ low ^ service.rotate_right(32);
    (folded.wrapping_mul(multiplier) >> (u64::BITS - SLOT_BITS)) as usize
}

/// Looks a service up: one slot, compared whole.
#[inline(always)]
#[must_use]
pub fn find<'table>(table: &'table Table, key: &ServiceKey) -> Option<&'table Slot> {
    // The mask is what tells the kernel's verifier that the index is in bounds.
    let slot = table.slots.get(slot_of(table.multiplier, key) & (TABLE_SLOTS - 1))?;
    (slot.classifier != 0 && slot.key == *key).then_some(slot)
}

/// No multiplier was found under which the services don't collide: there are too many, or one occurs twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoPerfectHash;

/// Empties `table` and gives each of `services` a slot of its own.
///
/// The candidates for the multiplier are those of splitmix64 from a fixed seed, so the same services give the same table.
/// On failure, after [`MULTIPLIERS_TRIED`], the table is empty.
pub fn fill(table: &mut Table, services: &[Slot]) -> Result<(), NoPerfectHash> {
    table.slots.fill(Slot::EMPTY);
    let mut state = 0_u64;
    table.multiplier = (0..MULTIPLIERS_TRIED)
        .map(|_| splitmix64(&mut state) | 1)
        .find(|&candidate| is_perfect(candidate, services))
        .ok_or(NoPerfectHash)?;
    for service in services {
        if let Some(slot) = table.slots.get_mut(slot_of(table.multiplier, &service.key)) {
            *slot = *service;
        }
    }
    Ok(())
}

/// Steele, Lea, Flood: Fast splittable pseudorandom number generators (OOPSLA 2014).
const fn splitmix64(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn is_perfect(multiplier: u64, services: &[Slot]) -> bool {
    let mut taken = [0_u64; TABLE_SLOTS / 64];
    services.iter().all(|service| {
        let slot = slot_of(multiplier, &service.key);
        let bit = 1_u64 << (slot % 64);
        taken.get_mut(slot / 64).is_some_and(|word| {
            let free = *word & bit == 0;
            *word |= bit;
            free
        })
    })
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::{boxed::Box, vec::Vec};

    use proptest::prelude::*;

    use super::*;
    use crate::layout::{Classifier, PROTOCOL_UDP};

    fn services(keys: impl IntoIterator<Item = ServiceKey>) -> Vec<Slot> {
        (0..)
            .zip(keys)
            .map(|(bank, key)| Slot {
                key,
                classifier: Classifier::DnsUdp as u32,
                bank,
            })
            .collect()
    }

    fn filled(services: &[Slot]) -> Box<Table> {
        let mut table = Box::new(Table::EMPTY);
        fill(&mut table, services).expect("a perfect hash");
        table
    }

    #[test]
    fn every_service_of_256_is_found_at_its_own_slot() {
        let keys = (0..128_u8).flat_map(|i| {
            let mut v6 = [0x20; 16];
            v6[15] = i;
            [
                ServiceKey::ipv4([192, 0, 2, i], PROTOCOL_UDP, 53),
                ServiceKey::ipv6(v6, PROTOCOL_UDP, 53),
            ]
        });
        let services = services(keys);
        let table = filled(&services);
        for service in &services {
            assert_eq!(find(&table, &service.key), Some(service));
        }
    }

    #[test]
    fn a_service_that_occurs_twice_has_no_perfect_hash() {
        let key = ServiceKey::ipv4([192, 0, 2, 1], PROTOCOL_UDP, 53);
        assert_eq!(
            fill(&mut Box::new(Table::EMPTY), &services([key, key])),
            Err(NoPerfectHash)
        );
    }

    #[test]
    fn an_empty_table_finds_nothing() {
        assert_eq!(find(&filled(&[]), &ServiceKey::default()), None);
    }

    proptest! {
        #[test]
        fn a_key_is_found_only_when_every_field_is_equal(address: [u8; 16], protocol: u8, port: u16) {
            let service = ServiceKey::ipv4([192, 0, 2, 53], PROTOCOL_UDP, 53);
            let table = filled(&services([service]));
            let key = ServiceKey::ipv6(address, protocol, port);
            prop_assert_eq!(find(&table, &key).is_some(), key == service);
        }

        #[test]
        fn a_slot_is_always_in_the_table(address: [u8; 16], protocol: u8, port: u16, multiplier: u64) {
            prop_assert!(slot_of(multiplier, &ServiceKey::ipv6(address, protocol, port)) < TABLE_SLOTS);
        }
    }
}
