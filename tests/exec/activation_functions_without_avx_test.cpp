// SPDX-License-Identifier: MIT
// The same tests compiled without AVX, where vectors are shorter and Eigen uses other instructions.
#include "activation_functions_test.cpp"
