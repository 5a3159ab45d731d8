//! Learns at key frames what is wrong with what was carried there, and mends it in the frames between.
//!
//! ```text
//! key frame   each cell: picture, trust, what was carried ──described──┐
//!             its fresh label ────────────────────────ridge regression─┴─▶ lesson
//! between     each doubtful cell ──described──▶ lesson ──▶ logits += 2 (1 - trust) strength answer
//! ```
//!
//! A key frame is asked for anyway, and shows how labels go with pictures on this very road and what became of those that
//! were carried: where a trail is left behind a cyclist, which grey is road and which a car. What is learnt from it answers
//! for cells whose picture is not what was carried there, until the next key frame says more. Nothing is kept longer than a
//! run: what a drive teaches is forgotten with it, and a repetition learns the same.
//!
//! A cell's description is fanned out into random features (Rahimi and Recht, "Weighted sums of random kitchen sinks", 2008),
//! which one linear regression weighs; it forgets exponentially. That costs no iteration and has one solution.

#![allow(clippy::inline_always, reason = "only what is inlined into dispatch! is compiled for its instructions")]

mod describe;
mod regression;

use super::FeatureMap;
use super::disocclusion::Seen;
use describe::{Describer, LANES, PLANES, Scale};
use fearless_simd::{Bytes, Level, Simd, SimdBase, SimdFloat, dispatch, f32x16, i32x16};
use regression::Regression;

/// Cells that are trusted as much or more stay as they are.
const DOUBTFUL: f32 = 0.6;
/// Of the strength of a vote.
const GAIN: f32 = 2.0;
/// Cells of a key frame that are learnt from, about.
const SAMPLES: usize = 8192;
/// The most random features.
const HIDDEN: usize = 128;
/// Cells for each of them, so that learning costs a small network as little as the network itself.
const CELLS_EACH: usize = 256;
/// What they are made of: the planes of a picture's description, and trust.
const INPUTS: usize = PLANES + 1;
/// Outputs that are worked out together.
const TOGETHER: usize = 4;

/// What was learnt, and from it on.
#[derive(Debug)]
pub struct Learner {
    instructions: Level,
    describer: Describer,
    /// `[HIDDEN / TOGETHER, INPUTS + 1, TOGETHER]`: the weights of the random features, their bias last.
    fan: Vec<f32>,
    /// Of the first key frame's description, kept from then on.
    scale: Option<Scale>,
    regression: Regression,
    /// `[classes / TOGETHER, described, TOGETHER]`, rounded up; empty until there is something to be learnt from.
    lesson: Vec<f32>,
    block: Block,
    doubtful: Vec<usize>,
    /// `[samples, described]` of a key frame, and their labels.
    descriptions: Vec<f32>,
    labels: Vec<usize>,
}

/// Cells side by side, that are described together.
#[derive(Debug, Default)]
struct Block {
    /// Random features of a description.
    hidden: usize,
    /// `[INPUTS, LANES]`.
    inputs: Vec<f32>,
    /// `[described, LANES]`.
    described: Vec<f32>,
    /// `[classes, LANES]`, rounded up to whole groups.
    answers: Vec<f32>,
}

/// Random features on a grid of so many cells: whole groups.
fn hidden(cells: usize) -> usize {
    (cells / CELLS_EACH).clamp(TOGETHER, HIDDEN) / TOGETHER * TOGETHER
}

/// Of what a cell's description is made: random features, their inputs, one, and what was carried, also times trust.
fn described(cells: usize, classes: usize) -> usize {
    hidden(cells) + INPUTS + 1 + 2 * classes
}

impl Learner {
    /// One that has learnt nothing.
    pub fn new() -> Self {
        Self {
            instructions: Level::new(),
            describer: Describer::default(),
            fan: describe::fan(HIDDEN, INPUTS, TOGETHER),
            scale: None,
            regression: Regression::default(),
            lesson: Vec::new(),
            block: Block::default(),
            doubtful: Vec::new(),
            descriptions: Vec::new(),
            labels: Vec::new(),
        }
    }

