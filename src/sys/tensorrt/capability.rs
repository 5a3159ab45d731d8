//! What a GPU can do, by NVIDIA's count.

use std::fmt;
use std::str::FromStr;

/// A compute capability: 8.7 is Jetson Orin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capability {
    /// 8 of 8.7.
    pub major: i32,
    /// 7 of 8.7.
    pub minor: i32,
}

impl Capability {
    /// 87 of 8.7, as compilers name it.
    pub fn number(self) -> i32 {
        self.major * 10 + self.minor
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

impl FromStr for Capability {
    type Err = String;
    /// Reads `8.7`.
    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once('.').and_then(|(major, minor)| {
            let digits = |part: &str| part.parse::<u8>().ok().map(i32::from);
            Some(Self { major: digits(major)?, minor: digits(minor).filter(|minor| *minor < 10)? })
        });
        parts.ok_or_else(|| format!("'{text}' is no compute capability: write one such as 8.7"))
    }
}
