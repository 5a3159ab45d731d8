//! Topics and messages: how each event and perception is laid out in a trip, and back.
//!
//! Pure conversion, no I/O. Image bytes are borrowed when writing and shared when reading.

use crate::data::{
    CanFrame, CanId, Clock, Disagreement, Event, Frame, FrameId, GroundTruth, Image, LabelMask, Origin, PixelFormat,
    Plane, Quantity, Reading, SharedBytes, Size, SourceStamp, Stamp, StateSample, Validity, VehicleState, jpeg_size,
};
use foxglove::messages::{CompressedImage, RawImage, Timestamp};
use prost::Message as _;
use prost::bytes::Bytes;
use prost::encoding::{WireType, encode_key, encode_varint};
use std::sync::Arc;

/// The structs that `build.rs` makes of `proto/segfuse.proto`.
#[allow(missing_docs, unreachable_pub, clippy::pedantic, reason = "generated; documented in proto/segfuse.proto")]
pub(super) mod proto {
    include!(concat!(env!("OUT_DIR"), "/segfuse.rs"));
}

/// The descriptor set of `proto/segfuse.proto`, which every trip carries.
pub(super) const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/segfuse.fds"));

/// What a channel of a trip carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Kind {
    Jpeg,
    Raw,
    Truth,
    Mask,
    Confidence,
    Age,
    Info,
    Late,
    Can,
    State,
    Sequence,
    Lost,
    Tick,
}

impl Kind {
    pub(super) const ALL: [Self; 13] = [
        Self::Jpeg,
        Self::Raw,
        Self::Truth,
        Self::Mask,
        Self::Confidence,
        Self::Age,
        Self::Info,
        Self::Late,
        Self::Can,
        Self::State,
        Self::Sequence,
        Self::Lost,
        Self::Tick,
    ];

    pub(super) const fn topic(self) -> &'static str {
        match self {
            Self::Jpeg | Self::Raw => "/camera/image",
            Self::Truth => "/camera/truth",
            Self::Mask => "/perception/mask",
            Self::Confidence => "/perception/confidence",
            Self::Age => "/perception/age",
            Self::Info => "/perception/info",
            Self::Late => "/perception/late",
            Self::Can => "/vehicle/can",
            Self::State => "/vehicle/state",
            Self::Sequence => "/camera/sequence",
            Self::Lost => "/camera/lost",
            Self::Tick => "/source/tick",
        }
    }

    pub(super) const fn schema(self) -> &'static str {
        match self {
            Self::Jpeg => "foxglove.CompressedImage",
            Self::Raw | Self::Truth | Self::Mask | Self::Confidence | Self::Age => "foxglove.RawImage",
            Self::Info => "segfuse.PerceptionInfo",
            Self::Late => "segfuse.LateKey",
            Self::Can => "segfuse.CanFrame",
            Self::State => "segfuse.VehicleState",
            Self::Sequence => "segfuse.FrameSequence",
            Self::Lost => "segfuse.LostFrames",
            Self::Tick => "segfuse.Tick",
        }
    }

    /// Whether its messages belong to one camera frame, whose capture time all of them carry.
    pub(super) fn is_of_a_frame(self) -> bool {
        !matches!(self, Self::Can | Self::State | Self::Lost | Self::Tick)
    }

    /// The kind of a channel by its topic and schema; `None` for a channel that is not ours.
    pub(super) fn of(topic: &str, schema: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.topic() == topic && kind.schema() == schema)
    }
}

/// Foxglove's name for the frame of reference that all pictures are in.
const CAMERA: &str = "camera";

/// Field numbers of the picture bytes in Foxglove's schemas.
const RAW_IMAGE_DATA: u32 = 6;
const COMPRESSED_IMAGE_DATA: u32 = 2;

/// Messages that are filled in anew for each thing that is written: their texts keep their memory.
pub(super) struct Scratch {
    jpeg: CompressedImage,
    raw: RawImage,
    can: proto::CanFrame,
}

impl Default for Scratch {
    fn default() -> Self {
        let jpeg = CompressedImage { frame_id: CAMERA.into(), format: "jpeg".into(), ..CompressedImage::default() };
        let raw = RawImage { frame_id: CAMERA.into(), ..RawImage::default() };
        Self { jpeg, raw, can: proto::CanFrame::default() }
    }
}

