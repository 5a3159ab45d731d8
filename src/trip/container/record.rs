//! How MCAP lays out a record: opcode, length, fields; all numbers little-endian.

/// Appends a record whose fields `write` appends.
pub(super) fn record(out: &mut Vec<u8>, opcode: u8, write: impl FnOnce(&mut Vec<u8>)) {
    out.push(opcode);
    let at = out.len();
    out.extend(0_u64.to_le_bytes());
    write(out);
    let len = (out.len() - at - 8) as u64;
    out[at..at + 8].copy_from_slice(&len.to_le_bytes());
}

/// Appends a text with its length.
pub(super) fn text(out: &mut Vec<u8>, text: &str) {
    list(out, |out| out.extend(text.as_bytes()));
}

/// Appends what `write` appends behind its length in bytes: texts, lists, maps and blobs alike.
pub(super) fn list(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let at = out.len();
    out.extend(0_u32.to_le_bytes());
    write(out);
    let len = (out.len() - at - 4) as u32;
    out[at..at + 4].copy_from_slice(&len.to_le_bytes());
}
