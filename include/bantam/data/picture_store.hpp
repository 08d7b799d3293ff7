// SPDX-License-Identifier: MIT
// Needs stb_image and xxhash (through data/picture.hpp and io/hash.hpp) and threads.
#pragma once

#include <bantam/base/error.hpp>
#include <bantam/base/index.hpp>
#include <bantam/base/parallel_for.hpp>
#include <bantam/base/picture_count.hpp>
#include <bantam/data/folders.hpp>
#include <bantam/data/picture.hpp>
#include <bantam/data/resize.hpp>
#include <bantam/io/hash.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace bantam {

/// How picture files are read.
struct PictureOptions {
    int stored_size = 144;
    int threads = 1;
    /// Throw at the first bad picture instead of leaving it out.
    bool strict = false;
    /// Keep an XXH64 of each file's bytes, which matching with teacher logits needs.
    bool hash_files = false;
    PictureLimits limits{};
    /// Called on the calling thread with the number of files done and the number of all files.
    std::function<void(std::size_t, std::size_t)> progress{};
};

/// The outcome of reading a list of picture files.
struct PictureReport {
    static constexpr std::size_t named_limit = 10;

    std::size_t files = 0;
    std::array<std::size_t, picture_problem_count> counts{};
    /// The bad files in list order.
    std::vector<std::pair<std::string, PictureProblem>> named;

    std::size_t good() const { return counts[static_cast<std::size_t>(PictureProblem::none)]; }
    std::size_t bad() const { return files - good(); }

    /// Empty without bad files, else e.g. "2 of 9 pictures left out: 1 is empty, 1 is truncated
    /// (training/0_1.jpg is empty; training/0_7.jpg is truncated)", which names at most `named_limit` files.
    std::string text() const {
        if (bad() == 0) return {};
        std::string text = std::to_string(bad()) + " of " + std::to_string(files) + " pictures left out: ";
        const char* separator = "";
        for (std::size_t problem = 1; problem < counts.size(); ++problem) {
            if (counts[problem] == 0) continue;
            text += separator + std::to_string(counts[problem]) + ' ';
            text += picture_problem_text(static_cast<PictureProblem>(problem));
            separator = ", ";
        }
        separator = " (";
        for (std::size_t index = 0; index < std::min(named.size(), named_limit); ++index) {
            const auto& [path, problem] = named[index];
            text += separator + path + ' ';
            text += picture_problem_text(problem);
            separator = "; ";
        }
        return text + (named_limit < bad() ? "; …)" : ")");
    }
};

namespace detail {

/// Reads and decodes `paths` (relative to `root`) with `options.threads` threads; calls
/// `use(index, bytes, picture)` for each sound file, in any order. Returns what is wrong with each file.
template <class Use>
std::vector<PictureProblem> decode_files(const std::filesystem::path& root, const std::vector<std::string>& paths,
                                         const PictureOptions& options, const Use& use) {
    const std::size_t count = paths.size();
    std::vector<PictureProblem> problems(count);
    // Of each thread; the memory is used for the next picture again.
    struct Scratch {
        std::vector<std::uint8_t> bytes;
        Picture picture;
    };
    const auto decode_one = [&](std::size_t index, Scratch& scratch) {
        problems[index] = read_picture_file(root / paths[index], scratch.bytes, options.limits);
        if (problems[index] != PictureProblem::none) return;
        problems[index] = decode_picture(std::span<const std::uint8_t>{scratch.bytes}, options.limits, scratch.picture);
        if (problems[index] == PictureProblem::none) use(index, scratch.bytes, scratch.picture);
    };

    std::atomic<std::size_t> done{0};
    const int threads = std::max(options.threads, 1);
    std::vector<Scratch> scratch(static_cast<std::size_t>(threads));
    parallel_for(static_cast<Index>(count), threads, [&](Index index, int thread) {
        decode_one(static_cast<std::size_t>(index), scratch[static_cast<std::size_t>(thread)]);
        const std::size_t finished = ++done;
        // Thread 0 is the calling one.
        if (thread == 0 && options.progress) options.progress(finished, count);
    });
    if (options.progress) options.progress(count, count);
    return problems;
}

inline PictureReport picture_report(const std::vector<std::string>& paths,
                                    const std::vector<PictureProblem>& problems) {
    PictureReport report;
    report.files = paths.size();
    for (std::size_t index = 0; index < paths.size(); ++index) {
        ++report.counts[static_cast<std::size_t>(problems[index])];
        if (problems[index] != PictureProblem::none) report.named.emplace_back(paths[index], problems[index]);
    }
    return report;
}

}  // namespace detail

