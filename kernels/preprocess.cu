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

namespace {

enum Format { YUYV, UYVY, NV12, RGB8, GREY };

constexpr int TILE_COLS = 32, TILE_ROWS = 8;
/// Pixels of the planes, both ways, in one of the glance; a divisor of a tile's sides.
constexpr int GLANCE = 4;
constexpr int GLANCE_COLS = TILE_COLS / GLANCE, GLANCE_ROWS = TILE_ROWS / GLANCE;

/// A tile of the planes, before it is rounded.
typedef float Tile[3][TILE_ROWS][TILE_COLS];

struct Picture {
    const uint8_t *bytes, *chroma;
    int width, height, stride;
};

struct Colour {
    int channels[3];
};

__device__ int byte_of(int fixed) {
    int value = fixed >> 16;
    return value < 0 ? 0 : value > 255 ? 255 : value;
}

/// BT.601, limited range, 16 bits of fraction (data/convert.rs).
__device__ Colour from_yuv(int y, int u, int v) {
    int luma = 76309 * (y - 16) + 32768;
    u -= 128;
    v -= 128;
    return {byte_of(luma + 104597 * v), byte_of(luma - 25675 * u - 53279 * v), byte_of(luma + 132201 * u)};
}

__device__ Colour in_order(Colour rgb, bool reversed) {
    return reversed ? Colour{rgb.channels[2], rgb.channels[1], rgb.channels[0]} : rgb;
}

template <int FORMAT>
__device__ Colour colour(const Picture& picture, int y, int x) {
    const uint8_t* row = picture.bytes + size_t(y) * picture.stride;
    const uint8_t* pair = row + (x >> 1) * 4;
    int second = x & 1;
    switch (FORMAT) {
        case YUYV: return from_yuv(pair[2 * second], pair[1], pair[3]);
        case UYVY: return from_yuv(pair[2 * second + 1], pair[0], pair[2]);
        case NV12: {
            const uint8_t* chroma = picture.chroma + size_t(y >> 1) * picture.stride + (x & ~1);
            return from_yuv(row[x], chroma[0], chroma[1]);
        }
        case RGB8: return {row[3 * x], row[3 * x + 1], row[3 * x + 2]};
        default: return {row[x], row[x], row[x]};
    }
}

template <int FORMAT>
__device__ int luma(const Picture& picture, int y, int x) {
    const uint8_t* row = picture.bytes + size_t(y) * picture.stride;
    switch (FORMAT) {
        case YUYV: return row[2 * x];
        case UYVY: return row[2 * x + 1];
        case RGB8: return (19595 * row[3 * x] + 38470 * row[3 * x + 1] + 7471 * row[3 * x + 2] + 32768) >> 16;
        default: return row[x];
    }
}

/// What the resized picture would be had it bytes (engine/cpu/input.rs).
__device__ float round_to_byte(float value, float mean, float std) {
    // 1.5 * 2^23: the sum has no bits below 1, so that it is rounded to a whole number.
    const float whole = 12582912.0f;
    float byte = (value * std + mean) * 255.0f + whole - whole;
    return (byte / 255.0f - mean) / std;
}

/// One pixel of all planes: between columns first, then between rows.
template <int FORMAT>
__device__ void prepare(const Picture& picture, int row, int rows, int col, int cols, const Normalization& how,
                        int options, float (&values)[3]) {
    Taps down = taps_of(row, picture.height, rows), along = taps_of(col, picture.width, cols);
    Colour corners[2][2];
    for (int i = 0; i < 2; ++i) {
        int y = i == 0 ? down.first : down.second;
        corners[i][0] = in_order(colour<FORMAT>(picture, y, along.first), options & 1);
        corners[i][1] = in_order(colour<FORMAT>(picture, y, along.second), options & 1);
    }
#pragma unroll
    for (int plane = 0; plane < 3; ++plane) {
        float lines[2];
        for (int i = 0; i < 2; ++i) {
            int left = corners[i][0].channels[plane], right = corners[i][1].channels[plane];
            lines[i] = float(left) + float(right - left) * along.share;
        }
        float up_share = (1.0f - down.share) * how.scale[plane], down_share = down.share * how.scale[plane];
        float value = lines[0] * up_share + how.offset[plane] + lines[1] * down_share;
        values[plane] = options & 2 ? round_to_byte(value, how.mean[plane], how.std[plane]) : value;
    }
}

/// The mean of a 4x4 block of a tile: columns first, as the twin adds.
__device__ float block_mean(const float (&tile)[TILE_ROWS][TILE_COLS], int row, int col) {
    float sums[GLANCE];
    for (int x = 0; x < GLANCE; ++x) {
        sums[x] = 0.0f;
        for (int y = 0; y < GLANCE; ++y) {
            sums[x] += tile[row * GLANCE + y][col * GLANCE + x];
        }
    }
    return (sums[0] + sums[1] + sums[2] + sums[3]) * (1.0f / (GLANCE * GLANCE));
}

/// Threads of a tile that have a block each; all of a block, for it waits.
__device__ void write_glance(const Tile& tile, int tile_row, int tile_col, int rows, int cols,
                             float* glance) {
    int index = threadIdx.y * TILE_COLS + threadIdx.x;
    int col = index % GLANCE_COLS, row = index / GLANCE_COLS % GLANCE_ROWS, plane = index / (GLANCE_COLS * GLANCE_ROWS);
    int glance_rows = rows / GLANCE, glance_cols = cols / GLANCE;
    int y = tile_row * GLANCE_ROWS + row, x = tile_col * GLANCE_COLS + col;
    if (plane < 3 && y < glance_rows && x < glance_cols) {
        glance[(size_t(plane) * glance_rows + y) * glance_cols + x] = block_mean(tile[plane], row, col);
    }
}

template <int FORMAT, class Value>
__device__ void prepare_tile(const Picture& picture, int tile_index, Value* planes, int rows, int cols,
                             const Normalization& how, int options, float* glance, Tile& tile) {
    int tiles_across = (cols + TILE_COLS - 1) / TILE_COLS;
    int tile_row = tile_index / tiles_across, tile_col = tile_index % tiles_across;
    int row = tile_row * TILE_ROWS + threadIdx.y, col = tile_col * TILE_COLS + threadIdx.x;
    if (row < rows && col < cols) {
        float values[3];
        prepare<FORMAT>(picture, row, rows, col, cols, how, options, values);
        for (int plane = 0; plane < 3; ++plane) {
            store(planes, (size_t(plane) * rows + row) * cols + col, values[plane]);
            tile[plane][threadIdx.y][threadIdx.x] = values[plane];
        }
    }
    if (glance != nullptr) {
        __syncthreads();
        write_glance(tile, tile_row, tile_col, rows, cols, glance);
    }
}

/// A tile of the framed level 0: means of luma over boxes.
template <int FORMAT>
__device__ void reduce_tile(const Picture& picture, int tile_index, int reduction, float* level_0) {
    int box_width = min(reduction, picture.width), box_height = min(reduction, picture.height);
    int width = picture.width / box_width, height = picture.height / box_height;
    int stride = width + 2 * FRAME, tiles_across = (stride + TILE_COLS - 1) / TILE_COLS;
    int framed_y = tile_index / tiles_across * TILE_ROWS + threadIdx.y;
    int framed_x = tile_index % tiles_across * TILE_COLS + threadIdx.x;
    if (framed_y >= height + 2 * FRAME || framed_x >= stride) {
        return;
    }
    int left = min(max(framed_x - FRAME, 0), width - 1) * box_width;
    int top = min(max(framed_y - FRAME, 0), height - 1) * box_height;
    unsigned sum = 0;
    for (int y = top; y < top + box_height; ++y) {
        for (int x = left; x < left + box_width; ++x) {
            sum += luma<FORMAT>(picture, y, x);
        }
    }
    level_0[size_t(framed_y) * stride + framed_x] = float(sum) * (1.0f / float(box_width * box_height));
}

template <int FORMAT, class Value>
__device__ void prepare_or_reduce(const Picture& picture, Value* planes, int rows, int cols, const Normalization& how,
                                  int options, float* glance, float* level_0, int reduction, Tile& tile) {
    int tiles = ((cols + TILE_COLS - 1) / TILE_COLS) * ((rows + TILE_ROWS - 1) / TILE_ROWS);
    int index = blockIdx.x;
    if (index < tiles) {
        prepare_tile<FORMAT>(picture, index, planes, rows, cols, how, options, glance, tile);
    } else if (level_0 != nullptr) {
        reduce_tile<FORMAT>(picture, index - tiles, reduction, level_0);
    }
}

template <class Value>
__device__ void preprocess(const Picture& picture, int format, Value* planes, int rows, int cols, const Normalization& how,
                           int options, float* glance, float* level_0, int reduction) {
    __shared__ Tile tile;
    switch (format) {
        case YUYV:
            return prepare_or_reduce<YUYV>(picture, planes, rows, cols, how, options, glance, level_0, reduction, tile);
        case UYVY:
            return prepare_or_reduce<UYVY>(picture, planes, rows, cols, how, options, glance, level_0, reduction, tile);
        case NV12:
            return prepare_or_reduce<NV12>(picture, planes, rows, cols, how, options, glance, level_0, reduction, tile);
        case RGB8:
            return prepare_or_reduce<RGB8>(picture, planes, rows, cols, how, options, glance, level_0, reduction, tile);
        default:
            return prepare_or_reduce<GREY>(picture, planes, rows, cols, how, options, glance, level_0, reduction, tile);
    }
}

}  // namespace

extern "C" __global__ void preprocess_f16(const uint8_t* bytes, const uint8_t* chroma, int width, int height, int stride,
                                          int format, __half* planes, int rows, int cols, Normalization how, int options,
                                          float* glance, float* level_0, int reduction) {
    Picture picture{bytes, chroma, width, height, stride};
    preprocess(picture, format, planes, rows, cols, how, options, glance, level_0, reduction);
}

extern "C" __global__ void preprocess_f32(const uint8_t* bytes, const uint8_t* chroma, int width, int height, int stride,
                                          int format, float* planes, int rows, int cols, Normalization how, int options,
                                          float* glance, float* level_0, int reduction) {
    Picture picture{bytes, chroma, width, height, stride};
    preprocess(picture, format, planes, rows, cols, how, options, glance, level_0, reduction);
}
