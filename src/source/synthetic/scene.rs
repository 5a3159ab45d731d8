//! A whole synthetic drive: any frame of it with its exact truth.
//!
//! ```
//! use segfuse::data::Size;
//! use segfuse::source::synthetic::{Config, Scene};
//! let mut scene = Scene::new(Config { size: Size::new(64, 36), ..Config::default() })?;
//! let rendered = scene.render(3);
//! assert_eq!(rendered.labels.size(), Size::new(64, 36));
//! # Ok::<(), segfuse::source::synthetic::SyntheticError>(())
//! ```

use super::camera::{Camera, CameraPose, View};
use super::chance::Chance;
use super::config::{Config, SyntheticError};
use super::drive::{Drive, Motion};
use super::light::{Light, ToneCurve, flicker};
use super::road::{Road, block_of};
use super::shade::{Sensor, Shader};
use super::solid::Solid;
use super::trace::{Surface, Trace};
use super::{pixels, town, traffic};
use crate::data::{BufferPool, Image, LabelMask, Size, Stamp, VehicleState};
use nalgebra::Vector3;

/// Where the drive begins on the timeline.
pub const START: Stamp = Stamp::from_ns(1_000_000_000);
/// The first frame comes this much later, the bus goes on this much longer: every frame has
/// reports of the state on both sides.
pub(super) const MARGIN_NS: i64 = 100_000_000;
/// How far ahead the town is built, in blocks.
const BLOCKS_AHEAD: i64 = 5;
/// Buffers that downstream may hold at a time before the pool must allocate.
const POOL: usize = 16;
/// A point counts as seen in the earlier frame if what is seen there is no nearer than this part of its depth.
const OCCLUDED_BEFORE: f64 = 0.97;

/// A frame with its truth. All planes are `[rows, cols]`.
#[derive(Clone, Debug)]
pub struct Rendered {
    /// The middle of the exposure.
    pub stamp: Stamp,
    /// The picture, in [`Config::format`].
    pub image: Image,
    /// Cityscapes train ids.
    pub labels: LabelMask,
    /// Columns and rows from each pixel to where its point of the surface was in the frame before.
    pub flow: Vec<[f32; 2]>,
    /// Whether that point was visible there, to within a pixel; never for frame 0.
    pub flow_valid: Vec<bool>,
    /// Depth along the optical axis, m; infinite for the sky and the horizon.
    pub depth: Vec<f32>,
    /// The vehicle's exact state.
    pub state: VehicleState,
}

/// A synthetic drive. [`Scene::render`] is fastest in order: it keeps its look at the frame before.
#[derive(Debug)]
pub struct Scene {
    config: Config,
    camera: Camera,
    road: Road,
    drive: Drive,
    light: Light,
    tone: ToneCurve,
    standing: Standing,
    now: Trace,
    earlier: Trace,
    /// The frame that `now` shows.
    traced: Option<u64>,
    colors: Vec<[f32; 3]>,
    rgb: Vec<u8>,
    pool: BufferPool,
}

/// The part of the town that was built last.
#[derive(Debug, Default)]
struct Standing {
    block: Option<i64>,
    solids: Vec<Solid>,
}

impl Scene {
    /// The drive that `config` describes.
    pub fn new(config: Config) -> Result<Self, SyntheticError> {
        config.check()?;
        let camera = config.lens();
        let seconds = config.seconds + 2.0 * MARGIN_NS as f64 / 1e9 + 1.0;
        let reach = seconds * config.scenario.speed_mps * 1.4 + 600.0;
        let road = Road::new(config.seed, &config.scenario, reach);
        let drive = Drive::along(&road, &config.scenario, config.vehicle, (START, seconds));
        let view = View { camera, pose: camera.placed((0.0, 0.0, 0.0), (0.0, 0.0)) };
        Ok(Self {
            light: Light::new(config.seed, config.scenario.weather),
            tone: ToneCurve::new(),
            standing: Standing::default(),
            now: Trace::new(view),
            earlier: Trace::new(view),
            traced: None,
            colors: vec![[0.0; 3]; config.size.pixels()],
            rgb: vec![0; config.size.pixels() * 3],
            pool: BufferPool::new(POOL),
            config,
            camera,
            road,
            drive,
        })
    }

