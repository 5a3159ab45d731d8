// From a camera's bytes to the network's planes, the small picture that residuals are worked out from, and the finest
// level of the grey pyramid, in one launch.
//
// Twins: engine/cpu/preprocess.rs (planes), engine/cpu/input.rs (`round_to_bytes`), engine/cpu/residual.rs (`glance`),
// flow/pyramid.rs (`reduce`). f32 planes, glance and level 0 equal theirs, bit for bit; f16 planes are those, rounded to
// nearest even.
//
//   preprocess_f16, preprocess_f32
//     bytes      u8: the rows of the picture, `stride` bytes apart (NV12: of its luma)
//     chroma     u8: NV12's rows of U V pairs, `stride` bytes apart; any pointer for other formats, it is not read
//     width, height   of the picture, pixels, up to 16384; even where the format pairs pixels
//     format     0 YUYV, 1 UYVY, 2 NV12, 3 RGB8, 4 GREY
//     planes     out [3, rows, cols] f16 or f32, normalised; rows = cols = 0: none is wanted
//     how        scale[p] = 1 / (255 std[p]) and offset[p] = -mean[p] / std[p], rounded once from f64, per output plane;
//                mean and std themselves, which only the Common chain reads
//     options    bit 0: planes in the order blue, green, red; bit 1: the Common chain, the resized picture is rounded to
//                bytes before it is normalised
//     glance     out [3, rows / 4, cols / 4] f32 (whole blocks only): means over 4x4 of the planes, before they are
//                rounded to f16; or null
//     level_0    out [height / box + 2 FRAME, width / box + 2 FRAME] f32, 0 to 255, framed by its edge, where box is
//                `reduction` or the picture's side if that is shorter; or null
//     reduction  pixels of the picture to one of level 0, both ways
//   launch: block (32, 8), grid (plane tiles + grey tiles) along x, where a tile is 32 columns by 8 rows of the planes,
//   ceil(cols / 32) * ceil(rows / 8), and of the framed level 0 (none if it is null).

#include "segfuse.cuh"

struct Normalization {
    float scale[3], offset[3], mean[3], std[3];
};

extern "C" __global__ void preprocess_f16(const uint8_t* bytes, const uint8_t* chroma, int width, int height, int stride,
                                          int format, __half* planes, int rows, int cols, Normalization how, int options,
                                          float* glance, float* level_0, int reduction) {}

extern "C" __global__ void preprocess_f32(const uint8_t* bytes, const uint8_t* chroma, int width, int height, int stride,
                                          int format, float* planes, int rows, int cols, Normalization how, int options,
                                          float* glance, float* level_0, int reduction) {}
