//! The speed of a trainer, measured as a real one measures it.
//!
//! Rule: it is reported every few steps and smoothed, so that one slow step moves no shard.

/// Steps between two reports.
const STEPS: u64 = 32;

/// Share of the newest measurement in the reported speed, percent.
const NEWEST_PERCENT: u64 = 20;

/// Measures of the steps since the last report, and the speed that was reported.
#[derive(Debug, Default)]
pub(crate) struct Speedometer {
    steps: u64,
    /// Thousands of multiply-accumulates.
    work: u64,
    us: u64,
    /// In millions of multiply-accumulates a second; 0 before the first report.
    reported: u64,
}

impl Speedometer {
    /// Whether there was no step since the last report.
    pub(crate) fn is_blank(&self) -> bool {
        self.steps == 0
    }

    /// Adds a step of `work` thousands of multiply-accumulates; returns the speed when a report is
    /// due.
    pub(crate) fn add(&mut self, work: u64, us: u64) -> Option<u64> {
        (self.steps, self.work, self.us) = (self.steps + 1, self.work + work, self.us + us);
        if self.steps < STEPS {
            return None;
        }
        let measured = self.work * 1_000 / self.us.max(1);
        self.reported = match self.reported {
            0 => measured,
            old => (old * (100 - NEWEST_PERCENT) + measured * NEWEST_PERCENT) / 100,
        };
        (self.steps, self.work, self.us) = (0, 0, 0);
        Some(self.reported.max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_due_now_and_then_and_follows_slowly() {
        let mut speedometer = Speedometer::default();
        let mut reports = |us| -> Vec<u64> {
            (0..2 * STEPS).filter_map(|_| speedometer.add(1_000, us)).collect()
        };
        assert_eq!(reports(10_000), [100, 100]);
        assert_eq!(reports(5_000), [120, 136]);
        assert!(speedometer.is_blank());
    }
}
