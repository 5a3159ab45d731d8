//! What moves: oncoming and leading vehicles, cyclists, people who walk and people who cross.
//!
//! Everybody's place is a closed function of time (and of the camera's vehicle, which others keep
//! clear of), so where they were one frame ago is as exact as where they are.

use super::chance::Chance;
use super::config::Scenario;
use super::figures::Body;
use super::ground::height;
use super::road::{BLOCK_M, Place, Road, block_of};
use super::solid::{Pose, Solid};

/// Nobody farther ahead than this is drawn, m.
const AHEAD_M: f64 = 180.0;
const BEHIND_M: f64 = 12.0;
const FIRST_ID: u32 = 0x8000_0000;

/// The time, and where the camera's vehicle is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    pub(super) seconds: f64,
    pub(super) x: f64,
}

/// A row of movers that all keep the same speed along x, one every `apart` metres.
struct Stream {
    key: i64,
    speed: f64,
    apart: f64,
    share: f64,
}

/// Adds all traffic near the camera to `solids`.
pub(super) fn place(road: &Road, scenario: &Scenario, moments: (Moment, Moment), solids: &mut Vec<Solid>) {
    let mut traffic = Traffic { road, scenario, now: moments.0, before: moments.1, solids };
    traffic.oncoming();
    traffic.leading();
    traffic.cyclists();
    traffic.walkers();
    traffic.crossers();
}

struct Traffic<'a> {
    road: &'a Road,
    scenario: &'a Scenario,
    now: Moment,
    before: Moment,
    solids: &'a mut Vec<Solid>,
}

