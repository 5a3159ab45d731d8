// A stand-in for TensorRT: what the program calls of libnvinfer and libnvonnxparser, on the host's own memory.
//
//   c++ -std=c++17 -shared -fPIC -DFAMILY=10 standin.cpp -o libnvinfer.so.10 && cp libnvinfer.so.10 libnvonnxparser.so.10
//
// It is built without TensorRT's headers: the places of methods in the tables of virtual functions are written out
// below for families 10 and 11, so that a shim that was compiled for the wrong family is found out. A method that has no
// place here ends the program, and so does an object that is left when the process ends.
//
// It reads real ONNX files for the names, element types and shapes of inputs and outputs. A plan is a text that states
// them. What it computes has nothing to do with the network: each word of an output is the exclusive-or of the words of
// all inputs at its index (repeated as often as needed), with the highest bit turned.
//
// Runs on a stream of the stand-in for the driver (tests/cuda/driver_on_host.cpp) go in its order, and into its captures.
//
// A fault is chosen when it is built: -DFAULT=NO_RUNTIME and so on, see below.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <dlfcn.h>
#include <sstream>
#include <string>
#include <type_traits>
#include <typeinfo>
#include <unistd.h>
#include <vector>

#define NONE 0
#define NO_RUNTIME 1     // createInferRuntime gives null, as without a driver
#define ODD_RUNTIME 2    // createInferRuntime gives 0x228, as the lean runtime does without a GPU
#define NO_BUILDER 3     // createInferBuilder gives null
#define NO_PLAN 4        // the build fails
#define OUT_OF_MEMORY 5  // no context
#define NOT_RUN 6        // enqueueV3 fails
#define LEAK 7           // a freed runtime is counted as alive, to see that leaks are found out
#define NO_ROOM 8        // a plan cannot be loaded for want of device memory
#define NO_CAPTURE 9     // enqueueV3 fails on a stream that is captured
#define SLOW 10          // a build takes steps for ever
#define NO_DLA 11        // the machine has no deep-learning accelerator; there are two otherwise
#define ODD_LAYOUT 12    // inputs and outputs of a plan are laid out as it likes
#ifndef FAULT
#define FAULT NONE
#endif

#if FAMILY == 10
#ifndef VERSION
#define VERSION 100300
#endif
enum Slot {
    RUNTIME_DESERIALIZE = 3, RUNTIME_DLA = 5,
    ENGINE_CONTEXT = 5, ENGINE_SHAPE = 19, ENGINE_ELEMENT = 20, ENGINE_MODE = 23, ENGINE_COUNT = 30, ENGINE_NAME = 31,
    ENGINE_FORMAT = 26, ENGINE_MEMORY = 52,
    CONTEXT_SHAPE = 21, CONTEXT_ADDRESS = 24, CONTEXT_ENQUEUE = 37,
    BUILDER_DLA = 5, BUILDER_CONFIG = 7, BUILDER_NETWORK = 8, BUILDER_BUILD = 14, TENSOR_FORMATS = 19,
    CONFIG_FLAG = 11, CONFIG_DLA = 18, CONFIG_DEVICE = 20, CONFIG_TIMING_NEW = 40, CONFIG_TIMING = 41, CONFIG_POOL = 43,
    CONFIG_MONITOR = 56,
    PARSER_PARSE = 0, PARSER_ERRORS = 5, PARSER_ERROR = 6, PARSER_DELETE = 9,
    LOGGER_LOG = 0,
};
#else
#ifndef VERSION
#define VERSION 110400
#endif
enum Slot {
    RUNTIME_DESERIALIZE = 3, RUNTIME_DLA = 4,
    ENGINE_CONTEXT = 5, ENGINE_SHAPE = 15, ENGINE_ELEMENT = 16, ENGINE_MODE = 19, ENGINE_COUNT = 26, ENGINE_NAME = 27,
    ENGINE_FORMAT = 22, ENGINE_MEMORY = 44,
    CONTEXT_SHAPE = 20, CONTEXT_ADDRESS = 23, CONTEXT_ENQUEUE = 36,
    BUILDER_DLA = 3, BUILDER_CONFIG = 5, BUILDER_NETWORK = 6, BUILDER_BUILD = 11, TENSOR_FORMATS = 13,
    CONFIG_FLAG = 9, CONFIG_DLA = 16, CONFIG_DEVICE = 18, CONFIG_TIMING_NEW = 29, CONFIG_TIMING = 30, CONFIG_POOL = 32,
    CONFIG_MONITOR = 45,
    PARSER_PARSE = 0, PARSER_ERRORS = 3, PARSER_ERROR = 4, PARSER_DELETE = 7,
    LOGGER_LOG = 4,
};
#endif
enum SlotOfBoth { DELETE = 1, MEMORY_DATA = 2, MEMORY_SIZE = 3, TIMING_SERIALIZE = 2,
    NETWORK_INPUTS = 14, NETWORK_INPUT = 15, NETWORK_OUTPUTS = 16, NETWORK_OUTPUT = 17,
    ERROR_REASON = 1, ERROR_NODE = 5, ERROR_NAME = 6, ERROR_OPERATION = 7, MONITOR_START = 4, MONITOR_STEP = 5 };

