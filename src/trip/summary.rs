//! The account of a trip that was written.

use serde::{Serialize, Serializer};
use std::collections::BTreeMap;

/// What a finished trip holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TripSummary {
    /// Messages written, by topic.
    pub messages: BTreeMap<String, u64>,
    /// Bytes of the file.
    pub bytes: u64,
    /// XXH3-64 over the hashes of all masks in order; `None` without masks.
    #[serde(serialize_with = "as_hex")]
    pub mask_hash: Option<u64>,
}

/// 16 hexadecimal digits: JSON's numbers do not hold 64 bits everywhere.
#[allow(clippy::ref_option, reason = "the signature that serde calls")]
fn as_hex<S: Serializer>(hash: &Option<u64>, to: S) -> Result<S::Ok, S::Error> {
    hash.map(|hash| format!("{hash:016x}")).serialize(to)
}
