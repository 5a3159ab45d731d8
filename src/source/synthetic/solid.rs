//! The solids that everything above the ground is made of, and where a ray meets them.
//!
//! A solid is a unit shape, stretched by its half sizes, turned about the vertical and moved. It
//! has a pose now and a pose one frame earlier: where each of its points was, is exact.

use super::material::Material;
use nalgebra::Vector3;

/// A unit shape: it fills the cube -1..1 or part of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Shape {
    /// A box whose front (+x), rear (-x) and sides lean inwards by these parts of the cube at its top.
    Frustum { front: f64, rear: f64, side: f64 },
    /// A ball.
    Ball,
    /// A cylinder that stands.
    Column,
    /// A cylinder that lies across: its axis is y.
    Wheel,
}

impl Shape {
    pub(super) const BOX: Self = Self::Frustum { front: 0.0, rear: 0.0, side: 0.0 };
}

/// A place and a turn about the vertical.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Pose {
    pub(super) centre: Vector3<f64>,
    pub(super) sin: f64,
    pub(super) cos: f64,
}

impl Pose {
    pub(super) fn new((x, y, heading): (f64, f64, f64), z: f64) -> Self {
        Self { centre: Vector3::new(x, y, z), sin: libm::sin(heading), cos: libm::cos(heading) }
    }

    /// From local axes to the world's, without the place.
    pub(super) fn turn(&self, local: &Vector3<f64>) -> Vector3<f64> {
        let (x, y) = (self.cos * local.x - self.sin * local.y, self.sin * local.x + self.cos * local.y);
        Vector3::new(x, y, local.z)
    }

    /// From the world's axes to local ones, without the place.
    pub(super) fn turn_back(&self, world: &Vector3<f64>) -> Vector3<f64> {
        let (x, y) = (self.cos * world.x + self.sin * world.y, self.cos * world.y - self.sin * world.x);
        Vector3::new(x, y, world.z)
    }

    /// A part of a body with this pose: moved by `offset` and turned by `yaw` in the body's axes.
    pub(super) fn part(&self, offset: [f64; 3], yaw: f64) -> Self {
        let (sin, cos) = (libm::sin(yaw), libm::cos(yaw));
        Self {
            centre: self.centre + self.turn(&Vector3::from(offset)),
            sin: self.sin * cos + self.cos * sin,
            cos: self.cos * cos - self.sin * sin,
        }
    }
}

/// One solid.
#[derive(Clone, Copy, Debug)]
pub(super) struct Solid {
    /// The same in every frame.
    pub(super) id: u32,
    pub(super) class: u8,
    pub(super) shape: Shape,
    pub(super) half: Vector3<f64>,
    pub(super) now: Pose,
    pub(super) before: Pose,
    pub(super) material: Material,
}

/// Where a ray enters or leaves: its depth and which face (0 to 5: +x -x +y -y +z -z).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Crossing {
    pub(super) depth: f64,
    pub(super) face: u8,
}

impl Solid {
    /// A world point now, in the solid's axes: the unit cube.
    pub(super) fn local(&self, point: &Vector3<f64>) -> Vector3<f64> {
        self.now.turn_back(&(point - self.now.centre)).component_div(&self.half)
    }

    /// A direction in the solid's axes, stretched like the cube.
    pub(super) fn local_direction(&self, direction: &Vector3<f64>) -> Vector3<f64> {
        self.now.turn_back(direction).component_div(&self.half)
    }

    /// Where the point of the solid that is at `point` now was one frame earlier.
    pub(super) fn earlier(&self, point: &Vector3<f64>) -> Vector3<f64> {
        self.before.centre + self.before.turn(&self.now.turn_back(&(point - self.now.centre)))
    }

    /// The corners of the cube around the solid.
    pub(super) fn corners(&self) -> [Vector3<f64>; 8] {
        std::array::from_fn(|corner| {
            let sign = |bit: usize| if corner >> bit & 1 == 1 { 1.0 } else { -1.0 };
            let local = Vector3::new(sign(0), sign(1), sign(2)).component_mul(&self.half);
            self.now.centre + self.now.turn(&local)
        })
    }

