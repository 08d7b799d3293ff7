// SPDX-License-Identifier: MIT
/// Squared up to a difference of `delta`, linear beyond (Huber, "Robust estimation of a location parameter", 1964).
struct HuberLoss {
    float delta = 1;

    BANTAM_HOST_DEVICE double value(bantam::Index outputs, const float* output, const float* target) const {
        double sum = 0;
        for (bantam::Index i = 0; i < outputs; ++i) {
            const float difference = std::abs(output[i] - target[i]);
            sum += difference < delta ? difference * difference / 2 : delta * (difference - delta / 2);
        }
        return sum / static_cast<double>(outputs);
    }
    // Writes the derivative of the value with respect to each output.
    BANTAM_HOST_DEVICE void gradient(bantam::Index outputs, const float* output, const float* target,
                                     float* gradient) const {
        for (bantam::Index i = 0; i < outputs; ++i) {
            const float difference = output[i] - target[i];
            const float clipped = difference > delta ? delta : difference < -delta ? -delta : difference;
            gradient[i] = clipped / static_cast<float>(outputs);
        }
    }
};
static_assert(bantam::TargetLoss<HuberLoss>);

using HuberTrainer = bantam::Trainer<Regressor, bantam::Cpu, HuberLoss>;  // HuberTrainer{options, {.delta = 0.5F}}
