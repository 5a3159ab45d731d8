//! The fronts of houses (windows, shops, brick, plaster) and the faces of traffic signs.

use super::chance::{Chance, mix, noise2};
use super::material::{Paint, Spot, blend, courses, number, scaled};
use nalgebra::Vector3;

/// The style of one house.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facade {
    wall: [f32; 3],
    trim: [f32; 3],
    shop: Option<[f32; 3]>,
    bricks: bool,
    pitch_m: f64,
    floor_m: f64,
    window: [f64; 2],
}

impl Facade {
    pub(super) fn new(chance: &mut Chance, shop: bool) -> Self {
        let wall = chance.pick(&[
            [0.42, 0.36, 0.28],
            [0.55, 0.52, 0.46],
            [0.30, 0.16, 0.11],
            [0.26, 0.22, 0.18],
            [0.48, 0.40, 0.26],
            [0.33, 0.33, 0.34],
            [0.62, 0.60, 0.56],
            [0.20, 0.13, 0.10],
            [0.45, 0.30, 0.22],
            [0.24, 0.27, 0.30],
        ]);
        let signboard =
            chance.pick(&[[0.3, 0.02, 0.02], [0.02, 0.06, 0.2], [0.02, 0.15, 0.05], [0.5, 0.4, 0.1], [0.03; 3]]);
        Self {
            wall: chance.color_near(wall, 0.3),
            trim: if chance.happens(0.6) { [0.6, 0.6, 0.57] } else { [0.12, 0.11, 0.1] },
            shop: shop.then_some(signboard),
            bricks: chance.happens(0.5),
            pitch_m: chance.range(1.8, 3.6),
            floor_m: chance.range(2.7, 3.6),
            window: [chance.range(0.25, 0.42), chance.range(0.24, 0.38)],
        }
    }

    pub(super) fn paint(&self, spot: &Spot) -> Paint {
        if spot.face >= 4 {
            return Paint::matt(scaled([0.2, 0.19, 0.18], 0.8 + 0.4 * noise2(spot.seed, spot.metres.x, spot.metres.y)));
        }
        let (along, up) = spot.on_face();
        match self.shop {
            Some(signboard) if up < 3.6 => self.shopfront(signboard, spot, (along, up)),
            _ => self.storey(spot, (along, up)),
        }
    }

    fn storey(&self, spot: &Spot, (along, up): (f64, f64)) -> Paint {
        let (column, row) = ((along / self.pitch_m).floor(), ((up - 0.5) / self.floor_m).floor());
        let x = along / self.pitch_m - column - 0.5;
        let z = (up - 0.5) / self.floor_m - row - 0.52;
        let (beside, above) = (x.abs() - self.window[0], z.abs() - self.window[1]);
        let last = 2.0 * spot.half.z - up < 0.5;
        if last || row < 0.0 {
            return Paint::matt(scaled(if last { self.trim } else { self.wall }, 0.7));
        }
        if beside < 0.0 && above < 0.0 {
            return self.pane(spot, number(spot.seed, column as i64, row as i64), (x, z));
        }
        let framed = beside < 0.04 && above < 0.035;
        Paint::matt(if framed { self.trim } else { self.masonry(spot, (along, up)) })
    }

    fn masonry(&self, spot: &Spot, (along, up): (f64, f64)) -> [f32; 3] {
        if self.bricks {
            return courses(self.wall, 0.11, spot);
        }
        let stains =
            0.75 + 0.3 * noise2(spot.seed, along * 0.5, up * 0.2) + 0.2 * noise2(spot.seed ^ 9, along * 3.0, up * 3.0);
        scaled(self.wall, stains)
    }

    fn pane(&self, spot: &Spot, window: u32, (x, z): (f64, f64)) -> Paint {
        let bar = spot.sharpness(0.08) * f32::from(u8::from(x.abs() < 0.02 || (z - 0.05).abs() < 0.015));
        let curtain = window.is_multiple_of(5) && z > 0.25 - f64::from(window >> 8 & 0xff) / 400.0;
        let room = 0.015 + 0.05 * (window >> 16 & 0xff) as f32 / 255.0;
        let inside = if curtain { [0.35, 0.33, 0.3] } else { [room, room, room * 1.1] };
        Paint { color: blend(inside, self.trim, bar), gloss: 0.35 * (1.0 - bar), glow: [0.0; 3] }
    }

    fn shopfront(&self, signboard: [f32; 3], spot: &Spot, (along, up): (f64, f64)) -> Paint {
        let (bay, pitch) = ((along / 3.2).floor(), along / 3.2);
        let across = pitch - bay;
        if up > 2.8 {
            let letters =
                (3.0..3.35).contains(&up) && number(spot.seed, (along * 4.0).floor() as i64, 5).is_multiple_of(3);
            let band = if letters { [0.65, 0.62, 0.5] } else { signboard };
            return Paint::matt(blend(signboard, band, spot.sharpness(0.3)));
        }
        if up < 0.45 || across < 0.1 {
            return Paint::matt(scaled(self.trim, 0.6));
        }
        let goods = number(spot.seed, (along * 1.3).floor() as i64, (up * 1.5).floor() as i64);
        let warm = 0.03 + 0.12 * (goods & 0xff) as f32 / 255.0;
        let tint = (goods >> 8 & 0xff) as f32 / 255.0;
        Paint {
            color: [warm, warm * mix(0.6, 1.0, tint), warm * mix(1.0, 0.5, tint)],
            gloss: 0.25,
            glow: [warm * 0.2; 3],
        }
    }
}

/// Whether a sign of this kind (disc, triangle, diamond, board) has its plate at a point.
pub(super) fn sign_covers(kind: u8, unit: &Vector3<f64>) -> bool {
    let (y, z) = (unit.y, unit.z);
    match kind {
        0 => y * y + z * z < 1.0,
        1 => y.abs() < (1.0 - z) / 2.0,
        2 => y.abs() + z.abs() < 1.0,
        _ => true,
    }
}

/// The face of a sign; its back is grey.
pub(super) fn sign(kind: u8, color: [f32; 3], spot: &Spot) -> Paint {
    let (y, z) = (spot.unit.y, spot.unit.z);
    if spot.face != 1 {
        return Paint::matt([0.3; 3]);
    }
    let rim = match kind {
        0 => y * y + z * z > 0.62,
        1 => y.abs() > (1.0 - z) / 2.0 - 0.2 || z < -0.8,
        2 => y.abs() + z.abs() > 0.8,
        _ => y.abs() > 0.94 || z.abs() > 0.9,
    };
    let written = number(spot.seed, (y * 6.0).floor() as i64, (z * 5.0).floor() as i64).is_multiple_of(3);
    let middle = y.abs() < 0.6 && z.abs() < 0.5 && written;
    let (ground, ink) = if kind == 3 { (color, [0.75; 3]) } else { ([0.75; 3], [0.03; 3]) };
    let edge = if kind == 3 { [0.75; 3] } else { color };
    Paint::matt(if rim { edge } else { blend(ground, ink, if middle { spot.sharpness(0.1) } else { 0.0 }) })
}
