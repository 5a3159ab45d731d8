//! Which surface every pixel sees, and how deep: rays against the solids, the ground and the horizon.
//!
//! ```text
//! solids, nearest first, each only inside its rectangle of pixels ──▶ depth, surface, face
//! then the ground where it is nearer ──▶ then the sun's shadows on the ground
//! ```

use super::camera::{Bounds, NEAR_M, View};
use super::ground::{self, GroundPoint};
use super::road::{Ground, Place, Road};
use super::solid::Solid;
use nalgebra::Vector3;

/// Beyond this, shadows are too small to be drawn, m.
const SHADOW_M: f64 = 90.0;

/// What a pixel sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Surface {
    /// Nothing: the direction is infinitely far away.
    Far,
    Ground(Ground),
    /// An index into the solids.
    Solid(u32),
}

/// Everything seen in one frame. All planes are `[rows, cols]`.
#[derive(Debug)]
pub(super) struct Trace {
    pub(super) view: View,
    pub(super) solids: Vec<Solid>,
    /// Along the optical axis, m; infinite for [`Surface::Far`].
    pub(super) depth: Vec<f64>,
    pub(super) surface: Vec<Surface>,
    pub(super) face: Vec<u8>,
    /// Whether the sun shines on the ground there.
    pub(super) lit: Vec<bool>,
}

impl Trace {
    pub(super) fn new(view: View) -> Self {
        let pixels = view.camera.size.pixels();
        Self {
            view,
            solids: Vec::new(),
            depth: vec![f64::INFINITY; pixels],
            surface: vec![Surface::Far; pixels],
            face: vec![0; pixels],
            lit: vec![true; pixels],
        }
    }

    /// Looks at `solids` and the road through [`Trace::view`].
    pub(super) fn run(&mut self, road: &Road, sun: &Vector3<f64>) {
        self.depth.fill(f64::INFINITY);
        self.surface.fill(Surface::Far);
        self.lit.fill(true);
        for (index, bounds) in self.nearest_first() {
            self.draw(index, &bounds);
        }
        self.draw_ground(road);
        self.cast_shadows(sun);
    }

    fn columns(&self) -> usize {
        self.view.camera.size.width as usize
    }

    /// Every solid that can be seen, with its rectangle.
    fn nearest_first(&self) -> Vec<(usize, Bounds)> {
        let bounds = |(index, solid): (usize, &Solid)| Some((index, self.view.bounds(&solid.corners())?));
        let mut seen: Vec<_> = self.solids.iter().enumerate().filter_map(bounds).collect();
        seen.sort_by(|(_, one), (_, other)| one.depth.total_cmp(&other.depth));
        seen
    }

    fn draw(&mut self, index: usize, bounds: &Bounds) {
        let solid = self.solids[index];
        let columns = self.columns();
        let origin = solid.local(&self.view.pose.position);
        let across = solid.local_direction(&(self.view.ray(1.0, 0.0) - self.view.ray(0.0, 0.0)));
        for row in bounds.rows() {
            let first = solid.local_direction(&self.view.ray(0.0, row as f64));
            for column in bounds.columns() {
                let pixel = row * columns + column;
                if self.depth[pixel] <= bounds.depth {
                    continue;
                }
                let Some(hit) = solid.meet(&origin, &(first + across * column as f64), NEAR_M) else { continue };
                if hit.depth < self.depth[pixel] {
                    self.depth[pixel] = hit.depth;
                    self.surface[pixel] = Surface::Solid(index as u32);
                    self.face[pixel] = hit.face;
                }
            }
        }
    }

    fn draw_ground(&mut self, road: &Road) {
        let (columns, origin) = (self.columns(), self.view.pose.position);
        for pixel in 0..self.depth.len() {
            let ray = self.ray(pixel, columns);
            // The sidewalk's level is the nearest that the ground can be.
            let least = (super::road::KERB_M - origin.z) / ray.z;
            if ray.z >= 0.0 || self.depth[pixel] <= least {
                continue;
            }
            if let Some(point) = ground::meet(road, &origin, &ray).filter(|point| point.depth < self.depth[pixel]) {
                self.depth[pixel] = point.depth;
                self.surface[pixel] = Surface::Ground(point.kind);
            }
        }
    }

    /// The ray of a pixel.
    pub(super) fn ray(&self, pixel: usize, columns: usize) -> Vector3<f64> {
        self.view.ray((pixel % columns) as f64, (pixel / columns) as f64)
    }

    fn cast_shadows(&mut self, sun: &Vector3<f64>) {
        for index in 0..self.solids.len() {
            let solid = self.solids[index];
            let middle = self.view.project(&solid.now.centre).map_or(0.0, |(_, _, depth)| depth);
            if middle < SHADOW_M {
                self.cast(&solid, sun);
            }
        }
    }

    /// Darkens the ground behind one solid.
    fn cast(&mut self, solid: &Solid, sun: &Vector3<f64>) {
        let fallen = solid.corners().map(|corner| corner - sun * (corner.z / sun.z));
        let Some(bounds) = self.view.bounds(&fallen) else { return };
        let columns = self.columns();
        let towards_sun = solid.local_direction(sun);
        let origin = self.view.pose.position;
        for row in bounds.rows() {
            for column in bounds.columns() {
                let pixel = row * columns + column;
                if !self.lit[pixel] || !matches!(self.surface[pixel], Surface::Ground(_)) {
                    continue;
                }
                let point = origin + self.ray(pixel, columns) * self.depth[pixel];
                if solid.meet(&solid.local(&point), &towards_sun, 0.0).is_some() {
                    self.lit[pixel] = false;
                }
            }
        }
    }

    /// The point of the ground that a pixel sees, as its colour is laid out.
    pub(super) fn ground_point(
        &self,
        road: &Road,
        (pixel, kind): (usize, Ground),
        point: &Vector3<f64>,
    ) -> GroundPoint {
        let lateral = road.lateral(point.x, point.y);
        let lateral = if kind == Ground::Kerb { road.half_width() * lateral.signum() } else { lateral };
        GroundPoint { depth: self.depth[pixel], kind, place: Place { x: point.x, lateral } }
    }
}
