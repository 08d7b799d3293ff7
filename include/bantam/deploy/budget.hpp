// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/core/budget.hpp>
#include <bantam/core/diagnostics.hpp>
#include <bantam/deploy/classifier.hpp>
#include <bantam/deploy/line_classifier.hpp>
#include <bantam/deploy/precision.hpp>
#include <bantam/layers/deployed.hpp>

#include <cstdint>
#include <type_traits>

namespace bantam {

/// How a network runs on a device: which numbers, and line by line or with whole maps.
enum class DeviceNumbers { int8, float32 };
enum class DeviceMaps { lines, whole };

/// What a student may take: parameters, statistics included; bytes of RAM for the arena; bytes of flash for the
/// weights. `Student<Net, Budget{.arena_bytes = 64 * 1024, .weight_bytes = 128 * 1024}>` does not compile with more.
struct Budget {
    Index parameters = default_parameter_limit;
    Index arena_bytes = INT64_MAX;
    Index weight_bytes = INT64_MAX;
    DeviceNumbers numbers = DeviceNumbers::int8;
    DeviceMaps maps = DeviceMaps::lines;
};

namespace deploy {

/// Bytes of arena that `Net` takes in the way that a budget names.
template <class Net, DeviceNumbers Numbers = DeviceNumbers::int8, DeviceMaps Maps = DeviceMaps::lines>
inline constexpr Index arena_bytes = [] {
    using P = std::conditional_t<Numbers == DeviceNumbers::int8, Int8, Float32>;
    if constexpr (Maps == DeviceMaps::lines)
        return LineClassifier<Net, P>::arena_bytes;
    else
        return Classifier<Net, P>::arena_bytes;
}();

}  // namespace deploy

namespace detail {

/// What takes less than the arena that is too large.
template <class Net, DeviceNumbers Numbers, DeviceMaps Maps>
constexpr void append_smaller_arena(Sentence& text) {
    if constexpr (Maps == DeviceMaps::whole && deploy::runs_line_by_line<Net>) {
        text.append("; line by line, with DeviceMaps::lines, it takes ");
        text.append_number(deploy::arena_bytes<Net, Numbers, DeviceMaps::lines>, true);
    } else {
        text.append("; fewer channels or a larger stride in the first layers take less");
    }
}

template <class Net, DeviceNumbers Numbers, DeviceMaps Maps, Index Limit>
struct ArenaOverLimit {
    static constexpr Index bytes = deploy::arena_bytes<Net, Numbers, Maps>;
    static constexpr Sentence sentence = [] {
        Sentence text;
        if (bytes <= Limit) return text;
        text.append("the arena of the network takes ").append_number(bytes, true);
        text.append(Maps == DeviceMaps::lines ? " bytes line by line, " : " bytes with whole maps, ");
        text.append_number(bytes - Limit, true);
        text.append(" over the limit of ").append_number(Limit, true);
        append_smaller_arena<Net, Numbers, Maps>(text);
        return text;
    }();
    using Facts = compile_error<bytes, Limit>;
};

template <class Net, Index Bytes, Index Limit>
struct WeightsOverLimit {
    static constexpr Sentence sentence = [] {
        Sentence text;
        if (Bytes <= Limit) return text;
        text.append("the weights of the network take ").append_number(Bytes, true).append(" bytes of flash, ");
        text.append_number(Bytes - Limit, true).append(" over the limit of ").append_number(Limit, true);
        append_heaviest_layers<Net>(text);
        return text;
    }();
    using Facts = compile_error<Bytes, Limit>;
};

template <class Net, Budget Limit>
inline constexpr Index budgeted_weight_bytes =
    Limit.numbers == DeviceNumbers::int8 ? deploy::weight_bytes<Net, deploy::Int8>
                                         : deploy::weight_bytes<Net, deploy::Float32>;

// What has no limit is not computed: it may have no form on a device.

template <class Net, Budget Limit>
struct ArenaWithin : private Refusal<ArenaOverLimit<Net, Limit.numbers, Limit.maps, Limit.arena_bytes>> {};
template <class Net, Budget Limit>
    requires(Limit.arena_bytes == INT64_MAX)
struct ArenaWithin<Net, Limit> {};

template <class Net, Budget Limit>
struct WeightsWithin : private Refusal<WeightsOverLimit<Net, budgeted_weight_bytes<Net, Limit>, Limit.weight_bytes>> {};
template <class Net, Budget Limit>
    requires(Limit.weight_bytes == INT64_MAX)
struct WeightsWithin<Net, Limit> {};

template <class Net, auto Limit>
    requires std::is_same_v<std::remove_const_t<decltype(Limit)>, Budget>
struct WithinLimit<Net, Limit> : private Refusal<ParametersOverLimit<Net, Limit.parameters>>,
                                 private ArenaWithin<Deployed<Net>, Limit>,
                                 private WeightsWithin<Deployed<Net>, Limit> {
    static constexpr Index parameter_limit = Limit.parameters;
    static constexpr Budget budget = Limit;
};

}  // namespace detail
}  // namespace bantam
