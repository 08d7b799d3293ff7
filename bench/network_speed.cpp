// SPDX-License-Identifier: MIT
// Times one reference net and prints one JSON line, as bench/peer_torch.py does for PyTorch. The training
// step is forward, cross-entropy, backward and SGD with Nesterov momentum, shared by ranks under mpirun; inference is a
// forward pass; gradients are forward and backward alone, with adjacent layers fused or layer by layer; inference-int8
// is a forward pass of deploy::BatchClassifier, inference-deployed of deploy::Classifier in float32; `stages` prints
// the time of each stage beside its bound on this machine.

#include "common/machine_bounds.hpp"
#include "nets/nets.hpp"

#include "../tools/shared/command_line.hpp"
#include "../tools/shared/ranks.hpp"

#include <fmt/format.h>

#include <sys/resource.h>

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <string>

namespace {

using namespace bantam;
using namespace bantam::bench;

double peak_megabytes() {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    return static_cast<double>(usage.ru_maxrss) / 1024;
}

Timing time_chosen(const TimingOptions& options) {
    if (options.net == "mobile-98k") return time_mobile_98k(options);
    if (options.net == "high-resolution-98k") return time_high_resolution_98k(options);
    if (options.net == "sample-88k") return time_sample_88k(options);
    if (options.net == "tiniest-97k") return time_tiniest_97k(options);
    if (options.net == "small-32") return time_small_32(options);
    return time_resnet18(options);
}

void print_line(const TimingOptions& options, const Timing& timing, double baseline) {
    const double middle = median(timing.calls);
    fmt::print(
        "{{\"net\": \"{}\", \"mode\": \"{}\", \"batch\": {}, \"threads\": {}, \"repeats\": {}, \"median_ms\": {:.4f}, "
        "\"mean_ms\": {:.4f}, \"best_ms\": {:.4f}, \"images_per_second\": {:.2f}, \"multiply_adds\": {}, "
        "\"baseline_mb\": {:.1f}, "
        "\"peak_mb\": {:.1f}}}\n",
        options.net, options.mode, options.batch, options.threads, timing.calls.size(), middle,
        std::accumulate(timing.calls.begin(), timing.calls.end(), 0.0) / static_cast<double>(timing.calls.size()),
        *std::ranges::min_element(timing.calls), 1000 * static_cast<double>(options.batch) / middle,
        timing.multiply_adds, baseline, peak_megabytes());
}

/// A stage is bounded by its multiply-adds or its memory traffic; the last column is the bound's part of the
/// measured time.
void print_stages(const TimingOptions& options, const Timing& timing) {
    const MachineBounds machine = measure_machine(options.threads);
    const double whole = median(timing.calls);
    fmt::print("{} batch {} on {} threads: forward and backward {:.2f} ms\n", options.net, options.batch,
               options.threads, whole);
    fmt::print("machine: {:.1f} GFLOP/s, {:.1f} GB/s\n\n", machine.gflops, machine.gigabytes_per_second);
    fmt::print("| stage | from | to | ms | share of time | GFLOP/s | GB/s | bound, ms | share of bound |\n");
    fmt::print("|---|---|---|---:|---:|---:|---:|---:|---:|\n");
    double multiply_adds = 0;
    double bound_sum = 0;
    for (const Timing::Stage& stage : timing.stages) {
        const cpu::StageLabel& label = *stage.label;
        const double operations = 2.0 * static_cast<double>(label.multiply_adds * options.batch * stage.calls);
        const double bytes = 4.0 * static_cast<double>(label.scalars_moved * options.batch * stage.calls);
        const double bound = std::max(operations / machine.gflops, bytes / machine.gigabytes_per_second) / 1e6;
        multiply_adds += operations / 2;
        bound_sum += bound;
        fmt::print("| {}{}{} | {}×{}×{} | {}×{}×{} | {:.2f} | {:.1f} % | {:.1f} | {:.1f} | {:.2f} | {:.0f} % |\n",
                   label.name, label.backward ? ", backward" : "",
                   stage.calls > 1 ? fmt::format(", {} times", stage.calls) : "", label.input.height, label.input.width,
                   label.input.channels, label.output.height, label.output.width, label.output.channels,
                   stage.milliseconds, 100 * stage.milliseconds / whole, operations / stage.milliseconds / 1e6,
                   bytes / stage.milliseconds / 1e6, bound, 100 * bound / stage.milliseconds);
    }
    fmt::print("| all | | | {:.2f} | 100 % | {:.1f} | | {:.2f} | {:.0f} % |\n", whole, 2 * multiply_adds / whole / 1e6,
               bound_sum, 100 * bound_sum / whole);
    fmt::print("\nmultiply-adds alone reach {:.0f} % of the machine's peak\n",
               100 * 2 * multiply_adds / whole / 1e6 / machine.gflops);
}

void run(const TimingOptions& options) {
    const double baseline = peak_megabytes();
    const Timing timing = time_chosen(options);
    if (options.communicator->rank().index > 0) return;
    if (options.mode == "stages")
        print_stages(options, timing);
    else
        print_line(options, timing, baseline);
}

}  // namespace

int main(int argc, char** argv) {
    TimingOptions options;
    options.threads = processor_count();
    CommandLine line{"Times one reference net and prints one JSON line, or a table of its stages"};
    line.option("--net", options.net, "The net; resnet18 in inference only")
        .one_of({"mobile-98k", "high-resolution-98k", "sample-88k", "tiniest-97k", "small-32", "resnet18"});
    line.option("--mode", options.mode, "What is timed")
        .one_of({"training", "inference", "stages", "gradients-fused", "gradients-layer-by-layer", "inference-deployed",
                 "inference-int8"});
    line.option("--batch", options.batch, "Pictures in a step").between(1, 65536);
    line.option("--threads", options.threads, "Threads").between(1, 1024);
    line.option("--warmup", options.warmup, "Steps before the clock starts").between(0, 1'000'000);
    line.option("--repeats", options.repeats, "Steps timed one by one, at most").between(1, 1'000'000);
    line.option("--seconds", options.seconds, "Stop timing after this long, three steps at least");
    return line.run(argc, argv, [&] {
        const bool deployed = options.mode == "inference-deployed" || options.mode == "inference-int8";
        if (deployed && options.net != "mobile-98k" && options.net != "high-resolution-98k")
            throw bantam::Error{"--mode " + options.mode +
                                " times mobile-98k and high-resolution-98k; choose one of them"};
        if (options.mode == "inference-deployed" && options.threads != 1)
            throw bantam::Error{"--mode inference-deployed has one thread; set --threads 1"};
        const auto communicator = join_ranks();
        options.communicator = communicator.get();
        if (communicator->rank().count > 1 && options.mode != "training")
            throw bantam::Error{"ranks share the training step alone; leave --mode out"};
        run(options);
    });
}
