// SPDX-License-Identifier: MIT
// The job of precompute_logits on any device.
#pragma once

#include <bantam/base/error.hpp>
#include <bantam/base/index.hpp>
#include <bantam/base/random.hpp>
#include <bantam/core/network.hpp>
#include <bantam/data/picture_store.hpp>
#include <bantam/data/teacher_logits.hpp>
#include <bantam/data/testing_refusal.hpp>
#include <bantam/data/view.hpp>
#include <bantam/io/atomic_file.hpp>
#include <bantam/io/checkpoint.hpp>
#include <bantam/io/hash.hpp>
#include <bantam/models/resnet18.hpp>
#include <bantam/models/sample_teacher.hpp>
#include <bantam/train/losses.hpp>

#include "shared/command_line.hpp"
#include "shared/homework.hpp"
#include "shared/pictures.hpp"
#include "shared/stop_signal.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <system_error>
#include <vector>

#ifndef BANTAM_CLASSES
#define BANTAM_CLASSES 11
#endif

namespace precompute_logits {

using namespace bantam;

struct Options {
    std::filesystem::path data;
    std::filesystem::path teacher;
    std::filesystem::path output;
    std::string architecture;  ///< empty: found from the weights
    Index views = 8;
    std::uint64_t view_seed = 1;
    int stored_size = 144;
    int threads = processor_count();
    DeviceOptions device;
};

/// A picture store with its name in the report.
struct Split {
    const PictureStore* store;
    const std::vector<int>* labels;  // null where there are none
    const char* name;
};

/// Figures of the teacher's logits for view 0 of labeled pictures.
struct Score {
    double accuracy;
    double top_probability;
    double cross_entropy;
};

inline Score score(const TeacherLogits& result, Index first_row, const std::vector<int>& labels) {
    Score total{0, 0, 0};
    const Index classes = result.class_count();
    std::vector<double> log_probabilities(static_cast<std::size_t>(classes));
    for (std::size_t i = 0; i < labels.size(); ++i) {
        const float* row = result.view_logits(first_row + static_cast<Index>(i), 0);
        log_softmax(1.0, std::ssize(log_probabilities), row, log_probabilities.data());
        const auto best = std::max_element(log_probabilities.begin(), log_probabilities.end());
        total.accuracy += best - log_probabilities.begin() == labels[i] ? 1 : 0;
        total.top_probability += std::exp(*best);
        total.cross_entropy -= log_probabilities[static_cast<std::size_t>(labels[i])];
    }
    const double count = static_cast<double>(labels.size());
    return {total.accuracy / count, total.top_probability / count, total.cross_entropy / count};
}

/// `Runner` runs its `Network` on pictures: `set_pictures` takes them and their views, `infer` gives the logits of
/// views [first, first + count) of all, [image · view].
template <class Runner>
void run(const Options& options, SafetensorsFile& weights, const HomeworkFolders& folders) {
    using Teacher = typename Runner::Network;
    constexpr Shape input = input_shape<Teacher>;
    Runner runner{weights, options};

    const PictureOptions reading{.stored_size = options.stored_size, .threads = options.threads, .hash_files = true};
    const LabeledPictures training = load_with_report(options.data, folders.training, reading, "labeled");
    const UnlabeledPictures unlabeled = load_with_report(options.data, folders.unlabeled, reading, "unlabeled");
    const LabeledPictures validation = load_with_report(options.data, folders.validation, reading, "validation");
    const Split splits[] = {{&training.store, &training.labels, "labeled"},
                            {&unlabeled.store, nullptr, "unlabeled"},
                            {&validation.store, &validation.labels, "validation"}};

    TeacherLogits result;
    result.classes = folders.classes;
    result.view_count = options.views;
    result.preprocessing.stored_size = options.stored_size;
    result.preprocessing.input_height = static_cast<int>(input.height);
    result.preprocessing.input_width = static_cast<int>(input.width);
    result.teacher = hash_file(options.teacher);
    result.teacher_name = options.teacher.filename().string();
    result.view_seed = options.view_seed;

    std::vector<const std::uint8_t*> pictures;
    for (const Split& split : splits)
        for (std::size_t i = 0; i < split.store->size(); ++i) {
            pictures.push_back(split.store->pixels(i));
            result.paths.push_back(split.store->paths()[i]);
            result.hashes.push_back(split.store->hashes()[i]);
        }
    const auto images = static_cast<Index>(pictures.size());
    for (Index image = 0; image < images; ++image)
        for (Index view = 0; view < options.views; ++view) {
            Random random{options.view_seed, static_cast<std::uint64_t>(image * 1024 + view)};
            result.views.push_back(view == 0 ? whole_view() : random_view(random));
        }

    const Index total = images * options.views;
    result.logits.resize(static_cast<std::size_t>(total * result.class_count()));
    const ColorTransform colors = compose(byte_colors(), normalize(result.preprocessing.normalization));
    runner.set_pictures(pictures, options.stored_size, result.views, options.views, colors);
    {
        const StopSignal signal;
        WorkProgress progress{"views", total};
        for (Index first = 0; first < total; first += runner.batch()) {
            const Index count = std::min(runner.batch(), total - first);
            runner.infer(first, count, result.logits.data() + first * result.class_count());
            progress.update(first + count);
            if (signal.received())
                signal.stop(
                    fmt::format("after {} of {} views; nothing was written, start again", first + count, total));
        }
        write_teacher_logits(options.output, result);
    }

    Index row = 0;
    for (const Split& split : splits) {
        if (split.labels && !split.labels->empty()) {
            const Score figures = score(result, row, *split.labels);
            fmt::print("{} accuracy: {:.4f}\n", split.name, figures.accuracy);
            fmt::print("{} mean top probability: {:.4f}\n", split.name, figures.top_probability);
            fmt::print("{} cross-entropy: {:.4f}\n", split.name, figures.cross_entropy);
        }
        row += static_cast<Index>(split.store->size());
    }
    fmt::print("parameters: {}\n", parameter_count<Teacher>);
    fmt::print("pictures: {}\nviews: {}\nlogits: {}\n", images, options.views, options.output.string());
}

/// A teacher that is built in: an architecture at a picture size with a number of classes.
struct Architecture {
    std::string name;
    Index classes;
    std::span<const NamedTensor> tensors;
    std::function<void(const Options&, SafetensorsFile&, const HomeworkFolders&)> run;
};

template <template <class> class Runner, template <int, int> class Teacher, int Size, int... Classes>
void add_architectures(std::vector<Architecture>& list, const char* name) {
    (list.push_back({name, Classes, tensor_table<Teacher<Classes, Size>>, run<Runner<Teacher<Classes, Size>>>}), ...);
}

/// Every teacher that is built in, run by `Runner<Teacher>`.
template <template <class> class Runner>
std::vector<Architecture> architectures() {
    std::vector<Architecture> list;
    add_architectures<Runner, ResNet18, 128, 10, 11>(list, "resnet18");
    if constexpr (BANTAM_CLASSES != 10 && BANTAM_CLASSES != 11)
        add_architectures<Runner, ResNet18, 128, BANTAM_CLASSES>(list, "resnet18");
    add_architectures<Runner, SampleTeacher, 48, 11>(list, "sample-teacher");
    return list;
}

/// The name of the architecture in `list` that has most tensors in common with the weights. Throws Error naming the
/// first tensors that differ where that is less than half of them.
inline std::string architecture_of(const SafetensorsFile& weights, const std::vector<Architecture>& list) {
    const auto in_common = [&](const Architecture& candidate) {
        const auto known = [&](const NamedTensor& tensor) { return weights.contains(tensor.name.view()); };
        return static_cast<double>(std::ranges::count_if(candidate.tensors, known)) /
               static_cast<double>(candidate.tensors.size());
    };
    const Architecture& nearest = *std::ranges::max_element(list, {}, in_common);
    if (in_common(nearest) >= 0.5) return nearest.name;
    for (const Architecture& candidate : list)
        if (const NameDifferences differences = compare_names(weights, candidate.tensors); !differences.prefix.empty())
            throw Error{weights.path().string() + ": " + differences.text()};
    throw Error{
        fmt::format("{}: is of an architecture that is not built in (as {} it {}); use "
                    "tools/convert_teacher.py --logits --arch NAME",
                    weights.path().string(), nearest.name, compare_names(weights, nearest.tensors).text())};
}

/// Runs the built-in teacher that `options` name on `Runner`'s device. An empty architecture is found from the
/// weights' tensors. The testing folder is never read. Throws Error where no teacher fits.
template <template <class> class Runner>
void precompute(Options& options) {
    refuse_testing_folder(options.data);
    SafetensorsFile weights = SafetensorsFile::open(options.teacher);
    const HomeworkFolders folders = open_homework(options.data);
    refuse_input_as_output(options.output, options.data, folders, options.teacher);
    // Fail before the teacher's work where the output cannot be written.
    AtomicFile{options.output};
    if (options.architecture.empty()) options.architecture = architecture_of(weights, architectures<Runner>());
    const auto classes = static_cast<Index>(folders.classes.size());
    for (const Architecture& candidate : architectures<Runner>())
        if (candidate.name == options.architecture && candidate.classes == classes)
            return candidate.run(options, weights, folders);
    throw Error{
        fmt::format("{}: no teacher '{}' with {} classes is built in; build again with -DBANTAM_CLASSES={} for a "
                    "resnet18, use convert_teacher.py --logits, or add it to the list in precompute_logits.hpp",
                    options.data.string(), options.architecture, classes, classes)};
}

/// What --device cuda runs, or null in a program built without CUDA. Defined by precompute_logits.cu, or by
/// cmake/no_gpu_job.cpp.in.
void (*gpu_job())(Options&);

}  // namespace precompute_logits
