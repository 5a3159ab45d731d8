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
//     prior         [2, prior_rows, prior_cols] f32, in its cells: where to look first, 0 if not finite; or null
//     scratch       f32, 8-byte aligned: the sum over levels of 8 R C + 2 (R + 1) (C + 1) values; all bits set (bytes 0xff)
//                   before
//     progress      i32: the sum over levels of R + 1; zeros before
//     launch: block 32, grid (sum over levels of R); all blocks wait for each other, so they must fit on the device at
//     once (150 warps at most): launch cooperatively
//
//   sample_flow     from blocks of 4x4 pixels to the grid of features; makes scratch and progress what match_patches needs
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

namespace {

constexpr unsigned ALL_LANES = 0xffffffff;
/// Pixels of a patch's side, and lanes that work on one: a column each.
constexpr int SIDE = 8;
/// Pixels between patches and to a block's side.
constexpr int BLOCK = 4;
constexpr float PIXELS = SIDE * SIDE;
constexpr float QUARTER = PIXELS / 4;
/// Added to the diagonal of H: the gradient energy that camera noise alone has in a patch.
constexpr float DAMPING = PIXELS;
/// A search that has gone further than a patch has lost it.
constexpr float FARTHEST = SIDE;
constexpr int STEPS = 6;
/// Steps below this many pixels change nothing that matters.
constexpr float SMALLEST_STEP = 0.05f;
/// Squared difference of a block that counts as none.
constexpr float NOISE = BLOCK * BLOCK;
/// A prior is left only for a patch that fits better by this much, squared difference.
constexpr float MARGIN = 8.0f * SIDE * SIDE;
/// Starts not further apart lead a search to the same place, in pixels.
constexpr float ALIKE = 0.5f;
/// What was found already is searched for again only from further away.
constexpr float APART = 1.0f;
/// Groups of lanes in a warp; each compares another start.
constexpr int GROUPS = 4;
/// The most starts of a search: prior, coarser level, left, above, none.
constexpr int MOST_STARTS = 5;

/// A motion in one word, so that it is there or not, never half; UNKNOWN until it is written.
typedef unsigned long long Word;
constexpr Word UNKNOWN = ~Word(0);

__device__ __forceinline__ Word to_word(float2 motion) {
    return Word(__float_as_uint(motion.y)) << 32 | __float_as_uint(motion.x);
}

__device__ __forceinline__ float2 to_motion(Word word) {
    return make_float2(__uint_as_float(unsigned(word)), __uint_as_float(unsigned(word >> 32)));
}

/// Reads what another warp may be writing.
template <class Value>
__device__ __forceinline__ Value fetch(const Value* place) {
    return *static_cast<const volatile Value*>(place);
}

__device__ __forceinline__ float2 wait_for_motion(const Word* place) {
    Word word = fetch(place);
    while (word == UNKNOWN) {
        __nanosleep(20);
        word = fetch(place);
    }
    return to_motion(word);
}

/// Waits until a counter has come so far: what was written before it was counted can then be read.
__device__ __forceinline__ void wait_for_count(const int* counter, int count) {
    while (fetch(counter) < count) {
        __nanosleep(20);
    }
    __threadfence();
}

__device__ __forceinline__ int patches(int side) { return side < SIDE ? 0 : (side - SIDE) / BLOCK + 1; }

/// One level: its shape, where it begins in a pyramid, what is found on it.
struct Level {
    int width, height, rows, cols;
    size_t pixels;
    /// [rows, cols]: motions found on the way forth and on the way back.
    Word *forth, *back;
    /// [rows, cols, 4]: squared differences of the quarters of each patch.
    float* quarters;
    /// [rows + 1, cols + 1, 2]: the motion of blocks.
    float* blocks;
    /// [rows]: whether the row is through; and how many rows of patches have their blocks.
    int *through, *blended;

