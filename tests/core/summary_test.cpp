// SPDX-License-Identifier: MIT
#define BOOST_TEST_MODULE core_summary
#include <boost/test/unit_test.hpp>

#include <bantam/core/summary.hpp>
#include <bantam/models/mobile.hpp>
#include <bantam/models/resnet18.hpp>

#include <string>
#include <string_view>

using namespace bantam;

// The table is made at compile time.
static_assert(std::string_view{summary<Mobile98k<11>>()}.size() > 1000);

BOOST_AUTO_TEST_CASE(summary_is_torchsummarys_table_with_multiply_adds) {
    using Net = Network<Image<32, 32, 3>, Conv2d<16, 3, 2, ConvOptions{.bias = false}>, BatchNorm2d, ReLU6,
                        GlobalAveragePool, Linear<11>>;
    // clang-format off
    const std::string expected =
        "--------------------------------------------------------------------------------\n"
        "              Layer (type)                Output Shape             Param #\n"
        "================================================================================\n"
        "                  Conv2d-1            [-1, 16, 16, 16]                 432\n"
        "             BatchNorm2d-2            [-1, 16, 16, 16]                  64\n"
        "                   ReLU6-3            [-1, 16, 16, 16]                   0\n"
        "       GlobalAveragePool-4              [-1, 16, 1, 1]                   0\n"
        "                  Linear-5              [-1, 11, 1, 1]                 187\n"
        "================================================================================\n"
        "Total params: 683\n"
        "Trainable params: 651\n"
        "Non-trainable params: 32\n"
        "Multiply-adds: 110,768\n"
        "--------------------------------------------------------------------------------\n"
        "Input size (MB): 0.01\n"
        "Forward/backward pass size (MB): 0.09\n"
        "Params size (MB): 0.00\n"
        "Estimated Total Size (MB): 0.11\n"
        "--------------------------------------------------------------------------------\n";
    // clang-format on
    BOOST_TEST(std::string{summary<Net>()} == expected);
}

BOOST_AUTO_TEST_CASE(mobile_98k_has_its_totals) {
    const std::string text = summary<Mobile98k<11>>();
    for (const char* line : {"Total params: 98,155\n", "Trainable params: 95,371\n", "Non-trainable params: 2,784\n",
                             "                  Conv2d-1            [-1, 16, 64, 64]                 432\n",
                             "              [-1, 11, 1, 1]               1,947\n"})
        BOOST_TEST(text.find(line) != std::string::npos, line);
}

BOOST_AUTO_TEST_CASE(a_composite_follows_its_layers) {
    const std::string text = summary<Network<Image<4, 4, 8>, Residual<Conv2d<8, 3>>>>();
    BOOST_TEST(text.find("Conv2d-1") < text.find("Residual-2"));
    BOOST_TEST(text.find("Residual-2") != std::string::npos);
}
