// 3×3 convolutions by Winograd's minimal filtering, with the gradients of their images and filters (A. Lavin and S. Gray,
// arXiv:1509.09308). Stride 1, padding 1; for training in bfloat16 on CPUs with AVX-512 BF16. Called by kernels/winograd.py.
//
// Layout: images [N][H][W][C], results [N][H][W][K] and the gradients of both in bfloat16; filters and their gradients
// [K][3][3][C] in float32. C and K are multiples of 32.
//
// Between its transforms (winograd_transforms.h) a convolution is a product of matrices, tiles × C × K, for each of the 36
// or 25 components of a transformed tile. Filters are transformed into panels [component][K / width][C / 2][width][2];
// `width`, 64 or 32 channels, is what one row of accumulators holds, and the last axis is the pair of channels that the
// bfloat16 dot product reads.
//
// Blocking: a convolution works on 48 tiles at a time, so that the transformed tiles stay in the second-level cache; the
// gradient of the filters on 480, for the third-level cache.

#include <algorithm>
#include <cstring>

#include "bfloat16_matmul.h"
#include "winograd_transforms.h"

namespace {

constexpr int BLOCK_TILES = 48;   // at a time, in a convolution
constexpr int CHUNK_TILES = 480;  // at a time, in the gradient of the filters
constexpr int PADDING = 32;       // Rows are padded to avoid cache-set conflicts.

int panel_width(int channels) { return channels % 64 ? 32 : 64; }

// The tiles that cover a batch of images.
template <class Tile>
struct TileGrid {
    static constexpr int OUTPUT_TILE = Tile::OUTPUT_TILE;
    int count, height, width;

    int rows() const { return (height + OUTPUT_TILE - 1) / OUTPUT_TILE; }
    int columns() const { return (width + OUTPUT_TILE - 1) / OUTPUT_TILE; }
    long tiles() const { return long(count) * rows() * columns(); }

    // Writes pointers to the SIDE×SIDE pixels of a tile. Pixels outside the image are null, and so are all pixels of a tile
    // after the last one.
    template <int SIDE, class T>
    void pixel_pointers(long tile, T* pixels, int channels, T** pointers) const {
        long image = tile / (rows() * columns());
        int margin = (SIDE - OUTPUT_TILE) / 2;
        int top = tile / columns() % rows() * OUTPUT_TILE - margin, left = tile % columns() * OUTPUT_TILE - margin;
        for (int y = top; y < top + SIDE; y++)
            for (int x = left; x < left + SIDE; x++, pointers++) {
                bool inside = image < count && y >= 0 && y < height && x >= 0 && x < width;
                *pointers = inside ? pixels + ((image * height + y) * size_t(width) + x) * channels : nullptr;
            }
    }
};

inline Vector load_pixel(const bfloat16* pixel, int channel) {
    return pixel ? load_bfloat16(pixel + channel) : _mm512_setzero_ps();
}

template <class Tile>
struct Convolution {
    static constexpr int OUTPUT_TILE = Tile::OUTPUT_TILE, INPUT_TILE = Tile::INPUT_TILE, COMPONENTS = Tile::COMPONENTS;
    TileGrid<Tile> grid;
    int inputs, outputs;

    // Workspace of a tile: its components of all inputs, then their products with one panel.
    size_t transformed_stride() const { return size_t(COMPONENTS) * inputs + PADDING; }
    size_t product_stride() const { return size_t(COMPONENTS) * panel_width(outputs) + PADDING; }
    size_t workspace_bytes() const {
        return BLOCK_TILES * (transformed_stride() * sizeof(bfloat16) + product_stride() * sizeof(float));
    }

