// From a camera's bytes to the network's planes, the small picture that residuals are worked out from, and the finest
// level of the grey pyramid, in one launch.
//
// Twins: engine/cpu/preprocess.rs (planes), engine/cpu/input.rs (`round_to_bytes`), engine/cpu/residual.rs (`glance`),
// flow/pyramid.rs (`reduce`). f32 planes, glance and level 0 equal theirs, bit for bit; f16 planes are those, rounded
// to nearest even.
//
//   preprocess_f16, preprocess_f32
//     bytes      u8: the rows of the picture, `stride` bytes apart (NV12: of its luma)
//     chroma     u8: NV12's rows of U V pairs, `stride` bytes apart; any pointer for other formats, it is not read
//     width, height   of the picture, pixels, up to 16384; even where the format pairs pixels
//     format     0 YUYV, 1 UYVY, 2 NV12, 3 RGB8, 4 GREY
//     planes     out [3, rows, cols] f16 or f32, normalised; rows = cols = 0: none is wanted
//     how        scale[p] = 1 / (255 std[p]) and offset[p] = -mean[p] / std[p], rounded once from f64, per output
//                plane; mean and std themselves, which only the Common chain reads
//     options    bit 0: planes in the order blue, green, red; bit 1: the Common chain, the resized picture is rounded
//                to bytes before it is normalised
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
/// Bits of the options: planes in the order blue, green, red; the resized picture rounded to bytes.
enum Option { REVERSED = 1, ROUNDED = 2 };

constexpr int TILE_COLS = 32, TILE_ROWS = 8;
/// Pixels of the planes, both ways, in one of the glance; a divisor of a tile's sides.
constexpr int GLANCE = 4;
constexpr int GLANCE_COLS = TILE_COLS / GLANCE, GLANCE_ROWS = TILE_ROWS / GLANCE;

/// The values of a tile of the planes, before they are rounded.
typedef float Values[3][TILE_ROWS][TILE_COLS];

/// What the threads of a tile share: where its rows and columns lie in the picture, and what came of it.
struct Tile {
    Taps down[TILE_ROWS], along[TILE_COLS];
    Values values;
};

struct Picture {
    const uint8_t *bytes, *chroma;
    int width, height, stride;
};

/// What one launch is asked for; the header says what each is.
template <class Value>
struct Job {
    Picture picture;
    Value* planes;
    int rows, cols;
    Normalization how;
    int options;
    float *glance, *level_0;
    int reduction;
};

struct Colour {
    int channels[3];
};

