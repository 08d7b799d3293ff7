// SPDX-License-Identifier: MIT
// The number of threads does not change the bits in code that is optimized as users compile it (-O3): there the
// compiler may fuse multiply-adds in one copy of a loop and not in another.
#define BOOST_TEST_MODULE cpu_threads
#include "cpu/compare_models.hpp"

#include <bantam/bantam.hpp>
#include <bantam/models/tiniest.hpp>

using namespace bantam;

namespace {

template <class Net>
void bits_do_not_depend_on_threads() {
    for (const Index count : {2, 19}) {
        const Everything<float> one = run<Net, float>(count, 1);
        for (const int threads : {2, 3})
            BOOST_CHECK_MESSAGE((run<Net, float>(count, threads) == one),
                                threads << " threads differ from one for a batch of " << count);
    }
}

}  // namespace

BOOST_AUTO_TEST_CASE(scaled_residuals) {
    bits_do_not_depend_on_threads<
        Network<Image<16, 16, 48>, ScaledResidual<Scale::shortcut, DepthwiseConv2d<3>>,
                ScaledResidual<Scale::body, PointwiseConv2d<48>, GELU>, GlobalAveragePool, Linear<3>>>();
}

BOOST_AUTO_TEST_CASE(blocks_of_tiniest) {
    bits_do_not_depend_on_threads<
        Network<Image<8, 8, 3>, Conv2d<16, 3>, LayerNorm, TiniestBlock<16>, GlobalAveragePool, Linear<3>>>();
}

BOOST_AUTO_TEST_CASE(fused_blocks_with_gates_and_branches) {
    bits_do_not_depend_on_threads<
        Network<Image<12, 10, 3>, Conv2d<9, 3, 2, ConvOptions{.bias = false}>, BatchNorm2d, ReLU6,
                DepthwiseSeparable<11>, InvertedResidual<11, 1, 2>, SqueezeExcite<4>,
                Concatenate<Sequence<BatchNorm2d, SiLU>, Identity>, GlobalAveragePool, Linear<5>>>();
}
