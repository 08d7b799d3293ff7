// SPDX-License-Identifier: MIT
// A network of your own, trained on pictures in memory: three classes of drawn shapes on noise.
#include <bantam/bantam.hpp>

#include <cstdio>
#include <random>
#include <vector>

using namespace bantam;

// 16x16 pixels, 1 channel, 3 classes. Every shape in between is deduced, and a layer that does not fit does not
// compile.
using Net =
    Network<Image<16, 16, 1>, Conv2d<8, 3>, BatchNorm2d, ReLU, DepthwiseSeparable<16, 2>, GlobalAveragePool, Linear<3>>;
static_assert(parameter_count<Net> <= 500);

struct Pictures {
    std::vector<float> pixels;  // [picture][height][width][channels]
    std::vector<int> labels;
};

// A horizontal bar (0), a vertical bar (1) or both (2) somewhere on noise.
Pictures draw_pictures(int count, std::mt19937& random) {
    std::normal_distribution<float> noise{0.0F, 0.5F};
    std::uniform_int_distribution<int> any_class{0, 2}, any_place{1, 14};
    Pictures pictures;
    for (int picture = 0; picture < count; ++picture) {
        const int label = any_class(random), row = any_place(random), column = any_place(random);
        pictures.labels.push_back(label);
        for (int y = 0; y < 16; ++y)
            for (int x = 0; x < 16; ++x) {
                const bool inside = (label != 1 && y == row) || (label != 0 && x == column);
                pictures.pixels.push_back(noise(random) + (inside ? 1.0F : 0.0F));
            }
    }
    return pictures;
}

int main() {
    std::mt19937 random{1};
    const Pictures seen = draw_pictures(640, random), held_out = draw_pictures(100, random),
                   unseen = draw_pictures(300, random);
    const ArrayData training{seen.pixels, seen.labels}, validation{held_out.pixels, held_out.labels};

    Trainer<Net> trainer{{.epochs = 20,
                          .batch_size = 32,
                          .optimizer = OptimizerKind::adamw,
                          .learning_rate = 0.01,
                          .averaging_decay = 0.9}};
    fit(trainer, training, validation, [](const EpochReport& epoch) {
        std::printf("epoch %d: loss %.3f\n", static_cast<int>(epoch.epoch), epoch.training.loss.value());
    });

    const Evaluation test = evaluate(trainer, ArrayData{unseen.pixels, unseen.labels});
    std::printf("test accuracy: %.3f\n", test.accuracy.value());
    for (Index c = 0; c < 3; ++c)
        std::printf("class %d: precision %.3f, recall %.3f\n", static_cast<int>(c),
                    test.confusion.precision(c).value_or(0), test.confusion.recall(c).value_or(0));
}
