// Runs one kernel on the host: the case on standard input, what it wrote on standard output.
//
// Numbers are little-endian. Case: length (u32) and name of the kernel; grid and block (3 u32 each); then each
// argument: a pointer as 0 (u8, null) or 1, length in bytes (u64) and bytes; anything else as its bytes. Answer: the
// bytes behind each pointer that the kernel may write to, in order. Every buffer is an allocation of its own and no
// longer than stated, so the address sanitizer sees what is read or written beside it. An argument says for how many
// blocks there is room at once.

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
#include <tuple>
#include <type_traits>
#include <vector>

#include "../decode_mask.cu"
#include "../disocclusion.cu"
#include "../ego_flow.cu"
#include "../flow.cu"
#include "../preprocess.cu"
#include "../residual.cu"
#include "../warp_features.cu"

#include "threads.h"

/// Conversions by themselves, for the test of half precision.
extern "C" __global__ void widen(const __half* halves, float* floats, int count) {
    for (int i = 0; i < count; ++i) floats[i] = __half2float(halves[i]);
}
extern "C" __global__ void narrow(const float* floats, __half* halves, int count) {
    for (int i = 0; i < count; ++i) halves[i] = __float2half_rn(floats[i]);
}
/// Where output samples lie, for the test of whole-number arithmetic.
extern "C" __global__ void taps(int input, int output, int* first, float* share) {
    for (int i = 0; i < output; ++i) {
        Taps found = taps_of(i, input, output);
        first[i] = found.first;
        share[i] = found.share;
    }
}

static void read_bytes(void* into, size_t count) {
    if (count > 0 && std::fread(into, 1, count, stdin) != count) {
        std::fprintf(stderr, "run: the case ends too early\n");
        std::exit(2);
    }
}

template <class T>
static T read_value() {
    T value;
    read_bytes(&value, sizeof value);
    return value;
}

struct Buffer {
    void* bytes;
    size_t count;
};
static std::vector<Buffer> written, read_only;

template <class T>
static T read_argument() {
    if constexpr (std::is_pointer_v<T>) {
        if (read_value<uint8_t>() == 0) return nullptr;
        size_t count = read_value<uint64_t>();
        Buffer buffer{std::malloc(count), count};
        read_bytes(buffer.bytes, count);
        (std::is_const_v<std::remove_pointer_t<T>> ? read_only : written).push_back(buffer);
        return static_cast<T>(buffer.bytes);
    } else {
        return read_value<T>();
    }
}

struct Kernel {
    const char* name;
    std::function<void(dim3 grid, dim3 block)> run;
};

template <class... Arguments>
static Kernel kernel(const char* name, void (*function)(Arguments...), Threads which = Threads::alone) {
    return {name, [=](dim3 grid, dim3 block) {
                // Braces: from left to right.
                std::tuple<Arguments...> arguments{read_argument<Arguments>()...};
                host::launch(which, grid, block, [&] { std::apply(function, arguments); });
            }};
}
#define KERNEL(name, ...) kernel(#name, name, ##__VA_ARGS__)

int main(int count, char** arguments) {
    if (count > 1) host::room = size_t(std::atol(arguments[1]));
    const Kernel kernels[] = {
        KERNEL(widen),
        KERNEL(narrow),
        KERNEL(taps),
        KERNEL(preprocess_f16, Threads::of_a_block),
        KERNEL(preprocess_f32, Threads::of_a_block),
        KERNEL(build_pyramid),
        KERNEL(match_patches, Threads::of_the_grid),
        KERNEL(sample_flow),
        KERNEL(compose_flow),
        KERNEL(warp_features_f16),
        KERNEL(warp_features_f32),
        KERNEL(warp_features_f16_hwc8),
        KERNEL(decode_mask_f16, Threads::of_a_block),
        KERNEL(decode_mask_f32, Threads::of_a_block),
        KERNEL(decode_nearest_f16),
        KERNEL(decode_nearest_f32),
        KERNEL(ego_flow),
        KERNEL(residual),
        KERNEL(sum_residual, Threads::of_a_block),
        KERNEL(blend_features_f16),
        KERNEL(blend_features_f32),
        KERNEL(blend_features_f16_hwc8),
        KERNEL(average_blocks_f16),
        KERNEL(average_blocks_f32),
        KERNEL(look_around_f16),
        KERNEL(look_around_f32),
        KERNEL(fill_in_f16),
        KERNEL(fill_in_f32),
    };
    std::string name(read_value<uint32_t>(), ' ');
    read_bytes(name.data(), name.size());
    dim3 grid = read_value<dim3>(), block = read_value<dim3>();
    for (const Kernel& kernel : kernels) {
        if (name != kernel.name) continue;
        kernel.run(grid, block);
        for (const Buffer& buffer : written) std::fwrite(buffer.bytes, 1, buffer.count, stdout);
        for (const Buffer& buffer : read_only) std::free(buffer.bytes);
        for (const Buffer& buffer : written) std::free(buffer.bytes);
        return 0;
    }
    std::fprintf(stderr, "run: no kernel '%s'\n", name.c_str());
    return 2;
}
