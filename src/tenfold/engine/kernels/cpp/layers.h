// Convolutions and fully connected layers with constant sizes, each with its forward pass, backward pass and update.
//
// Constant sizes keep sums in registers and activations in the first caches. The backward pass of a convolution uses
// what max-pooling leaves: at most one position in four has a gradient, so it visits those positions alone instead of
// convolving mostly zeros.
//
// BATCH, the greatest number of pictures in a step, is given by whoever compiles this.

#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

namespace {

#if defined(__AVX512F__)
constexpr int LANES = 16;
#elif defined(__AVX__)
constexpr int LANES = 8;
#else
constexpr int LANES = 4;
#endif
constexpr int REGISTERS = LANES == 16 ? 24 : 12;  // for sums; the others hold what is multiplied

typedef float Vector __attribute__((vector_size(4 * LANES), aligned(4), may_alias));  // at any address

constexpr int vectors(int floats) { return (floats + LANES - 1) / LANES; }
inline Vector& at(float* place) { return *reinterpret_cast<Vector*>(place); }
inline const Vector& at(const float* place) { return *reinterpret_cast<const Vector*>(place); }
inline float relu(float x) { return x < 0.0f ? 0.0f : x; }  // of NaN it is NaN

// Stochastic gradient descent as PyTorch does it.
struct Update {
    float lr, momentum, decay;
    bool nesterov;

    void operator()(float& weight, float& velocity, float gradient) const {
        gradient += decay * weight;
        velocity = momentum * velocity + gradient;
        weight -= lr * (nesterov ? gradient + momentum * velocity : velocity);
    }
};

// What a layer learns, where PyTorch keeps it.
struct Learnt {
    float *weight, *bias, *weight_velocity, *bias_velocity;
};

template <int INPUTS, int OUTPUTS, int K, int HEIGHT, int WIDTH, bool POOLED>
struct Conv {
    static constexpr int STRIDE = POOLED ? 2 : 1;
    static constexpr int ROWS = (HEIGHT - K + 1) / STRIDE, COLUMNS = (WIDTH - K + 1) / STRIDE;  // of the output
    static constexpr int ACROSS = vectors(WIDTH - K + 1);                   // vectors in a row before pooling
    static constexpr int LINE = ACROSS * LANES + K - 1;                     // floats from one row to the next
    static constexpr int TILE = std::clamp(REGISTERS / ACROSS, 1, OUTPUTS);  // outputs summed at once
    static constexpr int TILES = (OUTPUTS + TILE - 1) / TILE;
    static constexpr int SPAN = vectors(K * INPUTS);                        // vectors in a row of a kernel
    static constexpr int BLOCK = std::clamp(REGISTERS / K, 1, SPAN);        // of them summed at once
    static constexpr int BLOCKS = (SPAN + BLOCK - 1) / BLOCK;
    static constexpr int KERNEL_LINE = BLOCKS * BLOCK * LANES;

    struct Picture {
        float planes[INPUTS * HEIGHT * LINE + LANES];                     // input: channel, y, x
        float inner[HEIGHT * WIDTH * INPUTS + KERNEL_LINE];               // input: y, x, channel
        float inner_gradient[HEIGHT * WIDTH * INPUTS + KERNEL_LINE];
        float output[OUTPUTS][ROWS][COLUMNS];
        int winner[OUTPUTS][ROWS][COLUMNS];                               // which of the four was the greatest
    };

    Learnt learnt;
    float packed[TILES][INPUTS][K][K][TILE];        // weights as the forward pass reads them
    float kernel[OUTPUTS][K][KERNEL_LINE];          // weights as the backward pass reads them: y, then x and channel
    float kernel_gradient[OUTPUTS][K][KERNEL_LINE];
    float bias_gradient[OUTPUTS];
    Picture pictures[BATCH];

    void begin() {
        each_weight([&](int n, int o, int c, int i, int j) {
            packed[o / TILE][c][i][j][o % TILE] = kernel[o][i][j * INPUTS + c] = learnt.weight[n];
        });
        std::memset(kernel_gradient, 0, sizeof kernel_gradient);
        std::memset(bias_gradient, 0, sizeof bias_gradient);
    }

