//! Chance that repeats: counter-based hashes and value noise, the same on every machine.
//!
//! Every draw is a pure function of the seed and of what it is for (a block of the town, a car's
//! number, a pixel), so a place looks the same however and whenever the camera comes there.

/// A stream of draws for one purpose (SplitMix64: Steele, Lea and Flood, OOPSLA 2014).
#[derive(Clone, Debug)]
pub(super) struct Chance(u64);

impl Chance {
    /// The stream for the purpose that `keys` name.
    pub(super) fn new(seed: u64, keys: &[i64]) -> Self {
        Self(keys.iter().fold(scramble(seed), |state, &key| scramble(state ^ scramble(key as u64))))
    }

    /// 64 random bits.
    pub(super) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        scramble(self.0)
    }

    /// Uniform in 0..1.
    pub(super) fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Uniform in `low..high`.
    pub(super) fn range(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// True with this probability.
    pub(super) fn happens(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// One of `choices`, which are not empty.
    pub(super) fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[(self.bits() % choices.len() as u64) as usize]
    }

    /// A colour around `base`: brightness and hue moved by up to `spread`.
    pub(super) fn color_near(&mut self, base: [f32; 3], spread: f64) -> [f32; 3] {
        let bright = self.range(1.0 - spread, 1.0 + spread);
        base.map(|part| (f64::from(part) * bright * self.range(1.0 - spread / 3.0, 1.0 + spread / 3.0)) as f32)
    }
}

fn scramble(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// 32 bits for a lattice point.
pub(super) fn lattice(seed: u32, x: i32, y: i32, z: i32) -> u32 {
    let mut hash = seed ^ (x as u32).wrapping_mul(0x8da6_b343);
    hash = (hash ^ (y as u32).wrapping_mul(0xd816_3841)).rotate_left(13).wrapping_mul(0x9e37_79b1);
    hash = (hash ^ (z as u32).wrapping_mul(0xcb1a_b31f)).wrapping_mul(0x85eb_ca6b);
    hash ^= hash >> 15;
    hash = hash.wrapping_mul(0xc2b2_ae35);
    hash ^ (hash >> 16)
}

/// Uniform in 0..1 for a lattice point.
pub(super) fn lattice_unit(seed: u32, x: i32, y: i32, z: i32) -> f32 {
    (lattice(seed, x, y, z) >> 8) as f32 / 16_777_216.0
}

/// Smooth value noise in the plane, 0..1, one cell a unit.
pub(super) fn noise2(seed: u32, x: f64, y: f64) -> f32 {
    let (cell_x, cell_y, fx, fy) = (x.floor(), y.floor(), ease(x - x.floor()), ease(y - y.floor()));
    let (ix, iy) = (cell_x as i32, cell_y as i32);
    let at = |dx: i32, dy: i32| lattice_unit(seed, ix.wrapping_add(dx), iy.wrapping_add(dy), 0);
    mix(mix(at(0, 0), at(1, 0), fx), mix(at(0, 1), at(1, 1), fx), fy)
}

/// Smooth value noise in space, 0..1, one cell a unit.
pub(super) fn noise3(seed: u32, x: f64, y: f64, z: f64) -> f32 {
    let (ix, iy, iz) = (x.floor() as i32, y.floor() as i32, z.floor() as i32);
    let (fx, fy, fz) = (ease(x - x.floor()), ease(y - y.floor()), ease(z - z.floor()));
    let at =
        |dx: i32, dy: i32, dz: i32| lattice_unit(seed, ix.wrapping_add(dx), iy.wrapping_add(dy), iz.wrapping_add(dz));
    let layer = |dz| mix(mix(at(0, 0, dz), at(1, 0, dz), fx), mix(at(0, 1, dz), at(1, 1, dz), fx), fy);
    mix(layer(0), layer(1), fz)
}

/// From `from` to `to` as `part` goes from 0 to 1.
pub(super) fn mix(from: f32, to: f32, part: f32) -> f32 {
    from + (to - from) * part
}

fn ease(part: f64) -> f32 {
    (part * part * (3.0 - 2.0 * part)) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_depend_on_the_seed_and_on_every_key_and_on_nothing_else() {
        let draw = |seed, keys: &[i64]| Chance::new(seed, keys).bits();
        assert_eq!(draw(1, &[2, 3]), draw(1, &[2, 3]));
        for other in [draw(2, &[2, 3]), draw(1, &[3, 2]), draw(1, &[2])] {
            assert_ne!(draw(1, &[2, 3]), other);
        }
    }

    #[test]
    fn noise_is_continuous_across_its_cells() {
        for at in [-3.0, 0.0, 7.0] {
            let step = (noise2(9, at - 1e-6, 0.4) - noise2(9, at + 1e-6, 0.4)).abs();
            assert!(step < 1e-4, "{step} at {at}");
            assert!((noise3(9, 0.2, at - 1e-6, 0.4) - noise3(9, 0.2, at + 1e-6, 0.4)).abs() < 1e-4);
        }
    }
}