    __device__ __forceinline__ int stride() const { return width + 2 * FRAME; }
};

__device__ __forceinline__ Level level_of(float* scratch, int* progress, int width, int height, int levels, int index) {
    int all = 0;
    for (int i = 0; i < levels; ++i) {
        all += patches(height >> i) * patches(width >> i);
    }
    Level level{};
    int before = 0, blocks = 0, rows = 0;
    for (int i = 0; i <= index; ++i) {
        level.width = width >> i;
        level.height = height >> i;
        level.rows = patches(level.height);
        level.cols = patches(level.width);
        if (i < index) {
            level.pixels += size_t(level.height + 2 * FRAME) * level.stride();
            before += level.rows * level.cols;
            blocks += (level.rows + 1) * (level.cols + 1);
            rows += level.rows + 1;
        }
    }
    level.forth = reinterpret_cast<Word*>(scratch) + before;
    level.back = reinterpret_cast<Word*>(scratch) + all + before;
    level.quarters = scratch + 4 * all + 4 * before;
    level.blocks = scratch + 8 * all + 2 * blocks;
    level.through = progress + rows;
    level.blended = level.through + level.rows;
    return level;
}

/// How a patch fits at some displacement, and the step to take from there.
struct Fit {
    float2 motion;
    /// Upper left, upper right, lower left, lower right.
    float quarters[4];
    float2 step;

    __device__ __forceinline__ float error() const { return (quarters[0] + quarters[1]) + (quarters[2] + quarters[3]); }
};

__device__ __forceinline__ Fit fit_of_lane(Fit fit, int lane) {
    fit.motion.x = __shfl_sync(ALL_LANES, fit.motion.x, lane);
    fit.motion.y = __shfl_sync(ALL_LANES, fit.motion.y, lane);
    fit.step.x = __shfl_sync(ALL_LANES, fit.step.x, lane);
    fit.step.y = __shfl_sync(ALL_LANES, fit.step.y, lane);
#pragma unroll
    for (int i = 0; i < 4; ++i) {
        fit.quarters[i] = __shfl_sync(ALL_LANES, fit.quarters[i], lane);
    }
    return fit;
}

/// Sum of the left or right four lanes of a group, each in its half; (a + b) + (c + d), as the twin adds.
__device__ __forceinline__ float half_of(float lanes) {
    lanes += __shfl_xor_sync(ALL_LANES, lanes, 1);
    return lanes + __shfl_xor_sync(ALL_LANES, lanes, 2);
}

__device__ __forceinline__ float total(float lanes) {
    lanes = half_of(lanes);
    return lanes + __shfl_xor_sync(ALL_LANES, lanes, 4);
}

/// Sums of the left and of the right four lanes, in every lane.
__device__ __forceinline__ float2 halves(float lanes) {
    float own = half_of(lanes), other = __shfl_xor_sync(ALL_LANES, own, 4);
    return threadIdx.x & 4 ? make_float2(other, own) : make_float2(own, other);
}

/// Where a patch still lies in the framed image: the pixel at or before `place`, and the share of the next.
__device__ __forceinline__ int split_framed(float place, int count, float& share) {
    place = fminf(fmaxf(place, -float(FRAME)), float(count) + float(FRAME) - float(SIDE + 2));
    float first = floorf(place);
    share = place - first;
    return int(first);
}

/// A column of a patch made ready to be searched for; all groups of lanes hold the same patch.
struct Patch {
    int x, y;
    float pixels[SIDE], gradient_x[SIDE], gradient_y[SIDE];
    /// The inverse of the damped H.
    float xx, xy, yy;

