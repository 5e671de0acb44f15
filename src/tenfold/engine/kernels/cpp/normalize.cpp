// Batch normalisation and GELU in one, after 2×2 max-pooling where that is asked for; forward and backward, for training in
// bfloat16 on CPUs with AVX-512 BF16.
//
// Features lie channels last, [N][H][W][C] in bfloat16, C a multiple of 16; what belongs to a channel is float32. PyTorch
// carries the four operations out one after another, each from memory to memory.

#include <algorithm>
#include <cmath>
#include <cstring>

#include "bfloat16.h"

namespace {

constexpr int ROWS = 64;   // summed up in float32 before the sums are added in double: a block
constexpr int GROUP = 16;  // blocks summed by one thread
constexpr float FARTHEST = 4.0f;  // beyond it the normal distribution is 0 or 1, to bfloat16

// Two odd functions, as minimax polynomials on [-4, 4]: Φ(z) - ½ (error 8e-6) and the derivative of z Φ(z), less ½ (8e-5).
constexpr float DISTRIBUTION[] = {3.989227085e-01f,  -6.641059153e-02f, 9.877473478e-03f,  -1.133920691e-03f, 9.890776864e-05f,
                                  -6.294961574e-06f, 2.716129868e-07f,  -7.003369770e-09f, 8.063271616e-11f};
constexpr float DERIVATIVE[] = {7.976095366e-01f,  -2.648264912e-01f, 5.845606204e-02f,  -8.716304750e-03f, 9.073232201e-04f,
                                -6.495716097e-05f, 3.028318935e-06f,  -8.218695886e-08f, 9.795894785e-10f};

template <int COUNT>
inline Vector half_plus_odd(const float (&coefficients)[COUNT], Vector z) {
    Vector near = _mm512_max_ps(all(-FARTHEST), _mm512_min_ps(all(FARTHEST), z)), square = _mm512_mul_ps(near, near);
    Vector sum = all(coefficients[COUNT - 1]);
    for (int i = COUNT - 2; i >= 0; i--) sum = _mm512_fmadd_ps(sum, square, all(coefficients[i]));
    return _mm512_fmadd_ps(sum, near, all(0.5f));
}

inline void add_to(double* sums, Vector values) {
    __m512d low = _mm512_cvtps_pd(_mm512_castps512_ps256(values)), high = _mm512_cvtps_pd(_mm512_extractf32x8_ps(values, 1));
    _mm512_storeu_pd(sums, _mm512_add_pd(_mm512_loadu_pd(sums), low));
    _mm512_storeu_pd(sums + 8, _mm512_add_pd(_mm512_loadu_pd(sums + 8), high));
}

// Bytes of the sums of each group, and of the sums of all, that `sum_blocks` makes.
size_t sums_bytes(long rows, int channels) { return (rows / (ROWS * GROUP) + 2) * 2 * channels * sizeof(double); }

// Calls `work` with 64 rows and 16 channels at a time, each block by one thread, and adds up the pairs of sums it returns.
// Blocks are summed in an order that does not depend on the number of threads.
template <class Work>
void sum_blocks(long rows, int channels, double* partial, double* sums, Work work) {
    const long blocks = (rows + ROWS - 1) / ROWS;
    const long groups = (blocks + GROUP - 1) / GROUP;
#pragma omp for schedule(static)
    for (long g = 0; g < groups; g++) {
        double* own = partial + g * 2 * channels;
        std::fill(own, own + 2 * channels, 0.0);
        for (long b = g * GROUP; b < std::min(blocks, (g + 1) * GROUP); b++)
            for (int c = 0; c < channels; c += LANES) {
                Vector first = all(0.0f), second = all(0.0f);
                work(b * ROWS, std::min(rows, (b + 1) * ROWS), c, first, second);
                add_to(own + c, first);
                add_to(own + channels + c, second);
            }
    }
#pragma omp for schedule(static)
    for (int i = 0; i < 2 * channels; i++) {
        double sum = 0;
        for (long g = 0; g < groups; g++) sum += partial[g * 2 * channels + i];
        sums[i] = sum;
    }
}

struct Features {
    int count, height, width, channels;
    bool pooled;

