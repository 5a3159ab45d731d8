//! How fast messages follow each other: the one definition of a rate.

use crate::data::Stamp;

/// How many messages, and from when to when.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pace {
    pub(super) messages: u64,
    span: Option<(Stamp, Stamp)>,
}

impl Pace {
    pub(super) fn note(&mut self, stamp: Stamp) {
        let (first, last) = self.span.unwrap_or((stamp, stamp));
        self.messages += 1;
        self.span = Some((first.min(stamp), last.max(stamp)));
    }

    /// The one definition of a rate: intervals over the time that they take together.
    pub(super) fn rate_hz(self) -> Option<f64> {
        let (first, last) = self.span.filter(|(first, last)| first < last)?;
        Some((self.messages - 1) as f64 * 1e9 / last.signed_ns_since(first) as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_intervals_over_the_time_that_they_take() {
        let pace = |stamps: &[u64]| {
            let mut pace = Pace::default();
            for ms in stamps {
                pace.note(Stamp::from_ns(ms * 1_000_000));
            }
            pace.rate_hz()
        };
        assert_eq!((pace(&[]), pace(&[7]), pace(&[7, 7])), (None, None, None));
        assert_eq!(pace(&[300, 100, 200, 500]), Some(7.5));
    }
}
