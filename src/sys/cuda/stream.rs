//! Streams of work, the order and time between them, and graphs of work that are launched as one.

use super::device::Device;
use super::error::{At, CudaError};
use super::launch::Launch;
use super::memory::{DeviceBuffer, Element, Memory, Pool};
use super::replay::PutOff;
use cudarc::driver::sys::{CUevent_flags, CUgraphInstantiate_flags, CUstream, CUstreamCaptureMode};
use cudarc::driver::{CudaEvent, CudaGraph, CudaStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Work that is done in the order in which it was asked for, beside the host's.
///
/// Dropped, it waits for its work, so that nothing is taken away under a kernel.
#[derive(Debug)]
pub struct Stream {
    // Graphs of launches go before the device whose kernels are in them.
    put_off: Option<Mutex<PutOff>>,
    inner: Arc<CudaStream>,
    pool: Arc<Pool>,
    device: Device,
    /// What the work uses that is being captured.
    captured: Mutex<Option<Vec<Arc<Memory>>>>,
}

impl Stream {
    pub(super) fn new(device: &Device, priority: i32) -> Result<Self, CudaError> {
        let inner = device.context.new_stream_with_priority(priority).at("making a stream")?;
        Ok(Self { put_off: None, inner, pool: Arc::default(), device: device.clone(), captured: Mutex::new(None) })
    }

    /// The same, with launches put off until they are waited for, and then asked for as one graph.
    pub(super) fn in_graphs(mut self) -> Self {
        self.put_off = Some(Mutex::default());
        self
    }

    /// The device that it is of.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Waits until everything asked of it is done; tells what failed of it.
    pub fn synchronize(&self) -> Result<(), CudaError> {
        self.ask_for_all()?;
        self.inner.synchronize().at("waiting for what the GPU was asked to do")
    }

    /// A mark after all the work asked for so far.
    pub fn mark(&self) -> Result<Event, CudaError> {
        self.ask_for_all()?;
        let event = self.device.context.new_event(Some(CUevent_flags::CU_EVENT_DEFAULT)).at("making an event")?;
        event.record(&self.inner).at("recording an event")?;
        Ok(Event(event))
    }

    /// Lets what is asked of it from now on wait for what was asked of another stream before `event`.
    pub fn wait_for(&self, event: &Event) -> Result<(), CudaError> {
        self.ask_for_all()?;
        self.inner.wait(&event.0).at("waiting for another stream")
    }

    /// Captures what `work` asks of this stream instead of doing it. Buffers have to be there already: none can be made
    /// meanwhile, and nothing can be up- or downloaded.
    ///
    /// The graph keeps the memory of all buffers that the work uses, and computes on what is in them when it is launched.
    pub fn capture(&self, work: impl FnOnce(&Self) -> Result<(), CudaError>) -> Result<Graph, CudaError> {
        self.ask_for_all()?;
        *self.captured() = Some(Vec::new());
        let began = self.inner.begin_capture(CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL);
        let asked = began.at("beginning to capture").and_then(|()| work(self));
        // Ended also if the work failed: a stream that is left capturing takes no more work.
        let ended = self.inner.end_capture(CUgraphInstantiate_flags(0)).at("capturing");
        let uses = self.captured().take().unwrap_or_default();
        asked?;
        let graph = ended?.ok_or_else(|| CudaError::shape("capture", "work", "some", "none"))?;
        Ok(Graph { captured: graph, uses, device: self.device.clone() })
    }

    /// Asks for a launch, now or later.
    pub(super) fn ask(&self, launch: Launch) -> Result<(), CudaError> {
        match &self.put_off {
            Some(put_off) if self.captured().is_none() => {
                let mut put_off = put_off.lock().unwrap_or_else(PoisonError::into_inner);
                if put_off.note(launch) { put_off.ask(self) } else { Ok(()) }
            }
            _ => launch.ask(self),
        }
    }

    /// Asks for what was put off: whatever else is asked of the stream comes behind it.
    pub(super) fn ask_for_all(&self) -> Result<(), CudaError> {
        let asked = self.put_off.as_ref().map_or(Ok(()), |put_off| {
            self.device.context.bind_to_thread().at("choosing the GPU")?;
            put_off.lock().unwrap_or_else(PoisonError::into_inner).ask(self)
        });
        // Nothing is freed while a stream is captured: that would spoil the capture.
        if self.captured().is_none() {
            self.pool.free_retired();
        }
        asked
    }

    /// The stream as the driver and other libraries take it. [`Self::ask_for_all`] comes first.
    pub(super) fn handle(&self) -> CUstream {
        self.inner.cu_stream()
    }

    fn captured(&self) -> MutexGuard<'_, Option<Vec<Arc<Memory>>>> {
        self.captured.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn inner(&self) -> &CudaStream {
        &self.inner
    }

    pub(super) fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    /// Keeps a buffer's memory for a graph that is being captured.
    pub(super) fn keep<T: Element>(&self, buffer: &DeviceBuffer<T>) {
        let mut captured = self.captured();
        if let (Some(uses), Some(memory)) = (captured.as_mut(), buffer.memory()) {
            uses.push(Arc::clone(memory));
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // A failure of the work was told to who waited for its result; nobody waits for this.
        let _ = self.synchronize();
    }
}

/// A mark in a stream's work.
#[derive(Debug)]
pub struct Event(CudaEvent);

impl Event {
    /// Whether the work before it is done.
    ///
    /// # Errors
    /// What failed of that work.
    pub fn has_passed(&self) -> Result<bool, CudaError> {
        self.0.try_is_complete().at("asking whether the GPU is through")
    }

    /// Waits for the work before it.
    pub fn wait(&self) -> Result<(), CudaError> {
        self.0.synchronize().at("waiting for what the GPU was asked to do")
    }

    /// Milliseconds from an earlier mark to this one, on the device's clock; waits for both.
    pub fn ms_since(&self, earlier: &Self) -> Result<f32, CudaError> {
        earlier.0.elapsed_ms(&self.0).at("reading the GPU's clock")
    }
}

/// Work that was captured.
pub struct Graph {
    captured: CudaGraph,
    /// Kept from being freed or used for anything else.
    uses: Vec<Arc<Memory>>,
    /// Whose kernels are in it.
    device: Device,
}

impl Graph {
    /// Asks for all of it once more, on the stream that it was captured from.
    pub fn launch(&self) -> Result<(), CudaError> {
        self.captured.launch().at("launching a graph")
    }
}

impl std::fmt::Debug for Graph {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Graph")
            .field("device", &self.device.info().name)
            .field("buffers", &self.uses.len())
            .finish_non_exhaustive()
    }
}
