//! A plan at work: its own intermediate results, on one stream at a time.

use super::library::Object;
use super::{DeviceSpan, Engine, Library, Stream, Tensor, TensorRtError};
use std::ffi::CString;
use std::ptr::NonNull;
use std::sync::Arc;

/// An execution context. Wait for what it was to run before it goes: its intermediate results go with it.
#[derive(Debug)]
pub struct Context {
    engine: Arc<Engine>,
    object: Object,
    /// With the shapes that were set.
    tensors: Vec<Tensor>,
    names: Vec<CString>,
}

impl Context {
    /// Takes [`Engine::device_bytes`] of device memory.
    pub fn new(engine: &Arc<Engine>) -> Result<Self, TensorRtError> {
        let library = &engine.runtime.library;
        library.journal.tell();
        // SAFETY: the engine is alive.
        let made = unsafe { (library.shim.context_new)(engine.object.raw()) };
        let no_context =
            || TensorRtError::NoContext { device_bytes: engine.device_bytes(), told: library.journal.take() };
        let object = NonNull::new(made).map(Object).ok_or_else(no_context)?;
        let tensors = engine.tensors().to_vec();
        let names = tensors.iter().map(|tensor| CString::new(tensor.name.as_str()).unwrap_or_default()).collect();
        Ok(Self { engine: Arc::clone(engine), object, tensors, names })
    }

    /// Inputs and outputs, in the plan's order.
    pub fn tensors(&self) -> &[Tensor] {
        &self.tensors
    }

    /// Chooses the shape of an input that has free axes.
    pub fn set_shape(&mut self, name: &str, shape: &[i64]) -> Result<(), TensorRtError> {
        let index = self.index(name)?;
        let journal = self.library().journal;
        journal.tell();
        let (object, raw_name) = (self.object.raw(), self.names[index].as_ptr());
        let set = self.library().shim.context_set_shape;
        // SAFETY: the context is alive and not shared; name and shape are read during the call only.
        if shape.len() > 8 || unsafe { set(object, raw_name, shape.as_ptr(), shape.len() as i32) } == 0 {
            let told = journal.take();
            return Err(TensorRtError::ShapeRefused { name: name.to_owned(), shape: shape.to_vec(), told });
        }
        self.tensors[index].shape = shape.to_vec();
        Ok(())
    }

    /// Enqueues a run on `stream`; `memory` names every input and output and gives its memory, laid out in rows.
    ///
    /// Returns before the run is over. The first run of a context takes longer than the others. On a stream that is
    /// captured it becomes part of the graph, if it ran once before.
    pub fn enqueue(&mut self, stream: Stream<'_>, memory: &[(&str, DeviceSpan<'_>)]) -> Result<(), TensorRtError> {
        for (name, span) in memory {
            self.set_address(name, *span)?;
        }
        if let Some(forgotten) = self.tensors.iter().find(|tensor| memory.iter().all(|(name, _)| *name != tensor.name))
        {
            return Err(TensorRtError::NoAddress { name: forgotten.name.clone(), told: "none named".into() });
        }
        let library = self.library();
        library.journal.tell();
        // SAFETY: the context is alive and not shared; every tensor was given memory of its size just now, which whoever
        // made the spans keeps until the run is over.
        let enqueued = unsafe { (library.shim.context_enqueue)(self.object.raw(), stream.raw()) };
        if enqueued == 0 { Err(TensorRtError::NotRun { told: library.journal.take() }) } else { Ok(()) }
    }

    fn set_address(&mut self, name: &str, span: DeviceSpan<'_>) -> Result<(), TensorRtError> {
        let index = self.index(name)?;
        let tensor = &self.tensors[index];
        let free = || TensorRtError::ShapeRefused {
            name: name.to_owned(),
            shape: tensor.shape.clone(),
            told: "its size is not fixed: set the shape of an input; an output of free size is not supported".into(),
        };
        let expected = tensor.bytes().ok_or_else(free)?;
        if expected != span.bytes() {
            return Err(TensorRtError::WrongSize { name: name.to_owned(), expected, got: span.bytes() });
        }
        let library = self.library();
        library.journal.tell();
        let set = library.shim.context_set_address;
        // SAFETY: the context is alive and not shared; the memory is as long as the tensor, as compared above.
        if unsafe { set(self.object.raw(), self.names[index].as_ptr(), span.address()) } == 0 {
            return Err(TensorRtError::NoAddress { name: name.to_owned(), told: library.journal.take() });
        }
        Ok(())
    }

    fn index(&self, name: &str) -> Result<usize, TensorRtError> {
        let known = || self.tensors.iter().map(|tensor| tensor.name.as_str()).collect::<Vec<_>>().join(", ");
        let index = self.tensors.iter().position(|tensor| tensor.name == name);
        index.ok_or_else(|| TensorRtError::NoTensor { name: name.to_owned(), known: known() })
    }

    fn library(&self) -> &Library {
        &self.engine.runtime.library
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: made by this library, freed once; its engine is still there.
        unsafe { (self.library().shim.context_free)(self.object.raw()) }
    }
}