impl Scratch {
    /// Appends `image` as the message of its kind, which is returned.
    pub(super) fn encode_image(&mut self, stamp: Stamp, image: &Image, out: &mut Vec<u8>) -> Kind {
        if image.format() == PixelFormat::Jpeg {
            self.jpeg.timestamp = timestamp(stamp);
            encode_with_bytes(&self.jpeg, COMPRESSED_IMAGE_DATA, image.bytes(), out);
            return Kind::Jpeg;
        }
        let head = self.raw_head(stamp, image.size(), image.stride(), encoding(image.format()));
        encode_with_bytes(head, RAW_IMAGE_DATA, image.bytes(), out);
        Kind::Raw
    }

    /// Appends `plane` as a mono8 picture.
    pub(super) fn encode_plane(&mut self, stamp: Stamp, size: Size, bytes: &[u8], out: &mut Vec<u8>) {
        let head = self.raw_head(stamp, size, size.width as usize, encoding(PixelFormat::Grey));
        encode_with_bytes(head, RAW_IMAGE_DATA, bytes, out);
    }

    /// Appends a raw CAN frame.
    pub(super) fn encode_can(&mut self, frame: &CanFrame, out: &mut Vec<u8>) {
        let message = &mut self.can;
        message.bus = u32::from(frame.bus);
        message.id = frame.id.raw();
        message.extended = frame.id.is_extended();
        message.clock = proto_clock(frame.taken.clock) as i32;
        message.taken_ns = frame.taken.ns;
        message.payload.clear();
        message.payload.extend_from_slice(frame.payload());
        message.encode_raw(out);
    }

    fn raw_head(&mut self, stamp: Stamp, size: Size, stride: usize, encoding: &str) -> &RawImage {
        let head = &mut self.raw;
        head.timestamp = timestamp(stamp);
        (head.width, head.height) = (size.width, size.height);
        head.encoding.clear();
        head.encoding.push_str(encoding);
        head.step = u32::try_from(stride).unwrap_or(u32::MAX);
        head
    }
}

/// Appends `head` and then the one bytes field that it left empty, without copying it into a message first.
fn encode_with_bytes(head: &impl prost::Message, field: u32, bytes: &[u8], out: &mut Vec<u8>) {
    out.reserve(head.encoded_len() + bytes.len() + 16);
    head.encode_raw(out);
    encode_key(field, WireType::LengthDelimited, out);
    encode_varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

/// Foxglove's stamp; `None` past 136 years of uptime, where its 32-bit seconds end.
fn timestamp(stamp: Stamp) -> Option<Timestamp> {
    let seconds = u32::try_from(stamp.ns() / 1_000_000_000).ok()?;
    Timestamp::new_checked(seconds, (stamp.ns() % 1_000_000_000) as u32)
}

const fn encoding(format: PixelFormat) -> &'static str {
    match format {
        PixelFormat::Grey => "mono8",
        other => other.name(),
    }
}

fn pixel_format(encoding: &str) -> Result<PixelFormat, String> {
    match encoding {
        "yuyv" | "yuv422_yuy2" => Ok(PixelFormat::Yuyv),
        "uyvy" | "yuv422" => Ok(PixelFormat::Uyvy),
        "nv12" => Ok(PixelFormat::Nv12),
        "rgb8" => Ok(PixelFormat::Rgb8),
        "mono8" | "8UC1" => Ok(PixelFormat::Grey),
        other => Err(format!("encoding '{other}' is not read: known are yuyv, uyvy, nv12, rgb8, mono8")),
    }
}

/// Appends a report of the vehicle's motion.
pub(super) fn encode_state(sample: &StateSample, out: &mut Vec<u8>) {
    let reading = |quantity| sample.state.get(quantity).map(proto_reading);
    let message = proto::VehicleState {
        clock: proto_clock(sample.taken.clock) as i32,
        taken_ns: sample.taken.ns,
        speed_mps: reading(Quantity::Speed),
        longitudinal_acceleration_mps2: reading(Quantity::LongitudinalAcceleration),
        lateral_acceleration_mps2: reading(Quantity::LateralAcceleration),
        steering_wheel_angle_rad: reading(Quantity::SteeringWheelAngle),
        yaw_rate_radps: reading(Quantity::YawRate),
    };
    message.encode_raw(out);
}

