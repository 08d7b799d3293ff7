// SPDX-License-Identifier: MIT
double train_one_epoch(bantam::Trainer<Student>& trainer, const std::vector<bantam::Batch>& batches) {
    bantam::LossSums sums;
    for (const bantam::Batch& batch : batches) sums += trainer.step(batch, std::ssize(batches));
    return bantam::summarize(sums).loss.value();
}
