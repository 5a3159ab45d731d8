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

namespace {

/// What lies further away on the ground moves like what is at infinity, in metres.
constexpr double FAR_M = 200.0;
/// Points nearer to the camera's plane than this project nowhere, in metres.
constexpr double NEAREST_M = 0.1;
/// Rounds that take a lens's distortion out of a pixel.
constexpr int UNDISTORT = 8;

struct Place {
    double x, y;
};

/// Where a lens puts a normalised place: the plumb-bob model.
__device__ Place distorted(const double (&lens)[5], Place place) {
    double x = place.x, y = place.y, r2 = x * x + y * y;
    double radial = 1.0 + r2 * (lens[0] + r2 * (lens[1] + r2 * lens[4]));
    return {x * radial + 2.0 * lens[2] * x * y + lens[3] * (r2 + 2.0 * x * x),
            y * radial + lens[2] * (r2 + 2.0 * y * y) + 2.0 * lens[3] * x * y};
}

__device__ Place undistorted(const double (&lens)[5], Place place) {
    Place found = place;
    for (int round = 0; round < UNDISTORT; ++round) {
        Place there = distorted(lens, found);
        found = {found.x + place.x - there.x, found.y + place.y - there.y};
    }
    return found;
}

__device__ double dot(const double (&one)[3], const double (&other)[3]) {
    return one[0] * other[0] + one[1] * other[1] + one[2] * other[2];
}

/// What a pixel shows, in the vehicle's axes: a point on the ground, or the direction of something far.
__device__ bool is_ground(const Camera& camera, double u, double v, double (&seen)[3]) {
    Place place = undistorted(camera.distortion, {(u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy});
    for (int axis = 0; axis < 3; ++axis) {
        seen[axis] = camera.right[axis] * place.x + camera.down[axis] * place.y + camera.forward[axis];
    }
    double reach = camera.position[2] / -seen[2];
    if (!(seen[2] < 0.0 && reach * sqrt(dot(seen, seen)) < FAR_M)) {
        return false;
    }
    for (int axis = 0; axis < 3; ++axis) {
        seen[axis] = camera.position[axis] + seen[axis] * reach;
    }
    return true;
}

/// The direction of what was seen from where the camera was in the earlier frame.
__device__ void from_earlier(const Camera& camera, const Motion& motion, bool ground, const double (&seen)[3],
                             double (&direction)[3]) {
    for (int axis = 0; axis < 3; ++axis) {
        const double* turned = motion.turned + 3 * axis;
        direction[axis] = turned[0] * seen[0] + turned[1] * seen[1] + turned[2] * seen[2];
        if (ground) {
            direction[axis] = direction[axis] + motion.moved[axis] - camera.position[axis];
        }
    }
}

/// The pixel of what lies in a direction; false behind the camera and far outside of the picture.
__device__ bool project(const Camera& camera, const double (&direction)[3], Place& pixel) {
    double ahead = dot(camera.forward, direction);
    Place place = {dot(camera.right, direction) / ahead, dot(camera.down, direction) / ahead};
    place = distorted(camera.distortion, place);
    pixel = {camera.fx * place.x + camera.cx, camera.fy * place.y + camera.cy};
    return ahead > NEAREST_M && pixel.x >= -camera.width && pixel.x < 2.0 * camera.width && pixel.y >= -camera.height &&
           pixel.y < 2.0 * camera.height;
}

}  // namespace

extern "C" __global__ void ego_flow(Camera camera, Motion motion, float* flow, int rows, int cols) {
    int cells = rows * cols, cell = blockIdx.x * blockDim.x + threadIdx.x;
    if (cell >= cells) {
        return;
    }
    double row = cell / cols, col = cell % cols;
    double seen[3], direction[3];
    bool ground =
        is_ground(camera, (col + 0.5) * camera.width / cols - 0.5, (row + 0.5) * camera.height / rows - 0.5, seen);
    from_earlier(camera, motion, ground, seen, direction);
    Place pixel;
    bool known = project(camera, direction, pixel);
    flow[cell] = known ? float((pixel.x + 0.5) * cols / camera.width - col - 0.5) : 0.0f;
    flow[cells + cell] = known ? float((pixel.y + 0.5) * rows / camera.height - row - 0.5) : 0.0f;
}
