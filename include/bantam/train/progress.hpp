// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/base/number_text.hpp>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <functional>
#include <optional>
#include <string>
#include <utility>

#if defined(_WIN32)
#include <io.h>
#else
#include <unistd.h>
#endif

namespace bantam {

/// Seconds as a readable duration: 0:07, 12:34, 1:02:34.
inline std::string readable_duration(double seconds) {
    // The limit keeps the conversion to a whole number defined.
    const auto whole = static_cast<Index>(std::llround(std::clamp(seconds, 0.0, 3.6e7)));
    char text[32];
    const long long hours = whole / 3600;
    const int minutes = static_cast<int>(whole / 60 % 60);
    const int rest = static_cast<int>(whole % 60);
    if (hours > 0) {
        std::snprintf(text, sizeof text, "%lld:%02d:%02d", hours, minutes, rest);
    } else {
        std::snprintf(text, sizeof text, "%d:%02d", minutes, rest);
    }
    return text;
}

/// Whether the stream is a terminal; a null stream is none.
inline bool is_terminal(std::FILE* stream) {
    if (!stream) return false;
#if defined(_WIN32)
    return _isatty(_fileno(stream)) != 0;
#else
    return isatty(fileno(stream)) != 0;
#endif
}

/// The length of a training run, and how many of its batches were finished before it was resumed.
struct ProgressPlan {
    Index epochs;
    Index batches_per_epoch;
    Index finished_batches = 0;
};

/// One line about the current epoch: rewritten in place on a terminal, a plain line every ten seconds
/// elsewhere (a log file, a pipe). A stream that is null, closed or full shows nothing and stops
/// nothing.
///
///     epoch 3/50  batch 12/74  loss 1.2345  accuracy 61.2 %  512/s  ETA 12:34
class Progress {
public:
    /// Returns seconds since a fixed moment.
    using Clock = std::function<double()>;

    explicit Progress(const ProgressPlan& plan, std::FILE* stream = stderr)
        : Progress(plan, stream, is_terminal(stream), steady_seconds) {}

    /// With the choice of rewriting the line in place and with another clock, as tests need it.
    Progress(const ProgressPlan& plan, std::FILE* stream, bool in_place, Clock clock)
        : plan_{plan}, stream_{stream}, in_place_{in_place}, clock_{std::move(clock)}, started_{clock_()} {}

    Progress(const Progress&) = delete;
    Progress& operator=(const Progress&) = delete;

    ~Progress() { clear(); }

    /// Call after each batch of `images` pictures; `epoch` and `batch` count from 0. `loss` and `accuracy` (0..1)
    /// are the epoch's means so far, where they are known. Prints the line when its interval has passed.
    void update(Index epoch, Index batch, Index images, std::optional<double> loss, std::optional<double> accuracy) {
        images_ += images;
        const double now = clock_();
        if (shown_ && now - *shown_ < interval()) return;
        shown_ = now;
        show(line(epoch, batch, loss, accuracy, now));
    }

    /// Prints a line that stays, such as an epoch's summary, in place of the current one.
    void print(const std::string& text) {
        if (!stream_) return;
        clear();
        std::fprintf(stream_, "%s\n", text.c_str());
        std::fflush(stream_);
    }

    /// Call before and after work that is not training (validation, saving): its time counts for the ETA, but
    /// not for the speed.
    void pause() { paused_at_ = clock_(); }
    void resume() { paused_ += clock_() - paused_at_; }

private:
    // On a terminal of 80 columns. A line that wraps cannot be rewritten.
    static constexpr std::size_t widest = 79;

    static double steady_seconds() {
        const auto now = std::chrono::steady_clock::now().time_since_epoch();
        return std::chrono::duration<double>(now).count();
    }

    // Seconds between two lines.
    double interval() const { return in_place_ ? 0.1 : 10.0; }

    std::string line(Index epoch, Index batch, std::optional<double> loss, std::optional<double> accuracy,
                     double now) const {
        const double elapsed = std::max(now - started_, 1e-9);
        const Index here = epoch * plan_.batches_per_epoch + batch + 1;
        const auto done = static_cast<double>(here - plan_.finished_batches);
        const auto left = static_cast<double>(plan_.epochs * plan_.batches_per_epoch - here);
        const auto of = [](Index index, Index all) { return std::to_string(index + 1) + '/' + std::to_string(all); };
        const std::string loss_text = loss ? "loss " + fixed_text(*loss, 4) + "  " : "";
        const std::string accuracy_text = accuracy ? "accuracy " + fixed_text(100.0 * *accuracy, 1) + " %  " : "";
        const std::string speed = fixed_text(static_cast<double>(images_) / std::max(elapsed - paused_, 1e-9), 0);
        const std::string eta = "ETA " + readable_duration(elapsed / done * left);
        std::string text = "epoch " + of(epoch, plan_.epochs) + "  batch " + of(batch, plan_.batches_per_epoch) + "  ";
        // What does not fit beside the ETA is left out.
        for (const std::string& figure : {loss_text, accuracy_text, speed + "/s  "})
            if (text.size() + figure.size() + eta.size() <= widest) text += figure;
        return text + eta;
    }

    void show(std::string text) {
        if (!stream_) return;
        if (in_place_) {
            if (text.size() > widest) text.resize(widest);
            std::fprintf(stream_, "\r%s\x1b[K", text.c_str());
            open_ = true;
        } else {
            std::fprintf(stream_, "%s\n", text.c_str());
        }
        std::fflush(stream_);
    }

    void clear() {
        if (!open_) return;
        std::fputs("\r\x1b[K", stream_);
        std::fflush(stream_);
        open_ = false;
    }

    ProgressPlan plan_;
    std::FILE* stream_;
    bool in_place_;
    Clock clock_;
    double started_;
    std::optional<double> shown_;
    double paused_at_ = 0.0;
    double paused_ = 0.0;
    Index images_ = 0;
    bool open_ = false;
};

}  // namespace bantam
