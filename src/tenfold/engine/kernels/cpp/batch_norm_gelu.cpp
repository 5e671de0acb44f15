// Batch normalization and GELU as one operation, after 2×2 max-pooling if asked for, and GELU alone; forward and backward.
// For training in bfloat16 on CPUs with AVX-512 BF16. Called by kernels/normalization.py. PyTorch runs pooling, normalization
// and GELU one after another, each from memory to memory. Batch normalization: arXiv:1502.03167, GELU: arXiv:1606.08415.
//
// Layout: features [N][H][W][C] in bfloat16, C a multiple of 16; values per channel [C] in float32. After pooling, features
// are a matrix of N·H'·W' rows and C columns.
//
// Blocking: statistics are summed over blocks of 64 rows × 16 channels in float32 registers; sums of blocks are added in
// double. Each group of 16 blocks belongs to one thread, so the order of the sums does not depend on the number of threads.

#include <algorithm>
#include <cmath>
#include <cstring>

#include "bfloat16.h"

namespace {

constexpr int BLOCK_ROWS = 64;
constexpr int GROUP_BLOCKS = 16;
constexpr float LIMIT = 4.0f;  // beyond ±4 the normal distribution is 0 or 1, to bfloat16

// Minimax polynomials on [-4, 4] of two odd functions: Φ(z) - ½ (error 8e-6) and the derivative of z Φ(z), less ½ (8e-5).
constexpr float NORMAL_CDF[] = {3.989227085e-01f,  -6.641059153e-02f, 9.877473478e-03f,  -1.133920691e-03f, 9.890776864e-05f,
                                -6.294961574e-06f, 2.716129868e-07f,  -7.003369770e-09f, 8.063271616e-11f};
constexpr float GELU_DERIVATIVE[] = {7.976095366e-01f,  -2.648264912e-01f, 5.845606204e-02f,
                                     -8.716304750e-03f, 9.073232201e-04f,  -6.495716097e-05f,
                                     3.028318935e-06f,  -8.218695886e-08f, 9.795894785e-10f};

template <int COUNT>
inline Vector half_plus_odd(const float (&coefficients)[COUNT], Vector z) {
    Vector clamped = _mm512_max_ps(broadcast(-LIMIT), _mm512_min_ps(broadcast(LIMIT), z));
    Vector square = _mm512_mul_ps(clamped, clamped);
    Vector sum = broadcast(coefficients[COUNT - 1]);
    for (int i = COUNT - 2; i >= 0; i--) sum = _mm512_fmadd_ps(sum, square, broadcast(coefficients[i]));
    return _mm512_fmadd_ps(sum, clamped, broadcast(0.5f));
}

inline Vector gelu(Vector z) { return _mm512_mul_ps(z, half_plus_odd(NORMAL_CDF, z)); }

inline void add_to(double* sums, Vector values) {
    __m512d low = _mm512_cvtps_pd(_mm512_castps512_ps256(values)), high = _mm512_cvtps_pd(_mm512_extractf32x8_ps(values, 1));
    _mm512_storeu_pd(sums, _mm512_add_pd(_mm512_loadu_pd(sums), low));
    _mm512_storeu_pd(sums + 8, _mm512_add_pd(_mm512_loadu_pd(sums + 8), high));
}

// Bytes of the totals and of the partial sums of each group that `sum_blocks` writes.
size_t sums_bytes(long rows, int channels) { return (rows / (BLOCK_ROWS * GROUP_BLOCKS) + 2) * 2 * channels * sizeof(double); }

// Sums two values per channel over all rows: totals [2][C], partial sums [groups][2][C]. `work` handles a block of rows and
// 16 channels and adds to the two sums it is given. Every thread of a team calls this.
template <class Work>
void sum_blocks(long rows, int channels, double* partial, double* totals, Work work) {
    const long blocks = (rows + BLOCK_ROWS - 1) / BLOCK_ROWS;
    const long groups = (blocks + GROUP_BLOCKS - 1) / GROUP_BLOCKS;
#pragma omp for schedule(static)
    for (long g = 0; g < groups; g++) {
        double* own = partial + g * 2 * channels;
        std::fill(own, own + 2 * channels, 0.0);
        for (long b = g * GROUP_BLOCKS; b < std::min(blocks, (g + 1) * GROUP_BLOCKS); b++)
            for (int c = 0; c < channels; c += LANES) {
                Vector first = broadcast(0.0f), second = broadcast(0.0f);
                work(b * BLOCK_ROWS, std::min(rows, (b + 1) * BLOCK_ROWS), c, first, second);
                add_to(own + c, first);
                add_to(own + channels + c, second);
            }
    }
#pragma omp for schedule(static)
    for (int i = 0; i < 2 * channels; i++) {
        double sum = 0;
        for (long g = 0; g < groups; g++) sum += partial[g * 2 * channels + i];
        totals[i] = sum;
    }
}

struct Features {
    int count, height, width, channels;
    bool pooled;

