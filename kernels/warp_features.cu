// Features carried along a flow: each cell fetches its content from where it was, by cubic convolution.
//
// Twin: engine/cpu/warp.rs. f32: equal bits; f16: the twin's answer to the same halves, rounded to nearest even. Where a
// flow is NaN the cell is taken not to have moved; places outside are moved to the border.
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

extern "C" __global__ void warp_features_f16(const __half* features, const float* flow, __half* out, int channels,
                                             int rows, int cols) {}

extern "C" __global__ void warp_features_f32(const float* features, const float* flow, float* out, int channels, int rows,
                                             int cols) {}

extern "C" __global__ void warp_features_f16_hwc8(const __half* features, const float* flow, __half* out, int channels,
                                                  int rows, int cols) {}
