//! The ground: where a ray meets it, and how asphalt, paint, slabs and grass look.

use super::chance::{lattice_unit, mix, noise2};
use super::material::{blend, scaled, sharpness};
use super::road::{Ground, KERB_M, Place, Road, block_of};
use nalgebra::Vector3;

/// Ground farther away than this is left to the horizon.
const FAR_M: f64 = 900.0;

/// A point of the ground.
#[derive(Clone, Copy, Debug)]
pub(super) struct GroundPoint {
    pub(super) depth: f64,
    pub(super) kind: Ground,
    pub(super) place: Place,
}

/// Where a ray from `origin` first meets the ground: the sidewalk's level, then the kerb, then the carriageway.
pub(super) fn meet(road: &Road, origin: &Vector3<f64>, ray: &Vector3<f64>) -> Option<GroundPoint> {
    if ray.z >= 0.0 {
        return None;
    }
    let upper = point(road, (origin, ray), KERB_M);
    if upper.depth > FAR_M {
        return None;
    }
    if road.ground(upper.place) != Ground::Carriageway {
        return Some(upper);
    }
    let lower = point(road, (origin, ray), 0.0);
    if road.ground(lower.place) == Ground::Carriageway {
        return Some(lower);
    }
    Some(kerb(road, &upper, &lower))
}

fn point(road: &Road, (origin, ray): (&Vector3<f64>, &Vector3<f64>), height: f64) -> GroundPoint {
    let depth = (height - origin.z) / ray.z;
    let (x, y) = (origin.x + depth * ray.x, origin.y + depth * ray.y);
    let place = Place { x, lateral: road.lateral(x, y) };
    GroundPoint { depth, kind: road.ground(place), place }
}

/// The upright face of the kerb between a point above the carriageway and one below the sidewalk.
fn kerb(road: &Road, upper: &GroundPoint, lower: &GroundPoint) -> GroundPoint {
    let edge = road.half_width() * lower.place.lateral.signum();
    let span = lower.place.lateral - upper.place.lateral;
    let part = ((edge - upper.place.lateral) / span).clamp(0.0, 1.0);
    let depth = upper.depth + part * (lower.depth - upper.depth);
    let x = upper.place.x + part * (lower.place.x - upper.place.x);
    GroundPoint { depth, kind: Ground::Kerb, place: Place { x, lateral: edge } }
}

/// Colour of a point of the ground, a pixel being `wide` m wide and `long` m long there.
pub(super) fn color(road: &Road, point: &GroundPoint, (wide, long): (f32, f32)) -> [f32; 3] {
    let seed = road.seed() as u32;
    match point.kind {
        Ground::Carriageway => carriageway(road, point.place, (wide, long)),
        Ground::Kerb => scaled([0.3, 0.3, 0.29], 0.8 + 0.3 * noise2(seed, point.place.x * 1.5, 0.5)),
        Ground::Sidewalk => sidewalk(road, point.place, (wide * long).sqrt()),
        Ground::Terrain => grass(seed, point.place, (wide * long).sqrt()),
    }
}

fn carriageway(road: &Road, place: Place, (wide, long): (f32, f32)) -> [f32; 3] {
    let asphalt = asphalt(road, place, long);
    // Seen flat, a pixel is far longer than it is wide; lines run along the road and stay sharp.
    let worn = 1.0 - 0.4 * sharpness(long, 0.5) * noise2(3, place.x * 2.0, place.lateral * 4.0);
    match paint(road, place) {
        Some(color) => blend(asphalt, color, worn * sharpness(wide, 0.18).max(0.25)),
        None => asphalt,
    }
}

fn asphalt(road: &Road, Place { x, lateral }: Place, long: f32) -> [f32; 3] {
    let seed = road.seed() as u32;
    let tone = 0.09 + 0.09 * lattice_unit(seed, 1, 2, 3);
    let broad = 0.75 + 0.5 * noise2(seed, x / 7.0, lateral / 2.0);
    let medium = 1.0 + 0.35 * sharpness(long, 0.5) * (noise2(seed ^ 1, x * 1.5, lateral * 1.5) - 0.5);
    let pebbles = 1.0 + 0.4 * sharpness(long, 0.15) * (noise2(seed ^ 5, x * 7.0, lateral * 7.0) - 0.5);
    let grain = pebbles + 0.4 * sharpness(long, 0.05) * (noise2(seed ^ 2, x * 24.0, lateral * 24.0) - 0.5);
    let track = (lateral.abs() / road.lane_m - 0.5).abs() * road.lane_m;
    let worn = if (track - 0.8).abs() < 0.3 { 0.92 } else { 1.0 };
    let patched = lattice_unit(seed ^ 4, (x / 9.0).floor() as i32, (lateral / 1.8).floor() as i32, 0) < 0.06;
    let crack = (noise2(seed ^ 6, x / 3.0, lateral / 1.2) - 0.5).abs() < 0.006;
    let crack = 1.0 - 0.45 * f32::from(u8::from(crack)) * sharpness(long, 0.3);
    let gutter = if road.half_width() - lateral.abs() < 0.25 { 0.75 } else { 1.0 };
    let shade = tone * broad * medium * grain * worn * crack * gutter * if patched { 0.7 } else { 1.0 };
    [shade, shade * 1.0, shade * 1.03]
}