    template <int WIDTH>
    void convolve_block(long first, const bfloat16* images, const bfloat16* panels, bfloat16* result, char* workspace) const {
        constexpr int CHANNELS = WIDTH * LANES, ROWS = 24 / WIDTH;
        auto* transformed = reinterpret_cast<bfloat16*>(workspace);
        auto* products = reinterpret_cast<float*>(transformed + BLOCK_TILES * transformed_stride());
        for (int i = 0; i < BLOCK_TILES; i++) transform_input(first + i, images, transformed + i * transformed_stride());
        for (int k = 0; k < outputs; k += CHANNELS) {
            for (int component = 0; component < COMPONENTS; component++) {
                const bfloat16* panel = panels + (size_t(component) * outputs + k) * inputs;
                for (int i = 0; i < BLOCK_TILES; i += ROWS)
                    multiply<ROWS, WIDTH>(transformed + i * transformed_stride() + size_t(component) * inputs,
                                          transformed_stride(), 2, panel, inputs / 2,
                                          products + i * product_stride() + component * CHANNELS, product_stride());
            }
            for (int i = 0; i < BLOCK_TILES && first + i < grid.tiles(); i++)
                transform_output(first + i, products + i * product_stride(), CHANNELS, result, k);
        }
    }

    void transform_input(long tile, const bfloat16* images, bfloat16* transformed) const {
        const bfloat16* pixels[COMPONENTS];
        grid.template pixel_pointers<INPUT_TILE>(tile, images, inputs, pixels);
        for (int c = 0; c < inputs; c += LANES)
            transform<typename Tile::InputTransform>(
                [&](int i) { return load_pixel(pixels[i], c); },
                [&](int i, Vector value) { store_bfloat16(value, transformed + size_t(i) * inputs + c); });
    }

    void transform_output(long tile, const float* products, int channels, bfloat16* result, int k) const {
        bfloat16* pixels[OUTPUT_TILE * OUTPUT_TILE];
        grid.template pixel_pointers<OUTPUT_TILE>(tile, result, outputs, pixels);
        for (int c = 0; c < channels; c += LANES)
            transform<typename Tile::OutputTransform>(
                [&](int i) { return _mm512_loadu_ps(products + i * channels + c); },
                [&](int i, Vector value) {
                    if (pixels[i]) store_bfloat16(value, pixels[i] + k + c);
                });
    }
};

template <class Tile>
struct FilterGradient {
    static constexpr int COMPONENTS = Tile::COMPONENTS;
    TileGrid<Tile> grid;
    int inputs, outputs;

    // Workspace: for each component the images and the gradients of a chunk, in pairs of tiles; then the sums.
    size_t image_stride() const { return size_t(CHUNK_TILES) * inputs + PADDING; }
    size_t gradient_stride() const { return size_t(CHUNK_TILES) * outputs + PADDING; }
    size_t transformed_bytes() const { return COMPONENTS * (image_stride() + gradient_stride()) * sizeof(bfloat16); }
    size_t workspace_bytes() const { return transformed_bytes() + COMPONENTS * sizeof(float) * inputs * outputs; }

    // Transforms two tiles into panels of `width` channels.
    template <class Matrix>
    void transform_pair(long first, int t, int pairs, const bfloat16* images, int channels, int width, size_t stride,
                        bfloat16* panels) const {
        const bfloat16* pixels[2][COMPONENTS];
        for (int i = 0; i < 2; i++)
            grid.template pixel_pointers<Matrix::COLUMNS>(first + 2 * t + i, images, channels, pixels[i]);
        for (int c = 0; c < channels; c += LANES) {
            Vector even[COMPONENTS];
            transform<Matrix>([&](int i) { return load_pixel(pixels[0][i], c); }, [&](int i, Vector value) { even[i] = value; });
            bfloat16* panel = panels + (size_t(c / width) * pairs + t) * width * 2 + c % width * 2;
            transform<Matrix>(
                [&](int i) { return load_pixel(pixels[1][i], c); },
                [&](int i, Vector value) { store_bfloat16_pairs(even[i], value, panel + i * stride); });
        }
    }

    // Sums one component over the tiles of a chunk, for the panel of outputs that starts at `k`.
    template <int WIDTH, bool ACCUMULATE>
    void sum_tiles(const bfloat16* images, const bfloat16* gradients, int pairs, float* sums, int k) const {
        constexpr int ROWS = 16 / WIDTH;
        for (int c = 0; c < inputs; c += LANES)
            for (int i = 0; i < LANES; i += ROWS)
                multiply<ROWS, WIDTH, ACCUMULATE>(images + size_t(c) * pairs * 2 + i * 2, 2, 2 * LANES,
                                                  gradients + size_t(k) * pairs * 2, pairs,
                                                  sums + size_t(c + i) * outputs + k, outputs);
    }

