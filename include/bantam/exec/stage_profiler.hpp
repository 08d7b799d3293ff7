// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/exec/stage_label.hpp>

#include <chrono>
#include <vector>

namespace bantam::exec {

/// Time by stage (`cpu::Model::set_profiler`). A stage that contains others counts only the time outside them; stages
/// of one type and shape share an entry.
class StageProfiler {
public:
    struct Entry {
        const StageLabel* label;
        double seconds = 0;
        int calls = 0;
    };
    const std::vector<Entry>& entries() const { return entries_; }
    void clear() { entries_.clear(); }

    /// Measures until the end of the scope; does nothing where `profiler` is null.
    class Scope {
    public:
        Scope(StageProfiler* profiler, const StageLabel& label) : profiler_{profiler}, label_{&label} {
            if (profiler_) enter();
        }
        Scope(const Scope&) = delete;
        Scope& operator=(const Scope&) = delete;
        ~Scope() {
            if (profiler_) leave();
        }

    private:
        using Time = std::chrono::steady_clock;
        void enter() {
            outer_nested_seconds_ = profiler_->nested_seconds_;
            profiler_->nested_seconds_ = 0;
            begin_ = Time::now();
        }
        void leave() {
            const double seconds = std::chrono::duration<double>(Time::now() - begin_).count();
            Entry& entry = profiler_->at(*label_);
            entry.seconds += seconds - profiler_->nested_seconds_;
            ++entry.calls;
            profiler_->nested_seconds_ = outer_nested_seconds_ + seconds;
        }

        StageProfiler* profiler_;
        const StageLabel* label_;
        Time::time_point begin_;
        double outer_nested_seconds_ = 0;
    };

private:
    Entry& at(const StageLabel& label) {
        for (Entry& entry : entries_)
            if (entry.label == &label) return entry;
        return entries_.emplace_back(Entry{&label});
    }

    std::vector<Entry> entries_;
    double nested_seconds_ = 0;  // of the stages that ended inside the current one
};

}  // namespace bantam::exec
