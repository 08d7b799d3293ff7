// SPDX-License-Identifier: MIT
// ThreadSanitizer runs all kernels: no thread depends on what another does unless there is a barrier between, and no
// thread block depends on another.
#define BOOST_TEST_MODULE cuda_kernels_races
#define THRUST_DEVICE_SYSTEM 4  // plain C++: thread blocks run one after another
#include <boost/test/unit_test.hpp>

#include "racing_block.hpp"

#include <bantam/base/random.hpp>
#include <bantam/cuda/model.hpp>
#include <bantam/layers/squeeze_excite.hpp>

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <type_traits>
#include <vector>

using namespace bantam;
using namespace bantam::cuda;

// The first report ends the program: a race is reported thousands of times, which is slow.
extern "C" const char* __tsan_default_options() { return "halt_on_error=1:exitcode=66"; }

namespace {

/// Runs every pass of a model on one batch.
template <class Net, class S>
void pass_through(std::int64_t count, bool allow_tf32) {
    Model<Net, S> model;
    const Execution& execution = model.execution();
    execution.allow_tf32(allow_tf32);
    model.initialize(3);
    DeviceBuffer<float> input, logits, input_gradient, parameter_gradient;
    DeviceBuffer<std::uint64_t> seed;
    input.reserve(count * model.input_elements);
    input_gradient.reserve(count * model.input_elements);
    logits.reserve(count * model.output_elements);
    parameter_gradient.reserve(trainable_parameters<Net>);
    seed.reserve(1);
    std::vector<float> values;
    Random random{5, 1};
    for (std::int64_t i = 0; i < input.size(); ++i) values.push_back(static_cast<float>(random.uniform(-1, 1)));
    copy_to_device(execution, values.data(), input.size(), input.data());
    model.forward(input.data(), count, seed.data(), logits.data());
    model.backward(logits.data(), parameter_gradient.data(), input_gradient.data());
    model.backward(logits.data(), parameter_gradient.data());
    model.infer(input.data(), count, logits.data());
}

/// The same in every precision.
template <class Net>
void pass_through(std::int64_t count) {
    pass_through<Net, float>(count, false);
    pass_through<Net, float>(count, true);
    pass_through<Net, Bfloat16>(count, false);
}

/// Every thread reads what its neighbor wrote, with a barrier between or without.
template <bool WithBarrier>
struct Rotate {
    static constexpr int threads = 64;
    struct Shared {
        int values[threads];
    };
    int* to;

    template <class Block>
    void operator()(const Block& block, Shared& shared) const {
        const auto write = [&](int thread) { shared.values[thread] = thread; };
        if constexpr (WithBarrier)
            block.for_each_thread(write);
        else
            block.for_each_thread_nosync(write);
        block.for_each_thread_nosync(
            [&](int thread) { to[block.index() * threads + thread] = shared.values[(thread + 1) % threads]; });
    }
};

/// Each thread block also writes the first element of the next one.
struct Overlap {
    static constexpr int threads = 64;
    struct Shared {};
    int* to;

    template <class Block>
    void operator()(const Block& block, Shared&) const {
        block.for_each_thread([&](int thread) { to[block.index() * (threads - 1) + thread] = 1; });
    }
};

/// Whether a race is reported in three thread blocks, which run in a child process.
template <class Kernel>
bool races() {
    const pid_t child = fork();
    if (child == 0) {
        for (const int output : {STDOUT_FILENO, STDERR_FILENO}) close(output);
        DeviceBuffer<int> to;
        to.reserve(3 * Kernel::threads);
        run_blocks(Execution{}, 3, Kernel{to.data()});
        _exit(0);
    }
    int status = 0;
    BOOST_TEST_REQUIRE(waitpid(child, &status, 0) == child);
    BOOST_TEST_REQUIRE(WIFEXITED(status));
    return WEXITSTATUS(status) == 66;
}

constexpr ConvOptions no_bias{.bias = false};

/// Kernels whose thread blocks process several tiles one after another in the same shared memory, which otherwise needs
/// a batch of thousands.
template <class S>
class Tiles {
public:
    Tiles() {
        for (auto* map : {&input_, &output_, &input_gradient_}) map->reserve(count * pixels * std::max(in, out));
        numbers_.reserve(6 * std::max(in, out) + in * out);
        partials_.reserve(count * pixels * in * out);
        sums_.reserve(count * pixels * 2 * std::max(in, out));
    }
    void run() {
        if constexpr (std::is_same_v<S, float>) {
            products<ImplicitGemm<A, B, Epilogue, out>, WeightGradient<Gradient, A, out>>();
            products<TensorCoreImplicitGemm<Tf32, A, B, Epilogue, out>,
                     TensorCoreWeightGradient<Tf32, Gradient, A, out>>();
            combined_products<Tf32>();
        } else {
            products<TensorCoreImplicitGemm<S, A, B, Epilogue, out>, TensorCoreWeightGradient<S, Gradient, A, out>>();
            combined_products<S>();
        }
        depthwise<DepthwiseKernel<DepthwiseConv2d<3>, Shape{6, 7, in}, S>>();
        depthwise<DepthwiseKernel<DepthwiseConv2d<3, 2>, Shape{6, 7, in}, S>>();
    }

private:
    static constexpr int in = 40, out = 20;
    static constexpr std::int64_t count = 40, pixels = 6 * 7, rows = count * pixels, tiles = 3;
    using ComputeType = Compute<S>;
    using A = PointwiseOperand<MemorySource<in, S>>;
    using B = WeightOperand<ComputeType, true>;
    using Epilogue = MomentsEpilogue<false, out, S>;
    using Gradient = MemorySource<out, S>;