    /// Forgets all that was learnt.
    pub fn forget(&mut self) {
        self.scale = None;
        self.regression.forget();
        self.lesson.clear();
    }

    /// Whether there has been a key frame to learn from.
    pub fn has_learnt(&self) -> bool {
        !self.lesson.is_empty()
    }

    /// Learns from a key frame's logits `fresh` `[classes, rows, cols]`, and what was `carried` there if it is not the first;
    /// `seen` is of the same grid. What is not finite in `fresh` teaches nothing; in
    /// `carried` it is the least likely.
    ///
    /// # Panics
    /// If the grids or the classes differ.
    pub fn learn(&mut self, fresh: &FeatureMap, carried: Option<&FeatureMap>, seen: &Seen<'_>) {
        let FeatureMap { channels: classes, rows, cols, .. } = *fresh;
        assert_eq!((seen.rows, seen.cols), (rows, cols), "a picture on another grid than the logits");
        let same = carried.is_none_or(|map| (map.channels, map.rows, map.cols) == (classes, rows, cols));
        assert!(same, "what was carried is of another shape than the logits");
        let cells = rows * cols;
        if classes < 2 || cells == 0 {
            return;
        }
        self.describer.describe(seen);
        let samples: Vec<usize> = samples(cells, cols).collect();
        let scale = self.scale.unwrap_or_else(|| self.describer.scale(&samples));
        let count = described(cells, classes);
        let Self { descriptions, labels, .. } = self;
        descriptions.clear();
        labels.clear();
        // For all, whatever of them are numbers.
        descriptions.reserve(samples.len() * count);
        labels.reserve(samples.len());
        for chosen in samples.chunks(LANES) {
            self.block.inputs(chosen, &self.describer, &scale, seen.trust);
            let shape = [cells, classes];
            dispatch!(self.instructions, simd => self.block.carried(simd, chosen, carried, shape, seen.trust));
            dispatch!(self.instructions, simd => self.block.fan_out(simd, &self.fan));
            for (lane, &cell) in chosen.iter().enumerate() {
                let values = || (0..count).map(|value| self.block.described[value * LANES + lane]);
                if values().all(f32::is_finite) {
                    descriptions.extend(values());
                    labels.push(label(fresh, cell));
                }
            }
        }
        if labels.is_empty() {
            return;
        }
        self.scale = Some(scale);
        match self.regression.learn(descriptions, labels, classes) {
            Some(weights) => self.lesson = grouped(&weights, count, classes),
            None => self.lesson.clear(),
        }
    }

    /// Mends `logits` `[classes, rows, cols]`, what was carried, where that is doubtful.
    ///
    /// # Panics
    /// If the grid is another than that of what was `seen`, or the classes than those of what was learnt.
    pub fn mend(&mut self, logits: &mut FeatureMap, seen: &Seen<'_>) {
        let FeatureMap { channels: classes, rows, cols, .. } = *logits;
        assert_eq!((seen.rows, seen.cols), (rows, cols), "a picture on another grid than the logits");
        let Some(scale) = self.scale.filter(|_| self.has_learnt()) else { return };
        let groups = classes.div_ceil(TOGETHER);
        assert_eq!(self.lesson.len(), groups * TOGETHER * described(rows * cols, classes), "a lesson of other classes");
        self.doubtful.clear();
        // For as many as there can be: how many there are depends on the picture.
        self.doubtful.reserve(rows * cols);
        self.doubtful.extend((0..rows * cols).filter(|&cell| seen.trust[cell] < DOUBTFUL));
        if self.doubtful.is_empty() {
            return;
        }
        self.describer.describe(seen);
        let Self { instructions, describer, fan, lesson, block, doubtful, .. } = self;
        for chosen in doubtful.chunks(LANES) {
            block.inputs(chosen, describer, &scale, seen.trust);
            let (carried, shape) = (Some(&*logits), [rows * cols, classes]);
            dispatch!(*instructions, simd => block.carried(simd, chosen, carried, shape, seen.trust));
            dispatch!(*instructions, simd => block.fan_out(simd, fan));
            dispatch!(*instructions, simd => block.answer(simd, lesson));
            for (class, plane) in logits.values.chunks_exact_mut(rows * cols).enumerate() {
                for (&cell, answer) in chosen.iter().zip(&block.answers[class * LANES..]) {
                    let change = GAIN * (1.0 - seen.trust[cell]) * seen.strength[cell] * answer;
                    plane[cell] += if change.is_finite() { change } else { 0.0 };
                }
            }
        }
    }
}

