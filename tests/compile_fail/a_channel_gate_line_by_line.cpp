// SPDX-License-Identifier: MIT
// A channel gate needs its whole input before its first output, so that it cannot run line by line.
// expect: stage_cannot_run_line_by_line<bantam::deploy::GateChannels<
// without: nvcc
#include <bantam/deploy/line_classifier.hpp>

using namespace bantam;

using Net = Network<Image<8, 8, 3>, Conv2d<4, 3>, SqueezeExcite<2>, GlobalAveragePool>;

#ifdef TWIN
static_assert(deploy::Classifier<Net, deploy::Int8>::arena_bytes > 0);
#else
static_assert(deploy::LineClassifier<Net, deploy::Int8>::arena_bytes > 0);
#endif
