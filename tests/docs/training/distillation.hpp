// SPDX-License-Identifier: MIT
// teacher_logits are [picture][class]; a picture without a label has the label -1.
void distill(const std::vector<float>& pixels, const std::vector<int>& labels, const std::vector<float>& teacher_logits,
             const bantam::ArrayData& validation, bantam::Trainer<Student>& trainer) {
    bantam::fit(trainer, bantam::ArrayData{pixels, labels, teacher_logits}, validation);
}
