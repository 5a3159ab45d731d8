// A stand-in for libcuda.so.1: NVIDIA's driver API over host memory, running the kernels as host C++ (kernels/host).
//
// What calls the driver is so driven end to end where there is no GPU: images are looked at, kernels are found by their
// names and get the arguments, grids and blocks that they were launched with, graphs are recorded and replayed. Work is
// done when it is asked for; streams, priorities and events only have their order. It says nothing of time on a device.
// While a stream is captured, what would wait or allocate is refused and spoils the capture, as the driver has it.
//
// The environment changes what it plays:
//   STANDIN_DEVICES=0         a driver, and no GPU
//   STANDIN_START=802         this error when it is asked to start
//   STANDIN_DRIVER=11020      another version of the driver
//   STANDIN_REFUSES=222       this error for every image that is loaded
//   STANDIN_MEMORY=1000000    bytes of device memory
//   STANDIN_CAPABILITY=72     another compute capability
//   STANDIN_NAME=Orin         another name of the GPU
//   STANDIN_ROOM=1            so many blocks of a kernel are on the device at once, where they wait for each other
//   STANDIN_NO_GRAPHS=1       no graph can be instantiated
//   STANDIN_TELLS=1           at the end, how many launches there were, by themselves and in graphs
//   STANDIN_FAULT=NAME        the kernel of this name accesses memory that is not its own; every call after it fails

#include <chrono>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <tuple>

#include "../../kernels/host/threads.h"
#include "../../kernels/host/cuda_on_host.h"

#include "../../kernels/decode_mask.cu"
#include "../../kernels/disocclusion.cu"
#include "../../kernels/ego_flow.cu"
#include "../../kernels/flow.cu"
#include "../../kernels/preprocess.cu"
#include "../../kernels/residual.cu"
#include "../../kernels/warp_features.cu"

