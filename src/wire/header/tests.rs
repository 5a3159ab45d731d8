use super::*;
use proptest::prelude::*;

fn sample() -> Header {
    Header {
        lz4: false,
        origin: Origin::Propagated { from: FrameId(40), distance: 2 },
        clock: StampClock::Monotonic,
        size: Size::new(1280, 720),
        planes: PlaneBytes { labels: 921_600, age: 921_600, confidence: 0 },
        sequence: 41,
        frame: FrameId(42),
        stamp: Stamp::from_ns(1_000_000_000),
        published: Stamp::from_ns(1_012_345_678),
        unix_ns: 1_700_000_000_000_000_000,
        network_hash: 0x1111_1111_1111_1111,
        classes_hash: 0x2222_2222_2222_2222,
        labels_hash: 0x3333_3333_3333_3333,
        planes_hash: 0x4444_4444_4444_4444,
        session: 0xcafe_f00d,
        latency_us: Some(12_345),
        residual_ppm: Some(18_500),
        expected_ppm: Some(41_250),
        measured_ppm: None,
    }
}

/// Puts a right check at the end again, so that a test sees the rule behind it.
fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
    let body = bytes.len() - 4;
    let check = check_of(&bytes[..body]);
    bytes[body..].copy_from_slice(&check.to_le_bytes());
    bytes
}

fn with(at: usize, values: &[u8]) -> Vec<u8> {
    let mut bytes = sample().encode().to_vec();
    bytes[at..at + values.len()].copy_from_slice(values);
    sealed(bytes)
}

#[test]
fn a_header_comes_back_as_it_went() {
    let key = Header { origin: Origin::Key, latency_us: None, clock: StampClock::Recording, ..sample() };
    let measured = Header { measured_ppm: Some(60_000), ..key.clone() };
    let unmeasured = Header { residual_ppm: None, expected_ppm: None, ..sample() };
    for header in [sample(), key, measured, unmeasured] {
        assert_eq!(Header::decode(&header.encode()), Ok(header));
    }
}

#[test]
fn the_documented_dump_is_what_the_encoder_writes() {
    let dump = include_str!("../../../docs/wire-format.md");
    let is_dump = |line: &&str| line.get(..4).is_some_and(|offset| offset.bytes().all(|b| b.is_ascii_hexdigit()));
    let lines = dump.lines().filter_map(|line| line.strip_prefix("    ")).filter(is_dump);
    let documented: Vec<u8> = lines
        .flat_map(|line| line[4..].split_whitespace().take_while(|word| *word != "|"))
        .map(|byte| u8::from_str_radix(byte, 16).expect("a dump has bytes in hexadecimal"))
        .collect();
    let rows = sample().encode().chunks(16).enumerate().map(dump_row).collect::<String>();
    assert_eq!(documented, sample().encode(), "docs/wire-format.md must have\n{rows}");
}

fn dump_row((row, bytes): (usize, &[u8])) -> String {
    let words: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{:04x}  {}\n", row * 16, words.join(" "))
}

#[test]
fn every_flipped_bit_and_every_cut_is_told() {
    let bytes = sample().encode();
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes;
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(Header::decode(&flipped).is_err(), "bit {bit}");
    }
    for length in 0..bytes.len() {
        assert!(Header::decode(&bytes[..length]).is_err(), "{length} bytes");
    }
}

#[test]
fn values_without_meaning_are_refused_by_name() {
    let cases: [(&str, Vec<u8>, &str); 10] = [
        ("magic", with(0, b"RIFF"), "not a segfuse mask"),
        ("major", with(4, &[2]), "version 2.1"),
        ("critical flag", with(8, &[0x82]), "flags"),
        ("origin", with(10, &[9]), "origin"),
        ("clock", with(11, &[7]), "clock"),
        ("width", with(12, &[0, 0]), "width"),
        ("huge", with(12, &[0, 0x40, 0, 0x40]), "at most"),
        ("distance", with(16, &[0; 4]), "origin"),
        ("labels", with(20, &[1, 0, 0, 0]), "labels_bytes"),
        ("age without its flag", with(8, &[0]), "age_bytes"),
    ];
    for (case, bytes, expected) in cases {
        let error = Header::decode(&bytes).expect_err(case).to_string();
        assert!(error.contains(expected), "{case}: {error}");
    }
}

#[test]
fn a_newer_minor_version_is_read_and_its_additions_skipped() {
    let mut bytes = with(5, &[MINOR + 1]);
    bytes.truncate(HEADER_LEN - 4);
    bytes.extend([0xaa; 8 + 4]);
    bytes[6..8].copy_from_slice(&((HEADER_LEN + 8) as u16).to_le_bytes());
    bytes[9] = 0x80;
    assert_eq!(Header::decode(&sealed(bytes)), Ok(sample()));
}

/// What a publisher of version 1.0 sends.
fn of_the_first_version() -> Vec<u8> {
    let mut bytes = with(5, &[0]);
    bytes.truncate(FIRST_HEADER_LEN);
    bytes[6..8].copy_from_slice(&(FIRST_HEADER_LEN as u16).to_le_bytes());
    sealed(bytes)
}

#[test]
fn an_older_minor_version_is_read_and_what_it_has_not_is_unknown() {
    let expected = Header { residual_ppm: None, expected_ppm: None, measured_ppm: None, ..sample() };
    assert_eq!(Header::decode(&of_the_first_version()), Ok(expected));
}

#[test]
fn a_version_has_its_own_length() {
    for (minor, bytes) in [(0, with(5, &[0])), (1, of_the_first_version())] {
        let mut bytes = bytes;
        bytes[5] = minor;
        let error = Header::decode(&sealed(bytes)).expect_err("another version's length").to_string();
        assert!(error.contains("bytes"), "{error}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = Header::decode(&bytes);
    }

    #[test]
    fn any_sealed_bytes_are_refused_or_written_again_the_same(at in 8..HEADER_LEN - 4, values in any::<[u8; 4]>()) {
        let fits = values.len().min(HEADER_LEN - 4 - at);
        let bytes = with(at, &values[..fits]);
        if let Ok(header) = Header::decode(&bytes) {
            let mut expected = bytes;
            expected[9] = 0; // flags that this version may ignore are not written again
            prop_assert_eq!(&header.encode()[..], &sealed(expected)[..]);
        }
    }
}
