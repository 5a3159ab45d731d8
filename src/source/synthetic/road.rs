//! The road: where it runs, and what lies across it.
//!
//! ```text
//!            y = centre(x), a sum of sines: closed form, so that a pixel finds its lane at once
//!  block | verge | sidewalk | parking | lane <- 0 -> lane | parking | sidewalk | verge | block
//! ```
//! Lateral distance is taken along y and shortened by the slope: exact for a straight road, within
//! 1 % of the distance for these curves (radius above 100 m).

use super::chance::Chance;
use super::config::Scenario;

/// How far a block of buildings, a park or a field reaches along the road, m.
pub(super) const BLOCK_M: f64 = 48.0;
/// Height of the sidewalk over the carriageway, m.
pub(super) const KERB_M: f64 = 0.12;

/// Where the table of the road's middle begins, and how fine it is.
const TABLE_FROM_M: f64 = -100.0;
const TABLE_STEP_M: f64 = 0.5;

/// What stands beside the road.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Zone {
    /// Paved up to buildings that stand wall to wall.
    Downtown,
    /// Houses behind gardens, walls and fences.
    Residential,
    /// Trees and grass.
    Green,
}

/// What one meets on the ground.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ground {
    Carriageway,
    Kerb,
    Sidewalk,
    Terrain,
}

/// A place relative to the road: `x` along the world axis, `lateral` m left of the middle.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) x: f64,
    pub(super) lateral: f64,
}

/// The road and its cross-section, fixed by the seed.
#[derive(Clone, Debug)]
pub(super) struct Road {
    seed: u64,
    waves: [[f64; 3]; 3],
    urbanity: f64,
    bends: Vec<[f64; 2]>,
    pub(super) lane_m: f64,
    pub(super) parking_m: f64,
    pub(super) sidewalk_m: f64,
    pub(super) marks: Marks,
}

/// The paint on the road.
#[derive(Clone, Copy, Debug)]
pub(super) struct Marks {
    pub(super) yellow_middle: bool,
    pub(super) double_middle: bool,
    pub(super) dash_m: f64,
    pub(super) period_m: f64,
    pub(super) edge_lines: bool,
    pub(super) crossing_every: i64,
}

impl Road {
    /// The road of a seed, looked up quickly as far as `reach_m`.
    pub(super) fn new(seed: u64, scenario: &Scenario, reach_m: f64) -> Self {
        let mut chance = Chance::new(seed, &[1]);
        let mut wave = |length: f64, height: f64| {
            let height = height * chance.range(0.4, 1.0) * scenario.curviness;
            [
                height,
                std::f64::consts::TAU / (length * chance.range(0.8, 1.25)),
                chance.range(0.0, std::f64::consts::TAU),
            ]
        };
        let waves = [wave(900.0, 40.0), wave(380.0, 9.0), wave(170.0, 1.8)];
        let dash_m = chance.pick(&[2.0, 3.0, 6.0]);
        let marks = Marks {
            yellow_middle: chance.happens(0.2),
            double_middle: chance.happens(0.2),
            dash_m,
            period_m: dash_m * chance.range(2.0, 3.2),
            edge_lines: chance.happens(0.5),
            crossing_every: chance.pick(&[2, 3, 4]),
        };
        let mut road = Self {
            seed,
            waves,
            urbanity: scenario.urbanity,
            bends: Vec::new(),
            lane_m: chance.range(3.1, 3.7),
            parking_m: if chance.happens(0.65) { chance.range(2.1, 2.5) } else { 0.4 },
            sidewalk_m: chance.range(1.8, 4.2),
            marks,
        };
        let count = ((reach_m - TABLE_FROM_M) / TABLE_STEP_M).ceil() as i64;
        let x = |index: i64| TABLE_FROM_M + index as f64 * TABLE_STEP_M;
        road.bends = (0..count).map(|index| [road.centre(x(index)), road.slope(x(index))]).collect();
        road
    }

    pub(super) fn seed(&self) -> u64 {
        self.seed
    }

    /// y of the middle of the road.
    pub(super) fn centre(&self, x: f64) -> f64 {
        self.waves.iter().map(|[height, k, phase]| height * libm::sin(k * x + phase)).sum()
    }

