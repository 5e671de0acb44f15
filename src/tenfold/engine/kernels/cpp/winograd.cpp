// 3×3 convolutions of stride 1 that keep height and width, and both their gradients, for training in bfloat16 on CPUs with
// AVX-512 BF16.
//
// Pictures lie channels last: inputs [N][H][W][C] and outputs [N][H][W][K] in bfloat16; filters [K][3][3][C] in float32.
// C and K are multiples of 32. Between its transforms (winograd.h) a convolution is 36 or 25 matrix products, one for each
// point, over tiles × C × K. Filters stand ready as panels [point][K / width][C / 2][width][2], `width` of 64 or 32 being
// what one row of accumulators holds.

#include <algorithm>
#include <cstring>

#include "winograd.h"

namespace {

constexpr int BLOCK = 48;   // tiles at a time in a convolution: what they become fits the second-level cache
constexpr int CHUNK = 480;  // tiles at a time in a filter's gradient: what they become fits the third-level cache
// What lies apart by a power of two shares few places of a cache: rows end with some room.
constexpr int ROOM = 32;

int width_of(int channels) { return channels % 64 ? 32 : 64; }

// result[row][16 × WIDE] (+)= Σ over pairs of a[row][pair] b[pair][16 × WIDE]
template <int ROWS, int WIDE, bool ADD = false>
__attribute__((noinline)) void multiply(const bfloat16* a, size_t row, size_t pair, const bfloat16* b, int pairs,
                                        float* result, size_t stride) {
    Vector sums[ROWS][WIDE];
#pragma GCC unroll 16
    for (int i = 0; i < ROWS; i++)
#pragma GCC unroll 4
        for (int j = 0; j < WIDE; j++)
            sums[i][j] = ADD ? _mm512_loadu_ps(result + i * stride + LANES * j) : _mm512_setzero_ps();
    const bfloat16* rows[ROWS];
#pragma GCC unroll 16
    for (int i = 0; i < ROWS; i++) {
        rows[i] = a + i * row;
        asm("" : "+r"(rows[i]));  // or the compiler keeps the multiples of `row` instead, and in memory
    }
    for (size_t p = 0; p < size_t(pairs); p++) {
        __m512i columns[WIDE];
#pragma GCC unroll 4
        for (int j = 0; j < WIDE; j++) {
            columns[j] = _mm512_loadu_si512(b + (p * WIDE + j) * 2 * LANES);
            asm("" : "+v"(columns[j]));  // or it loads them anew for each row
        }
#pragma GCC unroll 16
        for (int i = 0; i < ROWS; i++) {
            int both;
            std::memcpy(&both, rows[i] + p * pair, sizeof both);
            __m512bh entry = (__m512bh)_mm512_set1_epi32(both);
#pragma GCC unroll 4
            for (int j = 0; j < WIDE; j++) sums[i][j] = _mm512_dpbf16_ps(sums[i][j], entry, (__m512bh)columns[j]);
        }
    }
#pragma GCC unroll 16
    for (int i = 0; i < ROWS; i++)
#pragma GCC unroll 4
        for (int j = 0; j < WIDE; j++) _mm512_storeu_ps(result + i * stride + LANES * j, sums[i][j]);
}

template <class Tile>
struct Pictures {
    static constexpr int MADE = Tile::MADE;
    int count, height, width;

    int down() const { return (height + MADE - 1) / MADE; }
    int across() const { return (width + MADE - 1) / MADE; }
    long tiles() const { return long(count) * down() * across(); }

    // Where the SIDE×SIDE places of a tile lie; those outside the picture, and all of a tile too many, are null.
    template <int SIDE, class T>
    void places(long tile, T* pixels, int channels, T** found) const {
        long picture = tile / (down() * across());
        int margin = (SIDE - MADE) / 2, top = tile / across() % down() * MADE - margin, left = tile % across() * MADE - margin;
        for (int y = top; y < top + SIDE; y++)
            for (int x = left; x < left + SIDE; x++, found++) {
                bool inside = picture < count && y >= 0 && y < height && x >= 0 && x < width;
                *found = inside ? pixels + ((picture * height + y) * size_t(width) + x) * channels : nullptr;
            }
    }
};

inline Vector entry(const bfloat16* place, int channel) { return place ? widen(place + channel) : _mm512_setzero_ps(); }

template <class Tile>
struct Convolution {
    static constexpr int MADE = Tile::MADE, SEEN = Tile::SEEN, POINTS = Tile::POINTS;
    Pictures<Tile> pictures;
    int inputs, outputs;

