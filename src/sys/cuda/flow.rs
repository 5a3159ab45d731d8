//! `kernels/flow.cu`: grey pyramids, and the flow between two of them.

use super::error::CudaError;
use super::launch::{Grid, argument, int, side};
use super::map::{DeviceMap, expect_shape};
use super::memory::DeviceBuffer;
use super::stream::Stream;

/// What the search leaves between its kernels, for pyramids of one size; made ready by the one for the other.
#[derive(Debug, Default)]
pub struct FlowScratch {
    buffers: Option<(DeviceBuffer<f32>, DeviceBuffer<i32>)>,
    /// Of the levels that it is for.
    levels: heapless::Vec<(usize, usize), 5>,
}

/// Copies of the edge pixels around each level.
const FRAME: usize = 16;
/// Pixels of a patch's side, and from patch to patch.
const PATCH: usize = 8;
const APART: usize = PATCH / 2;
/// One level more while both sides are at least this.
const DIVISIBLE: usize = 32;
/// The longest side of level 0; with it no more than five levels.
const MAX_FINEST: usize = 320;

/// A frame's brightness at several scales: each level framed by its edge, the finest first.
#[derive(Debug)]
pub struct DevicePyramid {
    buffer: DeviceBuffer<f32>,
    picture: (usize, usize),
    reduction: usize,
    /// Width and height of each level without its frame.
    levels: heapless::Vec<(usize, usize), 5>,
}

impl DevicePyramid {
    /// Width and height of level 0 with its frame.
    pub(super) fn framed(&self) -> (usize, usize) {
        let (width, height) = self.levels[0];
        (width + 2 * FRAME, height + 2 * FRAME)
    }

    pub(super) fn address(&self) -> u64 {
        self.buffer.address()
    }

    /// Pixels of the picture to one of level 0, both ways.
    pub fn reduction(&self) -> usize {
        self.reduction
    }

    /// Width and height of each level, the finest first.
    pub fn levels(&self) -> &[(usize, usize)] {
        &self.levels
    }

    /// All levels, framed, one after the other.
    pub fn buffer(&self) -> &DeviceBuffer<f32> {
        &self.buffer
    }

    /// Refuses a picture of another size than the pyramid was made for.
    pub(super) fn check_is_of(&self, width: usize, height: usize) -> Result<(), CudaError> {
        if self.picture == (width, height) {
            return Ok(());
        }
        let shown = |(width, height): (usize, usize)| format!("{width}x{height}");
        Err(CudaError::shape("preprocess", "pyramid's picture", shown((width, height)), shown(self.picture)))
    }

    /// Rows and columns of patches on each level.
    fn patches(&self) -> impl Iterator<Item = (usize, usize)> {
        self.levels.iter().map(|(width, height)| (patches(*height), patches(*width)))
    }

    /// Whether a patch fits into the finest level: without one nothing is taken to have moved.
    fn is_searchable(&self) -> bool {
        let (width, height) = self.levels[0];
        width.min(height) >= PATCH
    }
}

fn patches(side: usize) -> usize {
    if side < PATCH { 0 } else { (side - PATCH) / APART + 1 }
}

/// Widths and heights, the finest first; `None` if level 0 is longer than the kernels take.
fn levels(finest: (usize, usize)) -> Option<heapless::Vec<(usize, usize), 5>> {
    let mut levels = heapless::Vec::new();
    let (mut width, mut height) = finest;
    if width.max(height) > MAX_FINEST {
        return None;
    }
    levels.push((width, height)).ok()?;
    while width.min(height) >= DIVISIBLE {
        (width, height) = (width / 2, height / 2);
        levels.push((width, height)).ok()?;
    }
    Some(levels)
}

impl Stream {
    /// Room for the pyramid of a picture, reduced by a whole number, both ways, to level 0.
    ///
    /// # Errors
    /// [`CudaError::Shape`] if level 0 would be longer than 320 pixels.
    pub fn pyramid(&self, (width, height): (usize, usize), reduction: usize) -> Result<DevicePyramid, CudaError> {
        side("build_pyramid", "width of the picture", width)?;
        side("build_pyramid", "height of the picture", height)?;
        side("build_pyramid", "reduction", reduction)?;
        let finest = (width / reduction.min(width), height / reduction.min(height));
        let shown = || format!("{}x{}", finest.0, finest.1);
        let levels = levels(finest).ok_or_else(|| {
            CudaError::shape("build_pyramid", "level 0", format!("sides of at most {MAX_FINEST}"), shown())
        })?;
        let count = levels.iter().map(|(width, height)| (width + 2 * FRAME) * (height + 2 * FRAME)).sum();
        Ok(DevicePyramid { buffer: self.buffer(count)?, picture: (width, height), reduction, levels })
    }

