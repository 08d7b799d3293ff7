// SPDX-License-Identifier: MIT
using Regressor = bantam::Network<bantam::Image<16, 16, 1>, bantam::Conv2d<8, 3, 2>, bantam::BatchNorm2d, bantam::ReLU,
                                  bantam::Flatten, bantam::Linear<2>>;

// Two values per picture; targets are floats [picture][output].
std::vector<float> fit_values(const std::vector<float>& pixels, const std::vector<float>& targets,
                              std::span<const float> new_pixels) {
    const bantam::ArrayData training{pixels, targets};
    bantam::Trainer<Regressor, bantam::Cpu, bantam::MeanSquaredError> trainer{
        {.epochs = 30, .optimizer = bantam::OptimizerKind::adamw, .learning_rate = 0.01, .averaging_decay = 0.9}};
    bantam::fit(trainer, training, training);
    const auto outputs = trainer.infer(new_pixels);
    return {outputs.begin(), outputs.end()};
}