    // Rows of one tile: its points of all inputs, then of as many outputs as a panel has.
    size_t seen_row() const { return size_t(POINTS) * inputs + ROOM; }
    size_t made_row() const { return size_t(POINTS) * width_of(outputs) + ROOM; }
    size_t bytes() const { return BLOCK * (seen_row() * sizeof(bfloat16) + made_row() * sizeof(float)); }

    template <int WIDE>
    void block(long first, const bfloat16* from, const bfloat16* filters, bfloat16* to, char* space) const {
        constexpr int WIDTH = WIDE * LANES, ROWS = 24 / WIDE;
        auto* seen = reinterpret_cast<bfloat16*>(space);
        auto* made = reinterpret_cast<float*>(seen + BLOCK * seen_row());
        for (int i = 0; i < BLOCK; i++) see(first + i, from, seen + i * seen_row());
        for (int k = 0; k < outputs; k += WIDTH) {
            for (int point = 0; point < POINTS; point++) {
                const bfloat16* panel = filters + (size_t(point) * outputs + k) * inputs;
                for (int i = 0; i < BLOCK; i += ROWS)
                    multiply<ROWS, WIDE>(seen + i * seen_row() + size_t(point) * inputs, seen_row(), 2, panel, inputs / 2,
                                         made + i * made_row() + point * WIDTH, made_row());
            }
            for (int i = 0; i < BLOCK && first + i < pictures.tiles(); i++)
                make(first + i, made + i * made_row(), WIDTH, to, k);
        }
    }

    void see(long tile, const bfloat16* from, bfloat16* seen) const {
        const bfloat16* places[POINTS];
        pictures.template places<SEEN>(tile, from, inputs, places);
        for (int c = 0; c < inputs; c += LANES)
            transform<typename Tile::OfInputs>(
                [&](int i) { return entry(places[i], c); },
                [&](int i, Vector value) { narrow(value, seen + size_t(i) * inputs + c); });
    }

    void make(long tile, const float* made, int width, bfloat16* to, int k) const {
        bfloat16* places[MADE * MADE];
        pictures.template places<MADE>(tile, to, outputs, places);
        for (int c = 0; c < width; c += LANES)
            transform<typename Tile::ToOutputs>(
                [&](int i) { return _mm512_loadu_ps(made + i * width + c); },
                [&](int i, Vector value) {
                    if (places[i]) narrow(value, places[i] + k + c);
                });
    }
};

template <class Tile>
struct FilterGradient {
    static constexpr int POINTS = Tile::POINTS;
    Pictures<Tile> pictures;
    int inputs, outputs;

    // One point of all tiles of a chunk, as pairs of tiles.
    size_t seen_point() const { return size_t(CHUNK) * inputs + ROOM; }
    size_t made_point() const { return size_t(CHUNK) * outputs + ROOM; }
    size_t tile_bytes() const { return POINTS * (seen_point() + made_point()) * sizeof(bfloat16); }
    size_t bytes() const { return tile_bytes() + POINTS * sizeof(float) * inputs * outputs; }

    // The points of two tiles, in panels of `width` channels.
    template <class Matrix>
    void pair(long first, int t, int pairs, const bfloat16* from, int channels, int width, size_t stride, bfloat16* to) const {
        const bfloat16* places[2][POINTS];
        for (int i = 0; i < 2; i++) pictures.template places<Matrix::FROM>(first + 2 * t + i, from, channels, places[i]);
        for (int c = 0; c < channels; c += LANES) {
            Vector one[POINTS];
            transform<Matrix>([&](int i) { return entry(places[0][i], c); }, [&](int i, Vector value) { one[i] = value; });
            bfloat16* panel = to + (size_t(c / width) * pairs + t) * width * 2 + c % width * 2;
            transform<Matrix>(
                [&](int i) { return entry(places[1][i], c); },
                [&](int i, Vector value) { narrow_pairs(one[i], value, panel + i * stride); });
        }
    }

