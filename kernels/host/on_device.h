// Launches kernels on the device: what cuda_on_host.h does for the driver, where the driver is compiled by nvcc.
#pragma once

#include <cuda_runtime_api.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <tuple>
#include <utility>
#include <vector>

namespace device {

inline void check(cudaError_t error, const char* what) {
    if (error != cudaSuccess) {
        std::fprintf(stderr, "run: %s: %s\n", what, cudaGetErrorString(error));
        std::exit(3);
    }
}

inline void* copy_of(const void* bytes, size_t count) {
    void* memory = nullptr;
    check(cudaMalloc(&memory, std::max<size_t>(count, 1)), "cudaMalloc");
    check(cudaMemcpy(memory, bytes, count, cudaMemcpyHostToDevice), "copying to the device");
    return memory;
}

template <class Arguments, size_t... I>
void launch_once(bool together, const void* kernel, dim3 grid, dim3 block, Arguments& arguments,
                 std::index_sequence<I...>) {
    void* pointers[] = {&std::get<I>(arguments)...};
    check(together ? cudaLaunchCooperativeKernel(kernel, grid, block, pointers, 0, nullptr)
                   : cudaLaunchKernel(kernel, grid, block, pointers, 0, nullptr),
          "launch");
}

/// Launches `repeats` times, `reset` before each. If that is more than once, tells the median time and how many bytes
/// of buffers that is a second: of memory or, where all fit, of the second-level cache.
template <class... Arguments>
void launch(bool together, const char* name, void (*kernel)(Arguments...), dim3 grid, dim3 block,
            std::tuple<Arguments...>& arguments, size_t bytes, int repeats, const std::function<void()>& reset) {
    cudaEvent_t begin, end;
    check(cudaEventCreate(&begin), "event");
    check(cudaEventCreate(&end), "event");
    std::vector<float> times_ms;
    for (int i = 0; i < repeats; ++i) {
        reset();
        check(cudaDeviceSynchronize(), "before the launch");
        check(cudaEventRecord(begin), "event");
        launch_once(together, reinterpret_cast<const void*>(kernel), grid, block, arguments,
                    std::index_sequence_for<Arguments...>());
        check(cudaEventRecord(end), "event");
        check(cudaDeviceSynchronize(), name);
        times_ms.push_back(0);
        check(cudaEventElapsedTime(&times_ms.back(), begin, end), "event");
    }
    std::sort(times_ms.begin(), times_ms.end());
    if (repeats > 1) {
        float ms = times_ms[times_ms.size() / 2];
        std::fprintf(stderr, "TIME %-24s grid %4u %4u %2u  %7.1f us  %8zu bytes  %6.1f GB/s\n", name, grid.x, grid.y,
                     grid.z, 1000 * ms, bytes, double(bytes) / ms * 1e-6);
    }
}

}  // namespace device
