// SPDX-License-Identifier: MIT
// Runs on a PC: int8 inference with the processor's dot products and any number of threads.
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/base/parallel_for.hpp>
#include <bantam/core/network.hpp>
#include <bantam/deploy/classifier.hpp>
#include <bantam/deploy/host/chain.hpp>
#include <bantam/deploy/lower.hpp>
#include <bantam/deploy/precision.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace bantam::deploy {

/// Classifies batches of pictures in int8, with the bits of `Classifier<Net, Int8>` for any number of threads. Each
/// thread takes one picture at a time. Uses VNNI, AVX2 or Arm's dot products where the compiler may; needs the heap.
template <class Net>
class BatchClassifier {
    using Chain = host::Chain<StagesOf<Net, Int8>, std::uint8_t, host::MapLayout{.shape = input_shape<Net>},
                              host::MapLayout{.shape = output_shape<Net>}>;

public:
    using Logit = Int8::Logit;
    static constexpr Index class_count = bantam::class_count<Net>;
    static constexpr Index picture_bytes = element_count(input_shape<Net>);

    /// Keeps a reference to the weights.
    explicit BatchClassifier(const Weights<Net, Int8>& weights, int threads = 1)
        : view_{weights.weights, weights.constants}, packed_(lines(Chain::packed_bytes)) {
        Chain::prepare(view_, packed_.data()->bytes);
        memory_.resize(static_cast<std::size_t>(std::max(threads, 1)));
        for (Memory& memory : memory_) {
            memory.resize(lines(Chain::memory_bytes));
            Chain::initialize(memory.data()->bytes);
        }
    }

    int threads() const { return static_cast<int>(memory_.size()); }

    /// Writes the logits [count][classes] of pictures [count][height][width][colors], in units of 1 /
    /// Int8::logit_unit. One call at a time.
    void infer(const std::uint8_t* pictures, Index count, Logit* logits) {
        parallel_for(count, threads(), [&](Index picture, int thread) {
            const host::ChainMemory memory{
                .view = view_,
                .packed = packed_.data()->bytes,
                .memory = reinterpret_cast<std::uint8_t*>(memory_[static_cast<std::size_t>(thread)].data()->bytes),
                .out = reinterpret_cast<std::uint8_t*>(logits + picture * class_count),
                .out_slots = static_cast<int>(output_shape<Net>.height)};
            typename Chain::State state;
            const std::uint8_t* line = pictures + picture * picture_bytes;
            for (int y = 0; y < static_cast<int>(input_shape<Net>.height); ++y, line += line_bytes)
                Chain::take(line, y, memory, state);
        });
    }

private:
    struct CacheLine {
        alignas(64) std::byte bytes[64];
    };
    using Memory = std::vector<CacheLine>;

    static constexpr Index line_bytes = picture_bytes / input_shape<Net>.height;

    static constexpr std::size_t lines(Index bytes) { return static_cast<std::size_t>(bytes / 64 + 1); }

    WeightView<Int8> view_;
    Memory packed_;
    std::vector<Memory> memory_;
};

}  // namespace bantam::deploy
