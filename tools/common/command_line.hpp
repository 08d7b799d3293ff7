// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/data/picture_store.hpp>
#include <bantam/train/progress.hpp>

#include <CLI/CLI.hpp>
#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <functional>
#include <new>
#include <optional>
#include <string>
#include <thread>
#include <utility>

namespace bantam {

/// The processors at hand, at least one.
inline int processor_count() { return std::max(1, static_cast<int>(std::thread::hardware_concurrency())); }

/// A program's main: parses the command line, runs `body`, and turns every failure into one line on
/// stderr and a non-zero exit.
inline int run_program(CLI::App& app, int argc, char** argv, const std::function<void()>& body) {
    try {
        app.parse(argc, argv);
        body();
        return 0;
    } catch (const CLI::ParseError& problem) {
        if (problem.get_exit_code() == 0) return app.exit(problem);  // --help
        fmt::print(stderr, "error: {}; see --help\n", problem.what());
        return 2;
    } catch (const std::bad_alloc&) {
        fmt::print(stderr, "error: out of memory; use a smaller --stored-size or --batch-size\n");
    } catch (const std::exception& problem) {
        fmt::print(stderr, "error: {}\n", problem.what());
    }
    return 1;
}

/// A running count of work that has no loss: "views 1200 of 9000  85/s  ETA 1:32", rewritten in place on
/// a terminal, a plain line every ten seconds elsewhere.
class WorkProgress {
public:
    WorkProgress(std::string what, std::int64_t total, std::FILE* stream)
        : what_{std::move(what)}, total_{total}, stream_{stream}, in_place_{is_terminal(stream)} {}

    void update(std::int64_t done) {
        const auto now = Clock::now();
        const double elapsed = std::chrono::duration<double>(now - start_).count();
        if (done < total_ && std::chrono::duration<double>(now - shown_).count() < (in_place_ ? 0.1 : 10.0)) return;
        shown_ = now;
        const double rate = static_cast<double>(done) / std::max(elapsed, 1e-9);
        fmt::print(stream_, "{}{} {} of {}  {:.0f}/s  ETA {}{}", in_place_ ? "\r" : "", what_, done, total_, rate,
                   readable_duration(static_cast<double>(total_ - done) / std::max(rate, 1e-9)),
                   in_place_ && done < total_ ? "\x1b[K" : "\n");
        std::fflush(stream_);
    }

private:
    using Clock = std::chrono::steady_clock;
    std::string what_;
    std::int64_t total_;
    std::FILE* stream_;
    bool in_place_;
    Clock::time_point start_ = Clock::now();
    Clock::time_point shown_ = start_;
};

/// Loads one split and says how many pictures could not be read.
template <class Split>
auto load_with_report(const std::filesystem::path& root, const Split& split, PictureOptions options,
                      const char* what) {
    std::optional<WorkProgress> progress;
    options.progress = [&](std::size_t done, std::size_t all) {
        if (!progress) progress.emplace(what, static_cast<std::int64_t>(all), stderr);
        progress->update(static_cast<std::int64_t>(done));
    };
    auto pictures = load_pictures(root, split, options);
    if (const std::string problems = pictures.store.report().text(); !problems.empty())
        fmt::print(stderr, "warning: {}: {}\n", what, problems);
    return pictures;
}

}  // namespace bantam