    /// What the drive was made from.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The camera.
    pub fn camera(&self) -> &Camera {
        &self.camera
    }

    /// The middle of frame `frame`'s exposure.
    pub fn frame_stamp(&self, frame: u64) -> Stamp {
        let ns = (frame as f64 * 1e9 / self.config.fps).round() as i64;
        START.offset_ns(MARGIN_NS + ns)
    }

    /// What the vehicle's sensors measure at `stamp`, without error.
    pub fn state_at(&self, stamp: Stamp) -> VehicleState {
        self.drive.state_at(stamp)
    }

    /// Where the vehicle is at `stamp` and how it moves.
    pub fn motion_at(&self, stamp: Stamp) -> Motion {
        self.drive.motion_at(stamp)
    }

    /// Where the camera is at `stamp`, springs included.
    pub fn camera_at(&self, stamp: Stamp) -> CameraPose {
        let motion = self.drive.motion_at(stamp);
        self.camera.placed((motion.x_m, motion.y_m, motion.heading_rad), self.sway(stamp, &motion))
    }

    pub(super) fn drive(&self) -> &Drive {
        &self.drive
    }

    /// Renders frame `frame` with all of its truth (the drive's last position is held beyond its end).
    pub fn render(&mut self, frame: u64) -> Rendered {
        if frame > 0 {
            self.look_back(frame - 1);
        }
        let (image, labels) = self.picture(frame);
        let (flow, flow_valid) = if frame == 0 { still(self.config.size) } else { self.flow() };
        let stamp = self.frame_stamp(frame);
        let depth = self.now.depth.iter().map(|&depth| depth as f32).collect();
        Rendered { stamp, image, labels, flow, flow_valid, depth, state: self.drive.state_at(stamp) }
    }

    /// Renders frame `frame` and its labels alone: without flow it needs no look at the frame before.
    pub fn picture(&mut self, frame: u64) -> (Image, LabelMask) {
        self.trace(frame);
        let (size, colors) = (self.config.size, &mut self.colors);
        let shader = Shader { road: &self.road, light: &self.light, trace: &self.now };
        let labels = self.pool.fill(size.pixels(), |labels| shader.run(colors, labels));
        self.expose(frame);
        let image = pixels::encode(&self.rgb, (size, self.config.format), &mut self.pool);
        (image, LabelMask::new(size, labels).expect("one label was made for each pixel of this size"))
    }

    /// Makes `earlier` show `frame`.
    fn look_back(&mut self, frame: u64) {
        if self.traced != Some(frame) {
            self.trace(frame);
        }
        std::mem::swap(&mut self.now, &mut self.earlier);
        self.traced = None;
    }

    fn trace(&mut self, frame: u64) {
        let (stamp, before) = (self.frame_stamp(frame), self.frame_stamp(frame.saturating_sub(1)));
        self.now.view.pose = self.camera_at(stamp);
        let moments = (self.moment(stamp), self.moment(before));
        self.build(block_of(moments.0.x));
        self.now.solids.clone_from(&self.standing.solids);
        traffic::place(&self.road, &self.config.scenario, moments, &mut self.now.solids);
        self.now.run(&self.road, &self.light.sun);
        self.traced = Some(frame);
    }

    fn moment(&self, stamp: Stamp) -> traffic::Moment {
        let seconds = stamp.signed_ns_since(START) as f64 / 1e9;
        traffic::Moment { seconds, x: self.drive.motion_at(stamp).x_m }
    }

    fn build(&mut self, block: i64) {
        if self.standing.block != Some(block) {
            self.standing.solids.clear();
            for number in block - 1..=block + BLOCKS_AHEAD {
                town::build(&self.road, number, &mut self.standing.solids);
            }
            self.standing.block = Some(block);
        }
    }

