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
//   match_patches   the search on all levels, in one launch: one warp goes along each row of patches forth, behind the row
//                   above, and one goes back, behind the row below; each level waits for the coarser one. Which way a warp
//                   goes says the ticket that it takes, and it waits only for warps with smaller tickets, which run or are
//                   done: however few blocks the device has room for at once, one of them goes on
//     earlier, current   pyramids of the same size
//     prior         [2, prior_rows, prior_cols] f32, in its cells: where to look first, 0 if not finite; or null
//     scratch       f32, 8-byte aligned: the sum over levels of 8 R C + 2 (R + 1) (C + 1) values; before: all bits set,
//                   bytes of 0xff
//     progress      i32: the sum over levels of R + 1, and one more, the next ticket; zeros before
//     launch: block 32, grid (sum over levels of 2 R)
//
//   sample_flow     from blocks of 4x4 pixels to the grid of features; makes scratch and progress ready for the next
//                   match_patches
//     picture_width, picture_height, reduction   of the picture that level 0 was reduced from, and by how much
//     scratch, progress   after match_patches
//     flow          out [2, rows, cols] f32: x then y, in cells, from the current picture back into the earlier one
//     launch: block 256, grid ceil(rows cols / 256)
//
//   compose_flow    two motions as one; a motion that is not finite is taken for none
//     earlier, later   [2, rows, cols] f32
//     both          out [2, rows, cols] f32, another buffer than the two
//     launch: block 256, grid ceil(rows cols / 256)

#include "flow_patch.cuh"

namespace {

/// Squared difference of a block that counts as none.
constexpr float NOISE = BLOCK * BLOCK;
/// A prior is left only for a patch that fits better by this much, squared difference.
constexpr float MARGIN = 8.0f * SIDE * SIDE;
/// What was found already is searched for again only from further away.
constexpr float APART = 1.0f;
/// How far a row of patches is through.
constexpr int FORTH = 1, BACK = 2;

/// One row of patches of one level: what the warp that goes along it needs.
struct Row {
    const float *earlier, *current;
    Level level;
    int row;
    float margin;

    __device__ __forceinline__ int index(int col) const { return row * level.cols + col; }
    __device__ __forceinline__ Patch patch(int col) const { return Patch(current, level, col * BLOCK, row * BLOCK); }

    __device__ __forceinline__ void keep(int col, const Fit& fit) const {
        if (threadIdx.x == 0) {
            for (int i = 0; i < 4; ++i) {
                level.quarters[4 * index(col) + i] = fit.quarters[i];
            }
        }
    }

    __device__ __forceinline__ void publish(Word* motions, int col, float2 motion) const {
        if (threadIdx.x == 0) {
            *static_cast<volatile Word*>(motions + index(col)) = to_word(motion);
        }
    }
};

/// What the vehicle's motion says of the middle of a patch, in pixels of the level.
struct Prior {
    const float* flow;
    int rows, cols;

