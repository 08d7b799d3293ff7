// SPDX-License-Identifier: MIT
#include "machine_bounds.hpp"

#include <bantam/base/index.hpp>
#include <bantam/base/parallel_for.hpp>
#include <bantam/cpu/runtime/simd.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <vector>

namespace bantam::bench {
namespace {

using cpu::Vector;

double seconds_of(auto&& body) {
    const auto before = std::chrono::steady_clock::now();
    body();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - before).count();
}

/// Twelve independent sums, more than the latency of the units requires.
float multiply_add_rounds(Index rounds) {
    constexpr int chains = 12;
    // Different starts: equal sums would be computed once.
    Vector<float> sums[chains];
    for (int chain = 0; chain < chains; ++chain) sums[chain] = cpu::broadcast(static_cast<float>(chain));
    const Vector<float> a = cpu::broadcast(0.999F);
    Vector<float> b = cpu::broadcast(0.001F);
    for (Index i = 0; i < rounds; ++i) {
        BANTAM_UNROLL(12)
        for (int chain = 0; chain < chains; ++chain) sums[chain] = sums[chain] * a + b;
        // Keeps the compiler from merging the rounds.
        asm volatile("" : "+x"(b));
    }
    float total = 0;
    for (const Vector<float>& sum : sums) total += sum[0];
    return total;
}

}  // namespace

MachineBounds measure_machine(int threads) {
    constexpr Index rounds = 5'000'000;
    constexpr int repeats = 5;
    std::vector<float> results(static_cast<std::size_t>(threads));
    double compute = 1e9, memory = 1e9;
    for (int i = 0; i < repeats; ++i)
        compute = std::min(compute, seconds_of([&] {
                               parallel_for(threads, threads, [&](Index index, int) {
                                   results[static_cast<std::size_t>(index)] = multiply_add_rounds(rounds);
                               });
                           }));
    const double operations = 2.0 * 12 * cpu::lanes<float> * static_cast<double>(rounds) * threads;

    constexpr Index slices = 64;
    constexpr std::size_t size = std::size_t{48} << 20;  // 192 MiB per array
    std::vector<float> from(size, 1.0F), to(size);
    for (int i = 0; i < repeats; ++i)
        memory = std::min(memory, seconds_of([&] {
                              parallel_for(slices, threads, [&](Index slice, int) {
                                  const std::size_t count = size / slices;
                                  const float* in = from.data() + static_cast<std::size_t>(slice) * count;
                                  float* out = to.data() + static_cast<std::size_t>(slice) * count;
                                  for (std::size_t k = 0; k < count; ++k) out[k] = in[k] * 0.5F;
                              });
                          }));
    // The array that is written is read first.
    const double bytes = 3.0 * static_cast<double>(size * sizeof(float));
    return {operations / compute / 1e9, bytes / memory / 1e9};
}

}  // namespace bantam::bench
