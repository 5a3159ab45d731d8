//! What the host has, as the kernels take it.

use super::super::EngineError;
use super::super::network::{Chain, Channels, InputSpec};
use crate::data::{Image, PixelFormat};
use crate::flow::{EgoFlow, EgoMotion};
use crate::sys::cuda::{DeviceCamera, DeviceMotion, DevicePicture, PictureFormat, Preparation, Stream};

/// Copies a picture into the device's memory.
///
/// # Errors
/// [`EngineError::Frame`] if it is a JPEG: decode it first.
pub fn device_picture(stream: &Stream, image: &Image) -> Result<DevicePicture, EngineError> {
    let format = match image.format() {
        PixelFormat::Yuyv => PictureFormat::Yuyv,
        PixelFormat::Uyvy => PictureFormat::Uyvy,
        PixelFormat::Nv12 => PictureFormat::Nv12,
        PixelFormat::Rgb8 => PictureFormat::Rgb8,
        PixelFormat::Grey => PictureFormat::Grey,
        PixelFormat::Jpeg => return Err(EngineError::Frame("a JPEG must be decoded before it is uploaded".into())),
    };
    let mut bytes = stream.buffer(image.bytes().len())?;
    stream.upload(image.bytes(), &mut bytes)?;
    let (width, height) = (image.size().width as usize, image.size().height as usize);
    Ok(DevicePicture { bytes, format, width, height, stride: image.stride() })
}

/// How pictures are to be prepared for a network.
pub fn preparation(input: &InputSpec) -> Preparation {
    Preparation {
        mean: input.mean,
        std: input.std,
        is_bgr: input.channels == Channels::Bgr,
        rounds_to_bytes: input.chain == Chain::Common,
    }
}

/// The camera that flow is foretold for.
pub fn device_camera(ego: &EgoFlow) -> DeviceCamera {
    let camera = ego.camera();
    let mut distortion = [0.0; 5];
    // The calibration has been checked: five numbers or none.
    distortion.iter_mut().zip(&camera.distortion).for_each(|(to, from)| *to = *from);
    DeviceCamera {
        focal_px: [camera.fx_px, camera.fy_px],
        principal_px: [camera.cx_px, camera.cy_px],
        sides_px: [f64::from(camera.width_px), f64::from(camera.height_px)],
        axes: ego.axes(),
        position_m: camera.position_m,
        distortion,
    }
}

/// How the vehicle moved.
pub fn device_motion(motion: EgoMotion) -> DeviceMotion {
    let (moved, turned) = motion.pose();
    let turned = [0, 1, 2].map(|row| [0, 1, 2].map(|col| turned.matrix()[(row, col)]));
    DeviceMotion { turned, moved_m: moved.into() }
}
