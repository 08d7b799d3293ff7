// SPDX-License-Identifier: MIT
// The parameters of all members count together.
// expect-nvcc: compile_error<100001L?, 100000L?>
// expect-text: the network has 100,001 parameters, 1 over the limit of 100,000; the heaviest layers: Linear-1 .50,000., Linear-2 .50,001.
// errors: 1
#include <bantam/core/budget.hpp>
#include <bantam/layers/linear.hpp>
#include <bantam/models/ensemble.hpp>

using namespace bantam;

template <Bias Last>
using Member = Network<Image<1, 1, 50'000>, Linear<1, Last>>;

#ifdef TWIN
constexpr Bias last = Bias::without;
#else
constexpr Bias last = Bias::with;
#endif

static_assert(Student<Ensemble<Member<Bias::without>, Member<last>>>::parameter_limit == 100'000);