impl Default for Learner {
    fn default() -> Self {
        Self::new()
    }
}

impl Block {
    /// The planes of the `chosen` cells' description in their scale, and trust from -1 to 1.
    fn inputs(&mut self, chosen: &[usize], describer: &Describer, scale: &Scale, trust: &[f32]) {
        self.inputs.clear();
        self.inputs.resize(INPUTS * LANES, 0.0);
        let (planes, trusts) = self.inputs.split_at_mut(PLANES * LANES);
        for ((lanes, plane), [mean, share]) in planes.chunks_exact_mut(LANES).zip(describer.planes()).zip(scale) {
            for (value, &cell) in lanes.iter_mut().zip(chosen) {
                *value = (plane[cell] - mean) * share;
            }
        }
        for (value, &cell) in trusts.iter_mut().zip(chosen) {
            *value = 2.0 * trust[cell] - 1.0;
        }
    }

    /// The probabilities of what was `carried` to the `chosen` cells, as they are and times trust; zero where nothing was.
    /// What is no number is taken for the least likely.
    #[inline(always)]
    fn carried<S: Simd>(
        &mut self,
        simd: S,
        chosen: &[usize],
        carried: Option<&FeatureMap>,
        [cells, classes]: [usize; 2],
        trust: &[f32],
    ) {
        self.hidden = hidden(cells);
        self.described.resize(described(cells, classes) * LANES, 0.0);
        let own = &mut self.described[(self.hidden + INPUTS + 1) * LANES..];
        own.fill(0.0);
        let Some(map) = carried else { return };
        let (plain, trusted) = own.split_at_mut(classes * LANES);
        let mut trust_of = [0.0; LANES];
        for (lane, &cell) in chosen.iter().enumerate() {
            trust_of[lane] = trust[cell];
            for (lanes, plane) in plain.chunks_exact_mut(LANES).zip(map.values.chunks_exact(cells)) {
                lanes[lane] = plane[cell];
            }
        }
        let mut most = f32x16::splat(simd, f32::NEG_INFINITY);
        for lanes in plain.chunks_exact(LANES) {
            most = most.max_precise(f32x16::from_slice(simd, lanes));
        }
        let mut total = f32x16::splat(simd, 0.0);
        for lanes in plain.chunks_exact_mut(LANES) {
            let part = exp(simd, f32x16::from_slice(simd, lanes) - most);
            part.store_slice(lanes);
            total += part;
        }
        let trust_of = f32x16::from_slice(simd, &trust_of);
        for (lanes, trusted) in plain.chunks_exact_mut(LANES).zip(trusted.chunks_exact_mut(LANES)) {
            let probability = f32x16::from_slice(simd, lanes) / total;
            probability.store_slice(lanes);
            (probability * trust_of).store_slice(trusted);
        }
    }

