//! Cars, people, trees and street furniture, put together from solids.
//!
//! Offsets are from a body's foot: x forward, y left, z up, in metres.

use super::chance::Chance;
use super::material::Material;
use super::solid::{Pose, Shape, Solid};
use nalgebra::Vector3;

/// Cityscapes train ids.
pub(super) mod class {
    pub(in super::super) const ROAD: u8 = 0;
    pub(in super::super) const SIDEWALK: u8 = 1;
    pub(in super::super) const BUILDING: u8 = 2;
    pub(in super::super) const WALL: u8 = 3;
    pub(in super::super) const FENCE: u8 = 4;
    pub(in super::super) const POLE: u8 = 5;
    pub(in super::super) const TRAFFIC_LIGHT: u8 = 6;
    pub(in super::super) const TRAFFIC_SIGN: u8 = 7;
    pub(in super::super) const VEGETATION: u8 = 8;
    pub(in super::super) const TERRAIN: u8 = 9;
    pub(in super::super) const SKY: u8 = 10;
    pub(in super::super) const PERSON: u8 = 11;
    pub(in super::super) const RIDER: u8 = 12;
    pub(in super::super) const CAR: u8 = 13;
    pub(in super::super) const TRUCK: u8 = 14;
    pub(in super::super) const BUS: u8 = 15;
    pub(in super::super) const MOTORCYCLE: u8 = 17;
    pub(in super::super) const BICYCLE: u8 = 18;
}

const STEEL: Material = Material::Plain([0.2, 0.2, 0.21]);
const TAPERED: Shape = Shape::Frustum { front: 0.15, rear: 0.15, side: 0.1 };

/// A body under construction: a pose now and one frame earlier, and the solids that stand on it.
pub(super) struct Body<'a> {
    pub(super) solids: &'a mut Vec<Solid>,
    pub(super) now: Pose,
    pub(super) before: Pose,
    /// Numbers its solids from here on.
    pub(super) id: u32,
}

/// A shape of some half sizes at an offset.
struct Part(Shape, [f64; 3], [f64; 3]);

