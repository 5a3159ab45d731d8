// A stand-in for NVIDIA's driver (libcuda.so.1): what the program asks of it before it turns to TensorRT.
//
//   c++ -std=c++17 -shared -fPIC -DDEVICES=1 driver.cpp -o libcuda.so.1
#include <cstddef>
#include <cstdio>

namespace {
constexpr int NO_DEVICE = 100;  // CUDA_ERROR_NO_DEVICE
}

extern "C" {
int cuDriverGetVersion(int* version) { return *version = 12060, 0; }
int cuInit(unsigned) { return DEVICES == 0 ? NO_DEVICE : 0; }
int cuDeviceGet(int* device, int index) { return *device = index + 7, 0; }
int cuDeviceGetName(char* name, int len, int) { return std::snprintf(name, len, "Orin (nvgpu)"), 0; }
int cuDeviceGetAttribute(int* value, int attribute, int device) { return *value = attribute == 75 ? 8 : 7, device - 7; }
int cuDeviceTotalMem_v2(size_t* bytes, int) { return *bytes = size_t{8} << 30, 0; }
}