namespace {

enum Result {
    SUCCESS = 0,
    INVALID_VALUE = 1,
    OUT_OF_MEMORY = 2,
    NOT_INITIALIZED = 3,
    NO_DEVICE = 100,
    INVALID_DEVICE = 101,
    INVALID_IMAGE = 200,
    INVALID_HANDLE = 400,
    NOT_FOUND = 500,
    ILLEGAL_ADDRESS = 700,
    NOT_SUPPORTED = 801,
    STREAM_CAPTURE_UNSUPPORTED = 900,
    STREAM_CAPTURE_INVALIDATED = 901,
    CAPTURED_EVENT = 907,
};

const char* name_of(int result) {
    switch (result) {
        case SUCCESS: return "CUDA_SUCCESS";
        case INVALID_VALUE: return "CUDA_ERROR_INVALID_VALUE";
        case OUT_OF_MEMORY: return "CUDA_ERROR_OUT_OF_MEMORY";
        case NOT_INITIALIZED: return "CUDA_ERROR_NOT_INITIALIZED";
        case NO_DEVICE: return "CUDA_ERROR_NO_DEVICE";
        case INVALID_DEVICE: return "CUDA_ERROR_INVALID_DEVICE";
        case INVALID_IMAGE: return "CUDA_ERROR_INVALID_IMAGE";
        case 222: return "CUDA_ERROR_UNSUPPORTED_PTX_VERSION";
        case INVALID_HANDLE: return "CUDA_ERROR_INVALID_HANDLE";
        case NOT_FOUND: return "CUDA_ERROR_NOT_FOUND";
        case ILLEGAL_ADDRESS: return "CUDA_ERROR_ILLEGAL_ADDRESS";
        case NOT_SUPPORTED: return "CUDA_ERROR_NOT_SUPPORTED";
        case STREAM_CAPTURE_UNSUPPORTED: return "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED";
        case STREAM_CAPTURE_INVALIDATED: return "CUDA_ERROR_STREAM_CAPTURE_INVALIDATED";
        case CAPTURED_EVENT: return "CUDA_ERROR_CAPTURED_EVENT";
        default: return "CUDA_ERROR_UNKNOWN";
    }
}

long played(const char* variable, long otherwise) {
    const char* value = std::getenv(variable);
    return value ? std::atol(value) : otherwise;
}

using Work = std::function<void()>;

/// What is to be done, and in a node of a graph by which kernel.
struct Node {
    Work work;
    const void* kernel = nullptr;
};
/// Nodes stay where they are: their addresses are their handles.
using Graph = std::list<Node>;
struct Executable {
    std::vector<Node> nodes;
    /// The nodes of the graph that it was made of.
    std::vector<const Node*> origins;
};

struct Stream {
    bool captures = false, spoilt = false;
    Graph captured;
};
struct Event {
    std::chrono::steady_clock::time_point recorded{};
    /// Recorded in a stream that was captured: nobody can wait for it.
    bool captured = false;
};

/// A kernel, and how its arguments are copied at a launch.
struct Kernel {
    std::string name;
    Threads threads;
    std::function<std::function<void()>(void** arguments)> bound;
};

template <class... Arguments, size_t... Places>
std::tuple<Arguments...> copied(void** arguments, std::index_sequence<Places...>) {
    return {*static_cast<Arguments*>(arguments[Places])...};
}

template <class... Arguments>
Kernel kernel(const char* name, void (*function)(Arguments...), Threads threads = Threads::alone) {
    auto bound = [=](void** arguments) {
        auto values = copied<Arguments...>(arguments, std::index_sequence_for<Arguments...>());
        return [=] { std::apply(function, values); };
    };
    return {name, threads, bound};
}
#define KERNEL(name, ...) kernel(#name, name, ##__VA_ARGS__)

Kernel kernels[] = {
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

/// Guards everything: the kernels' host has one launch at a time.
std::recursive_mutex all;
std::map<uintptr_t, size_t> allocations;
size_t in_use = 0;
bool initialized = false, broken = false;
int context, module;
thread_local void* current = nullptr;
/// The stream that this thread captures.
thread_local Stream* capturing = nullptr;

/// What was launched, by itself and as nodes of graphs.
struct Told {
    long alone = 0, graphs = 0, nodes = 0;
    ~Told() {
        if (std::getenv("STANDIN_TELLS")) {
            std::fprintf(stderr, "stand-in: %ld launches, %ld graphs of %ld launches\n", alone, graphs, nodes);
        }
    }
} told;

size_t memory() { return size_t(played("STANDIN_MEMORY", 4L << 30)); }

/// What every call begins with.
#define BEGIN                                        \
    std::lock_guard<std::recursive_mutex> guard(all); \
    if (!initialized) return NOT_INITIALIZED;         \
    if (broken) return ILLEGAL_ADDRESS;

/// What a thread must not do while it captures: the capture is spoilt by it.
#define NOT_WHILE_CAPTURING                \
    if (capturing) {                       \
        capturing->spoilt = true;          \
        return STREAM_CAPTURE_UNSUPPORTED; \
    }

/// Whether `count` bytes from `address` on are within one allocation.
bool is_allocated(uint64_t address, size_t count) {
    auto after = allocations.upper_bound(uintptr_t(address));
    if (after == allocations.begin()) return false;
    auto [start, size] = *--after;
    return address + count <= start + size;
}

int ask(Stream* stream, Work work) {
    if (stream && stream->captures) {
        stream->captured.push_back({std::move(work)});
    } else {
        work();
    }
    return broken ? ILLEGAL_ADDRESS : SUCCESS;
}

/// What a launch does; nothing if it cannot be.
Work launched(Kernel* kernel, dim3 grid, dim3 block, void** arguments) {
    if (grid.x * grid.y * grid.z == 0 || block.x * block.y * block.z > 1024 || grid.y > 65535 || grid.z > 65535) {
        return {};
    }
    auto bound = kernel->bound(arguments);
    return [=] {
        const char* fault = std::getenv("STANDIN_FAULT");
        if (fault && kernel->name == fault) {
            broken = true;
            return;
        }
        host::room = size_t(played("STANDIN_ROOM", -1));
        host::launch(kernel->threads, grid, block, bound);
    };
}

/// `CUDA_KERNEL_NODE_PARAMS` of CUDA 12.
struct NodeParameters {
    Kernel* kernel;
    unsigned grid_x, grid_y, grid_z, block_x, block_y, block_z, shared_bytes;
    void **arguments, **extra;
    void *kern, *context;

    Work work() const {
        return launched(kernel, {grid_x, grid_y, grid_z}, {block_x, block_y, block_z}, arguments);
    }
};

}  // namespace

extern "C" {

int cuInit(unsigned) {
    std::lock_guard<std::recursive_mutex> guard(all);
    if (played("STANDIN_DEVICES", 1) == 0) return NO_DEVICE;
    if (int refused = int(played("STANDIN_START", SUCCESS))) return refused;
    initialized = true;
    return SUCCESS;
}
int cuDriverGetVersion(int* version) {
    *version = int(played("STANDIN_DRIVER", 13000));
    return SUCCESS;
}
int cuGetErrorName(int result, const char** name) {
    *name = name_of(result);
    return SUCCESS;
}
int cuGetErrorString(int, const char** words) {
    *words = "said by the stand-in";
    return SUCCESS;
}
int cuDeviceGetCount(int* count) {
    *count = int(played("STANDIN_DEVICES", 1));
    return SUCCESS;
}
int cuDeviceGet(int* device, int number) {
    BEGIN
    *device = number;
    return number < played("STANDIN_DEVICES", 1) ? SUCCESS : INVALID_DEVICE;
}
int cuDeviceGetName(char* name, int size, int) {
    const char* played_name = std::getenv("STANDIN_NAME");
    std::snprintf(name, size_t(size), "%s", played_name ? played_name : "stand-in on the host (no GPU)");
    return SUCCESS;
}
int cuDeviceTotalMem_v2(size_t* bytes, int) {
    *bytes = memory();
    return SUCCESS;
}
int cuDeviceGetAttribute(int* value, int attribute, int) {
    BEGIN
    int capability = int(played("STANDIN_CAPABILITY", 90));
    switch (attribute) {
        case 16: *value = 1; return SUCCESS;                  // multiprocessors
        case 75: *value = capability / 10; return SUCCESS;    // compute capability, major
        case 76: *value = capability % 10; return SUCCESS;    // and minor
        default: *value = 0; return SUCCESS;
    }
}
int cuDevicePrimaryCtxRetain(void** made, int) {
    BEGIN
    *made = &context;
    return SUCCESS;
}
int cuDevicePrimaryCtxRelease_v2(int) { return SUCCESS; }
int cuCtxSetCurrent(void* chosen) {
    current = chosen;
    return SUCCESS;
}
int cuCtxGetCurrent(void** chosen) {
    *chosen = current;
    return SUCCESS;
}
int cuCtxSynchronize() {
    BEGIN
    NOT_WHILE_CAPTURING
    return SUCCESS;
}
int cuCtxGetStreamPriorityRange(int* least, int* greatest) {
    *least = 0;
    *greatest = -5;
    return SUCCESS;
}

int cuStreamCreateWithPriority(Stream** made, unsigned, int) {
    BEGIN
    *made = new Stream;
    return SUCCESS;
}
int cuStreamCreate(Stream** made, unsigned flags) { return cuStreamCreateWithPriority(made, flags, 0); }
int cuStreamDestroy_v2(Stream* stream) {
    delete stream;
    return SUCCESS;
}
int cuStreamSynchronize(Stream* stream) {
    BEGIN
    if (!stream->captures) return SUCCESS;
    stream->spoilt = true;
    return STREAM_CAPTURE_UNSUPPORTED;
}
int cuStreamWaitEvent(Stream*, Event*, unsigned) {
    BEGIN
    return SUCCESS;
}
int cuStreamBeginCapture_v2(Stream* stream, int) {
    BEGIN
    if (stream->captures || capturing) return INVALID_VALUE;
    capturing = stream;
    stream->captures = true;
    stream->spoilt = false;
    stream->captured.clear();
    return SUCCESS;
}
int cuStreamEndCapture(Stream* stream, Graph** graph) {
    BEGIN
    *graph = nullptr;
    if (!stream->captures || capturing != stream) return INVALID_VALUE;
    capturing = nullptr;
    stream->captures = false;
    if (stream->spoilt) return STREAM_CAPTURE_INVALIDATED;
    *graph = new Graph(std::move(stream->captured));
    return SUCCESS;
}
int cuStreamIsCapturing(Stream* stream, int* status) {
    *status = stream->captures;
    return SUCCESS;
}
int cuGraphCreate(Graph** made, unsigned flags) {
    BEGIN
    *made = new Graph;
    return flags == 0 ? SUCCESS : INVALID_VALUE;
}
int cuGraphAddKernelNode_v2(Node** made, Graph* graph, Node* const* behind, size_t count, const NodeParameters* given) {
    BEGIN
    // One after the other is all that is played.
    if (count != (graph->empty() ? 0 : 1) || (count == 1 && *behind != &graph->back())) return INVALID_VALUE;
    Work work = given->work();
    if (!work) return INVALID_VALUE;
    graph->push_back({std::move(work), given->kernel});
    *made = &graph->back();
    return SUCCESS;
}
int cuGraphInstantiateWithFlags(Executable** made, Graph* graph, unsigned long long) {
    BEGIN
    NOT_WHILE_CAPTURING
    if (played("STANDIN_NO_GRAPHS", 0)) return NOT_SUPPORTED;
    *made = new Executable;
    for (const Node& node : *graph) {
        (*made)->nodes.push_back(node);
        (*made)->origins.push_back(&node);
    }
    return SUCCESS;
}
int cuGraphExecKernelNodeSetParams_v2(Executable* graph, Node* origin, const NodeParameters* given) {
    BEGIN
    for (size_t i = 0; i < graph->nodes.size(); ++i) {
        if (graph->origins[i] != origin) continue;
        Work work = given->work();
        if (!work || graph->nodes[i].kernel != given->kernel) return INVALID_VALUE;
        graph->nodes[i].work = std::move(work);
        return SUCCESS;
    }
    return INVALID_VALUE;
}
int cuGraphLaunch(Executable* graph, Stream* stream) {
    BEGIN
    if (stream->captures) return STREAM_CAPTURE_UNSUPPORTED;
    for (const Node& node : graph->nodes) node.work();
    ++told.graphs;
    told.nodes += long(graph->nodes.size());
    return broken ? ILLEGAL_ADDRESS : SUCCESS;
}
int cuGraphExecDestroy(Executable* graph) {
    delete graph;
    return SUCCESS;
}
int cuGraphDestroy(Graph* graph) {
    delete graph;
    return SUCCESS;
}

int cuEventCreate(Event** made, unsigned) {
    BEGIN
    *made = new Event;
    return SUCCESS;
}
int cuEventDestroy_v2(Event* event) {
    delete event;
    return SUCCESS;
}
int cuEventRecord(Event* event, Stream* stream) {
    BEGIN
    event->captured = stream->captures;
    return ask(stream, [=] { event->recorded = std::chrono::steady_clock::now(); });
}
/// What who waits for an event, or asks for it, is told.
static int passed(Event* event) {
    if (!event->captured) return SUCCESS;
    if (capturing) capturing->spoilt = true;
    return CAPTURED_EVENT;
}
int cuEventSynchronize(Event* event) {
    BEGIN
    return passed(event);
}
int cuEventQuery(Event* event) {
    BEGIN
    return passed(event);
}
int cuEventElapsedTime(float* ms, Event* start, Event* end) {
    BEGIN
    *ms = std::chrono::duration<float, std::milli>(end->recorded - start->recorded).count();
    return SUCCESS;
}
int cuEventElapsedTime_v2(float* ms, Event* start, Event* end) { return cuEventElapsedTime(ms, start, end); }

int cuMemAlloc_v2(uint64_t* address, size_t bytes) {
    BEGIN
    NOT_WHILE_CAPTURING
    if (in_use + bytes > memory()) return OUT_OF_MEMORY;
    void* made = std::aligned_alloc(256, (bytes + 255) / 256 * 256);
    *address = uint64_t(made);
    allocations[uintptr_t(made)] = bytes;
    in_use += bytes;
    return SUCCESS;
}
int cuMemFree_v2(uint64_t address) {
    std::lock_guard<std::recursive_mutex> guard(all);
    NOT_WHILE_CAPTURING
    auto found = allocations.find(uintptr_t(address));
    if (found == allocations.end()) return INVALID_VALUE;
    in_use -= found->second;
    allocations.erase(found);
    std::free(reinterpret_cast<void*>(address));
    return SUCCESS;
}
int cuMemGetInfo_v2(size_t* free, size_t* total) {
    *total = memory();
    *free = memory() - in_use;
    return SUCCESS;
}
int cuMemHostAlloc(void** made, size_t bytes, unsigned) {
    BEGIN
    NOT_WHILE_CAPTURING
    *made = std::malloc(bytes);
    return SUCCESS;
}
int cuMemFreeHost(void* address) {
    std::free(address);
    return SUCCESS;
}
int cuMemcpyHtoDAsync_v2(uint64_t to, const void* from, size_t bytes, Stream* stream) {
    BEGIN
    if (!is_allocated(to, bytes)) return INVALID_VALUE;
    return ask(stream, [=] { std::memcpy(reinterpret_cast<void*>(to), from, bytes); });
}
int cuMemcpyDtoHAsync_v2(void* to, uint64_t from, size_t bytes, Stream* stream) {
    BEGIN
    if (!is_allocated(from, bytes)) return INVALID_VALUE;
    return ask(stream, [=] { std::memcpy(to, reinterpret_cast<void*>(from), bytes); });
}
int cuMemcpyDtoDAsync_v2(uint64_t to, uint64_t from, size_t bytes, Stream* stream) {
    BEGIN
    if (!is_allocated(to, bytes) || !is_allocated(from, bytes)) return INVALID_VALUE;
    return ask(stream, [=] { std::memcpy(reinterpret_cast<void*>(to), reinterpret_cast<void*>(from), bytes); });
}
int cuMemsetD8Async(uint64_t to, unsigned char value, size_t bytes, Stream* stream) {
    BEGIN
    if (!is_allocated(to, bytes)) return INVALID_VALUE;
    return ask(stream, [=] { std::memset(reinterpret_cast<void*>(to), value, bytes); });
}

int cuModuleLoadData(void** made, const void* image) {
    BEGIN
    if (int refused = int(played("STANDIN_REFUSES", 0))) return refused;
    bool is_elf = std::memcmp(image, "\x7f" "ELF", 4) == 0;
    bool is_ptx = !is_elf && std::strstr(static_cast<const char*>(image), ".version") != nullptr;
    *made = &module;
    return is_elf || is_ptx ? SUCCESS : INVALID_IMAGE;
}
int cuModuleUnload(void*) { return SUCCESS; }
int cuModuleGetFunction(Kernel** found, void*, const char* name) {
    BEGIN
    for (Kernel& kernel : kernels) {
        if (kernel.name == name) {
            *found = &kernel;
            return SUCCESS;
        }
    }
    return NOT_FOUND;
}
int cuLaunchKernel(Kernel* kernel, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x, unsigned block_y,
                   unsigned block_z, unsigned, Stream* stream, void** arguments, void**) {
    BEGIN
    Work work = launched(kernel, {grid_x, grid_y, grid_z}, {block_x, block_y, block_z}, arguments);
    if (!work) return INVALID_VALUE;
    if (!stream->captures) ++told.alone;
    return ask(stream, std::move(work));
}

/// For the stand-in of TensorRT: does `work` on `data` in the order of the stream, or captures it; `data` is released
/// when nobody can ask for it any more.
int segfuse_standin_ask(Stream* stream, void (*work)(void*), void (*release)(void*), void* data) {
    std::shared_ptr<void> kept(data, release);
    BEGIN
    if (!stream->captures) ++told.alone;
    return ask(stream, [=] { work(kept.get()); });
}

}  // extern "C"
