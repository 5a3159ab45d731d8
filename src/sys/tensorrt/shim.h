// What the shim gives to Rust: a table of functions for each family of TensorRT. Its twin is shim.rs; change both.
//
// Pointers named after a class are that class's objects as TensorRT made them. Texts end with a zero byte. Nothing here
// throws, and no callback may.
#pragma once

#include <cstddef>
#include <cstdint>

struct TensorDescription {
    char const* name;  // Lives as long as its engine.
    int32_t is_input;
    int32_t element;  // nvinfer1::DataType
    int32_t is_linear;  // Plane after plane, row after row.
    int32_t rank;     // -1: not known.
    int64_t dims[8];
};

// What is told while a plan is built; `user` is passed through. The first three end before `build` returns.
struct BuildEvents {
    void* user;
    void (*refused)(void* user, int32_t node, char const* node_name, char const* operation, char const* reason);
    void (*plan)(void* user, void const* bytes, size_t len);
    void (*timing_cache)(void* user, void const* bytes, size_t len);
    // From any thread: a step of `steps` was done in `phase`. Zero: give up.
    int32_t (*progress)(void* user, char const* phase, int32_t step, int32_t steps);
};

struct BuildRequest {
    void const* onnx;
    size_t onnx_len;
    void const* timing_cache;  // Null: begin an empty one.
    size_t timing_cache_len;
    uint64_t workspace_bytes;  // 0: as much as TensorRT wants.
    int32_t dla_core;          // -1: none.
    int32_t const* capabilities;
    int32_t capability_count;  // 0: of the GPU that is there.
    void* (*make_parser)(void* network, void* logger, int32_t version);
    void* logger;
    int32_t parser_version;
    BuildEvents const* events;
};

enum BuildOutcome : int32_t {
    BUILT = 0,
    NO_NETWORK = 1,
    NO_PARSER = 2,
    ONNX_REFUSED = 3,
    TIMING_CACHE_REFUSED = 4,
    NO_DLA_IN_FAMILY = 5,
    CAPABILITY_REFUSED = 6,
    NO_SUCH_DLA = 7,
    NOT_BUILT = 8,
};

struct Shim {
    int32_t header_version;

    void* (*logger_new)(void (*log)(void* user, int32_t severity, char const* line), void* user);
    void (*logger_free)(void* logger);

    void (*runtime_free)(void* runtime);
    void* (*engine_new)(void* runtime, void const* plan, size_t len, int32_t dla_core);
    void (*engine_free)(void* engine);
    int32_t (*engine_tensor_count)(void* engine);
    // Zero: there is none with this index.
    int32_t (*engine_tensor)(void* engine, int32_t index, TensorDescription* described);
    int64_t (*engine_device_bytes)(void* engine);

    void* (*context_new)(void* engine);
    void (*context_free)(void* context);
    int32_t (*context_set_shape)(void* context, char const* name, int64_t const* dims, int32_t rank);
    int32_t (*context_set_address)(void* context, char const* name, uint64_t address);
    int32_t (*context_enqueue)(void* context, void* stream);

    // Frees the builder.
    int32_t (*build)(void* builder, BuildRequest const* request);
};