namespace {

// ---- objects with a table of virtual functions, as the Itanium ABI lays them out

constexpr int SLOTS = 96;
constexpr uint64_t SMALLEST_WORKSPACE = 1 << 20;

void missing() {
    std::fprintf(stderr, "stand-in: a method was called that it does not have\n");
    std::abort();
}

struct Table {
    void* before[2] = {nullptr, nullptr};  // Offset to the top, type information.
    void* slots[SLOTS];
    Table(std::initializer_list<std::pair<int, void*>> methods) {
        struct Nobody { virtual ~Nobody() = default; };
        before[1] = const_cast<std::type_info*>(&typeid(Nobody));
        for (void*& slot : slots) slot = reinterpret_cast<void*>(missing);
        for (auto const& [slot, method] : methods) slots[slot] = method;
    }
};

template <class F>
std::pair<int, void*> method(int slot, F* function) { return {slot, reinterpret_cast<void*>(function)}; }

int live = 0;

// What the program holds: a public object, behind which the implementation lies. Only its destructor is virtual.
struct Public {
    void** table;
    void* implementation;
};

// Builders that are there; a timing cache must be there for longer.
int builders = 0;
struct Builder {};
struct Timing {
    std::string bytes;
};

template <class T>
void count_out() {
    if (std::is_same_v<T, Builder>) --builders;
    if (std::is_same_v<T, Timing> && builders != 0) {
        std::fprintf(stderr, "stand-in: a timing cache is freed before its builder\n");
        _exit(70);
    }
}

template <class T>
struct Object {
    void** table;  // Of the implementation.
    T value;
    Public outside;