    __device__ __forceinline__ Patch(const float* current, const Level& level, int x, int y);
    __device__ __forceinline__ Fit compare(const float* earlier, const Level& level, float2 motion) const;
};

__device__ __forceinline__ void take_mean_out(float (&column)[SIDE]) {
    float sum = column[0];
#pragma unroll
    for (int row = 1; row < SIDE; ++row) {
        sum += column[row];
    }
    float mean = total(sum) / PIXELS;
#pragma unroll
    for (int row = 0; row < SIDE; ++row) {
        column[row] -= mean;
    }
}

__device__ __forceinline__ float dot(const float (&one)[SIDE], const float (&other)[SIDE]) {
    float sum = one[0] * other[0];
#pragma unroll
    for (int row = 1; row < SIDE; ++row) {
        sum += one[row] * other[row];
    }
    return total(sum);
}

__device__ __forceinline__ Patch::Patch(const float* current, const Level& level, int x, int y) : x(x), y(y) {
    int stride = level.stride();
    const float* column = current + size_t(y + FRAME) * stride + x + FRAME + threadIdx.x % SIDE;
#pragma unroll
    for (int row = 0; row < SIDE; ++row) {
        const float* here = column + row * stride;
        pixels[row] = here[0];
        gradient_x[row] = (here[1] - here[-1]) * 0.5f;
        gradient_y[row] = (here[stride] - here[-stride]) * 0.5f;
    }
    take_mean_out(gradient_x);
    take_mean_out(gradient_y);
    float h_xx = dot(gradient_x, gradient_x) + DAMPING, h_yy = dot(gradient_y, gradient_y) + DAMPING;
    float h_xy = dot(gradient_x, gradient_y), determinant = h_xx * h_yy - h_xy * h_xy;
    xx = h_yy / determinant;
    xy = -h_xy / determinant;
    yy = h_xx / determinant;
}

__device__ __forceinline__ Fit Patch::compare(const float* earlier, const Level& level, float2 motion) const {
    float right, down;
    int left = split_framed(float(x) + motion.x, level.width, right);
    int top = split_framed(float(y) + motion.y, level.height, down);
    int stride = level.stride();
    const float* column = earlier + size_t(top + FRAME) * stride + left + FRAME + threadIdx.x % SIDE;
    float along_x = 0.0f, along_y = 0.0f, sums[2] = {}, squares[2] = {};
    float above = column[0] + (column[1] - column[0]) * right;
#pragma unroll
    for (int row = 0; row < SIDE; ++row) {
        const float* next = column + (row + 1) * stride;
        float below = next[0] + (next[1] - next[0]) * right;
        float apart = above + (below - above) * down - pixels[row];
        sums[row / BLOCK] += apart;
        squares[row / BLOCK] += apart * apart;
        along_x += gradient_x[row] * apart;
        along_y += gradient_y[row] * apart;
        above = below;
    }
    along_x = total(along_x);
    along_y = total(along_y);
    float2 upper = halves(sums[0]), lower = halves(sums[1]), upper_squares = halves(squares[0]),
           lower_squares = halves(squares[1]);
    float mean = ((upper.x + upper.y) + (lower.x + lower.y)) / PIXELS;
    float by_quarter[4] = {upper.x, upper.y, lower.x, lower.y};
    Fit fit{motion, {upper_squares.x, upper_squares.y, lower_squares.x, lower_squares.y},
            make_float2(xx * along_x + xy * along_y, xy * along_x + yy * along_y)};
#pragma unroll
    for (int i = 0; i < 4; ++i) {
        fit.quarters[i] = fmaxf(fit.quarters[i] - mean * (2.0f * by_quarter[i] - QUARTER * mean), 0.0f);
    }
    return fit;
}

__device__ __forceinline__ bool within(float pixels, float2 one, float2 other) {
    return fabsf(one.x - other.x) <= pixels && fabsf(one.y - other.y) <= pixels;
}

/// Places to begin a search at: no two that lead to the same place.
struct Starts {
    float2 offered[MOST_STARTS];
    bool taken[MOST_STARTS] = {};
    int count = 0;
    /// The one that this group of lanes compares, and the one that is left over.
    float2 own = {0.0f, 0.0f}, last = {0.0f, 0.0f};

