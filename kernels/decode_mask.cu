// From logits on a coarse grid to a label and a margin for every pixel; the full-size logits never exist.
//
// Twins: engine/cpu/decode.rs (reference::decode), engine/cpu/nearest.rs. Labels and margins equal theirs, NaN and
// infinity included, given the same logits (f16 ones widened to f32).
//
//   decode_mask_f16, decode_mask_f32       bilinear, half-pixel centres, edges clamped
//     logits    [classes, rows, cols] f16 or f32; 1 to 255 classes, sides 1 to 16384
//     labels    out [height, width] u8: the first of the best classes; 255 where no logit is above minus infinity
//     margins   out [height, width] u8: best minus second best in steps of 1/16, rounded down, at most 255
//     launch: block 128, grid (ceil(width / 128), rows, ceil((3 height / (2 rows) + 2) / 8)), divisions in z rounded
//     down inside, up outside
//   decode_nearest_f16, decode_nearest_f32   pixel x takes cell floor(x cols / width): the Common chain
//     launch: block 128, grid (ceil(width / 128), height)

#include "segfuse.cuh"

namespace {

/// Output rows that a thread walks down: what it finds of its column at the two grid rows serves them all.
constexpr int ROWS_A_THREAD = 8;
/// Beyond this a difference of logits may overflow, and the order of corner values means nothing.
constexpr float LARGEST_ORDERED = 1e37f;

/// The two best of the logits seen so far.
struct Best {
    float best = -INFINITY, second = -INFINITY;
    int label = UNLABELED;

    /// Classes come in order, so the first of equal ones stays; a NaN never wins.
    __device__ void admit(float value, int label_of_value) {
        if (value > best) {
            second = best;
            best = value;
            label = label_of_value;
        } else if (value > second) {
            second = value;
        }
    }

    __device__ uint8_t margin() const {
        // Nothing above minus infinity gives NaN, which is 0 here and in the twin.
        return uint8_t(fminf(fmaxf((best - second) * 16.0f, 0.0f), 255.0f));
    }
};

/// A column of the output between two rows of the grid.
template <class Value>
struct Column {
    const Value *top, *bottom;
    Taps along;
    int cells;

    /// The class's value at the upper grid row and its rise to the lower one.
    __device__ void ends(int label, float& value, float& rise) const {
        const Value *upper = top + size_t(label) * cells, *lower = bottom + size_t(label) * cells;
        float left = load(upper, along.first), low_left = load(lower, along.first);
        value = left + (load(upper, along.second) - left) * along.share;
        rise = low_left + (load(lower, along.second) - low_left) * along.share - value;
    }
};

/// What a class needs to be among the two best anywhere in a column: the second largest of the smaller ends.
///
/// Rounding never changes an order, so a class stays between its ends. Minus infinity, so that none is left out, where
/// a value is too large or NaN.
template <class Value>
__device__ float floor_of(const Column<Value>& column, int classes) {
    Best least;
    bool ordered = true;
    for (int label = 0; label < classes; ++label) {
        float value, rise;
        column.ends(label, value, rise);
        float end = value + rise;
        least.admit(fminf(value, end), label);
        ordered = ordered && fabsf(value) <= LARGEST_ORDERED && fabsf(rise) <= LARGEST_ORDERED;
    }
    return ordered ? least.second : -INFINITY;
}

/// The first output row whose upper grid row is `row` or a later one; see taps_of.
__device__ int first_below(int row, int rows, int height) {
    if (row == 0) {
        return 0;
    }
    // (2 y + 1) rows - height >= 2 height row
    int places = (2 * row + 1) * height - rows;
    return places <= 0 ? 0 : (places + 2 * rows - 1) / (2 * rows);
}

template <class Value>
__device__ void decode(const Value* logits, int classes, int rows, int cols, uint8_t* labels, uint8_t* margins,
                       int width, int height) {
    // All columns of a block lie between the same rows.
    __shared__ float down[ROWS_A_THREAD];
    int x = blockIdx.x * blockDim.x + threadIdx.x, row = blockIdx.y;
    int end = row + 1 < rows ? first_below(row + 1, rows, height) : height;
    int start = first_below(row, rows, height) + blockIdx.z * ROWS_A_THREAD;
    if (start >= end) {
        return;
    }
    if (threadIdx.x < ROWS_A_THREAD) {
        down[threadIdx.x] = taps_of(start + threadIdx.x, rows, height).share;
    }
    __syncthreads();
    if (x >= width) {
        return;
    }
    int cells = rows * cols, count = min(end - start, ROWS_A_THREAD);
    const Value* top = logits + size_t(row) * cols;
    Column<Value> column{top, row + 1 < rows ? top + cols : top, taps_of(x, cols, width), cells};
    float floor = count > 2 ? floor_of(column, classes) : -INFINITY;
    Best best[ROWS_A_THREAD];
    for (int label = 0; label < classes; ++label) {
        float value, rise;
        column.ends(label, value, rise);
        if (fmaxf(value, value + rise) < floor) {
            continue;
        }
        for (int i = 0; i < ROWS_A_THREAD; ++i) {
            best[i].admit(value + rise * down[i], label);
        }
    }
    for (int i = 0; i < ROWS_A_THREAD; ++i) {
        if (i < count) {
            size_t pixel = size_t(start + i) * width + x;
            labels[pixel] = uint8_t(best[i].label);
            margins[pixel] = best[i].margin();
        }
    }
}

template <class Value>
__device__ void decode_nearest(const Value* logits, int classes, int rows, int cols, uint8_t* labels, uint8_t* margins,
                               int width, int height) {
    int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y;
    if (x >= width) {
        return;
    }
    size_t cell = size_t(y * rows / height) * cols + x * cols / width;
    Best best;
    for (int label = 0; label < classes; ++label) {
        best.admit(load(logits, size_t(label) * rows * cols + cell), label);
    }
    labels[size_t(y) * width + x] = uint8_t(best.label);
    margins[size_t(y) * width + x] = best.margin();
}

}  // namespace

extern "C" __global__ void decode_mask_f16(const __half* logits, int classes, int rows, int cols, uint8_t* labels,
                                           uint8_t* margins, int width, int height) {
    decode(logits, classes, rows, cols, labels, margins, width, height);
}

extern "C" __global__ void decode_mask_f32(const float* logits, int classes, int rows, int cols, uint8_t* labels,
                                           uint8_t* margins, int width, int height) {
    decode(logits, classes, rows, cols, labels, margins, width, height);
}

extern "C" __global__ void decode_nearest_f16(const __half* logits, int classes, int rows, int cols, uint8_t* labels,
                                              uint8_t* margins, int width, int height) {
    decode_nearest(logits, classes, rows, cols, labels, margins, width, height);
}

extern "C" __global__ void decode_nearest_f32(const float* logits, int classes, int rows, int cols, uint8_t* labels,
                                              uint8_t* margins, int width, int height) {
    decode_nearest(logits, classes, rows, cols, labels, margins, width, height);
}
