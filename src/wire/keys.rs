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
        check_prefix(prefix).map_err(|rule| refuse("prefix", prefix, rule))?;
        check_name(vehicle).map_err(|rule| refuse("vehicle", vehicle, rule))?;
        check_name(camera).map_err(|rule| refuse("camera", camera, rule))?;
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

    /// The liveliness token of the publisher with this session number. A key of its own for each:
    /// Zenoh tells of equal ones but once.
    pub fn alive(&self, session: u32) -> String {
        self.of(&format!("alive/{session:08x}"))
    }

    /// The liveliness tokens of all publishers of this camera.
    pub fn all_alive(&self) -> String {
        self.of("alive/*")
    }

    fn of(&self, leaf: &str) -> String {
        format!("{}/{leaf}", self.base)
    }
}

/// A publisher, as its liveliness token names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Presence {
    /// First part of its keys.
    pub prefix: String,
    /// Second part.
    pub vehicle: String,
    /// Third part.
    pub camera: String,
    /// As in the headers of its masks.
    pub session: u32,
}

impl Presence {
    /// The liveliness tokens of all publishers whatever their names.
    pub const ANYWHERE: &str = "**/alive/*";

    /// Reads a token's key; `None` if it is no token of ours.
    pub fn from_key(key: &str) -> Option<Self> {
        let (base, session) = key.rsplit_once("/alive/")?;
        let (prefix, [vehicle, camera]) = base.rsplit_once('/').and_then(|(before, camera)| {
            let (prefix, vehicle) = before.rsplit_once('/')?;
            Some((prefix, [vehicle, camera]))
        })?;
        Keys::new(prefix, vehicle, camera).ok()?;
        let session = u32::from_str_radix(session, 16).ok()?;
        Some(Self { prefix: prefix.into(), vehicle: vehicle.into(), camera: camera.into(), session })
    }

    /// The keys that it publishes under; `None` if its names are unsound.
    pub fn keys(&self) -> Option<Keys> {
        Keys::new(&self.prefix, &self.vehicle, &self.camera).ok()
    }
}

fn refuse(part: &'static str, name: &str, rule: &'static str) -> KeysError {
    KeysError { part, name: name.to_owned(), rule }
}

/// What a prefix must be: one or more names with `/` between them.
pub fn check_prefix(prefix: &str) -> Result<(), &'static str> {
    if prefix.len() > MAX_PREFIX {
        return Err("at most 192 bytes");
    }
    prefix.split('/').try_for_each(check_name)
}

/// What the name of a vehicle or a camera must be: one chunk of a Zenoh key expression without wildcards.
pub fn check_name(chunk: &str) -> Result<(), &'static str> {
    if chunk.is_empty() {
        return Err("must not be empty");
    }
    if chunk.len() > MAX_NAME {
        return Err("at most 64 bytes");
    }
    // `@` at the start would hide it from `**`.
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

    #[test]
    fn a_publisher_is_read_from_its_token_and_nothing_else_is() {
        let keys = Keys::new("fleet/berlin", "bus-7", "rear").expect("sound");
        let expected =
            Presence { prefix: "fleet/berlin".into(), vehicle: "bus-7".into(), camera: "rear".into(), session: 0xab };
        assert_eq!(keys.alive(0xab), "fleet/berlin/bus-7/rear/alive/000000ab");
        assert_eq!(Presence::from_key(&keys.alive(0xab)), Some(expected));
        for other in ["bus-7/rear/alive/1", "p/v/c/alive", "p/v/c/alive/xyz", "p/v/c/alive/1/2", "p/v\n/c/alive/1", ""]
        {
            assert_eq!(Presence::from_key(other), None, "{other}");
        }
    }
}
