// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/align.hpp>
#include <bantam/base/index.hpp>

#include <algorithm>
#include <array>
#include <cstddef>

namespace bantam::exec {

/// The scalars of one region of a workspace: `per_sample` for each sample of the batch, and `fixed` ones.
struct RegionSize {
    Index per_sample = 0;
    Index fixed = 0;

    /// Enough for either.
    constexpr RegionSize max(const RegionSize& other) const {
        return {std::max(per_sample, other.per_sample), std::max(fixed, other.fixed)};
    }
};

/// What operation `Op` saves.
template <class Op>
constexpr RegionSize saved_size(bool training) {
    return {Op::saved_per_sample(training), Op::saved_fixed(training)};
}

/// The memory that an operation keeps for a batch: numbered regions one after the other, each at a multiple of
/// 16 bytes. The sizes differ between training and inference; a region that is not needed has size 0.
template <class S, std::size_t Count>
class Workspace {
public:
    using Sizes = std::array<RegionSize, Count>;

    constexpr Workspace(const Sizes& inference, const Sizes& training)
        : begins_{begins_of(inference), begins_of(training)} {}

    /// The whole workspace: `per_sample(training)` scalars for each sample, and `fixed(training)` ones.
    constexpr Index per_sample(bool training) const { return begins_[training][Count].per_sample; }
    constexpr Index fixed(bool training) const { return begins_[training][Count].fixed; }

    /// Where `region` begins for a batch of `count`.
    constexpr Index offset(std::size_t region, bool training, Index count) const {
        const RegionSize& begin = begins_[training][region];
        return begin.per_sample * count + begin.fixed;
    }
    /// `region` in the workspace at `memory`.
    template <class Pass>
    S* at(std::size_t region, const Pass& pass, S* memory) const {
        return memory + offset(region, pass.training, pass.count);
    }

private:
    using Begins = std::array<RegionSize, Count + 1>;

    static constexpr Begins begins_of(const Sizes& sizes) {
        Begins begins{};
        for (std::size_t i = 0; i < Count; ++i)
            begins[i + 1] = {begins[i].per_sample + align_up<S>(sizes[i].per_sample),
                             begins[i].fixed + align_up<S>(sizes[i].fixed)};
        return begins;
    }

    std::array<Begins, 2> begins_;  // in inference, in training
};

/// The workspace with the regions that `sizes(training)` returns.
template <class S, class Function>
constexpr auto make_workspace(Function sizes) {
    return Workspace<S, std::tuple_size_v<decltype(sizes(true))>>{sizes(false), sizes(true)};
}

/// Sizes of two buffers that hold `maps` in turn: the even ones in the first, the odd ones in the second. While a map
/// is written, the one before it can be read.
template <std::size_t Count>
constexpr std::array<Index, 2> alternating_sizes(const std::array<Index, Count>& maps) {
    std::array<Index, 2> sizes{};
    for (std::size_t i = 0; i < Count; ++i) sizes[i % 2] = std::max(sizes[i % 2], maps[i]);
    return sizes;
}

}  // namespace bantam::exec
