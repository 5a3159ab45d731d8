//! Plans, loaded: a network compiled for one GPU by one version of TensorRT.

use super::library::Object;
use super::shim::TensorDescription;
use super::{Element, Library, Tensor, TensorRtError};
use std::ffi::CStr;
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, PoisonError};

/// What loads plans.
#[derive(Debug)]
pub struct Runtime {
    pub(super) library: Arc<Library>,
    /// TensorRT does not say that one runtime may load several plans at a time: one at a time.
    object: Mutex<Object>,
}

impl Runtime {
    /// Needs a driver and a GPU.
    pub fn new(library: &Arc<Library>) -> Result<Arc<Self>, TensorRtError> {
        let object = Mutex::new(library.make_runtime()?);
        Ok(Arc::new(Self { library: Arc::clone(library), object }))
    }

    /// Loads a plan; `dla_core` is the accelerator that it was built for, if it was built for one.
    ///
    /// A plan is trusted as a program is: one that was tampered with can make TensorRT do anything.
    pub fn deserialize(self: &Arc<Self>, plan: &[u8], dla_core: Option<u8>) -> Result<Arc<Engine>, TensorRtError> {
        let (shim, journal) = (self.library.shim, self.library.journal);
        let runtime = self.object.lock().unwrap_or_else(PoisonError::into_inner);
        journal.tell();
        let core = dla_core.map_or(-1, i32::from);
        // SAFETY: the runtime is alive and locked; the bytes are read during the call only.
        let engine = unsafe { (shim.engine_new)(runtime.raw(), plan.as_ptr().cast(), plan.len(), core) };
        drop(runtime);
        let object = NonNull::new(engine).map(Object).ok_or_else(|| {
            let told = journal.take();
            let is_full = told.contains("OutOfMemory");
            if is_full { TensorRtError::NoRoom { told } } else { TensorRtError::PlanRefused { told } }
        })?;
        let mut engine = Engine { runtime: Arc::clone(self), object, tensors: Vec::new() };
        engine.tensors = engine.describe()?;
        journal.tell();
        Ok(Arc::new(engine))
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        let object = *self.object.get_mut().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: made by this library, freed once, and no engine is left: each keeps its runtime alive.
        unsafe { (self.library.shim.runtime_free)(object.raw()) }
    }
}

/// A loaded plan.
#[derive(Debug)]
pub struct Engine {
    pub(super) runtime: Arc<Runtime>,
    pub(super) object: Object,
    tensors: Vec<Tensor>,
}

// SAFETY: TensorRT lets several threads use one engine; whatever changes is in contexts.
unsafe impl Sync for Engine {}

impl Engine {
    /// Inputs and outputs, in the plan's order.
    pub fn tensors(&self) -> &[Tensor] {
        &self.tensors
    }

    /// Device memory that each context takes for intermediate results: bytes.
    pub fn device_bytes(&self) -> i64 {
        // SAFETY: the engine is alive.
        unsafe { (self.runtime.library.shim.engine_device_bytes)(self.object.raw()) }
    }

    fn describe(&self) -> Result<Vec<Tensor>, TensorRtError> {
        // SAFETY: the engine is alive.
        let count = unsafe { (self.runtime.library.shim.engine_tensor_count)(self.object.raw()) };
        (0..count).map(|index| self.tensor(index)).collect()
    }

    fn tensor(&self, index: i32) -> Result<Tensor, TensorRtError> {
        let mut told =
            TensorDescription { name: std::ptr::null(), is_input: 0, element: 0, is_linear: 0, rank: 0, dims: [0; 8] };
        // SAFETY: the engine is alive, and `told` is laid out as the shim says.
        let known = unsafe { (self.runtime.library.shim.engine_tensor)(self.object.raw(), index, &raw mut told) };
        let shape = usize::try_from(told.rank).ok().and_then(|rank| told.dims.get(..rank));
        let (Some(shape), 1..) = (shape, known) else {
            let told = format!("input or output {index} has no name, or a shape of {} axes", told.rank);
            return Err(TensorRtError::PlanRefused { told });
        };
        // SAFETY: the shim gave it, for it said that there is one: a text that lives as long as the engine.
        let name = unsafe { CStr::from_ptr(told.name) }.to_string_lossy().into_owned();
        if told.is_linear == 0 {
            let told = format!("'{name}' is not laid out plane after plane and row after row");
            return Err(TensorRtError::PlanRefused { told });
        }
        Ok(Tensor {
            name,
            is_input: told.is_input != 0,
            element: Element::from_number(told.element),
            shape: shape.to_vec(),
        })
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // SAFETY: made by this library, freed once, and no context is left: each keeps its engine alive.
        unsafe { (self.runtime.library.shim.engine_free)(self.object.raw()) }
    }
}
