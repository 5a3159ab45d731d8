// What was carried held against what is there: the residual, its mean, what is blended by it, and smaller maps.
//
// Twins: engine/cpu/residual.rs, engine/cpu/blend.rs, `average_blocks` in engine/cpu/mod.rs.
// residual, average_blocks: equal bits (f16: rounded to nearest even). sum_residual: within 1e-5 of the exact sum, parts of
// it. blend_features: within 1e-6 of the range of values (the device's exponential), then rounded if f16.
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
//   blend_features_f16, _f32   fresh += share (carried - fresh), share = 0.7 exp(-mean residual of the cell unit / 0.034)
//     fresh            in and out [channels, rows, cols]; a step that is not finite is not taken
//     carried          [channels, rows, cols]
//     residual_map     [residual_rows, residual_cols] f32, as fine as the features or finer; if it is coarser: do not launch
//     unit             one of the residual in parts of the range of colours
//     launch: block 128, grid (ceil(rows cols / 128), ceil(channels / 8))
//   blend_features_f16_hwc8   the same for [rows, cols, channels], channels a multiple of 8, 16-byte aligned
//     launch: as above
//   average_blocks_f16, _f32   means over blocks of side x side cells
//     map              [channels, rows, cols]; out [channels, rows / side, cols / side]
//     launch: block 128, grid (ceil((rows / side) (cols / side) / 128), channels)

#include "segfuse.cuh"

extern "C" __global__ void residual(const float* earlier, const float* current, int rows, int cols, const float* flow,
                                    int flow_rows, int flow_cols, float* map, __half* half_map) {}

extern "C" __global__ void sum_residual(const float* map, int count, float* sum) {}

extern "C" __global__ void blend_features_f16(__half* fresh, const __half* carried, int channels, int rows, int cols,
                                              const float* residual_map, int residual_rows, int residual_cols,
                                              float unit) {}

extern "C" __global__ void blend_features_f32(float* fresh, const float* carried, int channels, int rows, int cols,
                                              const float* residual_map, int residual_rows, int residual_cols,
                                              float unit) {}

extern "C" __global__ void blend_features_f16_hwc8(__half* fresh, const __half* carried, int channels, int rows, int cols,
                                                   const float* residual_map, int residual_rows, int residual_cols,
                                                   float unit) {}

extern "C" __global__ void average_blocks_f16(const __half* map, int channels, int rows, int cols, int side,
                                              __half* out) {}

extern "C" __global__ void average_blocks_f32(const float* map, int channels, int rows, int cols, int side, float* out) {}