    // Every thread of a team calls this.
    void compute(const bfloat16* images, const bfloat16* result_gradient, float* filter_gradient, char* workspace) const {
        auto* transformed_images = reinterpret_cast<bfloat16*>(workspace);
        bfloat16* transformed_gradients = transformed_images + COMPONENTS * image_stride();
        auto* sums = reinterpret_cast<float*>(workspace + transformed_bytes());
        const int width = panel_width(outputs);
        for (long first = 0; first < grid.tiles(); first += CHUNK_TILES) {
            const int pairs = (std::min<long>(CHUNK_TILES, grid.tiles() - first) + 1) / 2;
#pragma omp for schedule(static)
            for (int t = 0; t < pairs; t++) {
                transform_pair<typename Tile::InputTransform>(first, t, pairs, images, inputs, LANES, image_stride(),
                                                              transformed_images);
                transform_pair<typename Tile::OutputGradientTransform>(first, t, pairs, result_gradient, outputs, width,
                                                                       gradient_stride(), transformed_gradients);
            }
#pragma omp for schedule(static) collapse(2)
            for (int component = 0; component < COMPONENTS; component++)
                for (int k = 0; k < outputs; k += width) {
                    const bfloat16* a = transformed_images + component * image_stride();
                    const bfloat16* b = transformed_gradients + component * gradient_stride();
                    float* result = sums + size_t(component) * inputs * outputs;
                    if (width == 64)
                        first ? sum_tiles<4, true>(a, b, pairs, result, k) : sum_tiles<4, false>(a, b, pairs, result, k);
                    else
                        first ? sum_tiles<2, true>(a, b, pairs, result, k) : sum_tiles<2, false>(a, b, pairs, result, k);
                }
        }
#pragma omp for collapse(2)
        for (int k = 0; k < outputs; k += LANES)
            for (int c = 0; c < inputs; c += LANES) transform_sums(sums, k, c, filter_gradient);
    }

    // Writes the gradients of 16×16 filters.
    void transform_sums(const float* sums, int k, int c, float* filter_gradient) const {
        alignas(64) float transposed[FILTER * FILTER][LANES][LANES];
        for (int i = 0; i < LANES; i++) {
            const float* from = sums + size_t(c + i) * outputs + k;
            transform<typename Tile::FilterGradientTransform>(
                [&](int component) { return _mm512_loadu_ps(from + size_t(component) * inputs * outputs); },
                [&](int f, Vector value) { _mm512_store_ps(transposed[f][i], value); });
        }
        for (int j = 0; j < LANES; j++)
            for (int f = 0; f < FILTER * FILTER; f++)
                for (int i = 0; i < LANES; i++)
                    filter_gradient[(size_t(k + j) * FILTER * FILTER + f) * inputs + c + i] = transposed[f][i][j];
    }
};

// Transforms filters [K][3][3][C] into panels. The gradient of the images is the convolution of the result's gradient with
// the filters rotated by 180°, from K channels to C: the backward panels.
template <class Tile>
struct FilterPanels {
    static constexpr int COMPONENTS = Tile::COMPONENTS;
    int inputs, outputs;