    template <class Source>
    void forward(int b, Source input) {
        Picture& picture = pictures[b];
        for (int c = 0; c < INPUTS; c++)
            for (int y = 0; y < HEIGHT; y++)
                for (int x = 0; x < WIDTH; x++)
                    picture.planes[(c * HEIGHT + y) * LINE + x] = picture.inner[(y * WIDTH + x) * INPUTS + c] = input(c, y, x);
        for (int tile = 0; tile < TILES; tile++)
            for (int y = 0; y < ROWS; y++) {
                float sums[STRIDE][TILE][ACROSS * LANES];
                for (int s = 0; s < STRIDE; s++) convolve(picture, tile, y * STRIDE + s, sums[s]);
                for (int t = 0; t < std::min(TILE, OUTPUTS - tile * TILE); t++) reduce(picture, tile * TILE + t, y, sums, t);
            }
    }

    // One row of a tile of outputs.
    void convolve(const Picture& picture, int tile, int y, float (*out)[ACROSS * LANES]) const {
        Vector sum[TILE][ACROSS];
        for (int t = 0; t < TILE; t++)
            for (int a = 0; a < ACROSS; a++) sum[t][a] = Vector{} + learnt.bias[std::min(tile * TILE + t, OUTPUTS - 1)];
        for (int c = 0; c < INPUTS; c++)
            for (int i = 0; i < K; i++) {
                const float* line = picture.planes + (c * HEIGHT + y + i) * LINE;
#pragma GCC unroll 8
                for (int j = 0; j < K; j++)
#pragma GCC unroll 24
                    for (int t = 0; t < TILE; t++)
#pragma GCC unroll 4
                        for (int a = 0; a < ACROSS; a++) sum[t][a] += packed[tile][c][i][j][t] * at(line + j + a * LANES);
            }
        for (int t = 0; t < TILE; t++)
            for (int a = 0; a < ACROSS; a++) at(out[t] + a * LANES) = sum[t][a];
    }

    // Pooling and ReLU. The first of several equal values wins, and so does NaN, as in PyTorch.
    void reduce(Picture& picture, int o, int y, const float (*sums)[TILE][ACROSS * LANES], int t) {
        for (int x = 0; x < COLUMNS; x++) {
            float best = sums[0][t][x * STRIDE];
            int winner = 0;
            if constexpr (POOLED) {
                const float others[3] = {sums[0][t][2 * x + 1], sums[1][t][2 * x], sums[1][t][2 * x + 1]};
                for (int k = 0; k < 3; k++) {
                    bool greater = others[k] > best || others[k] != others[k];
                    best = greater ? others[k] : best;
                    winner = greater ? k + 1 : winner;
                }
            }
            picture.output[o][y][x] = relu(best);
            picture.winner[o][y][x] = winner;
        }
    }

    // From the gradient of the outputs to those of weights and, unless this is the first layer, of the inputs.
    template <bool FIRST, class Source>
    void backward(int b, Source output_gradient) {
        Picture& picture = pictures[b];
        if constexpr (!FIRST) std::memset(picture.inner_gradient, 0, sizeof picture.inner_gradient);
        for (int o = 0; o < OUTPUTS; o++) {
            float slope[ROWS * COLUMNS];
            int corner[ROWS * COLUMNS], count = 0;
            for (int y = 0; y < ROWS; y++)
                for (int x = 0; x < COLUMNS; x++) {
                    int winner = picture.winner[o][y][x];
                    slope[count] = picture.output[o][y][x] > 0.0f ? output_gradient(o, y, x) : 0.0f;
                    corner[count] = ((y * STRIDE + winner / 2) * WIDTH + x * STRIDE + winner % 2) * INPUTS;
                    bias_gradient[o] += slope[count];
                    count += slope[count] != 0.0f;
                }
            weights_from(picture, o, slope, corner, count);
            if constexpr (!FIRST) inputs_from(picture, o, slope, corner, count);
        }
    }

