//! What stands still beside the road, block by block: houses, gardens, trees, poles, parked cars.
//!
//! A block is a pure function of the seed and its number, so it is the same whenever it is built.

use super::chance::Chance;
use super::facade::Facade;
use super::figures::{Body, class};
use super::ground::height;
use super::material::Material;
use super::road::{BLOCK_M, Place, Road, Zone};
use super::solid::{Pose, Solid};

/// Numbers that one side of one block may give to its solids; blocks count from a few behind the start.
const IDS_A_SIDE: i64 = 4096;

/// Builds blocks into a list of solids.
pub(super) struct Builder<'a> {
    road: &'a Road,
    solids: &'a mut Vec<Solid>,
    chance: Chance,
    block: i64,
    side: i64,
    id: u32,
}

/// Adds everything of block `block` to `solids`.
pub(super) fn build(road: &Road, block: i64, solids: &mut Vec<Solid>) {
    for side in [1, -1] {
        let chance = Chance::new(road.seed(), &[10, block, side]);
        let id = (((block + 16) * 2 + (side + 1) / 2) * IDS_A_SIDE) as u32;
        let mut builder = Builder { road, solids, chance, block, side, id };
        builder.background();
        builder.street();
    }
}

impl Builder<'_> {
    /// A body at `along` m into the block and `beyond` m from the kerb, turned by `turn` from the road.
    fn body(&mut self, along: f64, beyond: f64, turn: f64) -> (Body<'_>, &mut Chance) {
        let lateral = self.side as f64 * (self.road.half_width() + beyond);
        let place = Place { x: self.block as f64 * BLOCK_M + along, lateral };
        let (x, y, heading) = self.road.world(place);
        let pose = Pose::new((x, y, heading + turn), height(self.road, place));
        self.id = self.id.wrapping_add(24);
        (Body { solids: &mut *self.solids, now: pose, before: pose, id: self.id }, &mut self.chance)
    }

    /// What stands behind the sidewalk.
    fn background(&mut self) {
        match self.road.zone(self.block, self.side) {
            Zone::Downtown => self.terrace(),
            Zone::Residential => self.gardens(),
            Zone::Green => self.park(),
        }
    }

    fn terrace(&mut self) {
        let mut along = 0.0;
        let line = self.road.sidewalk_m + self.chance.range(0.0, 1.5);
        while along < BLOCK_M - 4.0 {
            let width = self.chance.range(6.0, 18.0).min(BLOCK_M - along);
            if self.chance.happens(0.9) {
                let setback = if self.chance.happens(0.2) { self.chance.range(0.3, 3.0) } else { 0.0 };
                let high = self.chance.range(6.0, 19.0);
                self.house(along + width / 2.0, line + setback, [width / 2.0 + 0.05, 6.0, high / 2.0]);
            }
            along += width;
        }
    }

    /// A house whose front is `line` m from the kerb.
    fn house(&mut self, along: f64, line: f64, half: [f64; 3]) {
        let (mut body, chance) = self.body(along, line + half[1], 0.0);
        let shop = half[2] > 2.9 && chance.happens(0.55);
        body.block(class::BUILDING, half, Material::Facade(Facade::new(chance, shop)));
        if half[2] < 6.5 && chance.happens(0.7) {
            let tiles = chance.pick(&[[0.22, 0.08, 0.05], [0.1, 0.1, 0.11], [0.15, 0.11, 0.09]]);
            body.roof(half, tiles);
        }
    }

    fn gardens(&mut self) {
        let line = self.road.sidewalk_m;
        self.border(line + 0.3);
        for index in 0..3 {
            let (along, setback) = (8.0 + f64::from(index) * 16.0, self.chance.range(4.0, 9.0));
            if self.chance.happens(0.8) {
                let half = [self.chance.range(4.0, 7.0), 4.5, self.chance.range(2.7, 5.0)];
                self.house(along, line + setback, half);
            }
            if self.chance.happens(0.6) {
                self.tree(along + self.chance.clone().range(-7.0, 7.0), line + 2.0, (4.0, 9.0));
            }
        }
    }

    /// Walls, fences and hedges along the sidewalk, in pieces.
    fn border(&mut self, line: f64) {
        for index in 0..6 {
            let along = 4.0 + f64::from(index) * 8.0;
            let kind = self.chance.range(0.0, 4.0) as u8;
            let (mut body, chance) = self.body(along, line, 0.0);
            match kind {
                0 => {
                    let stone = chance.pick(&[[0.3, 0.27, 0.23], [0.28, 0.13, 0.09], [0.4, 0.39, 0.37]]);
                    let half = [4.0, 0.13, chance.range(0.4, 1.1)];
                    body.block(class::WALL, half, Material::Courses(chance.color_near(stone, 0.2), 0.16));
                }
                1 => {
                    let color = chance.pick(&[[0.02; 3], [0.5; 3], [0.2, 0.13, 0.08]]);
                    let half = [4.0, 0.03, chance.range(0.45, 0.95)];
                    body.block(class::FENCE, half, Material::Bars(color, chance.range(0.14, 0.4)));
                }
                2 => {
                    let half = [4.0, 0.45, chance.range(0.4, 1.0)];
                    body.bush(chance, half);
                }
                _ => (),
            }
        }
    }

    fn park(&mut self) {
        let line = self.road.sidewalk_m * 0.7;
        if self.chance.happens(0.4) {
            self.border(line + 0.4);
        }
        for _ in 0..9 {
            let (along, beyond) = (self.chance.range(0.0, BLOCK_M), line + 1.5 + self.chance.range(0.0, 16.0));
            if self.chance.happens(0.65) {
                self.tree(along, beyond, (5.0, 13.0));
            } else {
                let (mut body, chance) = self.body(along, beyond, 0.0);
                let wide = chance.range(0.6, 1.6);
                let half = [wide, wide, chance.range(0.4, 1.0)];
                body.bush(chance, half);
            }
        }
    }

    fn tree(&mut self, along: f64, beyond: f64, (low, high): (f64, f64)) {
        let (mut body, chance) = self.body(along, beyond, 0.0);
        let height = chance.range(low, high);
        body.tree(chance, height);
    }

    /// What stands on the sidewalk and at the kerb.
    fn street(&mut self) {
        let downtown = self.road.zone(self.block, self.side) == Zone::Downtown;
        let over = -1.4 * self.side as f64;
        if self.chance.happens(0.8) {
            let along = self.chance.range(10.0, 20.0);
            self.body(along, 0.5, 0.0).0.lamp(over);
        }
        self.signs();
        if self.chance.happens(if downtown { 0.35 } else { 0.6 }) {
            for index in 0..3 {
                self.tree(3.0 + f64::from(index) * 15.0, 0.9, (4.5, 9.0));
            }
        }
        self.crossing();
        self.bystanders(downtown);
        self.parked();
    }

    fn signs(&mut self) {
        for _ in 0..2 {
            if self.chance.happens(0.6) {
                let along = self.chance.range(0.0, BLOCK_M);
                let (mut body, chance) = self.body(along, 0.45, 0.0);
                body.sign(chance);
            }
        }
        let posts = if self.chance.happens(0.25) { 6 } else { 0 };
        for index in 0..posts {
            self.body(26.0 + f64::from(index) * 1.6, 0.35, 0.0).0.post(0.95, 0.06);
        }
    }

    fn crossing(&mut self) {
        if self.road.crossing(self.block).is_some() {
            let lit = (Chance::new(self.road.seed(), &[11, self.block]).bits() % 3) as u8;
            for along in [BLOCK_M / 2.0 - 4.5, BLOCK_M / 2.0 + 4.5] {
                self.body(along, 0.5, 0.0).0.signal(lit);
            }
        }
    }

    fn bystanders(&mut self, downtown: bool) {
        let most = if downtown { 4 } else { 2 };
        for _ in 0..most {
            let (along, turn) = (self.chance.range(0.0, BLOCK_M), self.chance.range(0.0, std::f64::consts::TAU));
            let beyond = self.chance.range(0.8, self.road.sidewalk_m.max(1.0));
            if self.chance.happens(0.5) {
                let (mut body, chance) = self.body(along, beyond, turn);
                body.person(chance, (0.02, 0.02));
            } else if self.chance.happens(0.3) {
                let (mut body, chance) = self.body(along, 0.6, turn);
                let paint = Material::Plain(chance.color_near([0.15, 0.1, 0.1], 0.8));
                body.bicycle(paint);
            }
        }
    }

    fn parked(&mut self) {
        if self.road.parking_m < 1.0 {
            return;
        }
        let share = self.chance.range(0.1, 0.9);
        for index in 0..8 {
            let along = 3.0 + f64::from(index) * 6.0;
            let on_crossing = self.road.crossing(self.block).is_some() && (along - BLOCK_M / 2.0).abs() < 7.5;
            if on_crossing || !self.chance.happens(share) {
                continue;
            }
            // Most stand with the traffic of their side.
            let turn = if (self.side == 1) == self.chance.happens(0.85) { std::f64::consts::PI } else { 0.0 };
            let turn = turn + self.chance.range(-0.03, 0.03);
            let aside = self.chance.range(-0.1, 0.1);
            let (mut body, chance) = self.body(along, aside - self.road.parking_m / 2.0, turn);
            if chance.happens(0.06) { body.truck(chance) } else { body.car(chance) }
        }
    }
}
