//! What solids are made of: their colour at a point, their gaps, their gloss.
//!
//! Points are in the solid's unit cube; patterns are laid out in metres, so that a brick is a brick
//! on any wall. Colours are linear light, 0..1. Detail finer than a pixel fades to its mean.

use super::chance::{lattice, lattice_unit, mix, noise2, noise3};
use super::facade::{self, Facade};
use nalgebra::Vector3;

/// A kind of surface.
#[derive(Clone, Copy, Debug)]
pub(super) enum Material {
    /// One colour, a little uneven.
    Plain([f32; 3]),
    /// A front with windows.
    Facade(Facade),
    /// A car below its windows: lamps, grille, plate, sills.
    Body([f32; 3]),
    /// A car's windows and roof.
    Cabin([f32; 3]),
    /// A bus or a tram: one long row of windows.
    Coach([f32; 3]),
    /// A tyre with its rim.
    Tyre,
    /// A wheel with nothing but spokes.
    Spokes,
    /// Leaves with gaps between them; the second value is how much is leaf.
    Leaves([f32; 3], f32),
    /// A wall of courses of stones, of this height in m.
    Courses([f32; 3], f64),
    /// Upright bars, this far apart in m, with rails.
    Bars([f32; 3], f64),
    /// A traffic sign: its kind and its colour.
    Sign(u8, [f32; 3]),
    /// A traffic light showing lamp 0, 1 or 2 from the top.
    Signal(u8),
}

/// How a surface looks at one point.
#[derive(Clone, Copy, Debug)]
pub(super) struct Paint {
    /// Diffuse reflectance.
    pub(super) color: [f32; 3],
    /// Part of the sky that it mirrors.
    pub(super) gloss: f32,
    /// Light of its own.
    pub(super) glow: [f32; 3],
}

impl Paint {
    pub(super) fn matt(color: [f32; 3]) -> Self {
        Self { color, gloss: 0.0, glow: [0.0; 3] }
    }
}

/// A point of a surface, as patterns need it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spot {
    /// In the unit cube.
    pub(super) unit: Vector3<f64>,
    /// From the solid's middle, m.
    pub(super) metres: Vector3<f64>,
    /// The solid's half sizes, m.
    pub(super) half: Vector3<f64>,
    /// 0 to 5: +x -x +y -y +z -z.
    pub(super) face: u8,
    /// The solid's own number.
    pub(super) seed: u32,
    /// Size of a pixel there, m.
    pub(super) pixel_m: f32,
}

impl Spot {
    /// Along the face and up, m from its middle and from its foot.
    pub(super) fn on_face(&self) -> (f64, f64) {
        let along = if self.face < 2 { self.metres.y } else { self.metres.x };
        (along, self.metres.z + self.half.z)
    }

    /// 1 where a detail of this size is seen, towards 0 where it is finer than a pixel.
    pub(super) fn sharpness(&self, detail_m: f32) -> f32 {
        sharpness(self.pixel_m, detail_m)
    }
}

/// 1 where a detail is much larger than a pixel, towards 0 where it is finer.
pub(super) fn sharpness(pixel_m: f32, detail_m: f32) -> f32 {
    (1.6 - 1.2 * pixel_m / detail_m).clamp(0.0, 1.0)
}

pub(super) fn scaled(color: [f32; 3], factor: f32) -> [f32; 3] {
    color.map(|part| part * factor)
}

pub(super) fn blend(from: [f32; 3], to: [f32; 3], part: f32) -> [f32; 3] {
    std::array::from_fn(|channel| mix(from[channel], to[channel], part))
}

impl Material {
    /// Whether light passes anywhere.
    pub(super) fn has_gaps(&self) -> bool {
        matches!(self, Self::Leaves(..) | Self::Bars(..) | Self::Spokes | Self::Sign(..))
    }

    /// Whether a point of the surface is there at all.
    pub(super) fn opaque(&self, unit: &Vector3<f64>, half: &Vector3<f64>) -> bool {
        match *self {
            Self::Leaves(_, cover) => leafy(unit, half, cover),
            Self::Bars(_, apart) => barred(unit, half, apart),
            Self::Spokes => spoked(unit),
            Self::Sign(kind, _) => facade::sign_covers(kind, unit),
            _ => true,
        }
    }

