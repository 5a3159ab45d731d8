// What was carried held against what is there: the residual, its mean, what is blended by it, and smaller maps.
//
// Twins: engine/cpu/residual.rs, engine/cpu/blend.rs, engine/cpu/blocks.rs (`average_blocks`).
// residual, average_blocks: equal bits (f16: rounded to nearest even). sum_residual: within 1e-5, in parts of the sum.
// blend_features: within 2e-6 of values up to 8, on a device 16e-6 (its exponential), then rounded if f16.
//
//   residual           [1, rows, cols]: mean over colours of |current - earlier carried along flow|
//     earlier, current [3, rows, cols] f32: glances (preprocess.cu)
//     flow             [2, flow_rows, flow_cols] f32, in its cells, back into earlier; may be coarser; a motion that is
//                      not finite is taken for none
//     map              out [rows, cols] f32
//     half_map         out [rows, cols] f16, the same for a network that wants it; or null
//     launch: block (32, 8), grid (ceil(cols / 32), ceil(rows / 8))
//   sum_residual       sum of `count` f32 values into sum[0], always in the same order
//     launch: block 1024, grid 1
//   blend_features_f16, _f32   fresh += share (carried - fresh), share = 0.7 exp(-mean residual of the cell / 0.034)
//     fresh            in and out [channels, rows, cols]; a step that is not finite is not taken
//     carried          [channels, rows, cols]
//     residual_map     [residual_rows, residual_cols] f32, as fine as the features or finer; else do not launch
//     unit             one of the residual in parts of the range of colours
//     launch: block 128, grid (ceil(rows cols / 128), ceil(channels / 8))
//   blend_features_f16_hwc8   the same for [rows, cols, channels], channels a multiple of 8, 16-byte aligned
//     launch: as above
//   average_blocks_f16, _f32   means over blocks of side x side cells
//     map              [channels, rows, cols]; out [channels, rows / side, cols / side]
//     launch: block 128, grid (ceil((rows / side) (cols / side) / 128), channels)

#include "segfuse.cuh"

namespace {

constexpr int COLOURS = 3;
constexpr int SUMMING = 1024;
/// The share of what was carried where the picture agrees exactly.
constexpr float SHARE = 0.7f;
/// The residual, in parts of the range of colours, at which the share has fallen to 1/e.
constexpr float AGREES = 0.034f;

/// The flow between the centres of its cells: along columns first, as the twin reads it.
__device__ float flow_at(const float* flow, Taps down, Taps along, int flow_cols) {
    const float *upper = flow + size_t(down.first) * flow_cols, *lower = flow + size_t(down.second) * flow_cols;
    float left = mix(finite_or_0(upper[along.first]), finite_or_0(lower[along.first]), down.share);
    float right = mix(finite_or_0(upper[along.second]), finite_or_0(lower[along.second]), down.share);
    return mix(left, right, along.share);
}

/// The value between four pixels.
__device__ float between(const float* plane, Taps down, Taps along, int cols) {
    const float *upper = plane + size_t(down.first) * cols, *lower = plane + size_t(down.second) * cols;
    float above = upper[along.first] + (upper[along.second] - upper[along.first]) * along.share;
    float below = lower[along.first] + (lower[along.second] - lower[along.first]) * along.share;
    return above + (below - above) * down.share;
}

/// The share of what was carried in a cell.
__device__ float share_of(int cell, int rows, int cols, const float* residual_map, int residual_rows, int residual_cols,
                          float unit) {
    float mean = mean_over(residual_map, cell / cols, cell % cols, rows, cols, residual_rows, residual_cols);
    return SHARE * expf(-mean * unit / AGREES);
}

__device__ float blended(float fresh, float carried, float share) {
    return fresh + finite_or_0((carried - fresh) * share);
}

template <class Value>
__device__ void blend_planes(Value* fresh, const Value* carried, int channels, int rows, int cols,
                             const float* residual_map, int residual_rows, int residual_cols, float unit) {
    int cells = rows * cols, cell = blockIdx.x * blockDim.x + threadIdx.x;
    if (cell >= cells) {
        return;
    }
    float share = share_of(cell, rows, cols, residual_map, residual_rows, residual_cols, unit);
    int first = blockIdx.y * CHANNELS_A_THREAD, end = min(first + CHANNELS_A_THREAD, channels);
    for (int channel = first; channel < end; ++channel) {
        size_t index = size_t(channel) * cells + cell;
        store(fresh, index, blended(load(fresh, index), load(carried, index), share));
    }
}

template <class Value>
__device__ void average(const Value* map, int rows, int cols, int side, Value* out) {
    int out_rows = rows / side, out_cols = cols / side, cell = blockIdx.x * blockDim.x + threadIdx.x;
    if (cell >= out_rows * out_cols) {
        return;
    }
    const Value* plane = map + size_t(blockIdx.y) * rows * cols;
    int top = cell / out_cols * side, left = cell % out_cols * side;
    float sum = 0.0f;
    // Down first, as the twin adds them.
    for (int x = left; x < left + side; ++x) {
        float column = 0.0f;
        for (int y = top; y < top + side; ++y) {
            column += load(plane, size_t(y) * cols + x);
        }
        sum += column;
    }
    store(out, size_t(blockIdx.y) * out_rows * out_cols + cell, sum * (1.0f / float(side * side)));
}

}  // namespace

