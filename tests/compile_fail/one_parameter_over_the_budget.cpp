// SPDX-License-Identifier: MIT
// 100,000 parameters compile, 100,001 do not; running statistics count.
// expect-nvcc: compile_error<100001L?, 100000L?>
// expect-text: the network has 100,001 parameters, 1 over the limit of 100,000; the heaviest layers: Linear-1 .99,950.
// errors: 1
// with: cxx26
#include <bantam/core/budget.hpp>
#include <bantam/layers/batch_norm2d.hpp>
#include <bantam/layers/linear.hpp>

using namespace bantam;

template <Bias Last>
using Net = Network<Image<1, 1, 9'995>, Linear<10, Bias::without>, BatchNorm2d, Linear<1, Last>>;

#ifdef TWIN
constexpr Bias last = Bias::without;
static_assert(parameter_count<Net<last>> == 100'000);
#else
constexpr Bias last = Bias::with;
static_assert(parameter_count<Net<last>> == 100'001);
#endif

static_assert(Student<Net<last>>::parameter_limit == 100'000);