    /// The look of a point.
    pub(super) fn paint(&self, spot: &Spot) -> Paint {
        match *self {
            Self::Plain(color) => Paint::matt(scaled(color, uneven(spot, 0.2))),
            Self::Facade(facade) => facade.paint(spot),
            Self::Body(color) => body(color, spot),
            Self::Cabin(color) => cabin(color, spot),
            Self::Coach(color) => coach(color, spot),
            Self::Tyre => tyre(spot),
            Self::Spokes => Paint::matt([0.02; 3]),
            Self::Leaves(color, _) => leaves(color, spot),
            Self::Courses(color, height) => Paint::matt(courses(color, height, spot)),
            Self::Bars(color, _) => Paint::matt(color),
            Self::Sign(kind, color) => facade::sign(kind, color, spot),
            Self::Signal(lit) => signal(lit, spot),
        }
    }
}

fn uneven(spot: &Spot, depth: f32) -> f32 {
    let [x, y, z]: [f64; 3] = spot.metres.into();
    1.0 - depth / 2.0 + depth * noise3(spot.seed, x * 2.0, y * 2.0, z * 2.0)
}

fn leafy(unit: &Vector3<f64>, half: &Vector3<f64>, cover: f32) -> bool {
    let p = unit.component_mul(half);
    let coarse = noise3(17, p.x * 2.3, p.y * 2.3, p.z * 2.3);
    let fine = noise3(29, p.x * 9.0, p.y * 9.0, p.z * 9.0);
    0.4 * coarse + 0.6 * fine < cover
}

fn barred(unit: &Vector3<f64>, half: &Vector3<f64>, apart: f64) -> bool {
    let along = unit.x * half.x / apart;
    let bar = (along - along.floor() - 0.5).abs() < 0.16;
    let rail = (unit.z - 0.8).abs() < 0.05 || (unit.z + 0.75).abs() < 0.05;
    bar || rail
}

fn spoked(unit: &Vector3<f64>) -> bool {
    let radius = (unit.x * unit.x + unit.z * unit.z).sqrt();
    !(0.12..=0.86).contains(&radius) || unit.x.abs() < 0.04 || unit.z.abs() < 0.04
}

fn leaves(color: [f32; 3], spot: &Spot) -> Paint {
    let p = spot.metres;
    let clump = noise3(spot.seed, p.x * 2.2, p.y * 2.2, p.z * 2.2);
    let leaf = noise3(spot.seed ^ 5, p.x * 9.0, p.y * 9.0, p.z * 9.0);
    let leaf = mix(0.5, leaf, spot.sharpness(0.1));
    let lower = mix(0.55, 1.0, (spot.unit.z * 0.5 + 0.5) as f32);
    Paint::matt(scaled(color, (0.35 + 0.7 * clump) * (0.5 + leaf) * lower))
}

/// Stones or bricks in courses, each a little different, with joints.
pub(super) fn courses(color: [f32; 3], height: f64, spot: &Spot) -> [f32; 3] {
    let (along, up) = spot.on_face();
    let row = (up / height).floor();
    let shifted = along / (height * 2.6) + if row as i64 % 2 == 0 { 0.0 } else { 0.5 };
    let stone = lattice_unit(spot.seed, shifted.floor() as i32, row as i32, 3);
    let joint = up / height - row < 0.12 || shifted - shifted.floor() < 0.05;
    let sharp = spot.sharpness(height as f32);
    let shade = mix(0.95, if joint { 1.15 } else { 0.72 + 0.45 * stone }, sharp);
    let weather = 0.8 + 0.4 * noise2(spot.seed ^ 3, along * 0.6, up * 0.6);
    scaled(color, shade * weather)
}

