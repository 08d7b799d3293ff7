// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/data/folders.hpp>
#include <bantam/data/picture_store.hpp>

#include <chrono>
#include <filesystem>
#include <memory>
#include <string>

namespace bantam {

/// The progress on stderr of work that is not training: "views 1200 of 9000  85/s  ETA 1:32", rewritten in place on
/// a terminal, a plain line every ten seconds elsewhere.
class WorkProgress {
public:
    /// `done_before` of them were done in an earlier run, which says nothing about the speed of this one.
    WorkProgress(std::string what, Index total, Index done_before = 0);
    void update(Index done);

private:
    using Clock = std::chrono::steady_clock;
    std::string what_;
    Index total_;
    Index done_before_;
    bool in_place_;
    Clock::time_point start_ = Clock::now();
    Clock::time_point shown_ = start_;
};

/// `open_picture_cache` with its progress on stderr; null where no file is named.
std::shared_ptr<const PictureCache> open_cache_with_report(const std::filesystem::path& file,
                                                           const HomeworkFolders& folders,
                                                           const PictureOptions& options, bool verify);

/// Loads one split with its progress on stderr and reports how many pictures could not be read. Throws Error
/// where no labeled picture is left, or where a testing picture is bad: a row for it would be made up. Of the testing
/// pictures every bad one is named.
LabeledPictures load_with_report(const std::filesystem::path& root, const LabeledSplit& split,
                                 const PictureOptions& options, const char* what);
UnlabeledPictures load_with_report(const std::filesystem::path& root, const UnlabeledSplit& split,
                                   const PictureOptions& options, const char* what);
TestPictures load_with_report(const std::filesystem::path& root, const TestSplit& split, const PictureOptions& options,
                              const char* what);

/// Throws Error where a testing picture is bad, after naming every bad one, and keeps no pixel: for the beginning of
/// work that needs them at its end.
void check_with_report(const std::filesystem::path& root, const TestSplit& split, const PictureOptions& options,
                       const char* what);

}  // namespace bantam
