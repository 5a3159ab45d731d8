//! From surfaces to light, and from light to an 8-bit picture as a camera gives it.

use super::chance::lattice;
use super::figures::class;
use super::ground;
use super::light::{Far, Light, ToneCurve};
use super::material::{Paint, Spot};
use super::road::{Ground, Road};
use super::solid::Solid;
use super::trace::{Surface, Trace};
use nalgebra::Vector3;

/// How much of a pixel's light the lens spreads over its neighbours on either side.
const SPREAD: f32 = 0.13;

/// What lights and colours a trace.
pub(super) struct Shader<'a> {
    pub(super) road: &'a Road,
    pub(super) light: &'a Light,
    pub(super) trace: &'a Trace,
}

impl Shader<'_> {
    /// The light and the label of every pixel.
    pub(super) fn run(&self, colors: &mut [[f32; 3]], labels: &mut [u8]) {
        let columns = self.trace.view.camera.size.width as usize;
        for pixel in 0..labels.len() {
            let ray = self.trace.ray(pixel, columns);
            (colors[pixel], labels[pixel]) = self.pixel(pixel, &ray);
        }
    }

    fn pixel(&self, pixel: usize, ray: &Vector3<f64>) -> ([f32; 3], u8) {
        let depth = self.trace.depth[pixel];
        let point = self.trace.view.pose.position + ray * depth;
        let pixel_m = (depth / self.trace.view.camera.fx) as f32;
        match self.trace.surface[pixel] {
            Surface::Far => self.far(ray),
            Surface::Ground(kind) => {
                let on_ground = self.trace.ground_point(self.road, (pixel, kind), &point);
                let long = pixel_m * (depth / self.trace.view.camera.height_m).max(1.0) as f32;
                let color = ground::color(self.road, &on_ground, (pixel_m, long));
                let lit = if self.trace.lit[pixel] { 1.0 } else { 0.0 };
                let normal = ground::normal(self.road, &on_ground);
                (self.light.through_air(self.light.on(color, &normal, lit), depth as f32), ground_class(kind))
            }
            Surface::Solid(index) => {
                let solid = &self.trace.solids[index as usize];
                let color = self.solid(solid, (&point, ray), (self.trace.face[pixel], pixel_m));
                (self.light.through_air(color, depth as f32), solid.class)
            }
        }
    }

    fn far(&self, ray: &Vector3<f64>) -> ([f32; 3], u8) {
        let (far, color) = self.light.far(ray);
        let class = match far {
            Far::Sky => class::SKY,
            Far::Woods => class::VEGETATION,
            Far::Town => class::BUILDING,
        };
        (color, class)
    }

    fn solid(
        &self,
        solid: &Solid,
        (point, ray): (&Vector3<f64>, &Vector3<f64>),
        (face, pixel_m): (u8, f32),
    ) -> [f32; 3] {
        let unit = solid.local(point);
        let metres = unit.component_mul(&solid.half);
        let spot = Spot { unit, metres, half: solid.half, face, seed: solid.id, pixel_m };
        let look = solid.material.paint(&spot);
        let normal = solid.normal(&unit, face);
        // Leaves are seen from inside too: whichever way a surface faces, it faces the camera.
        let normal = if normal.dot(ray) > 0.0 { -normal } else { normal };
        self.lit(&look, &normal, ray)
    }

    fn lit(&self, paint: &Paint, normal: &Vector3<f64>, ray: &Vector3<f64>) -> [f32; 3] {
        let diffuse = self.light.on(paint.color, normal, 1.0);
        if paint.gloss == 0.0 {
            return diffuse;
        }
        let facing = ray.dot(normal);
        let mirrored = self.light.mirrored(&(ray - normal * (2.0 * facing)));
        // Schlick's approximation: a flat view mirrors more.
        let flat = 1.0 - (-facing / ray.norm()).clamp(0.0, 1.0) as f32;
        let share = paint.gloss * (0.35 + 0.65 * flat * flat * flat);
        std::array::from_fn(|c| diffuse[c] + share * mirrored[c] + paint.glow[c])
    }
}

fn ground_class(kind: Ground) -> u8 {
    match kind {
        Ground::Carriageway => class::ROAD,
        Ground::Kerb | Ground::Sidewalk => class::SIDEWALK,
        Ground::Terrain => class::TERRAIN,
    }
}

/// The camera's way from light to bytes.
pub(super) struct Sensor<'a> {
    pub(super) tone: &'a ToneCurve,
    pub(super) gain: [f32; 3],
    /// Standard deviation of the noise in 8-bit steps.
    pub(super) noise: f32,
    /// Another one for each frame.
    pub(super) seed: u32,
}

impl Sensor<'_> {
    /// Lens, vignette, gain, tone curve and noise: `colors` `[rows, cols]` to `rgb` `[rows, cols, 3]`.
    pub(super) fn expose(&self, colors: &[[f32; 3]], columns: usize, rgb: &mut [u8]) {
        let rows = colors.len() / columns;
        let (middle_x, middle_y) = (columns as f32 / 2.0, rows as f32 / 2.0);
        let corner = middle_x * middle_x + middle_y * middle_y;
        for (row, line) in rgb.chunks_exact_mut(columns * 3).enumerate() {
            let around =
                [row.saturating_sub(1), row, (row + 1).min(rows - 1)].map(|r| &colors[r * columns..][..columns]);
            for (column, pixel) in line.chunks_exact_mut(3).enumerate() {
                let (dx, dy) = (column as f32 - middle_x, row as f32 - middle_y);
                let vignette = 1.0 - 0.22 * (dx * dx + dy * dy) / corner;
                let grain = self.grain(column, row);
                let light = spread(&around, column);
                for channel in 0..3 {
                    let level = self.tone.encode(light[channel] * self.gain[channel] * vignette);
                    pixel[channel] = (f32::from(level) + grain[channel] + 0.5).clamp(0.0, 255.0) as u8;
                }
            }
        }
    }

    /// Nearly normal noise (the sum of four bytes), mostly common to the three channels.
    fn grain(&self, column: usize, row: usize) -> [f32; 3] {
        if self.noise == 0.0 {
            return [0.0; 3];
        }
        let bell = |salt: i32| {
            let bits = lattice(self.seed, column as i32, row as i32, salt);
            let sum: u32 = bits.to_le_bytes().into_iter().map(u32::from).sum();
            (sum as f32 - 510.0) / 147.8 * self.noise
        };
        let common = bell(0);
        [common + 0.4 * bell(1), common, common + 0.4 * bell(2)]
    }
}

/// The light of a pixel and of its neighbours through the lens.
fn spread(around: &[&[[f32; 3]]; 3], column: usize) -> [f32; 3] {
    let last = around[0].len() - 1;
    let (left, right) = (column.saturating_sub(1), (column + 1).min(last));
    let weights = [SPREAD, 1.0 - 2.0 * SPREAD, SPREAD];
    std::array::from_fn(|c| {
        let line =
            |row: &[[f32; 3]]| weights[0] * row[left][c] + weights[1] * row[column][c] + weights[2] * row[right][c];
        weights[0] * line(around[0]) + weights[1] * line(around[1]) + weights[2] * line(around[2])
    })
}