/// Decoded pictures in memory: 8-bit RGB, [picture][stored_size][stored_size][3], in the order of
/// their files. Bad files are left out; `source_index` gives the position of a picture's file in the list.
class PictureStore {
public:
    PictureStore() = default;

    /// Reads and decodes `paths` (relative to `root`) with `options.threads` threads; the result
    /// does not depend on their number. In strict mode throws Error naming the first bad file.
    PictureStore(const std::filesystem::path& root, const std::vector<std::string>& paths,
                 const PictureOptions& options);

    /// Pictures that are no files: 8-bit RGB, [picture][height][width][3]. They are copied, resized to
    /// `options.stored_size` squared, and named "0", "1", …. Throws Error where the last one is not whole.
    static PictureStore from_memory(std::span<const std::uint8_t> pixels, int height, int width,
                                    const PictureOptions& options);

    std::size_t size() const { return paths_.size(); }
    int stored_size() const { return stored_size_; }
    std::size_t picture_bytes() const {
        return std::size_t{3} * static_cast<std::size_t>(stored_size_) * static_cast<std::size_t>(stored_size_);
    }
    const std::uint8_t* pixels(std::size_t index) const { return pixels_.get() + index * picture_bytes(); }
    const std::vector<std::string>& paths() const { return paths_; }
    /// One for each picture, or none if they were not asked for.
    const std::vector<std::string>& hashes() const { return hashes_; }
    std::size_t source_index(std::size_t index) const { return sources_[index]; }
    const PictureReport& report() const { return report_; }

private:
    /// Memory for `count` pictures; `from` names them in errors.
    void allocate(std::size_t count, int stored_size, const std::string& from);

    int stored_size_ = 0;
    std::unique_ptr<std::uint8_t[]> pixels_;
    std::vector<std::string> paths_;
    std::vector<std::string> hashes_;
    std::vector<std::size_t> sources_;
    PictureReport report_;
};

/// Decoded pictures with their labels.
struct LabeledPictures {
    PictureStore store;
    std::vector<int> labels;  ///< of each picture of the store
};

namespace detail {

inline void require_labels(const LabeledPictures& pictures) {
    if (pictures.labels.size() != pictures.store.size())
        throw Error{"there are " + std::to_string(pictures.labels.size()) + " labels for " +
                    std::to_string(pictures.store.size()) + " pictures; give one label per picture"};
}

}  // namespace detail

/// Decoded training pictures without labels.
struct UnlabeledPictures {
    PictureStore store;
};

/// Decoded testing pictures, for prediction only.
struct TestPictures {
    PictureStore store;
};

inline LabeledPictures load_pictures(const std::filesystem::path& root, const LabeledSplit& split,
                                     const PictureOptions& options) {
    LabeledPictures pictures{PictureStore{root, split.paths, options}, {}};
    for (std::size_t index = 0; index < pictures.store.size(); ++index)
        pictures.labels.push_back(split.labels[pictures.store.source_index(index)]);
    return pictures;
}

inline UnlabeledPictures load_pictures(const std::filesystem::path& root, const UnlabeledSplit& split,
                                       const PictureOptions& options) {
    return {PictureStore{root, split.paths, options}};
}

