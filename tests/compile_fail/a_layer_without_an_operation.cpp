// SPDX-License-Identifier: MIT
// A model with a layer that the CPU cannot run: one sentence names the layer, the backend and what to do.
// expect-text: layer Negate has no operation on backend cpu; include its header under bantam/cpu/layers or write one, see docs/adding-a-layer.md
// expect-nvcc: compile_error<.*cpu::Backend<
// errors: 1
// with: cxx26
#include <bantam/bantam.hpp>

using namespace bantam;

struct Negate : Layer {
    static constexpr std::string_view name = "Negate";
};

#ifdef TWIN
template <Shape Input, class S>
struct bantam::cpu::Operation<Negate, Input, S> : OperationSizes {
    static void forward(const Pass<S>&, const Weights<S>&, const S*, S*, S*) {}
    static void backward(const Pass<S>&, const Weights<S>&, const S*, S*, const S*, S*, S*) {}
};
#endif

using Net = Network<Image<8, 8, 3>, Conv2d<16, 3, 2>, Residual<Negate>, GlobalAveragePool, Linear<11>>;

void run(const float* input, float* output) {
    cpu::Model<Net> model;
    model.initialize(1);
    model.forward(input, 1, 0, output);
    model.backward(output, output);
    model.infer(input, 1, output);
}