extern "C" __global__ void residual(const float* earlier, const float* current, int rows, int cols, const float* flow,
                                    int flow_rows, int flow_cols, float* map, __half* half_map) {
    int col = blockIdx.x * blockDim.x + threadIdx.x, row = blockIdx.y * blockDim.y + threadIdx.y;
    if (row >= rows || col >= cols) {
        return;
    }
    float scale_x = float(flow_cols) / float(cols), scale_y = float(flow_rows) / float(rows);
    Taps flow_down = taps_at((float(row) + 0.5f) * scale_y - 0.5f, flow_rows);
    Taps flow_along = taps_at((float(col) + 0.5f) * scale_x - 0.5f, flow_cols);
    float x = flow_at(flow, flow_down, flow_along, flow_cols);
    float y = flow_at(flow + size_t(flow_rows) * flow_cols, flow_down, flow_along, flow_cols);
    Taps down = taps_at(float(row) + y / scale_y, rows), along = taps_at(float(col) + x / scale_x, cols);
    int cells = rows * cols, cell = row * cols + col;
    float apart = 0.0f;
    for (int plane = 0; plane < COLOURS; ++plane) {
        apart += fabsf(between(earlier + plane * cells, down, along, cols) - current[plane * cells + cell]);
    }
    apart /= float(COLOURS);
    map[cell] = apart;
    if (half_map != nullptr) {
        half_map[cell] = __float2half_rn(apart);
    }
}

extern "C" __global__ void sum_residual(const float* map, int count, float* sum) {
    __shared__ float sums[SUMMING];
    int thread = threadIdx.x;
    sums[thread] = 0.0f;
    for (int i = thread; i < count; i += SUMMING) {
        sums[thread] += map[i];
    }
    for (int half = SUMMING / 2; half > 0; half /= 2) {
        __syncthreads();
        if (thread < half) {
            sums[thread] += sums[thread + half];
        }
    }
    if (thread == 0) {
        sum[0] = sums[0];
    }
}

extern "C" __global__ void blend_features_f16(__half* fresh, const __half* carried, int channels, int rows, int cols,
                                              const float* residual_map, int residual_rows, int residual_cols,
                                              float unit) {
    blend_planes(fresh, carried, channels, rows, cols, residual_map, residual_rows, residual_cols, unit);
}

extern "C" __global__ void blend_features_f32(float* fresh, const float* carried, int channels, int rows, int cols,
                                              const float* residual_map, int residual_rows, int residual_cols,
                                              float unit) {
    blend_planes(fresh, carried, channels, rows, cols, residual_map, residual_rows, residual_cols, unit);
}

extern "C" __global__ void blend_features_f16_hwc8(__half* fresh, const __half* carried, int channels, int rows,
                                                   int cols, const float* residual_map, int residual_rows,
                                                   int residual_cols, float unit) {
    int cell = blockIdx.x * blockDim.x + threadIdx.x;
    if (cell >= rows * cols) {
        return;
    }
    float share = share_of(cell, rows, cols, residual_map, residual_rows, residual_cols, unit);
    size_t index = size_t(cell) * (channels / 8) + blockIdx.y;
    EightHalves old = reinterpret_cast<const EightHalves*>(carried)[index];
    EightHalves* place = reinterpret_cast<EightHalves*>(fresh) + index;
    EightHalves mixed = *place;
    for (int i = 0; i < 8; ++i) {
        mixed.values[i] = __float2half_rn(blended(__half2float(mixed.values[i]), __half2float(old.values[i]), share));
    }
    *place = mixed;
}

extern "C" __global__ void average_blocks_f16(const __half* map, int channels, int rows, int cols, int side,
                                              __half* out) {
    average(map, rows, cols, side, out);
}

extern "C" __global__ void average_blocks_f32(const float* map, int channels, int rows, int cols, int side,
                                              float* out) {
    average(map, rows, cols, side, out);
}