    int pooled_height() const { return pooled ? height / 2 : height; }
    int pooled_width() const { return pooled ? width / 2 : width; }
    long rows() const { return long(count) * pooled_height() * pooled_width(); }

    // Offset of the pixel that becomes a row, or of the upper left pixel of its 2×2 window.
    size_t pixel_offset(long row) const {
        if (!pooled) return row * size_t(channels);
        long image = row / (long(pooled_height()) * pooled_width());
        int y = row / pooled_width() % pooled_height() * 2, x = row % pooled_width() * 2;
        return ((image * height + y) * size_t(width) + x) * channels;
    }
    size_t corner_offset(int corner) const { return (size_t(corner / 2) * width + corner % 2) * channels; }
};

// Returns the maximum of a 2×2 window and writes the corner it came from: the first of equal values, or of NaN.
inline Vector max_pool(const Features& features, const bfloat16* window, uint8_t* argmax) {
    Vector best = load_bfloat16(window);
    __m512i corner = _mm512_setzero_si512();
    for (int i = 1; i < 4; i++) {
        Vector other = load_bfloat16(window + features.corner_offset(i));
        __mmask16 number = _mm512_cmp_ps_mask(best, best, _CMP_ORD_Q);  // the first NaN wins and stays
        __mmask16 greater = _mm512_mask_cmp_ps_mask(number, other, best, _CMP_NLE_UQ);
        best = _mm512_mask_mov_ps(best, greater, other);
        corner = _mm512_mask_mov_epi32(corner, greater, _mm512_set1_epi32(i));
    }
    _mm_storeu_si128(reinterpret_cast<__m128i*>(argmax), _mm512_cvtepi32_epi8(corner));
    return best;
}

// Writes a gradient to the corner that was the maximum, and zero to the other three.
inline void max_unpool(const Features& features, const uint8_t* argmax, Vector gradient, bfloat16* window) {
    __m128i corners = _mm_loadu_si128(reinterpret_cast<const __m128i*>(argmax));
    __m256i value = (__m256i)_mm512_cvtneps_pbh(gradient);
    for (int i = 0; i < 4; i++) {
        __mmask16 here = _mm_cmpeq_epi8_mask(corners, _mm_set1_epi8(i));
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(window + features.corner_offset(i)), _mm256_maskz_mov_epi16(here, value));
    }
}

// Zeroes the last row and column of images with an odd side: pooling leaves them out. Every thread of a team calls this.
void zero_edges(const Features& f, bfloat16* gradient) {
    const size_t row_bytes = size_t(f.width) * f.channels * sizeof(bfloat16), pixel_bytes = f.channels * sizeof(bfloat16);
#pragma omp for schedule(static)
    for (int n = 0; n < f.count; n++) {
        bfloat16* image = gradient + size_t(n) * f.height * f.width * f.channels;
        if (f.height % 2) std::memset(image + size_t(f.height - 1) * f.width * f.channels, 0, row_bytes);
        if (f.width % 2)
            for (int y = 0; y < f.height; y++) std::memset(image + (size_t(y + 1) * f.width - 1) * f.channels, 0, pixel_bytes);
    }
}

}  // namespace