    void weights_from(const Picture& picture, int o, const float* slope, const int* corner, int count) {
        for (int block = 0; block < BLOCKS; block++) {
            Vector sum[K][BLOCK];
            for (int i = 0; i < K; i++)
                for (int v = 0; v < BLOCK; v++) sum[i][v] = at(kernel_gradient[o][i] + (block * BLOCK + v) * LANES);
            for (int n = 0; n < count; n++) {
                const float* patch = picture.inner + corner[n] + block * BLOCK * LANES;
#pragma GCC unroll 8
                for (int i = 0; i < K; i++)
#pragma GCC unroll 8
                    for (int v = 0; v < BLOCK; v++) sum[i][v] += slope[n] * at(patch + i * WIDTH * INPUTS + v * LANES);
            }
            for (int i = 0; i < K; i++)
                for (int v = 0; v < BLOCK; v++) at(kernel_gradient[o][i] + (block * BLOCK + v) * LANES) = sum[i][v];
        }
    }

    void inputs_from(Picture& picture, int o, const float* slope, const int* corner, int count) const {
        for (int n = 0; n < count; n++)
#pragma GCC unroll 8
            for (int i = 0; i < K; i++)
                for (int v = 0; v < SPAN; v++)  // past the end of a kernel's row there are zeros
                    at(picture.inner_gradient + corner[n] + i * WIDTH * INPUTS + v * LANES) += slope[n] * at(kernel[o][i] + v * LANES);
    }

    void update(const Update& of_weights, const Update& of_biases) {
        each_weight([&](int n, int o, int c, int i, int j) {
            of_weights(learnt.weight[n], learnt.weight_velocity[n], kernel_gradient[o][i][j * INPUTS + c]);
        });
        for (int o = 0; o < OUTPUTS; o++) of_biases(learnt.bias[o], learnt.bias_velocity[o], bias_gradient[o]);
    }

    template <class Visit>
    static void each_weight(Visit visit) {
        int n = 0;
        for (int o = 0; o < OUTPUTS; o++)
            for (int c = 0; c < INPUTS; c++)
                for (int i = 0; i < K; i++)
                    for (int j = 0; j < K; j++) visit(n++, o, c, i, j);
    }
};

template <int INPUTS, int OUTPUTS>
struct Linear {
    static constexpr int SIZE = INPUTS, CLASSES = OUTPUTS;

    Learnt learnt;
    float input[BATCH][INPUTS], input_gradient[BATCH][INPUTS];

    void forward(float (*output)[OUTPUTS]) const {
        for (int j = 0; j < OUTPUTS; j++) {
            const float* w = learnt.weight + j * INPUTS;
            Vector sum[BATCH] = {};
            int whole = INPUTS / LANES * LANES;
            for (int i = 0; i < whole; i += LANES)
                for (int b = 0; b < BATCH; b++) sum[b] += at(w + i) * at(input[b] + i);
            for (int b = 0; b < BATCH; b++) {
                float total = learnt.bias[j];
                for (int k = 0; k < LANES; k++) total += sum[b][k];
                for (int i = whole; i < INPUTS; i++) total += w[i] * input[b][i];
                output[b][j] = total;
            }
        }
    }

    // The gradient of the inputs comes first, by the weights as they were in the forward pass.
    void backward(const float (*output_gradient)[OUTPUTS], const Update& of_weights, const Update& of_biases, bool first) {
        if (!first) inputs_from(output_gradient);
        for (int j = 0; j < OUTPUTS; j++) {
            float *w = learnt.weight + j * INPUTS, *velocity = learnt.weight_velocity + j * INPUTS;
            float slope[BATCH], total = 0.0f;
            for (int b = 0; b < BATCH; b++) total += slope[b] = output_gradient[b][j];
            for (int i = 0; i < INPUTS; i++) {
                float gradient = 0.0f;
                for (int b = 0; b < BATCH; b++) gradient += slope[b] * input[b][i];
                of_weights(w[i], velocity[i], gradient);
            }
            of_biases(learnt.bias[j], learnt.bias_velocity[j], total);
        }
    }

    void inputs_from(const float (*output_gradient)[OUTPUTS]) {
        std::memset(input_gradient, 0, sizeof input_gradient);
        for (int j = 0; j < OUTPUTS; j++)
            for (int b = 0; b < BATCH; b++)
                for (int i = 0; i < INPUTS; i++) input_gradient[b][i] += output_gradient[b][j] * learnt.weight[j * INPUTS + i];
    }
};

}  // namespace
