// SPDX-License-Identifier: MIT
#pragma once

#include <boost/test/unit_test.hpp>

#include <bantam/base/index.hpp>
#include <bantam/cpu/check_layer.hpp>
#include <bantam/cpu/model.hpp>

#include <cstdint>
#include <initializer_list>

/// Checks `L` on `Input` with batches of one sample, of a few samples and of more samples than chunks.
template <class L, bantam::Shape Input>
void layer_passes(std::initializer_list<bantam::Index> counts = {1, 3, 17}) {
    for (const bantam::Index count : counts) {
        bantam::cpu::LayerCheckOptions options;
        options.count = count;
        options.seed = 40 + static_cast<std::uint64_t>(count);
        options.probes = 24;
        const bantam::cpu::LayerCheck report = bantam::cpu::check_layer<L, Input>(options);
        const auto& name = bantam::layer_table<bantam::Part<L, Input>>.front().name;
        BOOST_CHECK_MESSAGE(report.ok, name << " on " << Input.height << 'x' << Input.width << 'x' << Input.channels
                                            << ", batch of " << count << ": " << report.message);
    }
}