extern "C" {

// Each function returns the bytes of workspace that it needs. If `workspace_bytes` is less, it does nothing else.

// Writes `result` [N][H'][W'][C] and the batch's `mean` and `inverse_std` [C]; with pooling also `maxima` and `argmax`, the
// corners (0 to 3) they came from, both of the result's shape.
size_t batch_norm_gelu_forward(const bfloat16* features, const float* bias, float epsilon, bfloat16* maxima, uint8_t* argmax,
                               bfloat16* result, float* mean, float* inverse_std, int count, int height, int width,
                               int channels, int pooled, char* workspace, size_t workspace_bytes, int threads) {
    const Features shape{count, height, width, channels, pooled != 0};
    const long rows = shape.rows();
    const size_t needed = sums_bytes(rows, channels);
    if (workspace_bytes < needed) return needed;
    auto *sums = reinterpret_cast<double*>(workspace), *partial = sums + 2 * channels;
    const bfloat16* inputs = pooled ? maxima : features;  // of the normalization
#pragma omp parallel num_threads(threads)
    {
        sum_blocks(rows, channels, partial, sums, [&](long begin, long end, int c, Vector& sum, Vector& squares) {
            for (long row = begin; row < end; row++) {
                const size_t at = row * size_t(channels) + c;
                Vector value;
                if (pooled) {
                    value = max_pool(shape, features + shape.pixel_offset(row) + c, argmax + at);
                    store_bfloat16(value, maxima + at);
                } else {
                    value = load_bfloat16(features + at);
                }
                sum = _mm512_add_ps(sum, value);
                squares = _mm512_fmadd_ps(value, value, squares);
            }
        });
#pragma omp for schedule(static)
        for (int c = 0; c < channels; c++) {
            const double average = sums[c] / rows, variance = sums[channels + c] / rows - average * average;
            mean[c] = float(average);
            inverse_std[c] = float(1 / std::sqrt(std::max(variance, 0.0) + epsilon));
        }
#pragma omp for schedule(static)
        for (long row = 0; row < rows; row++)
            for (int c = 0; c < channels; c += LANES) {
                const size_t at = row * size_t(channels) + c;
                Vector centered = _mm512_sub_ps(load_bfloat16(inputs + at), _mm512_loadu_ps(mean + c));
                Vector z = _mm512_fmadd_ps(centered, _mm512_loadu_ps(inverse_std + c), _mm512_loadu_ps(bias + c));
                store_bfloat16(gelu(z), result + at);
            }
    }
    return needed;
}

// Writes `features_gradient` [N][H][W][C] and `bias_gradient` [C]. `inputs` are the maxima with pooling, else the features.
size_t batch_norm_gelu_backward(const bfloat16* inputs, const uint8_t* argmax, const bfloat16* result_gradient,
                                const float* mean, const float* inverse_std, const float* bias, bfloat16* features_gradient,
                                float* bias_gradient, int count, int height, int width, int channels, int pooled,
                                char* workspace, size_t workspace_bytes, int threads) {
    const Features shape{count, height, width, channels, pooled != 0};
    const long rows = shape.rows();
    const size_t needed = sums_bytes(rows, channels) + rows * channels * sizeof(bfloat16);
    if (workspace_bytes < needed) return needed;
    auto *sums = reinterpret_cast<double*>(workspace), *partial = sums + 2 * channels;
    auto* before_gelu = reinterpret_cast<bfloat16*>(workspace + sums_bytes(rows, channels));  // gradient of GELU's input
#pragma omp parallel num_threads(threads)
    {
        sum_blocks(rows, channels, partial, sums, [&](long begin, long end, int c, Vector& sum, Vector& products) {
            const Vector center = _mm512_loadu_ps(mean + c), scale = _mm512_loadu_ps(inverse_std + c);
            const Vector shift = _mm512_loadu_ps(bias + c);
            for (long row = begin; row < end; row++) {
                const size_t at = row * size_t(channels) + c;
                Vector normalized = _mm512_mul_ps(_mm512_sub_ps(load_bfloat16(inputs + at), center), scale);
                Vector slope = half_plus_odd(GELU_DERIVATIVE, _mm512_add_ps(normalized, shift));
                Vector value = _mm512_mul_ps(load_bfloat16(result_gradient + at), slope);
                store_bfloat16(value, before_gelu + at);
                sum = _mm512_add_ps(sum, value);
                products = _mm512_fmadd_ps(value, normalized, products);
            }
        });
        if (pooled) zero_edges(shape, features_gradient);
#pragma omp for schedule(static)
        for (long row = 0; row < rows; row++) {
            const size_t pixel = shape.pixel_offset(row);
            for (int c = 0; c < channels; c += LANES) {
                const size_t at = row * size_t(channels) + c;
                const double *sum = sums + c, *products = sums + channels + c;
                auto average = [&](const double* of) {
                    __m256 low = _mm512_cvtpd_ps(_mm512_loadu_pd(of)), high = _mm512_cvtpd_ps(_mm512_loadu_pd(of + 8));
                    return scale(1.0f / rows, _mm512_insertf32x8(_mm512_castps256_ps512(low), high, 1));
                };
                Vector inverse = _mm512_loadu_ps(inverse_std + c);
                Vector normalized = _mm512_mul_ps(_mm512_sub_ps(load_bfloat16(inputs + at), _mm512_loadu_ps(mean + c)), inverse);
                Vector value = _mm512_sub_ps(load_bfloat16(before_gelu + at), average(sum));
                value = _mm512_mul_ps(inverse, _mm512_fnmadd_ps(normalized, average(products), value));
                if (pooled)
                    max_unpool(shape, argmax + at, value, features_gradient + pixel + c);
                else
                    store_bfloat16(value, features_gradient + at);
            }
        }
#pragma omp for schedule(static)
        for (int c = 0; c < channels; c++) bias_gradient[c] = float(sums[c]);
    }
    return needed;
}

// GELU of `count` vectors of 16 values.
size_t gelu_forward(const bfloat16* features, bfloat16* result, int64_t count, char*, size_t, int threads) {
#pragma omp parallel for schedule(static) num_threads(threads)
    for (int64_t i = 0; i < count * LANES; i += LANES) store_bfloat16(gelu(load_bfloat16(features + i)), result + i);
    return 0;
}

size_t gelu_backward(const bfloat16* features, const bfloat16* result_gradient, bfloat16* features_gradient, int64_t count,
                     char*, size_t, int threads) {
#pragma omp parallel for schedule(static) num_threads(threads)
    for (int64_t i = 0; i < count * LANES; i += LANES) {
        Vector slope = half_plus_odd(GELU_DERIVATIVE, load_bfloat16(features + i));
        store_bfloat16(_mm512_mul_ps(load_bfloat16(result_gradient + i), slope), features_gradient + i);
    }
    return 0;
}
}
