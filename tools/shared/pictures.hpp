// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/data/picture_store.hpp>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <string>

namespace bantam {

/// A running count of work that has no loss: "views 1200 of 9000  85/s  ETA 1:32", rewritten in place on
/// a terminal, a plain line every ten seconds elsewhere.
class WorkProgress {
public:
    WorkProgress(std::string what, std::int64_t total, std::FILE* stream);
    void update(std::int64_t done);

private:
    using Clock = std::chrono::steady_clock;
    std::string what_;
    std::int64_t total_;
    std::FILE* stream_;
    bool in_place_;
    Clock::time_point start_ = Clock::now();
    Clock::time_point shown_ = start_;
};

/// Loads one split, shows how far it is, and says how many pictures could not be read. Throws Error
/// where no labeled picture is left.
LabeledPictures load_with_report(const std::filesystem::path& root, const LabeledSplit& split,
                                 const PictureOptions& options, const char* what);
UnlabeledPictures load_with_report(const std::filesystem::path& root, const UnlabeledSplit& split,
                                   const PictureOptions& options, const char* what);
TestPictures load_with_report(const std::filesystem::path& root, const TestSplit& split, const PictureOptions& options,
                              const char* what);

}  // namespace bantam
