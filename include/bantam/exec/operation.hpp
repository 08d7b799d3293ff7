// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/align.hpp>
#include <bantam/base/bfloat16.hpp>
#include <bantam/base/index.hpp>
#include <bantam/core/shape.hpp>

#include <type_traits>

namespace bantam::exec {

/// Where the tensors of a layer inside another one begin. `packed` counts in what `prepare` writes, on backends that
/// pack weights.
struct TensorOffsets {
    Index trainable = 0;
    Index non_trainable = 0;
    Index packed = 0;
};

/// The tensors of an operation on maps of type `S`.
template <class S>
struct Weights {
    const Compute<S>* parameters = nullptr;  ///< trainable, in the order of the layer's tensor list
    Compute<S>* statistics = nullptr;        ///< not trainable, likewise

    Weights at(const TensorOffsets& offsets) const {
        return {parameters + offsets.trainable, statistics + offsets.non_trainable};
    }
};

/// The sizes that an operation states, with the defaults of one that needs no memory.
struct OperationSizes {
    static constexpr Index saved_per_sample(bool /*training*/) { return 0; }
    static constexpr Index saved_fixed(bool /*training*/) { return 0; }
    static constexpr Index scratch_size = 0;  ///< scalars per thread of the CPU, or for the whole GPU
    static constexpr Index partial_size = 0;  ///< scalars per slice of the batch
    static constexpr Index sum_count = 0;     ///< doubles per slice of the batch
    static constexpr int stream_digits = 0;   ///< of the longest path to a layer inside, see random_stream.hpp
};

/// Scalars that `Op::prepare` writes; 0 on backends that do not pack weights.
template <class Op>
inline constexpr Index packed_size_of = [] {
    if constexpr (requires { Op::packed_size; })
        return Op::packed_size;
    else
        return Index{0};
}();

/// What a composite gives to a layer inside as its input gradient: `inner`, or null where its own is. An operation's
/// `backward` gets either a pointer or, where the compiler knows that the gradient is not needed, `nullptr` itself, so
/// that nothing is compiled for it.
template <class InputGradient, class S>
auto inner_gradient(InputGradient own, S* inner) {
    if constexpr (std::is_null_pointer_v<InputGradient>)
        return nullptr;
    else
        return own ? inner : nullptr;
}

/// How `L` runs on `Backend`: by the backend's operation, unless `L` is a composite. Composites run the same on all
/// backends; residual.hpp, branches.hpp and channel_gate.hpp specialize this template.
template <class Backend, class L, Shape Input, class S>
struct Operation : Backend::template Operation<L, Input, S> {};

}  // namespace bantam::exec
