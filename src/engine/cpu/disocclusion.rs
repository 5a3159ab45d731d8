//! Fills in what came into view since the key frame: its surroundings say what it is.
//!
//! ```text
//! residual ──mean over each cell──▶ trust = exp(-mean / 0.068)
//! a cell that is trusted by less than 0.8:
//!     each trusted cell around it of a colour alike ──votes for its own label──▶ mean of the votes
//!     logits = trust * carried + (1 - trust) * votes
//! ```
//!
//! Behind a thing that moves lies what it hid. No motion leads from there to the key frame, so what is carried there is
//! the thing itself: a trail, as long as the key frame is old. The picture shows that it is wrong (the residual) and what is
//! right beside it: road of the same grey. Only logits are filled in: features say nothing without their head, and networks
//! that carry those bring a correction of their own.

#![allow(clippy::inline_always, reason = "only what is inlined into dispatch! is compiled for its instructions")]

use super::FeatureMap;
use super::blend::{mean_over, part};
use fearless_simd::{Level, dispatch};

/// The residual, in parts of the range of colours, at which trust has fallen to 1/e: about 17 grey levels, twice what a
/// key frame is blended by, for between flow and noise few cells of a picture agree better.
const DOUBT: f32 = 0.068;
/// Cells that are trusted as much or more stay as they are.
const SURE: f32 = 0.8;
/// Colours this far apart, root mean square in parts of their range, are not alike: about 14 grey levels.
const ALIKE_COLOURS: f32 = 0.054;
/// The weight of a cell's own vote, for where nothing around is alike.
const OWN: f32 = 0.03;
/// How strong a vote is, in parts of the range of the voter's logits.
const STRENGTH: f32 = 0.25;
/// Steps in which voters are looked for, each way.
const VOTER_STEPS: isize = 5;

/// Fills in, in buffers of its own.
#[derive(Debug)]
pub struct Disocclusion {
    instructions: Level,
    rows: usize,
    cols: usize,
    /// In parts of the range, a plane for each channel.
    colours: [Vec<f32>; 3],
    trust: Vec<f32>,
    labels: Vec<u32>,
    /// Of each cell's vote.
    strength: Vec<f32>,
    line: Line,
}

/// What a picture shows, on the grid of the logits.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// Cells from top to bottom.
    pub rows: usize,
    /// Cells from left to right.
    pub cols: usize,
    /// `[rows, cols]` each, in parts of their range.
    pub colours: [&'a [f32]; 3],
    /// How far what was carried to a cell is what the picture shows, 0 to 1.
    pub trust: &'a [f32],
    /// Of a vote, by the range of the logits that were carried; empty where none were filled in.
    pub strength: &'a [f32],
}

/// A row that is voted on.
#[derive(Debug, Default)]
struct Line {
    /// The columns of cells that are not trusted.
    doubtful: Vec<usize>,
    /// Of one voter for each cell.
    weights: Vec<f32>,
    /// Its vote: its weight times its strength.
    powers: Vec<f32>,
    /// The weights of all voters for each cell.
    totals: Vec<f32>,
    /// `[cols, classes]`.
    votes: Vec<f32>,
}

impl Default for Disocclusion {
    fn default() -> Self {
        Self {
            instructions: Level::new(),
            rows: 0,
            cols: 0,
            colours: Default::default(),
            trust: Vec::new(),
            labels: Vec::new(),
            strength: Vec::new(),
            line: Line::default(),
        }
    }
}

