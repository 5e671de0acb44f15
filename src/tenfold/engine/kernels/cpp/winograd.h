// The transforms of Winograd's minimal filtering: 36 products for 4×4 outputs where a direct convolution needs 144, F(4×4, 3×3),
// and 25 for 3×3 outputs where it needs 81, F(3×3, 3×3).
//
// A tile of inputs gives a tile of outputs, Y = Aᵀ[(G g Gᵀ) · (Bᵀ d B)]A with g the filter, d the inputs and · entry by entry
// (A. Lavin and S. Gray, arXiv:1509.09308). The matrices follow from as many points as a tile has inputs along a side, one of
// them infinity. The points below leave half the rounding error in bfloat16 that the usual 0, ±1, ±2 do (on points and
// errors: arXiv:1803.10986). Every function multiplies as many vectors of 16 channels by one matrix; twice, over columns and
// rows, makes a tile's.

#pragma once

#include "bfloat16.h"

namespace {

constexpr int FILTER = 3;

// The points 0, ±P, ±Q and infinity.
struct Four {
    static constexpr int MADE = 4, SEEN = 6, POINTS = SEEN * SEEN;
    static constexpr float P = 0.625f, Q = 1.5f, P2 = P * P, Q2 = Q * Q, P3 = P2 * P, Q3 = Q2 * Q;
    static constexpr float AT_0 = 1 / (P2 * Q2), AT_P = 1 / (2 * P2 * (P2 - Q2)), AT_Q = 1 / (2 * Q2 * (Q2 - P2));

    // Bᵀ d
    struct OfInputs {
        static constexpr int FROM = SEEN, TO = SEEN;
        static void along(const Vector* d, int s, Vector* t, int r) {
            Vector even = minus(Q2, d[2 * s], d[4 * s]), odd = times(P, minus(Q2, d[s], d[3 * s]));
            t[r] = plus(even, odd), t[2 * r] = minus(even, odd);
            even = minus(P2, d[2 * s], d[4 * s]), odd = times(Q, minus(P2, d[s], d[3 * s]));
            t[3 * r] = plus(even, odd), t[4 * r] = minus(even, odd);
            t[0] = plus(P2 * Q2, d[0], minus(P2 + Q2, d[2 * s], d[4 * s]));
            t[5 * r] = plus(P2 * Q2, d[s], minus(P2 + Q2, d[3 * s], d[5 * s]));
        }
    };

    // Aᵀ m
    struct ToOutputs {
        static constexpr int FROM = SEEN, TO = MADE;
        static void along(const Vector* m, int s, Vector* y, int r) {
            Vector even_p = plus(m[s], m[2 * s]), odd_p = minus(m[s], m[2 * s]);
            Vector even_q = plus(m[3 * s], m[4 * s]), odd_q = minus(m[3 * s], m[4 * s]);
            y[0] = plus(m[0], plus(even_p, even_q));
            y[r] = plus(P, odd_p, times(Q, odd_q));
            y[2 * r] = plus(P2, even_p, times(Q2, even_q));
            y[3 * r] = plus(P3, odd_p, plus(Q3, odd_q, m[5 * s]));
        }
    };

    // A y
    struct OfOutputGradients {
        static constexpr int FROM = MADE, TO = SEEN;
        static void along(const Vector* y, int s, Vector* z, int r) {
            Vector even = plus(P2, y[2 * s], y[0]), odd = plus(P3, y[3 * s], times(P, y[s]));
            z[r] = plus(even, odd), z[2 * r] = minus(even, odd);
            even = plus(Q2, y[2 * s], y[0]), odd = plus(Q3, y[3 * s], times(Q, y[s]));
            z[3 * r] = plus(even, odd), z[4 * r] = minus(even, odd);
            z[0] = y[0], z[5 * r] = y[3 * s];
        }
    };

    // G g
    struct OfFilters {
        static constexpr int FROM = FILTER, TO = SEEN;
        static void along(const Vector* g, int s, Vector* u, int r) {
            Vector even = times(AT_P, plus(P2, g[2 * s], g[0])), odd = times(AT_P * P, g[s]);
            u[r] = plus(even, odd), u[2 * r] = minus(even, odd);
            even = times(AT_Q, plus(Q2, g[2 * s], g[0])), odd = times(AT_Q * Q, g[s]);
            u[3 * r] = plus(even, odd), u[4 * r] = minus(even, odd);
            u[0] = times(AT_0, g[0]), u[5 * r] = g[2 * s];
        }
    };