/// The markings, where there are any.
fn paint(road: &Road, Place { x, lateral }: Place) -> Option<[f32; 3]> {
    let marks = &road.marks;
    let white = [0.62, 0.62, 0.6];
    let crossing = road.crossing(block_of(x)).map(|middle| (x - middle).abs());
    if let Some(away) = crossing.filter(|&away| away < 6.5) {
        let stripe = (lateral / 1.1 - (lateral / 1.1).floor()) < 0.5;
        let stop = (4.0..4.4).contains(&away) && lateral.abs() > 0.3;
        return ((away < 2.0 && stripe) || stop).then_some(white);
    }
    let middle = if marks.double_middle { (lateral.abs() - 0.14).abs() < 0.06 } else { lateral.abs() < 0.07 };
    let dashed = x / marks.period_m - (x / marks.period_m).floor() < marks.dash_m / marks.period_m;
    if middle && (dashed || marks.double_middle) {
        return Some(if marks.yellow_middle { [0.6, 0.42, 0.08] } else { white });
    }
    let edge = marks.edge_lines && (lateral.abs() - road.lane_m).abs() < 0.06;
    let bay = road.parking_m > 1.0 && lateral.abs() > road.lane_m && x / 6.0 - (x / 6.0).floor() < 0.02;
    (edge || bay).then_some(white)
}

fn sidewalk(road: &Road, Place { x, lateral }: Place, pixel_m: f32) -> [f32; 3] {
    let seed = road.seed() as u32;
    let beyond = lateral.abs() - road.half_width();
    if beyond < 0.18 {
        return scaled([0.36, 0.36, 0.35], 0.85 + 0.3 * noise2(seed, x, 0.5));
    }
    let slab_m = 0.4 + 0.6 * f64::from(lattice_unit(seed, 9, 9, 9));
    let (along, across) = (x / slab_m, beyond / slab_m);
    let shade = lattice_unit(seed ^ 8, along.floor() as i32, across.floor() as i32, 0);
    let joint = (along - along.floor()).min(across - across.floor()) < 0.05;
    let fine = sharpness(pixel_m, slab_m as f32 * 0.35);
    let slabs = mix(0.98, if joint { 0.72 } else { 0.9 + 0.2 * shade }, fine);
    let dirt = 0.75 + 0.45 * noise2(seed ^ 9, x / 2.5, lateral / 1.5);
    let base = [[0.27, 0.26, 0.25], [0.33, 0.28, 0.25], [0.22, 0.23, 0.24]][(seed % 3) as usize];
    scaled(base, slabs * dirt)
}

fn grass(seed: u32, Place { x, lateral }: Place, pixel_m: f32) -> [f32; 3] {
    let broad = noise2(seed ^ 0x20, x / 9.0, lateral / 9.0);
    let tufts = mix(0.5, noise2(seed ^ 0x21, x * 1.4, lateral * 1.4), sharpness(pixel_m, 0.5));
    let blades = mix(0.5, noise2(seed ^ 0x22, x * 14.0, lateral * 14.0), sharpness(pixel_m, 0.08));
    let dry = lattice_unit(seed, 5, 5, 5);
    let green = blend([0.09, 0.14, 0.035], [0.2, 0.18, 0.09], (0.7 * dry + 0.5 * broad).min(1.0));
    scaled(green, (0.5 + tufts) * (0.6 + 0.8 * blades))
}

/// How high the ground lies at a place: where things are put down.
pub(super) fn height(road: &Road, place: Place) -> f64 {
    if road.ground(place) == Ground::Carriageway { 0.0 } else { KERB_M }
}

/// The normal of a point of the ground.
pub(super) fn normal(road: &Road, point: &GroundPoint) -> Vector3<f64> {
    if point.kind != Ground::Kerb {
        return Vector3::z();
    }
    let (sin, cos) = (road.slope(point.place.x), 1.0);
    let towards_road = -point.place.lateral.signum();
    Vector3::new(-sin, cos, 0.0).normalize() * towards_road
}