impl Disocclusion {
    /// Fills in `logits` `[classes, rows, cols]`. The picture `glance` `[3, …]` and the `residual` `[1, …]` are of one grid
    /// that is as fine or finer, values of both times `unit` in parts of the range of colours; of a coarser one nothing
    /// can be said.
    ///
    /// Voters are at most five cells away, or ten, every other one, where the picture is no finer than the logits. What is
    /// not finite has no vote.
    ///
    /// # Panics
    /// If the glance is not on the residual's grid.
    pub fn fill(
        &mut self,
        logits: &mut FeatureMap,
        glance: &FeatureMap,
        residual: &FeatureMap,
        unit: f32,
    ) -> Option<Seen<'_>> {
        let FeatureMap { channels, rows, cols, .. } = *logits;
        if channels == 0 {
            return None;
        }
        self.look((rows, cols), glance, Some(residual), unit)?;
        self.ask(logits);
        let step = if residual.rows >= 2 * rows { 1 } else { 2 };
        for row in 0..rows {
            self.fill_row(row, step, logits);
        }
        Some(self.seen())
    }

    /// What a picture shows on a grid of `rows` by `cols` cells: its colours, and by the residual how far what was carried
    /// there is trusted; without one, not at all. Nothing if the picture is coarser than that.
    ///
    /// # Panics
    /// If the glance is not on the residual's grid.
    pub fn look(
        &mut self,
        (rows, cols): (usize, usize),
        glance: &FeatureMap,
        residual: Option<&FeatureMap>,
        unit: f32,
    ) -> Option<Seen<'_>> {
        if let Some(residual) = residual {
            assert_eq!(
                (glance.rows, glance.cols),
                (residual.rows, residual.cols),
                "a glance and a residual of two grids"
            );
        }
        if glance.rows < rows || glance.cols < cols || rows * cols == 0 {
            return None;
        }
        (self.rows, self.cols) = (rows, cols);
        for (channel, colour) in self.colours.iter_mut().enumerate() {
            reduce(glance.plane(channel), glance, (rows, cols), unit, colour);
        }
        self.trust.clear();
        self.strength.clear();
        match residual {
            None => self.trust.resize(rows * cols, 0.0),
            Some(residual) => {
                reduce(&residual.values, residual, (rows, cols), unit, &mut self.trust);
                for apart in &mut self.trust {
                    *apart = libm::expf(-*apart / DOUBT);
                }
            }
        }
        Some(self.seen())
    }

    fn seen(&self) -> Seen<'_> {
        let Self { rows, cols, colours, trust, strength, .. } = self;
        let colours = colours.each_ref().map(Vec::as_slice);
        Seen { rows: *rows, cols: *cols, colours, trust, strength }
    }

    /// Label and strength of each cell: its best logit, and how far that is above its worst.
    fn ask(&mut self, logits: &FeatureMap) {
        let mut planes = logits.values.chunks_exact(logits.rows * logits.cols);
        let first = planes.next().expect("there is a class");
        let Self { labels, strength: worst, line: Line { weights: best, .. }, .. } = self;
        labels.clear();
        labels.resize(first.len(), 0);
        for extreme in [&mut *worst, &mut *best] {
            extreme.clear();
            extreme.extend_from_slice(first);
        }
        for (label, plane) in (1..).zip(planes) {
            let cells = labels.iter_mut().zip(best.iter_mut()).zip(worst.iter_mut());
            for (((holder, best), worst), &logit) in cells.zip(plane) {
                *holder = if logit > *best { label } else { *holder };
                *best = best.max(logit);
                *worst = worst.min(logit);
            }
        }
        for (strength, best) in worst.iter_mut().zip(best) {
            let range = STRENGTH * (*best - *strength);
            *strength = if range.is_finite() { range } else { 0.0 };
        }
    }

    /// Lets the cells around those of a row vote on them.
    fn fill_row(&mut self, row: usize, step: isize, logits: &mut FeatureMap) {
        let Self { instructions, colours, trust, labels, strength, line, .. } = self;
        let FeatureMap { channels, rows, cols, .. } = *logits;
        let own = row * cols..(row + 1) * cols;
        let own_trust = &trust[own.clone()];
        line.doubtful.clear();
        // For as many as there can be: how many there are depends on the picture.
        line.doubtful.reserve(cols);
        line.doubtful.extend((0..cols).filter(|&col| own_trust[col] < SURE));
        if line.doubtful.is_empty() {
            return;
        }
        line.totals.clear();
        line.totals.resize(cols, OWN);
        line.votes.clear();
        line.votes.resize(cols * channels, 0.0);
        for &col in &line.doubtful {
            let cell = row * cols + col;
            line.votes[col * channels + labels[cell] as usize] = OWN * strength[cell];
        }
        for (down, along) in steps().map(|[down, along]| (down * step, along * step)) {
            let Some(y) = row.checked_add_signed(down).filter(|y| *y < rows) else { continue };
            // Columns that have a voter there, and the first of these.
            let (first, last) = ((-along).max(0) as usize, cols.saturating_sub(along.max(0) as usize));
            if first >= last {
                continue;
            }
            let voters = y * cols + first.saturating_add_signed(along)..y * cols + last.saturating_add_signed(along);
            let asked = row * cols + first..row * cols + last;
            let colours = colours.each_ref().map(|plane| (&plane[asked.clone()], &plane[voters.clone()]));
            let (trust, strength) = (&trust[voters.clone()], &strength[voters.clone()]);
            dispatch!(*instructions, _simd => line.weigh(colours, trust, strength, first));
            line.count(first, channels, &labels[voters]);
        }
        for (channel, plane) in logits.values.chunks_exact_mut(rows * cols).enumerate() {
            let logits = &mut plane[own.clone()];
            for &col in &line.doubtful {
                let share = (1.0 - own_trust[col]) / line.totals[col];
                logits[col] = own_trust[col] * logits[col] + share * line.votes[col * channels + channel];
            }
        }
    }
}

