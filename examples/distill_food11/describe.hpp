// SPDX-License-Identifier: MIT
// What the file of each student is compiled with, trained or not.
#pragma once

#include <bantam/core/network.hpp>
#include <bantam/core/summary.hpp>

#include "student.hpp"

namespace distill_food11 {

template <class Trained>
StudentNetwork describe(const char* name, const char* accuracy) {
    using Net = KeptNetwork<Trained>;
    return {.name = name,
            .accuracy = accuracy,
            .input = input_shape<Net>,
            .classes = class_count<Net>,
            .trainable = trainable_parameters<Net>,
            .non_trainable = non_trainable_parameters<Net>,
            .deployed = deployed_parameter_count<Net>,
            .multiply_adds = multiply_adds<Net>,
            .activation_bytes = activation_bytes<Net>,
            .summary = summary<Trained>(),
            .layers = layer_table<Net>,
            .tensors = tensor_table<Net>,
            .trained_tensors = tensor_table<Trained>,
            .trained_outputs = class_count<Trained>};
}

}  // namespace distill_food11