    // Transforms the filters of outputs k and k + 1 and of 16 inputs.
    void transform_filters(const float* filters, int k, int c, bfloat16* forward_panels, bfloat16* backward_panels) const {
        bfloat16 transformed[2][COMPONENTS][LANES], rotated[2][COMPONENTS][LANES];
        for (int j = 0; j < 2; j++) {
            constexpr int LAST = FILTER * FILTER - 1;
            const float* from = filters + size_t(k + j) * FILTER * FILTER * inputs + c;
            transform<typename Tile::FilterTransform>(
                [&](int f) { return _mm512_loadu_ps(from + size_t(f) * inputs); },
                [&](int i, Vector value) { store_bfloat16(value, transformed[j][i]); });
            transform<typename Tile::FilterTransform>(
                [&](int f) { return _mm512_loadu_ps(from + size_t(LAST - f) * inputs); },
                [&](int i, Vector value) { store_bfloat16(value, rotated[j][i]); });
        }
        const int forward_width = panel_width(outputs), backward_width = panel_width(inputs);
        for (int i = 0; i < COMPONENTS; i++) {
            bfloat16* panel = forward_panels + (size_t(i) * outputs + k / forward_width * forward_width) * inputs;
            for (int j = 0; j < 2; j++)
                for (int p = 0; p < LANES; p += 2) {
                    bfloat16* pair = panel + (size_t(c + p) * forward_width / 2 + k % forward_width + j) * 2;
                    std::memcpy(pair, transformed[j][i] + p, 2 * sizeof *pair);
                }
            panel = backward_panels + (size_t(i) * inputs + c / backward_width * backward_width) * outputs;
            for (int p = 0; p < LANES; p++)
                for (int j = 0; j < 2; j++)
                    panel[(size_t(k) * backward_width / 2 + c % backward_width + p) * 2 + j] = rotated[j][i][p];
        }
    }
};

// Calls `work` with the tile that needs fewer products for images of this size.
template <class Work>
auto with_best_tile(int height, int width, Work work) {
    auto products = [&](auto tile) {
        using Tile = decltype(tile);
        return Tile::COMPONENTS * TileGrid<Tile>{1, height, width}.tiles();
    };
    return products(F3x3_3x3{}) < products(F4x4_3x3{}) ? work(F3x3_3x3{}) : work(F4x4_3x3{});
}

}  // namespace

extern "C" {

// Each function returns the bytes of workspace that it needs. If `workspace_bytes` is less, it does nothing else.

// Transforms filters into the panels of the convolution and of its backward pass, for images of this size.
size_t winograd_filter_panels(const float* filters, int height, int width, int inputs, int outputs, bfloat16* forward_panels,
                              bfloat16* backward_panels, char*, size_t, int threads) {
    return with_best_tile(height, width, [&](auto tile) -> size_t {
        FilterPanels<decltype(tile)> panels{inputs, outputs};
#pragma omp parallel for collapse(2) num_threads(threads)
        for (int k = 0; k < outputs; k += 2)
            for (int c = 0; c < inputs; c += LANES) panels.transform_filters(filters, k, c, forward_panels, backward_panels);
        return 0;
    });
}

// Convolves images with the filters of `panels`. From a result's gradient and the backward panels: the images' gradient.
size_t winograd_convolve(const bfloat16* images, const bfloat16* panels, bfloat16* result, int count, int height, int width,
                         int inputs, int outputs, char* workspace, size_t workspace_bytes, int threads) {
    return with_best_tile(height, width, [&](auto tile) {
        Convolution<decltype(tile)> convolution{{count, height, width}, inputs, outputs};
        const size_t needed = convolution.workspace_bytes() * threads;
        if (workspace_bytes < needed) return needed;
        const long blocks = (convolution.grid.tiles() + BLOCK_TILES - 1) / BLOCK_TILES;
#pragma omp parallel for schedule(static, 1) num_threads(threads)
        for (int thread = 0; thread < threads; thread++)
            for (long b = blocks * thread / threads; b < blocks * (thread + 1) / threads; b++) {
                char* own = workspace + thread * convolution.workspace_bytes();
                if (panel_width(outputs) == 64)
                    convolution.template convolve_block<4>(b * BLOCK_TILES, images, panels, result, own);
                else
                    convolution.template convolve_block<2>(b * BLOCK_TILES, images, panels, result, own);
            }
        return needed;
    });
}

// Writes the gradient of the filters. The order of the sums does not depend on the number of threads.
size_t winograd_filter_gradient(const bfloat16* images, const bfloat16* result_gradient, float* filter_gradient, int count,
                                int height, int width, int inputs, int outputs, char* workspace, size_t workspace_bytes,
                                int threads) {
    return with_best_tile(height, width, [&](auto tile) {
        FilterGradient<decltype(tile)> gradient{{count, height, width}, inputs, outputs};
        const size_t needed = gradient.workspace_bytes();
        if (workspace_bytes < needed) return needed;
#pragma omp parallel num_threads(threads)
        gradient.compute(images, result_gradient, filter_gradient, workspace);
        return needed;
    });
}
}
