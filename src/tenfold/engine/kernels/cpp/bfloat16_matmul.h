// The product of bfloat16 matrices that winograd.cpp consists of between its transforms: the inner kernel alone, all of whose
// accumulators stay in registers.

#pragma once

#include <cstring>

#include "bfloat16.h"

namespace {

// result[row][16 × WIDTH] (+)= Σ over pairs of a[row][pair] b[pair][16 × WIDTH], in bfloat16 with float32 accumulators.
template <int ROWS, int WIDTH, bool ACCUMULATE = false>
__attribute__((noinline)) void multiply(const bfloat16* a, size_t row_stride, size_t pair_stride, const bfloat16* b, int pairs,
                                        float* result, size_t result_stride) {
    Vector sums[ROWS][WIDTH];
#pragma GCC unroll 16
    for (int i = 0; i < ROWS; i++)
#pragma GCC unroll 4
        for (int j = 0; j < WIDTH; j++)
            sums[i][j] = ACCUMULATE ? _mm512_loadu_ps(result + i * result_stride + LANES * j) : _mm512_setzero_ps();
    const bfloat16* rows[ROWS];
#pragma GCC unroll 16
    for (int i = 0; i < ROWS; i++) {
        rows[i] = a + i * row_stride;
        asm("" : "+r"(rows[i]));  // Otherwise the compiler keeps the multiples of `row_stride` instead, in memory.
    }
    for (size_t p = 0; p < size_t(pairs); p++) {
        __m512i columns[WIDTH];
#pragma GCC unroll 4
        for (int j = 0; j < WIDTH; j++) {
            columns[j] = _mm512_loadu_si512(b + (p * WIDTH + j) * 2 * LANES);
            asm("" : "+v"(columns[j]));  // Otherwise the compiler loads them again for each row.
        }
#pragma GCC unroll 16
        for (int i = 0; i < ROWS; i++) {
            int pair;
            std::memcpy(&pair, rows[i] + p * pair_stride, sizeof pair);
            __m512bh entry = (__m512bh)_mm512_set1_epi32(pair);
#pragma GCC unroll 4
            for (int j = 0; j < WIDTH; j++) sums[i][j] = _mm512_dpbf16_ps(sums[i][j], entry, (__m512bh)columns[j]);
        }
    }
#pragma GCC unroll 16
    for (int i = 0; i < ROWS; i++)
#pragma GCC unroll 4
        for (int j = 0; j < WIDTH; j++) _mm512_storeu_ps(result + i * result_stride + LANES * j, sums[i][j]);
}

}  // namespace
