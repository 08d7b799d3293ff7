// SPDX-License-Identifier: MIT
// Needs stb_image (through data/picture.hpp) and threads.
#pragma once

#include <bantam/base/error.hpp>
#include <bantam/base/index.hpp>
#include <bantam/base/parallel_for.hpp>
#include <bantam/data/picture.hpp>
#include <bantam/data/picture_reader.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace bantam {

class Communicator;
class PictureCache;

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
    /// Takes the pictures from a cache file in place of their own files; null: none. See data/picture_cache.hpp.
    std::shared_ptr<const PictureCache> cache{};
    /// The ranks that read the same pictures, of which each decodes a part; null: this process reads them alone.
    Communicator* ranks = nullptr;
    /// Whether the ranks of one machine hold the pictures once.
    bool share_memory = true;
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

inline void require_stored_size(int stored_size) {
    if (stored_size < 1 || stored_size > 4096)
        throw Error{"stored picture size " + std::to_string(stored_size) + " is out of range; choose 1 to 4096"};
}

/// Reads and decodes `paths` (relative to `root`) with `options.threads` threads; calls
/// `use(index, bytes, picture)` for each sound file, in any order. Returns what is wrong with each file.
template <class Use>
std::vector<PictureProblem> decode_files(const std::filesystem::path& root, std::span<const std::string> paths,
                                         const PictureOptions& options, const Use& use) {
    const std::size_t count = paths.size();
    std::vector<PictureProblem> problems(count);
    // Of each thread; the memory is used for the next picture again.
    struct Scratch {
        PictureReader reader;
        std::vector<std::uint8_t> bytes;
        Picture picture;
    };
    const auto decode_one = [&](std::size_t index, Scratch& scratch) {
        problems[index] = scratch.reader.read(root / paths[index], scratch.bytes, options.limits);
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

}  // namespace bantam