    __device__ __forceinline__ float2 at(const Level& level, int row, int col) const {
        int cell = (row * BLOCK + BLOCK) * rows / level.height * cols + (col * BLOCK + BLOCK) * cols / level.width;
        float x = finite_or_0(flow[cell]), y = finite_or_0(flow[rows * cols + cell]);
        return make_float2(x * float(level.width) / float(cols), y * float(level.height) / float(rows));
    }
};

/// The motion of the coarser level at the middle of a patch, in pixels of the finer.
__device__ __forceinline__ float2 doubled(const Level& coarser, int row, int col) {
    int y = min((row + 1) * BLOCK / (2 * BLOCK), coarser.rows), x = min((col + 1) * BLOCK / (2 * BLOCK), coarser.cols);
    const float* block = coarser.blocks + 2 * (y * (coarser.cols + 1) + x);
    return make_float2(fetch(block) * 2.0f, fetch(block + 1) * 2.0f);
}

/// From left to right, behind the row above. `coarser` has no rows where there is no coarser level.
__device__ __forceinline__ void go_forth(const Row& row, const Level& coarser, const Prior& prior) {
    float2 left = {0.0f, 0.0f};
#pragma unroll 1
    for (int col = 0; col < row.level.cols; ++col) {
        Patch patch = row.patch(col);
        Starts starts;
        if (prior.flow != nullptr) {
            starts.offer<0>(prior.at(row.level, row.row, col));
        }
        if (coarser.rows > 0) {
            starts.offer<1>(doubled(coarser, row.row, col));
        }
        if (col > 0) {
            starts.offer<2>(left);
        }
        if (row.row > 0) {
            starts.offer<3>(wait_for_motion(row.level.forth + row.index(col) - row.level.cols));
        }
        starts.offer<4>(make_float2(0.0f, 0.0f));
        Fit fit = search(patch, row.earlier, row.level, starts, row.margin);
        left = fit.motion;
        row.keep(col, fit);
        row.publish(row.level.forth, col, fit.motion);
    }
}

/// From right to left, behind the row below: what the patches that had not been searched for yet know now.
__device__ __forceinline__ void go_back(const Row& row) {
    const Level& level = row.level;
    float2 right = {0.0f, 0.0f};
    wait_for_count(level.through + row.row, FORTH);
#pragma unroll 1
    for (int col = level.cols - 1; col >= 0; --col) {
        float2 found = to_motion(fetch(level.forth + row.index(col)));
        Starts starts;
        if (col + 1 < level.cols && !within(APART, right, found)) {
            starts.offer<0>(right);
        }
        if (row.row + 1 < level.rows) {
            float2 below = wait_for_motion(level.back + row.index(col) + level.cols);
            if (!within(APART, below, found)) {
                starts.offer<1>(below);
            }
        }
        right = found;
        if (starts.count > 0) {
            const float* quarters = level.quarters + 4 * row.index(col);
            float error = (fetch(quarters) + fetch(quarters + 1)) + (fetch(quarters + 2) + fetch(quarters + 3));
            Fit fit = search(row.patch(col), row.earlier, level, starts, 0.0f);
            if (fit.error() + row.margin < error) {
                right = fit.motion;
                row.keep(col, fit);
            }
        }
        row.publish(level.back, col, right);
    }
}

/// The mean motion of the up to four patches over each block of a row, each weighted by how well it fits there,
/// squared.
__device__ __forceinline__ void blend_row(const Level& level, int row) {
    for (int col = threadIdx.x; col <= level.cols; col += 32) {
        float2 sum = {0.0f, 0.0f};
        float weights = 0.0f;
        for (int quarter = 0; quarter < 4; ++quarter) {
            int y = row - quarter / 2, x = col - quarter % 2;
            if (y >= 0 && x >= 0 && y < level.rows && x < level.cols) {
                int patch = y * level.cols + x;
                float apart = fetch(level.quarters + 4 * patch + quarter) + NOISE, weight = 1.0f / (apart * apart);
                float2 motion = to_motion(fetch(level.back + patch));
                sum = make_float2(sum.x + weight * motion.x, sum.y + weight * motion.y);
                weights += weight;
            }
        }
        float* block = level.blocks + 2 * (row * (level.cols + 1) + col);
        block[0] = sum.x / weights;
        block[1] = sum.y / weights;
    }
}

/// Says that a row of patches is through in one way: what its warp wrote can then be read by others.
__device__ __forceinline__ void tell_through(const Level& level, int row, int way) {
    __syncwarp();
    if (threadIdx.x == 0) {
        __threadfence();
        *static_cast<volatile int*>(level.through + row) = way;
    }
}

/// The blocks below a row of patches, once the next row is through; the first row has those above it too.
__device__ __forceinline__ void blend_rows(const Level& level, int row) {
    if (row + 1 < level.rows) {
        wait_for_count(level.through + row + 1, BACK);
    }
    __syncwarp();
    blend_row(level, row + 1);
    if (row == 0) {
        blend_row(level, 0);
    }
    __threadfence();
    __syncwarp();
    if (threadIdx.x == 0) {
        atomicAdd(level.blended, 1);
    }
}

/// A pixel of a level `HALVINGS` above the given one: means of means, as the twin rounds them.
template <int HALVINGS>
__device__ __forceinline__ float halved(const float* finest, int stride, int y, int x) {
    if constexpr (HALVINGS == 0) {
        return finest[size_t(y + FRAME) * stride + x + FRAME];
    } else {
        float upper_left = halved<HALVINGS - 1>(finest, stride, 2 * y, 2 * x);
        float upper_right = halved<HALVINGS - 1>(finest, stride, 2 * y, 2 * x + 1);
        float lower_left = halved<HALVINGS - 1>(finest, stride, 2 * y + 1, 2 * x);
        float lower_right = halved<HALVINGS - 1>(finest, stride, 2 * y + 1, 2 * x + 1);
        return ((upper_left + upper_right) + (lower_left + lower_right)) * 0.25f;
    }
}

/// The motion of a grid of cells between its cells.
__device__ __forceinline__ float between_cells(const float* flow, Taps down, Taps along, int cols) {
    const float *upper = flow + size_t(down.first) * cols, *lower = flow + size_t(down.second) * cols;
    float above = mix(finite_or_0(upper[along.first]), finite_or_0(upper[along.second]), along.share);
    float below = mix(finite_or_0(lower[along.first]), finite_or_0(lower[along.second]), along.share);
    return mix(above, below, down.share);
}

/// The motion, along one axis, between the centres of blocks.
__device__ __forceinline__ float between_blocks(const float* blocks, Taps down, Taps along, int cols) {
    float upper =
        mix(blocks[2 * (down.first * cols + along.first)], blocks[2 * (down.first * cols + along.second)], along.share);
    float lower = mix(blocks[2 * (down.second * cols + along.first)], blocks[2 * (down.second * cols + along.second)],
                      along.share);
    return mix(upper, lower, down.share);
}

}  // namespace