    // Deleted through the public object, as `delete` does.
    static void destroy(Public* outside) {
        auto* all = static_cast<Object*>(outside->implementation);
        count_out<T>();
        live -= FAULT == LEAK ? 0 : 1;
        delete all;
    }
};

template <class T>
Public* make(Table& methods, T value) {
    static Table outside{method(DELETE, Object<T>::destroy)};
    ++live;
    auto* object = new Object<T>{methods.slots, std::move(value), {outside.slots, nullptr}};
    object->outside.implementation = object;
    return &object->outside;
}

// The implementation behind a public object that the program hands in.
template <class T>
T& inside(Public* outside) { return static_cast<Object<T>*>(outside->implementation)->value; }

struct AtTheEnd {
    ~AtTheEnd() {
        if (live != 0) {
            std::fprintf(stderr, "stand-in: %d objects are left\n", live);
            _exit(70);
        }
    }
} at_the_end;

template <class F>
F* method_of(void* object, int slot) { return reinterpret_cast<F*>((*static_cast<void***>(object))[slot]); }

void* logger = nullptr;
void say(int32_t severity, std::string const& line) {
    method_of<void(void*, int32_t, char const*)>(logger, LOGGER_LOG)(logger, severity, line.c_str());
}

// ---- what a plan states

struct Dims {
    int32_t rank;
    int64_t sizes[8];
};

struct Tensor {
    std::string name;
    bool is_input;
    int32_t element;  // nvinfer1::DataType: 0 f32, 1 f16
    Dims dims;
    uint32_t formats = ~0U;  // Of which a plan may choose one; bit 0: linear.
    int32_t format() const { return FAULT == ODD_LAYOUT || formats != 1 ? 4 : 0; }
    int64_t elements() const {
        int64_t product = 1;
        for (int axis = 0; axis < dims.rank; ++axis) product *= dims.sizes[axis];
        return product;
    }
};

std::string heading() { return "STAND-IN PLAN " + std::to_string(VERSION) + "\n"; }

std::string written(std::vector<Tensor> const& tensors) {
    std::ostringstream text;
    text << heading() << tensors.size() << '\n';
    for (auto const& tensor : tensors) {
        text << tensor.name << ' ' << tensor.is_input << ' ' << tensor.element << ' ' << tensor.formats << ' '
             << tensor.dims.rank;
        for (int axis = 0; axis < tensor.dims.rank; ++axis) text << ' ' << tensor.dims.sizes[axis];
        text << '\n';
    }
    return text.str();
}

std::vector<Tensor> read(std::string const& plan) {
    std::istringstream text{plan.substr(heading().size())};
    size_t count = 0;
    text >> count;
    std::vector<Tensor> tensors(count);
    for (auto& tensor : tensors) {
        text >> tensor.name >> tensor.is_input >> tensor.element >> tensor.formats >> tensor.dims.rank;
        for (int axis = 0; axis < tensor.dims.rank; ++axis) text >> tensor.dims.sizes[axis];
    }
    return tensors;
}

// ---- running

struct Context {
    std::vector<Tensor> tensors;
    std::vector<void*> addresses;
    int find(char const* name) const {
        for (size_t index = 0; index < tensors.size(); ++index) {
            if (tensors[index].name == name) return static_cast<int>(index);
        }
        return -1;
    }
};
using ContextObject = Object<Context>;

bool context_shape(ContextObject* self, char const* name, Dims const* dims) {
    int const index = self->value.find(name);
    if (index < 0) return false;
    Tensor& tensor = self->value.tensors[index];
    bool fits = tensor.is_input && dims->rank == tensor.dims.rank;
    for (int axis = 0; fits && axis < dims->rank; ++axis) {
        fits = dims->sizes[axis] > 0 && (tensor.dims.sizes[axis] < 0 || tensor.dims.sizes[axis] == dims->sizes[axis]);
    }
    if (fits) return tensor.dims = *dims, true;
    say(1, "IExecutionContext::setInputShape: the dimensions are outside the profile of " + tensor.name);
    return false;
}

bool context_address(ContextObject* self, char const* name, void* address) {
    int const index = self->value.find(name);
    if (index < 0) return false;
    self->value.addresses[index] = address;
    return true;
}

template <class Word>
void compute(Context const& context, size_t output) {
    auto* values = static_cast<Word*>(context.addresses[output]);
    constexpr Word HIGHEST = Word{1} << (8 * sizeof(Word) - 1);
    for (int64_t at = 0; at < context.tensors[output].elements(); ++at) {
        Word value = HIGHEST;
        for (size_t index = 0; index < context.tensors.size(); ++index) {
            Tensor const& input = context.tensors[index];
            if (input.is_input) value ^= static_cast<Word const*>(context.addresses[index])[at % input.elements()];
        }
        values[at] = value;
    }
}

void compute_all(Context const& context) {
    for (size_t index = 0; index < context.tensors.size(); ++index) {
        if (context.tensors[index].is_input) continue;
        context.tensors[index].element == 1 ? compute<uint16_t>(context, index) : compute<uint32_t>(context, index);
    }
}

// A function of the stand-in for the driver, if that is what this process has loaded.
template <class F>
F* of_the_driver(char const* name) {
    void* driver = dlopen("libcuda.so.1", RTLD_NOW | RTLD_NOLOAD);
    return driver == nullptr ? nullptr : reinterpret_cast<F*>(dlsym(driver, name));
}

// Runs it with what it knows now: at once, or in the order of a stream.
bool run(Context const& context, void* stream) {
    auto* ask = of_the_driver<int(void*, void (*)(void*), void (*)(void*), void*)>("segfuse_standin_ask");
    if (stream == nullptr || ask == nullptr) {
        compute_all(context);
        return true;
    }
    int32_t captures = 0;
    of_the_driver<int(void*, int32_t*)>("cuStreamIsCapturing")(stream, &captures);
    if (FAULT == NO_CAPTURE && captures != 0) {
        of_the_driver<int(void*)>("cuStreamSynchronize")(stream);
        say(1, "IExecutionContext::enqueueV3: Error Code 1: Cuda Runtime (operation not permitted when stream is capturing)");
        return false;
    }
    auto work = [](void* kept) { compute_all(*static_cast<Context*>(kept)); };
    return ask(stream, work, [](void* kept) { delete static_cast<Context*>(kept); }, new Context(context)) == 0;
}

bool context_enqueue(ContextObject* self, void* stream) {
    Context const& context = self->value;
    if (FAULT == NOT_RUN) {
        say(1, "IExecutionContext::enqueueV3: Error Code 1: Cuda Runtime (an illegal memory access was encountered)");
        return false;
    }
    for (size_t index = 0; index < context.tensors.size(); ++index) {
        if (context.addresses[index] == nullptr) {
            say(1, "IExecutionContext::enqueueV3: the address of " + context.tensors[index].name + " is not set");
            return false;
        }
    }
    return run(context, stream);
}

Table context_methods{
    method(CONTEXT_SHAPE, context_shape), method(CONTEXT_ADDRESS, context_address), method(CONTEXT_ENQUEUE, context_enqueue)};

// ---- loading

using Engine = std::vector<Tensor>;
using EngineObject = Object<Engine>;

Tensor const* named(EngineObject* self, char const* name) {
    for (auto const& tensor : self->value) {
        if (tensor.name == name) return &tensor;
    }
    say(1, std::string("ICudaEngine: no tensor is called ") + name);
    return nullptr;
}

int32_t engine_count(EngineObject* self) { return static_cast<int32_t>(self->value.size()); }
char const* engine_name(EngineObject* self, int32_t index) {
    return static_cast<size_t>(index) < self->value.size() ? self->value[index].name.c_str() : nullptr;
}
Dims engine_shape(EngineObject* self, char const* name) { return named(self, name)->dims; }
int32_t engine_element(EngineObject* self, char const* name) { return named(self, name)->element; }
int32_t engine_mode(EngineObject* self, char const* name) { return named(self, name)->is_input ? 1 : 2; }
int32_t engine_format(EngineObject* self, char const* name) { return named(self, name)->format(); }
int64_t engine_memory(EngineObject*) { return 123456; }
Public* engine_context(EngineObject* self, int32_t) {
    if (FAULT == OUT_OF_MEMORY) {
        say(1, "ICudaEngine::createExecutionContext: Error Code 2: OutOfMemory (Requested size was 123456 bytes.)");
        return nullptr;
    }
    return make(context_methods, Context{self->value, std::vector<void*>(self->value.size())});
}

Table engine_methods{method(ENGINE_COUNT, engine_count), method(ENGINE_NAME, engine_name), method(ENGINE_SHAPE, engine_shape),
    method(ENGINE_ELEMENT, engine_element), method(ENGINE_MODE, engine_mode), method(ENGINE_FORMAT, engine_format),
    method(ENGINE_MEMORY, engine_memory), method(ENGINE_CONTEXT, engine_context)};

struct Runtime {};

Public* runtime_deserialize(Object<Runtime>*, char const* bytes, size_t len) {
    if (FAULT == NO_ROOM) {
        say(1, "IRuntime::deserializeCudaEngine: Error Code 2: OutOfMemory (Requested size was 19881824 bytes.)");
        return nullptr;
    }
    std::string const plan{bytes, len}, any = "STAND-IN PLAN ";
    if (plan.compare(0, any.size(), any) != 0) {
        say(1, "IRuntime::deserializeCudaEngine: Error Code 1: Serialization (Serialization assertion failed. Magic tag does not match)");
        return nullptr;
    }
    if (plan.compare(0, heading().size(), heading()) != 0) {
        say(1, "IRuntime::deserializeCudaEngine: Error Code 6: The engine plan file is not compatible with this version of "
               "TensorRT, expecting library version " + std::to_string(VERSION));
        return nullptr;
    }
    return make(engine_methods, read(plan));
}
void runtime_dla(Object<Runtime>*, int32_t core) { say(3, "DLA core " + std::to_string(core)); }

Table runtime_methods{method(RUNTIME_DESERIALIZE, runtime_deserialize), method(RUNTIME_DLA, runtime_dla)};

// ---- building

using Memory = std::string;
void const* memory_data(Object<Memory>* self) { return self->value.data(); }
size_t memory_size(Object<Memory>* self) { return self->value.size(); }
Table memory_methods{method(MEMORY_DATA, memory_data), method(MEMORY_SIZE, memory_size)};

std::string timing_heading() { return "STAND-IN TIMING " + std::to_string(VERSION); }
Public* timing_serialize(Object<Timing>*) { return make(memory_methods, timing_heading()); }
Table timing_methods{method(TIMING_SERIALIZE, timing_serialize)};

// An input or output of a network that is complete. It belongs to the network.
struct Port {
    Tensor* tensor;
};
void port_formats(Object<Port>* self, uint32_t formats) { self->value.tensor->formats = formats; }
Table port_methods{method(TENSOR_FORMATS, port_formats)};
Table outside_port{};

struct Network {
    std::vector<Tensor> tensors;
    std::deque<Object<Port>> ports;
};
using NetworkObject = Object<Network>;
template <bool INPUTS>
int32_t network_count(NetworkObject* self) {
    int32_t count = 0;
    for (auto const& tensor : self->value.tensors) count += tensor.is_input == INPUTS;
    return count;
}
template <bool INPUTS>
Public* network_port(NetworkObject* self, int32_t index) {
    for (auto& tensor : self->value.tensors) {
        if (tensor.is_input != INPUTS || index-- != 0) continue;
        auto& port = self->value.ports.emplace_back(Object<Port>{port_methods.slots, {&tensor}, {outside_port.slots, nullptr}});
        port.outside.implementation = &port;
        return &port.outside;
    }
    return nullptr;
}
Table network_methods{method(NETWORK_INPUTS, network_count<true>), method(NETWORK_INPUT, network_port<true>),
    method(NETWORK_OUTPUTS, network_count<false>), method(NETWORK_OUTPUT, network_port<false>)};

struct Config {
    uint64_t workspace = ~uint64_t{0};
    int32_t dla = -1;
    bool falls_back = false;
    Public* timing = nullptr;
    void* monitor = nullptr;
};
using ConfigObject = Object<Config>;
void config_pool(ConfigObject* self, int32_t, size_t bytes) { self->value.workspace = bytes; }
void config_dla(ConfigObject* self, int32_t core) { self->value.dla = core; }
void config_device(ConfigObject*, int32_t) {}
void config_flag(ConfigObject* self, int32_t flag) { self->value.falls_back |= flag == 3; }
Public* config_timing_new(ConfigObject*, char const* bytes, size_t len) {
    std::string const given{len != 0 ? bytes : "", len};
    if (!given.empty() && given != timing_heading()) {
        say(1, "IBuilderConfig::createTimingCache: Error Code 3: API Usage Error (the cache is of another version)");
        return nullptr;
    }
    return make(timing_methods, Timing{given});
}
bool config_timing(ConfigObject* self, Public* timing, bool) {
    self->value.timing = timing;
    return true;
}
void config_monitor(ConfigObject* self, void* monitor) { self->value.monitor = monitor; }
Table config_methods{method(CONFIG_POOL, config_pool), method(CONFIG_DLA, config_dla), method(CONFIG_DEVICE, config_device),
    method(CONFIG_FLAG, config_flag), method(CONFIG_TIMING_NEW, config_timing_new), method(CONFIG_TIMING, config_timing),
    method(CONFIG_MONITOR, config_monitor)};

int32_t builder_dla(Object<Builder>*) { return FAULT == NO_DLA ? 0 : 2; }
Public* builder_network(Object<Builder>*, uint32_t flags) {
    // Family 10 must be asked for a typed network; family 11 knows no other.
    if (FAMILY == 10 && flags != 2) {
        say(1, "IBuilder::createNetworkV2: not strongly typed");
        return nullptr;
    }
    return make(network_methods, Network{{}, {}});
}
Public* builder_config(Object<Builder>*) { return make(config_methods, Config{}); }
bool goes_on(Config const& config) {
    if (config.monitor == nullptr) return true;
    constexpr int STEPS = 3;
    method_of<void(void*, char const*, char const*, int32_t)>(config.monitor, MONITOR_START)(
        config.monitor, "Building Engine", nullptr, STEPS);
    auto* step = method_of<bool(void*, char const*, int32_t)>(config.monitor, MONITOR_STEP);
    for (int at = 0; at < STEPS || FAULT == SLOW; ++at) {
        if (FAULT == SLOW) usleep(10000);
        if (!step(config.monitor, "Building Engine", at)) return false;
    }
    return true;
}
Public* builder_build(Object<Builder>*, Public* network, Public* config) {
    Config const& chosen = inside<Config>(config);
    if (!goes_on(chosen)) return nullptr;
    if (FAULT == NO_PLAN) {
        say(2, "The getMaxWorkspaceSize limit is low");
        say(1, "IBuilder::buildSerializedNetwork: Error Code 10: Internal Error (Could not find any implementation for node conv0)");
        return nullptr;
    }
    if (chosen.workspace < SMALLEST_WORKSPACE) {
        say(1, "IBuilder::buildSerializedNetwork: Error Code 4: insufficient workspace");
        return nullptr;
    }
    if (chosen.dla >= 0) {
        std::string const others = chosen.falls_back ? ", others on the GPU, " : ", ";
        say(3, "layers on DLA core " + std::to_string(chosen.dla) + others + std::to_string(chosen.workspace >> 20) + " MiB a layer");
    }
    return make(memory_methods, written(inside<Network>(network).tensors));
}
Table builder_methods{method(BUILDER_DLA, builder_dla), method(BUILDER_NETWORK, builder_network),
    method(BUILDER_CONFIG, builder_config), method(BUILDER_BUILD, builder_build)};

// ---- reading ONNX: protobuf, of which a handful of fields are looked at

struct Field {
    uint32_t number;
    uint64_t value;
    std::string bytes;
};

struct Broken {};

uint64_t varint(std::string const& bytes, size_t& at) {
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
        if (at >= bytes.size()) throw Broken{};
        uint8_t const byte = bytes[at++];
        value |= uint64_t{byte & 0x7fU} << shift;
        if (byte < 0x80) return value;
    }
    throw Broken{};
}