    /// The first opaque point of a local ray at more than `from`: gates let light through their bars
    /// and trees between their leaves, so the far side counts where the near side has a gap.
    pub(super) fn meet(&self, origin: &Vector3<f64>, ray: &Vector3<f64>, from: f64) -> Option<Crossing> {
        let (near, far) = self.shape.crossings(origin, ray)?;
        let opaque = |crossing: &Crossing| {
            crossing.depth > from && self.material.opaque(&(origin + ray * crossing.depth), &self.half)
        };
        if !self.material.has_gaps() {
            return (near.depth > from).then_some(near);
        }
        [near, far].into_iter().find(opaque)
    }

    /// The outward unit normal at a local point of a face, in world axes.
    pub(super) fn normal(&self, local: &Vector3<f64>, face: u8) -> Vector3<f64> {
        let stretched = self.shape.normal(local, face).component_div(&self.half);
        self.now.turn(&(stretched / stretched.norm()))
    }
}

impl Shape {
    /// Where a ray enters and leaves the shape.
    pub(super) fn crossings(&self, origin: &Vector3<f64>, ray: &Vector3<f64>) -> Option<(Crossing, Crossing)> {
        match *self {
            Self::Frustum { front, rear, side } => frustum(&[front, rear, side, side], origin, ray),
            Self::Ball => {
                let (near, far) = circle(ray.norm_squared(), origin.dot(ray), origin.norm_squared())?;
                Some((Crossing { depth: near, face: 0 }, Crossing { depth: far, face: 1 }))
            }
            Self::Column => cylinder(origin, ray),
            Self::Wheel => {
                let (near, far) = cylinder(&origin.xzy(), &ray.xzy())?;
                // The cylinder's z faces are the wheel's sides.
                let turned = |face: u8| if face >= 4 { face - 2 } else { face };
                let turn = |crossing: Crossing| Crossing { face: turned(crossing.face), ..crossing };
                Some((turn(near), turn(far)))
            }
        }
    }

    fn normal(&self, local: &Vector3<f64>, face: u8) -> Vector3<f64> {
        match (*self, face) {
            (Self::Frustum { front, .. }, 0) => Vector3::new(1.0, 0.0, front / 2.0),
            (Self::Frustum { rear, .. }, 1) => Vector3::new(-1.0, 0.0, rear / 2.0),
            (Self::Frustum { side, .. }, 2) => Vector3::new(0.0, 1.0, side / 2.0),
            (Self::Frustum { side, .. }, 3) => Vector3::new(0.0, -1.0, side / 2.0),
            (Self::Ball, _) => *local,
            (Self::Column, 0..=3) => Vector3::new(local.x, local.y, 0.0),
            (Self::Wheel, 0 | 1) => Vector3::new(local.x, 0.0, local.z),
            (_, 2) => Vector3::y(),
            (_, 3) => -Vector3::y(),
            (_, 4) => Vector3::z(),
            _ => -Vector3::z(),
        }
    }
}

/// Clips the ray by six planes: |z| <= 1 and each side's `±x + lean/2 z <= 1 - lean/2`.
fn frustum(leans: &[f64; 4], origin: &Vector3<f64>, ray: &Vector3<f64>) -> Option<(Crossing, Crossing)> {
    let mut near = Crossing { depth: f64::NEG_INFINITY, face: 0 };
    let mut far = Crossing { depth: f64::INFINITY, face: 0 };
    for face in 0..6_u8 {
        let lean = if face < 4 { leans[usize::from(face)] / 2.0 } else { 0.0 };
        let sign = if face % 2 == 0 { 1.0 } else { -1.0 };
        let axis = usize::from(face / 2);
        let slope = sign * ray[axis] + lean * ray.z;
        let inside = 1.0 - lean - sign * origin[axis] - lean * origin.z;
        if slope == 0.0 {
            if inside < 0.0 {
                return None;
            }
            continue;
        }
        let depth = inside / slope;
        if slope < 0.0 && depth > near.depth {
            near = Crossing { depth, face };
        } else if slope > 0.0 && depth < far.depth {
            far = Crossing { depth, face };
        }
        if near.depth >= far.depth {
            return None;
        }
    }
    Some((near, far))
}