    // Sums of one panel of outputs, from `k` on.
    template <int WIDE, bool ADD>
    void sum(const bfloat16* seen, const bfloat16* made, int pairs, float* sums, int k) const {
        constexpr int ROWS = 16 / WIDE;
        for (int c = 0; c < inputs; c += LANES)
            for (int i = 0; i < LANES; i += ROWS)
                multiply<ROWS, WIDE, ADD>(seen + size_t(c) * pairs * 2 + i * 2, 2, 2 * LANES, made + size_t(k) * pairs * 2, pairs,
                                          sums + size_t(c + i) * outputs + k, outputs);
    }

    // What each thread of a team does.
    void run(const bfloat16* from, const bfloat16* to_gradient, float* gradient, char* space) const {
        auto* seen = reinterpret_cast<bfloat16*>(space);
        bfloat16* made = seen + POINTS * seen_point();
        auto* sums = reinterpret_cast<float*>(space + tile_bytes());
        const int panel = width_of(outputs);
        for (long first = 0; first < pictures.tiles(); first += CHUNK) {
            const int pairs = (std::min<long>(CHUNK, pictures.tiles() - first) + 1) / 2;
#pragma omp for schedule(static)
            for (int t = 0; t < pairs; t++) {
                pair<typename Tile::OfInputs>(first, t, pairs, from, inputs, LANES, seen_point(), seen);
                pair<typename Tile::OfOutputGradients>(first, t, pairs, to_gradient, outputs, panel, made_point(), made);
            }
#pragma omp for schedule(static) collapse(2)
            for (int point = 0; point < POINTS; point++)
                for (int k = 0; k < outputs; k += panel) {
                    const bfloat16 *a = seen + point * seen_point(), *b = made + point * made_point();
                    float* result = sums + size_t(point) * inputs * outputs;
                    if (panel == 64)
                        first ? sum<4, true>(a, b, pairs, result, k) : sum<4, false>(a, b, pairs, result, k);
                    else
                        first ? sum<2, true>(a, b, pairs, result, k) : sum<2, false>(a, b, pairs, result, k);
                }
        }
#pragma omp for collapse(2)
        for (int k = 0; k < outputs; k += LANES)
            for (int c = 0; c < inputs; c += LANES) finish(sums, k, c, gradient);
    }

    void finish(const float* sums, int k, int c, float* gradient) const {
        alignas(64) float turned[FILTER * FILTER][LANES][LANES];
        for (int i = 0; i < LANES; i++) {
            const float* from = sums + size_t(c + i) * outputs + k;
            transform<typename Tile::ToFilterGradients>(
                [&](int p) { return _mm512_loadu_ps(from + size_t(p) * inputs * outputs); },
                [&](int f, Vector value) { _mm512_store_ps(turned[f][i], value); });
        }
        for (int j = 0; j < LANES; j++)
            for (int f = 0; f < FILTER * FILTER; f++)
                for (int i = 0; i < LANES; i++)
                    gradient[(size_t(k + j) * FILTER * FILTER + f) * inputs + c + i] = turned[f][i][j];
    }
};

// Panels of filters [K][3][3][C]: `ahead` for the convolution, `back` for the gradient of its inputs, which is the convolution
// by the filters turned round, from K channels to C.
template <class Tile>
struct Panels {
    static constexpr int POINTS = Tile::POINTS;
    int inputs, outputs;

