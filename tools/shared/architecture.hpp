// SPDX-License-Identifier: MIT
// Which built-in teacher a file of weights belongs to.
#pragma once

#include <bantam/base/error.hpp>
#include <bantam/io/checkpoint.hpp>
#include <bantam/io/safetensors.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <vector>

namespace bantam {

/// The architecture, with a `name` and a table of `tensors`, that has most tensors in common with the weights. Throws
/// Error naming the first tensors that differ where that is less than half of them.
template <class Architecture>
const Architecture& nearest_architecture(const SafetensorsFile& weights, const std::vector<Architecture>& list) {
    const auto in_common = [&](const Architecture& candidate) {
        const auto known = [&](const NamedTensor& tensor) { return weights.contains(tensor.name.view()); };
        return static_cast<double>(std::ranges::count_if(candidate.tensors, known)) /
               static_cast<double>(candidate.tensors.size());
    };
    const Architecture& nearest = *std::ranges::max_element(list, {}, in_common);
    if (in_common(nearest) >= 0.5) return nearest;
    for (const Architecture& candidate : list)
        if (const NameDifferences differences = compare_names(weights, candidate.tensors); !differences.prefix.empty())
            throw Error{weights.path().string() + ": " + differences.text()};
    throw Error{
        fmt::format("{}: is of an architecture that is not built in (as {} it {}); use "
                    "tools/convert_teacher.py --logits --arch NAME",
                    weights.path().string(), nearest.name, compare_names(weights, nearest.tensors).text())};
}

}  // namespace bantam
