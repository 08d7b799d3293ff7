// SPDX-License-Identifier: MIT
// A layer needs a name for summaries and errors.
// expect-text: layer 0 Mine: it has no name: add a public member `static constexpr std::string_view name`
// expect-nvcc: compile_error<bantam::Reason::not_a_layer, 0L?
// errors: 1
#include <bantam/core/summary.hpp>

using namespace bantam;

#ifdef TWIN
struct Mine : Layer {
    static constexpr std::string_view name = "Mine";
};
#else
struct Mine : Layer {};
#endif

const char* text = summary<Network<Image<8, 8, 3>, Mine>>();
