//! How far a flow is from the truth: end-point error and KITTI's share of outliers.
//!
//! Baker et al., "A Database and Evaluation Methodology for Optical Flow" (2011); Menze and Geiger, "Object Scene Flow
//! for Autonomous Vehicles" (2015).

use super::FlowField;
use serde::Serialize;

/// An outlier is further off than this many pixels and than this part of the true motion.
const OUTLIER_PX: f64 = 3.0;
const OUTLIER_PART: f64 = 0.05;

/// What is wrong with an estimate, over all cells whose true motion is known.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct FlowErrors {
    /// Cells whose true motion is known.
    pub known: u64,
    /// Of these, cells of which the estimate says something.
    pub estimated: u64,
    /// Mean length of estimate minus truth, in cells, where both are known; nothing if they are nowhere.
    pub end_point_error: Option<f64>,
    /// KITTI's Fl, in percent of `known`: further off than 3 pixels and 5 % of the true motion, or not estimated.
    pub outliers: Option<f64>,
}

impl FlowErrors {
    /// Compares an estimate with the truth, cell by cell; unknown is what is not finite.
    ///
    /// # Errors
    /// If they are of two sizes.
    pub fn between(estimate: &FlowField, truth: &FlowField) -> Result<Self, String> {
        let sizes = [estimate, truth].map(|field| (field.cols, field.rows));
        if sizes[0] != sizes[1] {
            let [(cols, rows), (true_cols, true_rows)] = sizes;
            return Err(format!(
                "the estimate is {cols}x{rows}, the truth {true_cols}x{true_rows}: compare equal sizes"
            ));
        }
        let (mut known, mut estimated, mut outliers, mut sum) = (0_u64, 0_u64, 0_u64, 0.0);
        for (found, real) in estimate.motions().zip(truth.motions()) {
            if !real.iter().all(|side| side.is_finite()) {
                continue;
            }
            known += 1;
            let [real, found] = [real, found].map(|motion| motion.map(f64::from));
            let apart = (found[0] - real[0]).hypot(found[1] - real[1]);
            if apart.is_finite() {
                estimated += 1;
                sum += apart;
            }
            let near = apart <= OUTLIER_PX || apart <= OUTLIER_PART * real[0].hypot(real[1]);
            outliers += u64::from(!near);
        }
        Ok(Self {
            known,
            estimated,
            end_point_error: (estimated > 0).then(|| sum / estimated as f64),
            outliers: (known > 0).then(|| 100.0 * outliers as f64 / known as f64),
        })
    }
}
