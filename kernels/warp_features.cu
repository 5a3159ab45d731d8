// Features carried along a flow: each cell fetches its content from where it was, by cubic convolution.
//
// Twin: engine/cpu/warp.rs. f32: equal bits; f16: the twin's answer to the same halves, rounded to nearest even. Where
// a flow is NaN the cell is taken not to have moved; places outside are moved to the border.
//
//   warp_features_f16, warp_features_f32
//     features   [channels, rows, cols] f16 or f32
//     flow       [2, rows, cols] f32: x then y, in cells, from a cell of `out` back into `features`
//     out        [channels, rows, cols], another buffer than `features`
//     launch: block (32, 4), grid (ceil(cols / 32), ceil(rows / 4), ceil(channels / 8))
//   warp_features_f16_hwc8
//     features, out   [rows, cols, channels] f16, 16-byte aligned; channels a multiple of 8
//     launch: block 128, grid ceil(rows cols channels / 8 / 128)

#include "segfuse.cuh"

namespace {

/// Inputs along each axis that a cell is made of.
constexpr int TAPS = 4;
/// The free parameter of cubic convolution (Keys, 1981).
constexpr float SHARPNESS = -0.75f;

/// Four inputs along an axis and their shares.
struct Cubic {
    int inputs[TAPS];
    float shares[TAPS];
};

__device__ float near_share(float far) { return ((SHARPNESS + 2.0f) * far - (SHARPNESS + 3.0f)) * far * far + 1.0f; }

__device__ float outer_share(float far) {
    return ((SHARPNESS * far - 5.0f * SHARPNESS) * far + 8.0f * SHARPNESS) * far - 4.0f * SHARPNESS;
}

/// Around the place that cell `index` comes from; beyond the border, the border.
__device__ Cubic cubic(int index, float step, int count) {
    float place = clamped(float(index) + (isnan(step) ? 0.0f : step), 0.0f, float(count - 1));
    int second = min(int(place), max(count - 2, 0));
    float part = place - float(second);
    Cubic cubic;
    for (int tap = 0; tap < TAPS; ++tap) {
        cubic.inputs[tap] = min(max(second + tap - 1, 0), count - 1);
    }
    cubic.shares[0] = outer_share(1.0f + part);
    cubic.shares[1] = near_share(part);
    cubic.shares[2] = near_share(1.0f - part);
    cubic.shares[3] = outer_share(2.0f - part);
    return cubic;
}

template <class Value>
__device__ void warp_planes(const Value* features, const float* flow, Value* out, int channels, int rows, int cols) {
    int col = blockIdx.x * blockDim.x + threadIdx.x, row = blockIdx.y * blockDim.y + threadIdx.y;
    if (row >= rows || col >= cols) {
        return;
    }
    int cells = rows * cols, cell = row * cols + col;
    Cubic across = cubic(col, flow[cell], cols), down = cubic(row, flow[cells + cell], rows);
    int first = blockIdx.z * CHANNELS_A_THREAD, end = min(first + CHANNELS_A_THREAD, channels);
    for (int channel = first; channel < end; ++channel) {
        const Value* plane = features + size_t(channel) * cells;
        float sum = 0.0f;
        for (int x = 0; x < TAPS; ++x) {
            float column = 0.0f;
            for (int y = 0; y < TAPS; ++y) {
                column += load(plane, down.inputs[y] * cols + across.inputs[x]) * down.shares[y];
            }
            sum += column * across.shares[x];
        }
        store(out, size_t(channel) * cells + cell, sum);
    }
}

}  // namespace

extern "C" __global__ void warp_features_f16(const __half* features, const float* flow, __half* out, int channels,
                                             int rows, int cols) {
    warp_planes(features, flow, out, channels, rows, cols);
}

extern "C" __global__ void warp_features_f32(const float* features, const float* flow, float* out, int channels,
                                             int rows, int cols) {
    warp_planes(features, flow, out, channels, rows, cols);
}

extern "C" __global__ void warp_features_f16_hwc8(const __half* features, const float* flow, __half* out, int channels,
                                                  int rows, int cols) {
    int groups = channels / 8, cells = rows * cols, index = blockIdx.x * blockDim.x + threadIdx.x;
    if (index >= cells * groups) {
        return;
    }
    int cell = index / groups, group = index % groups;
    Cubic across = cubic(cell % cols, flow[cell], cols), down = cubic(cell / cols, flow[cells + cell], rows);
    const EightHalves* inputs = reinterpret_cast<const EightHalves*>(features) + group;
    float sums[8] = {};
    for (int x = 0; x < TAPS; ++x) {
        float columns[8] = {};
        for (int y = 0; y < TAPS; ++y) {
            EightHalves eight = inputs[size_t(down.inputs[y] * cols + across.inputs[x]) * groups];
            for (int i = 0; i < 8; ++i) {
                columns[i] += __half2float(eight.values[i]) * down.shares[y];
            }
        }
        for (int i = 0; i < 8; ++i) {
            sums[i] += columns[i] * across.shares[x];
        }
    }
    EightHalves result;
    for (int i = 0; i < 8; ++i) {
        result.values[i] = __float2half_rn(sums[i]);
    }
    reinterpret_cast<EightHalves*>(out)[index] = result;
}
