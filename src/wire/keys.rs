//! The names that messages are published under.

/// The longest vehicle or camera name, in bytes: keys travel with messages.
const MAX_NAME: usize = 64;
/// The longest prefix, in bytes.
const MAX_PREFIX: usize = 192;

/// Why a name cannot be part of a key. Recovery: mend the configuration.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{part} '{name}': {rule}")]
pub struct KeysError {
    /// `vehicle`, `camera` or `prefix`.
    pub part: &'static str,
    /// The name given.
    pub name: String,
    /// What it must be.
    pub rule: &'static str,
}

/// The keys of one camera of one vehicle.
///
/// ```
/// use segfuse::wire::Keys;
/// let keys = Keys::new("segfuse", "car7", "front")?;
/// assert_eq!(keys.mask(), "segfuse/car7/front/mask");
/// assert!(Keys::new("segfuse", "car7", "front/left").is_err());
/// # Ok::<(), segfuse::wire::KeysError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keys {
    base: String,
}

impl Keys {
    /// Keys `prefix/vehicle/camera/…`; the prefix may itself have several parts.
    pub fn new(prefix: &str, vehicle: &str, camera: &str) -> Result<Self, KeysError> {
        if prefix.len() > MAX_PREFIX {
            return Err(refuse("prefix", prefix, "at most 192 bytes"));
        }
        for chunk in prefix.split('/') {
            check_chunk(chunk).map_err(|rule| refuse("prefix", prefix, rule))?;
        }
        check_chunk(vehicle).map_err(|rule| refuse("vehicle", vehicle, rule))?;
        check_chunk(camera).map_err(|rule| refuse("camera", camera, rule))?;
        Ok(Self { base: format!("{prefix}/{vehicle}/{camera}") })
    }

    /// Where masks are.
    pub fn mask(&self) -> String {
        self.of("mask")
    }

    /// Where vehicle states are.
    pub fn state(&self) -> String {
        self.of("state")
    }

    /// Where the publisher's health is.
    pub fn health(&self) -> String {
        self.of("health")
    }

    /// Where the class table is.
    pub fn classes(&self) -> String {
        self.of("classes")
    }

    /// The liveliness token.
    pub fn alive(&self) -> String {
        self.of("alive")
    }

    fn of(&self, leaf: &str) -> String {
        format!("{}/{leaf}", self.base)
    }
}

fn refuse(part: &'static str, name: &str, rule: &'static str) -> KeysError {
    KeysError { part, name: name.to_owned(), rule }
}

/// One chunk of a Zenoh key expression without wildcards. `@` at the start would hide it from `**`.
fn check_chunk(chunk: &str) -> Result<(), &'static str> {
    if chunk.is_empty() {
        return Err("must not be empty");
    }
    if chunk.len() > MAX_NAME {
        return Err("at most 64 bytes");
    }
    if chunk.starts_with('@') || chunk.contains(['/', '*', '$', '?', '#']) {
        return Err("must not contain / * $ ? # nor begin with @: they have a meaning in Zenoh keys");
    }
    if chunk.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err("must not contain spaces or control characters");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_mean_something_else_to_zenoh_are_refused() {
        for bad in ["", "a/b", "*", "a$*", "q?", "h#", "@a", "a b", "tab\t", &"x".repeat(65)] {
            assert_eq!(Keys::new("p", bad, "front").map_err(|e| e.part), Err("vehicle"), "{bad}");
            assert_eq!(Keys::new("p", "car", bad).map_err(|e| e.part), Err("camera"), "{bad}");
        }
        for bad in ["", "/a", "a/", "a//b", "a/*", &"a/".repeat(100)] {
            assert_eq!(Keys::new(bad, "car", "front").map_err(|e| e.part), Err("prefix"), "{bad}");
        }
        assert!(Keys::new("fleet/berlin", "wagen-ä", "front_left.2").is_ok());
    }
}
