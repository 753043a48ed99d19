//! Seeded streams. One [`Seed`] gives as many independent streams as there are names, so that a new use of chance in one
//! place does not move the dice of another.

use rand_core::{RngCore, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seed(pub u64);

impl Seed {
    /// The stream of that name. The same seed and name give the same stream on every platform.
    pub fn stream(self, name: &str) -> Stream {
        // FNV-1a, 64 bits: names are few and fixed, and the generator's own seeding spreads what is close.
        let hash = name
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
        Stream(Xoshiro256PlusPlus::seed_from_u64(self.0 ^ hash))
    }
}

/// A stream of dice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stream(Xoshiro256PlusPlus);

impl Stream {
    #[allow(clippy::should_implement_trait)] // It never ends, so an iterator's `Option` would lie.
    pub fn next(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Uniform in `0..bound`; 0 where `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        // Lemire's multiply-shift without rejection: the bias is below 2⁻³² for every bound that is used here.
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }

    /// Uniform in `from..=to`.
    pub fn between(&mut self, from: u64, to: u64) -> u64 {
        from + self.below(to.saturating_sub(from).saturating_add(1))
    }

    /// True in `per_million` of a million rolls.
    pub fn chance(&mut self, per_million: u32) -> bool {
        self.below(1_000_000) < u64::from(per_million)
    }

    /// A version 4 UUID, as Kafka's topic ids are.
    pub fn uuid(&mut self) -> uuid::Uuid {
        let bits = u128::from(self.next()) << 64 | u128::from(self.next());
        uuid::Builder::from_random_bytes(bits.to_be_bytes()).into_uuid()
    }
}
