// SPDX-License-Identifier: MIT
// Times what feeds a training step: reading, decoding and squashing of picture files, then batches cut from the
// decoded pictures by random crop, flip and color. One thread cuts while others train. Prints two JSON lines.

#include "common/network_timing.hpp"

#include "../tools/shared/command_line.hpp"

#include <bantam/base/index.hpp>
#include <bantam/data/training_loader.hpp>

#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <vector>

namespace {

using namespace bantam;

void run(const std::filesystem::path& data, bench::TimingOptions options, int size) {
    const HomeworkFolders folders = scan_homework(data);
    PictureOptions picture_options;
    picture_options.threads = options.threads;
    // The first loading also brings the files into the system's cache.
    LabeledPictures pictures;
    double seconds = 1e9;
    for (int round = 0; round < 3; ++round) {
        const auto start = std::chrono::steady_clock::now();
        pictures = load_pictures(folders.root, folders.training, picture_options);
        seconds = std::min(seconds, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    }
    fmt::print("{{\"mode\": \"decoding\", \"pictures\": {}, \"threads\": {}, \"pictures_per_second\": {:.1f}}}\n",
               pictures.store.size(), options.threads, static_cast<double>(pictures.store.size()) / seconds);
    LoaderOptions loader_options;
    loader_options.input = {size, size, 3};
    loader_options.batch_size = options.batch;
    TrainingLoader loader{loader_options};
    loader.add(pictures);
    const std::vector<Index> order = loader.epoch_order(0);
    Batch batch;
    Index index = 0;
    const double milliseconds = bench::median(
        bench::time_calls(options, [&] { loader.assemble(0, order, index++ % loader.batch_count(), batch); }));
    fmt::print("{{\"mode\": \"feeding\", \"batch\": {}, \"stored_size\": {}, \"size\": {}, \"median_ms\": {:.4f}}}\n",
               batch.count, pictures.store.stored_size(), size, milliseconds);
}

}  // namespace

int main(int argc, char** argv) {
    bench::TimingOptions options;
    std::filesystem::path data;
    int size = 128;
    options.threads = processor_count();
    options.repeats = 100;
    CommandLine line{"Times the decoding of pictures and the cutting of training batches and prints two JSON lines"};
    line.option("--data", data, "Data set in the homework's layout, as tools/sample_data/draw_sample_food11 draws one")
        .required();
    line.option("--batch", options.batch, "Pictures in a batch").between(1, 65536);
    line.option("--size", size, "Height and width of the cut pictures").between(8, 1024);
    line.option("--threads", options.threads, "Threads that decode the pictures first").between(1, 1024);
    line.option("--repeats", options.repeats, "Batches timed, at most").between(1, 1'000'000);
    return line.run(argc, argv, [&] { run(data, options, size); });
}
