// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/float16.hpp>

#include <algorithm>
#include <cstddef>
#include <span>
#include <utility>
#include <vector>

namespace bantam {

/// Numbers that a file has as halves and that stay so in memory, or floats. Elements are read as floats.
class FloatArray {
public:
    FloatArray() = default;
    FloatArray(std::vector<float> values) : floats_{std::move(values)} {}
    FloatArray(std::vector<Float16> values) : halves_{std::move(values)} {}

    std::size_t size() const { return floats_.size() + halves_.size(); }

    float operator[](std::size_t index) const {
        return halves_.empty() ? floats_[index] : static_cast<float>(halves_[index]);
    }

    void copy(std::size_t first, std::size_t count, float* to) const {
        for (std::size_t index = 0; index < count; ++index) to[index] = (*this)[first + index];
    }

    /// Empty where the elements are halves.
    std::span<const float> floats() const { return {floats_.data(), floats_.size()}; }
    /// Empty where the elements are floats.
    std::span<const Float16> halves() const { return {halves_.data(), halves_.size()}; }

private:
    std::vector<float> floats_;
    std::vector<Float16> halves_;
};

}  // namespace bantam