std::vector<Field> fields(std::string const& bytes) {
    std::vector<Field> found;
    for (size_t at = 0; at < bytes.size();) {
        uint64_t const tag = varint(bytes, at);
        Field field{static_cast<uint32_t>(tag >> 3), 0, {}};
        size_t len = 0;
        switch (tag & 7) {
            case 0: field.value = varint(bytes, at); break;
            case 1: len = 8; break;
            case 2: len = varint(bytes, at); break;
            case 5: len = 4; break;
            default: throw Broken{};
        }
        if (len > bytes.size() - at) throw Broken{};
        field.bytes = bytes.substr(at, len);
        at += len;
        found.push_back(std::move(field));
    }
    return found;
}

Field first(std::string const& bytes, uint32_t number) {
    for (auto& field : fields(bytes)) {
        if (field.number == number) return field;
    }
    return {};
}

// ValueInfoProto: 1 name, 2 type; TypeProto: 1 tensor; Tensor: 1 element, 2 shape; Shape: 1 dimension; Dimension: 1 size.
Tensor value_info(std::string const& bytes, bool is_input) {
    std::string const tensor = first(first(bytes, 2).bytes, 1).bytes;
    uint64_t const element = first(tensor, 1).value;  // TensorProto.DataType: 1 FLOAT, 10 FLOAT16
    Tensor told{first(bytes, 1).bytes, is_input, element == 10 ? 1 : 0, {}};
    for (auto const& dimension : fields(first(tensor, 2).bytes)) {
        Field const size = first(dimension.bytes, 1);
        told.dims.sizes[told.dims.rank++] = size.number == 1 ? static_cast<int64_t>(size.value) : -1;
    }
    return told;
}

