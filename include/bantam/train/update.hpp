// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/error.hpp>
#include <bantam/base/index.hpp>
#include <bantam/train/parameter_range.hpp>

#include <algorithm>
#include <cstddef>
#include <span>
#include <string>

namespace bantam {

/// What changes from one optimizer step to the next.
struct Update {
    double learning_rate;
    double gradient_scale = 1.0;   ///< the gradient is multiplied by it first (see clip_scale)
    double averaging_decay = 0.0;  ///< average = decay · average + (1 − decay) · new parameter
    int threads = 1;
};

/// One named buffer of an optimizer's memory, to be saved and restored.
template <class Scalar>
struct OptimizerState {
    const char* name;
    std::span<Scalar> values;
};

namespace detail {

/// Calls `body(begin, end, decayed)` for fixed blocks of each range. Blocks do not depend on the thread
/// count, so neither do the bits, whatever the compiler does with the ends of a vector loop.
template <class Body>
void for_each_block(std::span<const ParameterRange> ranges, [[maybe_unused]] int threads, const Body& body) {
    constexpr Index block = 16384;
    for (const ParameterRange& range : ranges) {
        const Index blocks = (range.end - range.begin + block - 1) / block;
#ifdef _OPENMP
#pragma omp parallel for num_threads(threads) if (threads > 1 && blocks > 1) schedule(static)
#endif
        for (Index index = 0; index < blocks; ++index) {
            const Index begin = range.begin + index * block;
            body(begin, std::min(begin + block, range.end), range.decayed);
        }
    }
}

inline void require_same_size(const char* what, std::size_t found, std::size_t expected) {
    if (found != expected) {
        throw Error(std::string("optimizer: the ") + what + " buffer has " + std::to_string(found) +
                    " elements, expected " + std::to_string(expected) +
                    "; make optimizer and network from the same type");
    }
}

}  // namespace detail

}  // namespace bantam