/// The capture time to publish a source's stamp under: itself if it is on the timeline, else its arrival.
pub(super) fn capture(taken: SourceStamp, arrival: Stamp) -> Stamp {
    match taken.clock {
        Clock::Monotonic => Stamp::from_ns(u64::try_from(taken.ns).unwrap_or(0)),
        Clock::Realtime => arrival,
    }
}

fn proto_clock(clock: Clock) -> proto::Clock {
    match clock {
        Clock::Monotonic => proto::Clock::Monotonic,
        Clock::Realtime => proto::Clock::Realtime,
    }
}

fn proto_reading(reading: Reading) -> proto::Reading {
    let validity = match reading.validity {
        Validity::Valid => proto::Validity::Valid,
        Validity::Stale => proto::Validity::Stale,
        Validity::Faulty => proto::Validity::Faulty,
        Validity::Frozen => proto::Validity::Frozen,
    };
    proto::Reading { value: reading.value, validity: validity as i32 }
}

/// What the MCAP record says of a message besides its bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head<'a> {
    pub(super) sequence: u32,
    pub(super) arrival: Stamp,
    pub(super) capture: Stamp,
    /// The class table named by the channel, for truth.
    pub(super) classes: Option<&'a Arc<str>>,
}

/// The event in a message of `kind`; `None` for kinds that are answers, not events.
pub(super) fn decode_event(kind: Kind, head: Head<'_>, data: Bytes) -> Result<Option<Event>, String> {
    let event = match kind {
        Kind::Jpeg => frame(head, decode_jpeg(data)?),
        Kind::Raw => frame(head, decode_raw(data)?),
        Kind::Truth => Event::Truth(decode_truth(head, data)?),
        Kind::Can => Event::Can(decode_can(head, data)?),
        Kind::State => Event::State(decode_state(head, data)?),
        Kind::Lost => decode_lost(data)?,
        Kind::Tick => Event::Tick(Stamp::from_ns(parse::<proto::Tick>(data)?.stamp_ns)),
        Kind::Sequence | Kind::Mask | Kind::Confidence | Kind::Age | Kind::Info | Kind::Late => return Ok(None),
    };
    Ok(Some(event))
}

fn frame(head: Head<'_>, image: Image) -> Event {
    Event::Frame(Frame {
        id: FrameId(u64::from(head.sequence)),
        sequence: None,
        stamp: head.capture,
        arrival: head.arrival,
        image,
    })
}

fn parse<M: prost::Message + Default>(data: Bytes) -> Result<M, String> {
    M::decode(data).map_err(|error| error.to_string())
}

fn shared(bytes: Bytes) -> SharedBytes {
    SharedBytes::from_owner(Arc::new(bytes))
}

fn decode_jpeg(data: Bytes) -> Result<Image, String> {
    let message: CompressedImage = parse(data)?;
    if message.format != "jpeg" {
        return Err(format!("compressed image of format '{}': only jpeg is read", message.format));
    }
    let size = jpeg_size(&message.data).map_err(|error| error.to_string())?;
    Image::jpeg(size, shared(message.data)).map_err(|error| error.to_string())
}

fn decode_raw(data: Bytes) -> Result<Image, String> {
    let message: RawImage = parse(data)?;
    let (format, size) = (pixel_format(&message.encoding)?, Size::new(message.width, message.height));
    Image::new(format, size, message.step as usize, shared(message.data)).map_err(|error| error.to_string())
}

/// A mono8 picture as a plane without padding.
pub(super) fn decode_plane(data: Bytes) -> Result<Plane, String> {
    let image = decode_raw(data)?;
    if image.format() != PixelFormat::Grey {
        return Err(format!("a plane is mono8, got {}", image.format().name()));
    }
    let (size, width) = (image.size(), image.size().width as usize);
    if image.stride() == width && image.bytes().len() == size.pixels() {
        return Plane::new(size, image.bytes().clone()).map_err(|error| error.to_string());
    }
    let packed: Vec<u8> = (0..size.height).flat_map(|y| image.row(y).iter().copied()).collect();
    Plane::new(size, packed.into()).map_err(|error| error.to_string())
}

