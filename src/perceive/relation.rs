//! What a difference between pictures says of labels: learnt while driving, at each key frame.
//!
//! ```text
//! any frame:    residual of the picture ──× relation──▶ labels expected to differ ──▶ key frame, or not yet
//! key frame:    labels that do differ, fresh from carried ──▶ relation
//! ```
//!
//! How far masks go wrong for how much change depends on the network, the camera, the weather and the street: one
//! relation for all is wrong for each. It is a ratio of two sums, in which what was seen long ago counts for little.

/// The relation before anything was measured, as [`FIRST_RESIDUAL`] seen once: in the mean of CamVid and of rendered
/// drives, a picture that differs by 2 % of the range of colours comes with 4.5 % of labels that differ.
const FIRST_DISAGREEMENT: f32 = 0.045;
const FIRST_RESIDUAL: f32 = 0.02;
/// What is left of each earlier measurement after a new one: the newest five are most of what counts.
const KEEP: f32 = 0.8;

/// Labels that differ for a residual.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Relation {
    residuals: f32,
    disagreements: f32,
}

impl Relation {
    /// The share of labels, 0 to 1, that is expected to differ where the picture differs by `residual`; all of them if
    /// that is no number.
    pub(super) fn expected(self, residual: f32) -> f32 {
        let ratio = (FIRST_DISAGREEMENT + self.disagreements) / (FIRST_RESIDUAL + self.residuals);
        let share = residual * ratio;
        if share.is_nan() { 1.0 } else { share.clamp(0.0, 1.0) }
    }

    /// Takes in that where the picture differed by `residual`, `disagreement` of the labels did.
    pub(super) fn learn(&mut self, residual: f32, disagreement: f32) {
        if residual.is_finite() && disagreement.is_finite() {
            self.residuals = KEEP * self.residuals + residual;
            self.disagreements = KEEP * self.disagreements + disagreement;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_measured_again_and_again_becomes_what_is_expected() {
        let mut relation = Relation::default();
        assert!((relation.expected(0.02) - 0.045).abs() < 1e-6);
        for _ in 0..20 {
            relation.learn(0.04, 0.20);
        }
        // 0.2 / (1 - 0.8) of what was seen, and what was assumed at first.
        let ratio = (0.20 * 4.942 + 0.045) / (0.04 * 4.942 + 0.02);
        assert!((relation.expected(0.01) - 0.01 * ratio).abs() < 1e-4, "{relation:?}");
    }

    #[test]
    fn a_change_of_street_is_learnt_in_a_few_key_frames() {
        let mut relation = Relation::default();
        for _ in 0..50 {
            relation.learn(0.03, 0.03);
        }
        let before = relation.expected(0.03);
        for _ in 0..5 {
            relation.learn(0.03, 0.12);
        }
        assert!(before < 0.04 && relation.expected(0.03) > 0.08, "{before}, then {relation:?}");
    }

    #[test]
    fn what_is_expected_is_a_share_whatever_was_seen() {
        let mut relation = Relation::default();
        for (residual, disagreement) in [(0.0, 0.0), (0.0, 1.0), (f32::NAN, 0.5), (0.5, f32::INFINITY), (0.0, 1.0)] {
            relation.learn(residual, disagreement);
            for seen in [0.0, 0.02, 1.0, 1e30] {
                let expected = relation.expected(seen);
                assert!((0.0..=1.0).contains(&expected), "{expected} after {residual} and {disagreement}");
            }
        }
        assert!(relation.expected(f32::NAN) > 0.999, "what nobody knows asks for a key frame");
    }
}
