// SPDX-License-Identifier: MIT
// Runs a teacher over the training and validation pictures, several views of each, and stores what it
// says as a logits file. The testing folder is never read.

#include <bantam/bantam.hpp>
#include <bantam/data/folders.hpp>
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

#include "common/command_line.hpp"
#include "common/homework.hpp"
#include "common/pictures.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace {

using namespace bantam;

struct Options {
    std::filesystem::path data;
    std::filesystem::path teacher;
    std::filesystem::path output;
    std::int64_t views = 8;
    std::uint64_t view_seed = 1;
    int stored_size = 144;
    int threads = processor_count();
};

/// A picture store together with what the report says of it.
struct Part {
    const PictureStore* store;
    const std::vector<int>* labels;  // null where there are none
    const char* name;
};

/// The teacher's answers to view 0 of labelled pictures.
struct Score {
    double accuracy;
    double top_probability;
    double cross_entropy;
};

Score score(const TeacherLogits& result, std::int64_t first_row, const std::vector<int>& labels) {
    Score total{0, 0, 0};
    const std::int64_t classes = result.class_count();
    std::vector<double> log_probabilities(static_cast<std::size_t>(classes));
    for (std::size_t i = 0; i < labels.size(); ++i) {
        const float* row = result.view_logits(first_row + static_cast<std::int64_t>(i), 0);
        log_softmax(1.0, std::ssize(log_probabilities), row, log_probabilities.data());
        const auto best = std::max_element(log_probabilities.begin(), log_probabilities.end());
        total.accuracy += best - log_probabilities.begin() == labels[i] ? 1 : 0;
        total.top_probability += std::exp(*best);
        total.cross_entropy -= log_probabilities[static_cast<std::size_t>(labels[i])];
    }
    const double count = static_cast<double>(labels.size());
    return {total.accuracy / count, total.top_probability / count, total.cross_entropy / count};
}

template <class Teacher>
void run(const Options& options, SafetensorsFile& weights, const HomeworkFolders& folders) {
    constexpr Shape input = input_shape<Teacher>;
    cpu::Model<Teacher> model{options.threads};
    read_network<Teacher>(weights, model.parameters(), model.statistics());
    model.prepare();

    const PictureOptions reading{.stored_size = options.stored_size, .threads = options.threads, .hash_files = true};
    const LabeledPictures training = load_with_report(options.data, folders.training, reading, "labelled");
    const UnlabeledPictures unlabeled = load_with_report(options.data, folders.unlabeled, reading, "unlabelled");
    const LabeledPictures validation = load_with_report(options.data, folders.validation, reading, "validation");
    const Part parts[] = {{&training.store, &training.labels, "labelled"},
                          {&unlabeled.store, nullptr, "unlabelled"},
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
    for (const Part& part : parts)
        for (std::size_t i = 0; i < part.store->size(); ++i) {
            pictures.push_back(part.store->pixels(i));
            result.paths.push_back(part.store->paths()[i]);
            result.hashes.push_back(part.store->hashes()[i]);
        }
    const auto images = static_cast<std::int64_t>(pictures.size());
    for (std::int64_t image = 0; image < images; ++image)
        for (std::int64_t view = 0; view < options.views; ++view) {
            Random random{options.view_seed, static_cast<std::uint64_t>(image * 1024 + view)};
            result.views.push_back(view == 0 ? whole_view() : random_view(random));
        }

    const std::int64_t total = images * options.views;
    result.logits.resize(static_cast<std::size_t>(total * result.class_count()));
    const ColourTransform colours = compose(byte_colours(), normalise(result.preprocessing.normalisation));
    const std::int64_t batch = 16 * options.threads;
    std::vector<float> pixels(static_cast<std::size_t>(batch * element_count(input)));
    WorkProgress progress{"views", total, stderr};
    for (std::int64_t first = 0; first < total; first += batch) {
        const std::int64_t count = std::min(batch, total - first);
        cpu::detail::parallel_for(count, options.threads, [&](std::int64_t i, int) {
            const std::int64_t index = first + i;
            cut_view(pictures[static_cast<std::size_t>(index / options.views)], options.stored_size,
                     result.views[static_cast<std::size_t>(index)], input, pixels.data() + i * element_count(input),
                     colours);
        });
        model.infer(pixels.data(), count, result.logits.data() + first * result.class_count());
        progress.update(first + count);
    }
    write_teacher_logits(options.output, result);

    std::int64_t row = 0;
    for (const Part& part : parts) {
        if (part.labels && !part.labels->empty()) {
            const Score figures = score(result, row, *part.labels);
            fmt::print("{} accuracy: {:.4f}\n", part.name, figures.accuracy);
            fmt::print("{} mean top probability: {:.4f}\n", part.name, figures.top_probability);
            fmt::print("{} cross-entropy: {:.4f}\n", part.name, figures.cross_entropy);
        }
        row += static_cast<std::int64_t>(part.store->size());
    }
    fmt::print("parameters: {}\n", parameter_count<Teacher>);
    fmt::print("pictures: {}\nviews: {}\nlogits: {}\n", images, options.views, options.output.string());
}

/// A teacher this program can run: an architecture at a picture size with a number of classes.
struct Architecture {
    std::string name;
    std::int64_t classes;
    std::function<void(const Options&, SafetensorsFile&, const HomeworkFolders&)> run;
};

template <template <int, int> class Teacher, int Size, int... Classes>
void add_architectures(std::vector<Architecture>& list, const char* name) {
    (list.push_back({name, Classes, run<Teacher<Classes, Size>>}), ...);
}

}  // namespace

int main(int argc, char** argv) {
    Options options;
    std::string architecture;
    CommandLine line{"Stores a teacher's logits for every training and validation picture"};
    line.option("--data", options.data, "Folder with training/ and validation/").required();
    line.option("--teacher", options.teacher, "Teacher weights, safetensors (see convert_teacher.py)").required();
    line.option("--output", options.output, "Logits file to write, safetensors").required();
    line.option("--architecture", architecture, "resnet18 or sample-teacher; by default what the weights' tensors tell");
    line.option("--views", options.views, "Views of each picture; view 0 is the whole picture").between(1, 1024);
    line.option("--view-seed", options.view_seed, "Seed of the views");
    line.option("--stored-size", options.stored_size, "Side of the pictures in memory, in pixels").between(8, 4096);
    line.option("--threads", options.threads, "Threads").between(1, 1024);
    return line.run(argc, argv, [&] {
        refuse_testing_folder(options.data);
        // A place that cannot be written to is found out now, not after the teacher's work.
        AtomicFile{options.output};
        SafetensorsFile weights = SafetensorsFile::open(options.teacher);
        const HomeworkFolders folders = open_homework(options.data);
        if (architecture.empty())
            architecture = weights.contains("layer1.0.conv1.weight") ? "resnet18" : "sample-teacher";
        std::vector<Architecture> known;
        add_architectures<ResNet18, 128, 10, 11>(known, "resnet18");
        add_architectures<SampleTeacher, 48, 11>(known, "sample-teacher");
        const auto classes = static_cast<std::int64_t>(folders.classes.size());
        for (const Architecture& candidate : known)
            if (candidate.name == architecture && candidate.classes == classes) {
                candidate.run(options, weights, folders);
                return;
            }
        throw Error{fmt::format("{}: no teacher '{}' with {} classes is built in; use convert_teacher.py --logits, "
                                "or add it to the list in precompute_logits.cpp",
                                options.data.string(), architecture, classes)};
    });
}