    // Of the filters k and k + 1 and 16 of their inputs.
    void make(const float* filters, int k, int c, bfloat16* ahead, bfloat16* back) const {
        bfloat16 points[2][POINTS][LANES], turned[2][POINTS][LANES];
        for (int j = 0; j < 2; j++) {
            constexpr int LAST = FILTER * FILTER - 1;
            const float* from = filters + size_t(k + j) * FILTER * FILTER * inputs + c;
            transform<typename Tile::OfFilters>(
                [&](int f) { return _mm512_loadu_ps(from + size_t(f) * inputs); },
                [&](int i, Vector value) { narrow(value, points[j][i]); });
            transform<typename Tile::OfFilters>(
                [&](int f) { return _mm512_loadu_ps(from + size_t(LAST - f) * inputs); },
                [&](int i, Vector value) { narrow(value, turned[j][i]); });
        }
        const int ahead_width = width_of(outputs), back_width = width_of(inputs);
        for (int i = 0; i < POINTS; i++) {
            bfloat16* panel = ahead + (size_t(i) * outputs + k / ahead_width * ahead_width) * inputs;
            for (int j = 0; j < 2; j++)
                for (int p = 0; p < LANES; p += 2)
                    std::memcpy(panel + (size_t(c + p) * ahead_width / 2 + k % ahead_width + j) * 2, points[j][i] + p, 4);
            panel = back + (size_t(i) * inputs + c / back_width * back_width) * outputs;
            for (int p = 0; p < LANES; p++)
                for (int j = 0; j < 2; j++)
                    panel[(size_t(k) * back_width / 2 + c % back_width + p) * 2 + j] = turned[j][i][p];
        }
    }
};

// Calls `work` with the tile that takes fewer products for pictures of this size.
template <class Work>
auto with_tile(int height, int width, Work work) {
    auto products = [&](auto tile) {
        using Tile = decltype(tile);
        return Tile::POINTS * Pictures<Tile>{1, height, width}.tiles();
    };
    return products(Three{}) < products(Four{}) ? work(Three{}) : work(Four{});
}

}  // namespace

extern "C" {

// Bytes that one call of `convolve` needs to work in.
size_t convolve_space(int count, int height, int width, int inputs, int outputs, int threads) {
    return with_tile(height, width, [&](auto tile) {
        return Convolution<decltype(tile)>{{count, height, width}, inputs, outputs}.bytes() * threads;
    });
}

// Bytes that one call of `filter_gradient` needs to work in.
size_t filter_gradient_space(int count, int height, int width, int inputs, int outputs) {
    return with_tile(height, width, [&](auto tile) {
        return FilterGradient<decltype(tile)>{{count, height, width}, inputs, outputs}.bytes();
    });
}

// Makes the panels for pictures of a size.
void prepare(const float* filters, int height, int width, int inputs, int outputs, bfloat16* ahead, bfloat16* back,
             int threads) {
    with_tile(height, width, [&](auto tile) {
        Panels<decltype(tile)> panels{inputs, outputs};
#pragma omp parallel for collapse(2) num_threads(threads)
        for (int k = 0; k < outputs; k += 2)
            for (int c = 0; c < inputs; c += LANES) panels.make(filters, k, c, ahead, back);
    });
}

void convolve(const bfloat16* from, const bfloat16* filters, bfloat16* to, int count, int height, int width, int inputs,
              int outputs, char* space, int threads) {
    with_tile(height, width, [&](auto tile) {
        Convolution<decltype(tile)> convolution{{count, height, width}, inputs, outputs};
        const long blocks = (convolution.pictures.tiles() + BLOCK - 1) / BLOCK;
#pragma omp parallel for schedule(static, 1) num_threads(threads)
        for (int thread = 0; thread < threads; thread++)
            for (long b = blocks * thread / threads; b < blocks * (thread + 1) / threads; b++) {
                char* own = space + thread * convolution.bytes();
                if (width_of(outputs) == 64)
                    convolution.template block<4>(b * BLOCK, from, filters, to, own);
                else
                    convolution.template block<2>(b * BLOCK, from, filters, to, own);
            }
    });
}

// Writes the gradient of the filters, [K][3][3][C]; sums are made in the same order by every number of threads.
void filter_gradient(const bfloat16* from, const bfloat16* to_gradient, float* gradient, int count, int height, int width,
                     int inputs, int outputs, char* space, int threads) {
    with_tile(height, width, [&](auto tile) {
        FilterGradient<decltype(tile)> task{{count, height, width}, inputs, outputs};
#pragma omp parallel num_threads(threads)
        task.run(from, to_gradient, gradient, space);
    });
}
}
