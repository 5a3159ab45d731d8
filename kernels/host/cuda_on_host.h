// Runs CUDA kernels as host C++, so that a kernel can be held against its twin where there is no GPU.
//
// One thread of the host does it all. Where a kernel synchronises, each of its threads is a fiber that runs to its next
// barrier, in order; so a barrier left out shows as a wrong result. Known: barriers of a block and of a warp, shuffles
// of full warps, `__nanosleep` (lets the others go on), half precision with the device's rounding. Not known: anything
// of time, of memory that is not coherent, of more than one kernel at once. Shared memory belongs to the one block that
// runs: kernels whose blocks wait for each other (Threads::of_the_grid) cannot have any. Of these so many blocks are
// on the device at once as `host::room` says, and they begin in no order that a kernel may count on: the last one first.
#pragma once

#include <math.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <vector>

#include "fiber.h"
#include "half_on_host.h"
#include "threads.h"

#define __global__
#define __device__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __restrict__
#define __shared__ static

struct dim3 {
    unsigned x = 1, y = 1, z = 1;
};
struct alignas(8) float2 {
    float x, y;
};
using std::max;
using std::min;
inline float2 make_float2(float x, float y) { return {x, y}; }

inline dim3 threadIdx, blockIdx, blockDim, gridDim;

namespace host {

constexpr unsigned WARP = 32;

/// Threads that wait for each other; those that have ended are not waited for.
struct Barrier {
    unsigned alive = 0, waiting = 0, passed = 0;