    /// All levels but the finest, which is there.
    pub(super) fn build_pyramid(&self, pyramid: &mut DevicePyramid) -> Result<(), CudaError> {
        self.keep(&pyramid.buffer);
        let (width, height) = pyramid.levels[0];
        let framed = |side: usize, block: usize| (side / 2 + 2 * FRAME).div_ceil(block);
        let grid = Grid { blocks: (framed(width, 32), framed(height, 8), pyramid.levels.len() - 1), threads: (32, 8) };
        // SAFETY: the parameters of `build_pyramid`, in order. It stays within the levels that these sides have, for
        // which the buffer was made.
        unsafe {
            self.launch(
                &self.device().kernels.build_pyramid,
                grid,
                &[argument(&pyramid.address()), argument(&(width as i32)), argument(&(height as i32))],
            )
        }
    }

    /// Writes into `flow` `[2, rows, cols]` where in `earlier` the content of each cell over `current` was: x then y, in
    /// cells. A `prior` of the same kind, on any grid, says where to look first.
    ///
    /// Pyramids of different pictures, and those too small for a patch, are taken not to have moved. `scratch` is kept from
    /// call to call.
    ///
    /// # Errors
    /// [`CudaError::Shape`] if a field has not two planes.
    pub fn estimate_flow(
        &self,
        (earlier, current): (&DevicePyramid, &DevicePyramid),
        prior: Option<&DeviceMap<f32>>,
        scratch: &mut FlowScratch,
        flow: &mut DeviceMap<f32>,
    ) -> Result<(), CudaError> {
        let [_, rows, cols] = flow.shape();
        expect_shape("sample_flow", "flow", [2, rows, cols], flow.shape())?;
        side("sample_flow", "rows of the flow", rows)?;
        side("sample_flow", "columns of the flow", cols)?;
        let alike = (earlier.picture, earlier.reduction) == (current.picture, current.reduction);
        if !alike || !current.is_searchable() {
            return self.fill(flow.buffer_mut(), 0);
        }
        // Taken away, so that a search that failed half-way leaves nothing that looks ready.
        let (between, progress) = match scratch.buffers.take().filter(|_| scratch.levels == current.levels) {
            Some(buffers) => buffers,
            None => self.flow_scratch(current)?,
        };
        self.match_patches(earlier, current, prior, (&between, &progress))?;
        self.sample_flow(current, (&between, &progress), flow)?;
        *scratch = FlowScratch { buffers: Some((between, progress)), levels: current.levels.clone() };
        Ok(())
    }

    /// Room for a search, as `match_patches` wants to find it.
    fn flow_scratch(&self, current: &DevicePyramid) -> Result<(DeviceBuffer<f32>, DeviceBuffer<i32>), CudaError> {
        let between = current.patches().map(|(rows, cols)| 8 * rows * cols + 2 * (rows + 1) * (cols + 1)).sum();
        let progress = current.patches().map(|(rows, _)| rows + 1).sum::<usize>() + 1;
        let (mut between, mut progress) = (self.buffer(between)?, self.buffer(progress)?);
        self.fill(&mut between, 0xff)?;
        self.fill(&mut progress, 0)?;
        Ok((between, progress))
    }

