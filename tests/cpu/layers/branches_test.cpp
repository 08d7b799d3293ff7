// SPDX-License-Identifier: MIT
#define BOOST_TEST_MODULE cpu_branches
#include "layer_passes.hpp"

#include <bantam/layers/branches.hpp>
#include <bantam/layers/layer_norm.hpp>
#include <bantam/layers/squeeze_excite.hpp>
#include <bantam/models/ensemble.hpp>
#include <bantam/models/tiniest.hpp>

#include <algorithm>

using namespace bantam;

BOOST_AUTO_TEST_CASE(concatenations_pass) {
    layer_passes<Concatenate<Conv2d<5, 3>, DepthwiseConv2d<3>, Identity>, Shape{4, 3, 3}>();
    layer_passes<Concatenate<Conv2d<2, 3, 2>, MaxPool2d<2>>, Shape{4, 4, 3}>({2});
}

BOOST_AUTO_TEST_CASE(sums_pass) {
    layer_passes<Add<Conv2d<3, 3>, Identity, Sequence<DepthwiseConv2d<5>, SiLU>>, Shape{4, 3, 3}>();
}

BOOST_AUTO_TEST_CASE(splits_pass) {
    layer_passes<SplitConcatenate<Identity, DepthwiseConv2d<3>, Sequence<PointwiseConv2d<5>, GELU>>, Shape{3, 4, 9}>();
    layer_passes<Branches<Fork::split, Join::add, DepthwiseConv2d<3>, Identity>, Shape{3, 4, 6}>({3});
}

BOOST_AUTO_TEST_CASE(branches_in_branches_pass) {
    using Inner = SplitConcatenate<Identity, DepthwiseConv2d<3>>;
    layer_passes<Concatenate<Inner, Add<Inner, Identity>>, Shape{3, 3, 6}>({1, 3});
}

BOOST_AUTO_TEST_CASE(the_tiniest_block_passes) { layer_passes<TiniestBlock<8>, Shape{5, 4, 8}>({2}); }

BOOST_AUTO_TEST_CASE(an_ensemble_returns_the_mean_of_its_members) {
    using A = Network<Image<3, 3, 2>, Conv2d<5, 3>, ReLU, GlobalAveragePool, Linear<3>>;
    using B = Network<Image<3, 3, 2>, Flatten, Linear<3>>;
    using Both = Ensemble<A, B>;
    layer_passes<Both::Layers, Both::input>({1, 3});

    cpu::Model<Both, double> both;
    cpu::Model<A, double> a;
    cpu::Model<B, double> b;
    both.initialize(7);
    constexpr auto first = trainable_parameters<A>;
    std::copy_n(both.parameters().begin(), first, a.parameters().begin());
    std::copy(both.parameters().begin() + first, both.parameters().end(), b.parameters().begin());
    double input[18], of_both[3], of_a[3], of_b[3];
    for (int i = 0; i < 18; ++i) input[i] = 0.1 * i - 0.7;
    both.infer(input, 1, of_both);
    a.infer(input, 1, of_a);
    b.infer(input, 1, of_b);
    for (int i = 0; i < 3; ++i) BOOST_TEST(of_both[i] == (of_a[i] + of_b[i]) / 2, boost::test_tools::tolerance(1e-12));
}
