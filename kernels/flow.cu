// Dense flow from patches, coarse to fine: where the content of each cell was in the earlier picture.
//
// Twins: flow/pyramid.rs, flow/inverse_search.rs, flow/patch.rs, flow/mod.rs (`compose_into`). Equal bits, all of them.
//
//   A grey pyramid is one buffer of f32: its levels one after the other, the finest first, each framed:
//   [height + 2 FRAME, width + 2 FRAME]; each level has half the sides of the one before, rounded down. width, height:
//   of level 0 without its frame (at most 320); levels: 1 to 5, one more while both sides are at least 32.
//   On each level 8x8 patches lie 4 pixels apart: patches(side) = side < 8 ? 0 : (side - 8) / 4 + 1, patch rows R and
//   columns C. Pictures without a patch on level 0 have no flow: do not launch match_patches; sample_flow writes 0.
//
//   build_pyramid   all levels but the finest from the finest, in one launch
//     pyramid       in: level 0; out: the others
//     launch: block (32, 8), grid (ceil((width / 2 + 2 FRAME) / 32), ceil((height / 2 + 2 FRAME) / 8), levels - 1); not
//     at all if there is one level
//
//   match_patches   the search on all levels, in one launch: one warp goes along each row of patches, forth and back,
//                   behind the row above (below, on the way back), and each level waits for the coarser one
//     earlier, current   pyramids of the same size
//     prior         [2, prior_rows, prior_cols] f32, in its cells: where to look first; or null
//     scratch       f32, 16-byte aligned: the sum over levels of 6 R C + 2 (R + 1) (C + 1) values
//     progress      i32: the sum over levels of 2 R + 1; zeros before, zeros again after sample_flow
//     launch: block 32, grid (sum over levels of R); all blocks wait for each other, so they must fit on the device at
//     once (150 warps at most): launch cooperatively
//
//   sample_flow     from blocks of 4x4 pixels to the grid of features; then sets progress to 0
//     picture_width, picture_height, reduction   of the picture that level 0 was reduced from, and by how much
//     scratch, progress   after match_patches
//     flow          out [2, rows, cols] f32: x then y, in cells, from the current picture back into the earlier one
//     launch: block 256, grid ceil(rows cols / 256)
//
//   compose_flow    two motions as one; a motion that is not finite is taken for none
//     earlier, later   [2, rows, cols] f32
//     both          out [2, rows, cols] f32, another buffer than the two
//     launch: block 256, grid ceil(rows cols / 256)

#include "segfuse.cuh"

extern "C" __global__ void build_pyramid(float* pyramid, int width, int height) {}

extern "C" __global__ void match_patches(const float* earlier, const float* current, int width, int height, int levels,
                                         const float* prior, int prior_rows, int prior_cols, float* scratch,
                                         int* progress) {}

extern "C" __global__ void sample_flow(const float* scratch, int* progress, int width, int height, int levels,
                                       int picture_width, int picture_height, int reduction, float* flow, int rows,
                                       int cols) {}

extern "C" __global__ void compose_flow(const float* earlier, const float* later, float* both, int rows, int cols) {}
