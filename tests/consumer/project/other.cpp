// SPDX-License-Identifier: MIT
// The second translation unit: a definition that is not inline fails to link.
#include "net.hpp"

std::vector<float> logits_of_the_other_file() { return compute_logits(); }