/// A mono8 picture as a mask.
pub(super) fn decode_mask(data: Bytes) -> Result<LabelMask, String> {
    let plane = decode_plane(data)?;
    LabelMask::new(plane.size(), plane.bytes().clone()).map_err(|error| error.to_string())
}

fn decode_truth(head: Head<'_>, data: Bytes) -> Result<GroundTruth, String> {
    let classes = head.classes.ok_or("its channel names no class table (key 'classes')")?;
    Ok(GroundTruth { stamp: head.capture, labels: decode_plane(data)?, classes: Arc::clone(classes) })
}

fn decode_can(head: Head<'_>, data: Bytes) -> Result<CanFrame, String> {
    let message: proto::CanFrame = parse(data)?;
    let bus = u8::try_from(message.bus).map_err(|_| format!("bus {} is above 255", message.bus))?;
    let id = if message.extended { CanId::extended(message.id) } else { CanId::standard(message.id) };
    let taken = source_stamp(message.clock, message.taken_ns)?;
    let id = id.map_err(|error| error.to_string())?;
    CanFrame::new(bus, id, taken, head.arrival, &message.payload).map_err(|error| error.to_string())
}

fn decode_state(head: Head<'_>, data: Bytes) -> Result<StateSample, String> {
    let message: proto::VehicleState = parse(data)?;
    let readings = [
        message.speed_mps,
        message.longitudinal_acceleration_mps2,
        message.lateral_acceleration_mps2,
        message.steering_wheel_angle_rad,
        message.yaw_rate_radps,
    ];
    let mut state = VehicleState::default();
    for (quantity, reading) in Quantity::ALL.into_iter().zip(readings) {
        state.set(quantity, reading.map(decode_reading).transpose()?);
    }
    Ok(StateSample { taken: source_stamp(message.clock, message.taken_ns)?, arrival: head.arrival, state })
}

fn decode_reading(reading: proto::Reading) -> Result<Reading, String> {
    let validity = match reading.validity() {
        proto::Validity::Valid => Validity::Valid,
        proto::Validity::Stale => Validity::Stale,
        proto::Validity::Faulty => Validity::Faulty,
        proto::Validity::Frozen => Validity::Frozen,
        proto::Validity::Unspecified => return Err(format!("validity {} is not known", reading.validity)),
    };
    Ok(Reading { value: reading.value, validity })
}

fn source_stamp(clock: i32, ns: i64) -> Result<SourceStamp, String> {
    let clock = match proto::Clock::try_from(clock) {
        Ok(proto::Clock::Monotonic) => Clock::Monotonic,
        Ok(proto::Clock::Realtime) => Clock::Realtime,
        Err(_) => return Err(format!("clock {clock} is not known")),
    };
    Ok(SourceStamp { clock, ns })
}

fn decode_lost(data: Bytes) -> Result<Event, String> {
    let message: proto::LostFrames = parse(data)?;
    Ok(Event::Lost { stamp: Stamp::from_ns(message.stamp_ns), frames: message.frames })
}

/// Appends the number that the driver gave `frame`.
pub(super) fn encode_sequence(frame: FrameId, sequence: u32, out: &mut Vec<u8>) {
    proto::FrameSequence { frame: frame.0, sequence }.encode_raw(out);
}

/// A frame, and the number that its driver gave it.
pub(super) fn decode_sequence(data: Bytes) -> Result<(FrameId, u32), String> {
    let message: proto::FrameSequence = parse(data)?;
    Ok((FrameId(message.frame), message.sequence))
}

/// Appends that `frame` was answered before the features of `key` that were due on it were there.
pub(super) fn encode_late(frame: FrameId, key: FrameId, out: &mut Vec<u8>) {
    proto::LateKey { frame: frame.0, key_frame: key.0 }.encode_raw(out);
}

/// The frame that was answered before a key frame's features were there, and that key frame.
pub(super) fn decode_late(data: Bytes) -> Result<(FrameId, FrameId), String> {
    let message: proto::LateKey = parse(data)?;
    Ok((FrameId(message.frame), FrameId(message.key_frame)))
}

/// Where a mask came from, and which planes come with it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct PerceptionHead {
    pub(super) frame: FrameId,
    pub(super) stamp: Stamp,
    pub(super) origin: Origin,
    pub(super) mask_hash: u64,
    pub(super) has_age: bool,
    pub(super) has_confidence: bool,
    pub(super) disagreement: Option<Disagreement>,
}

