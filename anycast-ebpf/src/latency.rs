//! Which transactions are sampled, what is kept while they are under way, and how long they took.
//!
//! Several CPUs work on the same slots without a lock. Whoever changes the owner of a slot takes the tag out of it first,
//! by an atomic exchange, so that of several that end a transaction only one goes on. Two that begin one in the same slot
//! at the same moment may leave one's tag with the other's time. What a race can cost is a sample, or what lies between
//! these two times: nanoseconds, or as long as one of them was interrupted.

use core::sync::atomic::AtomicU64;

use crate::{
    atomic,
    layout::{LATENCY_BUCKETS, Latency, OPEN_TRANSACTIONS, Slot, Transaction},
    packet::Flow,
};

/// Values below this have buckets of equal width, of 64 ns.
const LINEAR_NS: u64 = 1 << LINEAR_BITS;
const LINEAR_BITS: u32 = 10;
/// Each power of two above has this many buckets, so that a bucket is at most 1/16 = 6.25 % of its lower end wide.
const BUCKETS_PER_OCTAVE: u64 = 1 << OCTAVE_BITS;
const OCTAVE_BITS: u32 = 4;

/// The bucket of a time. The last one, from 16.6 s, is open.
///
/// As in `HdrHistogram`: b = 16 · (e − 10) + (t / 2^(e−4)), with e = ⌊log₂ t⌋ for t ≥ 1024 ns.
#[inline(always)]
#[must_use]
pub const fn bucket(ns: u64) -> usize {
    let index = if ns < LINEAR_NS {
        ns >> (LINEAR_BITS - OCTAVE_BITS)
    } else {
        let exponent = u64::BITS - 1 - ns.leading_zeros();
        (exponent - LINEAR_BITS) as u64 * BUCKETS_PER_OCTAVE + (ns >> (exponent - OCTAVE_BITS))
    };
    if index < LATENCY_BUCKETS as u64 {
        index as usize
    } else {
        LATENCY_BUCKETS - 1
    }
}

/// The shortest time of a bucket, in nanoseconds.
#[must_use]
pub const fn bucket_start(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < BUCKETS_PER_OCTAVE {
        return bucket << (LINEAR_BITS - OCTAVE_BITS);
    }
    let octave = bucket / BUCKETS_PER_OCTAVE - 1;
    (BUCKETS_PER_OCTAVE + bucket % BUCKETS_PER_OCTAVE) << (octave + (LINEAR_BITS - OCTAVE_BITS) as u64)
}

/// Whether a transaction is sampled: its keyed hash by one multiplication, which every packet pays, has none of the bits
/// of `mask`, which are in the upper half.
///
/// Somebody who makes up transactions whose ends and IDs cancel one another can have all of them sampled or none, and
/// can't tell which. Where a sample is kept depends on [`Hash`] instead.
#[inline(always)]
pub(crate) const fn is_sampled(secret: u64, mask: u64, flow: &Flow, id: u64) -> bool {
    let [high, low] = flow.client;
    let mix = low ^ high.rotate_left(24) ^ id.rotate_left(16) ^ flow.client_port as u64 ^ secret;
    mix.wrapping_mul(secret) & mask == 0
}

/// What the two directions of a transaction have in common, keyed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hash(u64);

impl Hash {
    /// Two multiplications by the odd `secret`, around which the upper half, where multiplication mixes best, is folded onto
    /// the lower. What an IPv4 client and a DNS message have lies beside one another in the second, and what an IPv6 client
    /// may choose itself collides with its own alone. It is no cryptographic hash; it has to be unforeseeable for somebody
    /// who sees none of its values.
    #[inline(always)]
    pub(crate) const fn new(secret: u64, slot: &Slot, flow: &Flow, id: u64) -> Self {
        let [high, low] = flow.client;
        let ends = (slot.service as u64) << 16 | flow.client_port as u64;
        let hash = fold((low ^ secret).wrapping_mul(secret));
        let rest = high.rotate_left(32) ^ ends ^ id.rotate_left(40);
        Self(fold(fold(hash ^ rest).wrapping_mul(secret)))
    }

    /// What is kept in a slot; never zero.
    #[inline(always)]
    pub(crate) const fn tag(self) -> u64 {
        self.0 | 1
    }

