// Levels of a grey pyramid, what is found on each, and how warps tell each other of it. For flow.cu alone.
#pragma once

#include "segfuse.cuh"

namespace {

/// Pixels of a patch's side, and lanes that work on one: a column each.
constexpr int SIDE = 8;
/// Pixels between patches and to a block's side.
constexpr int BLOCK = 4;

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

/// Where, behind all counters of the levels, the next ticket is.
__device__ __forceinline__ int tickets_at(int height, int levels) {
    int counters = 0;
    for (int i = 0; i < levels; ++i) {
        counters += patches(height >> i) + 1;
    }
    return counters;
}

/// The warp's turn, in the order in which warps begin: blocks need not begin in that of their numbers.
__device__ __forceinline__ int take_ticket(int* next) {
    int ticket = threadIdx.x == 0 ? atomicAdd(next, 1) : 0;
    return __shfl_sync(0xffffffffu, ticket, 0);
}

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
    /// [rows]: how far the row is through; and how many rows of patches have their blocks.
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

}  // namespace