    void release_if_all_wait() {
        if (waiting > 0 && waiting == alive) {
            waiting = 0;
            ++passed;
        }
    }
};

struct Warp {
    Barrier barrier;
    /// What lanes show each other; two, so that one can be read while the next is written.
    uint64_t shown[2][WARP];
    unsigned turn[WARP] = {};
};

struct Block {
    Barrier barrier;
    std::vector<Warp> warps;
};

struct Thread {
    Fiber fiber;
    dim3 index, block;
    Block* home = nullptr;
    unsigned number = 0;
    bool begun = false, ended = false;
};

/// Blocks that are on the device at once.
inline size_t room = size_t(-1);

/// The threads of the launch that is running.
struct Running {
    std::vector<Thread> threads;
    std::vector<Block> blocks;
    std::function<void()> kernel;
    Fiber scheduler;
    size_t current = 0, alive = 0;
    /// Blocks that have not begun: those with the numbers below; and those from `ended` on are through.
    size_t waiting = 0, ended = 0;
    /// Whether any thread got anywhere since the first one had its last turn.
    bool progress = true;
};
inline Running running;

inline Thread& self() { return running.threads[running.current]; }
inline Warp& own_warp() { return self().home->warps[self().number / WARP]; }

/// Lets the next thread that has not ended go on; the scheduler, if there is none.
inline void switch_to_next() {
    Running& r = running;
    Fiber& from = self().fiber;
    if (r.alive == 0) {
        return switch_fiber(from, r.scheduler);
    }
    size_t size = r.threads.size() / r.blocks.size();
    do {
        if (++r.current >= r.ended * size) {
            r.current = r.waiting * size;
            if (!r.progress) {
                std::fprintf(stderr, "cuda_on_host: %zu threads wait for each other for ever\n", r.alive);
                std::abort();
            }
            r.progress = false;
        }
    } while (!self().begun || self().ended);
    threadIdx = self().index;
    blockIdx = self().block;
    switch_fiber(from, self().fiber);
}

inline void need_fibers() {
    if (running.alive == 0) {
        std::fprintf(stderr, "cuda_on_host: a kernel that synchronises was listed as Threads::alone\n");
        std::abort();
    }
}

inline void wait_at(Barrier& barrier) {
    unsigned passed = barrier.passed;
    running.progress = true;
    ++barrier.waiting;
    barrier.release_if_all_wait();
    while (barrier.passed == passed) {
        switch_to_next();
    }
}

/// Lets the last of the blocks begin that have not.
inline void begin_block() {
    Running& r = running;
    size_t size = r.threads.size() / r.blocks.size(), first = --r.waiting * size;
    for (size_t i = first; i < first + size; ++i) {
        r.threads[i].begun = true;
    }
}

inline void begin_thread() {
    running.kernel();
    Thread& thread = self();
    thread.ended = true;
    --running.alive;
    running.progress = true;
    for (Barrier* barrier : {&thread.home->barrier, &own_warp().barrier}) {
        --barrier->alive;
        barrier->release_if_all_wait();
    }
    if (thread.home->barrier.alive == 0 && running.waiting > 0) {
        begin_block();
    }
    while (running.ended > running.waiting && running.blocks[running.ended - 1].barrier.alive == 0) {
        --running.ended;
    }
    switch_to_next();
}

/// Runs all threads of `count` blocks from number `first` on: at once, as far as there is room.
inline void run_together(size_t first, size_t count) {
    Running& r = running;
    unsigned size = blockDim.x * blockDim.y * blockDim.z;
    if (r.threads.size() != count * size) {
        r.threads = std::vector<Thread>(count * size);
    }
    r.blocks.assign(count, Block{{size}, std::vector<Warp>((size + WARP - 1) / WARP)});
    for (size_t i = 0; i < r.threads.size(); ++i) {
        Thread& thread = r.threads[i];
        unsigned number = unsigned(i % size), block = unsigned(first + i / size);
        thread.index = {number % blockDim.x, number / blockDim.x % blockDim.y, number / blockDim.x / blockDim.y};
        thread.block = {block % gridDim.x, block / gridDim.x % gridDim.y, block / gridDim.x / gridDim.y};
        thread.home = &r.blocks[i / size];
        thread.number = number;
        thread.begun = thread.ended = false;
        ++thread.home->warps[number / WARP].barrier.alive;
        thread.fiber.prepare(begin_thread);
    }
    r.alive = r.threads.size();
    r.waiting = r.ended = count;
    for (size_t begun = 0; begun < std::min(count, std::max(room, size_t(1))); ++begun) {
        begin_block();
    }
    r.current = r.waiting * size;
    r.progress = true;
    threadIdx = self().index;
    blockIdx = self().block;
    switch_fiber(r.scheduler, self().fiber);
}

inline void run_alone(unsigned number) {
    threadIdx = {number % blockDim.x, number / blockDim.x % blockDim.y, number / blockDim.x / blockDim.y};
    running.kernel();
}

/// Launches `kernel`, a call with all its arguments.
inline void launch(Threads which, dim3 grid, dim3 block, std::function<void()> kernel) {
    gridDim = grid;
    blockDim = block;
    running.kernel = std::move(kernel);
    size_t blocks = size_t(grid.x) * grid.y * grid.z;
    if (which == Threads::of_the_grid) {
        return run_together(0, blocks);
    }
    for (size_t number = 0; number < blocks; ++number) {
        if (which == Threads::of_a_block) {
            run_together(number, 1);
            continue;
        }
        blockIdx = {unsigned(number % grid.x), unsigned(number / grid.x % grid.y), unsigned(number / grid.x / grid.y)};
        for (unsigned thread = 0; thread < block.x * block.y * block.z; ++thread) {
            run_alone(thread);
        }
    }
}

/// The value that lane `lane` of the warp shows.
template <class T>
T shown_by(T value, unsigned lane) {
    need_fibers();
    Warp& warp = own_warp();
    unsigned own = self().number % WARP, turn = warp.turn[own]++ % 2;
    std::memcpy(&warp.shown[turn][own], &value, sizeof value);
    wait_at(warp.barrier);
    std::memcpy(&value, &warp.shown[turn][lane % WARP], sizeof value);
    return value;
}

}  // namespace host

inline void __syncthreads() {
    host::need_fibers();
    host::wait_at(host::self().home->barrier);
}
inline void __syncwarp() {
    host::need_fibers();
    host::wait_at(host::own_warp().barrier);
}
inline void __nanosleep(unsigned) {
    host::need_fibers();
    host::switch_to_next();
}
inline void __threadfence() {}

template <class T>
T __shfl_sync(unsigned, T value, int lane) {
    return host::shown_by(value, unsigned(lane));
}
template <class T>
T __shfl_xor_sync(unsigned, T value, int mask) {
    return host::shown_by(value, (host::self().number % host::WARP) ^ unsigned(mask));
}
inline unsigned __float_as_uint(float value) { return host::bits_of(value); }
inline float __uint_as_float(unsigned bits) { return host::float_of(bits); }
inline int atomicAdd(int* place, int more) {
    int before = *place;
    *place = before + more;
    return before;
}
