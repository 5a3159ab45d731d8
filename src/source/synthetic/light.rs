//! Daylight: the sun, the sky and what stands on the horizon, haze, and the camera's tone curve.

use super::chance::{Chance, lattice_unit, mix, noise2};
use super::config::Weather;
use super::material::{blend, scaled};
use nalgebra::Vector3;

/// What is infinitely far away in some direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Far {
    Sky,
    Woods,
    Town,
}

/// The light of one drive.
#[derive(Clone, Debug)]
pub(super) struct Light {
    seed: u32,
    /// Towards the sun.
    pub(super) sun: Vector3<f64>,
    /// Colour and strength of direct light.
    pub(super) beam: [f32; 3],
    /// Light from the whole sky.
    ambient: [f32; 3],
    zenith: [f32; 3],
    horizon: [f32; 3],
    clouds: f32,
    haze_m: f32,
    /// The camera's gain, with its white balance.
    pub(super) gain: [f32; 3],
    skyline: f64,
    trees: [f32; 3],
}

impl Light {
    pub(super) fn new(seed: u64, weather: Weather) -> Self {
        let mut chance = Chance::new(seed, &[6]);
        let draw = chance.unit();
        let weather = match (weather, draw) {
            (Weather::Seed, ..0.45) => Weather::Sunny,
            (Weather::Seed, ..0.82) => Weather::Overcast,
            (Weather::Seed, _) => Weather::Dusk,
            (chosen, _) => chosen,
        };
        let mut light = Self::of(weather, &mut chance);
        light.sun = sun(weather, &mut chance);
        let exposure = chance.range(0.75, 1.3) as f32;
        let warmth = chance.range(-0.1, 0.1) as f32;
        light.gain = [exposure * (1.0 + warmth), exposure, exposure * (1.0 - warmth)];
        light
    }

    fn of(weather: Weather, chance: &mut Chance) -> Self {
        let (beam, ambient, zenith, horizon, clouds) = match weather {
            Weather::Dusk => ([1.0, 0.62, 0.32], [0.30, 0.30, 0.40], [0.25, 0.34, 0.62], [0.95, 0.68, 0.45], 0.5),
            Weather::Overcast => ([0.25; 3], [0.72, 0.74, 0.78], [0.72, 0.76, 0.82], [0.88, 0.9, 0.92], 0.9),
            _ => ([1.25, 1.16, 1.0], [0.30, 0.36, 0.46], [0.14, 0.32, 0.75], [0.68, 0.8, 0.95], 0.45),
        };
        Self {
            seed: chance.bits() as u32,
            sun: Vector3::z(),
            beam,
            ambient,
            zenith: chance.color_near(zenith, 0.25),
            horizon: chance.color_near(horizon, 0.08),
            clouds: clouds * chance.range(0.4, 1.1) as f32,
            haze_m: chance.range(250.0, 1500.0) as f32,
            gain: [1.0; 3],
            skyline: chance.range(0.0, 1.0),
            trees: chance.color_near([0.07, 0.1, 0.05], 0.4),
        }
    }

    /// Light that leaves a surface of `color` with this normal, `lit` by the sun from 0 to 1.
    pub(super) fn on(&self, color: [f32; 3], normal: &Vector3<f64>, lit: f32) -> [f32; 3] {
        let direct = normal.dot(&self.sun).max(0.0) as f32 * lit;
        let open = 0.65 + 0.35 * normal.z as f32;
        std::array::from_fn(|c| color[c] * (self.beam[c] * direct + self.ambient[c] * open))
    }

    /// `color` seen through `depth` metres of air.
    pub(super) fn through_air(&self, color: [f32; 3], depth: f32) -> [f32; 3] {
        // A rational curve close to 1 - exp(-d/haze): no exponential for every pixel.
        let way = depth / self.haze_m;
        let part = 1.0 - 1.0 / (1.0 + way + 0.5 * way * way);
        blend(color, scaled(self.horizon, 0.9), part)
    }

    /// What glass and paint mirror: the sky without clouds over dark house fronts of uneven height.
    pub(super) fn mirrored(&self, direction: &Vector3<f64>) -> [f32; 3] {
        let length = direction.norm();
        let up = (direction.z / length) as f32;
        let fronts = 0.1 + 0.5 * noise2(self.seed ^ 3, direction.x / length * 4.0, direction.y / length * 4.0);
        let sky = blend(self.horizon, self.zenith, (up * 1.6).clamp(0.0, 1.0));
        blend(scaled(self.horizon, 0.16), sky, ((up - fronts) * 6.0).clamp(0.0, 1.0))
    }

