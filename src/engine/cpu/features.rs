//! Maps of network features in host memory, and the pools that they come from.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex};

/// What a network says of a frame: `[channels, rows, cols] f32`, row-major, no padding.
///
/// Cell `(row, col)` covers an equal share of the frame: its centre lies at
/// `((col + 0.5) / cols, (row + 0.5) / rows)` of the frame's width and height.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FeatureMap {
    /// Planes.
    pub channels: usize,
    /// Cells from top to bottom.
    pub rows: usize,
    /// Cells from left to right.
    pub cols: usize,
    /// `channels * rows * cols` values, plane after plane.
    pub values: Vec<f32>,
}

impl FeatureMap {
    /// A map of zeros.
    pub fn zeros(channels: usize, rows: usize, cols: usize) -> Self {
        Self { channels, rows, cols, values: vec![0.0; channels * rows * cols] }
    }

    /// Gives the map another shape; the values are then unspecified. Allocates only to grow.
    pub fn reshape(&mut self, channels: usize, rows: usize, cols: usize) {
        (self.channels, self.rows, self.cols) = (channels, rows, cols);
        self.values.resize(channels * rows * cols, 0.0);
    }

    /// Plane `channel`: `[rows, cols] f32`.
    ///
    /// # Panics
    /// If `channel` is not below `channels`.
    pub fn plane(&self, channel: usize) -> &[f32] {
        let cells = self.rows * self.cols;
        &self.values[channel * cells..(channel + 1) * cells]
    }
}

/// The most idle values a pool keeps: a plain network's key frame has two, is blended from two more and two carried, and
/// the next key frame's two may be on their way.
const MAX_IDLE: usize = 8;

/// Values whose buffers are used again: each comes back when its [`Pooled`] is dropped.
#[derive(Debug)]
pub(crate) struct Pool<T>(Arc<Mutex<Vec<T>>>);

/// A value on loan from an engine's pool, to which it returns when dropped.
#[derive(Debug)]
pub struct Pooled<T: Default> {
    value: T,
    home: Arc<Mutex<Vec<T>>>,
}

impl<T: Default> Pool<T> {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(Vec::with_capacity(MAX_IDLE))))
    }

    /// A value in whatever state its last borrower left it; a new one only if none is idle.
    pub(crate) fn take(&self) -> Pooled<T> {
        let idle = self.0.lock().ok().and_then(|mut idle| idle.pop());
        Pooled { value: idle.unwrap_or_default(), home: Arc::clone(&self.0) }
    }
}

impl<T: Default> Deref for Pooled<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: Default> DerefMut for Pooled<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

impl<T: Default> Drop for Pooled<T> {
    fn drop(&mut self) {
        if let Ok(mut idle) = self.home.lock()
            && idle.len() < MAX_IDLE
        {
            idle.push(std::mem::take(&mut self.value));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_map_is_used_again_and_a_held_one_never() {
        let pool = Pool::<FeatureMap>::new();
        let mut first = pool.take();
        first.reshape(2, 3, 4);
        let address = first.values.as_ptr();
        let held = pool.take();
        drop(first);
        let again = pool.take();
        assert_eq!((again.values.as_ptr(), held.values.len()), (address, 0));
    }

    #[test]
    fn a_plane_is_the_rows_of_one_channel() {
        let mut map = FeatureMap::zeros(2, 1, 2);
        map.values.copy_from_slice(&[1.0, 2.0, 3.0, 4.0]);
        assert_eq!(map.plane(1), [3.0, 4.0]);
    }
}
