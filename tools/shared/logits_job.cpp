// SPDX-License-Identifier: MIT
#include "logits_job.hpp"

#include <bantam/base/error.hpp>
#include <bantam/base/float16.hpp>
#include <bantam/base/printable.hpp>
#include <bantam/base/random.hpp>
#include <bantam/data/assemble_batch.hpp>
#include <bantam/data/color.hpp>
#include <bantam/data/expected_pictures.hpp>
#include <bantam/data/picture_store.hpp>
#include <bantam/data/stored_view.hpp>
#include <bantam/io/atomic_file.hpp>
#include <bantam/io/hash.hpp>
#include <bantam/io/safetensors.hpp>
#include <bantam/train/losses.hpp>

#include "homework.hpp"
#include "pictures.hpp"
#include "stop_signal.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <functional>
#include <iterator>
#include <optional>
#include <set>
#include <system_error>
#include <tuple>
#include <utility>

namespace precompute_logits {
namespace {

constexpr const char* part_format = "bantam-teacher-logits-part/1";
/// Random streams of each picture. Views count from the first one, mixed views from the last.
constexpr Index streams_per_picture = 1024;

struct Pictures {
    LabeledPictures labeled;
    UnlabeledPictures unlabeled;
    LabeledPictures validation;

    Pictures(const Options& options, const HomeworkFolders& folders) {
        PictureOptions reading{.stored_size = options.stored_size, .threads = options.threads, .hash_files = true};
        HomeworkFolders used = folders;
        used.testing = {};
        reading.cache = open_cache_with_report(options.cache, used, reading, options.verify_cache);
        labeled = load_with_report(options.data, folders.training, reading, "labeled");
        unlabeled = load_with_report(options.data, folders.unlabeled, reading, "unlabeled");
        validation = load_with_report(options.data, folders.validation, reading, "validation");
    }

    Index training_count() const { return static_cast<Index>(labeled.store.size() + unlabeled.store.size()); }
    std::vector<const std::uint8_t*> pixels() const {
        std::vector<const std::uint8_t*> all;
        for (const PictureStore* store : {&labeled.store, &unlabeled.store, &validation.store})
            for (std::size_t i = 0; i < store->size(); ++i) all.push_back(store->pixels(i));
        return all;
    }
};

template <std::size_t Size>
void append(std::vector<Float16>& to, const std::array<float, Size>& values) {
    for (const float value : values) to.push_back(Float16{value});
}

/// Images [first, end) of the file; part `index` of `count`, counted from 1.
struct Shard {
    Index index = 1;
    Index count = 1;