    /// What is infinitely far away.
    pub(super) fn far(&self, ray: &Vector3<f64>) -> (Far, [f32; 3]) {
        let flat = (ray.x * ray.x + ray.y * ray.y).sqrt().max(1e-9);
        let rise = ray.z / flat;
        let round = diamond_angle(ray.x / flat, ray.y / flat) * 40.0;
        let trees = 0.012
            + 0.05 * f64::from(noise2(self.seed, round * 1.2, 0.3))
            + 0.01 * f64::from(noise2(self.seed, round * 16.0, 0.7));
        let tower = round * 1.6;
        let drawn = f64::from(lattice_unit(self.seed, tower.floor() as i32, 1, 1));
        let town = if drawn < self.skyline { 0.015 + 0.13 * drawn * drawn } else { 0.0 };
        if rise < trees {
            let leaf = 0.7 + 0.6 * noise2(self.seed ^ 1, round * 30.0, rise * 900.0);
            return (Far::Woods, self.through_air(scaled(self.trees, leaf), 0.35 * self.haze_m));
        }
        if rise < town {
            return (Far::Town, self.tower(drawn as f32, (tower, rise)));
        }
        (Far::Sky, self.sky(ray, flat))
    }

    fn tower(&self, drawn: f32, (across, rise): (f64, f64)) -> [f32; 3] {
        let (column, row) = ((across * 9.0).floor(), (rise * 260.0).floor());
        let window = (across * 9.0 - column - 0.5).abs() < 0.25 && (rise * 260.0 - row) < 0.55;
        let wall = [0.25 + 0.2 * drawn, 0.24 + 0.15 * drawn, 0.24 + 0.1 * drawn];
        self.through_air(scaled(wall, if window { 0.55 } else { 0.8 }), 0.45 * self.haze_m)
    }

    fn sky(&self, ray: &Vector3<f64>, flat: f64) -> [f32; 3] {
        let length = (flat * flat + ray.z * ray.z).sqrt();
        let up = (ray.z / length).max(0.0);
        let clear = blend(self.horizon, self.zenith, (up as f32 * 1.9).min(1.0));
        let near_sun = (ray.dot(&self.sun) / length).max(0.0) as f32;
        let glare = near_sun.powi(16) * 0.4 + near_sun.powi(120) * 2.0;
        let cover = self.cloud(ray.x / length / (up + 0.12), ray.y / length / (up + 0.12));
        let cloud = blend([0.62, 0.64, 0.68], [1.0; 3], cover);
        let mixed = blend(clear, cloud, (cover * 1.6 * self.clouds).min(1.0));
        std::array::from_fn(|c| mixed[c] + glare * self.beam[c] * 0.5)
    }

    fn cloud(&self, x: f64, y: f64) -> f32 {
        let octave = |scale: f64| noise2(self.seed ^ 0x77, x * scale, y * scale);
        let sum = 0.5 * octave(0.7) + 0.27 * octave(1.7) + 0.15 * octave(3.9) + 0.08 * octave(9.0);
        ((sum - 0.62 + 0.32 * self.clouds) * 3.2).clamp(0.0, 1.0)
    }
}

/// An angle without trigonometry: 0..4 once around.
fn diamond_angle(x: f64, y: f64) -> f64 {
    let part = y / (x.abs() + y.abs());
    if x >= 0.0 { 1.0 + part } else { 3.0 - part }
}

fn sun(weather: Weather, chance: &mut Chance) -> Vector3<f64> {
    let height = match weather {
        Weather::Dusk => chance.range(0.3, 0.45),
        Weather::Overcast => 3.0,
        _ => chance.range(0.55, 1.4),
    };
    let angle = chance.range(0.0, std::f64::consts::TAU);
    let towards = Vector3::new(libm::cos(angle), libm::sin(angle), height);
    towards / towards.norm()
}

/// Linear light to 8 bits.
pub(super) struct ToneCurve(Vec<u8>);

impl ToneCurve {
    /// The sRGB curve with a soft shoulder, so that a white van in the sun keeps its shape.
    pub(super) fn new() -> Self {
        let encode = |index: u32| {
            let light = f64::from(index) / 2048.0;
            let soft = if light < 0.7 { light } else { 0.7 + 0.3 * (1.0 - 1.0 / (1.0 + (light - 0.7) / 0.3)) };
            let srgb = if soft <= 0.003_130_8 { 12.92 * soft } else { 1.055 * libm::pow(soft, 1.0 / 2.4) - 0.055 };
            (srgb * 255.0 + 0.5).clamp(0.0, 255.0) as u8
        };
        Self((0..8192).map(encode).collect())
    }

    pub(super) fn encode(&self, light: f32) -> u8 {
        self.0[((light * 2048.0) as usize).min(self.0.len() - 1)]
    }
}

impl std::fmt::Debug for ToneCurve {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ToneCurve({} steps)", self.0.len())
    }
}

/// How the exposure wanders from frame to frame.
pub(super) fn flicker(seed: u32, seconds: f64, amount: f64) -> f32 {
    mix(1.0 - amount as f32, 1.0 + amount as f32, noise2(seed, seconds * 1.7, 0.5))
}
