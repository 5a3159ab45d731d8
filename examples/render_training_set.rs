//! Renders labelled pictures of many synthetic drives: what `train/` trains on.
//!
//! ```text
//! cargo run --release --example render_training_set -- OUT FIRST_SEED SEEDS FRAMES_A_SEED [WIDTHxHEIGHT]
//! OUT/image/000012_0.png   RGB        OUT/label/000012_0.png   Cityscapes train ids
//! ```

use segfuse::data::Size;
use segfuse::source::synthetic::{CameraConfig, Config, Scenario, Scene};
use std::error::Error;
use std::path::Path;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [out, first, seeds, frames, rest @ ..] = &arguments[..] else {
        return Err("usage: render_training_set OUT FIRST_SEED SEEDS FRAMES_A_SEED [WIDTHxHEIGHT]".into());
    };
    let size = rest.first().map_or(Ok(Size::new(400, 240)), |text| text.parse())?;
    let (first, seeds, frames): (u64, u64, u64) = (first.parse()?, seeds.parse()?, frames.parse()?);
    for folder in ["image", "label"] {
        std::fs::create_dir_all(Path::new(out).join(folder))?;
    }
    for seed in first..first + seeds {
        render_drive(Path::new(out), &config(seed, size, frames), frames)?;
    }
    Ok(())
}

/// A drive whose camera and scenario differ from seed to seed, a frame every 2 s.
fn config(seed: u64, size: Size, frames: u64) -> Config {
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
    Config { seed, size, fps: 0.5, seconds: frames as f64 * 2.0, scenario, camera, ..Config::default() }
}

fn render_drive(out: &Path, config: &Config, frames: u64) -> Result<(), Box<dyn Error>> {
    let mut scene = Scene::new(config.clone())?;
    for frame in 0..frames {
        let (picture, labels) = scene.picture(frame);
        let name = format!("{:06}_{frame}.png", config.seed);
        let Size { width, height } = config.size;
        let path = |folder: &str| out.join(folder).join(&name);
        image::save_buffer(path("image"), picture.bytes(), width, height, image::ColorType::Rgb8)?;
        image::save_buffer(path("label"), labels.labels(), width, height, image::ColorType::L8)?;
    }
    Ok(())
}