    Index first(Index images) const { return images * (index - 1) / count; }
    Index end(Index images) const { return images * index / count; }
    std::string text() const { return fmt::format("{}/{}", index, count); }
};

std::optional<Shard> read_shard(const std::string& text) {
    Shard shard;
    const char* const end = text.data() + text.size();
    const auto index = std::from_chars(text.data(), end, shard.index);
    if (index.ec != std::errc{} || index.ptr == end || *index.ptr != '/') return {};
    const auto count = std::from_chars(index.ptr + 1, end, shard.count);
    if (count.ec != std::errc{} || count.ptr != end) return {};
    if (shard.index < 1 || shard.index > shard.count || shard.count > 10'000) return {};
    return shard;
}

std::filesystem::path part_path(const std::filesystem::path& output, const Shard& shard) {
    std::filesystem::path path = output;
    path += fmt::format(".part-{}-of-{}", shard.index, shard.count);
    return path;
}

/// All of the file but its logits.
TeacherLogits draw_views(const Options& options, const HomeworkFolders& folders, const Pictures& pictures,
                         const TeacherOnDevice& teacher, const TeacherOnDevice* larger) {
    TeacherLogits file;
    ExpectedPictures expected =
        expected_pictures(pictures.labeled, pictures.unlabeled, pictures.validation, folders.classes);
    file.paths = std::move(expected.paths);
    file.hashes = std::move(expected.hashes);
    file.classes = std::move(expected.classes);
    file.view_count = options.views + options.mixed;
    file.mixed_count = options.mixed;
    file.preprocessing.stored_size = options.stored_size;
    file.preprocessing.input_height = static_cast<int>(teacher.input().height);
    file.preprocessing.input_width = static_cast<int>(teacher.input().width);
    file.teacher = hash_file(options.teacher);
    file.teacher_name = options.teacher.filename().string();
    file.view_seed = options.view_seed;
    if (larger != nullptr) file.average_input = static_cast<int>(larger->input().height);

    StoredViewOptions ranges;
    ranges.box.min_area = static_cast<float>(options.min_area);
    const auto color = static_cast<float>(options.color);
    ranges.color = {color, color, color};
    file.view_ranges = fmt::format("area {:g} to 1, color {:g}", options.min_area, options.color);
    if (options.mixed > 0) file.view_ranges += ", mixup and CutMix of uniform share";

    std::vector<Float16> views, mixes;
    const Index training = pictures.training_count();
    for (Index image = 0; image < file.image_count(); ++image) {
        const auto stream = [&](Index number) {
            return Random{options.view_seed, static_cast<std::uint64_t>(image * streams_per_picture + number)};
        };
        for (Index view = 0; view < options.views; ++view) {
            Random random = stream(view);
            append(views, values_of(view == 0 ? StoredView{} : random_stored_view(random, ranges)));
        }
        for (Index number = 0; number < options.mixed; ++number) {
            Random random = stream(streams_per_picture - 1 - number);
            // Another one of the training pictures: what is learned from shows no validation picture.
            const Index others = image < training ? training - 1 : training;
            auto partner = static_cast<Index>(random.below(static_cast<std::uint64_t>(others)));
            if (image < training && partner >= image) ++partner;
            file.partners.push_back(static_cast<std::int32_t>(partner));
            append(views, values_of(random_stored_view(random, ranges)));
            const StoredView second = random_stored_view(random, ranges);
            append(mixes, values_of(second, random_mix(random)));
        }
    }
    file.views = std::move(views);
    file.mixes = std::move(mixes);
    return file;
}

SamplePlan mirrored(SamplePlan plan) {
    plan.view.flipped = !plan.view.flipped;
    plan.second.view.flipped = !plan.second.view.flipped;
    plan.second.mix.left = 1 - plan.second.mix.left - plan.second.mix.width;
    return plan;
}

/// The teacher's answers to rows of a file: to the view itself, or the mean of those to the view, the mirrored view and
/// the view at a larger size. The mean of logits and that of log-probabilities are the same probabilities.
class Answers {
public:
    Answers(const TeacherLogits& file, TeacherOnDevice& teacher, TeacherOnDevice* larger)
        : file_{file}, teacher_{teacher}, larger_{larger} {}

    Index batch() const { return larger_ == nullptr ? teacher_.batch() : std::min(teacher_.batch(), larger_->batch()); }

    /// [row][class], valid until the next call.
    std::span<const float> operator()(std::span<const Index> rows) {
        plans_.clear();
        for (const Index row : rows)
            plans_.push_back(stored_plan(file_, row, file_.preprocessing.normalization, std::identity{}));
        const std::size_t size = rows.size() * file_.classes.size();
        sums_.resize(size);
        teacher_.infer(plans_, sums_.data());
        if (larger_ != nullptr) {
            more_.resize(size);
            larger_->infer(plans_, more_.data());
            for (std::size_t i = 0; i < size; ++i) sums_[i] += more_[i];
            for (SamplePlan& plan : plans_) plan = mirrored(plan);
            teacher_.infer(plans_, more_.data());
            for (std::size_t i = 0; i < size; ++i) sums_[i] = (sums_[i] + more_[i]) / 3;
        }
        return {sums_.data(), sums_.size()};
    }

private:
    const TeacherLogits& file_;
    TeacherOnDevice& teacher_;
    TeacherOnDevice* larger_;
    std::vector<SamplePlan> plans_;
    std::vector<float> sums_, more_;
};

/// Some images' part of a logits file, with the logits of its first rows. Its file has all metadata of the whole one.
struct Part {
    Metadata metadata;  // without the shard
    Shard shard;
    Index view_count = 0;
    Index mixed_count = 0;
    Index classes = 0;
    std::vector<Float16> views, mixes;
    std::vector<std::int32_t> partners;
    std::vector<Float16> logits;  // of the rows that are done

    Index rows() const { return static_cast<Index>(views.size() / std::tuple_size_v<ViewValues>); }
    Index done() const { return static_cast<Index>(logits.size()) / classes; }
};

/// The part of `file` without logits. `arithmetic` names what computes them.
Part begin_part(const TeacherLogits& file, const Shard& shard, const std::string& arithmetic) {
    Part part;
    part.metadata = logits_metadata(file);
    part.metadata["format"] = part_format;
    part.metadata["arithmetic"] = arithmetic;
    part.shard = shard;
    part.view_count = file.view_count;
    part.mixed_count = file.mixed_count;
    part.classes = file.class_count();
    const Index images = file.image_count();
    const auto slice = [&](const auto& values, Index per_image, auto& to) {
        to.assign(values.begin() + shard.first(images) * per_image, values.begin() + shard.end(images) * per_image);
    };
    slice(file.views.halves(), file.view_count * Index{std::tuple_size_v<ViewValues>}, part.views);
    slice(file.mixes.halves(), file.mixed_count * Index{std::tuple_size_v<MixValues>}, part.mixes);
    slice(file.partners, file.mixed_count, part.partners);
    return part;
}

void write_part(const std::filesystem::path& path, const Part& part) {
    const auto images = part.rows() / part.view_count;
    const Index mixed = part.mixed_count;
    Metadata metadata = part.metadata;
    metadata["shard"] = part.shard.text();
    write_safetensors(path,
                      {TensorView{"logits", {part.done(), part.classes}, part.logits},
                       TensorView{"views", {images, part.view_count, std::tuple_size_v<ViewValues>}, part.views},
                       TensorView{"partners", {images, mixed}, part.partners},
                       TensorView{"mixes", {images, mixed, std::tuple_size_v<MixValues>}, part.mixes}},
                      metadata);
}

/// Throws Error naming the file where it is no sound part.
Part read_part(const std::filesystem::path& path) {
    SafetensorsFile file = SafetensorsFile::open(path);
    const auto refuse = [&](const std::string& what) {
        throw Error{path.string() + ": " + what + "; remove it and compute it again"};
    };
    if (const std::string& format = file.metadata("format"); format != part_format)
        throw Error{fmt::format("{}: has format '{}', expected '{}'; name parts that precompute_logits --shard wrote",
                                path.string(), printable(format), part_format)};
    TeacherLogits all;
    detail::read_logits_metadata(file, all);
    Part part;
    const std::optional<Shard> shard = read_shard(file.metadata("shard"));
    if (!shard) refuse("its metadata 'shard' is not as expected");
    part.shard = *shard;
    part.metadata = file.metadata();
    part.metadata.erase("shard");
    part.classes = all.class_count();
    const Index images = shard->end(all.image_count()) - shard->first(all.image_count());
    const auto shape = [&](const char* name, std::size_t size) {
        const std::vector<Index>& extents = file.entry(name).shape;
        if (extents.size() != size) refuse(fmt::format("tensor '{}' has another shape than expected", name));
        return extents;
    };
    part.view_count = shape("views", 3)[1];
    part.mixed_count = shape("mixes", 3)[1];
    const Index done = shape("logits", 2)[0];
    const bool fits = shape("logits", 2)[1] == part.classes && part.classes > 0 && part.view_count > 0 &&
                      shape("views", 3) == std::vector<Index>{images, part.view_count, std::tuple_size_v<ViewValues>} &&
                      shape("mixes", 3) == std::vector<Index>{images, part.mixed_count, std::tuple_size_v<MixValues>} &&
                      shape("partners", 2) == std::vector<Index>{images, part.mixed_count} &&
                      done <= images * part.view_count;
    if (!fits) refuse("its tensors do not fit together");
    part.views = file.tensor<Float16>("views");
    part.mixes = file.tensor<Float16>("mixes");
    part.partners = file.tensor<std::int32_t>("partners");
    part.logits = file.tensor<Float16>("logits");
    return part;
}

/// The first difference between two parts of one file apart from their images, empty without one.
std::string difference(const Part& part, const Part& expected) {
    std::set<std::string> keys;
    for (const Metadata* metadata : {&part.metadata, &expected.metadata})
        for (const auto& [key, value] : *metadata) keys.insert(key);
    for (const std::string& key : keys) {
        const auto found = part.metadata.find(key), other = expected.metadata.find(key);
        if (found != part.metadata.end() && other != expected.metadata.end() && found->second == other->second)
            continue;
        if (key == "paths" || key == "hashes") return "is of other pictures";
        const auto text = [&](const Part& of, const auto& place) {
            return place == of.metadata.end() ? "nothing" : "'" + printable(place->second, 60) + "'";
        };
        return fmt::format("has the {} {}, not {}", key, text(part, found), text(expected, other));
    }
    if (part.view_count != expected.view_count || part.mixed_count != expected.mixed_count)
        return fmt::format("has {} views of each picture with {} mixed among them, not {} with {}", part.view_count,
                           part.mixed_count, expected.view_count, expected.mixed_count);
    return {};
}

/// The whole file of its parts, in any order, which were read from `paths`. Throws Error naming a part that is missing,
/// twice there, of another file or unfinished.
TeacherLogits merged(const std::vector<std::filesystem::path>& paths, std::vector<Part> parts) {
    for (std::size_t index = 0; index < parts.size(); ++index) {
        const Part& part = parts[index];
        const std::string path = paths[index].string();
        std::string problem = difference(part, parts.front());
        if (problem.empty() && part.shard.count != parts.front().shard.count)
            problem = fmt::format("is part {}, not one of {}", part.shard.text(), parts.front().shard.count);
        if (!problem.empty())
            throw Error{
                fmt::format("{}: {} as in {}; merge the parts of one file", path, problem, paths.front().string())};
        if (part.done() < part.rows())
            throw Error{fmt::format("{}: is unfinished ({} of {} views); finish it with --shard {} --resume", path,
                                    part.done(), part.rows(), part.shard.text())};
        for (std::size_t other = 0; other < index; ++other)
            if (parts[other].shard.index == part.shard.index)
                throw Error{fmt::format("{}: is part {}, as {} is; name every part once", path, part.shard.text(),
                                        paths[other].string())};
    }
    std::ranges::sort(parts, {}, [](const Part& part) { return part.shard.index; });
    for (Index index = 1; index <= parts.front().shard.count; ++index)
        if (index > std::ssize(parts) || parts[static_cast<std::size_t>(index - 1)].shard.index != index)
            throw Error{fmt::format("{}: part {}/{} is missing; name all parts, or compute it with --shard {}/{}",
                                    paths.front().string(), index, parts.front().shard.count, index,
                                    parts.front().shard.count)};

    TeacherLogits file;
    detail::read_logits_metadata(SafetensorsFile::open(paths.front()), file);
    file.view_count = parts.front().view_count;
    file.mixed_count = parts.front().mixed_count;
    std::vector<Float16> views, mixes, logits;
    const auto append_all = [](auto& to, const auto& from) { to.insert(to.end(), from.begin(), from.end()); };
    for (const Part& part : parts) {
        append_all(views, part.views);
        append_all(mixes, part.mixes);
        append_all(logits, part.logits);
        append_all(file.partners, part.partners);
    }
    file.views = std::move(views);
    file.mixes = std::move(mixes);
    file.logits = std::move(logits);
    return file;
}

/// Computes the logits that `part` lacks, and saves it at `path` every 30 s and when stopped.
void finish_part(Part& part, const std::filesystem::path& path, Index first_row, Answers& answers) {
    const StopSignal signal;
    using Clock = std::chrono::steady_clock;
    constexpr std::chrono::seconds interval{30};
    Clock::time_point saved = Clock::now();
    WorkProgress progress{"views", part.rows(), part.done()};
    std::vector<Index> rows;
    while (part.done() < part.rows()) {
        const Index done = part.done(), count = std::min(answers.batch(), part.rows() - done);
        rows.clear();
        for (Index row = 0; row < count; ++row) rows.push_back(first_row + done + row);
        for (const float logit : answers({rows.data(), rows.size()})) part.logits.push_back(Float16{logit});
        progress.update(part.done());
        const bool finished = part.done() == part.rows();
        if (signal.received() || (!finished && Clock::now() - saved >= interval)) {
            write_part(path, part);
            saved = Clock::now();
        }
        if (signal.received())
            signal.stop(
                fmt::format("after {} of {} views, which are kept; to continue, run the same command with "
                            "--resume",
                            part.done(), part.rows()));
    }
}

/// Prints figures of the teacher's logits for view 0 of labeled pictures.
void print_score(const TeacherLogits& file, Index first_image, const std::vector<int>& labels, const char* name) {
    double right = 0, top_probability = 0, entropy = 0;
    std::vector<double> log_probabilities(file.classes.size());
    for (std::size_t i = 0; i < labels.size(); ++i) {
        const std::vector<float> row = file.row_logits((first_image + static_cast<Index>(i)) * file.view_count);
        log_softmax(1.0, std::ssize(row), row.data(), log_probabilities.data());
        const auto best = std::ranges::max_element(log_probabilities);
        right += best - log_probabilities.begin() == labels[i] ? 1 : 0;
        top_probability += std::exp(*best);
        entropy -= log_probabilities[static_cast<std::size_t>(labels[i])];
    }
    const auto count = static_cast<double>(labels.size());
    fmt::print("{} accuracy: {:.4f}\n", name, right / count);
    fmt::print("{} mean top probability: {:.4f}\n", name, top_probability / count);
    fmt::print("{} cross-entropy: {:.4f}\n", name, entropy / count);
}

void print_result(const TeacherLogits& file, const Options& options, const Pictures& pictures, Index parameters) {
    print_score(file, 0, pictures.labeled.labels, "labeled");
    print_score(file, pictures.training_count(), pictures.validation.labels, "validation");
    fmt::print("parameters: {}\n", parameters);
    fmt::print("pictures: {}\nviews: {}\n", file.image_count(), file.view_count - file.mixed_count);
    if (file.mixed_count > 0) fmt::print("mixed views: {}\n", file.mixed_count);
    fmt::print("logits: {}\n", options.output.string());
}

void verify_logits(const Options& options, const HomeworkFolders& folders, const Pictures& pictures,
                   TeacherOnDevice& teacher, TeacherOnDevice* larger) {
    const TeacherLogits file = load_teacher_logits(options.verify);
    match_teacher_logits(file, options.verify,
                         expected_pictures(pictures.labeled, pictures.unlabeled, pictures.validation, folders.classes));
    const auto refuse = [&](const std::string& what) { throw Error{options.verify.string() + ": " + what}; };
    if (const std::string hash = hash_file(options.teacher); file.teacher != hash)
        refuse(fmt::format("was made by another teacher ({}, hash {}; {} has {}); name that one",
                           printable(file.teacher_name), printable(file.teacher), options.teacher.string(), hash));
    const auto [height, width, channels] = teacher.input();
    if (file.preprocessing.input_height != height || file.preprocessing.input_width != width)
        refuse(fmt::format("its teacher saw {}x{}, this one takes {}x{}; verify it with the program that wrote it",
                           file.preprocessing.input_height, file.preprocessing.input_width, height, width));
    if (larger != nullptr && file.average_input != larger->input().height)
        refuse(fmt::format("averages answers at {}, this program those at {}; verify it with the program that wrote it",
                           file.average_input, larger->input().height));

    const Index total = file.image_count() * file.view_count;
    const Index count = std::max(total / 100, std::min<Index>(total, 100));
    Random random{options.verify_seed, 0};
    std::vector<Index> rows;
    for (Index i = 0; i < count; ++i) {
        const Index begin = i * total / count, end = (i + 1) * total / count;
        rows.push_back(begin + static_cast<Index>(random.below(static_cast<std::uint64_t>(end - begin))));
    }
    constexpr float bound = 0.02F;
    float largest = 0;
    Answers answers{file, teacher, larger};
    const StopSignal signal;
    WorkProgress progress{"views", count};
    for (Index first = 0; first < count; first += answers.batch()) {
        const auto some = std::span{rows}.subspan(static_cast<std::size_t>(first),
                                                  static_cast<std::size_t>(std::min(answers.batch(), count - first)));
        const std::span<const float> found = answers({some.data(), some.size()});
        for (std::size_t i = 0; i < some.size(); ++i) {
            const std::vector<float> stored = file.row_logits(some[i]);
            float scale = 1, difference = 0;
            for (std::size_t label = 0; label < stored.size(); ++label) {
                scale = std::max(scale, std::abs(stored[label]));
                difference = std::max(difference, std::abs(stored[label] - found[i * stored.size() + label]));
            }
            if (!(difference <= bound * scale))
                refuse(
                    fmt::format("disagrees with the teacher by {:.3g} of the largest logit, more than {:g}: {}; "
                                "create the file again",
                                difference / scale, bound, detail::place_of(file, some[i])));
            largest = std::max(largest, difference / scale);
        }
        progress.update(first + std::ssize(some));
        if (signal.received()) signal.stop("before the verification ended; start it again");
    }
    fmt::print(
        "{}: {} of {} views were computed again; the largest difference is {:.2g} of the largest logit, at most "
        "{:g} is allowed\n",
        options.verify.string(), count, total, largest, bound);
}

/// Merges the parts of `options.output` where all lie beside it, finished.
std::optional<TeacherLogits> merge_neighbors(const Options& options, Index count) {
    std::vector<std::filesystem::path> paths;
    std::vector<Part> parts;
    for (Index index = 1; index <= count; ++index) {
        paths.push_back(part_path(options.output, {index, count}));
        if (!std::filesystem::exists(paths.back())) return {};
        parts.push_back(read_part(paths.back()));
        if (parts.back().done() < parts.back().rows()) return {};
    }
    TeacherLogits file = merged(paths, std::move(parts));
    write_teacher_logits(options.output, file);
    return file;
}

}  // namespace

void check_options(const Options& options) {
    const bool merging = !options.merge.empty(), verifying = !options.verify.empty();
    if (merging && verifying) throw Error{"--merge and --verify exclude each other; leave out one of them"};
    const auto require = [](const std::filesystem::path& value, const char* name) {
        if (value.empty()) throw Error{fmt::format("{} is required; see --help", name)};
    };
    if (!merging) {
        require(options.data, "--data");
        require(options.teacher, "--teacher");
    }
    if (!verifying) require(options.output, "--output");
    if (!read_shard(options.shard))
        throw Error{
            fmt::format("--shard {}: is not I/N with I from 1 to N and N at most 10000; "
                        "the first of four is 1/4",
                        options.shard)};
    if (options.views + options.mixed > streams_per_picture)
        throw Error{fmt::format("--views {} and --mixed {} are more than {} views together; ask for fewer",
                                options.views, options.mixed, streams_per_picture)};
    if (!(options.min_area >= 0.01 && options.min_area <= 1))
        throw Error{fmt::format("--min-area is {:g}; it must be from 0.01 to 1", options.min_area)};
    if (!(options.color >= 0 && options.color <= 1))
        throw Error{fmt::format("--color is {:g}; it must be from 0 to 1", options.color)};
}

void share_among(Communicator& communicator, Options& options) {
    const Rank rank = communicator.rank();
    if (rank.count == 1) return;
    if (options.device.on_gpu())
        throw Error{
            "several ranks compute logits on the CPU alone; leave out --device cuda, or start the program without "
            "mpirun"};
    if (options.shard != "1/1")
        throw Error{"--shard names one part, and each rank computes one; leave it out, or start the program alone"};
    options.communicator = &communicator;
    options.shard = Shard{rank.index + 1, rank.count}.text();
}

void merge_logits(const Options& options) {
    for (const std::filesystem::path& part : options.merge) {
        std::error_code ignored;
        if (std::filesystem::equivalent(part, options.output, ignored))
            throw Error{options.output.string() + ": is also a part to merge; choose another output"};
    }
    std::vector<Part> parts;
    for (const std::filesystem::path& path : options.merge) parts.push_back(read_part(path));
    const TeacherLogits file = merged(options.merge, std::move(parts));
    write_teacher_logits(options.output, file);
    fmt::print("parts: {}\npictures: {}\nviews: {}\nlogits: {}\n", options.merge.size(), file.image_count(),
               file.view_count, options.output.string());
}

void store_logits(const Options& options, const HomeworkFolders& folders, TeacherOnDevice& teacher,
                  TeacherOnDevice* larger) {
    const Shard shard = *read_shard(options.shard);
    const std::filesystem::path path = part_path(options.output, shard);
    const bool begun = std::filesystem::exists(path);
    if (begun && !options.resume && options.verify.empty())
        throw Error{path.string() +
                    ": holds the views of an earlier run; continue it with --resume, or remove the file"};

    const Pictures pictures{options, folders};
    const std::vector<const std::uint8_t*> pixels = pictures.pixels();
    for (TeacherOnDevice* each : {&teacher, larger})
        if (each != nullptr) each->set_pictures(pixels, options.stored_size);
    if (!options.verify.empty()) return verify_logits(options, folders, pictures, teacher, larger);

    if (options.mixed > 0 && pictures.training_count() < 2)
        throw Error{options.data.string() + ": has a single training picture to mix; leave out --mixed"};
    TeacherLogits file = draw_views(options, folders, pictures, teacher, larger);
    const std::string arithmetic = options.device.device + " " + options.device.precision;
    Part part = begin_part(file, shard, arithmetic);
    if (begun) {
        Part stored = read_part(path);
        std::string problem = difference(stored, part);
        const auto same_bits = [](const std::vector<Float16>& a, const std::vector<Float16>& b) {
            return std::ranges::equal(a, b, {}, &Float16::bits, &Float16::bits);
        };
        if (problem.empty() && !(same_bits(stored.views, part.views) && same_bits(stored.mixes, part.mixes) &&
                                 stored.partners == part.partners))
            problem = "has views that are drawn in another way";
        if (!problem.empty())
            throw Error{fmt::format("{}: {}, so it cannot be continued; remove it or use the options of that run",
                                    path.string(), problem)};
        part.logits = std::move(stored.logits);
        print_message(fmt::format("continuing after {} of {} views\n", part.done(), part.rows()));
    }
    Answers answers{file, teacher, larger};
    finish_part(part, path, shard.first(file.image_count()) * file.view_count, answers);

    if (shard.count == 1) {
        file.logits = std::move(part.logits);
        write_teacher_logits(options.output, file);
        std::filesystem::remove(path);
        return print_result(file, options, pictures, teacher.parameters());
    }
    write_part(path, part);
    if (options.communicator != nullptr) {
        options.communicator->barrier();  // all parts are written
        if (!options.first_rank()) return;
        const std::optional<TeacherLogits> whole = merge_neighbors(options, shard.count);
        if (!whole)
            throw Error{
                options.output.string() +
                ": the first rank does not find the parts of the others beside it; choose an --output in a folder "
                "that all machines share"};
        for (Index index = 1; index <= shard.count; ++index)
            std::filesystem::remove(part_path(options.output, {index, shard.count}));
        return print_result(*whole, options, pictures, teacher.parameters());
    }
    fmt::print("part: {}\nviews: {}\nfile: {}\n", shard.text(), part.rows(), path.string());
    if (const std::optional<TeacherLogits> whole = merge_neighbors(options, shard.count)) {
        fmt::print("all {} parts are there and merged; they can be removed\n", shard.count);
        print_result(*whole, options, pictures, teacher.parameters());
    }
}

}  // namespace precompute_logits
