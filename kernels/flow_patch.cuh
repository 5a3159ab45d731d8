// One 8x8 patch of the current picture and the search for it in the earlier one, by all lanes of a warp. For flow.cu
// alone.
//
// Twin: flow/patch.rs, whose header has the formulas. Eight lanes hold a patch, a column each; the four groups of a
// warp hold the same one, and compare up to four starts at once. Sums over lanes are (a + b) + (c + d), as the twin
// adds.
#pragma once

#include "flow_levels.cuh"

namespace {

constexpr unsigned ALL_LANES = 0xffffffff;
constexpr float PIXELS = SIDE * SIDE;
constexpr float QUARTER = PIXELS / 4;
/// Added to the diagonal of H: the gradient energy that camera noise alone has in a patch.
constexpr float DAMPING = PIXELS;
/// A search that has gone further than a patch has lost it.
constexpr float FARTHEST = SIDE;
constexpr int STEPS = 6;
/// Steps below this many pixels change nothing that matters.
constexpr float SMALLEST_STEP = 0.05f;
/// Starts not further apart lead a search to the same place, in pixels.
constexpr float ALIKE = 0.5f;
/// Groups of lanes in a warp; each compares another start.
constexpr int GROUPS = 4;
/// The most starts of a search: prior, coarser level, left, above, none.
constexpr int MOST_STARTS = 5;

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
    Fit fit{motion,
            {upper_squares.x, upper_squares.y, lower_squares.x, lower_squares.y},
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
__device__ __forceinline__ Fit best_start(const Patch& patch, const float* earlier, const Level& level,
                                          const Starts& starts, float margin) {
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
__device__ __forceinline__ Fit search(const Patch& patch, const float* earlier, const Level& level,
                                      const Starts& starts, float margin) {
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

}  // namespace