    /// The random features, their inputs, and one.
    #[inline(always)]
    fn fan_out<S: Simd>(&mut self, simd: S, fan: &[f32]) {
        let (hidden, others) = self.described.split_at_mut(self.hidden * LANES);
        let groups = hidden.chunks_exact_mut(TOGETHER * LANES).zip(fan.chunks_exact((INPUTS + 1) * TOGETHER));
        for (lanes, weights) in groups {
            let (weights, bias) = weights.split_at(INPUTS * TOGETHER);
            let sums = weigh(simd, &self.inputs, weights, bias);
            for (lanes, sum) in lanes.chunks_exact_mut(LANES).zip(sums) {
                sum.max(f32x16::splat(simd, 0.0)).store_slice(lanes);
            }
        }
        let (inputs, one) = others.split_at_mut(INPUTS * LANES);
        inputs.copy_from_slice(&self.inputs);
        one[..LANES].fill(1.0);
    }

    /// What the lesson says.
    #[inline(always)]
    fn answer<S: Simd>(&mut self, simd: S, lesson: &[f32]) {
        let count = self.described.len() / LANES;
        let groups = lesson.chunks_exact(count * TOGETHER);
        self.answers.resize(groups.len() * TOGETHER * LANES, 0.0);
        for (lanes, weights) in self.answers.chunks_exact_mut(TOGETHER * LANES).zip(groups) {
            let sums = weigh(simd, &self.described, weights, &[0.0; TOGETHER]);
            for (lanes, sum) in lanes.chunks_exact_mut(LANES).zip(sums) {
                sum.store_slice(lanes);
            }
        }
    }
}

/// `begin` and the weighted sum of `values` `[n, LANES]`, for each of as many outputs as `weights` `[n, TOGETHER]` are of.
///
/// Each lane by itself, in the order of the values: the same bits whatever the instructions.
#[inline(always)]
fn weigh<S: Simd>(simd: S, values: &[f32], weights: &[f32], begin: &[f32]) -> [f32x16<S>; TOGETHER] {
    let mut sums = [f32x16::splat(simd, 0.0); TOGETHER];
    for output in 0..TOGETHER {
        sums[output] = f32x16::splat(simd, begin[output]);
    }
    for (value, weights) in values.chunks_exact(LANES).zip(weights.chunks_exact(TOGETHER)) {
        let value = f32x16::from_slice(simd, value);
        for output in 0..TOGETHER {
            sums[output] += value * weights[output];
        }
    }
    sums
}

/// e to the power of what is not above 0, within 1e-6 (1 - power) of it; of what is no number, 0 but for 1e-38.
#[inline(always)]
fn exp<S: Simd>(simd: S, power: f32x16<S>) -> f32x16<S> {
    // 2 to a whole number, by its bits, and to a rest between -1/2 and 1/2, by its series.
    let power = (power * std::f32::consts::LOG2_E).max_precise(f32x16::splat(simd, -126.0));
    let whole = (power + 0.5).floor();
    let rest = (power - whole) * std::f32::consts::LN_2;
    let mut series = f32x16::splat(simd, 1.0 / 720.0);
    for term in [1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        series = series * rest + term;
    }
    let exponent: i32x16<S> = whole.to_int();
    let scale: f32x16<S> = ((exponent + 127) << 23).bitcast();
    series * scale
}

/// Cells that are learnt from: evenly over the picture, but not one below the other.
fn samples(cells: usize, cols: usize) -> impl Iterator<Item = usize> {
    let step = (cells / SAMPLES).max(1);
    (0..cells).step_by(step).map(move |cell| (cell + cell / cols * 37 % step).min(cells - 1))
}

fn label(logits: &FeatureMap, cell: usize) -> usize {
    let cells = logits.rows * logits.cols;
    let mut best = (0, f32::NEG_INFINITY);
    for (class, &logit) in logits.values[cell..].iter().step_by(cells).enumerate() {
        if logit > best.1 {
            best = (class, logit);
        }
    }
    best.0
}

