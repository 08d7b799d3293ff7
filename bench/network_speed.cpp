// SPDX-License-Identifier: MIT
// Times one reference net and prints one JSON line, as bench/peer_torch.py does for PyTorch. The training
// step is forward, cross-entropy, backward and SGD with Nesterov momentum; inference is a forward pass;
// gradients are forward and backward alone, with neighbouring layers fused or each on its own.

#include <bantam/core/error.hpp>
#include <bantam/core/random.hpp>
#include <bantam/models/mobile.hpp>
#include <bantam/models/sample.hpp>
#include <bantam/train/trainer.hpp>

#include "../tools/common/command_line.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace {

using namespace bantam;

struct Options {
    std::string net = "mobile-98k";
    std::string mode = "training";
    std::int64_t batch = 64;
    int threads = processor_count();
    int warmup = 3;
    int repeats = 20;
    double seconds = 20;
};

/// A batch as a data loader would make it.
struct RandomBatch {
    std::int64_t count;
    std::vector<float> pixels;
    std::vector<int> labels;
    std::vector<float> teacher_logits;
    std::vector<std::uint8_t> has_teacher;
};

template <class Net>
RandomBatch random_batch(std::int64_t count) {
    RandomBatch batch{count, {}, {}, {}, {}};
    Random random{0, 0};
    batch.pixels.resize(static_cast<std::size_t>(count * element_count(input_shape<Net>)));
    for (float& value : batch.pixels) value = static_cast<float>(random.normal());
    for (std::int64_t i = 0; i < count; ++i)
        batch.labels.push_back(static_cast<int>(random.below(static_cast<std::uint64_t>(class_count<Net>))));
    return batch;
}

/// Milliseconds of each timed call: at most `repeats`, at most `seconds` of them but three at least.
std::vector<double> time_calls(const Options& options, const std::function<void()>& call) {
    using Clock = std::chrono::steady_clock;
    for (int i = 0; i < std::max(options.warmup, 1); ++i) call();
    std::vector<double> times;
    double total = 0;
    while (static_cast<int>(times.size()) < options.repeats && (times.size() < 3 || total < 1000 * options.seconds)) {
        const auto before = Clock::now();
        call();
        times.push_back(std::chrono::duration<double, std::milli>(Clock::now() - before).count());
        total += times.back();
    }
    return times;
}

template <class Net, bool Fused>
std::vector<double> time_gradients(const Options& options, const RandomBatch& batch) {
    cpu::Model<Net, float, Fused> model{options.threads};
    model.initialise(0);
    std::vector<float> logits(static_cast<std::size_t>(options.batch * class_count<Net>));
    const std::vector<float> logits_gradient(logits.size(), 0.01F);
    std::vector<float> gradient(model.parameters().size());
    return time_calls(options, [&] {
        model.forward(batch.pixels.data(), batch.count, 0, logits.data());
        model.backward(logits_gradient.data(), gradient.data());
    });
}

template <class Net>
std::vector<double> time_net(const Options& options) {
    const RandomBatch batch = random_batch<Net>(options.batch);
    if (options.mode == "gradients-fused") return time_gradients<Net, true>(options, batch);
    if (options.mode == "gradients-layer-by-layer") return time_gradients<Net, false>(options, batch);
    if (options.mode == "training") {
        TrainingOptions training;
        training.learning_rate = 0.01;
        training.weight_decay = 1e-4;
        training.warmup_epochs = 0;
        training.clip_norm = 0;
        training.averaging_decay = 0;
        training.threads = options.threads;
        Trainer<Net> trainer{training};
        return time_calls(options, [&] { trainer.step(batch, 1000); });
    }
    cpu::Model<Net> model{options.threads};
    model.initialise(0);
    std::vector<float> logits(static_cast<std::size_t>(options.batch * class_count<Net>));
    return time_calls(options, [&] { model.infer(batch.pixels.data(), batch.count, logits.data()); });
}

void run(const Options& options) {
    std::vector<double> times = options.net == "mobile-98k" ? time_net<Mobile98k<11>>(options)
                                                            : time_net<Sample88k<11>>(options);
    std::ranges::sort(times);
    const std::size_t middle = times.size() / 2;
    const double median = times.size() % 2 == 1 ? times[middle] : (times[middle - 1] + times[middle]) / 2;
    fmt::print("{{\"net\": \"{}\", \"mode\": \"{}\", \"batch\": {}, \"threads\": {}, \"repeats\": {}, \"median_ms\": {:.4f}, "
               "\"best_ms\": {:.4f}, \"images_per_second\": {:.2f}}}\n",
               options.net, options.mode, options.batch, options.threads, times.size(), median, times.front(),
               1000 * static_cast<double>(options.batch) / median);
}

}  // namespace

int main(int argc, char** argv) {
    Options options;
    CommandLine line{"Times one reference net and prints one JSON line"};
    line.option("--net", options.net, "mobile-98k or sample-88k").one_of({"mobile-98k", "sample-88k"});
    line.option("--mode", options.mode, "What is timed")
        .one_of({"training", "inference", "gradients-fused", "gradients-layer-by-layer"});
    line.option("--batch", options.batch, "Pictures in a step").between(1, 65536);
    line.option("--threads", options.threads, "Threads").between(1, 1024);
    line.option("--warmup", options.warmup, "Steps before the clock starts").between(0, 1'000'000);
    line.option("--repeats", options.repeats, "Steps timed one by one, at most").between(1, 1'000'000);
    line.option("--seconds", options.seconds, "Stop timing after this long, three steps at least");
    return line.run(argc, argv, [&] { run(options); });
}