impl Line {
    /// The weights of voters, by their colours beside those of the cells they vote on, of which the one in column `first` is
    /// the first, and by their trust.
    #[inline(always)]
    fn weigh(&mut self, colours: [(&[f32], &[f32]); 3], trust: &[f32], strength: &[f32], first: usize) {
        let [(red, reds), (green, greens), (blue, blues)] = colours;
        self.weights.resize(trust.len(), 0.0);
        self.powers.resize(trust.len(), 0.0);
        let asked = red.iter().zip(green).zip(blue);
        let voters = reds.iter().zip(greens).zip(blues).zip(trust);
        for (weight, (((red, green), blue), (((of_red, of_green), of_blue), trust))) in
            self.weights.iter_mut().zip(asked.zip(voters))
        {
            let (red, green, blue) = (red - of_red, green - of_green, blue - of_blue);
            let apart = red * red + green * green + blue * blue;
            // 0 as well for what is no number.
            *weight = ((1.0 - apart * (1.0 / (3.0 * ALIKE_COLOURS * ALIKE_COLOURS))) * trust).max(0.0);
        }
        for (power, (weight, strength)) in self.powers.iter_mut().zip(self.weights.iter().zip(strength)) {
            *power = weight * strength;
        }
        for (total, weight) in self.totals[first..].iter_mut().zip(&self.weights) {
            *total += weight;
        }
    }

    /// Counts the votes on the cells from column `first` on, one of each of the `labels`.
    fn count(&mut self, first: usize, classes: usize, labels: &[u32]) {
        let powers = &self.powers[..labels.len()];
        for &col in &self.doubtful {
            let voter = col.wrapping_sub(first);
            if voter < labels.len() {
                self.votes[col * classes + labels[voter] as usize] += powers[voter];
            }
        }
    }
}

/// Where voters are, down and to the right: within a circle, the cell itself among them.
fn steps() -> impl Iterator<Item = [isize; 2]> {
    let square =
        (-VOTER_STEPS..=VOTER_STEPS).flat_map(|down| (-VOTER_STEPS..=VOTER_STEPS).map(move |along| [down, along]));
    square.filter(|[down, along]| down * down + along * along <= VOTER_STEPS * VOTER_STEPS)
}

/// A plane of the `fine` grid, averaged over each of `rows` by `cols` cells, times `unit`.
fn reduce(plane: &[f32], fine: &FeatureMap, (rows, cols): (usize, usize), unit: f32, out: &mut Vec<f32>) {
    out.clear();
    if (fine.rows, fine.cols) == (rows, cols) {
        out.extend(plane.iter().map(|value| value * unit));
        return;
    }
    out.extend((0..rows * cols).map(|cell| {
        let (down, along) = (part(cell / cols, rows, fine.rows), part(cell % cols, cols, fine.cols));
        mean_over((plane, fine.cols), down, along) * unit
    }));
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "what is not touched is exact")]
mod tests {
    use super::*;

    const SIDE: usize = 24;
    const ROAD: usize = 1;
    const CAR: usize = 2;
    /// Where what is carried is a car.
    const TRAIL: [usize; 2] = [9, 15];

    /// Three classes; a square of car in a road, `fine` pixels to a cell.
    struct Scene {
        logits: FeatureMap,
        glance: FeatureMap,
        residual: FeatureMap,
    }

    impl Scene {
        /// Road everywhere, as grey as `road`; in the square `shown`, which differs from what was carried by `apart`.
        fn new(fine: usize, road: f32, shown: f32, apart: f32) -> Self {
            let mut logits = FeatureMap::zeros(3, SIDE, SIDE);
            let mut glance = FeatureMap::zeros(3, fine * SIDE, fine * SIDE);
            let mut residual = FeatureMap::zeros(1, fine * SIDE, fine * SIDE);
            for cell in 0..SIDE * SIDE {
                let label = if in_trail(cell / SIDE, cell % SIDE) { CAR } else { ROAD };
                logits.values[label * SIDE * SIDE + cell] = 6.0;
            }
            let pixels = fine * fine * SIDE * SIDE;
            for pixel in 0..pixels {
                let (row, col) = (pixel / (fine * SIDE), pixel % (fine * SIDE));
                let inside = in_trail(row / fine, col / fine);
                for channel in 0..3 {
                    glance.values[channel * pixels + pixel] = if inside { shown } else { road };
                }
                residual.values[pixel] = if inside { apart } else { 0.0 };
            }
            Self { logits, glance, residual }
        }

