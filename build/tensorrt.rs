//! Finds TensorRT's headers and compiles the shim for each family of them.

use std::collections::BTreeMap;
use std::env;
use std::path::{Path, PathBuf};

const FOLDERS: &str = "SEGFUSE_TENSORRT_HEADERS";
/// What the header packages of JetPack and of NVIDIA's Debian repository install into.
const SYSTEM: [&str; 3] = ["/usr/include/aarch64-linux-gnu", "/usr/include/x86_64-linux-gnu", "/usr/include"];
/// By the major version of the headers: the family's tag. TensorRT-RTX counts from 1.
const FAMILIES: [(u32, &str); 3] = [(10, "v10"), (11, "v11"), (1, "rtx")];

/// One object a family, and a `cfg(segfuse_tensorrt_v10)` and so on for the Rust side.
pub(crate) fn compile_shims() -> Result<(), String> {
    let shim = Path::new("src/sys/tensorrt");
    println!("cargo::rerun-if-env-changed={FOLDERS}");
    for file in ["shim.cpp", "shim.h", "include/cuda_runtime_api.h"] {
        println!("cargo::rerun-if-changed={}", shim.join(file).display());
    }
    for (_, tag) in FAMILIES {
        println!("cargo::rustc-check-cfg=cfg(segfuse_tensorrt_{tag})");
    }
    let found = headers()?;
    for (tag, folder) in &found {
        println!("cargo::rerun-if-changed={}", folder.join("NvInferVersion.h").display());
        println!("cargo::rustc-cfg=segfuse_tensorrt_{tag}");
        let mut compiler = cc::Build::new();
        compiler.cpp(true).std("c++17").file(shim.join("shim.cpp"));
        compiler.include(shim.join("include")).include(shim);
        // Their headers are not ours to warn about.
        compiler.flag("-isystem").flag(folder.to_string_lossy().as_ref()).flag("-fno-exceptions");
        compiler.flag_if_supported("-Wno-deprecated-declarations");
        compiler.define("SHIM_NAME", format!("segfuse_tensorrt_{tag}").as_str());
        for namespace in ["nvinfer1", "nvonnxparser"] {
            compiler.define(namespace, format!("{namespace}_{tag}").as_str());
        }
        let outcome = compiler.try_compile(&format!("segfuse_tensorrt_{tag}"));
        outcome.map_err(|error| {
            format!(
                "{}: the shim does not compile with these headers: {error}; a C++17 compiler is needed",
                folder.display()
            )
        })?;
    }
    Ok(())
}

/// Folders of headers by their family's tag, the first found of each.
fn headers() -> Result<BTreeMap<&'static str, PathBuf>, String> {
    let given = env::var_os(FOLDERS).filter(|folders| !folders.is_empty());
    let fetched =
        Path::new(&env::var("CARGO_MANIFEST_DIR").map_err(|error| error.to_string())?).join("target/tensorrt/headers");
    let folders: Vec<PathBuf> = match &given {
        Some(folders) => env::split_paths(folders).collect(),
        None => ["10", "11", "rtx"]
            .map(|family| fetched.join(family))
            .into_iter()
            .chain(SYSTEM.map(PathBuf::from))
            .collect(),
    };
    let mut found = BTreeMap::new();
    for folder in folders {
        match (major_version(&folder), &given) {
            (Some(_), _) if !folder.join("NvOnnxParser.h").is_file() => {
                return Err(format!(
                    "{}: TensorRT's headers without NvOnnxParser.h: install libnvonnxparsers-dev",
                    folder.display()
                ));
            }
            (Some(major), _) => {
                let family = FAMILIES.iter().find(|(known, _)| *known == major);
                let (_, tag) = family.ok_or_else(|| {
                    format!(
                        "{}: headers of TensorRT {major}; families 10, 11 and TensorRT-RTX 1 are known",
                        folder.display()
                    )
                })?;
                found.entry(*tag).or_insert(folder);
            }
            (None, Some(_)) => {
                return Err(format!("{FOLDERS}: {}: no NvInferVersion.h with a version in it", folder.display()));
            }
            (None, None) => (),
        }
    }
    if found.is_empty() {
        return Err(format!(
            "the feature `tensorrt` needs TensorRT's headers, and there are none in {} or {}: run scripts/tensorrt-headers, \
             or install libnvinfer-headers-dev and libnvonnxparsers-dev (JetPack has them), or name their folders in {FOLDERS}",
            fetched.display(),
            SYSTEM.join(", ")
        ));
    }
    Ok(found)
}

/// The major version that a folder's `NvInferVersion.h` states, under one of the names that it has had.
fn major_version(folder: &Path) -> Option<u32> {
    let text = std::fs::read_to_string(folder.join("NvInferVersion.h")).ok()?;
    let defined = |name: &str| {
        let mut words = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        words.find_map(|words| match words[..] {
            ["#define", defined, value, ..] if defined == name => value.parse().ok(),
            _ => None,
        })
    };
    ["TRT_MAJOR_RTX", "TRT_MAJOR_ENTERPRISE", "NV_TENSORRT_MAJOR"].into_iter().find_map(defined)
}
