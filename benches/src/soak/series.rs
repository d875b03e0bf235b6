//! A figure over time, and whether it grows.

/// Samples at an even pace.
#[derive(Debug, Default)]
pub struct Series {
    samples: Vec<f64>,
}

/// What the first quarter of all samples is for.
const WARM_UP: usize = 4;

/// Of its level, how much a figure may grow besides its slack: load is never
/// even.
const UNEVEN: f64 = 0.03;

fn median(samples: &[f64]) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

impl Series {
    pub fn push(&mut self, sample: f64) {
        self.samples.push(sample);
    }

    /// The samples behind the warm-up, and a third of their number.
    fn warm(&self) -> (&[f64], usize) {
        let warm = &self.samples[self.samples.len() / WARM_UP..];
        (warm, warm.len() / 3)
    }

    /// The median of the first third behind the warm-up; 0 without samples.
    pub fn level(&self) -> f64 {
        match self.warm() {
            (_, 0) => 0.0,
            (warm, third) => median(&warm[..third]),
        }
    }

    /// By how much the last third's median is above that; `None`: too few
    /// samples to say.
    pub fn growth(&self) -> Option<f64> {
        match self.warm() {
            (_, 0) => None,
            (warm, third) => Some(median(&warm[warm.len() - third..]) - self.level()),
        }
    }

    /// The growth that still counts as flat.
    pub fn bound(&self, slack: f64) -> f64 {
        slack + self.level() * UNEVEN
    }
}

#[cfg(test)]
mod tests {
    use super::Series;

    fn series(samples: impl IntoIterator<Item = f64>) -> Series {
        let samples = samples.into_iter().collect();
        Series { samples }
    }

    fn is_flat(series: &Series) -> bool {
        series.growth().expect("there are samples") <= series.bound(1000.0)
    }

    /// Up and down by a fifth, with a start that is lower.
    fn noisy(k: u32) -> f64 {
        let warming = f64::from(k.min(30)) / 30.0;
        warming * (20_000.0 + f64::from(k * 7919 % 4001))
    }

    #[test]
    fn what_goes_up_and_down_is_flat() {
        assert!(is_flat(&series((0..180).map(noisy))));
        assert!(is_flat(&series((0..60).map(|_| 100.0))));
        assert!(is_flat(&series((0..180).map(|k| 9000.0 - f64::from(k)))));
    }

    #[test]
    fn a_leak_is_not() {
        let leak = |k: u32| noisy(k) + 30.0 * f64::from(k);
        assert!(!is_flat(&series((0..180).map(leak))));
        let steps = |k: u32| noisy(k) + 3000.0 * f64::from(k / 60);
        assert!(!is_flat(&series((0..180).map(steps))));
    }

    #[test]
    fn few_samples_say_nothing() {
        assert_eq!(series([]).growth(), None);
        assert_eq!(series([1.0, 2.0]).growth(), None);
    }
}
