// SPDX-License-Identifier: MIT
// No two layers of a network draw from the same random stream.
#define BOOST_TEST_MODULE exec_random_stream
#include <boost/test/unit_test.hpp>

#include <bantam/bantam.hpp>

#include <cstddef>
#include <cstdint>
#include <set>
#include <string_view>
#include <utility>
#include <vector>

using namespace bantam;

namespace {

/// A layer that notes its stream.
struct Probe : Layer {
    static constexpr std::string_view name = "Probe";
};

std::vector<std::uint64_t> forward_streams, backward_streams;

}  // namespace

template <Shape Input, class S>
struct bantam::cpu::Operation<Probe, Input, S> : OperationSizes {
    static void forward(const Pass<S>& pass, const Weights<S>&, const S*, S*, S*) {
        forward_streams.push_back(pass.stream);
    }
    static void backward(const Pass<S>& pass, const Weights<S>&, const S*, S*, const S*, S*, S*) {
        backward_streams.push_back(pass.stream);
    }
};

namespace {

template <std::size_t>
using ProbeAt = Probe;
template <std::size_t... Is>
Sequence<ProbeAt<Is>...> probes(std::index_sequence<Is...>);
template <std::size_t Count>
using Probes = decltype(probes(std::make_index_sequence<Count>{}));

// More than 62 layers at the top, in a body and in a shortcut: steps of one digit and of four.
using Gate = ChannelGate<GlobalAveragePool, Probes<3>>;
using Deep = ProjectedResidual<Probes<66>, Probes<66>, Residual<Gate, Probe>, Add<Probes<2>, Probe>>;
using Net = Network<Image<2, 1, 2>, Residual<Probes<2>>, Probes<63>, Deep, Probe, SplitConcatenate<Probe, Probes<2>>>;
constexpr std::size_t probe_count = 2 + 63 + (66 + 66 + 3 + 1 + 2 + 1) + 1 + (1 + 2);

void run_network() {
    cpu::Model<Net> model;
    model.initialize(1);
    std::vector<float> map(4), gradient(4), parameter_gradient(model.parameters().size());
    forward_streams.clear();
    backward_streams.clear();
    model.forward(map.data(), 1, 0, map.data());
    model.backward(gradient.data(), parameter_gradient.data(), gradient.data());
}

}  // namespace

BOOST_AUTO_TEST_CASE(all_layers_have_different_streams) {
    run_network();
    BOOST_TEST(forward_streams.size() == probe_count);
    const std::set<std::uint64_t> different(forward_streams.begin(), forward_streams.end());
    BOOST_TEST(different.size() == probe_count);
}

BOOST_AUTO_TEST_CASE(backward_has_the_streams_of_forward) {
    run_network();
    BOOST_TEST((std::multiset<std::uint64_t>(forward_streams.begin(), forward_streams.end()) ==
                std::multiset<std::uint64_t>(backward_streams.begin(), backward_streams.end())));
}

BOOST_AUTO_TEST_CASE(all_paths_of_two_steps_have_different_streams) {
    std::set<std::uint64_t> different;
    std::size_t paths = 0;
    const auto add = [&](std::uint64_t stream) {
        different.insert(stream);
        ++paths;
    };
    constexpr std::size_t children = 200;
    for (std::size_t i = 0; i < children; ++i) {
        const std::uint64_t child = exec::child_stream(0, i);
        add(child);
        for (std::size_t j = 0; j < children; ++j) {
            add(exec::child_stream(child, j));
            add(exec::child_stream(exec::shortcut_stream(child), j));
        }
    }
    BOOST_TEST(different.size() == paths);
}

// The numbers are part of what a seed means: a change would change every mask of dropout.
static_assert(exec::child_stream(0, 0) == 1 && exec::child_stream(0, 61) == 62);
static_assert(exec::child_stream(3, 4) == 3 * 64 + 5 && exec::shortcut_stream(3) == 3 * 64 + 63);
// The digits of the longest path fit.
static_assert(exec::child_stream(0, exec::max_children - 1) == (std::uint64_t{63} << 18) + 64 * 64 - 1);
static_assert(exec::step_digits(61) == 1 && exec::step_digits(62) == 4);
static_assert(cpu::Model<Net>::Program::stream_digits == 10);
