//! Whether the way there and the way back meet: they do not where content hid or was followed wrongly.
//!
//! ```text
//! cell ── flow ──▶ there ── the other way's flow ──▶ cell again, or not
//! ```
//!
//! Sundaram, Brox and Keutzer, "Dense Point Trajectories by GPU-Accelerated Large Displacement Optical Flow" (2010),
//! equation 5: |w + ŵ|² < 0.01 (|w|² + |ŵ|²) + 0.5 px², ŵ read bilinearly where w ends.

use super::FlowField;

/// Of the squared motions there and back.
const PART: f32 = 0.01;
/// What is allowed beside, in squared pixels.
const ALLOWED_PX2: f32 = 0.5;

impl FlowField {
    /// Makes unknown (NaN) what does not come back: the motion of each cell from whose end `back`, the flow the other way,
    /// leads elsewhere, or that ends outside. A cell's side is `cell_px` pixels. Gives the number of cells that it left out;
    /// those that were unknown are not among them.
    ///
    /// # Panics
    /// If the grids differ.
    pub fn keep_what_comes_back(&mut self, back: &Self, cell_px: f32) -> usize {
        assert_eq!((self.rows, self.cols), (back.rows, back.cols), "flows on two grids");
        let cells = self.rows * self.cols;
        let mut left_out = 0;
        for cell in 0..cells {
            let (row, col) = (cell / self.cols, cell % self.cols);
            let motion = self.at(row, col);
            if motion.iter().any(|side| !side.is_finite()) || self.comes_back(motion, [row, col], back, cell_px) {
                continue;
            }
            left_out += 1;
            (self.values[cell], self.values[cells + cell]) = (f32::NAN, f32::NAN);
        }
        left_out
    }

    fn comes_back(&self, [x, y]: [f32; 2], [row, col]: [usize; 2], back: &Self, cell_px: f32) -> bool {
        let (there_row, there_col) = (row as f32 + y, col as f32 + x);
        let inside = |place: f32, count: usize| (0.0..=(count - 1) as f32).contains(&place);
        if !inside(there_row, self.rows) || !inside(there_col, self.cols) {
            return false;
        }
        let [back_x, back_y] = back.between(there_row, there_col);
        let squared = |x: f32, y: f32| x * x + y * y;
        let moved = squared(x, y) + squared(back_x, back_y);
        squared(x + back_x, y + back_y) <= PART * moved + ALLOWED_PX2 / (cell_px * cell_px)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A row of cells that move along it.
    fn row(motions: &[f32]) -> FlowField {
        let values = motions.iter().copied().chain(motions.iter().map(|_| 0.0)).collect();
        FlowField { rows: 1, cols: motions.len(), values }
    }

    fn kept(there: &[f32], back: &[f32], cell_px: f32) -> Vec<bool> {
        let mut flow = row(there);
        let left_out = flow.keep_what_comes_back(&row(back), cell_px);
        let kept: Vec<bool> = flow.motions().map(|[x, y]| x.is_finite() && y.is_finite()).collect();
        assert_eq!(left_out, kept.iter().filter(|kept| !**kept).count());
        kept
    }

    #[test]
    fn what_moves_there_and_back_is_kept_and_what_leaves_or_lands_on_others_is_not() {
        assert_eq!(kept(&[2.0; 5], &[-2.0; 5], 1.0), [true, true, true, false, false]);
        assert_eq!(kept(&[2.0, 0.0, 0.0, 0.0], &[0.0; 4], 1.0), [false, true, true, true]);
    }

    #[test]
    fn as_much_is_allowed_as_the_formula_says() {
        // 0.5 px² and a hundredth of 4 + 4: off by less than 0.76 pixels.
        assert!(kept(&[2.0, 0.0, 0.0], &[0.0, 0.0, -1.26], 1.0)[0]);
        assert!(!kept(&[2.0, 0.0, 0.0], &[0.0, 0.0, -1.24], 1.0)[0]);
        // The same pixels on cells of 8.
        assert_eq!(kept(&[0.0], &[0.7 / 8.0], 8.0), [true]);
        assert_eq!(kept(&[0.0], &[0.72 / 8.0], 8.0), [false]);
    }

    #[test]
    fn what_was_unknown_stays_so_and_is_not_counted() {
        let mut flow = row(&[f32::NAN, 0.0]);
        assert_eq!(flow.keep_what_comes_back(&row(&[0.0, 0.0]), 1.0), 0);
        assert!(flow.at(0, 0)[0].is_nan());
    }
}
