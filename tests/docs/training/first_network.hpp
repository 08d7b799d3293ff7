// SPDX-License-Identifier: MIT
#include <bantam/bantam.hpp>
#include <bantam/cpu/save.hpp>

using Student = bantam::Student<bantam::Network<  // shapes are deduced; more than 100,000 parameters do not compile
    bantam::Image<16, 16, 1>, bantam::Conv2d<8, 3>, bantam::BatchNorm2d, bantam::ReLU,
    bantam::DepthwiseSeparable<16, 2>, bantam::GlobalAveragePool, bantam::Linear<3>>>;

// Pixels are [picture][height][width][channels], bytes or floats; labels are integers 0, 1, ….
std::vector<int> train_and_predict(const std::vector<std::uint8_t>& pixels, const std::vector<int>& labels,
                                   const bantam::ArrayData& validation, const std::vector<std::uint8_t>& new_pixels) {
    const bantam::ArrayData training{pixels, labels};
    bantam::Trainer<Student> trainer{{.epochs = 20, .threads = 2}};
    bantam::fit(trainer, training, validation);
    std::printf("accuracy %.3f\n", bantam::evaluate(trainer, validation).accuracy.value());
    bantam::save("student.safetensors", trainer);

    const auto student = bantam::load<Student>("student.safetensors");
    return bantam::predict(student, new_pixels);
}
