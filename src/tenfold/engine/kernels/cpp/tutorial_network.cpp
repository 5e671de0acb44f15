// One training step of a small network in one call: forward pass, backward pass and SGD update, in float32, on one core.
// Called by kernels/tutorial_step.py, which compiles it for the sizes of one network.
//
// The network is a sequence of convolutions, each with ReLU and optional 2×2 max-pooling, then fully connected layers with
// ReLU between them; its loss is the cross-entropy. The layers and their memory are in tutorial_layers.h. Compile with
//
//     BATCH_SIZE     images in a step, at most
//     CONV_LAYERS    Conv<inputs, outputs, kernel, height, width, pooled>, ...   may be empty
//     FEATURE_SHAPE  channels, height, width of the first fully connected layer's input
//     LINEAR_LAYERS  Linear<inputs, outputs>, ...                                at least one
//
// Blocking: convolutions handle one image at a time, so that its activations stay in the first caches; fully connected
// layers handle the batch, so that each weight is read once.

#include <tuple>

#include "tutorial_layers.h"

namespace {

using ConvLayers = std::tuple<CONV_LAYERS>;
using LinearLayers = std::tuple<LINEAR_LAYERS>;
constexpr int CONV_COUNT = std::tuple_size_v<ConvLayers>, LINEAR_COUNT = std::tuple_size_v<LinearLayers>;
constexpr int FEATURES[3] = {FEATURE_SHAPE};
constexpr int CLASSES = std::tuple_element_t<LINEAR_COUNT - 1, LinearLayers>::OUT_FEATURES;

// A batch of uint8 images, in any layout, that are normalized when they are read.
struct ImageBatch {
    const uint8_t* pixels;
    int64_t image_stride, channel_stride, row_stride, column_stride;
    const float *mean, *std;

    float operator()(int b, int c, int y, int x) const {
        float pixel = pixels[b * image_stride + c * channel_stride + y * row_stride + x * column_stride];
        return (pixel / 255.0f - mean[c]) / std[c];
    }
};

struct Network {
    ConvLayers conv_layers;
    LinearLayers linear_layers;
    float logits[BATCH_SIZE][CLASSES], logits_gradient[BATCH_SIZE][CLASSES];

    // `class_weights`: see cross_entropy. `sgd`: the update rules of weights and of biases.
    float train_step(const ImageBatch& images, const int64_t* labels, int count, float smoothing,
                     const float* class_weights, const Sgd* sgd) {
        std::apply([](auto&... layer) { (layer.begin_step(), ...); }, conv_layers);
        for (int b = 0; b < count; b++) forward_conv<0>(b, [&](int c, int y, int x) { return images(b, c, y, x); });
        forward_linear<0>();
        float loss = cross_entropy(labels, count, smoothing, class_weights);
        if (!std::isfinite(loss)) return loss;  // no weight has changed
        backward_linear<LINEAR_COUNT - 1>(logits_gradient, sgd);
        for (int b = 0; b < count; b++) {
            const float* gradient = std::get<0>(linear_layers).input_gradient[b];
            backward_conv<CONV_COUNT - 1>(b, [&](int c, int y, int x) {
                return gradient[(c * FEATURES[1] + y) * FEATURES[2] + x];
            });
        }
        std::apply([&](auto&... layer) { (layer.update(sgd[0], sgd[1]), ...); }, conv_layers);
        return loss;
    }

    template <int L, class Input>
    void forward_conv(int b, Input input) {
        if constexpr (L < CONV_COUNT) {
            auto& layer = std::get<L>(conv_layers);
            layer.forward(b, input);
            forward_conv<L + 1>(b, [&](int c, int y, int x) { return layer.activations[b].output[c][y][x]; });
        } else {
            float* feature = std::get<0>(linear_layers).input[b];
            for (int c = 0; c < FEATURES[0]; c++)
                for (int y = 0; y < FEATURES[1]; y++)
                    for (int x = 0; x < FEATURES[2]; x++) *feature++ = input(c, y, x);
        }
    }

    template <int L>
    void forward_linear() {
        if constexpr (L + 1 < LINEAR_COUNT) {
            auto& next = std::get<L + 1>(linear_layers);
            std::get<L>(linear_layers).forward(next.input);
            for (auto& row : next.input)
                for (float& value : row) value = relu(value);
            forward_linear<L + 1>();
        } else {
            std::get<L>(linear_layers).forward(logits);
        }
    }