extern "C" __global__ void build_pyramid(float* pyramid, int width, int height) {
    int level = blockIdx.z + 1, stride = width + 2 * FRAME;
    float* out = pyramid;
    for (int i = 0; i < level; ++i) {
        out += size_t((height >> i) + 2 * FRAME) * ((width >> i) + 2 * FRAME);
    }
    int level_width = width >> level, level_height = height >> level;
    int framed_x = blockIdx.x * blockDim.x + threadIdx.x, framed_y = blockIdx.y * blockDim.y + threadIdx.y;
    if (framed_x >= level_width + 2 * FRAME || framed_y >= level_height + 2 * FRAME) {
        return;
    }
    int x = min(max(framed_x - FRAME, 0), level_width - 1), y = min(max(framed_y - FRAME, 0), level_height - 1);
    float value = level == 1   ? halved<1>(pyramid, stride, y, x)
                  : level == 2 ? halved<2>(pyramid, stride, y, x)
                  : level == 3 ? halved<3>(pyramid, stride, y, x)
                               : halved<4>(pyramid, stride, y, x);
    out[size_t(framed_y) * (level_width + 2 * FRAME) + framed_x] = value;
}

extern "C" __global__ void __launch_bounds__(32)
    match_patches(const float* earlier, const float* current, int width, int height, int levels, const float* prior,
                  int prior_rows, int prior_cols, float* scratch, int* progress) {
    // The coarsest level comes first; on each the rows from the top forth, then from the bottom back.
    int index = levels - 1, turn = take_ticket(progress + tickets_at(height, levels));
    while (index >= 0 && turn >= 2 * patches(height >> index)) {
        turn -= 2 * patches(height >> index);
        --index;
    }
    if (index < 0) {
        return;  // Tickets that were not set back, after a launch that failed.
    }
    Level level = level_of(scratch, progress, width, height, levels, index);
    bool goes_back = turn >= level.rows;
    int row = goes_back ? 2 * level.rows - 1 - turn : turn;
    Row own{earlier + level.pixels, current + level.pixels, level, row, prior != nullptr ? MARGIN : 0.0f};
    if (goes_back) {
        go_back(own);
        tell_through(level, row, BACK);
        blend_rows(level, row);
        return;
    }
    Level coarser{};
    if (index + 1 < levels) {
        coarser = level_of(scratch, progress, width, height, levels, index + 1);
        wait_for_count(coarser.blended, coarser.rows);
    }
    go_forth(own, coarser, Prior{prior, prior_rows, prior_cols});
    tell_through(level, row, FORTH);
}

extern "C" __global__ void sample_flow(float* scratch, int* progress, int width, int height, int levels,
                                       int picture_width, int picture_height, int reduction, float* flow, int rows,
                                       int cols) {
    int cells = rows * cols, cell = blockIdx.x * blockDim.x + threadIdx.x, threads = gridDim.x * blockDim.x;
    Level finest = level_of(scratch, progress, width, height, levels, 0);
    if (cell < cells) {
        float x = 0.0f, y = 0.0f, unit = float(reduction);
        float cell_width = float(picture_width) / float(cols), cell_height = float(picture_height) / float(rows);
        if (finest.rows * finest.cols > 0) {
            float middle_y = (float(cell / cols) + 0.5f) * cell_height / unit;
            float middle_x = (float(cell % cols) + 0.5f) * cell_width / unit;
            Taps down = taps_at(middle_y / float(BLOCK) - 0.5f, finest.rows + 1);
            Taps along = taps_at(middle_x / float(BLOCK) - 0.5f, finest.cols + 1);
            x = between_blocks(finest.blocks, down, along, finest.cols + 1) * unit / cell_width;
            y = between_blocks(finest.blocks + 1, down, along, finest.cols + 1) * unit / cell_height;
        }
        flow[cell] = x;
        flow[cells + cell] = y;
    }
    int words = 0, counters = tickets_at(height, levels) + 1;
    for (int i = 0; i < levels; ++i) {
        words += 2 * patches(height >> i) * patches(width >> i);
    }
    for (int i = cell; i < words; i += threads) {
        reinterpret_cast<Word*>(scratch)[i] = UNKNOWN;
    }
    for (int i = cell; i < counters; i += threads) {
        progress[i] = 0;
    }
}

extern "C" __global__ void compose_flow(const float* earlier, const float* later, float* both, int rows, int cols) {
    int cells = rows * cols, cell = blockIdx.x * blockDim.x + threadIdx.x;
    if (cell >= cells) {
        return;
    }
    float x = finite_or_0(later[cell]), y = finite_or_0(later[cells + cell]);
    Taps down = taps_at(float(cell / cols) + y, rows), along = taps_at(float(cell % cols) + x, cols);
    both[cell] = x + between_cells(earlier, down, along, cols);
    both[cells + cell] = y + between_cells(earlier + cells, down, along, cols);
}