/// `weights` `[classes, count]` as `[classes / TOGETHER, count, TOGETHER]`, zero beyond the last class.
fn grouped(weights: &[f32], count: usize, classes: usize) -> Vec<f32> {
    let mut grouped = vec![0.0; classes.div_ceil(TOGETHER) * count * TOGETHER];
    for (class, weights) in weights.chunks_exact(count).enumerate() {
        let group = &mut grouped[class / TOGETHER * count * TOGETHER..];
        for (place, weight) in group[class % TOGETHER..].iter_mut().step_by(TOGETHER).zip(weights) {
            *place = *weight;
        }
    }
    grouped
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "what is not touched is exact")]
mod tests {
    use super::*;

    const ROWS: usize = 20;
    const COLS: usize = 30;
    const SKY: usize = 0;
    const ROAD: usize = 1;
    const CAR: usize = 2;
    const CLASSES: usize = 3;

    /// A picture of two halves, of which `split` cells from the top are sky; and how far what was carried there is trusted.
    struct Scene {
        colours: [Vec<f32>; 3],
        trust: Vec<f32>,
        strength: Vec<f32>,
    }

    impl Scene {
        fn new(split: usize, trust: f32) -> Self {
            // A little uneven, as pictures are.
            let grey = |cell: usize| if cell / COLS < split { 0.8 } else { 0.3 } + 0.02 * (cell as f32 * 1.7).sin();
            let plane = |tint: f32| (0..ROWS * COLS).map(|cell| grey(cell) * tint).collect();
            let colours = [plane(1.0), plane(0.9), plane(1.1)];
            Self { colours, trust: vec![trust; ROWS * COLS], strength: vec![2.0; ROWS * COLS] }
        }

