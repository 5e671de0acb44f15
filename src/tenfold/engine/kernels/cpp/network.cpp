// One training step of a small network in one call: forward, backward and update, in float32, on one core.
//
// The network is a row of convolutions, each with ReLU and perhaps 2×2 max-pooling, then fully connected layers with
// ReLU between them. Whoever compiles this defines
//
//     BATCH     pictures in a step, at most
//     STAGES    Conv<inputs, outputs, kernel, height, width, pooled>, ...   perhaps none
//     FEATURES  channels, height, width of what the first fully connected layer sees
//     LAYERS    Linear<inputs, outputs>, ...                               at least one

#include <tuple>

#include "layers.h"

namespace {

using Stages = std::tuple<STAGES>;
using Layers = std::tuple<LAYERS>;
constexpr int STAGE_COUNT = std::tuple_size_v<Stages>, LAYER_COUNT = std::tuple_size_v<Layers>;
constexpr int FEATURE_SHAPE[3] = {FEATURES};
constexpr int CLASSES = std::tuple_element_t<LAYER_COUNT - 1, Layers>::CLASSES;

struct Pictures {
    const uint8_t* pixels;
    int64_t of_picture, of_channel, of_row, of_column;  // strides
    const float *mean, *deviation;

    float operator()(int b, int c, int y, int x) const {
        float pixel = pixels[b * of_picture + c * of_channel + y * of_row + x * of_column];
        return (pixel / 255.0f - mean[c]) / deviation[c];
    }
};

struct Network {
    Stages stages;
    Layers layers;
    float logits[BATCH][CLASSES], logits_gradient[BATCH][CLASSES];

    float step(const Pictures& pictures, const int64_t* labels, int count, float smoothing, const Update* rules) {
        std::apply([](auto&... stage) { (stage.begin(), ...); }, stages);
        for (int b = 0; b < count; b++) convolve<0>(b, [&](int c, int y, int x) { return pictures(b, c, y, x); });
        connect<0>();
        float loss = judge(labels, count, smoothing);
        if (!std::isfinite(loss)) return loss;  // no weight has changed
        disconnect<LAYER_COUNT - 1>(logits_gradient, rules);
        for (int b = 0; b < count; b++) {
            const float* gradient = std::get<0>(layers).input_gradient[b];
            deconvolve<STAGE_COUNT - 1>(b, [&](int c, int y, int x) {
                return gradient[(c * FEATURE_SHAPE[1] + y) * FEATURE_SHAPE[2] + x];
            });
        }
        std::apply([&](auto&... stage) { (stage.update(rules[0], rules[1]), ...); }, stages);
        return loss;
    }

    template <int S, class Source>
    void convolve(int b, Source input) {
        if constexpr (S < STAGE_COUNT) {
            auto& stage = std::get<S>(stages);
            stage.forward(b, input);
            convolve<S + 1>(b, [&](int c, int y, int x) { return stage.pictures[b].output[c][y][x]; });
        } else {
            float* feature = std::get<0>(layers).input[b];
            for (int c = 0; c < FEATURE_SHAPE[0]; c++)
                for (int y = 0; y < FEATURE_SHAPE[1]; y++)
                    for (int x = 0; x < FEATURE_SHAPE[2]; x++) *feature++ = input(c, y, x);
        }
    }

    template <int L>
    void connect() {
        if constexpr (L + 1 < LAYER_COUNT) {
            auto& next = std::get<L + 1>(layers);
            std::get<L>(layers).forward(next.input);
            for (auto& row : next.input)
                for (float& value : row) value = relu(value);
            connect<L + 1>();
        } else {
            std::get<L>(layers).forward(logits);
        }
    }

    // Cross-entropy; `smoothing` of the target is spread over all classes. Absent pictures get no gradient.
    float judge(const int64_t* labels, int count, float smoothing) {
        float loss = 0.0f;
        std::memset(logits_gradient, 0, sizeof logits_gradient);
        for (int b = 0; b < count; b++) {
            float greatest = *std::max_element(logits[b], logits[b] + CLASSES), sum = 0.0f;
            for (float logit : logits[b]) sum += std::exp(logit - greatest);
            for (int k = 0; k < CLASSES; k++) {
                float target = smoothing / CLASSES + (k == labels[b] ? 1.0f - smoothing : 0.0f);
                float log_probability = logits[b][k] - greatest - std::log(sum);
                loss -= target * log_probability / count;
                logits_gradient[b][k] = (std::exp(log_probability) - target) / count;
            }
        }
        return loss;
    }

    template <int L, class Gradient>
    void disconnect(const Gradient& output_gradient, const Update* rules) {
        auto& layer = std::get<L>(layers);
        layer.backward(output_gradient, rules[0], rules[1], L == 0 && STAGE_COUNT == 0);
        if constexpr (L > 0) {
            for (int b = 0; b < BATCH; b++)
                for (int i = 0; i < layer.SIZE; i++)
                    if (!(layer.input[b][i] > 0.0f)) layer.input_gradient[b][i] = 0.0f;
            disconnect<L - 1>(layer.input_gradient, rules);
        }
    }

    template <int S, class Source>
    void deconvolve(int b, Source output_gradient) {
        if constexpr (S >= 0) {
            auto& stage = std::get<S>(stages);
            stage.template backward<S == 0>(b, output_gradient);
            if constexpr (S > 0) {
                using Before = std::tuple_element_t<S - 1, Stages>;
                constexpr int channels = std::extent_v<decltype(Before::Picture::output), 0>;
                constexpr int columns = std::extent_v<decltype(Before::Picture::output), 2>;
                const float* gradient = stage.pictures[b].inner_gradient;
                deconvolve<S - 1>(b, [&](int c, int y, int x) { return gradient[(y * columns + x) * channels + c]; });
            }
        }
    }
};

}  // namespace

// `tensors`: weight, bias, weight velocity, bias velocity of each layer, from first to last.
extern "C" void* create(float* const* tensors) {
    Network* network = new Network();
    auto attach = [&](auto&... layer) { ((layer.learnt = {tensors[0], tensors[1], tensors[2], tensors[3]}, tensors += 4), ...); };
    std::apply(attach, network->stages);
    std::apply(attach, network->layers);
    return network;
}

extern "C" void destroy(void* network) { delete static_cast<Network*>(network); }

// Learns from `count` pictures, at most BATCH, and returns their loss. `strides`: of picture, channel, row and column.
// `rule`: learning rate, momentum, weight decay, 1 for Nesterov's momentum. Where the loss is not finite nothing changes.
extern "C" float step(void* network, const uint8_t* pixels, const int64_t* strides, const float* mean, const float* deviation,
                      const int64_t* labels, int count, float smoothing, const float* rule, float* logits) {
    Network& self = *static_cast<Network*>(network);
    Pictures pictures{pixels, strides[0], strides[1], strides[2], strides[3], mean, deviation};
    Update rules[2] = {{rule[0], rule[1], rule[2], rule[3] != 0.0f}, {rule[0], rule[1], 0.0f, rule[3] != 0.0f}};
    float loss = self.step(pictures, labels, count, smoothing, rules);
    std::memcpy(logits, self.logits, count * sizeof self.logits[0]);
    return loss;
}
