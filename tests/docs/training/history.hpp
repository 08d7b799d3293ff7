// SPDX-License-Identifier: MIT
template <class Trainer>
std::vector<bantam::EpochReport> train_until(double accuracy, Trainer& trainer, const bantam::ArrayData& training,
                                             const bantam::ArrayData& validation) {
    // After each epoch; false stops. A null stream shows no progress.
    const auto on_epoch = [&](const bantam::EpochReport& epoch) { return epoch.validation.accuracy < accuracy; };
    return bantam::fit(trainer, training, validation, on_epoch, nullptr);
}
