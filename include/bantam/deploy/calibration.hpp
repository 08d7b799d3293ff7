// SPDX-License-Identifier: MIT
// Runs on a PC: what values a network's maps take on training pictures.
#pragma once

#include <bantam/base/error.hpp>
#include <bantam/base/index.hpp>
#include <bantam/deploy/classifier.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace bantam::deploy {
namespace detail {

/// Maps whose ranges an observer of a stage gets.
template <class Stage>
inline constexpr std::size_t observed_maps = 1;
template <class... Stages>
inline constexpr std::size_t observed_maps<StageList<Stages...>> = (std::size_t{0} + ... + observed_maps<Stages>);
template <JoinSpec S, class P, class In, class Out, class... Paths>
inline constexpr std::size_t observed_maps<JoinPaths<S, P, In, Out, Paths...>> =
    1 + (observed_maps<typename Paths::Stages> + ...);
template <Shape Input, class P, class In, class Out, class GateElement, class Body>
inline constexpr std::size_t observed_maps<GateChannels<Input, P, In, Out, GateElement, Body>> =
    1 + observed_maps<Body>;

}  // namespace detail

/// The number of maps of `Net` whose largest magnitudes int8 is scaled by.
template <class Net>
inline constexpr std::size_t map_count = detail::observed_maps<StagesOf<Net, Float32>>;

/// Counts the magnitudes of every map's elements over the pictures that it is shown.
template <class Net>
class Calibration {
public:
    /// Keeps a reference to the weights.
    explicit Calibration(const Weights<Net, Float32>& weights)
        : classifier_{std::make_unique<Classifier<Net, Float32>>(weights)} {}

    /// Runs the network on a picture, [height][width][colors] bytes.
    void add(const std::uint8_t* picture) {
        map_ = 0;
        classifier_->run(picture, *this);
        ++pictures_;
    }

    Index picture_count() const { return pictures_; }

    /// Of every map the magnitude that the share `kept` of its elements does not exceed; at 1 the largest. Throws
    /// Error without a picture.
    std::vector<float> largest(double kept = 1) const {
        if (pictures_ == 0) throw Error{"the calibration has seen no picture; show it a few hundred training pictures"};
        if (!(kept > 0.5 && kept <= 1))
            throw Error{"the share of elements within a map's scale is " + std::to_string(kept) +
                        "; choose more than 0.5 and at most 1"};
        std::vector<float> result;
        for (const Map& map : maps_) {
            std::uint64_t above = 0;
            const auto allowed = static_cast<std::uint64_t>((1 - kept) * static_cast<double>(map.elements));
            std::size_t bin = bins;
            while (bin > 0 && above + map.counts[bin - 1] <= allowed) above += map.counts[--bin];
            const float edge = bin == 0 ? 0 : __builtin_bit_cast(float, static_cast<std::uint32_t>(bin) << bin_shift);
            result.push_back(std::min(map.largest, edge));
        }
        return result;
    }

    /// What the stages tell.
    void operator()(const float* values, Index count) {
        if (map_ == maps_.size()) maps_.emplace_back();
        Map& map = maps_[map_++];
        for (Index i = 0; i < count; ++i) {
            const float magnitude = std::abs(values[i]);
            map.largest = std::max(map.largest, magnitude);
            ++map.counts[__builtin_bit_cast(std::uint32_t, magnitude) >> bin_shift];
        }
        map.elements += static_cast<std::uint64_t>(count);
    }

private:
    // A bin is a float without its sign and lowest 18 bits: 32 bins to a power of two.
    static constexpr int bin_shift = 18;
    static constexpr std::size_t bins = std::size_t{1} << (31 - bin_shift);

    struct Map {
        float largest = 0;
        std::uint64_t elements = 0;
        std::vector<std::uint64_t> counts = std::vector<std::uint64_t>(bins);
    };

    std::unique_ptr<Classifier<Net, Float32>> classifier_;
    std::vector<Map> maps_;
    std::size_t map_ = 0;
    Index pictures_ = 0;
};

}  // namespace bantam::deploy