    template <class Gemm, class GradientGemm>
    void products() {
        const A a{{input_.data()}};
        const Gemm gemm{{a,
                         {numbers_.data(), in},
                         {output_.data(), nullptr, numbers_.data()},
                         BatchSlices::of_rows(rows, tiles * Gemm::tile_rows),
                         sums_.data()}};
        run_blocks(execution_, gemm.blocks(), gemm);
        const GradientGemm gradient{
            {{output_.data()}, a, BatchSlices::of_rows(rows, tiles * GradientGemm::tile_rows), partials_.data()}};
        run_blocks(execution_, gradient.blocks(), gradient);
    }
    template <class T>
    void combined_products() {
        constexpr int narrow = 32;  // wider does not fit in every precision
        using Combined = TensorCorePointwiseBackward<T, Gradient, MemorySource<narrow, S>,
                                                     ActBackwardEpilogue<ReLU, narrow, S>, out, narrow>;
        static_assert(Combined::fit);
        const NormCoefficients<S> norm{numbers_.data(), narrow};
        const Combined combined{{output_.data()},
                                {input_.data()},
                                {input_gradient_.data(), input_.data(), norm},
                                numbers_.data(),
                                BatchSlices::of_rows(rows, tiles * Combined::tile_rows),
                                partials_.data(),
                                sums_.data()};
        run_blocks(execution_, combined.slices.count(), combined);
    }
    template <class Kernel>
    void depthwise() {
        const MemorySource<in, S> source{input_.data()}, gradient{output_.data()};
        const NormCoefficients<S> norm{numbers_.data(), in};
        const MomentsEpilogue<false, in, S> epilogue{output_.data(), nullptr, numbers_.data()};
        using Forward = typename Kernel::template TiledForward<MemorySource<in, S>, MomentsEpilogue<false, in, S>>;
        const Forward forward{source,
                              epilogue,
                              numbers_.data(),
                              {BatchSlices::of_rows(count * Forward::Tiles::tiles, tiles)},
                              sums_.data()};
        run_blocks(execution_, forward.slices.blocks(), forward);
        using BackwardEpilogue = ActBackwardEpilogue<ReLU, in, S>;
        using Backward =
            typename Kernel::template TiledBackward<MemorySource<in, S>, MemorySource<in, S>, BackwardEpilogue>;
        static_assert(Forward::fit && Backward::fit);
        const Backward backward{gradient,
                                source,
                                {input_gradient_.data(), input_.data(), norm},
                                numbers_.data(),
                                {BatchSlices::of_rows(count * Backward::Tiles::tiles, tiles)},
                                partials_.data(),
                                sums_.data()};
        run_blocks(execution_, backward.slices.blocks(), backward);
    }

    const Execution execution_;
    DeviceBuffer<S> input_, output_, input_gradient_;
    DeviceBuffer<ComputeType> numbers_, partials_;
    DeviceBuffer<double> sums_;
};

}  // namespace

BOOST_AUTO_TEST_CASE(a_missing_barrier_is_reported) {
    BOOST_TEST(!races<Rotate<true>>());
    BOOST_TEST(races<Rotate<false>>());
}

BOOST_AUTO_TEST_CASE(blocks_that_write_the_same_element_are_reported) { BOOST_TEST(races<Overlap>()); }

BOOST_AUTO_TEST_CASE(fused_conv_blocks_do_not_race) {
    pass_through<Network<Image<9, 7, 3>, Conv2d<8, 3, 2>, BatchNorm2d, ReLU6, DepthwiseConv2d<3>, BatchNorm2d, SiLU,
                         PointwiseConv2d<36, no_bias>, BatchNorm2d, DepthwiseConv2d<3, 2, no_bias>, BatchNorm2d, ReLU,
                         PointwiseConv2d<70>, BatchNorm2d, ReLU, GlobalAveragePool, Linear<5>>>(3);
}

BOOST_AUTO_TEST_CASE(slices_of_several_tiles_do_not_race) {
    Tiles<float>{}.run();
    Tiles<Bfloat16>{}.run();
}

BOOST_AUTO_TEST_CASE(other_layers_do_not_race) {
    pass_through<
        Network<Image<5, 6, 4>, Conv2d<12, 3, 1, ConvOptions{.groups = 2}>, LayerNorm, DepthwiseConv2d<3>,
                SqueezeExcite<4>, BatchNorm2d, ReLU, ScaledResidual<Scale::body, PointwiseConv2d<12>, BatchNorm2d>,
                MaxPool2d<2>, PointwiseConv2d<300>, LayerNorm, GlobalAveragePool, Linear<5>>>(9);
}