    fn match_patches(
        &self,
        earlier: &DevicePyramid,
        current: &DevicePyramid,
        prior: Option<&DeviceMap<f32>>,
        (scratch, progress): (&DeviceBuffer<f32>, &DeviceBuffer<i32>),
    ) -> Result<(), CudaError> {
        let kernel = &self.device().kernels.match_patches;
        let (prior_address, prior_rows, prior_cols) = match prior {
            None => (0, 0, 0),
            Some(prior) => {
                let [_, rows, cols] = prior.shape();
                expect_shape(kernel.name, "prior", [2, rows, cols], prior.shape())?;
                let (rows, cols) =
                    (side(kernel.name, "rows of the prior", rows)?, side(kernel.name, "columns of the prior", cols)?);
                (prior.address(), rows, cols)
            }
        };
        let (width, height) = current.levels[0];
        let rows: usize = current.patches().map(|(rows, _)| rows).sum();
        // SAFETY: the parameters of `match_patches`, in order. Both pyramids have the levels that these sides have,
        // scratch and progress are as long as its header says for them, and filled as it says, by `flow_scratch` or by
        // `sample_flow`, on this stream.
        unsafe {
            self.launch(
                kernel,
                Grid { blocks: (2 * rows, 1, 1), threads: (32, 1) },
                &[
                    argument(&earlier.address()),
                    argument(&current.address()),
                    argument(&(width as i32)),
                    argument(&(height as i32)),
                    argument(&(current.levels.len() as i32)),
                    argument(&prior_address),
                    argument(&prior_rows),
                    argument(&prior_cols),
                    argument(&scratch.address()),
                    argument(&progress.address()),
                ],
            )
        }?;
        self.keep(&earlier.buffer);
        self.keep(&current.buffer);
        self.keep(scratch);
        self.keep(progress);
        if let Some(prior) = prior {
            self.keep(prior.buffer());
        }
        Ok(())
    }

    fn sample_flow(
        &self,
        current: &DevicePyramid,
        (scratch, progress): (&DeviceBuffer<f32>, &DeviceBuffer<i32>),
        flow: &mut DeviceMap<f32>,
    ) -> Result<(), CudaError> {
        let ([_, rows, cols], (width, height)) = (flow.shape(), current.levels[0]);
        let picture = current.picture;
        // SAFETY: the parameters of `sample_flow`, in order; scratch and progress are those that `match_patches` wrote for
        // the same sides, and the flow is `[2, rows, cols]`.
        unsafe {
            self.launch(
                &self.device().kernels.sample_flow,
                Grid::line(rows * cols, 256),
                &[
                    argument(&scratch.address()),
                    argument(&progress.address()),
                    argument(&(width as i32)),
                    argument(&(height as i32)),
                    argument(&(current.levels.len() as i32)),
                    argument(&(picture.0 as i32)),
                    argument(&(picture.1 as i32)),
                    argument(&(current.reduction as i32)),
                    argument(&flow.address()),
                    argument(&(rows as i32)),
                    argument(&(cols as i32)),
                ],
            )
        }?;
        self.keep(flow.buffer());
        Ok(())
    }

    /// Writes the motion over both steps into `both`: from each cell along `later`, from there along `earlier`; all
    /// `[2, rows, cols]`.
    ///
    /// # Errors
    /// [`CudaError::Shape`] if the fields are not on one grid.
    pub fn compose_flow(
        &self,
        earlier: &DeviceMap<f32>,
        later: &DeviceMap<f32>,
        both: &mut DeviceMap<f32>,
    ) -> Result<(), CudaError> {
        let kernel = &self.device().kernels.compose_flow;
        let [_, rows, cols] = both.shape();
        for (what, shape) in [("earlier flow", earlier.shape()), ("later flow", later.shape()), ("both", both.shape())]
        {
            expect_shape(kernel.name, what, [2, rows, cols], shape)?;
        }
        let (rows_int, cols_int) = (int(kernel.name, "rows", rows)?, int(kernel.name, "columns", cols)?);
        // SAFETY: the parameters of `compose_flow`, in order; all three are `[2, rows, cols]`, and the one that is
        // written is borrowed exclusively, so it is another.
        unsafe {
            self.launch(
                kernel,
                Grid::line(rows * cols, 256),
                &[
                    argument(&earlier.address()),
                    argument(&later.address()),
                    argument(&both.address()),
                    argument(&rows_int),
                    argument(&cols_int),
                ],
            )
        }?;
        for field in [earlier, later, both] {
            self.keep(field.buffer());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_halve_while_both_sides_hold_four_patches() {
        let sides = |finest| levels(finest).map(|levels| levels.to_vec());
        assert_eq!(sides((320, 180)), Some(vec![(320, 180), (160, 90), (80, 45), (40, 22)]));
        assert_eq!(sides((320, 320)).map(|levels| levels.len()), Some(5));
        assert_eq!(sides((31, 320)), Some(vec![(31, 320)]));
        assert_eq!(sides((321, 10)), None);
    }
}