    /// dy/dx of the middle.
    pub(super) fn slope(&self, x: f64) -> f64 {
        self.waves.iter().map(|[height, k, phase]| height * k * libm::cos(k * x + phase)).sum()
    }

    /// Curvature of the middle, 1/m, left positive.
    pub(super) fn curvature(&self, x: f64) -> f64 {
        let bend: f64 = self.waves.iter().map(|[height, k, phase]| -height * k * k * libm::sin(k * x + phase)).sum();
        let stretch = 1.0 + self.slope(x) * self.slope(x);
        bend / (stretch * stretch.sqrt())
    }

    /// World x, y and heading of a place.
    pub(super) fn world(&self, place: Place) -> (f64, f64, f64) {
        let slope = self.slope(place.x);
        let stretch = (1.0 + slope * slope).sqrt();
        let (sin, cos) = (slope / stretch, 1.0 / stretch);
        (place.x - sin * place.lateral, self.centre(place.x) + cos * place.lateral, libm::atan(slope))
    }

    /// Metres left of the middle. Between the table's entries the road is taken as straight: 0.2 mm off.
    pub(super) fn lateral(&self, x: f64, y: f64) -> f64 {
        let at = (x - TABLE_FROM_M) / TABLE_STEP_M;
        let (index, part) = (at.floor(), at - at.floor());
        let entries = if index >= 0.0 { self.bends.get(index as usize..) } else { None };
        let [centre, slope] = match entries {
            Some([from, to, ..]) => [0, 1].map(|i| from[i] + part * (to[i] - from[i])),
            _ => [self.centre(x), self.slope(x)],
        };
        (y - centre) / (1.0 + slope * slope).sqrt()
    }

    /// From the middle to the kerb, m.
    pub(super) fn half_width(&self) -> f64 {
        self.lane_m + self.parking_m
    }

    /// The zone of block `block` on side `side` (1 left, -1 right).
    pub(super) fn zone(&self, block: i64, side: i64) -> Zone {
        // Three blocks in a row share most of their draw: a town comes in stretches.
        let stretch = Chance::new(self.seed, &[2, block.div_euclid(3), side]).unit();
        let own = Chance::new(self.seed, &[3, block, side]).unit();
        match 0.7 * stretch + 0.3 * own {
            draw if draw < 0.62 * self.urbanity => Zone::Downtown,
            draw if draw < 0.45 + 0.35 * self.urbanity => Zone::Residential,
            _ => Zone::Green,
        }
    }

    /// x of the middle of this block's zebra crossing, if it has one.
    pub(super) fn crossing(&self, block: i64) -> Option<f64> {
        let offset = (Chance::new(self.seed, &[4]).bits() % 16) as i64;
        (block + offset).rem_euclid(self.marks.crossing_every).eq(&0).then_some((block as f64 + 0.5) * BLOCK_M)
    }

    /// What lies `lateral` metres from the middle.
    pub(super) fn ground(&self, place: Place) -> Ground {
        let beyond = place.lateral.abs() - self.half_width();
        if beyond < 0.0 {
            return Ground::Carriageway;
        }
        let side = if place.lateral > 0.0 { 1 } else { -1 };
        let zone = self.zone((place.x / BLOCK_M).floor() as i64, side);
        let paved = match zone {
            Zone::Downtown => self.sidewalk_m + 14.0,
            Zone::Residential => self.sidewalk_m,
            Zone::Green => self.sidewalk_m * 0.7,
        };
        if beyond < paved { Ground::Sidewalk } else { Ground::Terrain }
    }
}

/// The block that `x` lies in.
pub(super) fn block_of(x: f64) -> i64 {
    (x / BLOCK_M).floor() as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_found_again_from_its_world_coordinates() {
        for seed in 0..20 {
            let road = Road::new(seed, &Scenario::default(), 1000.0);
            for step in 0..40 {
                let place = Place { x: f64::from(step) * 37.0, lateral: -1.7 };
                let (x, y, heading) = road.world(place);
                assert!((road.lateral(x, y) - place.lateral).abs() < 0.02, "seed {seed} at {}", place.x);
                assert!(heading.abs() < 1.0);
            }
        }
    }
}