    // Gᵀ u
    struct ToFilterGradients {
        static constexpr int FROM = SEEN, TO = FILTER;
        static void along(const Vector* u, int s, Vector* g, int r) {
            Vector even_p = times(AT_P, plus(u[s], u[2 * s])), odd_p = times(AT_P, minus(u[s], u[2 * s]));
            Vector even_q = times(AT_Q, plus(u[3 * s], u[4 * s])), odd_q = times(AT_Q, minus(u[3 * s], u[4 * s]));
            g[0] = plus(AT_0, u[0], plus(even_p, even_q));
            g[r] = plus(P, odd_p, times(Q, odd_q));
            g[2 * r] = plus(P2, even_p, plus(Q2, even_q, u[5 * s]));
        }
    };
};

// The points 0, ±P, Q and infinity.
struct Three {
    static constexpr int MADE = 3, SEEN = 5, POINTS = SEEN * SEEN;
    static constexpr float P = 1.25f, Q = 0.5f, P2 = P * P, Q2 = Q * Q;
    static constexpr float AT_0 = 1 / (P2 * Q), AT_P = 1 / (2 * P2 * (P - Q)), AT_MINUS_P = -1 / (2 * P2 * (P + Q));
    static constexpr float AT_Q = 1 / (Q * (Q2 - P2));

    // Bᵀ d
    struct OfInputs {
        static constexpr int FROM = SEEN, TO = SEEN;
        static void along(const Vector* d, int s, Vector* t, int r) {
            Vector odd = minus(Q, d[2 * s], d[3 * s]), even = times(P, minus(Q, d[s], d[2 * s]));
            t[r] = plus(odd, even), t[2 * r] = minus(odd, even);
            t[3 * r] = minus(P2, d[s], d[3 * s]);
            t[0] = plus(P2, minus(times(Q, d[0]), d[s]), odd);
            t[4 * r] = plus(P2, minus(times(Q, d[s]), d[2 * s]), minus(Q, d[3 * s], d[4 * s]));
        }
    };

    // Aᵀ m
    struct ToOutputs {
        static constexpr int FROM = SEEN, TO = MADE;
        static void along(const Vector* m, int s, Vector* y, int r) {
            Vector even = plus(m[s], m[2 * s]), odd = minus(m[s], m[2 * s]);
            y[0] = plus(m[0], plus(even, m[3 * s]));
            y[r] = plus(P, odd, times(Q, m[3 * s]));
            y[2 * r] = plus(P2, even, plus(Q2, m[3 * s], m[4 * s]));
        }
    };

    // A y
    struct OfOutputGradients {
        static constexpr int FROM = MADE, TO = SEEN;
        static void along(const Vector* y, int s, Vector* z, int r) {
            Vector even = plus(P2, y[2 * s], y[0]), odd = times(P, y[s]);
            z[r] = plus(even, odd), z[2 * r] = minus(even, odd);
            z[3 * r] = plus(Q2, y[2 * s], plus(Q, y[s], y[0]));
            z[0] = y[0], z[4 * r] = y[2 * s];
        }
    };

    // G g
    struct OfFilters {
        static constexpr int FROM = FILTER, TO = SEEN;
        static void along(const Vector* g, int s, Vector* u, int r) {
            Vector even = plus(P2, g[2 * s], g[0]), odd = times(P, g[s]);
            u[r] = times(AT_P, plus(even, odd)), u[2 * r] = times(AT_MINUS_P, minus(even, odd));
            u[3 * r] = times(AT_Q, plus(Q2, g[2 * s], plus(Q, g[s], g[0])));
            u[0] = times(AT_0, g[0]), u[4 * r] = g[2 * s];
        }
    };

    // Gᵀ u
    struct ToFilterGradients {
        static constexpr int FROM = SEEN, TO = FILTER;
        static void along(const Vector* u, int s, Vector* g, int r) {
            Vector at_p = times(AT_P, u[s]), at_minus_p = times(AT_MINUS_P, u[2 * s]), at_q = times(AT_Q, u[3 * s]);
            Vector even = plus(at_p, at_minus_p), odd = minus(at_p, at_minus_p);
            g[0] = plus(AT_0, u[0], plus(even, at_q));
            g[r] = plus(P, odd, times(Q, at_q));
            g[2 * r] = plus(P2, even, plus(Q2, at_q, u[4 * s]));
        }
    };
};

// A whole tile: FROM×FROM vectors, taken by `load`, become TO×TO, handed to `store`.
template <class Matrix, class Load, class Store>
inline void transform(Load load, Store store) {
    constexpr int FROM = Matrix::FROM, TO = Matrix::TO;
    Vector half[TO * FROM];
#pragma GCC unroll 6
    for (int x = 0; x < FROM; x++) {
        Vector column[FROM];
#pragma GCC unroll 6
        for (int y = 0; y < FROM; y++) column[y] = load(y * FROM + x);
        Matrix::along(column, 1, half + x, FROM);
    }
#pragma GCC unroll 6
    for (int y = 0; y < TO; y++) {
        Vector row[TO];
        Matrix::along(half + y * FROM, 1, row, 1);
#pragma GCC unroll 6
        for (int x = 0; x < TO; x++) store(y * TO + x, row[x]);
    }
}

}  // namespace
