use super::*;
use crate::data::{Disagreement, FrameId, Origin};
use proptest::prelude::*;

const SIZE: Size = Size::new(64, 48);

fn plane(step: usize) -> Vec<u8> {
    (0..SIZE.pixels()).map(|i| (i / 97 * step % 19) as u8).collect()
}

fn perception() -> Perception {
    let plane_of = |step| Some(Plane::new(SIZE, plane(step).into()).expect("right length"));
    Perception {
        frame: FrameId(5),
        stamp: Stamp::from_ns(77),
        origin: Origin::Key,
        mask: LabelMask::new(SIZE, plane(1).into()).expect("right length"),
        age: plane_of(2),
        confidence: plane_of(3),
        disagreement: None,
        late: None,
    }
}

fn envelope() -> Envelope {
    Envelope {
        session: 1,
        sequence: 9,
        clock: StampClock::Monotonic,
        unix_ns: 5,
        published: Stamp::from_ns(80),
        latency_us: Some(3),
        network_hash: 1,
        classes_hash: 2,
    }
}

fn encode(choice: Choice) -> (Vec<u8>, Vec<u8>) {
    let (mut encoder, perception) = (Encoder::new(choice), perception());
    let packed = encoder.pack(&perception).expect("small and well formed");
    let mut payload = vec![0; packed.len()];
    let hashes = packed.write_to(&mut payload);
    assert_eq!(hashes, packed.hashes());
    (packed.header(hashes, &envelope()).encode().to_vec(), payload)
}

fn every_choice() -> impl Iterator<Item = Choice> {
    let bit = |bits: u8, at: u8| bits & (1 << at) != 0;
    (0..8).map(move |bits| Choice { lz4: bit(bits, 0), age: bit(bits, 1), confidence: bit(bits, 2) })
}

fn read(header: &[u8], payload: &[u8]) -> Result<MaskMessage, WireError> {
    decode(header, payload.chunks(1000), &mut BufferPool::new(4))
}

#[test]
fn every_choice_of_planes_comes_back_equal() {
    for choice in every_choice() {
        let (header, payload) = encode(choice);
        let message = read(&header, &payload).unwrap_or_else(|error| panic!("{choice:?}: {error}"));
        let sent = perception();
        assert_eq!(message.labels, sent.mask, "{choice:?}");
        assert_eq!(message.labels.hash(), message.header.labels_hash, "{choice:?}");
        assert_eq!(message.age, sent.age.filter(|_| choice.age), "{choice:?}");
        assert_eq!(message.confidence, sent.confidence.filter(|_| choice.confidence), "{choice:?}");
    }
}

#[test]
fn what_is_known_of_carried_labels_is_sent_in_millionths() {
    let sent = |disagreement| {
        let (mut encoder, perception) = (Encoder::new(Choice::default()), Perception { disagreement, ..perception() });
        let packed = encoder.pack(&perception).expect("sound");
        let Header { residual_ppm, expected_ppm, measured_ppm, .. } = packed.header(packed.hashes(), &envelope());
        [residual_ppm, expected_ppm, measured_ppm]
    };
    let known = Disagreement { residual: 0.0125, expected: 0.25, measured: Some(1.0) };
    assert_eq!(sent(Some(known)), [Some(12_500), Some(250_000), Some(1_000_000)]);
    assert_eq!(sent(Some(Disagreement { measured: None, ..known })), [Some(12_500), Some(250_000), None]);
    assert_eq!(sent(None), [None; 3]);
    let odd = Disagreement { residual: f32::NAN, expected: 7.0, measured: Some(-1.0) };
    assert_eq!(sent(Some(odd)), [None, Some(1_000_000), Some(0)]);
}

#[test]
fn plain_labels_need_no_copy() {
    let (mut encoder, perception) = (Encoder::new(Choice::default()), perception());
    let packed = encoder.pack(&perception).expect("sound");
    assert_eq!(packed.as_plain_labels().map(|labels| labels.as_ptr()), Some(perception.mask.labels().as_ptr()));
}

#[test]
fn every_cut_and_every_added_byte_is_told() {
    for choice in every_choice() {
        let (header, mut payload) = encode(choice);
        for length in (0..payload.len()).step_by(61) {
            assert!(read(&header, &payload[..length]).is_err(), "{choice:?} cut to {length}");
        }
        payload.push(0);
        let got = payload.len();
        let told = WireError::PayloadLength { expected: got - 1, got };
        assert_eq!(read(&header, &payload), Err(told), "{choice:?}");
    }
}

#[test]
fn a_plane_of_another_size_is_not_sent() {
    let other = Plane::new(Size::new(2, 2), vec![0; 4].into()).expect("right length");
    let perception = Perception { age: Some(other), ..perception() };
    let mut encoder = Encoder::new(Choice { age: true, ..Choice::default() });
    assert!(matches!(encoder.pack(&perception), Err(WireError::PlaneSize { plane: "age", .. })));
}

#[test]
fn a_mask_beyond_the_bound_is_refused_before_any_memory_is_asked_for() {
    let (header, _) = encode(Choice { lz4: true, ..Choice::default() });
    let mut header = Header::decode(&header).expect("sound");
    header.size = Size::new(16_384, 16_384);
    assert_eq!(read(&header.encode(), &[0; 20]), Err(WireError::TooLarge { size: header.size }));
}

proptest! {
    #[test]
    fn a_flipped_bit_of_the_payload_never_passes(choice in 0usize..8, at in any::<prop::sample::Index>(), bit in 0u8..8) {
        let choice = every_choice().nth(choice).expect("there are eight");
        let (header, mut payload) = encode(choice);
        let at = at.index(payload.len());
        payload[at] ^= 1 << bit;
        // A block of LZ4 may say the same in two ways: then the planes must be the same.
        if let Ok(message) = read(&header, &payload) {
            prop_assert!(choice.lz4);
            prop_assert_eq!(message.labels, perception().mask);
        }
    }

    #[test]
    fn any_payload_is_read_or_refused(choice in 0usize..8, payload in proptest::collection::vec(any::<u8>(), 0..9000)) {
        let choice = every_choice().nth(choice).expect("there are eight");
        let _ = read(&encode(choice).0, &payload);
    }
}