// ---- the parser

struct Fault {
    void** table;
    int32_t node;
    std::string name, operation, reason;
};
int32_t fault_node(Fault* self) { return self->node; }
char const* fault_name(Fault* self) { return self->name.c_str(); }
char const* fault_operation(Fault* self) { return self->operation.c_str(); }
char const* fault_reason(Fault* self) { return self->reason.c_str(); }
Table fault_methods{method(ERROR_NODE, fault_node), method(ERROR_NAME, fault_name), method(ERROR_OPERATION, fault_operation),
    method(ERROR_REASON, fault_reason)};

struct Parser {
    void** table;
    Public* network;
    std::vector<Fault> faults;
};

// ModelProto: 7 graph; GraphProto: 1 node, 5 weight, 11 input, 12 output; NodeProto: 3 name, 4 operator.
bool parser_parse(Parser* self, void const* onnx, size_t len, char const*) {
    auto& tensors = inside<Network>(self->network).tensors;
    auto refuse = [self](int32_t node, std::string name, std::string operation, std::string reason) {
        self->faults.push_back({fault_methods.slots, node, std::move(name), std::move(operation), std::move(reason)});
    };
    try {
        Field const graph = first(std::string{static_cast<char const*>(onnx), len}, 7);
        if (graph.number != 7) throw Broken{};
        int32_t node = 0;
        for (auto const& field : fields(graph.bytes)) {
            if (field.number == 11 || field.number == 12) tensors.push_back(value_info(field.bytes, field.number == 11));
            if (field.number != 1) continue;
            std::string const operation = first(field.bytes, 4).bytes;
            // The one that tests/data/networks/unknown_operator.onnx has, and one that no network has.
            if (operation == "LpPool" || operation == "Cxnv") {
                refuse(node, first(field.bytes, 3).bytes, operation, "No importer registered for op: " + operation);
            }
            ++node;
        }
    } catch (Broken const&) {
        refuse(-1, "", "", "Failed to parse the ONNX model.");
    }
    return self->faults.empty();
}
int32_t parser_errors(Parser* self) { return static_cast<int32_t>(self->faults.size()); }
Fault const* parser_error(Parser* self, int32_t index) { return &self->faults[index]; }
void parser_delete(Parser* self) {
    --live;
    delete self;
}
Table parser_methods{method(PARSER_PARSE, parser_parse), method(PARSER_ERRORS, parser_errors),
    method(PARSER_ERROR, parser_error), method(PARSER_DELETE, parser_delete)};

