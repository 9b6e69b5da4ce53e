//! How much more than Poisson's the answers of a healthy service vary.

/// Blocks that the variance is a mean over: their number decides by how much it is off, a fifteenth with this one.
const BLOCKS: f64 = 256.0;
/// The most that evidence is divided by. Without a limit whoever sends in bursts could blind the detector.
const MAX: f64 = 4.0;

/// φ = Var(a − e) / mean e, between 1 and 4, where a answers came in a block in which e were expected.
///
/// The quasi-Poisson dispersion of `McCullagh` and Nelder, *Generalized Linear Models* (2nd ed., ch. 6.2.3), as running
/// means over blocks.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Dispersion {
    blocks: f64,
    difference: f64,
    variance: f64,
    expected: f64,
}

impl Dispersion {
    /// Takes a block of a healthy service.
    pub(super) fn learn(&mut self, expected: f64, answers: u64) {
        self.blocks = (self.blocks + 1.0).min(BLOCKS);
        let weight = 1.0 / self.blocks;
        let off = answers as f64 - expected - self.difference;
        self.difference += weight * off;
        // Welford's, with forgetting.
        self.variance = (1.0 - weight) * (self.variance + weight * off * off);
        self.expected += weight * (expected - self.expected);
    }

    /// φ.
    pub(super) fn value(self) -> f64 {
        if self.expected > 0.0 {
            (self.variance / self.expected).clamp(1.0, MAX)
        } else {
            1.0
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(blocks: impl IntoIterator<Item = u64>) -> f64 {
        let mut dispersion = Dispersion::default();
        blocks.into_iter().for_each(|answers| dispersion.learn(20.0, answers));
        dispersion.value()
    }

    #[test]
    fn what_varies_less_than_poisson_counts_as_poisson() {
        assert!((of([20; 1000]) - 1.0).abs() < 1e-9);
        assert!((of([]) - 1.0).abs() < 1e-9);
    }

    #[test]
    fn clusters_raise_it_and_no_further_than_four() {
        // A standard deviation of 7 about 20: the variance is 49.
        let twos = of((0..1000).map(|block| if block % 2 == 0 { 13 } else { 27 }));
        assert!((twos - 2.45).abs() < 0.05, "{twos}");
        assert!((of((0..1000).map(|block| if block % 10 == 0 { 200 } else { 0 })) - MAX).abs() < 1e-9);
    }

    #[test]
    fn it_forgets() {
        let calm_again = (0..1000)
            .map(|block| if block % 2 == 0 { 0 } else { 40 })
            .chain(std::iter::repeat_n(20, 3000));
        assert!(of(calm_again) < 1.1);
    }
}
