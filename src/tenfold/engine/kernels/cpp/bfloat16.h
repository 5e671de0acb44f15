// Vectors of 16 channels for CPUs with AVX-512 BF16: bfloat16 in memory, float32 in registers.
//
// Included by winograd_transforms.h and batch_norm_gelu.cpp.

#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

namespace {

using Vector = __m512;
using bfloat16 = uint16_t;

constexpr int LANES = 16;

inline Vector broadcast(float value) { return _mm512_set1_ps(value); }
inline Vector scale(float a, Vector b) { return _mm512_mul_ps(broadcast(a), b); }
inline Vector add(Vector a, Vector b) { return _mm512_add_ps(a, b); }
inline Vector sub(Vector a, Vector b) { return _mm512_sub_ps(a, b); }
inline Vector fmadd(float a, Vector b, Vector c) { return _mm512_fmadd_ps(broadcast(a), b, c); }    // c + a b
inline Vector fnmadd(float a, Vector b, Vector c) { return _mm512_fnmadd_ps(broadcast(a), b, c); }  // c - a b

inline Vector load_bfloat16(const bfloat16* from) {
    __m256i half = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16));
}

inline void store_bfloat16(Vector value, bfloat16* to) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), (__m256i)_mm512_cvtneps_pbh(value));
}

// Interleaves two vectors into 16 pairs [16][2], the layout that the bfloat16 dot product reads.
inline void store_bfloat16_pairs(Vector first, Vector second, bfloat16* to) {
    alignas(64) static const uint16_t ORDER[32] = {0, 16, 1, 17, 2,  18, 3,  19, 4,  20, 5,  21, 6,  22, 7,  23,
                                                   8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
    __m512i both = (__m512i)_mm512_cvtne2ps_pbh(second, first);
    _mm512_storeu_si512(to, _mm512_permutexvar_epi16(_mm512_load_si512(ORDER), both));
}

}  // namespace