        fn filled(&self) -> FeatureMap {
            let mut logits = self.logits.clone();
            Disocclusion::default().fill(&mut logits, &self.glance, &self.residual, 0.5);
            logits
        }
    }

    fn in_trail(row: usize, col: usize) -> bool {
        let [first, last] = TRAIL;
        (first..last).contains(&row) && (first..last).contains(&col)
    }

    fn label(map: &FeatureMap, row: usize, col: usize) -> usize {
        let logit = |label: &usize| map.values[(label * SIDE + row) * SIDE + col];
        (0..3).max_by(|one, other| logit(one).total_cmp(&logit(other))).expect("three classes")
    }

    /// Labels in the square, and how many logits around it are other ones.
    fn outcome(scene: &Scene) -> (Vec<usize>, usize) {
        let filled = scene.filled();
        let square = (0..SIDE * SIDE).filter(|cell| in_trail(cell / SIDE, cell % SIDE));
        let labels = square.map(|cell| label(&filled, cell / SIDE, cell % SIDE)).collect();
        let pairs = filled.values.iter().zip(&scene.logits.values).enumerate();
        let changed = pairs.filter(|(i, (now, before))| {
            !in_trail(i % (SIDE * SIDE) / SIDE, i % SIDE) && now.to_bits() != before.to_bits()
        });
        (labels, changed.count())
    }

    #[test]
    fn the_trail_of_a_thing_becomes_the_road_beside_it_and_nothing_else_changes() {
        for fine in [1, 2, 3] {
            assert_eq!(outcome(&Scene::new(fine, 0.2, 0.22, 1.0)), (vec![ROAD; 36], 0), "{fine} pixels to a cell");
        }
    }

    #[test]
    fn what_the_picture_agrees_with_stays_bit_for_bit() {
        // Trusted by exp(-0.014 / 0.068): 0.81.
        let scene = Scene::new(1, 0.2, 0.2, 0.028);
        assert_eq!(scene.filled(), scene.logits);
        assert_ne!(Scene::new(1, 0.2, 0.2, 0.032).filled(), scene.logits);
    }

    #[test]
    fn what_is_like_nothing_around_it_stays_what_it_is() {
        assert_eq!(outcome(&Scene::new(1, 0.2, 0.9, 1.0)), (vec![CAR; 36], 0));
    }

    #[test]
    fn voters_that_are_not_trusted_say_nothing() {
        let mut scene = Scene::new(1, 0.2, 0.2, 1.0);
        assert_eq!(outcome(&scene).0, [ROAD; 36]);
        scene.residual.values.fill(9.0);
        assert_eq!(outcome(&scene).0, [CAR; 36]);
    }

    #[test]
    fn voters_are_as_strong_as_their_logits_are_apart() {
        let scene = Scene::new(1, 0.2, 0.2, 100.0);
        let filled = scene.filled();
        // Not trusted at all: it is what its voters are, by a quarter of their range, but for its own vote.
        let road = filled.values[(ROAD * SIDE + 12) * SIDE + 12];
        assert!((1.4..1.5).contains(&road), "{road}");
    }

    #[test]
    fn what_is_not_finite_has_no_vote() {
        for wrong in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut scene = Scene::new(1, 0.2, 0.2, 1.0);
            let beside = 7 * SIDE + 7;
            scene.glance.values[beside] = wrong;
            // A residual has no sign.
            scene.residual.values[beside + 1] = wrong.abs();
            scene.logits.values[beside + 2] = wrong;
            let filled = scene.filled();
            let square = (0..SIDE * SIDE).filter(|cell| in_trail(cell / SIDE, cell % SIDE));
            for cell in square {
                let logits = [0, 1, 2].map(|label| filled.values[label * SIDE * SIDE + cell]);
                assert!(logits.iter().all(|logit| logit.is_finite()), "{wrong}: {logits:?}");
            }
            assert_eq!(label(&filled, 12, 12), ROAD);
        }
    }

    #[test]
    fn a_picture_coarser_than_the_logits_says_nothing() {
        let Scene { mut logits, .. } = Scene::new(1, 0.2, 0.2, 1.0);
        let before = logits.clone();
        let (glance, residual) = (FeatureMap::zeros(3, 12, 12), FeatureMap::zeros(1, 12, 12));
        Disocclusion::default().fill(&mut logits, &glance, &residual, 0.5);
        assert_eq!(logits, before);
    }
}
