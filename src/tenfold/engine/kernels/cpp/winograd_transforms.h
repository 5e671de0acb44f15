// The transforms of Winograd's minimal filtering (A. Lavin and S. Gray, arXiv:1509.09308), for winograd.cpp.
//
// A tile of inputs d and a filter g give a tile of outputs, Y = Aᵀ[(G g Gᵀ) ⊙ (Bᵀ d B)]A, with ⊙ entry by entry:
//
//     F(4×4, 3×3)   6×6 inputs → 4×4 outputs   36 products, where a direct convolution needs 144
//     F(3×3, 3×3)   5×5 inputs → 3×3 outputs   25 products, where a direct convolution needs 81
//
// The matrices follow from interpolation points, as many as a tile has inputs along a side; one of them is infinity. The
// points below halve the rounding error in bfloat16 of the usual 0, ±1, ±2 (points and errors: arXiv:1803.10986).
//
// Each matrix is a struct. Its `apply` multiplies the matrix by COLUMNS vectors of 16 channels and writes ROWS vectors,
// `stride` vectors apart. `transform` applies a matrix to the columns of a tile, then to the rows of the result.

#pragma once

#include "bfloat16.h"

namespace {

constexpr int FILTER = 3;

// Interpolation points 0, ±P, ±Q and infinity. Rows of G have the factors G_0, G_P and G_Q.
struct F4x4_3x3 {
    static constexpr int OUTPUT_TILE = 4, INPUT_TILE = 6, COMPONENTS = INPUT_TILE * INPUT_TILE;
    static constexpr float P = 0.625f, Q = 1.5f, P2 = P * P, Q2 = Q * Q, P3 = P2 * P, Q3 = Q2 * Q;
    static constexpr float G_0 = 1 / (P2 * Q2), G_P = 1 / (2 * P2 * (P2 - Q2)), G_Q = 1 / (2 * Q2 * (Q2 - P2));

    // Bᵀ d
    struct InputTransform {
        static constexpr int ROWS = INPUT_TILE, COLUMNS = INPUT_TILE;
        static void apply(const Vector* d, Vector* t, int stride) {
            Vector even = fnmadd(Q2, d[2], d[4]), odd = scale(P, fnmadd(Q2, d[1], d[3]));
            t[stride] = add(even, odd), t[2 * stride] = sub(even, odd);
            even = fnmadd(P2, d[2], d[4]), odd = scale(Q, fnmadd(P2, d[1], d[3]));
            t[3 * stride] = add(even, odd), t[4 * stride] = sub(even, odd);
            t[0] = fmadd(P2 * Q2, d[0], fnmadd(P2 + Q2, d[2], d[4]));
            t[5 * stride] = fmadd(P2 * Q2, d[1], fnmadd(P2 + Q2, d[3], d[5]));
        }
    };

    // Aᵀ m
    struct OutputTransform {
        static constexpr int ROWS = OUTPUT_TILE, COLUMNS = INPUT_TILE;
        static void apply(const Vector* m, Vector* y, int stride) {
            Vector even_p = add(m[1], m[2]), odd_p = sub(m[1], m[2]);
            Vector even_q = add(m[3], m[4]), odd_q = sub(m[3], m[4]);
            y[0] = add(m[0], add(even_p, even_q));
            y[stride] = fmadd(P, odd_p, scale(Q, odd_q));
            y[2 * stride] = fmadd(P2, even_p, scale(Q2, even_q));
            y[3 * stride] = fmadd(P3, odd_p, fmadd(Q3, odd_q, m[5]));
        }
    };

    // A y
    struct OutputGradientTransform {
        static constexpr int ROWS = INPUT_TILE, COLUMNS = OUTPUT_TILE;
        static void apply(const Vector* y, Vector* z, int stride) {
            Vector even = fmadd(P2, y[2], y[0]), odd = fmadd(P3, y[3], scale(P, y[1]));
            z[stride] = add(even, odd), z[2 * stride] = sub(even, odd);
            even = fmadd(Q2, y[2], y[0]), odd = fmadd(Q3, y[3], scale(Q, y[1]));
            z[3 * stride] = add(even, odd), z[4 * stride] = sub(even, odd);
            z[0] = y[0], z[5 * stride] = y[3];
        }
    };

    // G g
    struct FilterTransform {
        static constexpr int ROWS = INPUT_TILE, COLUMNS = FILTER;
        static void apply(const Vector* g, Vector* u, int stride) {
            Vector even = scale(G_P, fmadd(P2, g[2], g[0])), odd = scale(G_P * P, g[1]);
            u[stride] = add(even, odd), u[2 * stride] = sub(even, odd);
            even = scale(G_Q, fmadd(Q2, g[2], g[0])), odd = scale(G_Q * Q, g[1]);
            u[3 * stride] = add(even, odd), u[4 * stride] = sub(even, odd);
            u[0] = scale(G_0, g[0]), u[5 * stride] = g[2];
        }
    };