impl PerceptionHead {
    /// Appends the message.
    pub(super) fn encode(self, out: &mut Vec<u8>) {
        let key_frame = self.origin.key_of(self.frame);
        let message = proto::PerceptionInfo {
            frame: self.frame.0,
            stamp_ns: self.stamp.ns(),
            distance: self.origin.distance(),
            key_frame: key_frame.0,
            mask_hash: self.mask_hash,
            has_age: self.has_age,
            has_confidence: self.has_confidence,
            disagreement: self.disagreement.map(|found| proto::Disagreement {
                residual: found.residual,
                expected: found.expected,
                measured: found.measured,
            }),
        };
        message.encode_raw(out);
    }

    /// Reads the message.
    pub(super) fn decode(data: Bytes) -> Result<Self, String> {
        let message: proto::PerceptionInfo = parse(data)?;
        let origin = match message.distance {
            0 => Origin::Key,
            distance => Origin::Propagated { from: FrameId(message.key_frame), distance },
        };
        Ok(Self {
            frame: FrameId(message.frame),
            stamp: Stamp::from_ns(message.stamp_ns),
            origin,
            mask_hash: message.mask_hash,
            has_age: message.has_age,
            has_confidence: message.has_confidence,
            disagreement: message.disagreement.map(|found| Disagreement {
                residual: found.residual,
                expected: found.expected,
                measured: found.measured,
            }),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn head(arrival: u64) -> Head<'static> {
        Head { sequence: 7, arrival: Stamp::from_ns(arrival), capture: Stamp::from_ns(5), classes: None }
    }

    #[test]
    fn every_raw_format_keeps_its_stride_and_padding() {
        let size = Size::new(4, 2);
        for format in PixelFormat::ALL.into_iter().filter(|f| *f != PixelFormat::Jpeg) {
            let stride = format.row_bytes(4) + 3;
            let bytes: Vec<u8> = (0..stride * 3).map(|i| i as u8).collect();
            let image = Image::new(format, size, stride, bytes.into()).expect("three padded rows");
            let mut out = Vec::new();
            let kind = Scratch::default().encode_image(Stamp::from_ns(5), &image, &mut out);
            let event = decode_event(kind, head(9), out.into()).expect("just encoded");
            let Some(Event::Frame(frame)) = event else { panic!("{format:?} gave {event:?}") };
            assert_eq!((frame.image, frame.id, frame.stamp.ns()), (image, FrameId(7), 5), "{format:?}");
        }
    }

    #[test]
    fn a_foreign_plane_with_padding_is_packed() {
        let image = Image::new(PixelFormat::Grey, Size::new(2, 2), 3, vec![1, 2, 9, 3, 4, 9].into()).expect("padded");
        let mut out = Vec::new();
        Scratch::default().encode_image(Stamp::ZERO, &image, &mut out);
        assert_eq!(&**decode_plane(out.into()).expect("grey").bytes(), [1, 2, 3, 4]);
    }

    proptest! {
        #[test]
        fn every_can_frame_survives(bus: u8, extended: bool, raw in 0u32..0x800, ns: i64, realtime: bool, payload in proptest::collection::vec(any::<u8>(), 0..=64)) {
            let id = if extended { CanId::Extended(raw << 8) } else { CanId::Standard(raw as u16) };
            let clock = if realtime { Clock::Realtime } else { Clock::Monotonic };
            let frame = CanFrame::new(bus, id, SourceStamp { clock, ns }, Stamp::from_ns(3), &payload).expect("fits");
            let mut out = Vec::new();
            Scratch::default().encode_can(&frame, &mut out);
            prop_assert_eq!(decode_event(Kind::Can, head(3), out.into()), Ok(Some(Event::Can(frame))));
        }

        #[test]
        fn arbitrary_bytes_are_refused_or_read_and_never_panic(data in proptest::collection::vec(any::<u8>(), 0..200)) {
            for kind in Kind::ALL {
                let _ = decode_event(kind, head(1), data.clone().into());
            }
            let _ = PerceptionHead::decode(data.clone().into());
            let _ = decode_late(data.clone().into());
            let _ = decode_sequence(data.into());
        }
    }
}
