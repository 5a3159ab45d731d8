//! What a plan serves.

use crate::sys::cuda::Device;
use crate::sys::tensorrt::{Capability, Flavour, Library};
use serde::{Deserialize, Serialize};
use std::fmt;
use xxhash_rust::xxh3::xxh3_64;

/// The kind of GPU that plans are for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gpu {
    /// Its product name.
    pub name: String,
    /// What it can do.
    pub capability: Capability,
    /// Its streaming multiprocessors: Jetsons of one name and capability differ in them, and a power mode changes them.
    /// None of a GPU that is not there.
    pub multiprocessors: Option<u32>,
}

impl From<&Device> for Gpu {
    fn from(device: &Device) -> Self {
        let (major, minor) = device.info().capability;
        let capability = Capability { major: major as i32, minor: minor as i32 };
        let multiprocessors = Some(device.info().multiprocessors);
        Self { name: device.info().name.clone(), capability, multiprocessors }
    }
}

impl fmt::Display for Gpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (compute capability {})", self.name, self.capability)
    }
}

/// All that must be the same for a plan to be used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanKey {
    /// The network's name: for people, two networks may share one.
    pub network: String,
    /// `backbone`, `head` or `correction`.
    pub graph: String,
    /// XXH3-64 of the graph's ONNX file, in hexadecimal digits.
    pub onnx: String,
    /// `TensorRT` or `TensorRT-RTX`.
    pub library: String,
    /// The library's version.
    pub version: String,
    /// The GPU's name; `any` for plans of TensorRT-RTX, which serve every GPU of a compute capability.
    pub gpu: String,
    /// The GPU's compute capability.
    pub capability: String,
    /// The GPU's streaming multiprocessors, for which TensorRT chooses; none for plans of TensorRT-RTX.
    pub multiprocessors: Option<u32>,
    /// The deep-learning accelerator that it was built for.
    pub dla_core: Option<u8>,
}

impl PlanKey {
    /// Of one of a network's graphs, which is `onnx`.
    pub(super) fn new(
        (network, graph, onnx): (&str, &str, &[u8]),
        library: &Library,
        gpu: &Gpu,
        dla_core: Option<u8>,
    ) -> Self {
        let (name, multiprocessors) = chosen_for(library, gpu);
        Self {
            network: network.into(),
            graph: graph.into(),
            onnx: format!("{:016x}", xxh3_64(onnx)),
            library: library.flavour().to_string(),
            version: library.version().to_string(),
            gpu: name.into(),
            capability: gpu.capability.to_string(),
            multiprocessors,
            dla_core,
        }
    }

    /// Whether such a plan runs here, by this library on this GPU.
    pub fn fits(&self, library: &Library, gpu: &Gpu) -> bool {
        let (name, multiprocessors) = chosen_for(library, gpu);
        self.library == library.flavour().to_string()
            && self.version == library.version().to_string()
            && self.capability == gpu.capability.to_string()
            && (self.gpu.as_str(), self.multiprocessors) == (name, multiprocessors)
    }

    /// The file that such a plan is kept in. Without the version and the multiprocessors: a plan of others is found, told
    /// and replaced.
    pub(super) fn file_name(&self) -> String {
        let dla = self.dla_core.map(|core| format!(".dla{core}")).unwrap_or_default();
        let words = [&self.network, &self.graph, &self.onnx, &self.library, &self.gpu].map(|word| slug(word));
        format!("{}.sm{}{dla}.plan", words.join("."), self.capability.replace('.', ""))
    }

    /// The file of what builds with this library on this GPU have measured.
    pub(super) fn timing_file_name(&self) -> String {
        format!("{}.{}.sm{}.timing", slug(&self.library), slug(&self.gpu), self.capability.replace('.', ""))
    }

    /// What differs, in words.
    pub(super) fn difference(&self, found: &Self) -> String {
        let [own_count, its_count] = [self, found].map(|key| key.multiprocessors.unwrap_or(0).to_string());
        let pairs = [
            ("network", &self.network, &found.network),
            ("graph", &self.graph, &found.graph),
            ("ONNX file", &self.onnx, &found.onnx),
            ("library", &self.library, &found.library),
            ("version", &self.version, &found.version),
            ("GPU", &self.gpu, &found.gpu),
            ("compute capability", &self.capability, &found.capability),
            ("multiprocessors", &own_count, &its_count),
        ];
        let differing = pairs.into_iter().filter(|(_, wanted, found)| wanted != found);
        let told = differing.map(|(what, wanted, found)| format!("it is for {what} {found}, here is {wanted}"));
        told.collect::<Vec<_>>().join("; ")
    }
}

/// The GPU's name and multiprocessors, if a plan is for them and not for all of a compute capability.
fn chosen_for<'a>(library: &Library, gpu: &'a Gpu) -> (&'a str, Option<u32>) {
    match library.flavour() {
        Flavour::TensorRt => (&gpu.name, gpu.multiprocessors),
        Flavour::Rtx => ("any", None),
    }
}

impl fmt::Display for PlanKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { network, graph, library, version, gpu, capability, .. } = self;
        write!(f, "{network} {graph}: {library} {version}, GPU {gpu}, compute capability {capability}")?;
        self.dla_core.map_or(Ok(()), |core| write!(f, ", DLA core {core}"))
    }
}

/// A word of a file name.
fn slug(word: &str) -> String {
    let plain = word.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' });
    plain.collect::<String>().trim_matches('-').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> PlanKey {
        PlanKey {
            network: "small".into(),
            graph: "head".into(),
            onnx: "0123456789abcdef".into(),
            library: "TensorRT".into(),
            version: "10.3.0".into(),
            gpu: "Orin (nvgpu)".into(),
            capability: "8.7".into(),
            multiprocessors: Some(8),
            dla_core: None,
        }
    }

    #[test]
    fn the_file_is_named_after_everything_but_the_version_and_the_multiprocessors() {
        assert_eq!(key().file_name(), "small.head.0123456789abcdef.tensorrt.orin--nvgpu.sm87.plan");
        assert_eq!(PlanKey { version: "10.13.0".into(), ..key() }.file_name(), key().file_name());
        assert_eq!(PlanKey { multiprocessors: Some(16), ..key() }.file_name(), key().file_name());
        assert_ne!(PlanKey { dla_core: Some(0), ..key() }.file_name(), key().file_name());
        assert_ne!(PlanKey { capability: "11.0".into(), ..key() }.file_name(), key().file_name());
    }

    #[test]
    fn what_differs_is_told() {
        let newer = PlanKey { version: "10.13.0".into(), ..key() };
        assert_eq!(newer.difference(&key()), "it is for version 10.3.0, here is 10.13.0");
        let larger = PlanKey { multiprocessors: Some(16), ..key() };
        assert_eq!(larger.difference(&key()), "it is for multiprocessors 8, here is 16");
    }
}
