//! The recent peak: the most that was in use in this epoch and the last.
//!
//! It decides how much memory that is free stays resident. A program that
//! needed so much a moment ago is likely to need it again, and as long as
//! what is used and what is kept stay below the peak together, keeping costs
//! nothing that the program has not shown to have.

/// The peak of some figure over two epochs.
pub struct RecentPeak {
    epoch: u64,
    this: usize,
    last: usize,
    resting: bool,
}

impl RecentPeak {
    /// No peak yet.
    pub const fn new() -> Self {
        Self {
            epoch: 0,
            this: 0,
            last: 0,
            resting: false,
        }
    }

    /// Notes the figure as it is in an epoch, which are counted, and returns
    /// its recent peak.
    pub fn note(&mut self, figure: usize, epoch: u64) -> usize {
        if epoch != self.epoch {
            self.last = if epoch == self.epoch + 1 {
                self.this
            } else {
                figure
            };
            self.this = figure;
            self.epoch = epoch;
            self.resting = false;
        }
        self.this = self.this.max(figure);
        self.this.max(self.last)
    }

    /// Has [`RecentPeak::is_resting`] be true until the epoch ends.
    pub fn rest(&mut self) {
        self.resting = true;
    }

    /// Whether what follows from the peak was tried in vain in this epoch.
    pub fn is_resting(&self) -> bool {
        self.resting
    }
}

#[cfg(test)]
mod tests {
    use super::RecentPeak;

    #[test]
    fn a_peak_is_forgotten_after_two_epochs() {
        let mut peak = RecentPeak::new();
        assert_eq!(peak.note(5, 10), 5);
        assert_eq!(peak.note(9, 10), 9);
        assert_eq!(peak.note(2, 10), 9);
        assert_eq!(peak.note(3, 11), 9);
        assert_eq!(peak.note(4, 12), 4);
        assert_eq!(peak.note(1, 20), 1);
    }
}
