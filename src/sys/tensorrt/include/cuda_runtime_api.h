// All that TensorRT's headers want of CUDA's: so the shim compiles where CUDA is not installed.
#pragma once

typedef struct CUstream_st* cudaStream_t;
typedef struct CUevent_st* cudaEvent_t;
