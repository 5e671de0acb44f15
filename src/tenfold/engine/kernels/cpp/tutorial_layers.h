// Convolutions and fully connected layers with constant sizes in float32: forward pass, backward pass and update. Included by
// tutorial_network.cpp, which defines BATCH_SIZE, the largest batch.
//
// Constant sizes keep sums in registers and activations in the first caches. Each layer keeps its own activations; weights,
// biases and velocities are those of PyTorch's tensors, weights [outputs][inputs][K][K] or [outputs][inputs].
//
// A convolution sums a tile of OUTPUT_TILE output channels × one row at a time. Its backward pass uses what max-pooling
// leaves: at most one position in four has a gradient, so it visits those positions alone instead of convolving mostly zeros.

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
constexpr int ACCUMULATORS = LANES == 16 ? 24 : 12;  // registers for sums; the others hold factors

typedef float Vector __attribute__((vector_size(4 * LANES), aligned(4), may_alias));  // at any address

constexpr int vectors(int floats) { return (floats + LANES - 1) / LANES; }
inline Vector& as_vector(float* values) { return *reinterpret_cast<Vector*>(values); }
inline const Vector& as_vector(const float* values) { return *reinterpret_cast<const Vector*>(values); }
inline float relu(float x) { return x < 0.0f ? 0.0f : x; }  // NaN stays NaN

// Stochastic gradient descent as PyTorch computes it.
struct Sgd {
    float lr, momentum, weight_decay;
    bool nesterov;

    void update(float& weight, float& velocity, float gradient) const {
        gradient += weight_decay * weight;
        velocity = momentum * velocity + gradient;
        weight -= lr * (nesterov ? gradient + momentum * velocity : velocity);
    }
};

// A layer's parameters and their velocities, in PyTorch's memory.
struct Parameters {
    float *weight, *bias, *weight_velocity, *bias_velocity;
};

template <int INPUTS, int OUTPUTS, int K, int HEIGHT, int WIDTH, bool POOLED>
struct Conv {
    static constexpr int STRIDE = POOLED ? 2 : 1;
    static constexpr int ROWS = (HEIGHT - K + 1) / STRIDE, COLUMNS = (WIDTH - K + 1) / STRIDE;  // of the output
    static constexpr int ROW_VECTORS = vectors(WIDTH - K + 1);                // in a row before pooling
    static constexpr int ROW_STRIDE = ROW_VECTORS * LANES + K - 1;            // floats from one input row to the next
    static constexpr int OUTPUT_TILE = std::clamp(ACCUMULATORS / ROW_VECTORS, 1, OUTPUTS);  // channels summed at once
    static constexpr int TILES = (OUTPUTS + OUTPUT_TILE - 1) / OUTPUT_TILE;
    static constexpr int KERNEL_VECTORS = vectors(K * INPUTS);                // in a row of a kernel
    static constexpr int BLOCK = std::clamp(ACCUMULATORS / K, 1, KERNEL_VECTORS);  // of those summed at once
    static constexpr int BLOCKS = (KERNEL_VECTORS + BLOCK - 1) / BLOCK;
    static constexpr int KERNEL_STRIDE = BLOCKS * BLOCK * LANES;              // floats from one kernel row to the next

    struct Activations {
        float input_chw[INPUTS * HEIGHT * ROW_STRIDE + LANES];
        float input_hwc[HEIGHT * WIDTH * INPUTS + KERNEL_STRIDE];
        float input_gradient_hwc[HEIGHT * WIDTH * INPUTS + KERNEL_STRIDE];
        float output[OUTPUTS][ROWS][COLUMNS];
        int argmax[OUTPUTS][ROWS][COLUMNS];  // the corner, 0 to 3, of the 2×2 window that was the maximum
    };

    Parameters parameters;
    float forward_weight[TILES][INPUTS][K][K][OUTPUT_TILE];
    float backward_weight[OUTPUTS][K][KERNEL_STRIDE];  // [y][x, channel]
    float weight_gradient[OUTPUTS][K][KERNEL_STRIDE];
    float bias_gradient[OUTPUTS];
    Activations activations[BATCH_SIZE];

    // Packs the weights for both passes and zeroes the gradients.
    void begin_step() {
        each_weight([&](int n, int o, int c, int i, int j) {
            forward_weight[o / OUTPUT_TILE][c][i][j][o % OUTPUT_TILE] = backward_weight[o][i][j * INPUTS + c] =
                parameters.weight[n];
        });
        std::memset(weight_gradient, 0, sizeof weight_gradient);
        std::memset(bias_gradient, 0, sizeof bias_gradient);
    }

