// The narrow side of TensorRT: compiled once for each family of its headers, of which it uses what has stayed the same
// within the family since TensorRT 10.1, TensorRT 11.0 and TensorRT-RTX 1.3.
//
// TensorRT's classes are called through inline wrappers. Two families in one program would have the linker merge their
// wrappers, which differ; so build.rs renames both namespaces (-Dnvinfer1=nvinfer1_v10 ...) for each object.
#include "shim.h"

#include <NvInfer.h>
#include <NvOnnxParser.h>

#include <memory>
#include <new>

using namespace nvinfer1;

namespace {

class Logger final : public ILogger {
public:
    using Log = void (*)(void*, int32_t, char const*);
    Logger(Log log, void* user) : mLog(log), mUser(user) {}
    void log(Severity severity, AsciiChar const* line) noexcept override {
        mLog(mUser, static_cast<int32_t>(severity), line != nullptr ? line : "");
    }

private:
    Log mLog;
    void* mUser;
};

// Phases are nested; each is told by its own name, with the steps that it announced.
class Progress final : public IProgressMonitor {
public:
    explicit Progress(BuildEvents const& events) : mEvents(events) {}
    void phaseStart(char const* phase, char const*, int32_t steps) noexcept override { tell(phase, 0, steps); }
    bool stepComplete(char const* phase, int32_t step) noexcept override { return tell(phase, step + 1, 0); }
    void phaseFinish(char const*) noexcept override {}

private:
    bool tell(char const* phase, int32_t step, int32_t steps) noexcept {
        return mEvents.progress(mEvents.user, phase != nullptr ? phase : "", step, steps) != 0;
    }
    BuildEvents const& mEvents;
};

void* logger_new(Logger::Log log, void* user) { return static_cast<ILogger*>(new (std::nothrow) Logger(log, user)); }
void logger_free(void* logger) { delete static_cast<Logger*>(static_cast<ILogger*>(logger)); }

void runtime_free(void* runtime) { delete static_cast<IRuntime*>(runtime); }

void* engine_new(void* runtime, void const* plan, size_t len, int32_t dla_core) {
    auto& made = *static_cast<IRuntime*>(runtime);
    if (dla_core >= 0) {
        made.setDLACore(dla_core);
    }
    return made.deserializeCudaEngine(plan, len);
}

void engine_free(void* engine) { delete static_cast<ICudaEngine*>(engine); }

int32_t engine_tensor_count(void* engine) { return static_cast<ICudaEngine*>(engine)->getNbIOTensors(); }

int32_t engine_tensor(void* engine, int32_t index, TensorDescription* described) {
    auto const& made = *static_cast<ICudaEngine*>(engine);
    char const* name = made.getIOTensorName(index);
    if (name == nullptr) {
        return 0;
    }
    Dims const dims = made.getTensorShape(name);
    described->name = name;
    described->is_input = made.getTensorIOMode(name) == TensorIOMode::kINPUT;
    described->element = static_cast<int32_t>(made.getTensorDataType(name));
    described->is_linear = made.getTensorFormat(name) == TensorFormat::kLINEAR;
    described->rank = dims.nbDims;
    for (int32_t axis = 0; axis < dims.nbDims && axis < 8; ++axis) {
        described->dims[axis] = dims.d[axis];
    }
    return 1;
}

int64_t engine_device_bytes(void* engine) { return static_cast<ICudaEngine*>(engine)->getDeviceMemorySizeV2(); }

void* context_new(void* engine) { return static_cast<ICudaEngine*>(engine)->createExecutionContext(); }
void context_free(void* context) { delete static_cast<IExecutionContext*>(context); }

int32_t context_set_shape(void* context, char const* name, int64_t const* sizes, int32_t rank) {
    Dims dims{};
    dims.nbDims = rank;
    for (int32_t axis = 0; axis < rank && axis < 8; ++axis) {
        dims.d[axis] = sizes[axis];
    }
    return static_cast<IExecutionContext*>(context)->setInputShape(name, dims);
}

int32_t context_set_address(void* context, char const* name, uint64_t address) {
    return static_cast<IExecutionContext*>(context)->setTensorAddress(name, reinterpret_cast<void*>(address));
}

int32_t context_enqueue(void* context, void* stream) {
    return static_cast<IExecutionContext*>(context)->enqueueV3(static_cast<cudaStream_t>(stream));
}

// A graph with the element types that its file states. Family 11 knows no other kind.
INetworkDefinition* typed_network(IBuilder& builder) {
#if NV_TENSORRT_MAJOR == 10
    return builder.createNetworkV2(1U << static_cast<uint32_t>(NetworkDefinitionCreationFlag::kSTRONGLY_TYPED));
#else
    return builder.createNetworkV2(0);
#endif
}

bool parse(nvonnxparser::IParser& parser, BuildRequest const& request) {
    if (parser.parse(request.onnx, request.onnx_len, nullptr)) {
        return true;
    }
    for (int32_t index = 0; index < parser.getNbErrors(); ++index) {
        nvonnxparser::IParserError const* error = parser.getError(index);
        if (error != nullptr) {
            request.events->refused(
                request.events->user, error->node(), error->nodeName(), error->nodeOperator(), error->desc());
        }
    }
    return false;
}

// Inputs and outputs are the program's own buffers: plane after plane, row after row. A builder may choose otherwise if it
// is not told.
void lay_out(INetworkDefinition& network) {
    constexpr auto LINEAR = static_cast<TensorFormats>(1U << static_cast<uint32_t>(TensorFormat::kLINEAR));
    for (int32_t index = 0; index < network.getNbInputs(); ++index) {
        network.getInput(index)->setAllowedFormats(LINEAR);
    }
    for (int32_t index = 0; index < network.getNbOutputs(); ++index) {
        network.getOutput(index)->setAllowedFormats(LINEAR);
    }
}

// What is asked for and cannot be had is refused, never left out.
BuildOutcome configure([[maybe_unused]] IBuilder& builder, IBuilderConfig& config, BuildRequest const& request) {
#if NV_TENSORRT_MAJOR == 1
    // Runs are captured, in which nothing may be allocated.
    config.setFlag(BuilderFlag::kREQUIRE_USER_ALLOCATION);
#endif
    if (request.workspace_bytes != 0) {
        config.setMemoryPoolLimit(MemoryPoolType::kWORKSPACE, request.workspace_bytes);
    }
    if (request.dla_core >= 0) {
#if NV_TENSORRT_MAJOR == 10
        // Without such an accelerator setDLACore does nothing, and all would run on the GPU, unsaid.
        if (request.dla_core >= builder.getNbDLACores()) {
            return NO_SUCH_DLA;
        }
        config.setDefaultDeviceType(DeviceType::kDLA);
        config.setDLACore(request.dla_core);
        config.setFlag(BuilderFlag::kGPU_FALLBACK);
#else
        return NO_DLA_IN_FAMILY;
#endif
    }
    if (request.capability_count != 0) {
#if NV_TENSORRT_MAJOR == 1
        bool taken = config.setNbComputeCapabilities(request.capability_count);
        for (int32_t index = 0; taken && index < request.capability_count; ++index) {
            taken = config.setComputeCapability(static_cast<ComputeCapability>(request.capabilities[index]), index);
        }
        if (!taken) {
            return CAPABILITY_REFUSED;
        }
#else
        return CAPABILITY_REFUSED;
#endif
    }
    return BUILT;
}

// TensorRT fills the cache while it builds; TensorRT-RTX measures nothing and has none.
BuildOutcome build_timed(IBuilder& builder, INetworkDefinition& network, IBuilderConfig& config,
    BuildRequest const& request, [[maybe_unused]] std::unique_ptr<ITimingCache>& timing) {
    BuildEvents const& events = *request.events;
#if NV_TENSORRT_MAJOR != 1
    timing.reset(config.createTimingCache(request.timing_cache, request.timing_cache_len));
    if (!timing || !config.setTimingCache(*timing, false)) {
        return TIMING_CACHE_REFUSED;
    }
#endif
    std::unique_ptr<IHostMemory> plan{builder.buildSerializedNetwork(network, config)};
    if (!plan) {
        return NOT_BUILT;
    }
    events.plan(events.user, plan->data(), plan->size());
#if NV_TENSORRT_MAJOR != 1
    std::unique_ptr<IHostMemory> learnt{timing->serialize()};
    if (learnt) {
        events.timing_cache(events.user, learnt->data(), learnt->size());
    }
#endif
    return BUILT;
}

int32_t build(void* builder, BuildRequest const* request) {
    // What was made last goes first: the parser's errors and weights belong to it, the network refers to the parser's. A
    // timing cache has to outlive the builder that used it.
    std::unique_ptr<ITimingCache> timing;
    std::unique_ptr<IBuilder> made{static_cast<IBuilder*>(builder)};
    std::unique_ptr<INetworkDefinition> network{typed_network(*made)};
    std::unique_ptr<IBuilderConfig> config{made->createBuilderConfig()};
    if (!network || !config) {
        return NO_NETWORK;
    }
    std::unique_ptr<nvonnxparser::IParser> parser{static_cast<nvonnxparser::IParser*>(
        request->make_parser(network.get(), request->logger, request->parser_version))};
    if (!parser) {
        return NO_PARSER;
    }
    if (!parse(*parser, *request)) {
        return ONNX_REFUSED;
    }
    lay_out(*network);
    Progress progress{*request->events};
    config->setProgressMonitor(&progress);
    BuildOutcome const configured = configure(*made, *config, *request);
    return configured == BUILT ? build_timed(*made, *network, *config, *request, timing) : configured;
}

}  // namespace

// Named by build.rs after the family: segfuse_tensorrt_v10 and so on.
extern "C" Shim const SHIM_NAME = {
    NV_TENSORRT_MAJOR * 10000 + NV_TENSORRT_MINOR * 100 + NV_TENSORRT_PATCH,
    logger_new,
    logger_free,
    runtime_free,
    engine_new,
    engine_free,
    engine_tensor_count,
    engine_tensor,
    engine_device_bytes,
    context_new,
    context_free,
    context_set_shape,
    context_set_address,
    context_enqueue,
    build,
};
