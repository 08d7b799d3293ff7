// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/cpu/runtime/operation.hpp>

#include <algorithm>

namespace bantam::cpu {

// A convolution's input, output gradient and results pass through hooks while they are in the cache, so
// that the layers around it need no trip to memory of their own. All work on rows: one row is one
// position of the batch with all its channels, counted over the samples, and each hook is called for
// rows in ascending order.
//
// - `source.rows(first, count, scratch)`: input rows, in `scratch` or wherever they lie
// - `wrote(first, count)`: these output rows are final
// - `gradient.rows(first, count, scratch)`: rows of dL/d(output)
// - `sink(first, count, rows)`: takes rows of dL/d(input); called only where `sink.wanted()`
//
// A convolution is such a source itself: its `Stream<Source>`, made on `Stream::memory` scalars in front of
// a chunk, gives rows of the output, whole lines of the map at a time, and asks its source for what they
// need. Streams on streams run layers without storing a map between them.

/// Rows that lie in memory as they are.
template <Index Channels, class S>
struct MemorySource {
    const S* values;
    const S* rows(Index first, Index, S*) const { return values + first * Channels; }
};

/// Writes dL/d(input) to memory, where anybody wants it.
template <Index Channels, class S>
struct PlainSink {
    S* gradient;
    bool wanted() const { return gradient != nullptr; }
    void operator()(Index first, Index count, const S* rows) const {
        std::copy(rows, rows + count * Channels, gradient + first * Channels);
    }
};

/// A convolution on its own: `Kernel` states its sizes, `forward_chunk` and `backward_chunk`, which
/// take hooks, and `finish_gradient`.
template <class Kernel, class S>
struct ConvOperation : Kernel {
    using InputMap = MemorySource<Kernel::input.channels, S>;
    using OutputMap = MemorySource<Kernel::output.channels, S>;

    static void forward(const Pass<S>& pass, const Weights<S>& weights, const S* input, S* output, S*) {
        for_each_chunk(pass, [&](Chunk chunk, S* scratch) {
            Kernel::forward_chunk(chunk, weights, InputMap{input}, output, [](Index, Index) {}, scratch);
        });
    }

    static void backward(const Pass<S>& pass, const Weights<S>& weights, const S* input, const S*,
                         const S* output_gradient, S* input_gradient, S* parameter_gradient) {
        for_each_chunk(pass, [&](Chunk chunk, S* scratch) {
            S* partial = pass.partials + chunk.index * Kernel::partial_size;
            std::fill(partial, partial + Kernel::partial_size, S{0});
            Kernel::backward_chunk(chunk, weights, InputMap{input}, OutputMap{output_gradient},
                                   PlainSink<Kernel::input.channels, S>{input_gradient}, partial, scratch);
        });
        Kernel::finish_gradient(pass, parameter_gradient);
    }
};

}  // namespace bantam::cpu