    template <class Input>
    void forward(int b, Input input) {
        Activations& image = activations[b];
        for (int c = 0; c < INPUTS; c++)
            for (int y = 0; y < HEIGHT; y++)
                for (int x = 0; x < WIDTH; x++)
                    image.input_chw[(c * HEIGHT + y) * ROW_STRIDE + x] = image.input_hwc[(y * WIDTH + x) * INPUTS + c] =
                        input(c, y, x);
        for (int tile = 0; tile < TILES; tile++)
            for (int y = 0; y < ROWS; y++) {
                float sums[STRIDE][OUTPUT_TILE][ROW_VECTORS * LANES];
                for (int s = 0; s < STRIDE; s++) convolve_row(image, tile, y * STRIDE + s, sums[s]);
                for (int t = 0; t < std::min(OUTPUT_TILE, OUTPUTS - tile * OUTPUT_TILE); t++)
                    pool_relu(image, tile * OUTPUT_TILE + t, y, sums, t);
            }
    }

    // Convolves one row of a tile of output channels.
    void convolve_row(const Activations& image, int tile, int y, float (*out)[ROW_VECTORS * LANES]) const {
        Vector sum[OUTPUT_TILE][ROW_VECTORS];
        for (int t = 0; t < OUTPUT_TILE; t++)
            for (int v = 0; v < ROW_VECTORS; v++)
                sum[t][v] = Vector{} + parameters.bias[std::min(tile * OUTPUT_TILE + t, OUTPUTS - 1)];
        for (int c = 0; c < INPUTS; c++)
            for (int i = 0; i < K; i++) {
                const float* row = image.input_chw + (c * HEIGHT + y + i) * ROW_STRIDE;
#pragma GCC unroll 8
                for (int j = 0; j < K; j++)
#pragma GCC unroll 24
                    for (int t = 0; t < OUTPUT_TILE; t++)
#pragma GCC unroll 4
                        for (int v = 0; v < ROW_VECTORS; v++)
                            sum[t][v] += forward_weight[tile][c][i][j][t] * as_vector(row + j + v * LANES);
            }
        for (int t = 0; t < OUTPUT_TILE; t++)
            for (int v = 0; v < ROW_VECTORS; v++) as_vector(out[t] + v * LANES) = sum[t][v];
    }

    // Max-pooling, if any, and ReLU. The first of equal values wins, and so does NaN, as in PyTorch.
    void pool_relu(Activations& image, int o, int y, const float (*sums)[OUTPUT_TILE][ROW_VECTORS * LANES], int t) {
        for (int x = 0; x < COLUMNS; x++) {
            float best = sums[0][t][x * STRIDE];
            int argmax = 0;
            if constexpr (POOLED) {
                const float others[3] = {sums[0][t][2 * x + 1], sums[1][t][2 * x], sums[1][t][2 * x + 1]};
                for (int k = 0; k < 3; k++) {
                    bool greater = others[k] > best || others[k] != others[k];
                    best = greater ? others[k] : best;
                    argmax = greater ? k + 1 : argmax;
                }
            }
            image.output[o][y][x] = relu(best);
            image.argmax[o][y][x] = argmax;
        }
    }

    // From the gradient of the outputs to those of the weights and, unless this is the first layer, of the inputs.
    template <bool FIRST, class Gradient>
    void backward(int b, Gradient output_gradient) {
        Activations& image = activations[b];
        if constexpr (!FIRST) std::memset(image.input_gradient_hwc, 0, sizeof image.input_gradient_hwc);
        for (int o = 0; o < OUTPUTS; o++) {
            float gradient[ROWS * COLUMNS];  // those that are not zero
            int offset[ROWS * COLUMNS], count = 0;  // of their patches in `input_hwc`
            for (int y = 0; y < ROWS; y++)
                for (int x = 0; x < COLUMNS; x++) {
                    int argmax = image.argmax[o][y][x];
                    gradient[count] = image.output[o][y][x] > 0.0f ? output_gradient(o, y, x) : 0.0f;
                    offset[count] = ((y * STRIDE + argmax / 2) * WIDTH + x * STRIDE + argmax % 2) * INPUTS;
                    bias_gradient[o] += gradient[count];
                    count += gradient[count] != 0.0f;
                }
            add_weight_gradient(image, o, gradient, offset, count);
            if constexpr (!FIRST) add_input_gradient(image, o, gradient, offset, count);
        }
    }

