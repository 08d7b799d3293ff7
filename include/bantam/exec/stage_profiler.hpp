// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/core/shape.hpp>

#include <chrono>
#include <string_view>
#include <vector>

namespace bantam::exec {

/// A stage in one direction, with what it costs a sample at least.
struct StageLabel {
    std::string_view name;
    Shape input;
    Shape output;
    bool backward = false;
    Index multiply_adds = 0;
    Index scalars_moved = 0;  ///< read from or written to memory if nothing stays in a cache
};

/// What layer `L` costs: both ways read and write its maps, and the way back takes two products for each
/// one on the way there.
template <class L>
constexpr StageLabel stage_label(std::string_view name, Shape input, bool backward) {
    const Shape output = L::output_shape(input);
    const Index ways = backward ? 2 : 1;
    return {name,
            input,
            output,
            backward,
            ways * L::multiply_adds(input),
            ways * (element_count(input) + element_count(output))};
}

/// Time by stage, for whoever asks where a pass spends it (`Model::set_profiler`). A stage inside another
/// counts for itself only; stages of one type and shape share an entry.
class StageProfiler {
public:
    struct Entry {
        const StageLabel* label;
        double seconds = 0;
        int calls = 0;
    };
    const std::vector<Entry>& entries() const { return entries_; }
    void clear() { entries_.clear(); }

    /// Measures from here to the end of the scope; without a clock it does nothing.
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
            outer_inside_ = profiler_->inside_;
            profiler_->inside_ = 0;
            begin_ = Time::now();
        }
        void leave() {
            const double seconds = std::chrono::duration<double>(Time::now() - begin_).count();
            Entry& entry = profiler_->at(*label_);
            entry.seconds += seconds - profiler_->inside_;
            ++entry.calls;
            profiler_->inside_ = outer_inside_ + seconds;
        }

        StageProfiler* profiler_;
        const StageLabel* label_;
        Time::time_point begin_;
        double outer_inside_ = 0;
    };

private:
    Entry& at(const StageLabel& label) {
        for (Entry& entry : entries_)
            if (entry.label == &label) return entry;
        return entries_.emplace_back(Entry{&label});
    }

    std::vector<Entry> entries_;
    double inside_ = 0;  // seconds of the stages that ended inside the one that runs
};

}  // namespace bantam::exec