/// The circle around z, cut at |z| <= 1.
fn cylinder(origin: &Vector3<f64>, ray: &Vector3<f64>) -> Option<(Crossing, Crossing)> {
    let flat = |a: &Vector3<f64>, b: &Vector3<f64>| a.x * b.x + a.y * b.y;
    let (enter, leave) = circle(flat(ray, ray), flat(origin, ray), flat(origin, origin))?;
    let mut near = Crossing { depth: enter, face: 0 };
    let mut far = Crossing { depth: leave, face: 1 };
    if ray.z == 0.0 {
        return (origin.z.abs() < 1.0).then_some((near, far));
    }
    let (low, high) = ((-1.0 - origin.z) / ray.z, (1.0 - origin.z) / ray.z);
    let (first, last, first_face) = if ray.z > 0.0 { (low, high, 5) } else { (high, low, 4) };
    if first > near.depth {
        near = Crossing { depth: first, face: first_face };
    }
    if last < far.depth {
        far = Crossing { depth: last, face: 9 - first_face };
    }
    (near.depth < far.depth).then_some((near, far))
}

/// Both roots of `a t² + 2 b t + c - 1`.
fn circle(a: f64, b: f64, c: f64) -> Option<(f64, f64)> {
    let under = b * b - a * (c - 1.0);
    if under <= 0.0 || a == 0.0 {
        return None;
    }
    let root = under.sqrt();
    Some(((-b - root) / a, (-b + root) / a))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn depths(shape: Shape, origin: [f64; 3], ray: [f64; 3]) -> Option<(f64, u8, f64, u8)> {
        let (near, far) = shape.crossings(&Vector3::from(origin), &Vector3::from(ray))?;
        Some((near.depth, near.face, far.depth, far.face))
    }

    #[test]
    fn rays_enter_and_leave_through_the_right_faces() {
        let along_x = ([-3.0, 0.0, 0.0], [1.0, 0.0, 0.0]);
        assert_eq!(depths(Shape::BOX, along_x.0, along_x.1), Some((2.0, 1, 4.0, 0)));
        let leaning = Shape::Frustum { front: 1.0, rear: 0.0, side: 0.0 };
        assert_eq!(depths(leaning, along_x.0, along_x.1), Some((2.0, 1, 3.5, 0)));
        assert_eq!(depths(Shape::Ball, along_x.0, along_x.1), Some((2.0, 0, 4.0, 1)));
        assert_eq!(depths(Shape::Column, [0.0, 0.0, 3.0], [0.0, 0.1, -1.0]), Some((2.0, 4, 4.0, 5)));
        assert_eq!(depths(Shape::Wheel, [0.0, 3.0, 0.0], [0.1, -1.0, 0.0]), Some((2.0, 2, 4.0, 3)));
        assert_eq!(depths(Shape::Wheel, along_x.0, along_x.1), Some((2.0, 0, 4.0, 1)));
        for shape in [Shape::BOX, Shape::Ball, Shape::Column, Shape::Wheel] {
            assert_eq!(depths(shape, [-3.0, 1.5, 0.2], [1.0, 0.0, 0.0]), None, "{shape:?}");
        }
    }

    #[test]
    fn a_part_of_a_turned_body_turns_with_it() {
        let body = Pose::new((5.0, 1.0, std::f64::consts::FRAC_PI_2), 0.0);
        let part = body.part([2.0, 0.0, 1.0], 0.0);
        assert!((part.centre - Vector3::new(5.0, 3.0, 1.0)).norm() < 1e-12);
        assert!(
            (part.turn_back(&part.turn(&Vector3::new(1.0, 2.0, 3.0))) - Vector3::new(1.0, 2.0, 3.0)).norm() < 1e-12
        );
    }
}