/// Tiles that cover so many columns and rows.
__device__ int tiles(int cols, int rows) {
    return ((cols + TILE_COLS - 1) / TILE_COLS) * ((rows + TILE_ROWS - 1) / TILE_ROWS);
}

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
template <int FORMAT, class Value>
__device__ void prepare(const Job<Value>& job, const Taps& down, const Taps& along, float (&values)[3]) {
    const Picture& picture = job.picture;
    Colour corners[2][2];
    for (int i = 0; i < 2; ++i) {
        int y = i == 0 ? down.first : down.second;
        corners[i][0] = in_order(colour<FORMAT>(picture, y, along.first), job.options & REVERSED);
        corners[i][1] = in_order(colour<FORMAT>(picture, y, along.second), job.options & REVERSED);
    }
#pragma unroll
    for (int plane = 0; plane < 3; ++plane) {
        float lines[2];
        for (int i = 0; i < 2; ++i) {
            int left = corners[i][0].channels[plane], right = corners[i][1].channels[plane];
            lines[i] = float(left) + float(right - left) * along.share;
        }
        float scale = job.how.scale[plane], up_share = (1.0f - down.share) * scale, down_share = down.share * scale;
        float value = lines[0] * up_share + job.how.offset[plane] + lines[1] * down_share;
        bool rounds = job.options & ROUNDED;
        values[plane] = rounds ? round_to_byte(value, job.how.mean[plane], job.how.std[plane]) : value;
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

/// Called by all threads of a tile; those that have a block of 4x4 write it.
__device__ void write_glance(const Values& values, int tile_row, int tile_col, int rows, int cols, float* glance) {
    int index = threadIdx.y * TILE_COLS + threadIdx.x;
    int col = index % GLANCE_COLS, row = index / GLANCE_COLS % GLANCE_ROWS, plane = index / (GLANCE_COLS * GLANCE_ROWS);
    int glance_rows = rows / GLANCE, glance_cols = cols / GLANCE;
    int y = tile_row * GLANCE_ROWS + row, x = tile_col * GLANCE_COLS + col;
    if (plane < 3 && y < glance_rows && x < glance_cols) {
        glance[(size_t(plane) * glance_rows + y) * glance_cols + x] = block_mean(values[plane], row, col);
    }
}

template <int FORMAT, class Value>
__device__ void prepare_tile(const Job<Value>& job, int index, Tile& tile) {
    int tiles_across = tiles(job.cols, 1), tile_row = index / tiles_across, tile_col = index % tiles_across;
    int row = tile_row * TILE_ROWS + threadIdx.y, col = tile_col * TILE_COLS + threadIdx.x;
    if (threadIdx.y == 0) {
        tile.along[threadIdx.x] = taps_of(col, job.picture.width, job.cols);
    } else if (threadIdx.y == 1 && threadIdx.x < TILE_ROWS) {
        tile.down[threadIdx.x] = taps_of(tile_row * TILE_ROWS + threadIdx.x, job.picture.height, job.rows);
    }
    __syncthreads();
    if (row < job.rows && col < job.cols) {
        float values[3];
        prepare<FORMAT>(job, tile.down[threadIdx.y], tile.along[threadIdx.x], values);
        for (int plane = 0; plane < 3; ++plane) {
            store(job.planes, (size_t(plane) * job.rows + row) * job.cols + col, values[plane]);
            tile.values[plane][threadIdx.y][threadIdx.x] = values[plane];
        }
    }
    if (job.glance != nullptr) {
        __syncthreads();
        write_glance(tile.values, tile_row, tile_col, job.rows, job.cols, job.glance);
    }
}

/// A tile of the framed level 0: means of luma over boxes.
template <int FORMAT>
__device__ void reduce_tile(const Picture& picture, int index, int reduction, float* level_0) {
    int box_width = min(reduction, picture.width), box_height = min(reduction, picture.height);
    int width = picture.width / box_width, height = picture.height / box_height;
    int stride = width + 2 * FRAME, tiles_across = tiles(stride, 1);
    int framed_y = index / tiles_across * TILE_ROWS + threadIdx.y;
    int framed_x = index % tiles_across * TILE_COLS + threadIdx.x;
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

/// The block's own tile: of the planes, or of level 0.
template <int FORMAT, class Value>
__device__ void work_on_tile(const Job<Value>& job, Tile& tile) {
    int of_planes = tiles(job.cols, job.rows), index = blockIdx.x;
    if (index < of_planes) {
        prepare_tile<FORMAT>(job, index, tile);
    } else if (job.level_0 != nullptr) {
        reduce_tile<FORMAT>(job.picture, index - of_planes, job.reduction, job.level_0);
    }
}

template <class Value>
__device__ void preprocess(const Job<Value>& job, int format) {
    __shared__ Tile tile;
    switch (format) {
        case YUYV: return work_on_tile<YUYV>(job, tile);
        case UYVY: return work_on_tile<UYVY>(job, tile);
        case NV12: return work_on_tile<NV12>(job, tile);
        case RGB8: return work_on_tile<RGB8>(job, tile);
        default: return work_on_tile<GREY>(job, tile);
    }
}

}  // namespace

extern "C" __global__ void preprocess_f16(const uint8_t* bytes, const uint8_t* chroma, int width, int height,
                                          int stride, int format, __half* planes, int rows, int cols, Normalization how,
                                          int options, float* glance, float* level_0, int reduction) {
    Picture picture{bytes, chroma, width, height, stride};
    preprocess(Job<__half>{picture, planes, rows, cols, how, options, glance, level_0, reduction}, format);
}

extern "C" __global__ void preprocess_f32(const uint8_t* bytes, const uint8_t* chroma, int width, int height,
                                          int stride, int format, float* planes, int rows, int cols, Normalization how,
                                          int options, float* glance, float* level_0, int reduction) {
    Picture picture{bytes, chroma, width, height, stride};
    preprocess(Job<float>{picture, planes, rows, cols, how, options, glance, level_0, reduction}, format);
}
