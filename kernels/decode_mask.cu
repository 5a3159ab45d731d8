// From logits on a coarse grid to a label and a margin for every pixel; the full-size logits never exist.
//
// Twins: engine/cpu/decode.rs (reference::decode), engine/cpu/nearest.rs. Labels and margins equal theirs, NaN and
// infinity included, given the same logits (f16 ones widened to f32).
//
//   decode_mask_f16, decode_mask_f32       bilinear, half-pixel centres, edges clamped
//     logits    [classes, rows, cols] f16 or f32; 1 to 255 classes, sides 1 to 16384
//     labels    out [height, width] u8: the first of the best classes; 255 where no logit is above minus infinity
//     margins   out [height, width] u8: best minus second best in steps of 1/16, rounded down, at most 255
//     launch: block 128, grid (ceil(width / 128), rows, ceil((3 height / (2 rows) + 2) / 8)), divisions in z rounded down
//     inside, up outside
//   decode_nearest_f16, decode_nearest_f32   pixel x takes cell floor(x cols / width): the Common chain
//     launch: block 128, grid (ceil(width / 128), height)

#include "segfuse.cuh"

extern "C" __global__ void decode_mask_f16(const __half* logits, int classes, int rows, int cols, uint8_t* labels,
                                           uint8_t* margins, int width, int height) {}

extern "C" __global__ void decode_mask_f32(const float* logits, int classes, int rows, int cols, uint8_t* labels,
                                           uint8_t* margins, int width, int height) {}

extern "C" __global__ void decode_nearest_f16(const __half* logits, int classes, int rows, int cols, uint8_t* labels,
                                              uint8_t* margins, int width, int height) {}

extern "C" __global__ void decode_nearest_f32(const float* logits, int classes, int rows, int cols, uint8_t* labels,
                                              uint8_t* margins, int width, int height) {}