    /// Its place among so many, a power of two.
    #[inline(always)]
    pub(crate) const fn place(self, slots: usize) -> usize {
        self.0 as usize & (slots - 1)
    }

    /// Its place among the transactions under way.
    #[inline(always)]
    pub(crate) const fn transaction(self) -> usize {
        self.place(OPEN_TRANSACTIONS)
    }
}

#[inline(always)]
const fn fold(hash: u64) -> u64 {
    hash ^ hash >> 32
}

/// After this long a query with the same ends and ID is another one, in nanoseconds.
const STALE_NS: u64 = 10_000_000_000;

/// A sampled query came. One that is repeated while its first is under way is the same transaction.
#[inline(always)]
pub(crate) fn open(transaction: &Transaction, latency: &Latency, hash: Hash, now: impl FnOnce() -> u64) {
    let now = now();
    if atomic::load(&transaction.tag) == hash.tag() && now.saturating_sub(atomic::load(&transaction.since)) <= STALE_NS
    {
        return;
    }
    atomic::add(&latency.sampled, 1);
    if replace(&transaction.tag, &transaction.since, hash, now) {
        atomic::add(&latency.overwritten, 1);
    }
}

/// Takes a slot; whether it had an owner.
#[inline(always)]
pub(crate) fn replace(tag: &AtomicU64, since: &AtomicU64, hash: Hash, time: u64) -> bool {
    let previous = atomic::swap(tag, 0);
    atomic::store(since, time);
    atomic::swap(tag, hash.tag());
    previous != 0
}

/// An answer to a sampled query left. `counts_mismatch`: a query has only one.
#[inline(always)]
pub(crate) fn close(
    transaction: &Transaction,
    latency: &Latency,
    hash: Hash,
    counts_mismatch: bool,
    now: impl FnOnce() -> u64,
) {
    let since = atomic::load(&transaction.since);
    if atomic::load(&transaction.tag) == hash.tag() {
        // Before the slot is released: the two don't wait for one another then.
        let now = now();
        if release(&transaction.tag, hash) {
            add(latency, now.wrapping_sub(since));
            return;
        }
    }
    if counts_mismatch {
        atomic::add(&latency.mismatched, 1);
    }
}

/// Empties a slot; false when it changed hands meanwhile.
#[inline(always)]
pub(crate) fn release(tag: &AtomicU64, hash: Hash) -> bool {
    atomic::replace(tag, hash.tag(), 0)
}

/// Counts a time.
#[inline(always)]
pub(crate) fn add(latency: &Latency, ns: u64) {
    if let Some(bucket) = latency.buckets.get(bucket(ns)) {
        atomic::add(bucket, 1);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn buckets_follow_one_another_without_a_gap() {
        for index in 1..LATENCY_BUCKETS {
            let start = bucket_start(index);
            assert_eq!(bucket(start), index);
            assert_eq!(bucket(start - 1), index - 1);
        }
        assert_eq!(bucket(0), 0);
        assert_eq!(bucket(u64::MAX), LATENCY_BUCKETS - 1);
        assert!(bucket_start(LATENCY_BUCKETS - 1) > 16_000_000_000);
    }

    proptest! {
        #[test]
        fn a_bucket_is_a_sixteenth_wide(ns in 1024_u64..16_000_000_000) {
            let start = bucket_start(bucket(ns));
            let end = bucket_start(bucket(ns) + 1);
            prop_assert!(start <= ns && ns < end);
            prop_assert!((end - start) * 16 <= start);
        }

        /// Of many clients: of a single one whose port alone changes a multiplication may choose more or fewer.
        #[test]
        fn one_in_two_to_the_bits_of_the_mask_is_sampled(secret: u64) {
            // The golden ratio spreads them, so that no two flows are neighbours.
            let flow = |number: u64| {
                let spread = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
                let flow = Flow {
                    service: crate::layout::ServiceKey::default(),
                    client: [0, spread & !0xffff_ffff | 0xffff_0000],
                    client_port: spread as u16,
                    transport: 34,
                    transport_bytes: Some(100),
                    head: crate::packet::Head::UNKNOWN,
                };
                is_sampled(secret | 1, 0xf << 32, &flow, spread >> 16 & 0xffff)
            };
            let sampled = (0..0x1_0000).filter(|&number| flow(number)).count();
            prop_assert!((3_000..5_400).contains(&sampled), "{sampled} of 65536");
        }
    }
}