    /// Pitch and roll on the springs, rad: bumps that grow with speed, and the nod of braking.
    fn sway(&self, stamp: Stamp, motion: &Motion) -> (f64, f64) {
        let seconds = stamp.signed_ns_since(START) as f64 / 1e9;
        let strength = self.config.scenario.sway_deg.to_radians() * (motion.speed_mps / 10.0).min(1.0);
        let swing = |hertz: f64, phase: f64| libm::sin(std::f64::consts::TAU * hertz * seconds + phase);
        let nod = -0.6 * self.config.scenario.sway_deg.to_radians() * motion.acceleration_mps2;
        let pitch = strength * (0.6 * swing(1.35, 0.3) + 0.4 * swing(2.9, 1.1)) + nod;
        (pitch, strength * 0.5 * swing(0.9, 2.0))
    }

    fn expose(&mut self, frame: u64) {
        let scenario = &self.config.scenario;
        let seed = Chance::new(self.config.seed, &[30, frame as i64]).bits() as u32;
        let seconds = frame as f64 / self.config.fps;
        let wander = flicker(self.config.seed as u32, seconds, scenario.flicker);
        let gain = self.light.gain.map(|gain| gain * wander);
        let sensor = Sensor { tone: &self.tone, gain, noise: scenario.noise as f32, seed };
        sensor.expose(&self.colors, self.config.size.width as usize, &mut self.rgb);
    }

    fn flow(&self) -> (Vec<[f32; 2]>, Vec<bool>) {
        let columns = self.config.size.width as usize;
        let pixel = |pixel| {
            let (column, row) = ((pixel % columns) as f64, (pixel / columns) as f64);
            let Some((u, v, depth)) = self.earlier_position(pixel, columns) else { return ([0.0; 2], false) };
            ([(u - column) as f32, (v - row) as f32], self.was_seen(pixel, (u, v, depth)))
        };
        (0..self.config.size.pixels()).map(pixel).unzip()
    }

    /// Column, row and depth in the earlier frame of the point that a pixel sees.
    fn earlier_position(&self, pixel: usize, columns: usize) -> Option<(f64, f64, f64)> {
        let ray = self.now.ray(pixel, columns);
        let point: Vector3<f64> = self.now.view.pose.position + ray * self.now.depth[pixel];
        match self.now.surface[pixel] {
            Surface::Far => self.earlier.view.project_direction(&ray).map(|(u, v, _)| (u, v, f64::INFINITY)),
            Surface::Ground(_) => self.earlier.view.project(&point),
            Surface::Solid(index) => self.earlier.view.project(&self.now.solids[index as usize].earlier(&point)),
        }
    }

    /// Whether nothing else was in front of the point in the earlier frame's nearest pixel.
    fn was_seen(&self, pixel: usize, (u, v, depth): (f64, f64, f64)) -> bool {
        let (column, row) = ((u + 0.5).floor(), (v + 0.5).floor());
        let Size { width, height } = self.config.size;
        if column < 0.0 || row < 0.0 || column >= f64::from(width) || row >= f64::from(height) {
            return false;
        }
        let there = row as usize * width as usize + column as usize;
        match (self.now.surface[pixel], self.earlier.surface[there]) {
            (Surface::Far, Surface::Far) | (Surface::Ground(_), Surface::Ground(_)) => true,
            (Surface::Far, _) => false,
            (Surface::Solid(one), Surface::Solid(other)) if self.same_solid(one, other) => {
                !self.now.solids[one as usize].material.has_gaps() || self.about_as_deep(there, depth)
            }
            _ => self.earlier.depth[there] > depth * OCCLUDED_BEFORE,
        }
    }

    fn same_solid(&self, one: u32, other: u32) -> bool {
        self.now.solids[one as usize].id == self.earlier.solids[other as usize].id
    }

    fn about_as_deep(&self, there: usize, depth: f64) -> bool {
        (self.earlier.depth[there] - depth).abs() < 0.02 * depth
    }
}

fn still(size: Size) -> (Vec<[f32; 2]>, Vec<bool>) {
    (vec![[0.0; 2]; size.pixels()], vec![false; size.pixels()])
}
