// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/random.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

/// `size` numbers in [-1.5, 1.5), the same in every run.
template <class S>
std::vector<S> numbers(std::int64_t size, std::uint64_t stream) {
    bantam::Random random{3, stream};
    std::vector<S> values(static_cast<std::size_t>(size));
    for (S& value : values) value = static_cast<S>(random.uniform(-1.5, 1.5));
    return values;
}

/// Relative to the largest value; infinite where sizes differ, not a number where a value is not.
template <class A, class B>
double largest_difference(const std::vector<A>& a, const std::vector<B>& b) {
    if (a.size() != b.size()) return std::numeric_limits<double>::infinity();
    double largest = 0.01, difference = 0;
    for (std::size_t i = 0; i < a.size(); ++i) {
        largest = std::max(largest, std::abs(static_cast<double>(a[i])));
        const double here = std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i]));
        if (std::isnan(here)) return here;
        difference = std::max(difference, here);
    }
    return difference / largest;
}