impl Traffic<'_> {
    /// A body at a place that depends on the moment, turned by `turn` from the road.
    fn body(&mut self, id: u32, place: impl Fn(Moment) -> Place, turn: f64) -> Body<'_> {
        let pose = |moment| {
            let place = place(moment);
            let (x, y, heading) = self.road.world(place);
            Pose::new((x, y, heading + turn), height(self.road, place))
        };
        let (now, before) = (pose(self.now), pose(self.before));
        Body { solids: &mut *self.solids, now, before, id }
    }

    /// The numbers of the stream's members near the camera, with their x at a moment.
    fn near(&self, stream: &Stream) -> impl Iterator<Item = (i64, Chance)> + use<> {
        let moved = stream.speed * self.now.seconds;
        let first = ((self.now.x - BEHIND_M - moved) / stream.apart).floor() as i64;
        let last = ((self.now.x + AHEAD_M - moved) / stream.apart).ceil() as i64;
        let (seed, key, share) = (self.road.seed(), stream.key, stream.share);
        (first..=last).filter_map(move |number| {
            let mut chance = Chance::new(seed, &[20, key, number]);
            chance.happens(share).then_some((number, chance))
        })
    }

    fn oncoming(&mut self) {
        let share = 0.75 * self.scenario.traffic;
        let stream = Stream { key: 1, speed: -10.5, apart: 24.0, share };
        let lateral = 0.5 * self.road.lane_m;
        for (number, mut chance) in self.near(&stream) {
            let shift = chance.range(-4.0, 4.0);
            let x = move |m: Moment| number as f64 * stream.apart + shift + stream.speed * m.seconds;
            let mut body = self.body(id(1, number), |m| Place { x: x(m), lateral }, std::f64::consts::PI);
            match chance.unit() {
                ..0.06 => body.bus(&mut chance),
                ..0.14 => body.truck(&mut chance),
                ..0.18 => body.cyclist(&mut chance, (1.0, 1.0)),
                _ => body.car(&mut chance),
            }
        }
    }

    /// A vehicle that the driver follows, at a distance that breathes.
    fn leading(&mut self) {
        let mut chance = Chance::new(self.road.seed(), &[21]);
        if !chance.happens(self.scenario.traffic) {
            return;
        }
        let (gap, period, phase) =
            (chance.range(14.0, 45.0), chance.range(12.0, 25.0), chance.range(0.0, std::f64::consts::TAU));
        let lateral = -0.5 * self.road.lane_m;
        let breath = move |m: Moment| 0.3 * gap * libm::sin(std::f64::consts::TAU * m.seconds / period + phase);
        let place = move |m: Moment| Place { x: m.x + gap + breath(m), lateral };
        let mut body = self.body(id(2, 0), place, 0.0);
        match chance.unit() {
            ..0.1 => body.bus(&mut chance),
            ..0.25 => body.truck(&mut chance),
            _ => body.car(&mut chance),
        }
    }

    fn cyclists(&mut self) {
        let stream = Stream { key: 3, speed: 4.6, apart: 22.0, share: 0.4 * self.scenario.traffic };
        let lateral = -(self.road.lane_m - 0.1).max(self.road.half_width() - self.road.parking_m - 0.15);
        for (number, mut chance) in self.near(&stream) {
            let shift = chance.range(-8.0, 8.0);
            let x = move |m: Moment| number as f64 * stream.apart + shift + stream.speed * m.seconds;
            let pedal = move |m: Moment| libm::sin(5.5 * m.seconds + shift);
            let pedals = (pedal(self.now), pedal(self.before));
            self.body(id(3, number), |m| Place { x: x(m), lateral }, 0.0).cyclist(&mut chance, pedals);
        }
    }

    fn walkers(&mut self) {
        for (side, key, speed) in [(1.0, 4, 1.35), (1.0, 5, -1.3), (-1.0, 6, 1.25), (-1.0, 7, -1.4)] {
            let stream = Stream { key, speed, apart: 11.0, share: 0.6 * self.scenario.urbanity };
            let turn = if speed < 0.0 { std::f64::consts::PI } else { 0.0 };
            for (number, mut chance) in self.near(&stream) {
                let shift = chance.range(-5.0, 5.0);
                let beyond = chance.range(0.7, self.road.sidewalk_m.max(0.9));
                let lateral = side * (self.road.half_width() + beyond);
                let x = move |m: Moment| number as f64 * stream.apart + shift + stream.speed * m.seconds;
                let stride = move |m: Moment| 0.34 * libm::sin(6.0 * m.seconds + shift);
                let strides = (stride(self.now), stride(self.before));
                self.body(id(key, number), |m| Place { x: x(m), lateral }, turn).person(&mut chance, strides);
            }
        }
    }

    /// People cross while the camera's vehicle comes near and are over before it is there.
    fn crossers(&mut self) {
        let first = block_of(self.now.x);
        for block in first..=first + (AHEAD_M / BLOCK_M) as i64 {
            let Some(middle) = self.road.crossing(block) else { continue };
            let mut chance = Chance::new(self.road.seed(), &[22, block]);
            for number in 0..chance.range(0.0, 4.0) as i64 {
                self.crosser(block * 8 + number, middle, &mut chance);
            }
        }
    }

    fn crosser(&mut self, number: i64, middle: f64, chance: &mut Chance) {
        let side = if chance.happens(0.5) { 1.0 } else { -1.0 };
        let (x, late) = (middle + chance.range(-1.6, 1.6), chance.range(0.0, 25.0));
        let edge = self.road.half_width() + 0.8;
        let part = move |m: Moment| ((x - m.x - 14.0 - late) / 60.0).clamp(0.0, 1.0);
        let place = move |m: Moment| Place { x, lateral: side * edge * (2.0 * part(m) - 1.0) };
        let stride = move |m: Moment| 0.34 * libm::sin(edge * part(m) * 9.0);
        let strides = (stride(self.now), stride(self.before));
        let turn = -side * std::f64::consts::FRAC_PI_2;
        self.body(id(8, number), place, turn).person(chance, strides);
    }
}

/// The number of the first solid of mover `number` of a stream; a mover has fewer than 32 of them.
fn id(key: i64, number: i64) -> u32 {
    FIRST_ID | ((key as u32) << 27 & 0x7800_0000) | ((number as u32) << 5 & 0x07ff_ffff)
}
