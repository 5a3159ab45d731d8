//! Renders labelled pictures of many synthetic drives: what `train/` trains on.
//!
//! ```text
//! cargo run --release --example render_training_set -- OUT FIRST_SEED SEEDS FRAMES_A_SEED [WIDTHxHEIGHT [FPS]]
//! OUT/image/000012_0.png         RGB                     OUT/label/000012_0.png         Cityscapes train ids
//! OUT/later/image/000012_0.png   the next frame          OUT/later/label/000012_0.png   (FPS: 5)
//! OUT/later/flow/000012_0.flo    from there back, in cells of a quarter of the size; unknown where it is not seen
//! ```

use segfuse::data::Size;
use segfuse::flow::FlowField;
use segfuse::source::synthetic::{CameraConfig, Config, Rendered, Scenario, Scene};
use std::error::Error;
use std::path::Path;

/// Frames from one pair to the next.
const APART: u64 = 10;
/// Pixels of a cell of the flow file.
const CELL: usize = 4;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [out, first, seeds, pairs, rest @ ..] = &arguments[..] else {
        return Err("usage: render_training_set OUT FIRST_SEED SEEDS FRAMES_A_SEED [WIDTHxHEIGHT [FPS]]".into());
    };
    let size = rest.first().map_or(Ok(Size::new(400, 240)), |text| text.parse())?;
    let fps = rest.get(1).map_or(Ok(5.0), |text| text.parse())?;
    let (first, seeds, pairs): (u64, u64, u64) = (first.parse()?, seeds.parse()?, pairs.parse()?);
    for folder in ["image", "label", "later/image", "later/label", "later/flow"] {
        std::fs::create_dir_all(Path::new(out).join(folder))?;
    }
    for seed in first..first + seeds {
        render_drive(Path::new(out), &config(seed, size, fps, pairs), pairs)?;
    }
    Ok(())
}

/// A drive whose camera and scenario differ from seed to seed.
fn config(seed: u64, size: Size, fps: f64, pairs: u64) -> Config {
    let part = |step: u64, steps: u64| (seed * step % steps) as f64 / (steps - 1) as f64;
    let camera = CameraConfig {
        horizontal_view_deg: 45.0 + 30.0 * part(7, 11),
        height_m: 1.15 + 0.5 * part(5, 7),
        pitch_deg: -1.0 + 5.0 * part(3, 5),
        ..CameraConfig::default()
    };
    let scenario = Scenario {
        urbanity: 0.3 + 0.7 * part(5, 13),
        traffic: 0.3 + 0.7 * part(2, 9),
        noise: 3.0 * part(1, 4),
        stops: false,
        ..Scenario::default()
    };
    let seconds = (pairs * APART + 2) as f64 / fps;
    Config { seed, size, fps, seconds, scenario, camera, ..Config::default() }
}

fn render_drive(out: &Path, config: &Config, pairs: u64) -> Result<(), Box<dyn Error>> {
    let mut scene = Scene::new(config.clone())?;
    for pair in 0..pairs {
        let name = format!("{:06}_{pair}", config.seed);
        let (picture, labels) = scene.picture(pair * APART);
        save(out, &name, config.size, picture.bytes(), labels.labels())?;
        let next = scene.render(pair * APART + 1);
        save(&out.join("later"), &name, config.size, next.image.bytes(), next.labels.labels())?;
        flow(&next, config.size).write(&out.join("later/flow").join(format!("{name}.flo")))?;
    }
    Ok(())
}

fn save(out: &Path, name: &str, size: Size, picture: &[u8], labels: &[u8]) -> Result<(), Box<dyn Error>> {
    let path = |folder: &str| out.join(folder).join(format!("{name}.png"));
    image::save_buffer(path("image"), picture, size.width, size.height, image::ColorType::Rgb8)?;
    image::save_buffer(path("label"), labels, size.width, size.height, image::ColorType::L8)?;
    Ok(())
}

/// The flow at the middle of each cell, in cells.
fn flow(frame: &Rendered, size: Size) -> FlowField {
    let (width, rows, cols) = (size.width as usize, size.height as usize / CELL, size.width as usize / CELL);
    let along = |axis: usize| {
        (0..rows * cols).map(move |cell| {
            let pixel = (cell / cols * CELL + CELL / 2) * width + cell % cols * CELL + CELL / 2;
            if frame.flow_valid[pixel] { frame.flow[pixel][axis] / CELL as f32 } else { f32::NAN }
        })
    };
    FlowField { rows, cols, values: along(0).chain(along(1)).collect() }
}
