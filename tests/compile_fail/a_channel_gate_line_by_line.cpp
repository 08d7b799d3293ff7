// SPDX-License-Identifier: MIT
// A channel gate needs its whole input before its first output, so that it cannot run line by line.
// expect-text: stage bantam::deploy::GateChannels needs its whole input before its first output and cannot run line by line: use deploy::Classifier
// errors: 1
// without: nvcc
#include <bantam/deploy/line_classifier.hpp>

using namespace bantam;

using Net = Network<Image<8, 8, 3>, Conv2d<4, 3>, SqueezeExcite<2>, GlobalAveragePool>;

#ifdef TWIN
static_assert(deploy::Classifier<Net, deploy::Int8>::arena_bytes > 0);
#else
static_assert(deploy::LineClassifier<Net, deploy::Int8>::arena_bytes > 0);
#endif
