// SPDX-License-Identifier: MIT
#include "pictures.hpp"

#include <bantam/base/error.hpp>
#include <bantam/base/index.hpp>
#include <bantam/base/printable.hpp>
#include <bantam/data/picture_cache.hpp>
#include <bantam/train/progress.hpp>

#include "command_line.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <optional>
#include <utility>

namespace bantam {

WorkProgress::WorkProgress(std::string what, Index total, Index done_before)
    : what_{std::move(what)}, total_{total}, done_before_{done_before}, in_place_{is_terminal(stderr)} {}

void WorkProgress::update(Index done) {
    const auto now = Clock::now();
    const double elapsed = std::chrono::duration<double>(now - start_).count();
    if (done < total_ && std::chrono::duration<double>(now - shown_).count() < (in_place_ ? 0.1 : 10.0)) return;
    shown_ = now;
    const double rate = static_cast<double>(done - done_before_) / std::max(elapsed, 1e-9);
    print_message(fmt::format("{}{} {} of {}  {:.0f}/s  ETA {}{}", in_place_ ? "\r" : "", what_, done, total_, rate,
                              readable_duration(static_cast<double>(total_ - done) / std::max(rate, 1e-9)),
                              in_place_ && done < total_ ? "\x1b[K" : "\n"));
}

namespace {

/// Calls `read(options)` with options that show its progress on stderr.
template <class Read>
auto with_progress(PictureOptions options, const char* what, const Read& read) {
    std::optional<WorkProgress> progress;
    std::size_t told = 0;
    options.progress = [&](std::size_t done, std::size_t all) {
        if (done == std::exchange(told, done)) return;
        if (!progress) progress.emplace(what, static_cast<Index>(all));
        progress->update(static_cast<Index>(done));
    };
    return read(options);
}

template <class Split>
auto load(const std::filesystem::path& root, const Split& split, const PictureOptions& options, const char* what) {
    return with_progress(options, what,
                         [&](const PictureOptions& showing) { return load_pictures(root, split, showing); });
}

void warn_of_bad_pictures(const PictureReport& report, const char* what) {
    if (const std::string problems = report.text(); !problems.empty())
        print_message(fmt::format("warning: {}: {}\n", what, printable(problems, 4000)));
}

void refuse_bad_pictures(const std::filesystem::path& root, const PictureReport& report, const char* what) {
    if (report.bad() == 0) return;
    for (const auto& [path, problem] : report.named)
        print_message(fmt::format("{}: {} {}\n", what, printable(path), picture_problem_text(problem)));
    throw Error{
        fmt::format("{}: {} of {} {} pictures cannot be used (named above), so there would be no predictions; "
                    "replace or remove them and run the command again",
                    root.string(), report.bad(), report.files, what)};
}

}  // namespace

std::shared_ptr<const PictureCache> open_cache_with_report(const std::filesystem::path& file,
                                                           const HomeworkFolders& folders,
                                                           const PictureOptions& options, bool verify) {
    if (file.empty()) {
        if (verify) throw Error{"--verify-cache verifies the file of --cache; name one, or leave it out"};
        return nullptr;
    }
    const PictureCacheOptions how{.verify = verify, .on_wait = [&](const std::string& owner) {
                                      print_message(fmt::format("waiting for {}, which writes {}\n", printable(owner),
                                                                printable(file.string(), 4000)));
                                  }};
    return with_progress(options, "decoding", [&](const PictureOptions& showing) {
        return open_picture_cache(file, folders, showing, how);
    });
}

LabeledPictures load_with_report(const std::filesystem::path& root, const LabeledSplit& split,
                                 const PictureOptions& options, const char* what) {
    LabeledPictures pictures = load(root, split, options, what);
    warn_of_bad_pictures(pictures.store.report(), what);
    if (pictures.store.size() == 0)
        throw Error{fmt::format("{}: none of the {} {} pictures can be used; is the data set complete?", root.string(),
                                split.paths.size(), what)};
    return pictures;
}
UnlabeledPictures load_with_report(const std::filesystem::path& root, const UnlabeledSplit& split,
                                   const PictureOptions& options, const char* what) {
    UnlabeledPictures pictures = load(root, split, options, what);
    warn_of_bad_pictures(pictures.store.report(), what);
    return pictures;
}
TestPictures load_with_report(const std::filesystem::path& root, const TestSplit& split, const PictureOptions& options,
                              const char* what) {
    TestPictures pictures = load(root, split, options, what);
    refuse_bad_pictures(root, pictures.store.report(), what);
    return pictures;
}

void check_with_report(const std::filesystem::path& root, const TestSplit& split, const PictureOptions& options,
                       const char* what) {
    refuse_bad_pictures(
        root,
        with_progress(options, what,
                      [&](const PictureOptions& showing) { return check_pictures(root, split, showing); }),
        what);
}

}  // namespace bantam
