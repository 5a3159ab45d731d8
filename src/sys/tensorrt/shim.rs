//! The table of functions that the shim gives: the twin of `shim.h`.

use std::ffi::{c_char, c_void};

pub(super) type Log = unsafe extern "C" fn(user: *mut c_void, severity: i32, line: *const c_char);
pub(super) type MakeParser =
    unsafe extern "C" fn(network: *mut c_void, logger: *mut c_void, version: i32) -> *mut c_void;

#[repr(C)]
pub(super) struct TensorDescription {
    pub(super) name: *const c_char,
    pub(super) is_input: i32,
    pub(super) element: i32,
    pub(super) is_linear: i32,
    pub(super) rank: i32,
    pub(super) dims: [i64; 8],
}

#[repr(C)]
pub(super) struct BuildEvents {
    pub(super) user: *mut c_void,
    pub(super) refused: unsafe extern "C" fn(*mut c_void, i32, *const c_char, *const c_char, *const c_char),
    pub(super) plan: unsafe extern "C" fn(*mut c_void, *const c_void, usize),
    pub(super) timing_cache: unsafe extern "C" fn(*mut c_void, *const c_void, usize),
    pub(super) progress: unsafe extern "C" fn(*mut c_void, *const c_char, i32, i32) -> i32,
}

#[repr(C)]
pub(super) struct BuildRequest {
    pub(super) onnx: *const c_void,
    pub(super) onnx_len: usize,
    pub(super) timing_cache: *const c_void,
    pub(super) timing_cache_len: usize,
    pub(super) workspace_bytes: u64,
    pub(super) dla_core: i32,
    pub(super) capabilities: *const i32,
    pub(super) capability_count: i32,
    pub(super) make_parser: MakeParser,
    pub(super) logger: *mut c_void,
    pub(super) parser_version: i32,
    pub(super) events: *const BuildEvents,
}

pub(super) const BUILT: i32 = 0;
pub(super) const NO_NETWORK: i32 = 1;
pub(super) const NO_PARSER: i32 = 2;
pub(super) const ONNX_REFUSED: i32 = 3;
pub(super) const TIMING_CACHE_REFUSED: i32 = 4;
pub(super) const NO_DLA_IN_FAMILY: i32 = 5;
pub(super) const CAPABILITY_REFUSED: i32 = 6;
pub(super) const NO_SUCH_DLA: i32 = 7;

#[repr(C)]
pub(super) struct Shim {
    pub(super) header_version: i32,
    pub(super) logger_new: unsafe extern "C" fn(Log, *mut c_void) -> *mut c_void,
    pub(super) logger_free: unsafe extern "C" fn(*mut c_void),
    pub(super) runtime_free: unsafe extern "C" fn(*mut c_void),
    pub(super) engine_new: unsafe extern "C" fn(*mut c_void, *const c_void, usize, i32) -> *mut c_void,
    pub(super) engine_free: unsafe extern "C" fn(*mut c_void),
    pub(super) engine_tensor_count: unsafe extern "C" fn(*mut c_void) -> i32,
    pub(super) engine_tensor: unsafe extern "C" fn(*mut c_void, i32, *mut TensorDescription) -> i32,
    pub(super) engine_device_bytes: unsafe extern "C" fn(*mut c_void) -> i64,
    pub(super) context_new: unsafe extern "C" fn(*mut c_void) -> *mut c_void,
    pub(super) context_free: unsafe extern "C" fn(*mut c_void),
    pub(super) context_set_shape: unsafe extern "C" fn(*mut c_void, *const c_char, *const i64, i32) -> i32,
    pub(super) context_set_address: unsafe extern "C" fn(*mut c_void, *const c_char, u64) -> i32,
    pub(super) context_enqueue: unsafe extern "C" fn(*mut c_void, *mut c_void) -> i32,
    pub(super) build: unsafe extern "C" fn(*mut c_void, *const BuildRequest) -> i32,
}

unsafe extern "C" {
    #[cfg(segfuse_tensorrt_v10)]
    static segfuse_tensorrt_v10: Shim;
    #[cfg(segfuse_tensorrt_v11)]
    static segfuse_tensorrt_v11: Shim;
    #[cfg(segfuse_tensorrt_rtx)]
    static segfuse_tensorrt_rtx: Shim;
}

/// The shim for libraries of this major version, if headers of its family were there when the program was built.
pub(super) fn of_family(major: i32) -> Option<&'static Shim> {
    match major {
        #[cfg(segfuse_tensorrt_v10)]
        // SAFETY: a constant of the object that build.rs compiled for this family, laid out as `shim.h` and `Shim` say.
        10 => Some(unsafe { &segfuse_tensorrt_v10 }),
        #[cfg(segfuse_tensorrt_v11)]
        // SAFETY: as above.
        11 => Some(unsafe { &segfuse_tensorrt_v11 }),
        #[cfg(segfuse_tensorrt_rtx)]
        // SAFETY: as above.
        1 => Some(unsafe { &segfuse_tensorrt_rtx }),
        _ => None,
    }
}