    // Gᵀ u
    struct FilterGradientTransform {
        static constexpr int ROWS = FILTER, COLUMNS = INPUT_TILE;
        static void apply(const Vector* u, Vector* g, int stride) {
            Vector even_p = scale(G_P, add(u[1], u[2])), odd_p = scale(G_P, sub(u[1], u[2]));
            Vector even_q = scale(G_Q, add(u[3], u[4])), odd_q = scale(G_Q, sub(u[3], u[4]));
            g[0] = fmadd(G_0, u[0], add(even_p, even_q));
            g[stride] = fmadd(P, odd_p, scale(Q, odd_q));
            g[2 * stride] = fmadd(P2, even_p, fmadd(Q2, even_q, u[5]));
        }
    };
};

// Interpolation points 0, ±P, Q and infinity.
struct F3x3_3x3 {
    static constexpr int OUTPUT_TILE = 3, INPUT_TILE = 5, COMPONENTS = INPUT_TILE * INPUT_TILE;
    static constexpr float P = 1.25f, Q = 0.5f, P2 = P * P, Q2 = Q * Q;
    static constexpr float G_0 = 1 / (P2 * Q), G_P = 1 / (2 * P2 * (P - Q)), G_MINUS_P = -1 / (2 * P2 * (P + Q));
    static constexpr float G_Q = 1 / (Q * (Q2 - P2));

    // Bᵀ d
    struct InputTransform {
        static constexpr int ROWS = INPUT_TILE, COLUMNS = INPUT_TILE;
        static void apply(const Vector* d, Vector* t, int stride) {
            Vector odd = fnmadd(Q, d[2], d[3]), even = scale(P, fnmadd(Q, d[1], d[2]));
            t[stride] = add(odd, even), t[2 * stride] = sub(odd, even);
            t[3 * stride] = fnmadd(P2, d[1], d[3]);
            t[0] = fmadd(P2, sub(scale(Q, d[0]), d[1]), odd);
            t[4 * stride] = fmadd(P2, sub(scale(Q, d[1]), d[2]), fnmadd(Q, d[3], d[4]));
        }
    };

    // Aᵀ m
    struct OutputTransform {
        static constexpr int ROWS = OUTPUT_TILE, COLUMNS = INPUT_TILE;
        static void apply(const Vector* m, Vector* y, int stride) {
            Vector even = add(m[1], m[2]), odd = sub(m[1], m[2]);
            y[0] = add(m[0], add(even, m[3]));
            y[stride] = fmadd(P, odd, scale(Q, m[3]));
            y[2 * stride] = fmadd(P2, even, fmadd(Q2, m[3], m[4]));
        }
    };

    // A y
    struct OutputGradientTransform {
        static constexpr int ROWS = INPUT_TILE, COLUMNS = OUTPUT_TILE;
        static void apply(const Vector* y, Vector* z, int stride) {
            Vector even = fmadd(P2, y[2], y[0]), odd = scale(P, y[1]);
            z[stride] = add(even, odd), z[2 * stride] = sub(even, odd);
            z[3 * stride] = fmadd(Q2, y[2], fmadd(Q, y[1], y[0]));
            z[0] = y[0], z[4 * stride] = y[2];
        }
    };

    // G g
    struct FilterTransform {
        static constexpr int ROWS = INPUT_TILE, COLUMNS = FILTER;
        static void apply(const Vector* g, Vector* u, int stride) {
            Vector even = fmadd(P2, g[2], g[0]), odd = scale(P, g[1]);
            u[stride] = scale(G_P, add(even, odd)), u[2 * stride] = scale(G_MINUS_P, sub(even, odd));
            u[3 * stride] = scale(G_Q, fmadd(Q2, g[2], fmadd(Q, g[1], g[0])));
            u[0] = scale(G_0, g[0]), u[4 * stride] = g[2];
        }
    };

    // Gᵀ u
    struct FilterGradientTransform {
        static constexpr int ROWS = FILTER, COLUMNS = INPUT_TILE;
        static void apply(const Vector* u, Vector* g, int stride) {
            Vector at_p = scale(G_P, u[1]), at_minus_p = scale(G_MINUS_P, u[2]), at_q = scale(G_Q, u[3]);
            Vector even = add(at_p, at_minus_p), odd = sub(at_p, at_minus_p);
            g[0] = fmadd(G_0, u[0], add(even, at_q));
            g[stride] = fmadd(P, odd, scale(Q, at_q));
            g[2 * stride] = fmadd(P2, even, fmadd(Q2, at_q, u[4]));
        }
    };
};

// Transforms a tile: COLUMNS×COLUMNS vectors, read by `load`, become ROWS×ROWS, written by `store`.
template <class Matrix, class Load, class Store>
inline void transform(Load load, Store store) {
    constexpr int ROWS = Matrix::ROWS, COLUMNS = Matrix::COLUMNS;
    Vector half[ROWS * COLUMNS];  // the matrix times the tile
#pragma GCC unroll 6
    for (int x = 0; x < COLUMNS; x++) {
        Vector column[COLUMNS];
#pragma GCC unroll 6
        for (int y = 0; y < COLUMNS; y++) column[y] = load(y * COLUMNS + x);
        Matrix::apply(column, half + x, COLUMNS);
    }
#pragma GCC unroll 6
    for (int y = 0; y < ROWS; y++) {
        Vector row[ROWS];
        Matrix::apply(half + y * COLUMNS, row, 1);
#pragma GCC unroll 6
        for (int x = 0; x < ROWS; x++) store(y * ROWS + x, row[x]);
    }
}

}  // namespace
