// Sixteen channels at a time: bfloat16 in memory, float32 where one computes. For CPUs with AVX-512 BF16.

#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

namespace {

using Vector = __m512;
using bfloat16 = uint16_t;

constexpr int LANES = 16;

inline Vector all(float value) { return _mm512_set1_ps(value); }
inline Vector times(float a, Vector b) { return _mm512_mul_ps(all(a), b); }
inline Vector plus(Vector a, Vector b) { return _mm512_add_ps(a, b); }
inline Vector minus(Vector a, Vector b) { return _mm512_sub_ps(a, b); }
inline Vector plus(float a, Vector b, Vector c) { return _mm512_fmadd_ps(all(a), b, c); }    // a b + c
inline Vector minus(float a, Vector b, Vector c) { return _mm512_fnmadd_ps(all(a), b, c); }  // c - a b

inline Vector widen(const bfloat16* from) {
    __m256i narrow = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(narrow), 16));
}

inline void narrow(Vector value, bfloat16* to) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), (__m256i)_mm512_cvtneps_pbh(value));
}

// Two vectors as pairs of neighbours: what a product over pairs multiplies.
inline void narrow_pairs(Vector first, Vector second, bfloat16* to) {
    alignas(64) static const uint16_t ORDER[32] = {0, 16, 1, 17, 2,  18, 3,  19, 4,  20, 5,  21, 6,  22, 7,  23,
                                                   8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
    __m512i both = (__m512i)_mm512_cvtne2ps_pbh(second, first);
    _mm512_storeu_si512(to, _mm512_permutexvar_epi16(_mm512_load_si512(ORDER), both));
}

}  // namespace