    int down() const { return pooled ? height / 2 : height; }
    int across() const { return pooled ? width / 2 : width; }
    long rows() const { return long(count) * down() * across(); }
    // The first of the four places that become row `row`, or its only one.
    size_t place(long row) const {
        if (!pooled) return row * size_t(channels);
        long picture = row / (long(down()) * across());
        int y = row / across() % down() * 2, x = row % across() * 2;
        return ((picture * height + y) * size_t(width) + x) * channels;
    }
    size_t offset(int corner) const { return (size_t(corner / 2) * width + corner % 2) * channels; }
};

// The maximum of four, and which it was: the first of equals.
inline Vector greatest(const Features& features, const bfloat16* place, uint8_t* which) {
    Vector best = widen(place);
    __m512i corner = _mm512_setzero_si512();
    for (int i = 1; i < 4; i++) {
        Vector other = widen(place + features.offset(i));
        __mmask16 number = _mm512_cmp_ps_mask(best, best, _CMP_ORD_Q);  // what is none wins, and stays
        __mmask16 greater = _mm512_mask_cmp_ps_mask(number, other, best, _CMP_NLE_UQ);
        best = _mm512_mask_mov_ps(best, greater, other);
        corner = _mm512_mask_mov_epi32(corner, greater, _mm512_set1_epi32(i));
    }
    _mm_storeu_si128(reinterpret_cast<__m128i*>(which), _mm512_cvtepi32_epi8(corner));
    return best;
}

inline void scatter(const Features& features, const uint8_t* which, Vector value, bfloat16* place) {
    __m128i corners = _mm_loadu_si128(reinterpret_cast<const __m128i*>(which));
    __m256i narrow = (__m256i)_mm512_cvtneps_pbh(value);
    for (int i = 0; i < 4; i++) {
        __mmask16 here = _mm_cmpeq_epi8_mask(corners, _mm_set1_epi8(i));
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(place + features.offset(i)), _mm256_maskz_mov_epi16(here, narrow));
    }
}

// What pooling has left out, at the lower and right edge of pictures with an odd side.
void clear_edges(const Features& f, bfloat16* gradient) {
    const size_t row = size_t(f.width) * f.channels * sizeof(bfloat16), pixel = f.channels * sizeof(bfloat16);
#pragma omp for schedule(static)
    for (int n = 0; n < f.count; n++) {
        bfloat16* picture = gradient + size_t(n) * f.height * f.width * f.channels;
        if (f.height % 2) std::memset(picture + size_t(f.height - 1) * f.width * f.channels, 0, row);
        if (f.width % 2)
            for (int y = 0; y < f.height; y++) std::memset(picture + (size_t(y + 1) * f.width - 1) * f.channels, 0, pixel);
    }
}

}  // namespace