inline TestPictures load_pictures(const std::filesystem::path& root, const TestSplit& split,
                                  const PictureOptions& options) {
    return {PictureStore{root, split.paths(), options}};
}

/// Decodes the testing pictures and keeps none of them: what is wrong with them, before a training run whose end
/// needs them all. Of the options it takes `threads`, `limits` and `progress`.
inline PictureReport check_pictures(const std::filesystem::path& root, const TestSplit& split,
                                    const PictureOptions& options) {
    return detail::picture_report(split.paths(),
                                  detail::decode_files(root, split.paths(), options, [](const auto&...) {}));
}

inline void PictureStore::allocate(std::size_t count, int stored_size, const std::string& from) {
    stored_size_ = stored_size;
    if (stored_size_ < 1 || stored_size_ > 4096)
        throw Error{"stored picture size " + std::to_string(stored_size_) + " is out of range; choose 1 to 4096"};
    try {
        pixels_ = std::make_unique_for_overwrite<std::uint8_t[]>(count * picture_bytes());
    } catch (const std::bad_alloc&) {
        throw Error{from + ": " + std::to_string(count) + " pictures of " + std::to_string(stored_size_) + "x" +
                    std::to_string(stored_size_) + " pixels do not fit into memory; choose a smaller stored size"};
    }
}

inline PictureStore PictureStore::from_memory(std::span<const std::uint8_t> pixels, int height, int width,
                                              const PictureOptions& options) {
    if (height < 1 || width < 1)
        throw Error{"pictures in memory of " + std::to_string(height) + "x" + std::to_string(width) +
                    " have no pixels; name their height and width"};
    const auto count = static_cast<std::size_t>(picture_count(pixels.size(), height, width, 3));
    PictureStore store;
    store.allocate(count, options.stored_size, "memory");
    const std::size_t bytes = count == 0 ? 0 : pixels.size() / count;
    for (std::size_t index = 0; index < count; ++index) {
        const std::uint8_t* const from = pixels.data() + index * bytes;
        resize_rgb(from, height, width, store.pixels_.get() + index * store.picture_bytes(), options.stored_size,
                   options.stored_size);
        if (options.hash_files) store.hashes_.push_back(hash_bytes(from, bytes));
        store.paths_.push_back(std::to_string(index));
        store.sources_.push_back(index);
    }
    store.report_.files = count;
    store.report_.counts[static_cast<std::size_t>(PictureProblem::none)] = count;
    return store;
}

inline PictureStore::PictureStore(const std::filesystem::path& root, const std::vector<std::string>& paths,
                                  const PictureOptions& options) {
    const std::size_t count = paths.size();
    allocate(count, options.stored_size, root.string());
    if (options.hash_files) hashes_.resize(count);
    const std::vector<PictureProblem> problems = detail::decode_files(
        root, paths, options, [&](std::size_t index, const std::vector<std::uint8_t>& bytes, const Picture& picture) {
            if (options.hash_files) hashes_[index] = hash_bytes(bytes.data(), bytes.size());
            resize_rgb(picture.rgb.data(), picture.height, picture.width, pixels_.get() + index * picture_bytes(),
                       stored_size_, stored_size_);
        });

    report_ = detail::picture_report(paths, problems);
    if (options.strict && report_.bad() > 0)
        throw Error{(root / report_.named.front().first).string() + ": " +
                    std::string{picture_problem_text(report_.named.front().second)} + "; replace or remove the file"};
    std::size_t kept = 0;
    for (std::size_t index = 0; index < count; ++index) {
        if (problems[index] != PictureProblem::none) continue;
        if (kept != index) {
            std::memcpy(pixels_.get() + kept * picture_bytes(), pixels_.get() + index * picture_bytes(),
                        picture_bytes());
            if (options.hash_files) hashes_[kept] = std::move(hashes_[index]);
        }
        paths_.push_back(paths[index]);
        sources_.push_back(index);
        ++kept;
    }
    if (options.hash_files) hashes_.resize(kept);
}

}  // namespace bantam
