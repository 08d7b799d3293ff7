// SPDX-License-Identifier: MIT
// A layer states what is wrong with its input, or with its arguments, in its own words.
// expect-text: layer 1 Quarters does not fit: the channels of Quarters are a multiple of 4; layer 0 Conv2d gives 8x8x6, needed is 8x8x8
// expect-nvcc: compile_error<bantam::Reason::stated_by_layer, 1L?, bantam::Shape{8L?, 8L?, 6L?}, bantam::Shape{8L?, 8L?, 8L?}>
// errors: 1
#include <bantam/core/network.hpp>
#include <bantam/layers/conv2d.hpp>

using namespace bantam;

struct Quarters : Layer {
    static constexpr std::string_view name = "Quarters";
    static constexpr Misfit misfit(Shape input) {
        if (input.channels % 4 == 0) return {};
        return does_not_fit("the channels of Quarters are a multiple of 4", input,
                            {input.height, input.width, (input.channels / 4 + 1) * 4});
    }
};

#ifdef TWIN
using Net = Network<Image<8, 8, 3>, Conv2d<8, 3>, Quarters>;
#else
using Net = Network<Image<8, 8, 3>, Conv2d<6, 3>, Quarters>;
#endif
static_assert(sizeof(Net) > 0);