    void add_weight_gradient(const Activations& image, int o, const float* gradient, const int* offset, int count) {
        for (int block = 0; block < BLOCKS; block++) {
            Vector sum[K][BLOCK];
            for (int i = 0; i < K; i++)
                for (int v = 0; v < BLOCK; v++) sum[i][v] = as_vector(weight_gradient[o][i] + (block * BLOCK + v) * LANES);
            for (int n = 0; n < count; n++) {
                const float* patch = image.input_hwc + offset[n] + block * BLOCK * LANES;
#pragma GCC unroll 8
                for (int i = 0; i < K; i++)
#pragma GCC unroll 8
                    for (int v = 0; v < BLOCK; v++)
                        sum[i][v] += gradient[n] * as_vector(patch + i * WIDTH * INPUTS + v * LANES);
            }
            for (int i = 0; i < K; i++)
                for (int v = 0; v < BLOCK; v++) as_vector(weight_gradient[o][i] + (block * BLOCK + v) * LANES) = sum[i][v];
        }
    }

    void add_input_gradient(Activations& image, int o, const float* gradient, const int* offset, int count) const {
        for (int n = 0; n < count; n++)
#pragma GCC unroll 8
            for (int i = 0; i < K; i++)
                for (int v = 0; v < KERNEL_VECTORS; v++)  // Kernel rows are padded with zeros.
                    as_vector(image.input_gradient_hwc + offset[n] + i * WIDTH * INPUTS + v * LANES) +=
                        gradient[n] * as_vector(backward_weight[o][i] + v * LANES);
    }

    void update(const Sgd& weights, const Sgd& biases) {
        each_weight([&](int n, int o, int c, int i, int j) {
            weights.update(parameters.weight[n], parameters.weight_velocity[n], weight_gradient[o][i][j * INPUTS + c]);
        });
        for (int o = 0; o < OUTPUTS; o++) biases.update(parameters.bias[o], parameters.bias_velocity[o], bias_gradient[o]);
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
    static constexpr int IN_FEATURES = INPUTS, OUT_FEATURES = OUTPUTS;

    Parameters parameters;
    float input[BATCH_SIZE][INPUTS], input_gradient[BATCH_SIZE][INPUTS];

    void forward(float (*output)[OUTPUTS]) const {
        for (int j = 0; j < OUTPUTS; j++) {
            const float* w = parameters.weight + j * INPUTS;
            Vector sum[BATCH_SIZE] = {};
            int whole = INPUTS / LANES * LANES;
            for (int i = 0; i < whole; i += LANES)
                for (int b = 0; b < BATCH_SIZE; b++) sum[b] += as_vector(w + i) * as_vector(input[b] + i);
            for (int b = 0; b < BATCH_SIZE; b++) {
                float total = parameters.bias[j];
                for (int k = 0; k < LANES; k++) total += sum[b][k];
                for (int i = whole; i < INPUTS; i++) total += w[i] * input[b][i];
                output[b][j] = total;
            }
        }
    }

    // Updates the weights in the same pass over them. The gradient of the inputs comes first: it needs the old weights.
    void backward(const float (*output_gradient)[OUTPUTS], const Sgd& weights, const Sgd& biases, bool first) {
        if (!first) compute_input_gradient(output_gradient);
        for (int j = 0; j < OUTPUTS; j++) {
            float *w = parameters.weight + j * INPUTS, *velocity = parameters.weight_velocity + j * INPUTS;
            float slope[BATCH_SIZE], total = 0.0f;
            for (int b = 0; b < BATCH_SIZE; b++) total += slope[b] = output_gradient[b][j];
            for (int i = 0; i < INPUTS; i++) {
                float gradient = 0.0f;
                for (int b = 0; b < BATCH_SIZE; b++) gradient += slope[b] * input[b][i];
                weights.update(w[i], velocity[i], gradient);
            }
            biases.update(parameters.bias[j], parameters.bias_velocity[j], total);
        }
    }

    void compute_input_gradient(const float (*output_gradient)[OUTPUTS]) {
        std::memset(input_gradient, 0, sizeof input_gradient);
        for (int j = 0; j < OUTPUTS; j++)
            for (int b = 0; b < BATCH_SIZE; b++)
                for (int i = 0; i < INPUTS; i++)
                    input_gradient[b][i] += output_gradient[b][j] * parameters.weight[j * INPUTS + i];
    }
};

}  // namespace