    // Returns the mean cross-entropy and writes the gradient of the logits: zero for images that a smaller batch lacks.
    // `smoothing` is the fraction of the target that is spread over all classes. `class_weights`, which may be null,
    // multiply the loss of each image.
    float cross_entropy(const int64_t* labels, int count, float smoothing, const float* class_weights) {
        float loss = 0.0f;
        std::memset(logits_gradient, 0, sizeof logits_gradient);
        for (int b = 0; b < count; b++) {
            float greatest = *std::max_element(logits[b], logits[b] + CLASSES), sum = 0.0f;
            for (float logit : logits[b]) sum += std::exp(logit - greatest);
            float weight = class_weights ? class_weights[labels[b]] : 1.0f;
            for (int k = 0; k < CLASSES; k++) {
                float target = smoothing / CLASSES + (k == labels[b] ? 1.0f - smoothing : 0.0f);
                float log_probability = logits[b][k] - greatest - std::log(sum);
                loss -= target * log_probability / count * weight;
                logits_gradient[b][k] = (std::exp(log_probability) - target) / count * weight;
            }
        }
        return loss;
    }

    template <int L, class Gradient>
    void backward_linear(const Gradient& output_gradient, const Sgd* sgd) {
        auto& layer = std::get<L>(linear_layers);
        layer.backward(output_gradient, sgd[0], sgd[1], L == 0 && CONV_COUNT == 0);
        if constexpr (L > 0) {
            for (int b = 0; b < BATCH_SIZE; b++)
                for (int i = 0; i < layer.IN_FEATURES; i++)
                    if (!(layer.input[b][i] > 0.0f)) layer.input_gradient[b][i] = 0.0f;
            backward_linear<L - 1>(layer.input_gradient, sgd);
        }
    }

    template <int L, class Gradient>
    void backward_conv(int b, Gradient output_gradient) {
        if constexpr (L >= 0) {
            auto& layer = std::get<L>(conv_layers);
            layer.template backward<L == 0>(b, output_gradient);
            if constexpr (L > 0) {
                using Previous = std::tuple_element_t<L - 1, ConvLayers>;
                constexpr int channels = std::extent_v<decltype(Previous::Activations::output), 0>;
                constexpr int columns = std::extent_v<decltype(Previous::Activations::output), 2>;
                const float* gradient = layer.activations[b].input_gradient_hwc;
                backward_conv<L - 1>(b, [&](int c, int y, int x) { return gradient[(y * columns + x) * channels + c]; });
            }
        }
    }
};

}  // namespace

// `tensors`: weight, bias, weight velocity and bias velocity of each layer, from first to last.
extern "C" void* create_network(float* const* tensors) {
    Network* network = new Network();
    auto attach = [&](auto&... layer) {
        ((layer.parameters = {tensors[0], tensors[1], tensors[2], tensors[3]}, tensors += 4), ...);
    };
    std::apply(attach, network->conv_layers);
    std::apply(attach, network->linear_layers);
    return network;
}

extern "C" void destroy_network(void* network) { delete static_cast<Network*>(network); }

// Trains on `count` images, at most BATCH_SIZE, writes their logits and returns their loss. `strides`: of image, channel, row
// and column. `settings`: learning rate, momentum, weight decay (of weights alone), 1 for Nesterov momentum. If the loss is not
// finite, no weight changes. `class_weights`: one for each class, or null.
extern "C" float train_step(void* network, const uint8_t* pixels, const int64_t* strides, const float* mean, const float* std,
                            const int64_t* labels, int count, float smoothing, const float* class_weights,
                            const float* settings, float* logits) {
    Network& self = *static_cast<Network*>(network);
    ImageBatch images{pixels, strides[0], strides[1], strides[2], strides[3], mean, std};
    Sgd sgd[2] = {{settings[0], settings[1], settings[2], settings[3] != 0.0f},
                  {settings[0], settings[1], 0.0f, settings[3] != 0.0f}};
    float loss = self.train_step(images, labels, count, smoothing, class_weights, sgd);
    std::memcpy(logits, self.logits, count * sizeof self.logits[0]);
    return loss;
}
