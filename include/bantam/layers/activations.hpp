// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/core/layer.hpp>

#include <string_view>
#include <type_traits>

namespace bantam {

/// An activation: a function of each scalar by itself. exec/activation_functions.hpp has the formulas.
struct Activation : Layer {};

template <class L>
concept ActivationLayer = std::is_base_of_v<Activation, L>;

/// max(x, 0)
struct ReLU : Activation {
    static constexpr std::string_view name = "ReLU";
};

/// min(max(x, 0), 6) (MobileNet)
struct ReLU6 : Activation {
    static constexpr std::string_view name = "ReLU6";
};

/// x where positive, else 0.01·x
struct LeakyReLU : Activation {
    static constexpr std::string_view name = "LeakyReLU";
    static constexpr double negative_slope = 0.01;
};

/// x where positive, else eˣ − 1 (Clevert et al., 2016)
struct ELU : Activation {
    static constexpr std::string_view name = "ELU";
};

/// ln(1 + eˣ)
struct Softplus : Activation {
    static constexpr std::string_view name = "Softplus";
};

/// 1 / (1 + e⁻ˣ)
struct Sigmoid : Activation {
    static constexpr std::string_view name = "Sigmoid";
};

/// min(max(x + 3, 0), 6) / 6
struct HardSigmoid : Activation {
    static constexpr std::string_view name = "HardSigmoid";
};

/// x · sigmoid(x), also called swish
struct SiLU : Activation {
    static constexpr std::string_view name = "SiLU";
};

/// x · min(max(x + 3, 0), 6) / 6 (Howard et al., MobileNetV3, 2019)
struct HardSwish : Activation {
    static constexpr std::string_view name = "HardSwish";
};

/// x · Φ(x) with the exact normal distribution function (Hendrycks & Gimpel, 2016)
struct GELU : Activation {
    static constexpr std::string_view name = "GELU";
};

/// x · tanh(eˣ) (Liu & Di, 2020)
struct TanhExp : Activation {
    static constexpr std::string_view name = "TanhExp";
};

/// x · tanh(ln(1 + eˣ)) (Misra, 2019)
struct Mish : Activation {
    static constexpr std::string_view name = "Mish";
};

/// The activations as a list, in which each has one entry: what the tests iterate over.
template <class... Acts>
struct ActivationList {};
using AllActivations =
    ActivationList<ReLU, ReLU6, LeakyReLU, ELU, Softplus, Sigmoid, HardSigmoid, SiLU, HardSwish, GELU, TanhExp, Mish>;

}  // namespace bantam