    template <int SLOT>
    __device__ __forceinline__ void offer(float2 motion) {
#pragma unroll
        for (int i = 0; i < SLOT; ++i) {
            if (taken[i] && within(ALIKE, offered[i], motion)) {
                return;
            }
        }
        offered[SLOT] = motion;
        taken[SLOT] = true;
        if (count == int(threadIdx.x) / SIDE) {
            own = motion;
        }
        last = motion;
        ++count;
    }
};

/// The best of the starts, each compared by a group of lanes; another than the first has to be better by `margin`.
__device__ __forceinline__ Fit best_start(const Patch& patch, const float* earlier, const Level& level, const Starts& starts,
                          float margin) {
    Fit fit = patch.compare(earlier, level, starts.own);
    float error = fit.error(), bar = INFINITY;
    int best = -1;
    for (int i = 0; i < GROUPS; ++i) {
        float found = __shfl_sync(ALL_LANES, error, i * SIDE);
        if (i < starts.count && found < bar) {
            bar = found - (i == 0 ? margin : 0.0f);
            best = i;
        }
    }
    Fit chosen = fit_of_lane(fit, max(best, 0) * SIDE);
    if (starts.count > GROUPS) {
        fit = patch.compare(earlier, level, starts.last);
        if (fit.error() < bar) {
            return fit;
        }
    }
    return best < 0 ? Fit{{0.0f, 0.0f}, {INFINITY, INFINITY, INFINITY, INFINITY}, {0.0f, 0.0f}} : chosen;
}

/// The best of the starts, refined. Fits never get worse than the best start.
__device__ __forceinline__ Fit search(const Patch& patch, const float* earlier, const Level& level, const Starts& starts, float margin) {
    Fit best = best_start(patch, earlier, level, starts, margin);
    float2 start = best.motion;
#pragma unroll 1
    for (int i = 0; i < STEPS; ++i) {
        if (fmaxf(fabsf(best.step.x), fabsf(best.step.y)) < SMALLEST_STEP) {
            break;
        }
        float2 motion = make_float2(best.motion.x - best.step.x, best.motion.y - best.step.y);
        bool lost = fabsf(motion.x - start.x) > FARTHEST || fabsf(motion.y - start.y) > FARTHEST;
        if (lost) {
            break;
        }
        Fit fit = patch.compare(earlier, level, motion);
        if (fit.error() >= best.error()) {
            break;
        }
        best = fit;
    }
    return best;
}

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
            float error = (quarters[0] + quarters[1]) + (quarters[2] + quarters[3]);
            Fit fit = search(row.patch(col), row.earlier, level, starts, 0.0f);
            if (fit.error() + row.margin < error) {
                right = fit.motion;
                row.keep(col, fit);
            }
        }
        row.publish(level.back, col, right);
    }
}

/// The mean motion of the up to four patches over each block of a row, each weighted by how well it fits there, squared.
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

/// The blocks below a row of patches, once the next row is through; the first row has those above it too.
__device__ __forceinline__ void blend_rows(const Level& level, int row) {
    __syncwarp();
    if (threadIdx.x == 0) {
        __threadfence();
        *static_cast<volatile int*>(level.through + row) = 1;
    }
    if (row + 1 < level.rows) {
        wait_for_count(level.through + row + 1, 1);
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
    float upper = mix(blocks[2 * (down.first * cols + along.first)], blocks[2 * (down.first * cols + along.second)],
                      along.share);
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
    // The coarsest level's rows come first.
    int index = levels - 1, row = blockIdx.x;
    while (row >= patches(height >> index)) {
        row -= patches(height >> index);
        --index;
    }
    Level level = level_of(scratch, progress, width, height, levels, index), coarser{};
    if (index + 1 < levels) {
        coarser = level_of(scratch, progress, width, height, levels, index + 1);
        wait_for_count(coarser.blended, coarser.rows);
    }
    Row own{earlier + level.pixels, current + level.pixels, level, row, prior != nullptr ? MARGIN : 0.0f};
    go_forth(own, coarser, Prior{prior, prior_rows, prior_cols});
    __syncwarp();
    go_back(own);
    blend_rows(level, row);
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
    int words = 0, counters = 0;
    for (int i = 0; i < levels; ++i) {
        words += 2 * patches(height >> i) * patches(width >> i);
        counters += patches(height >> i) + 1;
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