bool same_family(int32_t version) {
    if (version / 10000 == FAMILY) return true;
    say(1, "the headers are of another version than the library");
    return false;
}

}  // namespace

extern "C" {

int32_t segfuse_computes_on_the_host = 1;

int32_t getInferLibVersion() { return VERSION; }
int32_t getNvOnnxParserVersion() { return VERSION; }

void* createInferRuntime_INTERNAL(void* given, int32_t version) {
    logger = given;
    if (FAULT == NO_RUNTIME) {
        say(1, "CUDA initialization failure with error: 35. Please check your CUDA installation");
        return nullptr;
    }
    if (FAULT == ODD_RUNTIME) return reinterpret_cast<void*>(uintptr_t{0x228});
    if (!same_family(version)) return nullptr;
    say(3, "a runtime is made");
    return make(runtime_methods, Runtime{});
}

void* createInferBuilder_INTERNAL(void* given, int32_t version) {
    logger = given;
    if (FAULT == NO_BUILDER) {
        say(1, "createInferBuilder: Error Code 6: API Usage Error (CUDA initialization failure with error: 100)");
        return nullptr;
    }
    if (!same_family(version)) return nullptr;
    ++builders;
    return make(builder_methods, Builder{});
}

void* createNvOnnxParser_INTERNAL(void* network, void* given, int32_t) {
    logger = given;
    ++live;
    return new Parser{parser_methods.slots, static_cast<Public*>(network), {}};
}

}  // extern "C"