impl Body<'_> {
    fn add(&mut self, class: u8, part: Part, material: Material) {
        let Part(_, _, at) = part;
        self.add_moving(class, part, at, material);
    }

    /// A part that was at `earlier` one frame ago, in the body's axes.
    fn add_moving(&mut self, class: u8, Part(shape, half, at): Part, earlier: [f64; 3], material: Material) {
        let (now, before) = (self.now.part(at, 0.0), self.before.part(earlier, 0.0));
        self.id = self.id.wrapping_add(1);
        self.solids.push(Solid { id: self.id, class, shape, half: Vector3::from(half), now, before, material });
    }

    fn wheels(&mut self, class: u8, [axle, track, radius]: [f64; 3]) {
        for (x, y) in [(axle, track), (axle, -track), (-axle, track), (-axle, -track)] {
            let part = Part(Shape::Wheel, [radius, 0.11, radius], [x, y, radius]);
            self.add(class, part, Material::Tyre);
        }
    }

    /// A car: saloon, hatchback, van by the draw.
    pub(super) fn car(&mut self, chance: &mut Chance) {
        let color = car_color(chance);
        let length = chance.range(1.85, 2.35);
        let tall = chance.happens(0.25);
        let sill = if tall { 0.62 } else { chance.range(0.5, 0.6) };
        self.add(class::CAR, Part(TAPERED, [length, 0.88, 0.33], [0.0, 0.0, sill]), Material::Body(color));
        let estate = tall || chance.happens(0.4);
        let roof = if tall { 0.52 } else { 0.3 };
        let lean = if tall { 0.25 } else { 0.55 };
        let shape = Shape::Frustum { front: lean, rear: if estate { 0.18 } else { 0.5 }, side: 0.16 };
        let (half, middle) = if estate { (0.74 * length, -0.22 * length) } else { (0.6 * length, -0.1 * length) };
        let cabin = Part(shape, [half, 0.84, roof], [middle, 0.0, sill + 0.33 + roof]);
        self.add(class::CAR, cabin, Material::Cabin(color));
        self.wheels(class::CAR, [0.64 * length, 0.8, chance.range(0.3, 0.35)]);
    }

    /// A lorry with a box or a flat front.
    pub(super) fn truck(&mut self, chance: &mut Chance) {
        let (cab, load) = (car_color(chance), chance.color_near([0.5, 0.5, 0.48], 0.5));
        let length = chance.range(2.2, 4.0);
        self.add(class::TRUCK, Part(Shape::BOX, [length, 1.2, 1.25], [-0.9, 0.0, 2.2]), Material::Plain(load));
        let front = length + 0.15;
        self.add(class::TRUCK, Part(TAPERED, [0.95, 1.15, 0.6], [front, 0.0, 1.1]), Material::Body(cab));
        let lean = Shape::Frustum { front: 0.3, rear: 0.0, side: 0.08 };
        self.add(class::TRUCK, Part(lean, [0.92, 1.12, 0.5], [front, 0.0, 2.2]), Material::Cabin(cab));
        self.add(
            class::TRUCK,
            Part(Shape::BOX, [length + 0.6, 0.9, 0.2], [0.0, 0.0, 0.75]),
            Material::Plain([0.03; 3]),
        );
        self.wheels(class::TRUCK, [length - 0.1, 1.0, 0.5]);
    }

    /// A bus, now and then with two floors.
    pub(super) fn bus(&mut self, chance: &mut Chance) {
        let color =
            chance.pick(&[[0.5, 0.03, 0.03], [0.5, 0.4, 0.05], [0.05, 0.15, 0.4], [0.6, 0.6, 0.58], [0.05, 0.3, 0.12]]);
        let length = chance.range(4.8, 6.0);
        self.add(class::BUS, Part(Shape::BOX, [length, 1.25, 1.3], [0.0, 0.0, 1.65]), Material::Coach(color));
        if chance.happens(0.3) {
            self.add(class::BUS, Part(Shape::BOX, [length, 1.25, 0.65], [0.0, 0.0, 3.6]), Material::Coach(color));
        }
        self.wheels(class::BUS, [0.62 * length, 1.12, 0.5]);
    }

    /// Somebody on foot; `stride` and `stride_before` are how far the left foot is ahead.
    pub(super) fn person(&mut self, chance: &mut Chance, (stride, stride_before): (f64, f64)) {
        self.human(chance, class::PERSON, (stride, stride_before), 0.0);
    }

    fn human(&mut self, chance: &mut Chance, class: u8, (stride, earlier): (f64, f64), lift: f64) {
        let size = chance.range(0.9, 1.06);
        let coat = Material::Plain(cloth(chance));
        let trousers = Material::Plain(cloth(chance));
        let skin = Material::Plain(chance.pick(&[[0.5, 0.33, 0.24], [0.3, 0.18, 0.11], [0.12, 0.07, 0.04]]));
        let hair = Material::Plain(chance.pick(&[[0.02; 3], [0.1, 0.06, 0.03], [0.3, 0.25, 0.15]]));
        let tall = |part: f64| part * size + lift;
        for side in [1.0, -1.0] {
            for (share, low, thick) in [(0.35, 0.64, 0.085), (0.8, 0.26, 0.065)] {
                let at = |way: f64| [side * way * share, side * 0.095, tall(low)];
                let leg = Part(Shape::Column, [thick * 1.2, thick, 0.24 * size], at(stride));
                self.add_moving(class, leg, at(earlier), trousers);
            }
            let arm = |way: f64| [-side * way * 0.5, side * 0.27, tall(1.12)];
            let part = Part(Shape::Ball, [0.08, 0.07, 0.32 * size], arm(stride));
            self.add_moving(class, part, arm(earlier), coat);
        }
        let torso = Shape::Frustum { front: 0.0, rear: 0.0, side: -0.25 };
        self.add(class, Part(torso, [0.13, 0.17, 0.31 * size], [0.0, 0.0, tall(1.14)]), coat);
        self.add(class, Part(Shape::Ball, [0.11, 0.1, 0.14], [0.0, 0.0, tall(1.62)]), skin);
        self.add(class, Part(Shape::Ball, [0.115, 0.11, 0.1], [-0.02, 0.0, tall(1.69)]), hair);
    }

    /// Somebody on a bicycle or, heavier, on a motorcycle.
    pub(super) fn cyclist(&mut self, chance: &mut Chance, pedal: (f64, f64)) {
        let motor = chance.happens(0.25);
        let color = Material::Plain(car_color(chance));
        if motor {
            self.motorcycle(color);
        } else {
            self.bicycle(color);
        }
        self.human(chance, class::RIDER, (0.3 * pedal.0, 0.3 * pedal.1), 0.18);
    }

    /// A bicycle that stands or is ridden.
    pub(super) fn bicycle(&mut self, color: Material) {
        for x in [0.52, -0.52] {
            let wheel = Part(Shape::Wheel, [0.34, 0.025, 0.34], [x, 0.0, 0.34]);
            self.add(class::BICYCLE, wheel, Material::Spokes);
        }
        self.add(class::BICYCLE, Part(Shape::BOX, [0.42, 0.025, 0.03], [0.0, 0.0, 0.78]), color);
        self.add(class::BICYCLE, Part(Shape::BOX, [0.03, 0.025, 0.3], [-0.12, 0.0, 0.6]), color);
        self.add(class::BICYCLE, Part(Shape::BOX, [0.03, 0.025, 0.33], [0.44, 0.0, 0.65]), color);
        self.add(class::BICYCLE, Part(Shape::BOX, [0.04, 0.28, 0.03], [0.42, 0.0, 1.0]), Material::Plain([0.02; 3]));
    }

    fn motorcycle(&mut self, color: Material) {
        for x in [0.7, -0.7] {
            let wheel = Part(Shape::Wheel, [0.31, 0.08, 0.31], [x, 0.0, 0.31]);
            self.add(class::MOTORCYCLE, wheel, Material::Tyre);
        }
        self.add(class::MOTORCYCLE, Part(TAPERED, [0.62, 0.18, 0.22], [0.0, 0.0, 0.62]), color);
        self.add(class::MOTORCYCLE, Part(TAPERED, [0.2, 0.22, 0.2], [0.6, 0.0, 0.95]), color);
    }

    /// A tree of about this height.
    pub(super) fn tree(&mut self, chance: &mut Chance, height: f64) {
        let bark = Material::Plain(chance.color_near([0.1, 0.08, 0.06], 0.3));
        let trunk = 0.2 * height;
        self.add(
            class::VEGETATION,
            Part(Shape::Column, [0.02 * height, 0.02 * height, trunk], [0.0, 0.0, trunk]),
            bark,
        );
        let green = chance.pick(&[
            [0.1, 0.15, 0.04],
            [0.07, 0.12, 0.035],
            [0.16, 0.17, 0.06],
            [0.2, 0.14, 0.05],
            [0.12, 0.1, 0.07],
        ]);
        let leaves = Material::Leaves(chance.color_near(green, 0.35), chance.range(0.4, 0.58) as f32);
        let (slim, low) = (chance.range(0.7, 1.1), chance.range(0.38, 0.5));
        for index in 0..9 {
            let up = f64::from(index) / 8.0;
            let radius = height * slim * chance.range(0.1, 0.2);
            // Widest a third of the way up the crown.
            let aside = height * slim * 0.24 * (1.0 - 0.8 * (up - 0.3).abs());
            let (turn, out) = (f64::from(index) * 2.4, aside * chance.range(0.3, 1.0));
            let at = [out * libm::cos(turn), out * libm::sin(turn), height * (low + (0.95 - low) * up) - radius * 0.4];
            self.add(class::VEGETATION, Part(Shape::Ball, [radius, radius, radius * 0.85], at), leaves);
        }
    }

    /// A bush or, stretched, a hedge.
    pub(super) fn bush(&mut self, chance: &mut Chance, half: [f64; 3]) {
        let leaves = Material::Leaves(chance.color_near([0.08, 0.12, 0.035], 0.4), 0.72);
        let shape = if half[0] > 2.0 { Shape::BOX } else { Shape::Ball };
        self.add(class::VEGETATION, Part(shape, half, [0.0, 0.0, half[2] * 0.9]), leaves);
    }

    /// A street lamp that reaches `over` to the left.
    pub(super) fn lamp(&mut self, over: f64) {
        self.add(class::POLE, Part(Shape::Column, [0.09, 0.09, 3.6], [0.0, 0.0, 3.6]), STEEL);
        self.add(class::POLE, Part(Shape::BOX, [0.05, over.abs() / 2.0, 0.05], [0.0, over / 2.0, 7.15]), STEEL);
        self.add(class::POLE, Part(Shape::BOX, [0.12, 0.35, 0.06], [0.0, over, 7.1]), Material::Plain([0.35; 3]));
    }

    /// A plain post.
    pub(super) fn post(&mut self, height: f64, radius: f64) {
        self.add(class::POLE, Part(Shape::Column, [radius, radius, height / 2.0], [0.0, 0.0, height / 2.0]), STEEL);
    }

    /// A traffic sign on its post.
    pub(super) fn sign(&mut self, chance: &mut Chance) {
        let height = chance.range(2.2, 2.9);
        self.post(height, 0.04);
        let kind = chance.pick(&[0, 0, 1, 2, 3, 3]);
        let color = match kind {
            0 | 1 => [0.55, 0.03, 0.03],
            2 => [0.65, 0.5, 0.05],
            _ => chance.pick(&[[0.03, 0.1, 0.45], [0.03, 0.25, 0.1], [0.5, 0.5, 0.5]]),
        };
        let (wide, tall) = if kind == 3 { (chance.range(0.35, 0.8), chance.range(0.3, 0.6)) } else { (0.4, 0.4) };
        let plate = Part(Shape::BOX, [0.02, wide, tall], [-0.07, 0.0, height]);
        self.add(class::TRAFFIC_SIGN, plate, Material::Sign(kind, color));
    }

    /// A traffic light on its post.
    pub(super) fn signal(&mut self, lit: u8) {
        self.post(2.6, 0.06);
        self.add(class::TRAFFIC_LIGHT, Part(Shape::BOX, [0.13, 0.17, 0.45], [-0.1, 0.0, 2.9]), Material::Signal(lit));
    }

    /// Anything box-shaped on the ground: a house, a wall, a fence.
    pub(super) fn block(&mut self, class: u8, half: [f64; 3], material: Material) {
        self.add(class, Part(Shape::BOX, half, [0.0, 0.0, half[2]]), material);
    }

    /// A gabled roof over a house of these half sizes.
    pub(super) fn roof(&mut self, half: [f64; 3], color: [f32; 3]) {
        let gable = Shape::Frustum { front: 0.0, rear: 0.0, side: 0.98 };
        let rise = half[1] * 0.35;
        let part = Part(gable, [half[0] + 0.3, half[1] + 0.4, rise], [0.0, 0.0, 2.0 * half[2] + rise]);
        self.add(class::BUILDING, part, Material::Plain(color));
    }
}

fn car_color(chance: &mut Chance) -> [f32; 3] {
    let base = chance.pick(&[
        [0.02, 0.02, 0.02],
        [0.03, 0.03, 0.035],
        [0.55, 0.55, 0.55],
        [0.6, 0.6, 0.58],
        [0.22, 0.23, 0.24],
        [0.1, 0.105, 0.11],
        [0.3, 0.02, 0.02],
        [0.02, 0.04, 0.15],
        [0.04, 0.12, 0.3],
        [0.03, 0.08, 0.05],
        [0.4, 0.33, 0.1],
        [0.2, 0.17, 0.13],
    ]);
    chance.color_near(base, 0.3)
}

fn cloth(chance: &mut Chance) -> [f32; 3] {
    let base = chance.pick(&[
        [0.02, 0.02, 0.025],
        [0.03, 0.04, 0.09],
        [0.08, 0.08, 0.08],
        [0.2, 0.03, 0.03],
        [0.3, 0.28, 0.24],
        [0.05, 0.1, 0.06],
        [0.12, 0.08, 0.05],
        [0.45, 0.4, 0.1],
        [0.1, 0.15, 0.3],
    ]);
    chance.color_near(base, 0.4)
}
