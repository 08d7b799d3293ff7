// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>

#include <array>
#include <cstddef>
#include <string_view>

namespace bantam {

/// How the elements of a tensor are initialized.
struct Initializer {
    enum class Kind { constant, normal, uniform };
    Kind kind = Kind::constant;
    /// The constant, the standard deviation, or half the width of the interval around zero, by `kind`.
    double amount = 0;
};

/// Every element is `value`.
constexpr Initializer constant(double value) { return {Initializer::Kind::constant, value}; }

/// Square root by Newton's method, since std::sqrt is not constexpr in C++20.
constexpr double constant_sqrt(double value) {
    if (value <= 0) return 0;
    double root = value > 1 ? value : 1;
    for (int i = 0; i < 64; ++i) root = 0.5 * (root + value / root);
    return root;
}

/// Normal with variance 2 / fan (He et al., "Delving Deep into Rectifiers", 2015).
constexpr Initializer kaiming_normal(Index fan) {
    return {Initializer::Kind::normal, constant_sqrt(2.0 / static_cast<double>(fan))};
}

/// Uniform within ±1/√fan_in, as PyTorch initializes linear layers and biases.
constexpr Initializer uniform_fan_in(Index fan_in) {
    return {Initializer::Kind::uniform, 1.0 / constant_sqrt(static_cast<double>(fan_in))};
}

/// One named tensor of a layer, in PyTorch's memory layout (row-major).
struct Tensor {
    std::string_view name;
    std::array<Index, 4> extents;  ///< unused trailing extents are 0
    int rank;
    bool trainable;  ///< false for statistics such as a running mean
    bool decayed;    ///< weight decay: true for weights, false for biases, norms and learned scales
    Initializer initializer;
    constexpr Index element_count() const {
        Index count = 1;
        for (int i = 0; i < rank; ++i) count *= extents[static_cast<std::size_t>(i)];
        return count;
    }
};

/// The tensors of one layer in storage order.
struct TensorList {
    std::array<Tensor, 4> items{};
    std::size_t count = 0;

    constexpr TensorList& add(const Tensor& tensor) {
        items[count++] = tensor;
        return *this;
    }
    constexpr const Tensor* begin() const { return items.data(); }
    constexpr const Tensor* end() const { return items.data() + count; }
};

/// Trainable and decayed: [outputs, inputs, kernel, kernel] or [outputs, inputs].
constexpr Tensor weight_tensor(std::string_view name, std::array<Index, 4> extents, int rank, Initializer initializer) {
    return {name, extents, rank, true, true, initializer};
}

/// Trainable, not decayed, one element per channel.
constexpr Tensor channel_tensor(std::string_view name, Index channels, Initializer initializer) {
    return {name, {channels, 0, 0, 0}, 1, true, false, initializer};
}

/// Not trainable, one element per channel.
constexpr Tensor statistic_tensor(std::string_view name, Index channels, Initializer initializer) {
    return {name, {channels, 0, 0, 0}, 1, false, false, initializer};
}

/// Weight and bias of a norm, [channels] each: the identity at the start.
constexpr TensorList norm_tensors(Index channels) {
    TensorList list;
    list.add(channel_tensor("weight", channels, constant(1)));
    list.add(channel_tensor("bias", channels, constant(0)));
    return list;
}

/// Elements of the trainable tensors, or of those that are not trainable.
constexpr Index element_count(const TensorList& list, bool trainable) {
    Index count = 0;
    for (const Tensor& tensor : list)
        if (tensor.trainable == trainable) count += tensor.element_count();
    return count;
}

}  // namespace bantam
