//! How a run, and the recording of it, came to its end.

use std::fmt;

/// How a run ended. A recording keeps it, so that a part is never taken for the whole.
///
/// ```
/// use segfuse::data::Ending;
/// let full = Ending::Failed("no space".into());
/// assert_eq!(Ending::from_words(full.word(), full.reason()), Some(full.clone()));
/// assert_eq!(full.to_string(), "failed: no space");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Ending {
    /// Its source had nothing more.
    Complete,
    /// The user stopped it.
    Interrupted,
    /// Something failed for good; in words.
    Failed(String),
}

impl Ending {
    /// `complete`, `interrupted` or `failed`.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Interrupted => "interrupted",
            Self::Failed(_) => "failed",
        }
    }

    /// What failed.
    pub fn reason(&self) -> Option<&str> {
        if let Self::Failed(reason) = self { Some(reason) } else { None }
    }

    /// The ending that [`Ending::word`] and [`Ending::reason`] tell of; `None` for any other word.
    pub fn from_words(word: &str, reason: Option<&str>) -> Option<Self> {
        match word {
            "complete" => Some(Self::Complete),
            "interrupted" => Some(Self::Interrupted),
            "failed" => Some(Self::Failed(reason.unwrap_or("no reason given").to_owned())),
            _ => None,
        }
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())?;
        self.reason().map_or(Ok(()), |reason| write!(f, ": {reason}"))
    }
}
