// Flow from the vehicle's own motion: of the ground, and of what is far away. No picture is looked at.
//
// Twin: flow/ego.rs. Computed in f64; cells within 1e-5 of the twin's.
//
//   ego_flow
//     camera   focal lengths, principal point and sides in pixels; right, down, forward: the camera's axes in the
//              vehicle's; position in metres; distortion k1, k2, p1, p2, k3, all 0 where there is none
//     motion   the later vehicle in the earlier one's axes: rotation (rows of the matrix) and translation in metres
//     flow     out [2, rows, cols] f32: x then y, in cells, from the current picture back into the earlier one
//     launch: block 128, grid ceil(rows cols / 128)

#include "segfuse.cuh"

struct Camera {
    double fx, fy, cx, cy, width, height;
    double right[3], down[3], forward[3], position[3];
    double distortion[5];
};

struct Motion {
    double turned[9], moved[3];
};

extern "C" __global__ void ego_flow(Camera camera, Motion motion, float* flow, int rows, int cols) {}
