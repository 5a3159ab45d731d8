// What came into view since the key frame: the logits of cells whose picture is not what was carried there are filled in
// from what their surroundings are.
//
// Twin: engine/cpu/disocclusion.rs. Within 2e-6 of values up to 8, on a device 16e-6 (its exponential), then rounded if f16.
//
//   look_around_f16, _f32   what each cell has to say
//     logits           [classes, rows, cols]
//     glance           [3, fine_rows, fine_cols] f32 (preprocess.cu), as fine as the logits or finer; else do not launch
//     residual_map     [fine_rows, fine_cols] f32 (residual.cu)
//     unit             one of both in parts of the range of colours
//     cells            out [6, rows, cols] f32: red, green, blue, trust, label, strength of its vote
//     launch: block 128, grid ceil(rows cols / 128)
//   fill_in_f16, _f32  trust logits + (1 - trust) votes, in each cell that is trusted by less than 0.8
//     logits           in and out [classes, rows, cols]
//     cells            what look_around wrote
//     step             cells from one voter to the next, each way
//     launch: block 64, grid ceil(rows cols / 64)

#include "segfuse.cuh"

namespace {

/// The residual, in parts of the range of colours, at which trust has fallen to 1/e.
constexpr float DOUBT = 0.068f;
/// Cells that are trusted as much or more stay as they are.
constexpr float SURE = 0.8f;
/// Colours this far apart, root mean square in parts of their range, are not alike.
constexpr float ALIKE_COLOURS = 0.054f;
/// The weight of a cell's own vote.
constexpr float OWN = 0.03f;
/// How strong a vote is, in parts of the range of the voter's logits.
constexpr float STRENGTH = 0.25f;
/// Steps in which voters are looked for, each way.
constexpr int VOTER_STEPS = 5;

/// Threads of a block, each with a cell that is voted on.
constexpr int VOTED_ON = 64;
/// Votes are counted for so many classes at a time: what a block's threads have room for.
constexpr int AT_ONCE = 32;

/// Planes of `cells`.
enum { TRUST = 3, LABEL = 4, VOTE = 5 };

template <class Value>
__device__ void look_around(const Value* logits, int classes, int rows, int cols, const float* glance,
                            const float* residual_map, int fine_rows, int fine_cols, float unit, float* cells) {
    int count = rows * cols, cell = blockIdx.x * blockDim.x + threadIdx.x;
    if (cell >= count) {
        return;
    }
    int row = cell / cols, col = cell % cols;
    for (int colour = 0; colour < 3; ++colour) {
        const float* plane = glance + size_t(colour) * fine_rows * fine_cols;
        cells[size_t(colour) * count + cell] = mean_over(plane, row, col, rows, cols, fine_rows, fine_cols) * unit;
    }
    float apart = mean_over(residual_map, row, col, rows, cols, fine_rows, fine_cols) * unit;
    cells[size_t(TRUST) * count + cell] = expf(-apart / DOUBT);
    int label = 0;
    float best = load(logits, cell), worst = best;
    for (int other = 1; other < classes; ++other) {
        float logit = load(logits, size_t(other) * count + cell);
        label = logit > best ? other : label;
        best = fmaxf(best, logit);
        worst = fminf(worst, logit);
    }
    cells[size_t(LABEL) * count + cell] = float(label);
    cells[size_t(VOTE) * count + cell] = finite_or_0(STRENGTH * (best - worst));
}

template <class Value>
__device__ void fill_in(Value* logits, int classes, int rows, int cols, const float* cells, int step) {
    // Each thread has a column to itself.
    __shared__ float votes[AT_ONCE][VOTED_ON];
    int count = rows * cols, cell = blockIdx.x * blockDim.x + threadIdx.x, thread = threadIdx.x;
    if (cell >= count) {
        return;
    }
    const float *red = cells, *green = cells + count, *blue = cells + size_t(2) * count;
    const float *trusts = cells + size_t(TRUST) * count, *labels = cells + size_t(LABEL) * count;
    const float* strengths = cells + size_t(VOTE) * count;
    float trust = trusts[cell];
    if (!(trust < SURE)) {
        return;
    }
    int row = cell / cols, col = cell % cols;
    for (int first = 0; first < classes; first += AT_ONCE) {
        int here = min(AT_ONCE, classes - first);
        for (int i = 0; i < here; ++i) {
            votes[i][thread] = 0.0f;
        }
        int own = int(labels[cell]) - first;
        if (own >= 0 && own < here) {
            votes[own][thread] = OWN * strengths[cell];
        }
        float weights = OWN;
        for (int down = -VOTER_STEPS; down <= VOTER_STEPS; ++down) {
            int y = row + down * step;
            if (y < 0 || y >= rows) {
                continue;
            }
            for (int along = -VOTER_STEPS; along <= VOTER_STEPS; ++along) {
                int x = col + along * step;
                if (x < 0 || x >= cols || down * down + along * along > VOTER_STEPS * VOTER_STEPS) {
                    continue;
                }
                int voter = y * cols + x;
                float r = red[cell] - red[voter], g = green[cell] - green[voter], b = blue[cell] - blue[voter];
                float apart = r * r + g * g + b * b;
                // 0 as well for what is no number.
                float weight = fmaxf((1.0f - apart * (1.0f / (3.0f * ALIKE_COLOURS * ALIKE_COLOURS))) * trusts[voter], 0.0f);
                int label = int(labels[voter]) - first;
                if (label >= 0 && label < here) {
                    votes[label][thread] += weight * strengths[voter];
                }
                weights += weight;
            }
        }
        float share = (1.0f - trust) / weights;
        for (int i = 0; i < here; ++i) {
            size_t index = size_t(first + i) * count + cell;
            store(logits, index, trust * load(logits, index) + share * votes[i][thread]);
        }
    }
}

}  // namespace

extern "C" __global__ void look_around_f16(const __half* logits, int classes, int rows, int cols, const float* glance,
                                           const float* residual_map, int fine_rows, int fine_cols, float unit,
                                           float* cells) {
    look_around(logits, classes, rows, cols, glance, residual_map, fine_rows, fine_cols, unit, cells);
}

extern "C" __global__ void look_around_f32(const float* logits, int classes, int rows, int cols, const float* glance,
                                           const float* residual_map, int fine_rows, int fine_cols, float unit,
                                           float* cells) {
    look_around(logits, classes, rows, cols, glance, residual_map, fine_rows, fine_cols, unit, cells);
}

extern "C" __global__ void fill_in_f16(__half* logits, int classes, int rows, int cols, const float* cells, int step) {
    fill_in(logits, classes, rows, cols, cells, step);
}

extern "C" __global__ void fill_in_f32(float* logits, int classes, int rows, int cols, const float* cells, int step) {
    fill_in(logits, classes, rows, cols, cells, step);
}
