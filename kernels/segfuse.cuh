// What all kernels share: half precision is storage, arithmetic is f32; where samples lie between samples.
//
// The same sources are compiled for the device (nvcc, NVRTC) and as host C++ (host/, in tests). Every kernel has a
// plain Rust twin, named in its header, and multiplies and adds in its order: compile with -fmad=false and never with
// -use_fast_math, and results are the twin's but for what the header says.
#pragma once

#if defined(__CUDACC__) || defined(__CUDACC_RTC__)
#include <cuda_fp16.h>
#else
#include "host/cuda_on_host.h"
#endif

#if defined(__CUDACC_RTC__)
typedef unsigned char uint8_t;
#define INFINITY __int_as_float(0x7f800000)
#else
#include <math.h>
#include <stdint.h>
#endif

/// The class of a pixel that nothing is known of.
constexpr int UNLABELED = 255;
/// Channels that a thread works on: what it knows of its cell serves them all.
constexpr int CHANNELS_A_THREAD = 8;
/// Copies of the edge pixels around each level of a grey pyramid.
constexpr int FRAME = 16;

__device__ __forceinline__ float load(const float* values, size_t index) { return values[index]; }
__device__ __forceinline__ float load(const __half* values, size_t index) { return __half2float(values[index]); }
__device__ __forceinline__ void store(float* values, size_t index, float value) { values[index] = value; }
__device__ __forceinline__ void store(__half* values, size_t index, float value) {
    values[index] = __float2half_rn(value);
}

/// Eight channels of a cell that has all its channels side by side.
struct alignas(16) EightHalves {
    __half values[8];
};

__device__ __forceinline__ float clamped(float value, float least, float most) {
    return fminf(fmaxf(value, least), most);
}

/// Two neighbouring samples and the share of the second, in [0, 1).
struct Taps {
    int first, second;
    float share;
};

/// The inputs around output sample `index`: half-pixel centres, edges clamped (`engine/cpu/taps.rs`).
///
/// The place is (index + 1/2) input / output - 1/2. In whole numbers it is exact; sides up to 16384 fit.
__device__ __forceinline__ Taps taps_of(int index, int input, int output) {
    int place = (2 * index + 1) * input - output, unit = 2 * output;
    place = place < 0 ? 0 : place;
    int first = place / unit, last = input - 1;
    if (first >= last) {
        return {last, last, 0.0f};
    }
    return {first, first + 1, float(place - first * unit) / float(unit)};
}

/// The samples around `place`, which is moved into 0 to count - 1 (`flow/mod.rs`, split).
__device__ __forceinline__ Taps taps_at(float place, int count) {
    place = clamped(place, 0.0f, float(count - 1));
    int first = int(place);
    return {first, first + 1 < count ? first + 1 : count - 1, place - float(first)};
}

/// Between two values; the order of the twin's `mix`.
__device__ __forceinline__ float mix(float one, float other, float share) {
    return one * (1.0f - share) + other * share;
}

__device__ __forceinline__ float finite_or_0(float value) { return isfinite(value) ? value : 0.0f; }

/// The mean of a plane as fine as a grid or finer over a cell of the grid (`engine/cpu/blend.rs`, mean_over).
__device__ __forceinline__ float mean_over(const float* plane, int row, int col, int rows, int cols, int fine_rows,
                                           int fine_cols) {
    int top = row * fine_rows / rows, bottom = (row + 1) * fine_rows / rows;
    int left = col * fine_cols / cols, right = (col + 1) * fine_cols / cols;
    float sum = 0.0f;
    for (int y = top; y < bottom; ++y) {
        float line = 0.0f;
        for (int x = left; x < right; ++x) {
            line += plane[size_t(y) * fine_cols + x];
        }
        sum += line;
    }
    return sum / float((bottom - top) * (right - left));
}
