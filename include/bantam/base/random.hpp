// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/host_device.hpp>

#include <cmath>
#include <cstdint>

namespace bantam {

/// Mixes 64 bits so that every input bit moves every output bit (the finalizer of SplitMix64,
/// Steele, Lea & Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014).
BANTAM_HOST_DEVICE constexpr std::uint64_t mix_bits(std::uint64_t bits) noexcept {
    bits = (bits ^ (bits >> 30)) * 0xbf58476d1ce4e5b9ULL;
    bits = (bits ^ (bits >> 27)) * 0x94d049bb133111ebULL;
    return bits ^ (bits >> 31);
}

/// The `counter`-th 64 random bits of `stream` under `seed`. Stateless: the same three numbers give the same bits on
/// every machine and thread, so that runs can be reproduced and resumed.
BANTAM_HOST_DEVICE constexpr std::uint64_t random_bits(std::uint64_t seed, std::uint64_t stream,
                                                       std::uint64_t counter) noexcept {
    constexpr std::uint64_t golden = 0x9e3779b97f4a7c15ULL;
    const std::uint64_t key = mix_bits(mix_bits(seed + golden) + (stream + 1) * golden);
    return mix_bits(key + (counter + 1) * golden);
}

/// Uniform in [0, 1) with 53 random bits.
BANTAM_HOST_DEVICE constexpr double unit_interval(std::uint64_t bits) noexcept {
    return static_cast<double>(bits >> 11) * 0x1.0p-53;
}

/// The `counter`-th uniform number of `stream`, in [0, 1).
BANTAM_HOST_DEVICE constexpr double random_uniform(std::uint64_t seed, std::uint64_t stream,
                                                   std::uint64_t counter) noexcept {
    return unit_interval(random_bits(seed, stream, counter));
}

/// Random numbers of one stream, in order.
class Random {
public:
    constexpr Random(std::uint64_t seed, std::uint64_t stream) noexcept : seed_{seed}, stream_{stream} {}

    constexpr std::uint64_t bits() noexcept { return random_bits(seed_, stream_, counter_++); }

    /// Uniform in [0, 1).
    constexpr double uniform() noexcept { return unit_interval(bits()); }

    /// Uniform in [low, high).
    constexpr double uniform(double low, double high) noexcept { return low + (high - low) * uniform(); }

    /// An integer in [0, count); `count` must be positive.
    constexpr std::uint64_t below(std::uint64_t count) noexcept {
        // The bias of the remainder is below count / 2^64.
        return bits() % count;
    }

    /// Standard normal (Box–Muller; one of the pair is used).
    double normal() noexcept {
        const double radius = std::sqrt(-2.0 * std::log(1.0 - uniform()));
        return radius * std::cos(6.283185307179586476925 * uniform());
    }

private:
    std::uint64_t seed_;
    std::uint64_t stream_;
    std::uint64_t counter_ = 0;
};

}  // namespace bantam