extern "C" {

// Bytes that either call needs to work in.
size_t normalize_space(int count, int height, int width, int channels, int pooled) {
    const long rows = Features{count, height, width, channels, pooled != 0}.rows();
    return sums_bytes(rows, channels) + rows * channels * sizeof(bfloat16);
}

// Writes `result` [N][H'][W'][C], `mean` and `inverse` (of the deviation, each [C]), and, where features are pooled, `maxima`
// and the corner `which` each came from.
void normalize(const bfloat16* from, const float* bias, float epsilon, bfloat16* maxima, uint8_t* which, bfloat16* result,
               float* mean, float* inverse, int count, int height, int width, int channels, int pooled, char* space,
               int threads) {
    const Features features{count, height, width, channels, pooled != 0};
    const long rows = features.rows();
    auto *sums = reinterpret_cast<double*>(space), *partial = sums + 2 * channels;
    const bfloat16* entries = pooled ? maxima : from;
#pragma omp parallel num_threads(threads)
    {
        sum_blocks(rows, channels, partial, sums, [&](long begin, long end, int c, Vector& sum, Vector& squares) {
            for (long row = begin; row < end; row++) {
                const size_t at = row * size_t(channels) + c;
                Vector value;
                if (pooled) {
                    value = greatest(features, from + features.place(row) + c, which + at);
                    narrow(value, maxima + at);
                } else {
                    value = widen(from + at);
                }
                sum = _mm512_add_ps(sum, value);
                squares = _mm512_fmadd_ps(value, value, squares);
            }
        });
#pragma omp for schedule(static)
        for (int c = 0; c < channels; c++) {
            const double average = sums[c] / rows, variance = sums[channels + c] / rows - average * average;
            mean[c] = float(average);
            inverse[c] = float(1 / std::sqrt(std::max(variance, 0.0) + epsilon));
        }
#pragma omp for schedule(static)
        for (long row = 0; row < rows; row++)
            for (int c = 0; c < channels; c += LANES) {
                const size_t at = row * size_t(channels) + c;
                Vector centred = _mm512_sub_ps(widen(entries + at), _mm512_loadu_ps(mean + c));
                Vector z = _mm512_fmadd_ps(centred, _mm512_loadu_ps(inverse + c), _mm512_loadu_ps(bias + c));
                narrow(_mm512_mul_ps(z, half_plus_odd(DISTRIBUTION, z)), result + at);
            }
    }
}

// Writes the gradient of what was normalised, [N][H][W][C], and of the bias, [C]. `entries` are the maxima where features were
// pooled, else the features.
void normalize_back(const bfloat16* entries, const uint8_t* which, const bfloat16* gradient, const float* mean,
                    const float* inverse, const float* bias, bfloat16* result, float* of_bias, int count, int height,
                    int width, int channels, int pooled, char* space, int threads) {
    const Features features{count, height, width, channels, pooled != 0};
    const long rows = features.rows();
    auto *sums = reinterpret_cast<double*>(space), *partial = sums + 2 * channels;
    auto* kept = reinterpret_cast<bfloat16*>(space + sums_bytes(rows, channels));
#pragma omp parallel num_threads(threads)
    {
        sum_blocks(rows, channels, partial, sums, [&](long begin, long end, int c, Vector& sum, Vector& products) {
            const Vector middle = _mm512_loadu_ps(mean + c), scale = _mm512_loadu_ps(inverse + c), shift = _mm512_loadu_ps(bias + c);
            for (long row = begin; row < end; row++) {
                const size_t at = row * size_t(channels) + c;
                Vector normal = _mm512_mul_ps(_mm512_sub_ps(widen(entries + at), middle), scale);
                Vector slope = half_plus_odd(DERIVATIVE, _mm512_add_ps(normal, shift));
                Vector value = _mm512_mul_ps(widen(gradient + at), slope);
                narrow(value, kept + at);
                sum = _mm512_add_ps(sum, value);
                products = _mm512_fmadd_ps(value, normal, products);
            }
        });
        if (pooled) clear_edges(features, result);
#pragma omp for schedule(static)
        for (long row = 0; row < rows; row++) {
            const size_t place = features.place(row);
            for (int c = 0; c < channels; c += LANES) {
                const size_t at = row * size_t(channels) + c;
                const double *sum = sums + c, *products = sums + channels + c;
                auto average = [&](const double* of) {
                    __m256 low = _mm512_cvtpd_ps(_mm512_loadu_pd(of)), high = _mm512_cvtpd_ps(_mm512_loadu_pd(of + 8));
                    return times(1.0f / rows, _mm512_insertf32x8(_mm512_castps256_ps512(low), high, 1));
                };
                Vector scale = _mm512_loadu_ps(inverse + c);
                Vector normal = _mm512_mul_ps(_mm512_sub_ps(widen(entries + at), _mm512_loadu_ps(mean + c)), scale);
                Vector value = _mm512_sub_ps(widen(kept + at), average(sum));
                value = _mm512_mul_ps(scale, _mm512_fnmadd_ps(normal, average(products), value));
                if (pooled)
                    scatter(features, which + at, value, result + place + c);
                else
                    narrow(value, result + at);
            }
        }
#pragma omp for schedule(static)
        for (int c = 0; c < channels; c++) of_bias[c] = float(sums[c]);
    }
}

// GELU alone, of `count` vectors of 16 values.
void gelu(const bfloat16* from, bfloat16* result, int64_t count, int threads) {
#pragma omp parallel for schedule(static) num_threads(threads)
    for (int64_t i = 0; i < count * LANES; i += LANES) {
        Vector z = widen(from + i);
        narrow(_mm512_mul_ps(z, half_plus_odd(DISTRIBUTION, z)), result + i);
    }
}

void gelu_back(const bfloat16* from, const bfloat16* gradient, bfloat16* result, int64_t count, int threads) {
#pragma omp parallel for schedule(static) num_threads(threads)
    for (int64_t i = 0; i < count * LANES; i += LANES)
        narrow(_mm512_mul_ps(widen(gradient + i), half_plus_odd(DERIVATIVE, widen(from + i))), result + i);
}
}
