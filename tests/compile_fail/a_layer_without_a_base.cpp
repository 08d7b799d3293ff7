// SPDX-License-Identifier: MIT
// A type that does not derive from Layer.
// expect-text: layer 0 Mine: it is not a layer: derive it from bantam::Layer
// expect-nvcc: compile_error<bantam::Reason::not_a_layer, 0L?
// errors: 1
#include <bantam/core/summary.hpp>

using namespace bantam;

#ifdef TWIN
struct Mine : Layer {
#else
struct Mine {
#endif
    static constexpr std::string_view name = "Mine";
};

const char* text = summary<Network<Image<8, 8, 3>, Mine>>();