fn body(color: [f32; 3], spot: &Spot) -> Paint {
    let [_, y, z]: [f64; 3] = spot.unit.into();
    let lamp = y.abs() > 0.62 && (0.05..0.6).contains(&z);
    let plate = y.abs() < 0.28 && (-0.45..-0.1).contains(&z);
    let glossy = |color, gloss| Paint { color, gloss, glow: [0.0; 3] };
    match spot.face {
        0 if lamp => Paint { color: [0.7, 0.72, 0.75], gloss: 0.3, glow: [0.12, 0.12, 0.11] },
        0 if y.abs() < 0.55 && (-0.2..0.3).contains(&z) => glossy([0.02; 3], 0.1),
        1 if lamp => Paint { color: [0.45, 0.01, 0.01], gloss: 0.15, glow: [0.1, 0.0, 0.0] },
        0 | 1 if plate => glossy([0.7, 0.7, 0.55], 0.0),
        _ if z < -0.62 => glossy([0.03; 3], 0.02),
        2 | 3 if door_gap(spot) => glossy(scaled(color, 0.4), 0.02),
        _ => glossy(color, 0.12),
    }
}

fn door_gap(spot: &Spot) -> bool {
    let gap = |at: f64| (spot.unit.x - at).abs() < 0.008;
    gap(0.3) || gap(-0.12) || gap(-0.52)
}

fn cabin(color: [f32; 3], spot: &Spot) -> Paint {
    let [x, y, z]: [f64; 3] = spot.unit.into();
    let pillar = match spot.face {
        0 | 1 => y.abs() > 0.86 - 0.1 * z || z.abs() > 0.86,
        2 | 3 => (x + 0.05).abs() < 0.05 || x > 0.75 - 0.35 * z || x < -0.85 + 0.3 * z || z.abs() > 0.86,
        _ => true,
    };
    if pillar { Paint { color, gloss: 0.12, glow: [0.0; 3] } } else { glass() }
}

fn glass() -> Paint {
    Paint { color: [0.015, 0.018, 0.02], gloss: 0.3, glow: [0.0; 3] }
}

fn coach(color: [f32; 3], spot: &Spot) -> Paint {
    let (along, _) = spot.on_face();
    let z = spot.unit.z;
    let pillar = { (along / 1.4 - (along / 1.4).floor()) < 0.08 };
    let pane = (if spot.face < 2 { -0.35..0.72 } else { -0.1..0.62 }).contains(&z) && spot.unit.y.abs() < 1.01;
    let sign = spot.face < 2 && (0.74..0.92).contains(&z) && spot.unit.y.abs() < 0.7;
    match spot.face {
        4 | 5 => Paint::matt(scaled(color, 0.8)),
        _ if sign => Paint { color: [0.05; 3], gloss: 0.0, glow: [0.25, 0.15, 0.02] },
        0..=3 if pane && (spot.face < 2 || !pillar) => glass(),
        1 if z < -0.5 && spot.unit.y.abs() > 0.75 => Paint::matt([0.5, 0.02, 0.02]),
        _ if z < -0.85 => Paint::matt([0.03; 3]),
        _ => Paint {
            color: scaled(color, if (-0.3..-0.2).contains(&z) { 0.5 } else { 1.0 }),
            gloss: 0.1,
            glow: [0.0; 3],
        },
    }
}

fn tyre(spot: &Spot) -> Paint {
    let radius = (spot.unit.x * spot.unit.x + spot.unit.z * spot.unit.z).sqrt();
    if spot.face >= 2 && radius < 0.62 { Paint::matt([0.28; 3]) } else { Paint::matt([0.018; 3]) }
}

fn signal(lit: u8, spot: &Spot) -> Paint {
    let lamp = ((1.0 - spot.unit.z) * 1.5).clamp(0.0, 2.99) as u8;
    let middle = 1.0 - (2.0 * f64::from(lamp) + 1.0) / 3.0;
    let off = (spot.unit.y * spot.unit.y + (spot.unit.z - middle) * (spot.unit.z - middle) * 9.0).sqrt();
    if spot.face > 1 || off > 0.75 {
        return Paint::matt([0.02, 0.022, 0.02]);
    }
    let color = [[0.9, 0.03, 0.02], [0.9, 0.45, 0.02], [0.03, 0.8, 0.4]][usize::from(lamp)];
    if lamp == lit { Paint { color, gloss: 0.0, glow: scaled(color, 1.2) } } else { Paint::matt(scaled(color, 0.08)) }
}

/// A number for something on a surface, such as a window.
pub(super) fn number(seed: u32, x: i64, y: i64) -> u32 {
    lattice(seed, x as i32, y as i32, 11)
}
