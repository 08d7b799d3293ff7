// SPDX-License-Identifier: MIT
// An activation of your own that no backend can compute.
// expect-text: activation Mine has no formula: specialize exec::ActivationFunction for it, see docs/adding-a-layer.md
// expect-nvcc: compile_error<.*cpu::Backend<
// errors: 1
#include <bantam/cpu/model.hpp>
#include <bantam/layers/batch_norm2d.hpp>

using namespace bantam;

struct Mine : Activation {
    static constexpr std::string_view name = "Mine";
};

#ifdef TWIN
template <>
struct exec::ActivationFunction<Mine> : ActivationFunction<ReLU> {};
#endif

using Net = Network<Image<4, 4, 3>, BatchNorm2d, Mine>;

void run(const float* input, float* output) {
    cpu::Model<Net> model;
    model.initialize(1);
    model.infer(input, 1, output);
}
