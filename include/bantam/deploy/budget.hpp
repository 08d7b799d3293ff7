// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/core/budget.hpp>
#include <bantam/core/summary.hpp>
#include <bantam/deploy/classifier.hpp>
#include <bantam/deploy/line_classifier.hpp>
#include <bantam/deploy/precision.hpp>

#include <cstdint>
#include <string_view>
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

// Never defined: their appearance in a compiler's output is the error message. The numbers are the network's bytes, the
// limit, and how many are too many.
template <Index Bytes, Index Limit, Index Excess>
struct network_exceeds_arena_budget;
template <Index Bytes, Index Limit, Index Excess>
struct network_exceeds_weight_budget;

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

template <class Net>
constexpr auto bytes_message(std::string_view what, Index bytes, Index limit, std::string_view where, Index marked) {
    Text<(layer_table<Net>.size() + 8) * (summary_width + 8)> text;
    text.append("the network's ").append(what).append(" ").append_number(bytes).append(" bytes ").append(where);
    text.append(", ").append_number(bytes - limit).append(" over the limit of ").append_number(limit);
    if (marked < INT64_MAX) {
        text.append("; the heaviest layers are marked <<<\n");
        append_layers<Net>(text, marked);
    }
    return text;
}

template <class Net, Index Bytes, Index Limit, DeviceMaps Maps>
struct ArenaSentence {
#if defined(__cpp_static_assert) && __cpp_static_assert >= 202306L
    static_assert(Bytes <= Limit,
                  (bytes_message<Net>("arena takes", Bytes, Limit,
                                      Maps == DeviceMaps::lines ? "line by line" : "with whole maps", INT64_MAX)));
#else
    static_assert(Bytes <= Limit, "the network's arena has more bytes than its limit");
#endif
};
template <Index Bytes, Index Limit>
struct ArenaNumbers {
    static_assert(sizeof(network_exceeds_arena_budget<Bytes, Limit, Bytes - Limit>) > 0);
};
template <Index Bytes, Index Limit>
    requires(Bytes <= Limit)
struct ArenaNumbers<Bytes, Limit> {};

template <class Net, Index Bytes, Index Limit>
struct WeightSentence {
#if defined(__cpp_static_assert) && __cpp_static_assert >= 202306L
    static_assert(Bytes <= Limit,
                  (bytes_message<Net>("weights take", Bytes, Limit, "of flash", parameter_count<Net> / 10)));
#else
    static_assert(Bytes <= Limit, "the network's weights have more bytes than their limit");
#endif
};
template <Index Bytes, Index Limit>
struct WeightNumbers {
    static_assert(sizeof(network_exceeds_weight_budget<Bytes, Limit, Bytes - Limit>) > 0);
};
template <Index Bytes, Index Limit>
    requires(Bytes <= Limit)
struct WeightNumbers<Bytes, Limit> {};

template <class Net, Budget Limit>
inline constexpr Index budgeted_weight_bytes =
    Limit.numbers == DeviceNumbers::int8 ? deploy::weight_bytes<Net, deploy::Int8>
                                         : deploy::weight_bytes<Net, deploy::Float32>;

// What has no limit is not computed: it may have no form on a device.

template <class Net, Budget Limit>
struct ArenaWithin
    : private ArenaSentence<Net, deploy::arena_bytes<Net, Limit.numbers, Limit.maps>, Limit.arena_bytes, Limit.maps>,
      private ArenaNumbers<deploy::arena_bytes<Net, Limit.numbers, Limit.maps>, Limit.arena_bytes> {};
template <class Net, Budget Limit>
    requires(Limit.arena_bytes == INT64_MAX)
struct ArenaWithin<Net, Limit> {};

template <class Net, Budget Limit>
struct WeightsWithin : private WeightSentence<Net, budgeted_weight_bytes<Net, Limit>, Limit.weight_bytes>,
                       private WeightNumbers<budgeted_weight_bytes<Net, Limit>, Limit.weight_bytes> {};
template <class Net, Budget Limit>
    requires(Limit.weight_bytes == INT64_MAX)
struct WeightsWithin<Net, Limit> {};

template <class Net, auto Limit>
    requires std::is_same_v<std::remove_const_t<decltype(Limit)>, Budget>
struct WithinLimit<Net, Limit> : private BudgetSentence<Net, Limit.parameters>,
                                 private BudgetNumbers<parameter_count<Net>, Limit.parameters>,
                                 private ArenaWithin<Net, Limit>,
                                 private WeightsWithin<Net, Limit> {
    static constexpr Index parameter_limit = Limit.parameters;
    static constexpr Budget budget = Limit;
};

}  // namespace detail
}  // namespace bantam
