// SPDX-License-Identifier: MIT
// expect: pixels, labels, targets and teacher logits are ranges: of a pointer, write std::span{pointer, count}
// without: nvcc
// errors: 1
#include <bantam/data/array_data.hpp>

#ifdef TWIN
bantam::ArrayData data(const float* pixels) { return bantam::ArrayData{std::span{pixels, 12}, {0, 1, 2}}; }
#else
bantam::ArrayData data(const float* pixels) { return bantam::ArrayData{pixels, 12}; }
#endif
