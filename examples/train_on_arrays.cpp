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

// `count` pictures with their labels: a horizontal bar (0), a vertical bar (1) or both (2) somewhere on noise.
Batch draw_pictures(Index count, std::mt19937& random) {
    std::normal_distribution<float> noise{0.0F, 0.5F};
    std::uniform_int_distribution<int> any_class{0, 2}, any_place{1, 14};
    Batch batch{.count = count};
    for (Index picture = 0; picture < count; ++picture) {
        const int label = any_class(random), row = any_place(random), column = any_place(random);
        batch.labels.push_back(label);
        for (int y = 0; y < 16; ++y)  // pixels are [picture][height][width][channels]
            for (int x = 0; x < 16; ++x) {
                const bool inside = (label != 1 && y == row) || (label != 0 && x == column);
                batch.pixels.push_back(noise(random) + (inside ? 1.0F : 0.0F));
            }
    }
    return batch;
}

int main() {
    std::mt19937 random{1};
    std::vector<Batch> batches;  // the training pictures: 20 batches of 32
    for (int i = 0; i < 20; ++i) batches.push_back(draw_pictures(32, random));

    const TrainingOptions options{
        .epochs = 20, .optimizer = OptimizerKind::adamw, .learning_rate = 0.01, .averaging_decay = 0.9};
    Trainer<Net> trainer{options};
    for (Index epoch = 0; epoch < options.epochs; ++epoch) {
        LossSums sums;
        for (const Batch& batch : batches) sums += trainer.step(batch, std::ssize(batches));
        std::printf("epoch %d: loss %.3f\n", static_cast<int>(epoch + 1), sums.loss / static_cast<double>(sums.count));
    }

    const LossSums test = trainer.evaluate(draw_pictures(300, random));  // pictures it has not seen
    std::printf("test accuracy: %.3f\n", static_cast<double>(test.correct) / static_cast<double>(test.labeled));
}