        fn seen(&self) -> Seen<'_> {
            let Self { colours, trust, strength } = self;
            Seen { rows: ROWS, cols: COLS, colours: colours.each_ref().map(Vec::as_slice), trust, strength }
        }
    }

    fn logits(label: impl Fn(usize) -> usize) -> FeatureMap {
        let mut map = FeatureMap::zeros(CLASSES, ROWS, COLS);
        for cell in 0..ROWS * COLS {
            map.values[label(cell) * ROWS * COLS + cell] = 2.0;
        }
        map
    }

    fn halves(split: usize) -> FeatureMap {
        logits(|cell| if cell / COLS < split { SKY } else { ROAD })
    }

    /// The share of cells that have the `truth`'s label.
    fn right(map: &FeatureMap, truth: &FeatureMap) -> f32 {
        let cells = ROWS * COLS;
        (0..cells).filter(|&cell| label(map, cell) == label(truth, cell)).count() as f32 / cells as f32
    }

    #[test]
    fn a_first_key_frame_teaches_what_its_colours_are() {
        let mut learner = Learner::new();
        assert!(!learner.has_learnt());
        learner.learn(&halves(8), None, &Scene::new(8, 0.0).seen());
        assert!(learner.has_learnt());
        let mut carried = logits(|_| CAR);
        learner.mend(&mut carried, &Scene::new(12, 0.1).seen());
        let right = right(&carried, &halves(12));
        assert!(right > 0.95, "{right} of cells are right where the horizon has moved");
    }

    #[test]
    fn what_became_of_carried_labels_teaches_where_the_picture_says_nothing() {
        let mut learner = Learner::new();
        let grey = Scene::new(0, 0.3);
        learner.learn(&logits(|_| ROAD), None, &grey.seen());
        // What is carried as a car and not trusted was road twice, what is carried as road was road.
        let carried = logits(|cell| if cell % COLS < 15 { CAR } else { ROAD });
        let mixed = logits(|cell| if cell % COLS < 15 { SKY } else { ROAD });
        learner.learn(&mixed, Some(&carried), &grey.seen());
        learner.learn(&mixed, Some(&carried), &grey.seen());
        // On the other side of the picture.
        let mut mirrored = logits(|cell| if cell % COLS < 15 { ROAD } else { CAR });
        learner.mend(&mut mirrored, &grey.seen());
        let truth = logits(|cell| if cell % COLS < 15 { ROAD } else { SKY });
        let right = right(&mirrored, &truth);
        assert!(right > 0.9, "{right} of cells are right");
    }

    #[test]
    fn the_last_key_frame_weighs_most() {
        let (mut learner, scene) = (Learner::new(), Scene::new(8, 0.0));
        learner.learn(&halves(8), None, &scene.seen());
        let swapped = logits(|cell| if cell / COLS < 8 { ROAD } else { SKY });
        for _ in 0..4 {
            learner.learn(&swapped, None, &scene.seen());
        }
        let mut carried = logits(|_| CAR);
        learner.mend(&mut carried, &scene.seen());
        assert!(right(&carried, &swapped) > 0.95);
    }

    #[test]
    fn what_is_trusted_stays_as_it_is_and_what_is_not_changes_by_as_much_as_it_is_doubted() {
        let mut learner = Learner::new();
        learner.learn(&halves(8), None, &Scene::new(8, 0.0).seen());
        let mut scene = Scene::new(8, DOUBTFUL);
        scene.trust[7] = 0.5;
        let before = logits(|_| CAR);
        let mut carried = before.clone();
        learner.mend(&mut carried, &scene.seen());
        // No car was ever seen: nothing is said of it.
        for class in [SKY, ROAD] {
            let (plane, old) = (carried.plane(class), before.plane(class));
            assert!((0..ROWS * COLS).all(|cell| (plane[cell] == old[cell]) == (cell != 7)), "class {class}");
        }
        let mut change = |strength: f32| {
            scene.strength[7] = strength;
            let mut carried = before.clone();
            learner.mend(&mut carried, &scene.seen());
            carried.values[7] - before.values[7]
        };
        let (once, twice) = (change(1.0), change(2.0));
        assert!((twice - 2.0 * once).abs() < 1e-5 && once != 0.0, "{once} {twice}");
    }

    #[test]
    fn without_a_key_frame_nothing_changes() {
        let mut carried = logits(|_| CAR);
        Learner::new().mend(&mut carried, &Scene::new(8, 0.0).seen());
        assert_eq!(carried, logits(|_| CAR));
    }

    #[test]
    fn what_is_no_number_teaches_nothing_and_is_not_answered() {
        let mut learner = Learner::new();
        let (mut damaged, carried) = (Scene::new(8, 0.2), logits(|_| CAR));
        damaged.colours[1][33] = f32::NAN;
        learner.learn(&halves(8), None, &damaged.seen());
        assert!(!learner.has_learnt(), "its scale is no number");
        learner.learn(&halves(8), None, &Scene::new(8, 0.0).seen());
        // A cell that is no number, among those that teach and those that are answered.
        let mut holed = carried.clone();
        holed.values[40] = f32::NAN;
        learner.learn(&halves(8), Some(&holed), &Scene::new(8, 0.2).seen());
        assert!(learner.has_learnt());
        learner.mend(&mut holed, &Scene::new(8, 0.2).seen());
        assert!(holed.values[40].is_nan() && holed.values.iter().filter(|value| value.is_nan()).count() == 1);
        assert!(right(&holed, &halves(8)) > 0.95);
        let mut mended = carried.clone();
        learner.mend(&mut mended, &damaged.seen());
        assert!(mended.values.iter().all(|value| value.is_finite()));
        // As far as the damage reaches: 12 rows and 14 columns.
        let untouched = (0..ROWS * COLS).filter(|&cell| label(&mended, cell) == CAR).count();
        assert!((150..=170).contains(&untouched), "{untouched}");
    }

    #[test]
    fn what_was_carried_is_told_as_probabilities_and_as_these_times_trust() {
        let mut map = FeatureMap::zeros(CLASSES, 1, 2);
        map.values[1] = 3.0_f32.ln();
        let mut block = Block::default();
        let (shape, trust) = ([2, CLASSES], [0.0, 0.5]);
        dispatch!(Level::new(), simd => block.carried(simd, &[1], Some(&map), shape, &trust));
        let told = &block.described[(hidden(2) + INPUTS + 1) * LANES..];
        let expected = [0.6, 0.2, 0.2, 0.3, 0.1, 0.1];
        for (value, expected) in told.iter().step_by(LANES).zip(expected) {
            assert!((value - expected).abs() < 1e-6, "{value}, expected {expected}");
        }
        assert_eq!(told.len(), expected.len() * LANES);
    }

    #[test]
    fn powers_of_e_are_nearly_right() {
        #[inline(always)]
        fn of<S: Simd>(simd: S, powers: &[f32], out: &mut [f32]) {
            exp(simd, f32x16::from_slice(simd, powers)).store_slice(out);
        }
        for block in 0..200 {
            let powers: Vec<f32> = (0..LANES).map(|lane| (block * LANES + lane) as f32 * -0.0123).collect();
            let mut out = [0.0; LANES];
            dispatch!(Level::new(), simd => of(simd, &powers, &mut out));
            for (power, found) in powers.iter().zip(out) {
                let expected = power.exp();
                assert!(
                    (found / expected - 1.0).abs() < 1e-6 * (1.0 - power),
                    "e to {power}: {found}, expected {expected}"
                );
            }
        }
        let powers = [f32::NEG_INFINITY, f32::NAN, -200.0, -87.0].repeat(4);
        let mut out = [1.0; LANES];
        dispatch!(Level::new(), simd => of(simd, &powers, &mut out));
        assert!(out.iter().all(|found| (0.0..2e-38).contains(found)), "{out:?}");
    }

    #[test]
    fn any_number_of_classes_is_learnt() {
        for classes in [1, 2, 5, 40] {
            let (mut learner, scene) = (Learner::new(), Scene::new(8, 0.0));
            let mut fresh = FeatureMap::zeros(classes, ROWS, COLS);
            for cell in 0..8 * COLS {
                fresh.values[(classes - 1) * ROWS * COLS + cell] = 1.0;
            }
            learner.learn(&fresh, None, &scene.seen());
            learner.learn(&fresh, Some(&FeatureMap::zeros(classes, ROWS, COLS)), &scene.seen());
            let mut carried = FeatureMap::zeros(classes, ROWS, COLS);
            learner.mend(&mut carried, &scene.seen());
            assert_eq!(learner.has_learnt(), classes > 1);
            assert!(right(&carried, &fresh) > 0.95, "{classes} classes");
        }
    }

    #[test]
    fn every_instruction_set_of_this_machine_mends_alike() {
        let taught = |instructions: Level| {
            let mut learner = Learner { instructions, ..Learner::new() };
            learner.learn(&halves(8), None, &Scene::new(8, 0.0).seen());
            let mut carried = logits(|cell| cell % CLASSES);
            learner.mend(&mut carried, &Scene::new(11, 0.3).seen());
            carried.values.iter().map(|value| value.to_bits()).collect::<Vec<_>>()
        };
        let best = Level::new();
        assert!(taught(best) == taught(Level::baseline()), "{best:?} against {:?}", Level::baseline());
    }

    #[test]
    fn samples_are_spread_over_the_whole_picture() {
        let chosen: Vec<_> = samples(128 * 256, 256).collect();
        assert_eq!(chosen.len(), SAMPLES);
        assert!(chosen.windows(2).all(|pair| pair[0] < pair[1]) && chosen.iter().all(|&cell| cell < 128 * 256));
        let columns: std::collections::BTreeSet<_> = chosen.iter().map(|cell| cell % 256).collect();
        assert_eq!(columns.len(), 256);
        assert_eq!(samples(600, 30).collect::<Vec<_>>(), (0..600).collect::<Vec<_>>());
    }
}
